package punctualtest_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/punctualtest"
	"github.com/punctual-go/punctual/store/memory"
)

func TestAdvanceFiresEverythingAtItsExactInstant(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c punctualtest.Config) {
		rec := &punctualtest.Recorder{}
		h := c.New(t, rec)
		began := h.Now()
		add(t, h, every("seven", 7*time.Minute), every("eleven", 11*time.Minute))
		h.Advance(80 * time.Minute)
		assert.Equal(t, 80*time.Minute, h.Elapsed())
		assert.Len(t, rec.Attempts("seven"), 1+80/7)
		assert.Len(t, rec.Attempts("eleven"), 1+80/11)
		for i, a := range rec.Attempts("seven") {
			assert.True(t, a.Run.StartedAt.Equal(began.Add(time.Duration(i)*7*time.Minute)), "%+v", a.Run)
			assert.True(t, a.Ended)
		}
		h.AssertCount("seven", punctual.StateSucceeded, 12)
		h.AssertCount("", punctual.StateSucceeded, 12+8)
		h.AssertNext("seven", began.Add(84*time.Minute))
		for _, run := range h.Ledger("eleven") {
			assert.Equal(t, run.ScheduledAt, run.StartedAt)
			assert.Equal(t, run.ScheduledAt, run.FinishedAt)
		}
	})
}

func TestAttemptsTakeTimeOnTheClockOfTheHarness(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c punctualtest.Config) {
		script := new(punctualtest.Script).On("export", punctualtest.Take(25*time.Minute, punctualtest.Succeed("done")))
		h := c.New(t, script)
		add(t, h, every("export", 10*time.Minute))
		h.Advance(10 * time.Minute)
		h.AssertLedger("export", "register +0s running", "schedule +10m skipped (overlap)")
		h.Advance(30 * time.Minute)
		h.AssertLedger("export",
			"register +0s succeeded",
			"schedule +10m..+20m skipped x2 (overlap)",
			"schedule +30m running",
			"schedule +40m skipped (overlap)")
		run := h.Ledger("export")[0]
		assert.Equal(t, 25*time.Minute, run.FinishedAt.Sub(run.StartedAt))
		assert.Equal(t, "done", run.Result.Output)
	})
}

func TestTimeoutsEndAttemptsThatSleep(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c punctualtest.Config) {
		h := c.New(t, new(punctualtest.Script).On("slow", punctualtest.Take(time.Hour, nil), punctualtest.Succeed("")))
		task := every("slow", 24*time.Hour)
		task.Timeout = 10 * time.Minute
		task.Retry = punctual.Retry{MaxAttempts: 2, Initial: 5 * time.Minute}
		add(t, h, task)
		h.Advance(10 * time.Minute)
		h.AssertLedger("slow", "register +0s pending")
		h.Advance(5 * time.Minute)
		h.AssertLedger("slow", "register +0s succeeded after 2 attempts")
	})
}

func TestRetriesComeWhenTheyAreDue(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c punctualtest.Config) {
		boom := errors.New("boom")
		rec := &punctualtest.Recorder{Executor: new(punctualtest.Script).On("shaky",
			punctualtest.Fail(boom), punctualtest.Fail(punctual.RetryAfter(boom, 7*time.Minute)), punctualtest.Panic("ouch"), nil)}
		h := c.New(t, rec)
		began := h.Now()
		task := every("shaky", 24*time.Hour)
		task.Retry = punctual.Retry{MaxAttempts: 4, Initial: time.Minute}
		add(t, h, task)
		h.Advance(time.Hour)
		h.AssertLedger("shaky", "register +0s succeeded after 4 attempts")
		var at []time.Duration
		for _, a := range rec.Attempts("shaky") {
			at = append(at, a.Run.StartedAt.Sub(began))
		}
		assert.Equal(t, []time.Duration{0, time.Minute, 8 * time.Minute, 12 * time.Minute}, at)
		assert.ErrorIs(t, rec.Attempts("")[0].Err, boom)
		assert.False(t, rec.Attempts("")[2].Ended, "it panicked")
	})
}

func TestCancelAndGatesLetAttemptsGoOn(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c punctualtest.Config) {
		gate := punctualtest.NewGate()
		h := c.New(t, new(punctualtest.Script).
			On("held", punctualtest.Hold(gate, punctualtest.Succeed("through"))).
			On("sleeping", punctualtest.Take(time.Hour, nil)))
		add(t, h, every("held", 24*time.Hour), every("sleeping", 24*time.Hour))
		h.Advance(time.Minute)
		h.AssertCount("", punctual.StateRunning, 2)
		run := h.Ledger("sleeping")[0].ID
		require.NoError(t, h.Cancel(t.Context(), run))
		h.Settle()
		h.AssertRun(run, punctual.StateCanceled, punctual.ReasonCanceled)
		gate.Open()
		h.Settle()
		h.AssertLedger("held", "register +0s succeeded")
		again, err := h.RunNow(t.Context(), "held")
		require.NoError(t, err)
		h.Settle()
		h.AssertRun(again.ID, punctual.StateSucceeded)
		h.AssertLedger("held", "register +0s succeeded", "manual +1m succeeded")
	})
}

func TestAHeldAttemptCanBeCancelled(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c punctualtest.Config) {
		h := c.New(t, new(punctualtest.Script).On("held", punctualtest.Hold(punctualtest.NewGate(), nil)))
		add(t, h, every("held", time.Hour))
		require.NoError(t, h.Cancel(t.Context(), h.Ledger("held")[0].ID))
		h.Settle()
		h.AssertLedger("held", "register +0s canceled (canceled)")
	})
}

func TestARunThatEndsWhenTheNextIsDueHasEndedBeforeIt(t *testing.T) {
	for range 20 {
		h := punctualtest.New(t, new(punctualtest.Script).On("t", punctualtest.Take(time.Hour, nil)))
		add(t, h, every("t", time.Hour))
		h.Advance(3 * time.Hour)
		h.AssertLedger("t", "register +0s succeeded", "schedule +1h succeeded", "schedule +2h succeeded", "schedule +3h running")
	}
}

func TestSlotsAreHandedOnAtTheInstantTheyBecomeFree(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c punctualtest.Config) {
		rec := &punctualtest.Recorder{Executor: punctual.ExecutorFunc(func(ctx context.Context, _ punctual.Run) (punctual.Result, error) {
			return punctual.Result{}, punctualtest.Sleep(ctx, 10*time.Minute)
		})}
		h := c.New(t, rec, punctual.WithConcurrency(1))
		add(t, h, every("a", 24*time.Hour), every("b", 24*time.Hour), every("c", 24*time.Hour))
		h.Advance(time.Hour)
		for _, run := range h.Ledger("") {
			h.AssertRun(run.ID, punctual.StateSucceeded)
		}
		attempts := rec.Attempts("")
		for i := 1; i < len(attempts); i++ {
			assert.Equal(t, 10*time.Minute, attempts[i].Run.StartedAt.Sub(attempts[i-1].Run.StartedAt))
		}
	})
}

func TestAStoreOutlivesItsHarness(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c punctualtest.Config) {
		if c.Mock != nil {
			t.Skip("a mock is moved by one Harness at a time")
		}
		c.Store = memory.New()
		first := c.New(t, &punctualtest.Recorder{})
		add(t, first, every("t", time.Hour))
		require.NoError(t, first.Shutdown(t.Context()))
		c.Start = first.Now().Add(150 * time.Minute)
		second := c.New(t, &punctualtest.Recorder{})
		second.AssertLedger("t",
			"register -2h30m succeeded", "catch-up -30m succeeded", "schedule -90m missed (misfire)")
	})
}

func TestUnstartedHarnessesDoNothingBeforeStart(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c punctualtest.Config) {
		c.Unstarted = true
		h := c.New(t, &punctualtest.Recorder{})
		add(t, h, every("t", time.Hour))
		h.Advance(30 * time.Minute)
		h.AssertLedger("t", "register +0s pending")
		require.NoError(t, h.Start(t.Context()))
		h.Settle()
		h.AssertLedger("t", "register +0s succeeded")
	})
}

func TestAMockShowsTheTimeOfTheHarness(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c punctualtest.Config) {
		if c.Mock == nil {
			t.Skip("no mock")
		}
		var shown []time.Time
		h := c.New(t, punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
			shown = append(shown, c.Mock.Now())
			return punctual.Result{}, nil
		}))
		began := h.Now()
		add(t, h, every("t", 10*time.Minute))
		h.Advance(15 * time.Minute)
		assert.Equal(t, []time.Time{began, began.Add(10 * time.Minute)}, shown)
		assert.Equal(t, began.Add(15*time.Minute), c.Mock.Now())
	})
}

func TestStartSetsTheTime(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c punctualtest.Config) {
		c.Start = time.Date(2032, time.February, 29, 11, 45, 0, 0, time.UTC)
		h := c.New(t, &punctualtest.Recorder{})
		assert.True(t, h.Now().Equal(c.Start), "%v", h.Now())
		add(t, h, punctual.Task{ID: "noon", Schedule: punctual.Daily("12:00", time.UTC)})
		h.AdvanceTo(c.Start.Add(30 * time.Minute))
		h.AssertLedger("noon", "schedule +15m succeeded")
	})
}

func TestShutdownWaitsWhileTimeIsAdvanced(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c punctualtest.Config) {
		h := c.New(t, new(punctualtest.Script).On("t", punctualtest.Take(time.Hour, nil)))
		add(t, h, every("t", 10*time.Minute))
		done := make(chan error, 1)
		go func() { done <- h.Shutdown(context.Background()) }()
		for h.Health().Phase != "draining" {
			runtime.Gosched()
		}
		h.Advance(2 * time.Hour)
		require.NoError(t, <-done)
		h.AssertLedger("t", "register +0s succeeded")
	})
}

func TestAStoreThatFailsForAWhileIsWaitedForByTheClock(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c punctualtest.Config) {
		store := &shaky{Store: memory.New()}
		c.Store = store
		h := c.New(t, &punctualtest.Recorder{})
		add(t, h, every("t", 10*time.Minute))
		store.down.Store(true)
		h.Advance(11 * time.Minute)
		assert.False(t, h.Health().OK)
		store.down.Store(false)
		h.Advance(time.Minute)
		h.AssertLedger("t", "register +0s succeeded", "catch-up +10m succeeded")
	})
}

// shaky is a store whose claims fail while it is down.
type shaky struct {
	punctual.Store
	down atomic.Bool
}

func (s *shaky) Claim(ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
	if s.down.Load() {
		return punctual.ClaimReply{}, punctual.ErrUnavailable
	}
	return s.Store.Claim(ctx, req)
}

func TestTheClockOfTheHarnessIsAClock(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c punctualtest.Config) {
		h := c.New(t, &punctualtest.Recorder{})
		clk, began := h.Clock(), h.Now()
		timer, stopped := clk.Timer(time.Minute), clk.Timer(time.Minute)
		assert.True(t, stopped.Stop())
		ticker := clk.Ticker(time.Minute)
		defer ticker.Stop()
		called := make(chan time.Duration, 2)
		clk.AfterFunc(3*time.Minute, func() { called <- clk.Since(began) })
		never := clk.AfterFunc(3*time.Minute, func() { called <- 0 })
		assert.True(t, never.Stop())
		ctx, cancel := clk.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		h.Advance(time.Minute)
		assert.True(t, (<-timer.C).Equal(began.Add(time.Minute)))
		assert.True(t, (<-ticker.C).Equal(began.Add(time.Minute)))
		assert.Empty(t, stopped.C)
		assert.False(t, timer.Stop(), "it has fired")
		assert.Equal(t, time.Minute, clk.Until(began.Add(2*time.Minute)))
		require.NoError(t, ctx.Err())
		h.Advance(time.Minute)
		assert.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
		h.Advance(time.Hour)
		assert.Equal(t, 3*time.Minute, <-called)
		assert.Empty(t, called)
	})
}

func TestTimersThatAreDueAtOnceFireAtOnce(t *testing.T) {
	clk := punctualtest.New(t, &punctualtest.Recorder{}).Clock()
	<-clk.After(0)
	called := make(chan struct{})
	clk.AfterFunc(-1, func() { close(called) })
	<-called
	assert.Panics(t, func() { clk.Ticker(0) })
	ctx, cancel := clk.WithDeadline(t.Context(), clk.Now())
	defer cancel()
	<-ctx.Done()
	deadline, ok := ctx.Deadline()
	assert.True(t, ok)
	assert.True(t, deadline.Equal(clk.Now()))
	ctx, cancel = clk.WithTimeout(t.Context(), time.Hour)
	cancel()
	assert.ErrorIs(t, ctx.Err(), context.Canceled)
}

// A day of a task that runs each minute.
func TestADayOfMinutes(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of runs")
	}
	inEachStyle(t, func(t *testing.T, c punctualtest.Config) {
		if c.Mock != nil {
			t.Skip("a mock is slow outside of a bubble, and the same inside")
		}
		h := c.New(t, new(punctualtest.Script))
		add(t, h, every("t", time.Minute))
		h.Advance(24 * time.Hour)
		h.AssertCount("t", punctual.StateSucceeded, 1+24*60)
	})
}

// A simulated year of a one-minute task: 525,600 runs and the immediate one. It takes some seconds, so it is asked for by name:
// PUNCTUAL_YEAR=1 go test -run Year -v ./punctualtest
func TestAYearOfMinutes(t *testing.T) {
	if os.Getenv("PUNCTUAL_YEAR") == "" {
		t.Skip("set PUNCTUAL_YEAR=1 to simulate a year")
	}
	const runs = 1 + 365*24*60
	year := func(t *testing.T, c punctualtest.Config) {
		c.Store = memory.New() // which keeps the last thousand
		var count int
		h := c.New(t, punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
			count++
			return punctual.Result{}, nil
		}))
		add(t, h, every("t", time.Minute))
		h.Advance(365 * 24 * time.Hour)
		assert.Equal(t, runs, count)
		h.AssertNext("t", h.Now().Add(time.Minute))
	}
	took := func(style string, f func()) {
		began := time.Now()
		f()
		real := time.Since(began)
		t.Logf("%s: %d runs in %v", style, runs, real.Round(10*time.Millisecond))
		assert.Less(t, real, 10*time.Second, style)
	}
	took("own clock", func() { year(t, punctualtest.Config{}) })
	took("bubble", func() {
		synctest.Test(t, func(t *testing.T) { year(t, punctualtest.Config{}) })
	})
	took("mock in a bubble", func() {
		synctest.Test(t, func(t *testing.T) { year(t, punctualtest.Config{Mock: clock.NewMock()}) })
	})
}
