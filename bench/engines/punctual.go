package main

import (
	"context"
	"strconv"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

// drainLimit is how long an engine may take to end.
const drainLimit = 20 * time.Second

// punctualEngine is Punctual with the memory store as New makes it: every run goes into the ledger. Only the number of runs at a time is
// raised, which the peers do not bound.
type punctualEngine struct {
	scheduler *punctual.Scheduler
}

func openPunctual(_ int, run run) (engine, error) {
	s, err := punctual.New(memory.New(), punctual.ExecutorFunc(func(_ context.Context, r punctual.Run) (punctual.Result, error) {
		id, err := strconv.Atoi(r.TaskID)
		if err != nil {
			return punctual.Result{}, err
		}
		run(id)
		return punctual.Result{}, nil
	}), punctual.WithConcurrency(100_000))
	if err != nil {
		return nil, err
	}
	return &punctualEngine{s}, nil
}

func (e *punctualEngine) start() error { return e.scheduler.Start(context.Background()) }

func (e *punctualEngine) add(t task) error {
	return e.scheduler.Add(context.Background(), definition(t))
}

func (e *punctualEngine) reschedule(t task) error {
	return e.scheduler.Reschedule(context.Background(), definition(t))
}

func (e *punctualEngine) remove(id int) error {
	return e.scheduler.Remove(context.Background(), strconv.Itoa(id))
}

func (e *punctualEngine) drain() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	return e.scheduler.Shutdown(ctx)
}

func definition(t task) punctual.Task {
	every := punctual.Every(t.every)
	if !t.first.IsZero() {
		every = every.From(t.first.Add(-t.every))
	}
	register := punctual.WaitForSchedule
	if t.now {
		register = punctual.RunImmediatelyOnRegister
	}
	return punctual.Task{ID: strconv.Itoa(t.id), Schedule: every, OnRegister: register}
}
