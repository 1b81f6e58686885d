package robfigcron

import (
	"context"
	"log/slog"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/examples/comingfrom/work"
)

// after schedules the same work with Punctual.
func after(ctx context.Context, store punctual.Store, w work.Work) (*punctual.Scheduler, error) {
	var mux punctual.Mux
	mux.HandleFunc("sync", func(ctx context.Context, _ punctual.Run) (punctual.Result, error) {
		return punctual.Result{}, w.Sync(ctx, "crm")
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
	crontab := map[string]string{
		"sync":   "@every 30m",
		"report": "0 9 * * MON-FRI Europe/Berlin",
	}
	for name, line := range crontab {
		schedule, err := punctual.ParseSchedule(line)
		if err != nil {
			return nil, err
		}
		task := punctual.Task{ID: name, Kind: name, Schedule: schedule, OnRegister: punctual.WaitForSchedule}
		if err := s.Ensure(ctx, task); err != nil {
			return nil, err
		}
	}
	return s, nil
}
