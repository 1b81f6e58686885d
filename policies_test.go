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
	"github.com/punctual-go/punctual/store/memory"
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

func TestARemovalPassesAKeyOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, busyFor(time.Minute)).start()
		for _, id := range []string{"a", "b"} {
			task := hourly(id)
			task.ConcurrencyKey = "account"
			w.add(task)
		}
		w.wait(time.Second)
		require.NoError(t, w.s.Remove(t.Context(), "a"))
		w.wait(time.Second)
		assert.Equal(t, seconds(1), w.starts("b"), "at once, though nothing of its own task was changed")
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

// The order to cancel is kept in the store, so it does not matter who gives it.
func TestAnyInstanceCancelsTheRunOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, busyFor(time.Hour), punctual.WithInstance("works")).start()
		w.add(hourly("t"))
		other := w.engine(punctual.WithInstance("asks"))
		require.NoError(t, other.Start(t.Context()))
		w.wait(time.Minute)
		run := w.ledger("t")[0]
		require.Equal(t, "works", run.Instance)
		require.NoError(t, other.Cancel(t.Context(), run.ID))
		w.wait(punctual.DefaultLease / 3)
		run = w.ledger("t")[0]
		assert.Equal(t, punctual.StateCanceled, run.State)
		assert.Equal(t, punctual.ReasonCanceled, run.Reason)
		assert.LessOrEqual(t, run.FinishedAt.Sub(w.begin), time.Minute+punctual.DefaultLease/3, "with the next beat at the latest")
		require.NoError(t, other.Shutdown(t.Context()))
		w.stop()
	})
}

func TestCancellingARunThatWaitsLetsTheNextOneGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, busyFor(10*time.Minute)).start()
		task := hourly("t")
		task.Overlap, task.MaxQueued = punctual.OverlapQueue, 3
		w.add(task)
		second, err := w.s.RunNow(t.Context(), "t")
		require.NoError(t, err)
		third, err := w.s.RunNow(t.Context(), "t")
		require.NoError(t, err)
		w.wait(time.Minute)
		require.NoError(t, w.s.Cancel(t.Context(), second.ID))
		require.ErrorIs(t, w.s.Cancel(t.Context(), second.ID), punctual.ErrRunFinished)
		w.wait(20 * time.Minute)
		run, err := w.s.Run(t.Context(), third.ID)
		require.NoError(t, err)
		assert.Equal(t, punctual.StateSucceeded, run.State)
		assert.Equal(t, 10*time.Minute, run.StartedAt.Sub(w.begin))
		w.stop()
	})
}

// A manual run in the way of a fixed delay is a run from whose end the delay counts.
func TestAFixedDelayCountsFromTheEndOfWhatWasInItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
			if run.Trigger == punctual.TriggerManual {
				return busyFor(90*time.Minute)(ctx, run)
			}
			return punctual.Result{}, nil
		}).start()
		w.add(punctual.Task{ID: "t", Schedule: punctual.Every(time.Hour).AfterCompletion()})
		w.wait(30 * time.Minute)
		_, err := w.s.RunNow(t.Context(), "t")
		require.NoError(t, err)
		w.wait(time.Hour)
		assert.True(t, w.task("t").NextRunAt.IsZero(), "the end of the manual run decides")
		w.wait(90 * time.Minute)
		assert.Equal(t, []string{
			"register +0s succeeded", "manual +30m0s succeeded", "schedule +1h0m0s skipped overlap", "schedule +3h0m0s succeeded",
		}, w.facts("t"))
		w.stop()
	})
}

// What a fixed delay misses while nobody is there is made up for by the time it is found: the delay counts from then.
func TestAFixedDelayThatSkipsWhatItMissedCountsFromNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil).start()
		w.add(punctual.Task{ID: "t", Schedule: punctual.Every(time.Hour).AfterCompletion(), Misfire: punctual.MisfireSkip})
		w.wait(time.Minute)
		w.stop()
		w.wait(5 * time.Hour)
		w.s = w.engine()
		w.start()
		assert.Equal(t, []string{"register +0s succeeded", "schedule +1h0m0s missed misfire"}, w.facts("t"))
		assert.Equal(t, 6*time.Hour+time.Minute, w.task("t").NextRunAt.Sub(w.begin))
		w.stop()
	})
}

func TestAnAttemptOfADeadInstanceIsRunAgainOrEndsAsLost(t *testing.T) {
	for lost, want := range map[punctual.Lost][]string{
		punctual.LostRunAgain: {"register +0s succeeded"},
		punctual.LostMark:     {"register +0s lost lease lost"},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := memory.New()
			dead := newWorld(t, nil)
			dead.store = mutedStore{store}
			dead.work = busyFor(48 * time.Hour)
			dead.s = dead.engine(punctual.WithLease(30 * time.Second))
			w := newWorld(t, nil)
			w.store = store
			w.s = w.engine()
			dead.start()
			task := punctual.Task{ID: "t", Schedule: punctual.Every(24 * time.Hour), Lost: lost}
			dead.add(task)
			w.start()
			w.wait(2 * time.Minute)
			assert.Equal(t, want, w.facts("t"), "%v", lost)
			w.stop()
			_ = dead.s.Close()
		})
	}
}

// mutedStore hears the first beat of an instance and no later one, as if the process had died.
type mutedStore struct{ *memory.Store }

func (m mutedStore) Beat(ctx context.Context, req punctual.BeatRequest) (punctual.BeatReply, error) {
	if alive, err := m.Instances(ctx); err != nil || len(alive) > 0 {
		return punctual.BeatReply{}, punctual.ErrUnavailable
	}
	return m.Store.Beat(ctx, req)
}

func (m mutedStore) Finish(context.Context, punctual.FinishRequest) (punctual.FinishReply, error) {
	return punctual.FinishReply{}, punctual.ErrUnavailable
}
