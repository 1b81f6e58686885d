package main

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// patience is how long what has to happen is waited for.
const patience = 20 * time.Second

// wait waits for a start.
func wait(t *testing.T, started <-chan int) int {
	t.Helper()
	select {
	case id := <-started:
		return id
	case <-time.After(patience):
		t.Fatal("nothing starts")
		return 0
	}
}

func TestEveryEngineStartsATaskAtOnceThatAsksForIt(t *testing.T) {
	for _, lib := range libraries {
		t.Run(lib.key, func(t *testing.T) {
			t.Parallel()
			started := make(chan int, 10)
			e, err := lib.open(2, func(id int) { started <- id })
			require.NoError(t, err)
			require.NoError(t, e.start())
			require.NoError(t, e.add(hourly(0)))
			require.NoError(t, e.add(task{id: 1, every: time.Hour, now: true}))
			assert.Equal(t, 1, wait(t, started))
			require.NoError(t, e.drain())
			assert.Empty(t, started, "an hourly task is not due yet")
		})
	}
}

func TestEveryEngineStartsATaskAtItsFirstInstantAndEachPeriodAfterIt(t *testing.T) {
	for _, lib := range libraries {
		t.Run(lib.key, func(t *testing.T) {
			t.Parallel()
			const every = 100 * time.Millisecond
			startedAt := make(chan time.Time, 1000)
			e, err := lib.open(1, func(int) { startedAt <- time.Now() })
			require.NoError(t, err)
			first := time.Now().Add(300 * time.Millisecond).Round(time.Microsecond)
			require.NoError(t, e.add(task{id: 0, every: every, first: first}))
			require.NoError(t, e.start())
			for n := range 3 {
				select {
				case at := <-startedAt:
					assert.False(t, at.Before(first.Add(time.Duration(n)*every)), "start %d comes %v early", n, first.Add(time.Duration(n)*every).Sub(at))
				case <-time.After(patience):
					t.Fatal("nothing starts")
				}
			}
			require.NoError(t, e.drain())
		})
	}
}

func TestEveryEngineForgetsTheOldTimeOfARescheduledTaskAndARemovedTask(t *testing.T) {
	for _, lib := range libraries {
		t.Run(lib.key, func(t *testing.T) {
			t.Parallel()
			started := make(chan int, 10)
			e, err := lib.open(4, func(id int) { started <- id })
			require.NoError(t, err)
			soon := time.Now().Add(500 * time.Millisecond).Round(time.Microsecond)
			for id := range 2 {
				require.NoError(t, e.add(task{id: id, every: time.Hour, first: soon}))
			}
			require.NoError(t, e.add(hourly(2)))
			require.NoError(t, e.start())
			require.NoError(t, e.reschedule(task{id: 0, every: 2 * time.Hour}))
			require.NoError(t, e.remove(1))
			require.NoError(t, e.reschedule(task{id: 2, every: time.Hour, first: soon.Add(100 * time.Millisecond)}))
			require.True(t, time.Now().Before(soon), "the machine is too slow for this test")
			assert.Equal(t, 2, wait(t, started), "all others were due before it")
			require.NoError(t, e.drain())
			assert.Empty(t, started)
		})
	}
}

func TestEveryEngineWaitsForWhatRunsWhenItIsDrained(t *testing.T) {
	for _, lib := range libraries {
		t.Run(lib.key, func(t *testing.T) {
			t.Parallel()
			started, finish := make(chan int), make(chan struct{})
			var finished atomic.Bool
			e, err := lib.open(1, func(id int) {
				started <- id
				<-finish
				finished.Store(true)
			})
			require.NoError(t, err)
			require.NoError(t, e.start())
			require.NoError(t, e.add(task{id: 0, every: time.Hour, now: true}))
			wait(t, started)
			time.AfterFunc(50*time.Millisecond, func() { close(finish) })
			require.NoError(t, e.drain())
			assert.True(t, finished.Load())
		})
	}
}

func TestPunctualKeepsEveryStartInItsLedger(t *testing.T) {
	const tasks = 300
	started := make(chan int, tasks)
	e, err := openPunctual(tasks, func(id int) { started <- id })
	require.NoError(t, err)
	require.NoError(t, e.start())
	for id := range tasks {
		require.NoError(t, e.add(task{id: id, every: time.Hour, now: true}))
	}
	for range tasks {
		wait(t, started)
	}
	require.NoError(t, e.drain())
	runs, err := e.(*punctualEngine).scheduler.Runs(t.Context(), punctual.RunQuery{Limit: punctual.MaxLimit})
	require.NoError(t, err)
	assert.Len(t, runs, tasks)
	for _, run := range runs {
		assert.Equal(t, punctual.StateSucceeded, run.State, run.Error)
	}
}
