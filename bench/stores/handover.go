package main

import (
	"context"
	"errors"
	"time"

	"github.com/riverqueue/river"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/bench/internal/trial"
)

// patience is how long a start on another instance is waited for.
const patience = 10 * time.Second

// engineHandOver registers tasks on an instance that does not handle their kind and waits until another one has started them. Each has a
// store of its own, as in two processes.
func engineHandOver(ctx context.Context, b backend, place string, s size) (values, error) {
	started := make(chan time.Time, 1)
	elsewhere, here := &punctual.Mux{}, &punctual.Mux{}
	for kind, mux := range map[string]*punctual.Mux{"here": here, "elsewhere": elsewhere} {
		mux.HandleFunc(kind, func(context.Context, punctual.Run) (punctual.Result, error) {
			started <- time.Now()
			return punctual.Result{}, nil
		})
	}
	var instances [2]*punctual.Scheduler
	for i, mux := range []*punctual.Mux{here, elsewhere} {
		store, err := b.open(ctx, place)
		if err != nil {
			return nil, err
		}
		defer store.Close()
		if instances[i], err = punctual.New(store, mux); err != nil {
			return nil, err
		}
		defer instances[i].Close()
		if err := instances[i].Start(ctx); err != nil {
			return nil, err
		}
	}
	v, err := handOvers(ctx, s.HandOvers, started, func(i int) error {
		return instances[0].Add(ctx, punctual.Task{
			ID: taskName(i), Kind: "elsewhere", Schedule: punctual.Every(time.Hour), OnRegister: punctual.RunImmediatelyOnRegister,
		})
	})
	if err != nil {
		return nil, err
	}
	return v, errors.Join(instances[0].Shutdown(ctx), instances[1].Shutdown(ctx))
}

// riverHandOver inserts jobs by a client that only inserts, which another one works.
func riverHandOver(ctx context.Context, _ backend, place string, s size) (values, error) {
	r, err := openRiver(ctx, place)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	started := make(chan time.Time, 1)
	worker, err := r.client(false, func(*river.Job[riverJob]) { started <- time.Now() })
	if err != nil {
		return nil, err
	}
	inserter, err := r.client(false, nil)
	if err != nil {
		return nil, err
	}
	if err := worker.Start(context.WithoutCancel(ctx)); err != nil {
		return nil, err
	}
	v, err := handOvers(ctx, s.HandOvers, started, func(i int) error {
		_, err := inserter.Insert(ctx, riverJob{Task: taskName(i)}, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	return v, worker.Stop(ctx)
}

// handOvers hands over one after the other and takes the times from the call to the start. The first ones are not counted: they wait
// until both instances are up.
func handOvers(ctx context.Context, n int, started <-chan time.Time, add func(i int) error) (values, error) {
	const first = 5
	late := trial.NewSamples(n)
	for i := range first + n {
		began := time.Now()
		if err := add(i); err != nil {
			return nil, err
		}
		timeout := time.NewTimer(patience)
		select {
		case at := <-started:
			timeout.Stop()
			if i >= first {
				late.Add(at.Sub(began))
			}
		case <-timeout.C:
			return nil, errors.New("a task did not start on the other instance in " + patience.String())
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		time.Sleep(pauseBetween)
	}
	v := values{}
	v.quantiles(late.Sorted())
	return v, nil
}

// pauseBetween lets both instances come to rest between two hand-overs.
const pauseBetween = 10 * time.Millisecond
