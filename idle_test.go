package punctual_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

// What waits for the slot of a run that has ended is due at that very moment, though only the loop knows.
func TestWaitIdleWaitsForWhatWaitedForASlot(t *testing.T) {
	for name, limit := range map[string]punctual.Option{
		"of the instance": punctual.WithConcurrency(1),
		"of a kind":       punctual.WithKindConcurrency("report", 1),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil, limit).start()
				for round := range 50 {
					for i := range 3 {
						task := hourly(fmt.Sprint("t", round, i))
						task.Kind = "report"
						w.add(task)
					}
					require.NoError(t, w.s.WaitIdle(t.Context()))
					left, err := w.s.Runs(t.Context(), punctual.RunQuery{States: []punctual.State{punctual.StatePending, punctual.StateRunning}})
					require.NoError(t, err)
					require.Empty(t, left, "round %d", round)
				}
				w.stop()
			})
		})
	}
}

// A beat or a look after dead instances that is due now is something to do.
func TestWaitIdleWaitsForWhatADeadInstanceLeft(t *testing.T) {
	mock := clock.NewMock()
	store := memory.New()
	var calls atomic.Int32
	executor := punctual.ExecutorFunc(func(_ context.Context, run punctual.Run) (punctual.Result, error) {
		calls.Store(int32(run.Attempt))
		return punctual.Result{}, nil
	})
	const lease = time.Hour
	s, err := punctual.New(store, executor, punctual.WithClock(mock), punctual.WithLease(lease))
	require.NoError(t, err)
	require.NoError(t, s.Add(t.Context(), hourly("t")))
	_, err = store.Beat(t.Context(), punctual.BeatRequest{Now: mock.Now(), Session: "dead", Instance: "dead", Lease: lease})
	require.NoError(t, err)
	_, err = store.Claim(t.Context(), punctual.ClaimRequest{
		Now: mock.Now(), Session: "dead", Limit: 1,
		Decide: func(v punctual.View) (punctual.Change, error) {
			run := v.Pending[0]
			run.State, run.Attempt, run.StartedAt, run.DueAt, run.Session = punctual.StateRunning, 1, v.Now, time.Time{}, "dead"
			return punctual.Change{Update: []punctual.Run{run}}, nil
		},
	})
	require.NoError(t, err)
	require.NoError(t, s.Start(t.Context()))
	require.NoError(t, s.WaitIdle(t.Context()))
	require.Zero(t, calls.Load())
	mock.Add(lease * 3 / 2)
	require.NoError(t, s.WaitIdle(t.Context()))
	runs, err := s.Runs(t.Context(), punctual.RunQuery{TaskID: "t"})
	require.NoError(t, err)
	require.Len(t, runs, 2)
	assert.Equal(t, punctual.StateSucceeded, runs[1].State, "taken over and done: %+v", runs[1])
	require.NoError(t, s.Shutdown(t.Context()))
}

func TestWaitSettledLeavesOutAttemptsThatWaitForTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, busyFor(90*time.Minute)).start()
		w.add(hourly("long"))
		require.NoError(t, w.s.WaitSettled(t.Context(), 1))
		assert.Equal(t, 1, w.s.Health().Running)
		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, w.s.WaitSettled(short, 0), context.DeadlineExceeded, "one attempt is in host code")
		time.Sleep(time.Hour)
		require.NoError(t, w.s.WaitSettled(t.Context(), 1))
		assert.Equal(t, []string{"register +0s running", "schedule +1h0m0s skipped overlap"}, w.facts("long"))
		time.Sleep(time.Hour)
		require.NoError(t, w.s.WaitSettled(t.Context(), 1))
		w.stop()
	})
}

// A store that fails is asked again when the clock says so: until then nothing happens.
func TestWaitSettledDoesNotWaitForAStoreThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		failing := &failingStore{Store: memory.New()}
		w.store = failing
		w.s = w.engine()
		w.start()
		w.add(hourly("t"))
		require.NoError(t, w.s.WaitIdle(t.Context()))
		failing.on.Store(true)
		time.Sleep(time.Hour)
		require.NoError(t, w.s.WaitSettled(t.Context(), 0))
		assert.False(t, w.s.Health().OK)
		failing.on.Store(false)
		time.Sleep(time.Minute)
		require.NoError(t, w.s.WaitSettled(t.Context(), 0))
		assert.True(t, w.s.Health().OK)
		assert.Equal(t, []string{"register +0s succeeded", "catch-up +1h0m0s succeeded"}, w.facts("t"))
		w.stop()
	})
}

// failingStore is a store whose claims fail while it is switched on.
type failingStore struct {
	punctual.Store
	on atomic.Bool
}

func (f *failingStore) Claim(ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
	if f.on.Load() {
		return punctual.ClaimReply{}, errors.Join(punctual.ErrUnavailable, errors.New("switched on"))
	}
	return f.Store.Claim(ctx, req)
}

func TestTheLoopLooksAgainAfterItsLongestSleep(t *testing.T) {
	for longest, looks := range map[time.Duration]int32{punctual.DefaultMaxSleep: 120, 10 * time.Minute: 6, time.Hour: 1} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			store := &countingStore{Store: memory.New()}
			w.store = store
			w.s = w.engine(punctual.WithMaxSleep(longest))
			w.start()
			before := store.claims.Load()
			w.wait(time.Hour)
			assert.Equal(t, looks, store.claims.Load()-before, "%v", longest)
			w.stop()
		})
	}
	for _, d := range []time.Duration{0, -1, 25 * time.Hour} {
		_, err := punctual.New(memory.New(), punctual.ExecutorFunc(nil), punctual.WithMaxSleep(d))
		assert.ErrorContains(t, err, "WithMaxSleep")
	}
}

// countingStore counts the looks of the loop.
type countingStore struct {
	punctual.Store
	claims atomic.Int32
}

func (c *countingStore) Claim(ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
	c.claims.Add(1)
	return c.Store.Claim(ctx, req)
}
