package punctualtest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/punctualtest"
	"github.com/punctual-go/punctual/store/memory"
)

// run stands for the test runner in these examples: it prints how the test fails.
func run(test func(t testing.TB)) {
	for _, failure := range spyOn(test) {
		fmt.Println(failure)
	}
}

func Example() {
	run(func(t testing.TB) {
		h := punctualtest.New(t, new(punctualtest.Script))
		if err := h.Ensure(t.Context(), punctual.Task{ID: "report", Schedule: punctual.Every(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		h.Advance(2 * time.Hour)
		h.AssertLedger("report",
			"register +0s succeeded",
			"schedule +1h succeeded",
			"schedule +2h succeeded")
	})
	// Output:
}

func ExampleHarness_AssertLedger() {
	run(func(t testing.TB) {
		h := punctualtest.New(t, new(punctualtest.Script).On("export", punctualtest.Take(90*time.Minute, nil)))
		add(t, h, punctual.Task{ID: "export", Schedule: punctual.Every(time.Hour)})
		h.Advance(2 * time.Hour)
		h.AssertLedger("export", "register +0s succeeded", "schedule +1h succeeded", "schedule +2h running")
	})
	// Output:
	// the ledger of task "export" is not as wanted (- wanted, + is):
	//   register +0s succeeded
	// - schedule +1h succeeded
	// + schedule +1h skipped (overlap)
	//   schedule +2h running
}

func ExampleHarness_AssertCount() {
	run(func(t testing.TB) {
		h := punctualtest.New(t, new(punctualtest.Script))
		add(t, h, punctual.Task{ID: "poll", Schedule: punctual.Every(time.Minute)})
		h.Advance(time.Hour)
		h.AssertCount("poll", punctual.StateSucceeded, 1+60)
	})
	// Output:
}

func ExampleHarness_AssertNext() {
	run(func(t testing.TB) {
		h := punctualtest.New(t, new(punctualtest.Script))
		add(t, h, punctual.Task{ID: "morning", Schedule: punctual.Daily("09:30", time.UTC)})
		h.AssertNext("morning", h.Now().Add(9*time.Hour+30*time.Minute))
		if err := h.Pause(t.Context(), "morning"); err != nil {
			t.Fatal(err)
		}
		h.AssertNext("morning", time.Time{}) // nothing is owed
	})
	// Output:
}

func ExampleHarness_AssertRun() {
	run(func(t testing.TB) {
		h := punctualtest.New(t, new(punctualtest.Script).On("t", punctualtest.Take(time.Minute, nil)))
		add(t, h, punctual.Task{ID: "t", Schedule: punctual.Every(time.Hour)})
		second, err := h.RunNow(t.Context(), "t")
		if err != nil {
			t.Fatal(err)
		}
		h.AssertRun(second.ID, punctual.StateSkipped, punctual.ReasonOverlap)
	})
	// Output:
}

func ExampleHarness_Facts() {
	run(func(t testing.TB) {
		failure := errors.New("503")
		h := punctualtest.New(t, new(punctualtest.Script).
			On("shaky", punctualtest.Fail(failure), punctualtest.Fail(failure), punctualtest.Succeed("")).
			On("slow", punctualtest.Take(200*time.Minute, nil)))
		add(t, h,
			punctual.Task{ID: "shaky", Schedule: punctual.Every(4 * time.Hour), Retry: punctual.Retry{MaxAttempts: 3}},
			punctual.Task{ID: "slow", Schedule: punctual.Every(time.Hour)})
		h.Advance(4 * time.Hour)
		for _, fact := range h.Facts("") {
			fmt.Println(fact)
		}
	})
	// Output:
	// shaky register +0s succeeded after 3 attempts
	// slow register +0s succeeded
	// slow schedule +1h..+3h skipped x3 (overlap)
	// shaky schedule +4h succeeded
	// slow schedule +4h running
}

func ExampleHarness_Settle() {
	run(func(t testing.TB) {
		h := punctualtest.New(t, new(punctualtest.Script))
		add(t, h, punctual.Task{ID: "t", Schedule: punctual.Daily("12:00", time.UTC)})
		asked, err := h.RunNow(t.Context(), "t") // returns before the run has ended
		if err != nil {
			t.Fatal(err)
		}
		h.Settle()
		h.AssertRun(asked.ID, punctual.StateSucceeded)
	})
	// Output:
}

func ExampleScript() {
	run(func(t testing.TB) {
		busy := errors.New("busy")
		script := new(punctualtest.Script).On("fetch",
			punctualtest.Fail(punctual.RetryAfter(busy, 10*time.Minute)), // the first attempt
			punctualtest.Panic("a bug"),                                  // the second
			punctualtest.Take(time.Minute, punctualtest.Succeed("42")))   // all others
		h := punctualtest.New(t, script)
		add(t, h, punctual.Task{
			ID: "fetch", Schedule: punctual.Every(24 * time.Hour), Retry: punctual.Retry{MaxAttempts: 5, Initial: time.Minute},
		})
		h.Advance(time.Hour)
		run := h.Ledger("fetch")[0]
		for _, attempt := range run.History {
			fmt.Println(attempt.Number, attempt.StartedAt.Format("15:04"), attempt.Outcome, attempt.Error)
		}
		fmt.Println(run.Attempt, run.StartedAt.Format("15:04"), run.State, run.Result.Output)
	})
	// Output:
	// 1 00:00 failed busy
	// 2 00:10 failed panic: a bug
	// 3 00:12 succeeded 42
}

func ExampleRecorder() {
	run(func(t testing.TB) {
		rec := &punctualtest.Recorder{Executor: new(punctualtest.Script).On("greet", punctualtest.Succeed("hello"))}
		h := punctualtest.New(t, rec)
		add(t, h, punctual.Task{ID: "greet", Schedule: punctual.Every(time.Hour), Payload: []byte(`{"to":"world"}`)})
		h.Advance(time.Hour)
		for _, attempt := range rec.Attempts("greet") {
			fmt.Println(attempt.Run.Trigger, string(attempt.Run.Payload), attempt.Result.Output)
		}
	})
	// Output:
	// register {"to":"world"} hello
	// schedule {"to":"world"} hello
}

// An executor of one's own takes time on the clock of the Harness.
func ExampleSleep() {
	run(func(t testing.TB) {
		h := punctualtest.New(t, punctual.ExecutorFunc(func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
			return punctual.Result{}, punctualtest.Sleep(ctx, 20*time.Minute)
		}))
		add(t, h, punctual.Task{ID: "slow", Schedule: punctual.Every(time.Hour), Timeout: 10 * time.Minute})
		h.Advance(time.Hour)
		fmt.Println(h.Facts("slow"), h.Ledger("slow")[0].Error)
	})
	// Output:
	// [register +0s failed (timeout) schedule +1h running] punctual: attempt timed out
}

// A Gate keeps a run in flight for as long as the test needs it there.
func ExampleGate() {
	run(func(t testing.TB) {
		gate := punctualtest.NewGate()
		h := punctualtest.New(t, new(punctualtest.Script).On("t", punctualtest.Hold(gate, nil)))
		add(t, h, punctual.Task{ID: "t", Schedule: punctual.Every(time.Hour)})
		h.Advance(3 * time.Hour)
		h.AssertLedger("t", "register +0s running", "schedule +1h..+3h skipped x3 (overlap)")
		gate.Open()
		h.Settle()
		h.AssertCount("t", punctual.StateSucceeded, 1)
	})
	// Output:
}

// What becomes of the occurrences of a weekend in which the program was down.
func ExampleConfig() {
	run(func(t testing.TB) {
		store := memory.New()
		friday := punctualtest.Config{Store: store, Start: time.Date(2027, time.March, 5, 18, 0, 0, 0, time.UTC)}.New(t, new(punctualtest.Script))
		add(t, friday, punctual.Task{ID: "hourly", Schedule: punctual.Every(time.Hour)})
		friday.Advance(time.Hour)
		if err := friday.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		monday := punctualtest.Config{Store: store, Start: time.Date(2027, time.March, 8, 8, 0, 0, 0, time.UTC)}.New(t, new(punctualtest.Script))
		for _, fact := range monday.Facts("hourly") {
			fmt.Println(fact)
		}
	})
	// Output:
	// register -62h succeeded
	// schedule -61h succeeded
	// schedule +0s succeeded
	// schedule -60h..-1h missed x60 (misfire)
}

// Code of the host that has a mock clock sees the time of the Harness.
func ExampleConfig_mock() {
	run(func(t testing.TB) {
		mock := clock.NewMock()
		mock.Set(time.Date(2027, time.March, 5, 9, 0, 0, 0, time.UTC))
		h := punctualtest.Config{Mock: mock}.New(t, punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
			fmt.Println("it is", mock.Now().UTC().Format("15:04"))
			return punctual.Result{}, nil
		}))
		add(t, h, punctual.Task{ID: "t", Schedule: punctual.Daily("09:30,09:45", time.UTC)})
		h.Advance(time.Hour)
	})
	// Output:
	// it is 09:30
	// it is 09:45
}

// A test that sets something up before the Scheduler starts, and asks what time it is.
func ExampleHarness_AdvanceTo() {
	run(func(t testing.TB) {
		h := punctualtest.Config{Unstarted: true}.New(t, new(punctualtest.Script))
		add(t, h, punctual.Task{ID: "report", Schedule: punctual.Daily("09:30", time.UTC)})
		h.AdvanceTo(h.Now().Add(9 * time.Hour)) // the program is down until nine
		if err := h.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.AdvanceTo(h.Now().Add(time.Hour))
		fmt.Println(h.Elapsed(), h.Clock().Now().Equal(h.Now()))
		h.AssertLedger("report", "schedule +9h30m succeeded")
	})
	// Output:
	// 10h0m0s true
}

// An executor of one's own waits for a Gate, and its goroutine that stays behind on purpose is no leak.
func ExampleGate_Wait() {
	run(func(t testing.TB) {
		gate := punctualtest.NewGate()
		h := punctualtest.Config{
			Patience:   30 * time.Second,                             // of real time, for executors that compute for long
			MayOutlive: []string{"net/http.(*persistConn).readLoop"}, // kept connections
		}.New(t, punctual.ExecutorFunc(func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
			return punctual.Result{Output: "approved"}, gate.Wait(ctx)
		}))
		add(t, h, punctual.Task{ID: "publish", Schedule: punctual.Daily("09:30", time.UTC)})
		h.Advance(10 * time.Hour)
		h.AssertLedger("publish", "schedule +9h30m running")
		gate.Open()
		h.Settle()
		h.AssertLedger("publish", "schedule +9h30m succeeded")
	})
	// Output:
}
