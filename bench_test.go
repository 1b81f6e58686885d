package punctual_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

// BenchmarkAddToStart measures the time from the call of Add to the first instruction of host code, with 100,000 tasks registered.
func BenchmarkAddToStart(b *testing.B) {
	startedAt := make(chan time.Time, 1)
	s, err := punctual.New(memory.New(), punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
		startedAt <- time.Now()
		return punctual.Result{}, nil
	}))
	require.NoError(b, err)
	registerIdle(b, s, 100_000)
	require.NoError(b, s.Start(b.Context()))
	require.NoError(b, s.WaitIdle(b.Context()))

	var waits []time.Duration
	for i := 0; b.Loop(); i++ {
		task := hourly(fmt.Sprint("new", i))
		begin := time.Now()
		require.NoError(b, s.Add(b.Context(), task))
		waits = append(waits, (<-startedAt).Sub(begin))
	}
	slices.Sort(waits)
	b.ReportMetric(float64(waits[len(waits)/2].Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(waits[len(waits)*99/100].Nanoseconds()), "p99-ns")
	require.NoError(b, s.Shutdown(context.Background()))
}

// BenchmarkIdleTasks measures what 100,000 registered tasks cost while they wait.
func BenchmarkIdleTasks(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		s, err := punctual.New(memory.New(), punctual.ExecutorFunc(nil))
		require.NoError(b, err)
		require.NoError(b, s.Start(b.Context()))
		require.NoError(b, s.WaitIdle(b.Context()))
		goroutines, heap := runtime.NumGoroutine(), heapInUse()
		registerIdle(b, s, n)
		b.ReportMetric(float64(heapInUse()-heap)/n, "B/task")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutines), "goroutines")
		require.NoError(b, s.Shutdown(context.Background()))
	}
}

func registerIdle(b *testing.B, s *punctual.Scheduler, n int) {
	for i := range n {
		task := hourly(fmt.Sprint("idle", i))
		task.OnRegister = punctual.WaitForSchedule
		require.NoError(b, s.Add(b.Context(), task))
	}
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
