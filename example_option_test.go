package punctual_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

// A service that shares a store with others. New says everything that is wrong with its options.
func ExampleNew() {
	ctx := context.Background()
	work := punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) { return punctual.Result{}, nil })
	_, err := punctual.New(memory.New(), work, punctual.WithConcurrency(0))
	fmt.Println(err)

	s, err := punctual.New(memory.New(), work,
		punctual.WithInstance("worker-1"),            // its name for operators
		punctual.WithVersion("v1.4.2"),               // and what runs there
		punctual.WithConcurrency(20),                 // runs at a time
		punctual.WithLease(30*time.Second),           // when it dies, others take over after that
		punctual.WithStoreTimeout(5*time.Second),     // for each call to the store
		punctual.WithMaxSleep(10*time.Second),        // looks at the store at least that often
		punctual.WithLookahead(time.Second),          // claims what comes due together up to so long before
		punctual.WithRetention(30*24*time.Hour, 500), // what the ledger keeps
		punctual.WithOutputLimit(4<<10),              // bytes of a run's output
	)
	check(err)
	check(s.Start(ctx))
	check(s.WaitIdle(ctx))
	instances, err := s.Instances(ctx)
	check(err)
	for _, instance := range instances {
		fmt.Println(instance.Name, instance.Version)
	}
	check(s.Shutdown(ctx))
	// Output:
	// punctual: WithConcurrency: 0 is not between 1 and 1000000
	// worker-1 v1.4.2
}

// The log has stable keys. Here those that differ from run to run are left out.
func ExampleWithLogger() {
	ctx := context.Background()
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "run_id" || a.Key == "instance" {
			return slog.Attr{}
		}
		return a
	}}))
	mock := morning()
	s := example(func(context.Context, punctual.Run) (punctual.Result, error) {
		return punctual.Result{}, errors.New("503 Service Unavailable")
	}, punctual.WithLogger(logger), punctual.WithClock(mock))
	check(s.Add(ctx, punctual.Task{ID: "feed", Schedule: punctual.Every(time.Hour)}))
	pass(s, mock)
	check(s.Shutdown(ctx))
	// Output:
	// level=INFO msg="[IMMEDIATE] executing interval task" task_id=feed task_name=feed trigger=register attempt=1
	// level=WARN msg="run finished" task_id=feed task_name=feed trigger=register attempt=1 state=failed error="503 Service Unavailable" duration=0s
}

// An observer hears of all that happens: for metrics, traces and audit.
func ExampleWithObserver() {
	ctx := context.Background()
	tell := punctual.ObserverFunc(func(e punctual.Event) { fmt.Println(e.Type, e.TaskID) })
	s := example(nil, punctual.WithObserver(tell))
	check(s.Add(ctx, punctual.Task{
		ID: "feed", Schedule: punctual.Every(time.Hour), Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}))
	check(s.WaitIdle(ctx))
	check(s.Shutdown(ctx))
	// Output:
	// registered feed
	// claimed feed
	// started feed
	// finished feed
}

// One call to the model at a time; other kinds of work go on.
func ExampleWithKindConcurrency() {
	ctx := context.Background()
	release := make(chan struct{})
	s := example(func(context.Context, punctual.Run) (punctual.Result, error) {
		<-release
		return punctual.Result{}, nil
	}, punctual.WithKindConcurrency("model", 1))
	for id, kind := range map[string]string{"a": "model", "b": "model", "c": "mail"} {
		check(s.Add(ctx, punctual.Task{ID: id, Kind: kind, Schedule: punctual.Daily("03:00", time.UTC)}))
	}
	for n, id := range []string{"a", "b", "c"} {
		settle(s, min(n, 1))
		run, err := s.RunNow(ctx, id)
		check(err)
		fmt.Println(id, run.Kind, run.State)
	}
	close(release)
	check(s.WaitIdle(ctx))
	check(s.Shutdown(ctx))
	// Output:
	// a model running
	// b model pending
	// c mail running
}

// Two calls at once, then one each minute.
func ExampleWithKindRate() {
	ctx := context.Background()
	mock := morning()
	s := example(func(context.Context, punctual.Run) (punctual.Result, error) {
		fmt.Println("called at", mock.Now().UTC().Format("15:04"))
		return punctual.Result{}, nil
	}, punctual.WithClock(mock), punctual.WithKindRate("model", time.Minute, 2))
	for _, id := range []string{"a", "b", "c", "d"} {
		check(s.Add(ctx, punctual.Task{ID: id, Kind: "model", Schedule: punctual.Every(time.Hour)}))
	}
	settle(s, 0) // not WaitIdle, since what waits for its turn is due already
	for range 2 {
		mock.Add(time.Minute)
		settle(s, 0)
	}
	check(s.Shutdown(ctx))
	// Output:
	// called at 08:00
	// called at 08:00
	// called at 08:01
	// called at 08:02
}

// A host that prefers to wait says so once.
func ExampleWithRegisterPolicy() {
	ctx := context.Background()
	mock := morning()
	s := example(nil, punctual.WithClock(mock), punctual.WithRegisterPolicy(punctual.WaitForSchedule))
	check(s.Add(ctx, punctual.Task{ID: "sync", Schedule: punctual.Every(time.Hour)}))
	pass(s, mock, time.Hour)
	ledger(s, "sync")
	check(s.Shutdown(ctx))
	// Output:
	// 09:00 schedule succeeded
}

// Tasks that are registered together begin apart, and stay apart.
func ExampleWithRegisterSpread() {
	ctx := context.Background()
	mock := morning()
	s := example(nil, punctual.WithClock(mock), punctual.WithRegisterSpread(30*time.Minute))
	for _, id := range []string{"customer-1", "customer-2", "customer-3"} {
		check(s.Add(ctx, punctual.Task{ID: id, Schedule: punctual.Every(time.Hour)}))
		runs, err := s.Runs(ctx, punctual.RunQuery{TaskID: id})
		check(err)
		fmt.Println(id, "first at", runs[0].ScheduledAt.UTC().Format("15:04"))
	}
	check(s.Shutdown(ctx))
	// Output:
	// customer-1 first at 08:22
	// customer-2 first at 08:13
	// customer-3 first at 08:25
}

// Health is for the endpoint that says whether this instance is well.
func ExampleScheduler_Health() {
	ctx := context.Background()
	s := example(nil)
	check(s.WaitIdle(ctx))
	health := s.Health()
	fmt.Println(health.Phase, health.OK, health.InFlight)
	check(s.Shutdown(ctx))
	fmt.Println(s.Health().Phase)
	// Output:
	// running true 0
	// closed
}

// Shutdown lets runs end until its context does; then they are cancelled, and the error names them.
func ExampleScheduler_Shutdown() {
	ctx := context.Background()
	begun := make(chan struct{})
	s := example(func(ctx context.Context, _ punctual.Run) (punctual.Result, error) {
		close(begun)
		<-ctx.Done()
		fmt.Println("the run hears:", context.Cause(ctx))
		return punctual.Result{}, context.Cause(ctx)
	})
	check(s.Add(ctx, punctual.Task{ID: "import", Schedule: punctual.Daily("03:00", time.UTC)}))
	_, err := s.RunNow(ctx, "import")
	check(err)
	<-begun
	deadline, passed := context.WithCancel(ctx)
	passed() // no time at all, so that this example takes none
	err = s.Shutdown(deadline)
	check(s.Shutdown(ctx)) // and now until the run has ended
	fmt.Println("in time:", !errors.Is(err, context.Canceled))
	// Output:
	// the run hears: punctual: scheduler is stopping
	// in time: false
}
