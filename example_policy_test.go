package punctual_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

// morning is a mock clock that shows 08:00 UTC.
func morning() *clock.Mock {
	mock := clock.NewMock()
	mock.Set(time.Date(2027, 3, 1, 8, 0, 0, 0, time.UTC))
	return mock
}

// pass lets time pass, one step after the other, and waits each time until what was due has ended.
func pass(s *punctual.Scheduler, mock *clock.Mock, steps ...time.Duration) {
	check(s.WaitIdle(context.Background()))
	for _, step := range steps {
		mock.Add(step)
		check(s.WaitIdle(context.Background()))
	}
}

// settle waits until the engine has nothing to do besides so many runs that are in flight.
func settle(s *punctual.Scheduler, inFlight int) {
	check(s.WaitSettled(context.Background(), inFlight))
}

// ledger prints what became of a task, in the order of its occurrences.
func ledger(s *punctual.Scheduler, id string) {
	runs, err := s.Runs(context.Background(), punctual.RunQuery{TaskID: id})
	check(err)
	slices.SortFunc(runs, func(a, b punctual.Run) int { return a.ScheduledAt.Compare(b.ScheduledAt) })
	for _, run := range runs {
		line := fmt.Sprintln(run.ScheduledAt.UTC().Format("15:04"), run.Trigger, run.State, run.Reason)
		if run.Count > 1 {
			line = fmt.Sprintln(run.ScheduledAt.UTC().Format("15:04")+".."+run.Until.UTC().Format("15:04"), run.State, run.Count, "times:", run.Reason)
		}
		fmt.Println(strings.TrimSpace(line))
	}
}

// What becomes of a run that is due while the one before is busy.
func ExampleOverlap() {
	ctx := context.Background()
	for _, overlap := range []punctual.Overlap{punctual.OverlapSkip, punctual.OverlapQueue, punctual.OverlapReplace, punctual.OverlapAllow} {
		s := example(func(ctx context.Context, _ punctual.Run) (punctual.Result, error) {
			<-ctx.Done()
			return punctual.Result{}, context.Cause(ctx)
		})
		check(s.Add(ctx, punctual.Task{ID: "backup", Schedule: punctual.Every(time.Hour), OnRegister: punctual.WaitForSchedule, Overlap: overlap}))
		settle(s, 0)
		_, err := s.RunNow(ctx, "backup")
		check(err)
		settle(s, 1)
		second, err := s.RunNow(ctx, "backup")
		check(err)
		fmt.Printf("%v: the second is %v\n", overlap, second.State)
		_ = s.Close() // cancels what is in flight
		check(s.Shutdown(ctx))
	}
	// Output:
	// skip: the second is skipped
	// queue: the second is pending
	// replace: the second is pending
	// allow: the second is running
}

// Two runs at a time, one that waits, and the ledger says what became of the fourth.
func ExampleTask_maxActive() {
	ctx := context.Background()
	release := make(chan struct{})
	s := example(func(context.Context, punctual.Run) (punctual.Result, error) {
		<-release
		return punctual.Result{}, nil
	})
	check(s.Add(ctx, punctual.Task{
		ID: "import", Schedule: punctual.Every(time.Hour), OnRegister: punctual.WaitForSchedule,
		MaxActive: 2, Overlap: punctual.OverlapQueue, MaxQueued: 1,
	}))
	for n := range 4 {
		settle(s, min(n, 2))
		run, err := s.RunNow(ctx, "import")
		check(err)
		fmt.Println(strings.TrimSpace(fmt.Sprintln(run.State, run.Reason)))
	}
	close(release)
	check(s.WaitIdle(ctx))
	check(s.Shutdown(ctx))
	// Output:
	// running
	// running
	// pending
	// skipped queue full
}

// Tasks that share an account never use it at the same time, on whatever instance they run.
func ExampleTask_concurrencyKey() {
	ctx := context.Background()
	release := make(chan struct{})
	s := example(func(context.Context, punctual.Run) (punctual.Result, error) {
		<-release
		return punctual.Result{}, nil
	})
	for n, id := range []string{"orders", "invoices"} {
		check(s.Add(ctx, punctual.Task{
			ID: id, Schedule: punctual.Daily("03:00", nil), ConcurrencyKey: "account 7", ConcurrencyLimit: 1,
		}))
		settle(s, n)
		run, err := s.RunNow(ctx, id)
		check(err)
		fmt.Println(id, run.State, "waits for the key:", run.WaitsForKey)
	}
	close(release)
	check(s.WaitIdle(ctx))
	check(s.Shutdown(ctx))
	// Output:
	// orders running waits for the key: false
	// invoices pending waits for the key: true
}

// When slots are scarce, a higher priority goes first. Each step counts as if the run had been due a minute earlier, so none starves.
func ExampleTask_priority() {
	ctx := context.Background()
	release := make(chan struct{})
	s := example(func(_ context.Context, run punctual.Run) (punctual.Result, error) {
		<-release
		fmt.Println(run.TaskID)
		return punctual.Result{}, nil
	}, punctual.WithConcurrency(1))
	for id, priority := range map[string]int{"first": 0, "report": -1, "alarm": 2} {
		check(s.Add(ctx, punctual.Task{ID: id, Schedule: punctual.Daily("03:00", nil), Priority: priority}))
	}
	settle(s, 0)
	for _, id := range []string{"first", "report", "alarm"} {
		_, err := s.RunNow(ctx, id)
		check(err)
		settle(s, 1)
	}
	close(release)
	check(s.WaitIdle(ctx))
	check(s.Shutdown(ctx))
	// Output:
	// first
	// alarm
	// report
}

// The process is down from 09:00 to 13:30, and four occurrences go by.
func ExampleMisfire() {
	ctx := context.Background()
	for _, misfire := range []punctual.Misfire{punctual.MisfireRunOnce, punctual.MisfireRunAll, punctual.MisfireSkip} {
		fmt.Println(misfire)
		mock, store := morning(), memory.New()
		work := punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) { return punctual.Result{}, nil })
		before, err := punctual.New(store, work, punctual.WithClock(mock), punctual.WithLease(24*time.Hour))
		check(err)
		check(before.Start(ctx))
		check(before.Add(ctx, punctual.Task{
			ID: "sync", Schedule: punctual.Every(time.Hour), OnRegister: punctual.WaitForSchedule,
			Misfire: misfire, MisfireGrace: time.Minute, MisfireLimit: 2,
		}))
		pass(before, mock, time.Hour)
		check(before.Shutdown(ctx))
		mock.Add(4*time.Hour + 30*time.Minute)
		after, err := punctual.New(store, work, punctual.WithClock(mock), punctual.WithLease(24*time.Hour))
		check(err)
		check(after.Start(ctx))
		pass(after, mock)
		ledger(after, "sync")
		check(after.Shutdown(ctx))
	}
	// Output:
	// run once
	// 09:00 schedule succeeded
	// 10:00..12:00 missed 3 times: misfire
	// 13:00 catch-up succeeded
	// run all
	// 09:00 schedule succeeded
	// 10:00..11:00 missed 2 times: misfire
	// 12:00 catch-up succeeded
	// 13:00 catch-up succeeded
	// skip
	// 09:00 schedule succeeded
	// 10:00..13:00 missed 4 times: misfire
}

// Waits of one, three, then at most five minutes. All attempts are one run with one id.
func ExampleRetry() {
	ctx := context.Background()
	mock := morning()
	s := example(func(_ context.Context, run punctual.Run) (punctual.Result, error) {
		fmt.Println(mock.Now().UTC().Format("15:04"), "attempt", run.Attempt)
		return punctual.Result{}, errors.New("503 Service Unavailable")
	}, punctual.WithClock(mock))
	check(s.Add(ctx, punctual.Task{
		ID: "sync", Schedule: punctual.Every(time.Hour),
		Retry: punctual.Retry{MaxAttempts: 4, Initial: time.Minute, Multiplier: 3, Max: 5 * time.Minute, Jitter: 0},
	}))
	pass(s, mock, time.Minute, 3*time.Minute, 5*time.Minute)
	ledger(s, "sync")
	check(s.Shutdown(ctx))
	// Output:
	// 08:00 attempt 1
	// 08:01 attempt 2
	// 08:04 attempt 3
	// 08:09 attempt 4
	// 08:00 register failed
}

// An attempt that takes too long has its context cancelled. It ends when it returns, so it should look at its context.
func ExampleTask_timeout() {
	ctx := context.Background()
	mock, begun := morning(), make(chan struct{})
	s := example(func(ctx context.Context, _ punctual.Run) (punctual.Result, error) {
		close(begun)
		<-ctx.Done()
		return punctual.Result{}, context.Cause(ctx)
	}, punctual.WithClock(mock))
	check(s.Add(ctx, punctual.Task{ID: "call", Schedule: punctual.Every(time.Hour), Timeout: 2 * time.Minute}))
	<-begun
	mock.Add(2 * time.Minute)
	check(s.WaitIdle(ctx))
	ledger(s, "call")
	check(s.Shutdown(ctx))
	// Output:
	// 08:00 register failed timeout
}

// What becomes of a run whose process dies. A page may be fetched twice; an order must not be placed twice.
func ExampleLost() {
	for _, task := range []punctual.Task{
		{ID: "fetch", Schedule: punctual.Every(time.Hour), Lost: punctual.LostRunAgain},
		{ID: "order", Schedule: punctual.Every(time.Hour), Lost: punctual.LostMark},
	} {
		check(task.Validate())
		fmt.Println(task.ID+":", task.Lost)
	}
	// Output:
	// fetch: run again
	// order: mark
}

// Whether a registration runs the task at once. By default interval tasks do and tasks of fixed times wait.
func ExampleRegisterPolicy() {
	ctx := context.Background()
	for _, policy := range []punctual.RegisterPolicy{punctual.RegisterDefault, punctual.RunImmediatelyOnRegister, punctual.WaitForSchedule} {
		mock := morning()
		s := example(nil, punctual.WithClock(mock))
		check(s.Add(ctx, punctual.Task{ID: "interval", Schedule: punctual.Every(time.Hour), OnRegister: policy}))
		check(s.Add(ctx, punctual.Task{ID: "fixed", Schedule: punctual.Daily("09:30", time.UTC), OnRegister: policy}))
		pass(s, mock)
		fmt.Println(policy)
		ledger(s, "")
		check(s.Shutdown(ctx))
	}
	// Output:
	// default
	// 08:00 register succeeded
	// immediately
	// 08:00 register succeeded
	// 08:00 register succeeded
	// wait
}

// The first run comes ten minutes after the registration, and the interval counts from it.
func ExampleTask_firstDelay() {
	ctx := context.Background()
	mock := morning()
	s := example(nil, punctual.WithClock(mock))
	check(s.Add(ctx, punctual.Task{ID: "warm up", Schedule: punctual.Every(time.Hour), FirstDelay: 10 * time.Minute}))
	pass(s, mock, 10*time.Minute, time.Hour)
	ledger(s, "warm up")
	check(s.Shutdown(ctx))
	// Output:
	// 08:10 register succeeded
	// 09:10 schedule succeeded
}

// A task that is disabled owes nothing. It can still be asked for.
func ExampleTask_disabled() {
	ctx := context.Background()
	mock := morning()
	s := example(nil, punctual.WithClock(mock))
	check(s.Add(ctx, punctual.Task{ID: "cleanup", Name: "Clean up", Schedule: punctual.Every(time.Hour), Disabled: true}))
	pass(s, mock, time.Hour, time.Hour)
	_, err := s.RunNow(ctx, "cleanup")
	check(err)
	pass(s, mock)
	ledger(s, "cleanup")
	check(s.Shutdown(ctx))
	// Output:
	// 10:00 manual succeeded
}

// Hosts check a form before they store it.
func ExampleTask_Validate() {
	err := punctual.Task{ID: "report", Schedule: punctual.Daily("25:00", nil), Timeout: -time.Second}.Validate()
	fmt.Println(err)
	fmt.Println(errors.Is(err, punctual.ErrInvalidTask))
	// Output:
	// punctual: invalid task "report": Schedule: "25:00" is not a time of day; allowed are 00:00 to 23:59, with seconds as in 09:30:15, and several with commas between them; Timeout: must not be negative
	// true
}
