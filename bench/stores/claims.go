package main

import (
	"context"
	"fmt"
	"time"

	"github.com/punctual-go/punctual/bench/internal/trial"
)

// fewDue is how many tasks are due at a time in this scenario.
const fewDue = 10

// claims takes the times of claims among so many stored tasks, of which few are due, and of claims that find nothing.
func claims(ctx context.Context, b backend, place string, tasks int, s size) (values, error) {
	first := time.Now().Truncate(time.Microsecond)
	if err := fill(ctx, b, place, crowd{tasks: tasks, every: period, first: first, due: fewDue}); err != nil {
		return nil, err
	}
	store, err := b.open(ctx, place)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	w := &worker{store: store, every: period}
	if err := w.begin(ctx); err != nil {
		return nil, err
	}
	few, none, finish := trial.NewSamples(s.Claims), trial.NewSamples(s.Claims), trial.NewSamples(s.Claims)
	const before = 10 // rounds that are not counted: plans are made, pages are read
	for i, now := 0, first; i < before+s.Claims; i, now = i+1, now.Add(period) {
		began := time.Now()
		runs, err := w.claim(ctx, 2*fewDue, now)
		claimed := time.Now()
		if err == nil && len(runs) != fewDue {
			err = fmt.Errorf("%d of %d were started", len(runs), fewDue)
		}
		if err == nil {
			err = w.finish(ctx, runs, now)
		}
		if err != nil {
			return nil, err
		}
		finished := time.Now()
		if runs, err = w.claim(ctx, 2*fewDue, now); err == nil && len(runs) > 0 {
			err = fmt.Errorf("%d were started that are not due", len(runs))
		}
		if err != nil {
			return nil, err
		}
		looked := time.Now()
		if i >= before {
			few.Add(claimed.Sub(began))
			finish.Add(finished.Sub(claimed))
			none.Add(looked.Sub(finished))
		}
	}
	return values{
		"few": trial.Quantile(few.Sorted(), 0.50), "none": trial.Quantile(none.Sorted(), 0.50), "finish": trial.Quantile(finish.Sorted(), 0.50),
	}, nil
}
