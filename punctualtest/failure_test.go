package punctualtest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/punctualtest"
)

// A harness is worth what its failures say.

func TestLedgersThatDifferArePrintedSideBySide(t *testing.T) {
	failures := spyOn(func(t testing.TB) {
		h := punctualtest.New(t, new(punctualtest.Script).On("t", nil, punctualtest.Fail(errors.New("boom")), nil))
		add(t, h, every("t", time.Hour))
		h.Advance(3 * time.Hour)
		assert.True(t, h.AssertLedger("t",
			"register +0s succeeded", "schedule  +60m failed", "schedule +2h0m0s succeeded", "schedule +180m succeeded"))
		h.AssertLedger("t", "register +0s succeeded", "schedule +1h succeeded", "schedule +90m succeeded", "schedule +3h succeeded")
		h.AssertLedger("nobody", "register +0s succeeded")
	})
	require.Len(t, failures, 2)
	assert.Equal(t, `the ledger of task "t" is not as wanted (- wanted, + is):
  register +0s succeeded
- schedule +1h succeeded
- schedule +1h30m succeeded
+ schedule +1h failed
+ schedule +2h succeeded
  schedule +3h succeeded`, failures[0])
	assert.Contains(t, failures[1], "- register +0s succeeded")
}

func TestLongLedgersAreCut(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of runs")
	}
	failures := spyOn(func(t testing.TB) {
		h := punctualtest.New(t, new(punctualtest.Script))
		add(t, h, every("t", time.Minute))
		h.Advance(24 * time.Hour)
		h.AssertLedger("t", h.Facts("t")[:1400]...)
		h.AssertCount("t", punctual.StateFailed, 1)
	})
	require.Len(t, failures, 2)
	assert.Contains(t, failures[0], "... 1390 earlier\n  schedule +23h10m succeeded")
	assert.Contains(t, failures[0], "+ ... 21 more")
	assert.Contains(t, failures[1], `task "t" has 0 failed, not 1`)
	assert.Contains(t, failures[1], "... 1401 earlier")
	assert.Less(t, strings.Count(failures[0]+failures[1], "\n"), 100)
}

func TestAssertionsNameWhatIsThere(t *testing.T) {
	failures := spyOn(func(t testing.TB) {
		h := punctualtest.New(t, new(punctualtest.Script))
		add(t, h, every("t", time.Hour))
		run := h.Ledger("t")[0].ID
		assert.True(t, h.AssertRun(run, punctual.StateSucceeded))
		assert.False(t, h.AssertRun(run, punctual.StateSkipped, punctual.ReasonOverlap, punctual.ReasonPaused))
		assert.False(t, h.AssertRun("no such run", punctual.StateSkipped))
		assert.True(t, h.AssertNext("t", h.Now().Add(time.Hour)))
		assert.False(t, h.AssertNext("t", time.Time{}))
		assert.False(t, h.AssertNext("no such task", time.Time{}))
		assert.False(t, h.AssertCount("no such task", punctual.StateFailed, 1))
	})
	require.Len(t, failures, 5)
	assert.Contains(t, failures[0], "is not skipped (overlap or paused) but: register +0s succeeded")
	assert.Contains(t, failures[1], "run not found")
	assert.Contains(t, failures[2], `task "t" is next due at +1h (2000-01-01T01:00:00Z), not never; it is +0s`)
	assert.Contains(t, failures[3], "task not found")
	assert.Contains(t, failures[4], "(empty)")
}

func TestTimeDoesNotGoBack(t *testing.T) {
	failures := spyOn(func(t testing.TB) { punctualtest.New(t, new(punctualtest.Script)).Advance(-time.Second) })
	require.Len(t, failures, 1)
	assert.Contains(t, failures[0], "time does not go back")
	failures = spyOn(func(t testing.TB) {
		h := punctualtest.New(t, new(punctualtest.Script))
		h.AdvanceTo(h.Now().Add(-1))
	})
	require.Len(t, failures, 1)
}

func TestBadArgumentsFailTheTest(t *testing.T) {
	assert.Len(t, spyOn(func(t testing.TB) { punctualtest.New(t, nil) }), 1)
	assert.Len(t, spyOn(func(t testing.TB) { punctualtest.New(t, new(punctualtest.Script), punctual.WithConcurrency(0)) }), 1)
}

// An attempt that waits for something that the Harness cannot know of would block it for ever.
func TestAttemptsThatWaitForSomethingUnknownAreNamed(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	failures := spyOn(func(t testing.TB) {
		h := punctualtest.Config{Patience: 100 * time.Millisecond, Unstarted: true}.New(t, punctual.ExecutorFunc(
			func(ctx context.Context, _ punctual.Run) (punctual.Result, error) {
				close(began)
				select {
				case <-release:
				case <-ctx.Done():
				}
				return punctual.Result{}, nil
			}))
		require.NoError(t, h.Add(t.Context(), every("t", time.Hour)))
		require.NoError(t, h.Start(t.Context()))
		<-began
		h.Settle()
	})
	require.Len(t, failures, 1)
	assert.Contains(t, failures[0], `of task "t" is in the executor`)
	assert.Contains(t, failures[0], "punctualtest.Sleep, a Gate")
}

func TestAttemptsThatDoNotHeedTheEndOfTheTestAreNamed(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	failures := spyOn(func(t testing.TB) {
		h := punctualtest.Config{Patience: 50 * time.Millisecond, Unstarted: true}.New(t, punctual.ExecutorFunc(
			func(context.Context, punctual.Run) (punctual.Result, error) {
				close(began)
				<-release
				return punctual.Result{}, nil
			}))
		require.NoError(t, h.Add(t.Context(), every("deaf", time.Hour)))
		require.NoError(t, h.Start(t.Context()))
		<-began
	})
	close(release)
	require.Len(t, failures, 2, "the attempt, and its goroutine")
	assert.Contains(t, failures[0], `of task "deaf" (still running)`)
	assert.Contains(t, failures[1], "goroutines are left")
}

func TestGoroutinesThatAreLeftFailTheTest(t *testing.T) {
	release := make(chan struct{})
	leak := punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
		go func() {
			go waitFor(release)
		}()
		return punctual.Result{}, nil
	})
	failures := spyOn(func(t testing.TB) {
		h := punctualtest.New(t, leak)
		add(t, h, every("t", time.Hour))
		h.Advance(2 * time.Hour)
	})
	require.Len(t, failures, 1)
	assert.Contains(t, failures[0], "1 goroutines are left")
	assert.Contains(t, failures[0], "3 with this stack")
	assert.Contains(t, failures[0], "punctualtest_test.waitFor")

	failures = spyOn(func(t testing.TB) {
		const function = "github.com/punctual-go/punctual/punctualtest_test.waitFor"
		h := punctualtest.Config{MayOutlive: []string{function}}.New(t, leak)
		add(t, h, every("t", time.Hour))
	})
	assert.Empty(t, failures)
	close(release)
}

func waitFor(c chan struct{}) { <-c }

// Goroutines of another test, and those that were there before, are none of its business.
func TestGoroutinesOfOthersAreNoLeak(t *testing.T) {
	before, release := make(chan struct{}), make(chan struct{})
	go waitFor(release)
	go func() {
		defer close(before)
		failures := spyOn(func(t testing.TB) {
			h := punctualtest.New(t, new(punctualtest.Script))
			other := punctualtest.New(t, new(punctualtest.Script).On("t", punctualtest.Take(time.Hour, nil)))
			add(t, h, every("t", time.Hour))
			add(t, other, every("t", time.Hour))
		})
		assert.Empty(t, failures)
	}()
	<-before
	close(release)
}

func TestSleepIsForAttempts(t *testing.T) {
	assert.PanicsWithValue(t, "punctualtest: Sleep: the context is not that of an attempt of a Harness",
		func() { _ = punctualtest.Sleep(t.Context(), time.Second) })
	gate := punctualtest.NewGate()
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("gone"))
	require.EqualError(t, gate.Wait(gone), "gone")
	gate.Open()
	gate.Open()
	require.NoError(t, gate.Wait(t.Context()))
}

func TestAGateWorksWithoutAHarness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := punctualtest.NewGate()
		passed := make(chan error, 2)
		gone, cancel := context.WithCancelCause(t.Context())
		go func() { passed <- gate.Wait(gone) }()
		synctest.Wait()
		cancel(errors.New("gone"))
		require.EqualError(t, <-passed, "gone")
		go func() { passed <- gate.Wait(t.Context()) }()
		synctest.Wait()
		require.Empty(t, passed)
		gate.Open()
		require.NoError(t, <-passed)
	})
}

func TestExecutorsHandleTheKindsOfThoseTheyWrap(t *testing.T) {
	mux := new(punctual.Mux)
	rec := &punctualtest.Recorder{Executor: mux}
	mux.Handle("known", new(punctualtest.Script))
	assert.Equal(t, []string{"known"}, rec.Kinds())
	assert.Nil(t, new(punctualtest.Recorder).Kinds())
	h := punctualtest.New(t, rec)
	known, foreign := every("known", time.Hour), every("foreign", time.Hour)
	known.Kind, foreign.Kind = "known", "foreign"
	add(t, h, known, foreign)
	h.AssertLedger("known", "register +0s succeeded")
	h.AssertLedger("foreign", "register +0s pending")
}

func TestFactsOfAllTasksNameThem(t *testing.T) {
	h := punctualtest.New(t, new(punctualtest.Script))
	add(t, h, every("a", time.Hour), every("b", time.Hour))
	assert.Equal(t, []string{"a register +0s succeeded", "b register +0s succeeded"}, h.Facts(""))
}
