package main

import (
	"context"
	"fmt"
	"time"
	_ "time/tzdata" // zones on machines without a tz database

	"github.com/punctual-go/punctual"
)

// shop is a small program that uses punctual: each working morning it mails a digest of the orders, and every quarter of an hour it has
// a warehouse count its stock, which takes the warehouse some minutes.
type shop struct {
	mail      func(ctx context.Context, subject string) error
	warehouse warehouse
}

// warehouse counts its stock when it is asked to.
type warehouse interface {
	Begin(ctx context.Context) error
	Done(ctx context.Context) (bool, error)
}

func (s *shop) tasks() []punctual.Task {
	return []punctual.Task{
		{
			ID: "digest", Kind: "digest",
			Schedule: punctual.Must(punctual.ParseSchedule("weekly mon-fri 08:00 Europe/Berlin")),
			Retry:    punctual.Retry{MaxAttempts: 3, Initial: 5 * time.Minute},
		},
		{
			ID: "count", Kind: "count", Schedule: punctual.Every(15 * time.Minute),
			Timeout: 40 * time.Minute,
		},
	}
}

func (s *shop) executor() punctual.Executor {
	mux := new(punctual.Mux)
	mux.HandleFunc("digest", s.digest)
	mux.HandleFunc("count", s.count)
	return mux
}

func (s *shop) digest(ctx context.Context, run punctual.Run) (punctual.Result, error) {
	subject := "Orders until " + run.ScheduledAt.Format(time.DateOnly)
	return punctual.Result{Output: subject}, s.mail(ctx, subject)
}

// count asks each minute whether the warehouse is done. It waits on the real clock, as most programs do.
func (s *shop) count(ctx context.Context, _ punctual.Run) (punctual.Result, error) {
	if err := s.warehouse.Begin(ctx); err != nil {
		return punctual.Result{}, err
	}
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	for asked := 1; ; asked++ {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return punctual.Result{}, context.Cause(ctx)
		}
		if done, err := s.warehouse.Done(ctx); done || err != nil {
			return punctual.Result{Output: fmt.Sprintf("counted within %d min", asked)}, err
		}
	}
}
