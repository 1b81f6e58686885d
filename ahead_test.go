package punctual_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/foresight"
)

// calls keeps what is asked of a store, with the time since the world began, and makes some of it fail.
type calls struct {
	begin time.Time

	mu    sync.Mutex // guards all below
	made  []string
	fail  map[string]error
	takes map[string]time.Duration
}

func (c *calls) note(call string) error {
	c.mu.Lock()
	c.made = append(c.made, fmt.Sprint(call, " ", time.Since(c.begin)))
	err, takes := c.fail[call], c.takes[call]
	c.mu.Unlock()
	time.Sleep(takes)
	return err
}

// slow makes calls take so long.
func (c *calls) slow(call string, takes time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.takes[call] = takes
}

// failing makes calls fail as if the server had gone, or work again.
func (c *calls) failing(call string, yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.fail, call)
	if yes {
		c.fail[call] = fmt.Errorf("%w: the server has gone", punctual.ErrUnavailable)
	}
}

// ahead lists the calls that have to do with claims made ahead.
func (c *calls) ahead() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []string
	for _, call := range c.made {
		if name, _, _ := strings.Cut(call, " "); name != "claim" && name != "beat" {
			found = append(found, call)
		}
	}
	return found
}

// recording is a store that makes claims ahead and keeps what it is asked for.
type recording struct {
	*foresight.Store
	calls

	without  []string // of the last request
	prepared int      // runs that prepared claims have started, and claimed those of others
	claimed  int
}

func (s *recording) Prepare(ctx context.Context, req punctual.PrepareRequest) (punctual.Prepared, error) {
	p, err := s.Store.Prepare(ctx, req)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.without = req.Without; p == nil {
		return nil, err
	}
	return &recorded{p, s}, err
}

func (s *recording) Claim(ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
	reply, err := s.Store.Claim(ctx, req)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claimed += len(reply.Started)
	return reply, err
}

type recorded struct {
	punctual.Prepared
	s *recording
}

func (r *recorded) Commit(ctx context.Context, now time.Time) (punctual.ClaimReply, error) {
	reply, err := r.Prepared.Commit(ctx, now)
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.s.prepared += len(reply.Started)
	return reply, err
}

// together is a world over such a store, with so many tasks that come due at each full hour. The time is a quarter of an hour before the first.
func together(t *testing.T, tasks int, work func(context.Context, punctual.Run) (punctual.Result, error), opts ...punctual.Option) (*world, *recording) {
	w := newWorld(t, work)
	s := &recording{Store: foresight.New(), calls: calls{begin: w.begin, fail: map[string]error{}, takes: map[string]time.Duration{}}}
	s.Each, s.Called = 50*time.Microsecond, s.note
	w.store = s
	w.s = w.engine(append([]punctual.Option{punctual.WithConcurrency(10_000)}, opts...)...)
	for i := range tasks {
		w.add(punctual.Task{ID: fmt.Sprintf("t%04d", i), Schedule: punctual.Every(time.Hour), OnRegister: punctual.WaitForSchedule})
	}
	w.start()
	w.wait(45 * time.Minute)
	return w, s
}

// each checks that all those tasks have started at the given hours, and how late.
func (w *world) each(tasks int, late time.Duration, hours ...int) {
	w.t.Helper()
	var want []time.Duration
	for _, hour := range hours {
		want = append(want, time.Duration(hour)*time.Hour+late)
	}
	starts := w.allStarts()
	for i := range tasks {
		require.Equal(w.t, want, starts[fmt.Sprintf("t%04d", i)])
	}
}

// The claim of what comes due together is made before its time, as early as it takes, and is committed at the instant.
func TestWhatComesDueTogetherIsClaimedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := together(t, 1000, nil)
		w.wait(3 * time.Hour)
		w.each(1000, 0, 1, 2, 3)
		assert.Equal(t, []string{
			"upcoming 59m59.5s", "prepare 59m59.865s", "commit 1h0m0s", // a thousand times 125 µs, and 10 ms
			"upcoming 1h59m59.5s", "prepare 1h59m59.89625s", "commit 2h0m0s", // it took less than thought
			"upcoming 2h59m59.5s", "prepare 2h59m59.911875s", "commit 3h0m0s",
		}, s.ahead())
		assert.Equal(t, 3000, s.prepared)
		assert.Zero(t, s.claimed)
		w.stop()
	})
}

// What does not fit into the time is left for the loop, and what was thought to take longer than it does is made up for.
func TestWhatCannotBePreparedInTimeIsClaimedAsEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := together(t, 4000, nil, punctual.WithLookahead(110*time.Millisecond))
		s.Each = 75 * time.Microsecond
		w.wait(time.Hour)
		w.each(4000, 0, 1)
		assert.Equal(t, []string{"upcoming 59m59.89s", "prepare 59m59.89s", "commit 1h0m0s"}, s.ahead())
		assert.Greater(t, s.prepared, 1100, "all the time was used")
		assert.Less(t, s.prepared, 1300)
		assert.Equal(t, 4000, s.prepared+s.claimed)
		w.stop()
	})
}

func TestWhatIsNotWorthWhileIsNotClaimedAhead(t *testing.T) {
	for name, c := range map[string]struct {
		tasks  int
		option punctual.Option
		want   []string
	}{
		"a few tasks":     {127, punctual.WithLookahead(punctual.DefaultLookahead), []string{"upcoming 59m59.5s"}},
		"a few slots":     {1000, punctual.WithConcurrency(145), []string{"upcoming 59m59.5s"}},
		"not asked for":   {1000, punctual.WithLookahead(0), nil},
		"not enough time": {1000, punctual.WithLookahead(20 * time.Millisecond), []string{"upcoming 59m59.98s"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s := together(t, c.tasks, nil, c.option)
				w.wait(time.Hour)
				w.each(c.tasks, 0, 1)
				assert.Equal(t, c.want, s.ahead())
				w.stop()
			})
		})
	}
}

// A claim that waits leaves slots for what comes before its instant, and starts at it though there is none left then.
func TestAPreparedClaimLeavesSlotsToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := together(t, 1000, busyFor(time.Minute), punctual.WithConcurrency(800))
		w.wait(15*time.Minute - 5*time.Millisecond)
		for i := range 101 {
			w.add(punctual.Task{ID: fmt.Sprintf("other%03d", i), Schedule: punctual.Every(24 * time.Hour)})
		}
		synctest.Wait()
		assert.Equal(t, []time.Duration{time.Hour - 5*time.Millisecond}, w.starts("other099"))
		assert.Empty(t, w.starts("other100"), "all slots are taken or held")
		w.wait(5 * time.Millisecond)
		assert.Len(t, w.allStarts(), 800)
		assert.Equal(t, 700, s.prepared)
		w.wait(5 * time.Minute)
		require.NoError(t, w.s.WaitIdle(t.Context()))
		w.stop()
	})
}

// Whoever waits for the engine to be idle does not wait for the instant of a claim that was prepared.
func TestWaitIdleDoesNotWaitForAPreparedClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := together(t, 1000, nil)
		w.wait(15*time.Minute - 5*time.Millisecond)
		require.Equal(t, []string{"upcoming 59m59.5s", "prepare 59m59.865s"}, s.ahead())
		require.NoError(t, w.s.WaitIdle(t.Context()))
		require.NoError(t, w.s.WaitSettled(t.Context(), 0))
		assert.Equal(t, time.Hour-5*time.Millisecond, time.Since(w.begin))
		w.stop()
	})
}

// Another task that comes due before the instant starts at its own time, and is no reason to give up what was prepared.
func TestWhatIsDueBeforeAPreparedClaimStartsOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := together(t, 1000, nil)
		w.wait(15*time.Minute - 10*time.Millisecond)
		require.Equal(t, []string{"upcoming 59m59.5s", "prepare 59m59.865s"}, s.ahead())
		w.add(punctual.Task{ID: "sooner", Schedule: punctual.Once(w.begin.Add(time.Hour - 5*time.Millisecond))})
		w.wait(time.Second)
		assert.Equal(t, []time.Duration{time.Hour - 5*time.Millisecond}, w.starts("sooner"))
		w.each(1000, 0, 1)
		assert.Equal(t, []string{"upcoming 59m59.5s", "prepare 59m59.865s", "commit 1h0m0s"}, s.ahead())
		w.stop()
	})
}

// Once Shutdown has been entered, what was prepared or is being prepared does not start, and it remains due.
func TestShutdownCancelsAPreparedClaim(t *testing.T) {
	for name, c := range map[string]struct {
		before   time.Duration // the instant
		canceled string
	}{
		"ready":          {5 * time.Millisecond, "cancel 59m59.995s"},
		"being prepared": {120 * time.Millisecond, "cancel 59m59.915s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s := together(t, 1000, nil)
				w.wait(15*time.Minute - c.before)
				require.Equal(t, []string{"upcoming 59m59.5s", "prepare 59m59.865s"}, s.ahead())
				w.stop()
				assert.Equal(t, []string{"upcoming 59m59.5s", "prepare 59m59.865s", c.canceled}, s.ahead())
				w.wait(time.Hour)
				w.each(1000, 0)
				assert.Equal(t, w.begin.Add(time.Hour), w.task("t0000").NextRunAt.Local())
			})
		})
	}
}

// Shutdown while a prepared claim is being committed starts nothing of it, and hands back what it can no longer prevent.
func TestShutdownDuringTheCommitOfAPreparedClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := together(t, 1000, nil)
		s.slow("commit", 100*time.Millisecond)
		w.wait(15*time.Minute + 50*time.Millisecond)
		w.stop()
		w.each(1000, 0)
		assert.Equal(t, 1000, s.prepared)
		assert.Equal(t, []string{"schedule +1h0m0s pending"}, w.facts("t0000"))
	})
}

// A claim that took longer to prepare than there was time is committed as soon as it is ready.
func TestAClaimThatIsPreparedTooLateIsCommittedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := together(t, 1000, nil)
		s.Each = 200 * time.Microsecond
		w.wait(time.Hour)
		w.each(1000, 65*time.Millisecond, 1)
		w.stop()
	})
}

// However a prepared claim fails, its tasks are claimed as ever, once.
func TestWhatWasPreparedInVainIsClaimedAsEver(t *testing.T) {
	for name, c := range map[string]struct {
		fail string
		late time.Duration
		want []string
	}{
		"it cannot be counted":   {"upcoming", 0, []string{"upcoming 59m59.5s"}},
		"it cannot be prepared":  {"prepare", 0, []string{"upcoming 59m59.5s", "prepare 59m59.865s"}},
		"it cannot be committed": {"commit", 100 * time.Millisecond, []string{"upcoming 59m59.5s", "prepare 59m59.865s", "commit 1h0m0s"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s := together(t, 1000, nil)
				s.failing(c.fail, true)
				w.wait(15*time.Minute + 5*time.Second)
				w.each(1000, c.late, 1)
				assert.Equal(t, c.want, s.ahead())
				require.NoError(t, w.s.WaitIdle(t.Context()))
				w.stop()
			})
		})
	}
}

// An instance whose lease has lapsed before the instant gives up what it prepared.
func TestAPreparedClaimEndsWithTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The beats come a third of a lease apart, and after the last of them, a few seconds before the hour, this one is trusted until 40 ms before it.
		w, s := together(t, 1000, nil, punctual.WithLease(3000300*time.Microsecond))
		w.wait(15*time.Minute - 2*time.Second)
		s.failing("beat", true)
		w.wait(2*time.Second - 60*time.Millisecond)
		require.Equal(t, []string{"upcoming 59m59.5s", "prepare 59m59.865s"}, s.ahead())
		w.wait(time.Second)
		assert.Equal(t, []string{"upcoming 59m59.5s", "prepare 59m59.865s", "cancel 1h0m0s"}, s.ahead())
		w.each(1000, 0)
		s.failing("beat", false)
		w.wait(10 * time.Second)
		for i, starts := 0, w.allStarts(); i < 1000; i++ {
			assert.Len(t, starts[fmt.Sprintf("t%04d", i)], 1)
		}
		w.stop()
	})
}

// An instance without a lease prepares nothing.
func TestWithoutALeaseNothingIsClaimedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := together(t, 1000, nil)
		s.failing("beat", true)
		w.wait(15 * time.Minute)
		assert.Equal(t, []string{"upcoming 59m59.5s"}, s.ahead())
		w.stop()
	})
}

// Kinds that have a limit of their own are not prepared: what they may start is known when they are due.
func TestLimitedKindsAreNotClaimedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := together(t, 1000, nil, punctual.WithKindConcurrency("slow", 10))
		w.wait(time.Hour)
		assert.Equal(t, []string{"slow"}, s.without)
		w.each(1000, 0, 1)
		w.stop()
	})
}
