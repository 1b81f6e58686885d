package punctual_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

// Several kinds of work in one program. The Scheduler takes only runs of kinds that the Mux knows.
func ExampleMux() {
	ctx := context.Background()
	var mux punctual.Mux
	mux.HandleFunc("mail", func(context.Context, punctual.Run) (punctual.Result, error) {
		return punctual.Result{Output: "sent"}, nil
	})
	mux.Handle("fetch", punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
		return punctual.Result{Output: "fetched"}, nil
	}))
	fmt.Println(mux.Kinds())
	s, err := punctual.New(memory.New(), &mux)
	check(err)
	check(s.Start(ctx))
	check(s.Add(ctx, punctual.Task{ID: "digest", Kind: "mail", Schedule: punctual.Every(24 * time.Hour)}))
	check(s.WaitIdle(ctx))
	snapshot, err := s.Task(ctx, "digest")
	check(err)
	fmt.Println(snapshot.LastRun.Result.Output)
	check(s.Shutdown(ctx))
	// Output:
	// [fetch mail]
	// sent
}

// Middleware puts behaviour around each attempt: here, what became of it.
func ExampleChain() {
	ctx := context.Background()
	tell := func(next punctual.Executor) punctual.Executor {
		return punctual.ExecutorFunc(func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
			result, err := next.Execute(ctx, run)
			switch reason, skipped := punctual.SkipOf(err); {
			case skipped:
				fmt.Println(run.TaskID, "had nothing to do:", reason)
			case punctual.IsPermanent(err):
				fmt.Println(run.TaskID, "will not work:", err)
			case err != nil:
				wait, _ := punctual.RetryAfterOf(err)
				fmt.Println(run.TaskID, "may work in", wait)
			}
			return result, err
		})
	}
	answers := map[string]error{
		"a": punctual.Skip("no news"),
		"b": punctual.Permanent(errors.New("404")),
		"c": punctual.RetryAfter(errors.New("429"), time.Minute),
	}
	work := punctual.ExecutorFunc(func(_ context.Context, run punctual.Run) (punctual.Result, error) {
		return punctual.Result{}, answers[run.TaskID]
	})
	s, err := punctual.New(memory.New(), punctual.Chain(work, tell))
	check(err)
	check(s.Start(ctx))
	for _, id := range []string{"a", "b", "c"} {
		check(s.Add(ctx, punctual.Task{ID: id, Schedule: punctual.Every(time.Hour)}))
		check(s.WaitIdle(ctx))
	}
	check(s.Shutdown(ctx))
	// Output:
	// a had nothing to do: no news
	// b will not work: 404
	// c may work in 1m0s
}

// Code deep inside finds the run that it works for, and makes its id the idempotency key of what it asks others for.
func ExampleRunFromContext() {
	ctx := context.Background()
	charge := func(ctx context.Context) {
		run, ok := punctual.RunFromContext(ctx)
		fmt.Println(ok, run.TaskID, run.ID != "")
	}
	s := example(func(ctx context.Context, _ punctual.Run) (punctual.Result, error) {
		charge(ctx)
		return punctual.Result{}, nil
	})
	check(s.Add(ctx, punctual.Task{ID: "bill", Schedule: punctual.Every(time.Hour)}))
	check(s.WaitIdle(ctx))
	check(s.Shutdown(ctx))
	// Output:
	// true bill true
}

// Services with different handlers share a store. What is due of a kind that none of them handles waits, and Health says so.
func ExampleHealth_unhandled() {
	ctx := context.Background()
	mock := morning()
	var mux punctual.Mux
	mux.HandleFunc("mail", func(context.Context, punctual.Run) (punctual.Result, error) { return punctual.Result{}, nil })
	s, err := punctual.New(memory.New(), &mux, punctual.WithClock(mock))
	check(err)
	check(s.Start(ctx))
	check(s.Add(ctx, punctual.Task{ID: "figures", Kind: "report", Schedule: punctual.Every(time.Hour)}))
	pass(s, mock, time.Minute, time.Minute, time.Minute)
	for _, reason := range s.Health().Reasons {
		fmt.Println(reason)
	}
	check(s.Shutdown(ctx))
	// Output:
	// no handler: "report" since 2027-03-01T08:00:00Z
}
