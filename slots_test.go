package punctual_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

// interruptedStore calls the host back in the middle of a claim, before anything is decided.
type interruptedStore struct {
	punctual.Store
	interrupt atomic.Pointer[func()]
}

func (i *interruptedStore) Claim(ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
	if interrupt := i.interrupt.Swap(nil); interrupt != nil {
		(*interrupt)()
	}
	return i.Store.Claim(ctx, req)
}

// A free slot is free for everybody until a claim has found something to start in it.
func TestAnAddDuringAClaimStartsAtOnce(t *testing.T) {
	for _, concurrency := range []int{1, 2, 50, 1000} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(context.Context, punctual.Run) (punctual.Result, error) {
				time.Sleep(time.Second)
				return punctual.Result{}, nil
			})
			store := &interruptedStore{Store: memory.New()}
			w.store = store
			w.s = w.engine(punctual.WithConcurrency(concurrency))
			w.start()
			task := hourly("due")
			task.OnRegister = punctual.WaitForSchedule
			w.add(task)
			w.wait(time.Hour - time.Second)
			require.NoError(t, w.s.WaitIdle(t.Context()))

			var asked punctual.Run
			interrupt := func() {
				task := hourly("added")
				require.NoError(t, w.s.Add(t.Context(), task))
				added, err := w.s.Task(t.Context(), "added")
				require.NoError(t, err)
				assert.Equal(t, punctual.StateRunning, added.LastRun.State)
				asked, err = w.s.RunNow(t.Context(), "added")
				require.NoError(t, err)
			}
			store.interrupt.Store(&interrupt)
			w.wait(time.Second)
			synctest.Wait()
			assert.Nil(t, store.interrupt.Load(), "there was no claim")
			assert.Equal(t, punctual.StateSkipped, asked.State, "the task has its run")
			assert.Equal(t, min(concurrency, 2), w.s.Health().Running)
			w.wait(3 * time.Second)
			require.NoError(t, w.s.WaitIdle(t.Context()))
			late := "schedule +1h0m0s succeeded"
			assert.Equal(t, []string{late}, w.facts("due"))
			run, err := w.s.Task(t.Context(), "due")
			require.NoError(t, err)
			waited := run.LastRun.StartedAt.Sub(run.LastRun.ScheduledAt)
			if concurrency == 1 {
				assert.Equal(t, time.Second, waited, "it takes the slot when the other run has ended")
			} else {
				assert.Zero(t, waited)
			}
			w.stop()
		})
	}
}
