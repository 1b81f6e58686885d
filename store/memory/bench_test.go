package memory_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
	"github.com/punctual-go/punctual/store/storetest"
)

func BenchmarkStore(b *testing.B) {
	for _, tasks := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("tasks=%d", tasks), func(b *testing.B) {
			storetest.Bench(b, tasks, func(*testing.B) punctual.Store { return memory.New(memory.WithHistory(1)) })
		})
	}
}

// filled returns a store with n tasks, whose ids arrive in an order of their own, and runs final runs for each.
func filled(tb testing.TB, n, runs int, payload json.RawMessage) *memory.Store {
	s := memory.New()
	hourly := punctual.Every(time.Hour)
	serial := 0
	for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(n) {
		id := fmt.Sprintf("customer-%07d", i)
		c := punctual.Change{
			Task:   &punctual.Task{ID: id, Schedule: hourly, Payload: payload, Revision: 1},
			Status: &punctual.Status{Anchor: noon, NextRunAt: noon.Add(time.Hour)},
		}
		for range runs {
			serial++
			c.Insert = append(c.Insert, run(id, serial, punctual.StateSucceeded))
		}
		edit(tb, s, id, "", c)
	}
	return s
}

// BenchmarkSearch looks through a million tasks for one at the end.
func BenchmarkSearch(b *testing.B) {
	s := filled(b, 1_000_000, 0, nil)
	b.ResetTimer()
	for b.Loop() {
		page, err := s.Tasks(context.Background(), punctual.TaskQuery{Search: "0999999"})
		if err != nil || len(page) != 1 {
			b.Fatal(len(page), err)
		}
	}
}

// BenchmarkMemory reports what a task takes in memory.
func BenchmarkMemory(b *testing.B) {
	for _, c := range []struct {
		name    string
		runs    int
		payload json.RawMessage
	}{
		{"idle", 0, nil},
		{"payload of 100 bytes", 0, json.RawMessage(fmt.Sprintf("%q", fmt.Sprintf("%098d", 0)))},
		{"one run", 1, nil},
		{"ten runs", 10, nil},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(bytesPerTask(b, 100_000, c.runs, c.payload), "B/task")
			}
		})
	}
}

func bytesPerTask(tb testing.TB, n, runs int, payload json.RawMessage) float64 {
	before := heap()
	s := filled(tb, n, runs, payload)
	grown := heap() - before
	runtime.KeepAlive(s)
	return float64(grown) / float64(n)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A store may hold a million idle tasks.
func TestAnIdleTaskIsSmall(t *testing.T) {
	if per := bytesPerTask(t, 50_000, 0, nil); per > 350 {
		t.Errorf("an idle task takes %.0f bytes", per)
	}
}
