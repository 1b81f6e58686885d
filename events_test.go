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
