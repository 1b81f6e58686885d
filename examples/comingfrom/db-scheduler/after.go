// Package dbscheduler is with Punctual what the page docs/coming-from/db-scheduler.md shows with db-scheduler.
package dbscheduler

import (
	"context"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/examples/comingfrom/work"
)

// after schedules the work. The store is postgres.New(ctx, pool), or one of the others.
func after(ctx context.Context, store punctual.Store, w work.Work) (*punctual.Scheduler, error) {
	var mux punctual.Mux
	mux.HandleFunc("sync", func(ctx context.Context, _ punctual.Run) (punctual.Result, error) {
		return punctual.Result{}, w.Sync(ctx, "crm")
	})
	mux.HandleFunc("report", func(ctx context.Context, _ punctual.Run) (punctual.Result, error) {
		return punctual.Result{}, w.Report(ctx)
	})
	s, err := punctual.New(store, &mux, punctual.WithConcurrency(10))
	if err != nil {
		return nil, err
	}
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	tasks := []punctual.Task{
		{
			ID: "sync", Kind: "sync", Schedule: punctual.Every(30 * time.Minute).AfterCompletion(),
			Retry: punctual.Retry{MaxAttempts: 6, Initial: 10 * time.Second, Multiplier: 1.5},
		},
		{ID: "report", Kind: "report", Schedule: punctual.Weekly("mon-fri", "09:00", work.Berlin())},
	}
	for _, task := range tasks {
		if err := s.Ensure(ctx, task); err != nil {
			return nil, err
		}
	}
	return s, nil
}
