package punctual_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// hangingStore answers all calls but those of some methods.
type hangingStore struct {
	flakyLeaser
	beat, session, finish, keep atomic.Bool
	reclaims                    atomic.Int32 // that hang
}

func hangs(ctx context.Context, on *atomic.Bool) error {
	if !on.Load() {
		return nil
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

func (h *hangingStore) Finish(ctx context.Context, r punctual.FinishRequest) (punctual.FinishReply, error) {
	if err := hangs(ctx, &h.finish); err != nil {
		return punctual.FinishReply{}, err
	}
	return h.flakyLeaser.Finish(ctx, r)
}

func (h *hangingStore) Beat(ctx context.Context, r punctual.BeatRequest) (punctual.BeatReply, error) {
	if err := hangs(ctx, &h.beat); err != nil {
		return punctual.BeatReply{}, err
	}
	return h.flakyLeaser.Beat(ctx, r)
}

func (h *hangingStore) EndSession(ctx context.Context, session string) error {
	if err := hangs(ctx, &h.session); err != nil {
		return err
	}
	return h.flakyLeaser.EndSession(ctx, session)
}

func (h *hangingStore) Reclaim(ctx context.Context, r punctual.ReclaimRequest) (punctual.ReclaimReply, error) {
	h.reclaims.Add(1)
	defer h.reclaims.Add(-1)
	if err := hangs(ctx, &h.keep); err != nil {
		return punctual.ReclaimReply{}, err
	}
	return h.flakyLeaser.Reclaim(ctx, r)
}

func (h *hangingStore) Overdue(ctx context.Context, r punctual.OverdueRequest) ([]punctual.Overdue, error) {
	if err := hangs(ctx, &h.keep); err != nil {
		return nil, err
	}
	return h.flakyLeaser.Overdue(ctx, r)
}

// hanging puts a hangingStore under the world.
func (w *world) hanging(opts ...punctual.Option) *hangingStore {
	h := &hangingStore{flakyLeaser: flakyLeaser{&flakyStore{Store: w.store}, w.store.(punctual.Leaser)}}
	w.store = h
	w.s = w.engine(opts...)
	return h
}

// The end had a time limit for each of the calls that it makes, and made them one after the other.
func TestLastTriesTakeTheTimeOfOneCall(t *testing.T) {
	const limit = 5 * time.Second
	t.Run("many results", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, busyFor(time.Second))
			hanging := w.hanging(punctual.WithStoreTimeout(limit), punctual.WithConcurrency(2000))
			w.start()
			for i := range 1600 {
				w.add(hourly(fmt.Sprint(i)))
			}
			hanging.finish.Store(true)
			hanging.session.Store(true)
			w.wait(2 * time.Second)
			hanging.mode.Store(storeHangs)
			go func() { _ = w.s.Pause(context.Background(), "0") }() // which ends before the last tries do, and does not lengthen them
			w.wait(time.Second)
			began := time.Now()
			require.NoError(t, w.s.Close(), "no host code was running")
			assert.Equal(t, limit, time.Since(began))
			assert.Equal(t, 1600, strings.Count(w.logs.String(), "result lost"))
			assert.Contains(t, w.logs.String(), "session not closed")
		})
	})
	t.Run("a beat is under way", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, busyFor(6*time.Second))
			hanging := w.hanging(punctual.WithStoreTimeout(limit))
			w.start()
			w.add(hourly("t"))
			w.wait(time.Second)
			hanging.beat.Store(true)
			hanging.session.Store(true)
			w.stop()
			assert.Equal(t, 6*time.Second+limit, time.Since(w.begin))
			assert.NotContains(t, w.logs.String(), "store fails")
		})
	})
	t.Run("housekeeping is under way", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			hanging := w.hanging()
			var err error
			w.s, err = punctual.New(hanging, new(punctual.Mux), punctual.WithStoreTimeout(limit), punctual.WithLease(time.Hour))
			require.NoError(t, err)
			w.start()
			hanging.keep.Store(true)
			w.wait(time.Minute) // kinds that nobody handles are to be looked for as well
			for hanging.reclaims.Load() == 0 {
				w.wait(time.Second)
			}
			began := time.Now()
			w.stop()
			assert.LessOrEqual(t, time.Since(began), limit)
		})
	})
	t.Run("the store takes results slowly", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, busyFor(time.Second))
			slow := &slowFinish{Store: w.store, Leaser: w.store.(punctual.Leaser), takes: 3 * time.Second}
			w.store = slow
			w.s = w.engine(punctual.WithStoreTimeout(limit), punctual.WithConcurrency(2000))
			w.start()
			for i := range 1600 {
				w.add(hourly(fmt.Sprint(i)))
			}
			w.wait(2 * time.Second)
			require.NoError(t, w.s.Close())
			assert.NotContains(t, w.logs.String(), "result lost", "it takes them one batch after the other")
		})
	})
	t.Run("a run returns long after the deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(context.Context, punctual.Run) (punctual.Result, error) {
				time.Sleep(time.Minute)
				return punctual.Result{}, nil
			}).start()
			w.add(hourly("t"))
			w.wait(time.Second)
			require.ErrorIs(t, w.s.Close(), punctual.ErrShutdown)
			w.stop()
			assert.Equal(t, []string{"register +0s succeeded"}, w.facts("t"))
			assert.NotContains(t, w.logs.String(), "session not closed")
		})
	})
}

// slowFinish takes its time for results, and obeys the end of the call.
type slowFinish struct {
	punctual.Store
	punctual.Leaser
	takes time.Duration
}

func (s *slowFinish) Finish(ctx context.Context, r punctual.FinishRequest) (punctual.FinishReply, error) {
	select {
	case <-time.After(s.takes):
		return s.Store.Finish(ctx, r)
	case <-ctx.Done():
		return punctual.FinishReply{}, context.Cause(ctx)
	}
}

// unwilling has results handed in again.
type unwilling struct {
	punctual.Store
	punctual.Leaser
	asked atomic.Int32
}

func (u *unwilling) Finish(_ context.Context, r punctual.FinishRequest) (punctual.FinishReply, error) {
	u.asked.Add(1)
	verdicts := make([]punctual.Verdict, len(r.Items))
	for i := range verdicts {
		verdicts[i] = punctual.VerdictRetryable
	}
	return punctual.FinishReply{Verdicts: verdicts, Now: time.Now()}, nil
}

func TestLastTriesOfResultsThatAreToBeHandedInAgainArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		u := &unwilling{Store: w.store, Leaser: w.store.(punctual.Leaser)}
		w.store = u
		w.s = w.engine(punctual.WithStoreTimeout(5 * time.Second))
		w.start()
		w.add(hourly("t"))
		w.wait(time.Second)
		u.asked.Store(0)
		began := time.Now()
		require.NoError(t, w.s.Close())
		assert.Equal(t, 5*time.Second, time.Since(began))
		assert.InDelta(t, 50, u.asked.Load(), 2)
		assert.Contains(t, w.logs.String(), "result lost")
	})
}
