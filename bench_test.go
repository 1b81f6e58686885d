package punctual_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/benbjohnson/clock"
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

// BenchmarkRegister measures the registration of one more task that waits for its schedule.
func BenchmarkRegister(b *testing.B) {
	s, ids := registered(b, 0)
	for i := 0; b.Loop(); i++ {
		if err := s.Add(b.Context(), waiting(ids(i))); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, s.Shutdown(context.Background()))
}

// BenchmarkReschedule measures the replacement of definitions in no order: of so few tasks that a processor's caches hold them, and of many.
func BenchmarkReschedule(b *testing.B) {
	amongFewAndMany(b, func(b *testing.B, s *punctual.Scheduler, ids func(int) string, n int) {
		order := rand.New(rand.NewPCG(1, 2)).Perm(n)
		for i := 0; b.Loop(); i++ {
			if err := s.Reschedule(b.Context(), waiting(ids(order[i%n]))); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkAddAndRemove measures a task that comes and goes, with others registered.
func BenchmarkAddAndRemove(b *testing.B) {
	amongFewAndMany(b, func(b *testing.B, s *punctual.Scheduler, ids func(int) string, n int) {
		for i := 0; b.Loop(); i++ {
			id := ids(n + i)
			if err := errors.Join(s.Add(b.Context(), waiting(id)), s.Remove(b.Context(), id)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func amongFewAndMany(b *testing.B, measure func(b *testing.B, s *punctual.Scheduler, ids func(int) string, n int)) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprint("tasks=", n), func(b *testing.B) {
			s, ids := registered(b, n)
			measure(b, s, ids, n)
			require.NoError(b, s.Shutdown(context.Background()))
		})
	}
}

// BenchmarkBurst measures the time from Start until all runs of 100,000 tasks that are due have started, per run: immediate runs, whose rows
// were made when the tasks were registered, and first occurrences, whose rows and ledgers are made now.
func BenchmarkBurst(b *testing.B) {
	b.Run("registrations", func(b *testing.B) {
		benchmarkBurst(b, hourly, func() {})
	})
	b.Run("occurrences", func(b *testing.B) {
		host := &ahead{Clock: clock.New()}
		var first time.Time
		benchmarkBurst(b, func(id string) punctual.Task {
			if host.by != 0 || first.IsZero() {
				host.by = 0
				first = host.Now().Add(time.Hour)
			}
			task := waiting(id)
			task.Schedule = punctual.Every(time.Hour).From(first.Add(-time.Hour))
			return task
		}, func() { host.by = time.Until(first) }, punctual.WithClock(host))
	})
}

func benchmarkBurst(b *testing.B, task func(id string) punctual.Task, due func(), opts ...punctual.Option) {
	const n = 100_000
	var took time.Duration
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		var left sync.WaitGroup
		left.Add(n)
		s, err := punctual.New(memory.New(), punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
			left.Done()
			return punctual.Result{}, nil
		}), append(opts, punctual.WithConcurrency(n))...)
		require.NoError(b, err)
		for i := range n {
			require.NoError(b, s.Add(b.Context(), task(fmt.Sprint("task", i))))
		}
		due()
		runtime.GC()
		b.StartTimer()
		begin := time.Now()
		require.NoError(b, s.Start(b.Context()))
		left.Wait()
		took += time.Since(begin)
		b.StopTimer()
		require.NoError(b, s.Shutdown(context.Background()))
		b.StartTimer()
	}
	b.ReportMetric(float64(n)*float64(b.N)/took.Seconds(), "starts/s")
}

// ahead is a clock that runs ahead of the real one.
type ahead struct {
	clock.Clock
	by time.Duration
}

func (c *ahead) Now() time.Time                  { return c.Clock.Now().Add(c.by) }
func (c *ahead) Since(t time.Time) time.Duration { return c.Now().Sub(t) }
func (c *ahead) Until(t time.Time) time.Duration { return t.Sub(c.Now()) }

// registered makes a started scheduler with n waiting tasks, and a source of their ids and of further ones.
func registered(b *testing.B, n int) (*punctual.Scheduler, func(int) string) {
	ids := func(i int) string { return fmt.Sprintf("task-%08d", i) }
	s, err := punctual.New(memory.New(), punctual.ExecutorFunc(nil))
	require.NoError(b, err)
	require.NoError(b, s.Start(b.Context()))
	for i := range n {
		require.NoError(b, s.Add(b.Context(), waiting(ids(i))))
	}
	b.ReportAllocs()
	return s, ids
}

func waiting(id string) punctual.Task {
	return punctual.Task{ID: id, Schedule: punctual.Every(time.Hour), OnRegister: punctual.WaitForSchedule}
}
