package memory_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

// Schedulers of one process may share a store. This one keeps the last two runs of each task.
func ExampleNew() {
	ctx := context.Background()
	s, err := punctual.New(memory.New(memory.WithHistory(2)), punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
		return punctual.Result{}, nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := s.Add(ctx, punctual.Task{ID: "feed", Schedule: punctual.Daily("09:30", time.UTC)}); err != nil {
		log.Fatal(err)
	}
	for range 3 {
		if _, err := s.RunNow(ctx, "feed"); err != nil {
			log.Fatal(err)
		}
		if err := s.WaitIdle(ctx); err != nil {
			log.Fatal(err)
		}
	}
	runs, err := s.Runs(ctx, punctual.RunQuery{TaskID: "feed"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(runs))
	if err := s.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 2
}
