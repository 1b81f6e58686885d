package punctual_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

func TestShutdownWaitsForRunsWithALiveContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, busyFor(10*time.Second)).start()
		w.add(hourly("t"))
		w.wait(time.Second)
		w.stop()
		assert.Equal(t, 10*time.Second, time.Since(w.begin))
		assert.Equal(t, []string{"register +0s succeeded"}, w.facts("t"))
		w.wait(10 * time.Hour)
		assert.Len(t, w.calls, 1, "nothing starts after it")
	})
}

// A run that ignores its context: gocron burned a core while waiting for one. In a bubble time stands still while anything computes, so a
// wait like that would never end here.
func TestShutdownDeadlineNamesTheDeafRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
			if run.TaskID == "deaf" {
				time.Sleep(5 * time.Second)
			}
			return busyFor(time.Hour)(ctx, run)
		}).start()
		w.add(hourly("deaf"))
		w.wait(0)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err := w.s.Shutdown(ctx)
		assert.Equal(t, time.Second, time.Since(w.begin))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Contains(t, err.Error(), w.calls[0].runID)
		assert.Contains(t, err.Error(), `"deaf"`)
		w.wait(5 * time.Second)
		require.NoError(t, w.s.Shutdown(context.Background()), "the run has ended meanwhile")
		assert.Equal(t, []string{"register +0s canceled shutdown"}, w.facts("deaf"), "its end is recorded when it comes")
	})
}

// gocron#355, #835: deadlocks of Shutdown in unusual places.
func TestShutdownMayComeAnyTimeAndAnyNumberOfTimes(t *testing.T) {
	t.Run("ten at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, busyFor(time.Second)).start()
			w.add(hourly("t"))
			w.wait(0)
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() { assert.NoError(t, w.s.Shutdown(context.Background())) })
			}
			wg.Wait()
			assert.Equal(t, []string{"register +0s succeeded"}, w.facts("t"))
		})
	})
	t.Run("before Start", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			w.stop()
			require.ErrorIs(t, w.s.Start(t.Context()), punctual.ErrClosed)
		})
	})
	t.Run("twice, and Close between", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil).start()
			w.stop()
			require.NoError(t, w.s.Close())
			w.stop()
		})
	})
	t.Run("from inside a run", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var w *world
			w = newWorld(t, func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
				if run.TaskID == "other" {
					return busyFor(3*time.Second)(ctx, run)
				}
				time.Sleep(time.Second)
				assert.NoError(t, w.s.Shutdown(ctx))
				assert.Equal(t, 3*time.Second, time.Since(w.begin), "it waits for the others")
				return punctual.Result{}, ctx.Err()
			}).start()
			w.add(hourly("other"))
			w.add(hourly("t"))
			w.wait(time.Minute)
			assert.Equal(t, []string{"register +0s succeeded"}, w.facts("t"))
			w.stop()
		})
	})
	t.Run("calls after it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil).start()
			w.add(hourly("t"))
			w.stop()
			require.ErrorIs(t, w.s.Add(t.Context(), hourly("u")), punctual.ErrClosed)
			require.ErrorIs(t, w.s.Remove(t.Context(), "t"), punctual.ErrClosed)
			_, err := w.s.RunNow(t.Context(), "t")
			require.ErrorIs(t, err, punctual.ErrClosed)
			_, err = w.s.Task(t.Context(), "t")
			require.NoError(t, err, "queries still work")
		})
	})
}

func TestEndOfTheStartContextStopsAtOnceAndRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		w := newWorld(t, func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
			assert.Equal(t, "value", ctx.Value(key{}))
			return busyFor(time.Hour)(ctx, run)
		})
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		require.NoError(t, w.s.Start(ctx))
		w.add(hourly("t"))
		w.wait(time.Second)
		cancel()
		w.wait(0)
		assert.Equal(t, []string{"register +0s canceled shutdown"}, w.facts("t"))
		require.ErrorIs(t, w.s.Add(t.Context(), hourly("u")), punctual.ErrClosed)
		w.stop()
	})
}

func TestCloseCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause error
		w := newWorld(t, func(ctx context.Context, _ punctual.Run) (punctual.Result, error) {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return punctual.Result{}, cause
		}).start()
		w.add(hourly("t"))
		w.wait(time.Second)
		_ = w.s.Close()
		w.wait(0)
		require.ErrorIs(t, cause, punctual.ErrShutdown)
		assert.Equal(t, []string{"register +0s canceled shutdown"}, w.facts("t"))
	})
}

// flakyStore fails or hangs on order.
type flakyStore struct {
	punctual.Store
	mode atomic.Int32
}

const (
	storeWorks int32 = iota
	storeFails
	storeHangs
	storeLosesAnswers // commits, then answers with an error
)

var errDown = errors.New("store is down")

func gateCall[T any](ctx context.Context, f *flakyStore, call func() (T, error)) (T, error) {
	var zero T
	switch f.mode.Load() {
	case storeFails:
		return zero, errDown
	case storeHangs:
		<-ctx.Done()
		return zero, context.Cause(ctx)
	case storeLosesAnswers:
		_, _ = call()
		return zero, errDown
	}
	return call()
}

func (f *flakyStore) Edit(ctx context.Context, r punctual.EditRequest) (punctual.EditReply, error) {
	return gateCall(ctx, f, func() (punctual.EditReply, error) { return f.Store.Edit(ctx, r) })
}

func (f *flakyStore) Claim(ctx context.Context, r punctual.ClaimRequest) (punctual.ClaimReply, error) {
	return gateCall(ctx, f, func() (punctual.ClaimReply, error) { return f.Store.Claim(ctx, r) })
}

func (f *flakyStore) Finish(ctx context.Context, r punctual.FinishRequest) (punctual.FinishReply, error) {
	return gateCall(ctx, f, func() (punctual.FinishReply, error) { return f.Store.Finish(ctx, r) })
}

// flakyLeaser is a flakyStore over a store that several instances share.
type flakyLeaser struct {
	*flakyStore
	leaser punctual.Leaser
}

func (f flakyLeaser) Beat(ctx context.Context, r punctual.BeatRequest) (punctual.BeatReply, error) {
	if f.mode.Load() == storeLosesAnswers {
		return f.leaser.Beat(ctx, r)
	}
	return gateCall(ctx, f.flakyStore, func() (punctual.BeatReply, error) { return f.leaser.Beat(ctx, r) })
}

func (f flakyLeaser) Reclaim(ctx context.Context, r punctual.ReclaimRequest) (punctual.ReclaimReply, error) {
	return gateCall(ctx, f.flakyStore, func() (punctual.ReclaimReply, error) { return f.leaser.Reclaim(ctx, r) })
}

func (f flakyLeaser) Held(ctx context.Context, session string) ([]punctual.Run, error) {
	return gateCall(ctx, f.flakyStore, func() ([]punctual.Run, error) { return f.leaser.Held(ctx, session) })
}

func (f flakyLeaser) EndSession(ctx context.Context, session string) error {
	_, err := gateCall(ctx, f.flakyStore, func() (struct{}, error) { return struct{}{}, f.leaser.EndSession(ctx, session) })
	return err
}

func (f flakyLeaser) Instances(ctx context.Context) ([]punctual.Instance, error) {
	return f.leaser.Instances(ctx)
}

// flaky puts a flaky store under the world.
func (w *world) flaky(opts ...punctual.Option) *flakyStore {
	f := &flakyStore{Store: w.store}
	w.store = flakyLeaser{f, w.store.(punctual.Leaser)}
	w.s = w.engine(opts...)
	return f
}

func TestShutdownOverAHangingStoreReturnsAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, busyFor(2*time.Second))
		flaky := w.flaky()
		w.start()
		w.add(hourly("t"))
		w.wait(time.Second)
		flaky.mode.Store(storeHangs)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err := w.s.Shutdown(ctx)
		assert.Equal(t, 6*time.Second, time.Since(w.begin))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Contains(t, err.Error(), "result not stored")
		w.wait(time.Minute)
	})
}

func TestResultsOutliveAStoreThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, busyFor(time.Second))
		flaky := w.flaky()
		w.start()
		w.add(hourly("t"))
		flaky.mode.Store(storeFails)
		w.wait(8 * time.Second)
		assert.Equal(t, []string{"register +0s running"}, w.facts("t"))
		assert.False(t, w.s.Health().OK)
		require.ErrorIs(t, w.s.Add(t.Context(), hourly("u")), errDown)
		flaky.mode.Store(storeWorks)
		w.wait(6 * time.Second)
		assert.Equal(t, []string{"register +0s succeeded"}, w.facts("t"))
		assert.Equal(t, time.Second, w.ledger("t")[0].FinishedAt.Sub(w.begin.UTC()), "the time is that of its end")
		assert.True(t, w.s.Health().OK, w.s.Health().Reasons)
		w.stop()
	})
}

func TestLostLeaseCancelsRunsAndAnotherInstanceTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var causes []error
		var mu sync.Mutex
		w := newWorld(t, func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
			res, err := busyFor(time.Minute)(ctx, run)
			mu.Lock()
			defer mu.Unlock()
			causes = append(causes, err)
			return res, err
		})
		b := w.engine(punctual.WithInstance("b"))
		flaky := w.flaky(punctual.WithInstance("a"))
		w.start()
		w.add(hourly("t"))
		require.NoError(t, b.Start(t.Context()))
		w.wait(time.Second)
		flaky.mode.Store(storeHangs)
		w.wait(40 * time.Second)
		mu.Lock()
		require.Len(t, causes, 1)
		require.ErrorIs(t, causes[0], punctual.ErrLeaseLost)
		mu.Unlock()
		flaky.mode.Store(storeWorks)
		w.wait(time.Minute)
		runs := w.ledger("t")
		require.Len(t, runs, 1)
		assert.Equal(t, punctual.StateSucceeded, runs[0].State)
		assert.Equal(t, 2, runs[0].Attempt)
		assert.Equal(t, "b", runs[0].Instance)
		require.NotEmpty(t, runs[0].History)
		assert.Equal(t, "lost", runs[0].History[0].Outcome)
		at := w.starts("t")
		require.Len(t, at, 2)
		assert.GreaterOrEqual(t, at[1], 15*time.Second)
		assert.LessOrEqual(t, at[1], 21*time.Second)
		w.stop()
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

func TestClaimWhoseAnswerWasLostIsFoundAndRunOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		flaky := w.flaky()
		w.start()
		w.add(punctual.Task{ID: "t", Schedule: punctual.Every(time.Hour), OnRegister: punctual.WaitForSchedule})
		w.wait(time.Hour - time.Second)
		flaky.mode.Store(storeLosesAnswers)
		w.wait(time.Second)
		assert.Equal(t, []string{"schedule +1h0m0s running"}, w.facts("t"))
		assert.Empty(t, w.starts("t"))
		flaky.mode.Store(storeWorks)
		w.wait(20 * time.Second)
		assert.Equal(t, []string{"schedule +1h0m0s succeeded"}, w.facts("t"))
		assert.Len(t, w.starts("t"), 1)
		assert.Equal(t, 1, w.ledger("t")[0].Attempt, "host code had not begun, so the attempt was not spent")
		w.stop()
	})
}

// detour keeps the first claim that is handed back on its way to the store, whoever gives up waiting for it.
type detour struct {
	*flakyStore
	punctual.Leaser
	handed atomic.Int32
	goOn   chan struct{}
}

func (d *detour) Finish(ctx context.Context, r punctual.FinishRequest) (punctual.FinishReply, error) {
	if r.Items[0].Released && d.handed.Add(1) == 1 {
		<-d.goOn
	}
	return d.flakyStore.Finish(context.WithoutCancel(ctx), r)
}

func TestClaimThatIsHandedBackTwiceIsReleasedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		d := &detour{flakyStore: &flakyStore{Store: w.store}, Leaser: w.store.(punctual.Leaser), goOn: make(chan struct{})}
		w.store = d
		w.s = w.engine()
		w.start()
		w.add(punctual.Task{ID: "t", Schedule: punctual.Every(time.Hour), OnRegister: punctual.WaitForSchedule})
		w.wait(time.Hour - time.Second)
		d.mode.Store(storeLosesAnswers)
		w.wait(time.Second)
		d.mode.Store(storeWorks)
		w.wait(time.Minute)
		require.Len(t, w.starts("t"), 1)
		close(d.goOn)
		w.wait(time.Second)
		require.EqualValues(t, 2, d.handed.Load())
		var outcomes []string
		for _, a := range w.ledger("t")[0].History {
			outcomes = append(outcomes, a.Outcome)
		}
		assert.Equal(t, []string{"released"}, outcomes, "nobody has taken the attempt over")
		w.stop()
	})
}

func TestFinishWhoseAnswerWasLostIsNotRecordedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, busyFor(time.Second))
		flaky := w.flaky()
		w.start()
		w.add(hourly("t"))
		flaky.mode.Store(storeLosesAnswers)
		w.wait(3 * time.Second)
		flaky.mode.Store(storeWorks)
		w.wait(10 * time.Second)
		run := w.ledger("t")[0]
		assert.Equal(t, punctual.StateSucceeded, run.State)
		assert.Equal(t, time.Second, run.FinishedAt.Sub(w.begin.UTC()))
		assert.Empty(t, run.History)
		w.stop()
	})
}

// hookedStore calls a function when an Edit has been committed and before its caller knows.
type hookedStore struct {
	punctual.Store
	punctual.Leaser
	committed func()
}

func (h *hookedStore) Edit(ctx context.Context, r punctual.EditRequest) (punctual.EditReply, error) {
	reply, err := h.Store.Edit(ctx, r)
	if h.committed != nil {
		h.committed()
	}
	return reply, err
}

func TestWhatWasClaimedButHadNotBegunAtShutdownIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		inner := w.store
		hooked := &hookedStore{Store: inner, Leaser: inner.(punctual.Leaser)}
		w.store = hooked
		w.s = w.engine()
		w.start()
		drained := make(chan error, 1)
		hooked.committed = func() {
			go func() { drained <- w.s.Shutdown(context.Background()) }()
			synctest.Wait()
		}
		w.add(hourly("t"))
		require.NoError(t, <-drained)
		assert.Empty(t, w.calls, "nothing starts once the shutdown was entered")
		run := w.ledger("t")[0]
		assert.Equal(t, punctual.StatePending, run.State)
		assert.Zero(t, run.Attempt, "the attempt is not spent")

		w.store = inner
		w.s = w.engine()
		w.start()
		assert.Len(t, w.starts("t"), 1)
		assert.Equal(t, 1, w.ledger("t")[0].Attempt)
		w.stop()
	})
}
