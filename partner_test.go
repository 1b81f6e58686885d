package punctual_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

// overlapping is a store whose claims take their time, so that two may be under way. What they take is taken when they begin.
type overlapping struct {
	*memory.Store
	alone bool          // it says that nothing is gained by two claims
	takes time.Duration // what a claim that starts something takes

	mu    sync.Mutex // guards all below
	limit []int      // of the claims that are under way
	most  int        // how many there were at a time
	wants int        // how many slots were asked for or in use, at most
	began int        // claims
	fail  int        // the number of the one that fails, from 1
	cut   bool       // beats fail
	busy  func() int // attempts in host code
}

// seen tells how many claims are under way, how many there were at a time at most, and how many began.
func (s *overlapping) seen() (now, most, began int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.limit), s.most, s.began
}

// asked is how many starts the claims under way ask for, and wanted how many slots were asked for or in use at most.
func (s *overlapping) asked() (now, wanted int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, limit := range s.limit {
		now += limit
	}
	return now, s.wants
}

func (s *overlapping) ClaimsOverlap() bool { return !s.alone }

func (s *overlapping) Claim(ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
	s.mu.Lock()
	s.began++
	fails := s.began == s.fail
	s.limit = append(s.limit, req.Limit)
	s.most = max(s.most, len(s.limit))
	wants := s.busy()
	for _, limit := range s.limit {
		wants += limit
	}
	s.wants = max(s.wants, wants)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		for i, limit := range s.limit {
			if limit == req.Limit {
				s.limit = append(s.limit[:i], s.limit[i+1:]...)
				break
			}
		}
		s.mu.Unlock()
	}()
	if fails {
		time.Sleep(s.takes)
		return punctual.ClaimReply{}, fmt.Errorf("%w: the server has gone", punctual.ErrUnavailable)
	}
	reply, err := s.Store.Claim(ctx, req)
	if len(reply.Started) > 0 {
		time.Sleep(s.takes)
	}
	return reply, err
}

func (s *overlapping) Beat(ctx context.Context, req punctual.BeatRequest) (punctual.BeatReply, error) {
	s.mu.Lock()
	cut := s.cut
	s.mu.Unlock()
	if cut {
		return punctual.BeatReply{}, fmt.Errorf("%w: the server has gone", punctual.ErrUnavailable)
	}
	return s.Store.Beat(ctx, req)
}

func (s *overlapping) cutOff(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = yes
}

const claimTakes = 10 * time.Millisecond

// backlog is a world over such a store, with so many tasks that have been due for an hour when it starts, once.
func backlog(t *testing.T, tasks int, work func(context.Context, punctual.Run) (punctual.Result, error), opts ...punctual.Option) (*world, *overlapping) {
	w := newWorld(t, work)
	s := &overlapping{Store: memory.New(), takes: claimTakes}
	w.store = s
	w.s = w.engine(append([]punctual.Option{punctual.WithConcurrency(2000)}, opts...)...)
	s.busy = func() int { return w.s.Health().Running }
	for i := range tasks {
		w.add(punctual.Task{ID: fmt.Sprintf("t%04d", i), Kind: "k", Schedule: punctual.Once(w.begin.Add(time.Hour))})
	}
	time.Sleep(2 * time.Hour)
	return w, s
}

// once checks that all those tasks have run once, as they should, and that nothing is left to do.
func (w *world) once(tasks int) {
	w.t.Helper()
	require.NoError(w.t, w.s.WaitIdle(w.t.Context()))
	starts := w.allStarts()
	for i := range tasks {
		id := fmt.Sprintf("t%04d", i)
		require.Len(w.t, starts[id], 1, id)
	}
	require.Len(w.t, starts, tasks)
	assert.Equal(w.t, []string{"catch-up +1h0m0s succeeded"}, w.facts(fmt.Sprintf("t%04d", tasks-1)))
	assert.True(w.t, w.s.Health().OK)
}

func TestABacklogIsClaimedByTwoAtATime(t *testing.T) {
	for name, c := range map[string]struct {
		tasks  int
		alone  bool
		opts   []punctual.Option
		most   int
		within time.Duration
	}{
		"much":                                  {4000, false, nil, 2, 6 * claimTakes}, // 256, then 500 and 488, 500 and 500, ...
		"of which the partner takes the rest":   {656, false, nil, 2, 2 * claimTakes},
		"over a store that gains nothing by it": {4000, true, nil, 1, 9 * claimTakes},
		"where a kind has a limit":              {4000, false, []punctual.Option{punctual.WithKindConcurrency("other", 10)}, 1, 9 * claimTakes},
		"that one claim gets":                   {200, false, nil, 1, claimTakes},
		"for few slots":                         {250, false, []punctual.Option{punctual.WithConcurrency(127)}, 1, 20 * claimTakes},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s := backlog(t, c.tasks, nil, c.opts...)
				s.alone = c.alone
				w.s = w.engine(append([]punctual.Option{punctual.WithConcurrency(2000)}, c.opts...)...)
				w.start()
				w.wait(c.within)
				assert.Len(t, w.allStarts(), c.tasks)
				assert.Zero(t, w.s.Health().InFlight, "results are stored at once when the burst is over")
				_, most, _ := s.seen()
				assert.Equal(t, c.most, most)
				w.once(c.tasks)
				w.stop()
			})
		})
	}
}

// Two claims never ask for a slot that is there once, so that none takes what it cannot start.
func TestTwoClaimsShareTheSlots(t *testing.T) {
	for concurrency, want := range map[int]int{300: 1, 900: 2} {
		synctest.Test(t, func(t *testing.T) {
			w, s := backlog(t, 4000, busyFor(time.Minute), punctual.WithConcurrency(concurrency))
			w.start()
			w.wait(time.Second)
			assert.Len(t, w.allStarts(), concurrency)
			_, most, _ := s.seen()
			assert.Equal(t, want, most, "a few slots that are left are not worth a claim of the partner's")
			w.wait(time.Hour)
			_, wanted := s.asked()
			assert.Equal(t, concurrency, wanted)
			w.once(4000)
			w.stop()
		})
	}
}

// Once Shutdown has been entered nothing of either claim starts, and it remains due.
func TestShutdownDuringTwoClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := backlog(t, 4000, nil)
		w.start()
		w.wait(claimTakes + claimTakes/2)
		now, _, began := s.seen()
		require.Equal(t, 2, now)
		asked, _ := s.asked()
		starts := len(w.allStarts())
		w.stop()
		assert.Len(t, w.allStarts(), starts)
		now, _, after := s.seen()
		assert.Zero(t, now)
		assert.Equal(t, began, after, "nobody claims any more")
		pending, err := s.Runs(t.Context(), punctual.RunQuery{States: []punctual.State{punctual.StatePending}, Limit: punctual.MaxLimit})
		require.NoError(t, err)
		assert.Len(t, pending, asked, "what was claimed is handed back")
		w.s = w.engine(punctual.WithConcurrency(2000))
		w.start()
		w.wait(time.Second)
		w.once(4000)
		w.stop()
	})
}

// Whatever becomes of the claims of the partner, the loop makes the others.
func TestAFailedClaimOfThePartnerIsMadeByTheLoop(t *testing.T) {
	for fail := range 5 {
		synctest.Test(t, func(t *testing.T) {
			w, s := backlog(t, 2000, nil)
			s.fail = fail + 1
			w.start()
			w.wait(time.Second)
			w.once(2000)
			w.stop()
		})
	}
}

// Runs of either claim do not start under a lease that has lapsed meanwhile.
func TestTheLeaseLapsesDuringTwoClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := backlog(t, 4000, nil, punctual.WithLease(time.Second))
		s.takes = 450 * time.Millisecond
		w.start()
		s.cutOff(true)
		w.wait(500 * time.Millisecond)
		now, _, _ := s.seen()
		require.Equal(t, 2, now)
		w.wait(time.Minute)
		assert.Len(t, w.allStarts(), 256, "what the first claim has taken")
		_, _, began := s.seen()
		assert.Equal(t, 3, began, "nobody claims without a lease")
		s.cutOff(false)
		w.wait(time.Minute)
		for id, starts := range w.allStarts() {
			assert.Len(t, starts, 1, id)
		}
		assert.Len(t, w.allStarts(), 4000)
		w.stop()
	})
}
