package audit

import (
	"fmt"
	"slices"
	"time"

	"github.com/punctual-go/punctual"
)

// Books keep account of which occurrences tasks owe. The zero value is ready for use; whoever shares it guards it.
type Books struct {
	eras    []*era
	current map[string]*era // by task
}

// era is a time in which one task, with one definition, owes occurrences.
type era struct {
	task     punctual.Task
	schedule punctual.Schedule // as it applies to this task
	first    time.Time         // first occurrence owed
	delayed  bool              // occurrences follow from the ends of runs
	until    time.Time         // zero while it lasts
	erased   bool              // it was removed, and its history too
}

// Note takes down a committed Edit: what its decide function saw and what it answered.
func (b *Books) Note(v punctual.View, c punctual.Change) {
	task := c.Task
	if task == nil && v.Record != nil {
		task = &v.Record.Task
	}
	wasPaused := v.Record != nil && v.Record.Status.Paused
	if task == nil || !c.Remove && c.Task == nil && (c.Status == nil || c.Status.Paused == wasPaused) {
		return
	}
	if old := b.current[task.ID]; old != nil {
		old.until = v.Now
		delete(b.current, task.ID)
	}
	if c.Remove {
		for _, e := range b.eras {
			e.erased = e.erased || e.task.ID == task.ID && !c.KeepHistory
		}
		return
	}
	if task.Disabled || c.Status.Paused {
		return
	}
	e := &era{task: *task, schedule: applied(*task, c.Status.Anchor), first: c.Status.NextRunAt}
	if i, ok := task.Schedule.(punctual.Interval); ok {
		e.delayed = i.Delayed()
	}
	if b.current == nil {
		b.current = make(map[string]*era)
	}
	b.eras = append(b.eras, e)
	b.current[task.ID] = e
}

// applied is the task's schedule as the engine asks it.
func applied(task punctual.Task, anchor time.Time) punctual.Schedule {
	schedule := task.Schedule
	if s, ok := schedule.(punctual.PerTask); ok {
		schedule = s.ForTask(task.ID)
	}
	if s, ok := schedule.(punctual.Anchored); ok {
		schedule = s.Anchor(anchor)
	}
	return schedule
}

// Finding is something in a ledger that is not as it should be.
type Finding struct {
	Text string
	// Missing is how many occurrences have no fact, and Extra how many facts there are too many.
	Missing, Extra int
}

// Compare compares what was owed with the ledger. Each occurrence has exactly one fact, and no fact is about anything else. The tasks are
// as they stand now, and settled is when everything had come to rest: what was due in the last moments may be undecided, and each task says
// how far it got. It also returns how many occurrences were owed. Findings tell times as clock writes them.
func (b *Books) Compare(ledger []punctual.Run, tasks map[string]punctual.Snapshot, settled time.Time, clock func(time.Time) string) (found []Finding, count int) {
	owed := make(map[string][]time.Time)
	skip := make(map[string]bool)
	for _, e := range b.eras {
		id := e.task.ID
		if e.erased {
			continue
		}
		if e.delayed {
			skip[id] = true
			continue
		}
		until := e.until
		if until.IsZero() {
			until = settled
			if next := tasks[id].NextRunAt; !next.IsZero() {
				until = next.Add(-time.Microsecond)
				if next.Before(settled.Add(-5 * time.Second)) {
					found = append(found, Finding{Text: fmt.Sprintf("task %s: the occurrence at %s was not decided until %s", id, clock(next), clock(settled)), Missing: 1})
				}
			}
		}
		for t := e.first; !t.IsZero() && !t.After(until); t = e.schedule.Next(t) {
			owed[id] = append(owed[id], t)
		}
	}
	facts := make(map[string][]*punctual.Run)
	for i := range ledger {
		run := &ledger[i]
		if run.Trigger == punctual.TriggerSchedule || run.Trigger == punctual.TriggerCatchUp {
			facts[run.TaskID] = append(facts[run.TaskID], run)
		}
	}
	for id, times := range owed {
		if !skip[id] {
			count += len(times)
			found = append(found, account(id, times, facts[id], clock)...)
		}
	}
	for id, rows := range facts {
		if len(owed[id]) == 0 && !skip[id] {
			found = append(found, Finding{Text: fmt.Sprintf("task %s has %d facts and owed nothing, the first is %s", id, len(rows), Describe(rows[0], clock)), Extra: len(rows)})
		}
	}
	return found, count
}

// account compares the occurrences of one task with its facts.
func account(id string, owed []time.Time, facts []*punctual.Run, clock func(time.Time) string) (found []Finding) {
	slices.SortFunc(owed, time.Time.Compare)
	times := make([]int, len(owed))
	for _, run := range facts {
		last := run.ScheduledAt
		if run.Until.After(last) {
			last = run.Until
		}
		from, ok := slices.BinarySearchFunc(owed, run.ScheduledAt, time.Time.Compare)
		to, ends := slices.BinarySearchFunc(owed, last, time.Time.Compare)
		if !ok || !ends {
			found = append(found, Finding{Text: fmt.Sprintf("task %s: %s is about an occurrence that was not owed", id, Describe(run, clock)), Extra: 1})
			continue
		}
		if int64(to-from+1) != run.Count {
			found = append(found, Finding{Text: fmt.Sprintf("task %s: %s stands for %d occurrences but counts %d", id, Describe(run, clock), to-from+1, run.Count)})
		}
		for i := from; i <= to; i++ {
			times[i]++
		}
	}
	for i, n := range times {
		if n != 1 {
			found = append(found, Finding{Text: fmt.Sprintf("task %s: the occurrence at %s has %d facts", id, clock(owed[i]), n), Missing: max(1-n, 0), Extra: max(n-1, 0)})
		}
	}
	return found
}

// Describe tells of a run in a few words; nil is none.
func Describe(run *punctual.Run, clock func(time.Time) string) string {
	if run == nil {
		return "no row"
	}
	text := fmt.Sprintf("run %s of task %s (%v at %s, attempt %d, %v", run.ID, run.TaskID, run.Trigger, clock(run.ScheduledAt), run.Attempt, run.State)
	if run.Reason != "" {
		text += " " + run.Reason
	}
	if run.Error != "" {
		text += fmt.Sprintf(" %q", run.Error)
	}
	return text + ")"
}
