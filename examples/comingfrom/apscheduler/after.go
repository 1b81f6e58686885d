// Package apscheduler is with Punctual what the page docs/coming-from/apscheduler.md shows with APScheduler.
package apscheduler

import (
	"context"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/examples/comingfrom/work"
)

// after schedules the work. The store is sqlite.Open(ctx, "tasks.db").
func after(ctx context.Context, store punctual.Store, w work.Work) (*punctual.Scheduler, error) {
	var mux punctual.Mux
	punctual.Handle(&mux, "sync", func(ctx context.Context, _ punctual.Run, account string) (punctual.Result, error) {
		return punctual.Result{}, w.Sync(ctx, account)
	})
	mux.HandleFunc("report", func(ctx context.Context, _ punctual.Run) (punctual.Result, error) {
		return punctual.Result{}, w.Report(ctx)
	})
	s, err := punctual.New(store, &mux)
	if err != nil {
		return nil, err
	}
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	tasks := []punctual.Task{
		{
			ID: "sync", Kind: "sync", Payload: []byte(`"crm"`),
			Schedule: punctual.Every(30 * time.Minute), OnRegister: punctual.WaitForSchedule,
		},
		{
			ID: "report", Kind: "report",
			Schedule: punctual.Weekly("mon-fri", "09:00", work.Berlin()),
			Misfire:  punctual.MisfireSkip, MisfireGrace: 5 * time.Minute,
		},
	}
	for _, task := range tasks {
		if err := s.Ensure(ctx, task); err != nil {
			return nil, err
		}
	}
	return s, nil
}
