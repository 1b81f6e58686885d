package sim

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// onEachStore plays a scenario on every store, brings the world to rest and checks all promises.
func onEachStore(t *testing.T, scenario func(t *testing.T, w *World)) {
	t.Helper()
	inEachWorld(t, func(t *testing.T, w *World) {
		scenario(t, w)
		w.End()
		require.Empty(t, w.Check())
	})
}

// onOneMachine plays a scenario in which the clock of the process decides, as in a program with an embedded store, so that a jump of that
// clock is one of all time there is. The checker, whose time goes on evenly, has no say.
func onOneMachine(t *testing.T, scenario func(t *testing.T, w *World)) {
	t.Helper()
	inEachWorld(t, func(t *testing.T, w *World) {
		w.embedded = true
		scenario(t, w)
	})
}

func inEachWorld(t *testing.T, scenario func(t *testing.T, w *World)) {
	t.Helper()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := NewWorld(1, open(t), nil)
				w.rest = 2*Lease + 10*time.Second
				defer w.End() // also when the scenario fails, since a bubble does not end before its goroutines
				scenario(t, w)
			})
		})
	}
}

// takes is a plan in which host code goes on for a while and obeys its context.
func takes(d time.Duration) func(*Execution) Work {
	return func(*Execution) Work { return Work{Takes: d} }
}

// hourly is an interval task that runs at once.
func hourly(id string) punctual.Task {
	return punctual.Task{ID: id, Schedule: punctual.Every(time.Hour)}
}

// at is a task that runs once, so long after the world began.
func (w *World) at(id string, d time.Duration) punctual.Task {
	return punctual.Task{ID: id, Schedule: punctual.Once(w.Begin.Add(d))}
}

// after lets the world go on until so long after it began.
func (w *World) after(d time.Duration) {
	time.Sleep(time.Until(w.Begin.Add(d)))
	synctest.Wait()
}

// tries returns the executions of a task.
func (w *World) tries(taskID string) []Execution {
	return slices.DeleteFunc(w.Executions(), func(e Execution) bool { return e.Run.TaskID != taskID })
}

// begun returns when the executions of a task began, in seconds since the world began.
func (w *World) begun(taskID string) []float64 {
	var seconds []float64
	for _, e := range w.tries(taskID) {
		seconds = append(seconds, e.Begun.Sub(w.Begin).Round(100*time.Millisecond).Seconds())
	}
	return seconds
}

// rows returns the ledger of a task, oldest first.
func (w *World) rows(t *testing.T, taskID string) []punctual.Run {
	t.Helper()
	var all []punctual.Run
	for q := (punctual.RunQuery{TaskID: taskID, Limit: punctual.MaxLimit}); ; q.Before = all[len(all)-1].ID {
		page, err := w.store.Runs(context.Background(), q)
		require.NoError(t, err)
		all = append(all, page...)
		if len(page) < q.Limit {
			slices.Reverse(all)
			return all
		}
	}
}

// facts tells the ledger of a task in words, oldest first: trigger, scheduled time since the world began, state, reason, attempt if it is
// not the first, count if it is a range.
func (w *World) facts(t *testing.T, taskID string) []string {
	t.Helper()
	var facts []string
	for _, run := range w.rows(t, taskID) {
		fact := fmt.Sprintf("%v %s %v", run.Trigger, w.clockTime(run.ScheduledAt.Round(100*time.Millisecond)), run.State)
		if run.Reason != "" {
			fact += " " + run.Reason
		}
		if run.Attempt > 1 {
			fact += fmt.Sprintf(" in attempt %d", run.Attempt)
		}
		if run.Count > 1 {
			fact += fmt.Sprintf(" %d times", run.Count)
		}
		facts = append(facts, fact)
	}
	return facts
}

// lastBeat is when the last beat of the session that an execution belongs to was committed.
func (w *World) lastBeat(e Execution) time.Time {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	return w.store.expiries[e.Run.Session].Add(-Lease)
}

// spoiled lets one process see its store through a broken variant.
func (w *World) spoiled(name string, b broken) {
	w.spoil = func(p *Process, store shared) shared {
		if p.Name != name {
			return store
		}
		b.shared, b.process = store, p
		return &b
	}
}
