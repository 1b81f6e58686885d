package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/bench/internal/machine"
)

// usage is what this process and the server use over a span of time.
type usage struct {
	began   time.Time
	process time.Duration
	server  time.Duration
	family  machine.Family
	remote  bool // there is a server
	known   bool // what it uses is known
	failed  error
}

// watch begins to look at what is used.
func watch(ctx context.Context, b backend) *usage {
	u := &usage{remote: b.server != nil}
	if b.server != nil {
		var err error
		if u.family, err = b.server(ctx); err == nil {
			u.server, err = u.family.CPUTime()
			u.known = err == nil
		}
	}
	u.began = time.Now()
	u.process, u.failed = machine.CPUTime()
	return u
}

// each writes, besides the rate of so many occurrences, the CPU time that one of them took, here and in the server.
func (u *usage) each(v values, occurrences int) {
	took := time.Since(u.began).Seconds()
	v["rate"] = float64(occurrences) / took
	u.into(v)
	if all, known := v.cores(u.remote); known {
		v["cpu"] = all * took / float64(occurrences)
	}
}

// cores is what process and server use together; false when one of them is not known.
func (v values) cores(remote bool) (float64, bool) {
	process, known := v["process"]
	server, alsoKnown := v["server"]
	return process + server, known && (alsoKnown || !remote)
}

// into writes the cores that were used until now.
func (u *usage) into(v values) {
	took := time.Since(u.began).Seconds()
	if process, err := machine.CPUTime(); err == nil && u.failed == nil {
		v["process"] = (process - u.process).Seconds() / took
	}
	if !u.known {
		return
	}
	if server, err := u.family.CPUTime(); err == nil {
		v["server"] = (server - u.server).Seconds() / took
	}
}

// hourly is a crowd of tasks that are all due now, and again in an hour. However late its turn comes, none is late.
func hourly(tasks int) crowd {
	return crowd{tasks: tasks, every: time.Hour, first: time.Now().Add(-time.Millisecond), grace: time.Hour}
}

// engineOccurrences measures a Scheduler whose executor does nothing.
func engineOccurrences(ctx context.Context, b backend, place string, s size) (values, error) {
	if err := fill(ctx, b, place, hourly(s.Occurrences)); err != nil {
		return nil, err
	}
	store, err := b.open(ctx, place)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	var started atomic.Int64
	all := make(chan struct{})
	scheduler, err := punctual.New(store, punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
		if started.Add(1) == int64(s.Occurrences) {
			close(all)
		}
		return punctual.Result{}, nil
	}), punctual.WithConcurrency(concurrency))
	if err != nil {
		return nil, err
	}
	defer scheduler.Close()
	u := watch(ctx, b)
	if err := scheduler.Start(ctx); err != nil {
		return nil, err
	}
	select {
	case <-all:
	case <-ctx.Done():
		return nil, fmt.Errorf("%d of %d came to their start", started.Load(), s.Occurrences)
	}
	if err := scheduler.Shutdown(ctx); err != nil { // which stores the results that are still on their way
		return nil, err
	}
	v := values{}
	u.each(v, s.Occurrences)
	return v, succeeded(ctx, store)
}

// succeeded checks that the ledger has runs, and all of them as succeeded.
func succeeded(ctx context.Context, store punctual.Store) error {
	for want, states := range map[int][]punctual.State{
		1: {punctual.StateSucceeded},
		0: {
			punctual.StatePending, punctual.StateRunning, punctual.StateFailed, punctual.StateCanceled, punctual.StateSkipped, punctual.StateMissed,
			punctual.StateLost,
		},
	} {
		found, err := store.Runs(ctx, punctual.RunQuery{States: states, Limit: 1})
		if err == nil && len(found) != want {
			err = fmt.Errorf("of the runs that are %v there are %d, not %d", states, len(found), want)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// concurrency is how many runs an instance may execute at a time, and how many workers River has.
const concurrency = 1000

// callOccurrences measures the calls of the store that the engine makes, by as many workers as can write at a time.
func callOccurrences(ctx context.Context, b backend, place string, s size) (values, error) {
	if err := fill(ctx, b, place, hourly(s.Occurrences)); err != nil {
		return nil, err
	}
	store, err := b.open(ctx, place)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	w := &worker{store: store, every: time.Hour}
	if err := w.begin(ctx); err != nil {
		return nil, err
	}
	v, err := together(ctx, b, s.Occurrences, w.step)
	if err != nil {
		return nil, err
	}
	return v, succeeded(ctx, store)
}

// bareOccurrences measures the bare loop.
func bareOccurrences(ctx context.Context, b backend, place string, s size) (values, error) {
	if err := fill(ctx, b, place, hourly(s.Occurrences)); err != nil {
		return nil, err
	}
	loop, err := b.bare(ctx, b, place)
	if err != nil {
		return nil, err
	}
	defer loop.Close()
	return together(ctx, b, s.Occurrences, loop.step)
}

// together lets as many workers as can write take steps until all tasks have been taken.
func together(ctx context.Context, b backend, tasks int, step func(context.Context) (int, error)) (values, error) {
	u := watch(ctx, b)
	var done atomic.Int64
	var failures sync.Map
	var workers sync.WaitGroup
	for i := range b.writers {
		workers.Go(func() {
			for ctx.Err() == nil && done.Load() < int64(tasks) {
				n, err := step(ctx)
				if err != nil {
					failures.Store(i, err)
					return
				}
				if n == 0 {
					return // what is left is with somebody else
				}
				done.Add(int64(n))
			}
		})
	}
	workers.Wait()
	v := values{}
	u.each(v, tasks)
	var err error
	failures.Range(func(_, failure any) bool {
		err = errors.Join(err, failure.(error))
		return true
	})
	if err == nil && done.Load() != int64(tasks) {
		err = fmt.Errorf("%d of %d were done", done.Load(), tasks)
	}
	return v, err
}
