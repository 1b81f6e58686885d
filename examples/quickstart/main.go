// Quickstart shows an interval task that runs at once and then every two seconds, until Ctrl-C.
package main

import (
	"context"
	"fmt"
	"log"
	"os/signal"
	"syscall"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	hello := punctual.ExecutorFunc(func(_ context.Context, run punctual.Run) (punctual.Result, error) {
		fmt.Println(run.TaskName, run.Trigger, run.ScheduledAt.Format(time.TimeOnly))
		return punctual.Result{Output: "hello"}, nil
	})
	s, err := punctual.New(memory.New(), hello)
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	if err := s.Ensure(ctx, punctual.Task{ID: "hello", Schedule: punctual.Every(2 * time.Second)}); err != nil {
		log.Fatal(err)
	}
	<-ctx.Done()
	if err := s.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
}
