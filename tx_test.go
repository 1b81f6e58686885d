package punctual_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

// hintless hides what a store can do beyond punctual.Store, hints above all.
type hintless struct{ punctual.Store }

// newTxWorld makes a started world whose store gives no hints, and counts its events. The store's own Edit stands for a transaction that
// commits at once.
func newTxWorld(t *testing.T) (w *world, count func(punctual.EventType) int) {
	var mu sync.Mutex
	events := map[punctual.EventType]int{}
	w = newWorld(t, nil)
	w.store = hintless{memory.New()}
	w.s = w.engine(punctual.WithObserver(punctual.ObserverFunc(func(e punctual.Event) {
		mu.Lock()
		defer mu.Unlock()
		events[e.Type]++
	})))
	w.start()
	return w, func(e punctual.EventType) int {
		mu.Lock()
		defer mu.Unlock()
		return events[e]
	}
}

func TestRegistrationInATransactionStartsNothingBeforeItsCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, count := newTxWorld(t)
		w.wait(10 * time.Second)
		in := w.s.In(w.store)
		require.NoError(t, in.Add(t.Context(), hourly("t")))
		w.wait(5 * time.Second) // the transaction has more to do
		assert.Empty(t, w.starts("t"))
		assert.Zero(t, count(punctual.EventRegistered), "nobody can know yet whether it is committed")
		assert.Equal(t, []string{"register +10s pending"}, w.facts("t"))
		in.Committed()
		synctest.Wait()
		assert.Equal(t, seconds(15), w.starts("t"), "the commit wakes the scheduler")
		assert.Equal(t, 1, count(punctual.EventRegistered))
		in.Committed()
		synctest.Wait()
		assert.Equal(t, 1, count(punctual.EventRegistered), "it is told once")
		w.wait(time.Hour)
		assert.Equal(t, seconds(15, 3610), w.starts("t"), "the interval counts from the registration")
		w.stop()
	})
}

func TestCommitThatNobodyTellsOfIsFoundByThePoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := newTxWorld(t)
		w.wait(10 * time.Second)
		require.NoError(t, w.s.In(w.store).Add(t.Context(), hourly("t")))
		w.wait(time.Minute)
		assert.Equal(t, seconds(30), w.starts("t"))
		w.stop()
	})
}

func TestFutureDueTimesOfATransactionAreNotLateByItsLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := newTxWorld(t)
		in := w.s.In(w.store)
		require.NoError(t, in.Add(t.Context(), punctual.Task{ID: "t", Schedule: punctual.Every(time.Hour), FirstDelay: 20 * time.Second}))
		w.wait(15 * time.Second)
		in.Committed()
		w.wait(10 * time.Second)
		assert.Equal(t, seconds(20), w.starts("t"))
		w.stop()
	})
}

func TestEveryChangeCanBePartOfATransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, count := newTxWorld(t)
		ctx, in := t.Context(), w.s.In(w.store)
		require.NoError(t, in.Ensure(ctx, hourly("t")))
		require.ErrorIs(t, in.Add(ctx, hourly("t")), punctual.ErrTaskExists)
		require.NoError(t, in.Reschedule(ctx, punctual.Task{ID: "t", Schedule: punctual.Every(time.Minute), OnRegister: punctual.WaitForSchedule}))
		require.ErrorIs(t, in.Reschedule(ctx, hourly("absent")), punctual.ErrTaskNotFound)
		require.NoError(t, in.Pause(ctx, "t"))
		require.NoError(t, in.Resume(ctx, "t"))
		run, err := in.RunNow(ctx, "t")
		require.NoError(t, err)
		assert.Equal(t, punctual.StatePending, run.State)
		in.Committed()
		synctest.Wait()
		assert.Equal(t, seconds(0), w.starts("t"), "the run by hand")
		assert.Equal(t, 2, count(punctual.EventRegistered))
		assert.Equal(t, 1, count(punctual.EventPaused))
		assert.Equal(t, 1, count(punctual.EventResumed))
		in = w.s.In(w.store)
		require.NoError(t, in.Remove(ctx, "t"))
		assert.Zero(t, count(punctual.EventRemoved))
		in.Committed()
		assert.Equal(t, 1, count(punctual.EventRemoved))
		w.stop()
		require.ErrorIs(t, in.Add(ctx, hourly("t")), punctual.ErrClosed)
	})
}
