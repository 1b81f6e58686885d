package punctual_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

func TestTheEventsOfARunComeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		events := map[string][]string{}
		slowly := punctual.ObserverFunc(func(e punctual.Event) {
			time.Sleep(time.Millisecond) // who runs ahead of the observer is seen
			mu.Lock()
			defer mu.Unlock()
			events[e.Run.ID] = append(events[e.Run.ID], e.Type.String())
			assert.Nil(t, e.Run.Payload)
		})
		w := newWorld(t, func(_ context.Context, run punctual.Run) (punctual.Result, error) {
			if run.Trigger == punctual.TriggerRegister && run.Attempt == 1 {
				return punctual.Result{}, errors.New("boom")
			}
			time.Sleep(10 * time.Minute)
			return punctual.Result{}, nil
		}, punctual.WithObserver(slowly)).start()
		task := hourly("t")
		task.Retry = punctual.Retry{MaxAttempts: 2, Initial: time.Minute}
		w.add(task)
		w.wait(5 * time.Minute)
		skipped, err := w.s.RunNow(t.Context(), "t")
		require.NoError(t, err)
		w.wait(time.Hour)
		runs := w.ledger("t")
		w.wait(10 * time.Minute)
		w.stop()
		assert.Equal(t, []string{"registered", "claimed", "started", "retried", "claimed", "started", "finished"}, events[runs[0].ID])
		assert.Equal(t, []string{"skipped"}, events[skipped.ID])
		assert.Equal(t, []string{"claimed", "started", "finished"}, events[runs[2].ID])
	})
}

func TestEventsCountEachSkippedAndMissedOccurrenceOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		counts := map[punctual.EventType]int64{}
		rows := map[string]bool{}
		count := punctual.ObserverFunc(func(e punctual.Event) {
			mu.Lock()
			defer mu.Unlock()
			counts[e.Type] += e.Count
			if e.Type == punctual.EventSkipped {
				rows[e.Run.ID] = true
			}
		})
		w := newWorld(t, busyFor(10*time.Second+time.Millisecond), punctual.WithObserver(count)).start()
		w.add(punctual.Task{ID: "t", Schedule: punctual.Every(time.Second)})
		w.wait(10*time.Second + 500*time.Microsecond)
		mu.Lock()
		assert.EqualValues(t, 10, counts[punctual.EventSkipped], "ten occurrences behind one run")
		assert.Len(t, rows, 1, "in one row")
		mu.Unlock()
		w.wait(time.Second)
		w.stop()

		w.s = w.engine(punctual.WithObserver(count))
		w.wait(time.Minute)
		w.start()
		w.wait(0)
		var missed int64
		for _, run := range w.ledger("t") {
			if run.State == punctual.StateMissed {
				missed += run.Count
			}
		}
		w.stop()
		mu.Lock()
		defer mu.Unlock()
		assert.Positive(t, missed)
		assert.Equal(t, missed, counts[punctual.EventMissed])
	})
}

func TestARunThatItsExecutorSkipsIsToldAsSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var events []string
		w := newWorld(t, func(context.Context, punctual.Run) (punctual.Result, error) {
			return punctual.Result{}, punctual.Skip("budget")
		}, punctual.WithObserver(punctual.ObserverFunc(func(e punctual.Event) {
			mu.Lock()
			defer mu.Unlock()
			if e.Type == punctual.EventSkipped {
				assert.EqualValues(t, 1, e.Count)
				assert.Equal(t, "budget", e.Run.Reason)
			}
			events = append(events, e.Type.String())
		}))).start()
		task := hourly("t")
		task.Retry = punctual.Retry{MaxAttempts: 5}
		w.add(task)
		w.wait(time.Minute)
		assert.Equal(t, []string{"registered", "claimed", "started", "skipped"}, events)
		assert.Equal(t, []string{"register +0s skipped budget"}, w.facts("t"))
		w.stop()
	})
}
