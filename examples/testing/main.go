// Testing shows how a program that uses punctual is tested. The program is in app.go, and what is to be read are its tests:
// harness_test.go for code that does not wait, bubble_test.go for code that does.
package main

import (
	"context"
	"log"
	"os/signal"
	"syscall"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	s := &shop{
		mail: func(_ context.Context, subject string) error {
			log.Print("mail: ", subject)
			return nil
		},
		warehouse: quickWarehouse{},
	}
	if err := run(ctx, s); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, s *shop) error {
	scheduler, err := punctual.New(memory.New(), s.executor())
	if err != nil {
		return err
	}
	if err := scheduler.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	for _, task := range s.tasks() {
		if err := scheduler.Ensure(ctx, task); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return scheduler.Shutdown(context.Background())
}

// quickWarehouse is done when it is asked for the first time.
type quickWarehouse struct{}

func (quickWarehouse) Begin(context.Context) error        { return nil }
func (quickWarehouse) Done(context.Context) (bool, error) { return true, nil }
