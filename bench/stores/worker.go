package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/punctual-go/punctual"
)

// nothing is the executor of all measurements that do not say otherwise.
var nothing = punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) { return punctual.Result{}, nil })

// worker calls a store as the engine does, without being one.
type worker struct {
	store   durable
	session string
	every   time.Duration // how far a claim moves a task on
}

var serial atomic.Int64

// begin opens the session.
func (w *worker) begin(ctx context.Context) error {
	w.session = rand.Text()
	_, err := w.store.Beat(ctx, punctual.BeatRequest{Session: w.session, Instance: instanceName, Lease: time.Hour, Clock: time.Now()})
	return err
}

const instanceName = "bench/12345"

// run is a run that starts now.
func (w *worker) run(task string, now time.Time) punctual.Run {
	return punctual.Run{
		ID: fmt.Sprintf("%026d", serial.Add(1)), TaskID: task, TaskName: task, Trigger: punctual.TriggerSchedule, ScheduledAt: now, Count: 1, Attempt: 1,
		State: punctual.StateRunning, StartedAt: now, CreatedAt: now, Instance: instanceName, Session: w.session, Revision: 1,
	}
}

// claim starts what is due, at most limit of it, by the given clock; zero is the store's.
func (w *worker) claim(ctx context.Context, limit int, now time.Time) ([]punctual.Run, error) {
	reply, err := w.store.Claim(ctx, punctual.ClaimRequest{Session: w.session, Limit: limit, Now: now, Decide: func(v punctual.View) (punctual.Change, error) {
		status := v.Record.Status
		run := w.run(v.Record.Task.ID, v.Now)
		run.ScheduledAt = status.NextRunAt
		status.LastOccurrence, status.NextRunAt = status.NextRunAt, status.NextRunAt.Add(w.every)
		return punctual.Change{Status: &status, Insert: []punctual.Run{run}}, nil
	}})
	return reply.Started, err
}

// finish records that runs have succeeded.
func (w *worker) finish(ctx context.Context, runs []punctual.Run, now time.Time) error {
	items := make([]punctual.Finish, len(runs))
	at := now
	if at.IsZero() {
		at = time.Now()
	}
	for i := range runs {
		items[i] = punctual.Finish{RunID: runs[i].ID, TaskID: runs[i].TaskID, Attempt: 1, State: punctual.StateSucceeded, StartedAt: at, FinishedAt: at}
	}
	reply, err := w.store.Finish(ctx, punctual.FinishRequest{Now: now, Session: w.session, Items: items})
	if err != nil {
		return err
	}
	for _, verdict := range reply.Verdicts {
		if verdict != punctual.VerdictApplied {
			return fmt.Errorf("a result was not recorded: %v", verdict)
		}
	}
	return nil
}

// step takes the next batch from due to done.
func (w *worker) step(ctx context.Context) (int, error) {
	started, err := w.claim(ctx, batch, time.Time{})
	if err != nil || len(started) == 0 {
		return 0, err
	}
	return len(started), w.finish(ctx, started, time.Time{})
}
