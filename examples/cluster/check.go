package main

import (
	"context"
	"fmt"
	"time"

	"github.com/punctual-go/punctual"
)

// findings are what the demonstration has shown.
type findings struct {
	By      string        // who took the long run over
	Attempt int           // with which attempt
	After   time.Duration // how long after the kill

	Occurrences int64 // that were owed
	Lost        int64 // occurrences without a fact in the ledger, and facts of attempts that host code knows nothing of
	Doubled     int64 // occurrences with two facts, and runs that ended in host code more often than the ledger explains
}

// check compares the ledger with the schedules, and with what the members have printed.
func check(ctx context.Context, st punctual.Store, found *findings, notes []note) error {
	ended := map[string]int64{}
	for _, n := range notes {
		if n.Event == "end" {
			ended[n.RunID]++
		}
	}
	tasks, err := st.Tasks(ctx, punctual.TaskQuery{Limit: punctual.MaxLimit})
	if err != nil {
		return err
	}
	for _, snap := range tasks {
		runs, err := runsOf(ctx, st, snap.Task.ID)
		if err != nil {
			return err
		}
		if err := checkTask(snap, runs, found); err != nil {
			return err
		}
		for i := range runs {
			run := &runs[i]
			lost := int64(0)
			for _, a := range run.History {
				if a.Outcome != "released" {
					lost++ // it may have ended in host code before its instance died
				}
			}
			switch n := ended[run.ID]; {
			case n > 1+lost:
				found.Doubled += n - 1 - lost
			case n == 0 && run.State == punctual.StateSucceeded:
				found.Lost++
			}
		}
	}
	return nil
}

// checkTask counts the facts of a task's occurrences: each of them is owed one, from the first to the newest.
func checkTask(snap punctual.Snapshot, runs []punctual.Run, found *findings) error {
	facts := map[time.Time]int64{}
	var first, last time.Time
	for i := range runs {
		run := &runs[i]
		switch run.Trigger {
		case punctual.TriggerRegister:
			first = snap.Task.Schedule.Next(run.ScheduledAt)
		case punctual.TriggerSchedule, punctual.TriggerCatchUp:
			at := run.ScheduledAt
			for range run.Count {
				facts[at]++
				last = later(last, at)
				at = snap.Task.Schedule.Next(at)
			}
		}
	}
	if first.IsZero() {
		return fmt.Errorf("task %s was registered and has no immediate run", snap.Task.ID)
	}
	for at := first; !at.After(last); at = snap.Task.Schedule.Next(at) {
		found.Occurrences++
		switch n := facts[at]; {
		case n == 0:
			found.Lost++
		case n > 1:
			found.Doubled += n - 1
		}
		delete(facts, at)
	}
	if len(facts) > 0 {
		return fmt.Errorf("task %s has facts for %d instants that its schedule does not yield", snap.Task.ID, len(facts))
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// runsOf reads the whole ledger of a task.
func runsOf(ctx context.Context, st punctual.Store, id string) (all []punctual.Run, err error) {
	for before := ""; ; {
		page, err := st.Runs(ctx, punctual.RunQuery{TaskID: id, Limit: punctual.MaxLimit, Before: before})
		if err != nil || len(page) == 0 {
			return all, err
		}
		all = append(all, page...)
		before = page[len(page)-1].ID
	}
}
