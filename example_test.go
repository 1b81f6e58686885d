package punctual_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

// An interval task runs at once when it is registered and then on schedule; the ledger tells what became of each run.
func Example() {
	ctx := context.Background()

	fetch := punctual.ExecutorFunc(func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
		return punctual.Result{Output: "42 articles"}, nil // your work; an error fails the run
	})
	s, err := punctual.New(memory.New(), fetch)
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := s.Ensure(ctx, punctual.Task{ID: "feed", Schedule: punctual.Every(30 * time.Minute)}); err != nil {
		log.Fatal(err)
	}

	check(s.WaitIdle(ctx)) // the first run has ended

	runs, err := s.Runs(ctx, punctual.RunQuery{TaskID: "feed"})
	if err != nil {
		log.Fatal(err)
	}
	for _, run := range runs {
		fmt.Println(run.Trigger, run.State, run.Result.Output)
	}

	check(s.Shutdown(ctx))
	// Output:
	// register succeeded 42 articles
}

// With a mock clock time passes when the test says so, and what a task did in it is certain.
func ExampleWithClock() {
	ctx := context.Background()
	mock := clock.NewMock()
	mock.Set(time.Date(2027, 3, 1, 8, 0, 0, 0, time.UTC))
	s := example(func(_ context.Context, run punctual.Run) (punctual.Result, error) {
		fmt.Println(run.ScheduledAt.Format("15:04:05"), run.Trigger)
		return punctual.Result{}, nil
	}, punctual.WithClock(mock))
	check(s.Add(ctx, punctual.Task{ID: "report", Schedule: punctual.Every(4 * time.Second)}))
	check(s.WaitIdle(ctx))
	for range 3 {
		mock.Add(4 * time.Second)
		check(s.WaitIdle(ctx))
	}
	check(s.Shutdown(ctx))
	// Output:
	// 08:00:00 register
	// 08:00:04 schedule
	// 08:00:08 schedule
	// 08:00:12 schedule
}

// Ensure is what a program calls at each start: it registers, leaves alone or reschedules.
func ExampleScheduler_Ensure() {
	ctx := context.Background()
	s := example(func(context.Context, punctual.Run) (punctual.Result, error) {
		fmt.Println("runs")
		return punctual.Result{}, nil
	})
	task := punctual.Task{ID: "sync", Schedule: punctual.Every(time.Hour)}
	check(s.Ensure(ctx, task)) // absent: added, with an immediate run
	check(s.WaitIdle(ctx))
	check(s.Ensure(ctx, task)) // the same: nothing happens
	check(s.WaitIdle(ctx))
	task.Schedule = punctual.Every(10 * time.Minute)
	check(s.Ensure(ctx, task)) // changed: rescheduled, with another immediate run
	check(s.WaitIdle(ctx))
	check(s.Shutdown(ctx))
	// Output:
	// runs
	// runs
}

// A definition that is wrong is refused as a whole, and the error names each field.
func ExampleScheduler_Add_invalid() {
	s := example(nil)
	err := s.Add(context.Background(), punctual.Task{ID: "x\n", Schedule: punctual.Every(0), Payload: json.RawMessage("{")})
	var invalid *punctual.TaskError
	if errors.As(err, &invalid) {
		for _, field := range invalid.Fields {
			fmt.Println(field.Field+":", field.Reason)
		}
	}
	check(s.Close())
	// Output:
	// ID: must not contain control characters
	// Schedule: interval 0s is too short, at least 1ms is needed
	// Payload: is not valid JSON
}

// RunNow runs a task besides its schedule. It passes the overlap gate like any other run.
func ExampleScheduler_RunNow() {
	ctx := context.Background()
	release := make(chan struct{})
	s := example(func(context.Context, punctual.Run) (punctual.Result, error) {
		<-release
		return punctual.Result{}, nil
	})
	check(s.Add(ctx, punctual.Task{ID: "backup", Schedule: punctual.Every(time.Hour), OnRegister: punctual.WaitForSchedule}))
	check(s.WaitIdle(ctx))
	first, err := s.RunNow(ctx, "backup")
	check(err)
	second, err := s.RunNow(ctx, "backup")
	check(err)
	fmt.Println(first.State)
	fmt.Println(second.State, second.Reason, second.BlockedBy == first.ID)
	close(release)
	check(s.Shutdown(ctx))
	// Output:
	// running
	// skipped overlap true
}

// Reschedule with the revision that was read changes nothing if somebody else was faster.
func ExampleScheduler_Reschedule_conflict() {
	ctx := context.Background()
	s := example(nil)
	check(s.Add(ctx, punctual.Task{ID: "feed", Schedule: punctual.Every(time.Hour)}))
	snapshot, err := s.Task(ctx, "feed")
	check(err)
	mine, theirs := snapshot.Task, snapshot.Task
	theirs.Schedule = punctual.Every(2 * time.Hour)
	check(s.Reschedule(ctx, theirs))
	mine.Schedule = punctual.Every(3 * time.Hour)
	fmt.Println(errors.Is(s.Reschedule(ctx, mine), punctual.ErrConflict))
	check(s.Shutdown(ctx))
	// Output:
	// true
}

// A typed handler gets the payload decoded. The Scheduler takes only runs of kinds that the Mux knows.
func ExampleHandle() {
	type mail struct{ To string }
	ctx := context.Background()
	var mux punctual.Mux
	punctual.Handle(&mux, "mail", func(_ context.Context, run punctual.Run, m mail) (punctual.Result, error) {
		fmt.Println("mail to", m.To)
		return punctual.Result{}, nil
	})
	s, err := punctual.New(memory.New(), &mux)
	check(err)
	check(s.Start(ctx))
	check(s.Add(ctx, punctual.Task{
		ID: "digest", Kind: "mail", Schedule: punctual.Every(24 * time.Hour), Payload: json.RawMessage(`{"To": "ada@example.com"}`),
	}))
	check(s.WaitIdle(ctx))
	check(s.Shutdown(ctx))
	// Output:
	// mail to ada@example.com
}

// Permanent ends the retries of a run, whatever its policy says.
func ExamplePermanent() {
	ctx := context.Background()
	s := example(func(context.Context, punctual.Run) (punctual.Result, error) {
		return punctual.Result{}, punctual.Permanent(errors.New("no such account"))
	})
	check(s.Add(ctx, punctual.Task{ID: "bill", Schedule: punctual.Every(time.Hour), Retry: punctual.Retry{MaxAttempts: 5}}))
	check(s.WaitIdle(ctx))
	runs, err := s.Runs(ctx, punctual.RunQuery{TaskID: "bill"})
	check(err)
	fmt.Printf("%v after attempt %d: %s\n", runs[0].State, runs[0].Attempt, runs[0].Error)
	check(s.Shutdown(ctx))
	// Output:
	// failed after attempt 1: no such account
}

// Skip ends a run that found nothing to do as skipped: neither a success nor a failure.
func ExampleSkip() {
	ctx := context.Background()
	s := example(func(context.Context, punctual.Run) (punctual.Result, error) {
		return punctual.Result{}, punctual.Skip("budget")
	})
	check(s.Add(ctx, punctual.Task{ID: "call", Schedule: punctual.Every(time.Hour)}))
	check(s.WaitIdle(ctx))
	runs, err := s.Runs(ctx, punctual.RunQuery{TaskID: "call"})
	check(err)
	fmt.Printf("%v: %s\n", runs[0].State, runs[0].Reason)
	check(s.Shutdown(ctx))
	// Output:
	// skipped: budget
}

// RetryAfter sets the wait before the next attempt, in place of the policy's backoff. The attempts are one run.
func ExampleRetryAfter() {
	ctx := context.Background()
	mock := clock.NewMock()
	s := example(func(_ context.Context, run punctual.Run) (punctual.Result, error) {
		fmt.Println("attempt", run.Attempt, "at", mock.Now().UTC().Format("15:04:05"))
		if run.Attempt == 1 {
			return punctual.Result{}, punctual.RetryAfter(errors.New("too many requests"), 7*time.Second)
		}
		return punctual.Result{}, nil
	}, punctual.WithClock(mock))
	check(s.Add(ctx, punctual.Task{ID: "call", Schedule: punctual.Every(time.Hour), Retry: punctual.Retry{MaxAttempts: 3}}))
	check(s.WaitIdle(ctx))
	mock.Add(7 * time.Second)
	check(s.WaitIdle(ctx))
	check(s.Shutdown(ctx))
	// Output:
	// attempt 1 at 00:00:00
	// attempt 2 at 00:00:07
}

// Schedules have a text form for forms, files and stores.
func ExampleParseSchedule() {
	for _, text := range []string{"every 90m", "every 1h aligned", "every 5m after completion", "once 2027-01-01T00:00:00Z", "every now and then"} {
		schedule, err := punctual.ParseSchedule(text)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(schedule)
	}
	// Output:
	// every 1h30m
	// every 1h aligned
	// every 5m after completion
	// once 2027-01-01T00:00:00Z
	// punctual: invalid schedule: "every now and then": "now" is not a duration such as 30m or 1h30m
}

// An interval counts from its anchor, which is the registration unless the definition says otherwise.
func ExampleEvery() {
	schedule := punctual.Every(45 * time.Minute).From(time.Date(2027, 1, 1, 9, 0, 0, 0, time.UTC))
	t := time.Date(2027, 1, 1, 10, 0, 0, 0, time.UTC)
	for range 3 {
		t = schedule.Next(t)
		fmt.Println(t.Format("15:04"))
	}
	// Output:
	// 10:30
	// 11:15
	// 12:00
}

// In a synctest bubble the real clock is a fake one that moves when everybody waits: a day of a task passes in a moment.
func TestADayOfAnHourlyTaskPassesInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		require.NoError(t, s.Add(t.Context(), punctual.Task{ID: "report", Schedule: punctual.Every(time.Hour)}))
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		runs, err := s.Runs(t.Context(), punctual.RunQuery{TaskID: "report", States: []punctual.State{punctual.StateSucceeded}})
		require.NoError(t, err)
		assert.Len(t, runs, 25) // the immediate one and 24 on schedule
		require.NoError(t, s.Shutdown(t.Context()))
	})
}

// start makes a started Scheduler over memory for a test.
func start(t *testing.T) *punctual.Scheduler {
	t.Helper()
	return example(nil)
}

// example makes a started Scheduler over memory that is ready to run something; a nil function succeeds. Its lease and its sleep are long, so that
// hours of a mock clock pass without anything to do.
func example(f func(context.Context, punctual.Run) (punctual.Result, error), opts ...punctual.Option) *punctual.Scheduler {
	if f == nil {
		f = func(context.Context, punctual.Run) (punctual.Result, error) { return punctual.Result{}, nil }
	}
	opts = append([]punctual.Option{punctual.WithLease(24 * time.Hour), punctual.WithMaxSleep(24 * time.Hour)}, opts...)
	s, err := punctual.New(memory.New(), punctual.ExecutorFunc(f), opts...)
	check(err)
	check(s.Start(context.Background()))
	check(s.WaitIdle(context.Background()))
	return s
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
