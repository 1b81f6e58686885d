package punctual_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

func TestReplaceCancelsTheOldRunAndStartsTheNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, busyFor(90*time.Minute)).start()
		task := hourly("t")
		task.Overlap = punctual.OverlapReplace
		w.add(task)
		w.wait(150 * time.Minute)
		assert.Equal(t, seconds(0, 3600, 7200), w.starts("t"))
		assert.Equal(t, []string{"register +0s canceled replaced", "schedule +1h0m0s canceled replaced", "schedule +2h0m0s running"}, w.facts("t"))
		ledger := w.ledger("t")
		assert.Equal(t, ledger[1].ID, ledger[0].BlockedBy, "the run that took its place is named")
		require.NoError(t, w.s.Remove(t.Context(), "t"))
		w.wait(time.Hour)
		w.stop()
	})
}

// Host code that does not look at its context is not overtaken: the newest of those that wait begins when it returns.
func TestReplaceWaitsForHostCodeThatGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(context.Context, punctual.Run) (punctual.Result, error) {
			time.Sleep(150 * time.Minute)
			return punctual.Result{}, errors.New("too late")
		}).start()
		task := hourly("t")
		task.Overlap = punctual.OverlapReplace
		w.add(task)
		w.wait(150*time.Minute + time.Second)
		assert.Equal(t, seconds(0, 9000), w.starts("t"))
		assert.Equal(t, []string{"register +0s canceled replaced", "schedule +1h0m0s skipped replaced", "schedule +2h0m0s running"}, w.facts("t"))
		w.stop()
	})
}

func TestTasksOfOneKeyTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, busyFor(time.Minute)).start()
		for _, id := range []string{"a", "b", "c"} {
			task := hourly(id)
			task.ConcurrencyKey = "account"
			w.add(task)
		}
		w.add(hourly("free"))
		w.wait(0)
		b := w.ledger("b")[0]
		assert.Equal(t, punctual.StatePending, b.State)
		assert.True(t, b.WaitsForKey)
		w.wait(10 * time.Minute)
		assert.Equal(t, [][]time.Duration{seconds(0), seconds(60), seconds(120), seconds(0)},
			[][]time.Duration{w.starts("a"), w.starts("b"), w.starts("c"), w.starts("free")})
		w.stop()
	})
}

func TestTheLimitOfAKeyHoldsOverInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, busyFor(time.Minute), punctual.WithInstance("a")).start()
		other := w.engine(punctual.WithInstance("b"))
		require.NoError(t, other.Start(t.Context()))
		engines := []*punctual.Scheduler{w.s, other}
		for i := range 6 {
			task := hourly(fmt.Sprint("t", i))
			task.ConcurrencyKey, task.ConcurrencyLimit = "account", 2
			require.NoError(t, engines[i%2].Add(t.Context(), task))
		}
		w.wait(10 * time.Minute)
		at := map[time.Duration]int{}
		for _, c := range w.calls {
			at[c.at.Truncate(time.Minute)]++
		}
		assert.Len(t, w.calls, 6)
		for when, n := range at {
			assert.LessOrEqual(t, n, 2, "starts in the minute of %v", when)
		}
		require.NoError(t, other.Shutdown(context.Background()))
		w.stop()
	})
}

func TestPrioritiesStartFirstAndTheOthersAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, busyFor(10*time.Second), punctual.WithConcurrency(1)).start()
		w.add(hourly("holder"))
		w.wait(0)
		low, high := hourly("low"), hourly("high")
		low.Priority, high.Priority = punctual.MinPriority, punctual.MaxPriority
		w.add(low)
		w.add(hourly("normal"))
		w.add(high)
		w.wait(time.Minute)
		assert.Equal(t, [][]time.Duration{seconds(10), seconds(20), seconds(30)}, [][]time.Duration{w.starts("high"), w.starts("normal"), w.starts("low")})
		w.stop()
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, busyFor(10*time.Minute), punctual.WithConcurrency(1)).start()
		w.add(hourly("holder"))
		low := hourly("low")
		low.Priority = punctual.MinPriority
		w.add(low)
		w.wait(time.Duration(punctual.MaxPriority-punctual.MinPriority)*punctual.PriorityStep + time.Second)
		high := hourly("high")
		high.Priority = punctual.MaxPriority
		w.add(high)
		w.wait(25 * time.Minute)
		assert.Less(t, w.starts("low")[0], w.starts("high")[0], "who has waited long enough goes first")
		w.stop()
	})
}

func TestLimitsPerKindKeepOtherKindsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, busyFor(time.Minute), punctual.WithKindConcurrency("slow", 2)).start()
		for i := range 5 {
			task := hourly(fmt.Sprint("slow", i))
			task.Kind = "slow"
			w.add(task)
		}
		w.add(hourly("free"))
		w.wait(10 * time.Minute)
		at := map[time.Duration]int{}
		for i := range 5 {
			for _, start := range w.starts(fmt.Sprint("slow", i)) {
				at[start]++
			}
		}
		assert.Equal(t, map[time.Duration]int{0: 2, time.Minute: 2, 2 * time.Minute: 1}, at)
		assert.Equal(t, seconds(0), w.starts("free"))
		w.stop()
	})
}

func TestARatePerKindIsATokenBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, punctual.WithKindRate("api", 10*time.Second, 2)).start()
		for i := range 5 {
			task := hourly(fmt.Sprint("t", i))
			task.Kind = "api"
			w.add(task)
		}
		w.add(hourly("free"))
		w.wait(time.Minute)
		var all []time.Duration
		for i := range 5 {
			all = append(all, w.starts(fmt.Sprint("t", i))...)
		}
		assert.ElementsMatch(t, seconds(0, 0, 10, 20, 30), all, "two at once, then one each interval")
		assert.Equal(t, seconds(0), w.starts("free"))
		w.wait(time.Hour - time.Minute)
		all = nil
		for i := range 5 {
			all = append(all, w.starts(fmt.Sprint("t", i))[1:]...)
		}
		assert.Len(t, all, 2, "the bucket is full again after a rest, and no fuller than its size")
		require.NoError(t, w.s.Close())
	})
}

// A task that is removed with its history kept, while its attempt fails and would be retried, has nothing that could run again.
func TestARemovedTaskIsNotRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(context.Context, punctual.Run) (punctual.Result, error) {
			time.Sleep(time.Minute)
			return punctual.Result{}, errors.New("boom")
		}).start()
		task := hourly("t")
		task.Retry = punctual.Retry{MaxAttempts: 5}
		w.add(task)
		w.wait(time.Second)
		require.NoError(t, w.s.Remove(t.Context(), "t", punctual.KeepHistory()))
		w.wait(24 * time.Hour)
		assert.Equal(t, seconds(0), w.starts("t"))
		assert.Equal(t, []string{"register +0s failed removed"}, w.facts("t"))
		w.stop()
	})
}
