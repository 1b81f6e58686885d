package gocron

import (
	"context"
	"log/slog"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/examples/comingfrom/work"
)

// after schedules the same work with Punctual.
func after(ctx context.Context, store punctual.Store, w work.Work, berlin *time.Location) (*punctual.Scheduler, error) {
	var mux punctual.Mux
	punctual.Handle(&mux, "sync", func(ctx context.Context, _ punctual.Run, account string) (punctual.Result, error) {
		return punctual.Result{}, w.Sync(ctx, account)
	})
	mux.HandleFunc("report", func(ctx context.Context, _ punctual.Run) (punctual.Result, error) {
		return punctual.Result{}, w.Report(ctx)
	})
	s, err := punctual.New(store, &mux, punctual.WithLogger(slog.Default()))
	if err != nil {
		return nil, err
	}
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	tasks := []punctual.Task{
		{ID: "sync", Kind: "sync", Schedule: punctual.Every(30 * time.Minute), Payload: []byte(`"crm"`)},
		{ID: "report", Kind: "report", Schedule: punctual.Must(punctual.Cron("0 9 * * 1-5", berlin))},
	}
	for _, task := range tasks {
		if err := s.Ensure(ctx, task); err != nil {
			return nil, err
		}
	}
	return s, nil
}
