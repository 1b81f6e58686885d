package punctual

import (
	"fmt"
	"slices"
	"time"
)

// registerMode says which call a registration comes from.
type registerMode uint8

const (
	modeAdd registerMode = iota
	modeEnsure
	modeReschedule
)

// registration is what Add, Ensure or Reschedule ask for.
type registration struct {
	mode     registerMode
	task     Task  // the new definition; its revision is for decideRegister to set
	revision int64 // that the task should have; zero for any
}

// decideRegister says what a registration with a valid definition does. The answer may lie in the registration and in the room.
func (r *rules) decideRegister(v *View, asked *registration, room *room) (c Change, err error) {
	old, task, mode := v.Record, &asked.task, asked.mode
	switch {
	case old == nil && mode == modeReschedule:
		return Change{}, fmt.Errorf("%w: %q", ErrTaskNotFound, task.ID)
	case old == nil && asked.revision != 0:
		return Change{}, fmt.Errorf("%w: %q has no revision %d, it does not exist", ErrConflict, task.ID, asked.revision)
	case old != nil && mode == modeAdd:
		return Change{}, fmt.Errorf("%w: %q", ErrTaskExists, task.ID)
	case old != nil && asked.revision != 0 && asked.revision != old.Task.Revision:
		return Change{}, fmt.Errorf("%w: %q is at revision %d, not %d", ErrConflict, task.ID, old.Task.Revision, asked.revision)
	case old != nil && mode == modeEnsure && old.Fault == "" && task.sameDefinition(old.Task):
		return Change{}, nil
	}
	room.status = Status{}
	status := &room.status
	task.Revision = 1
	if old != nil {
		task.Revision = old.Task.Revision + 1
		status.Paused = old.Status.Paused
		if _, interval := task.Schedule.(Interval); !interval {
			status.LastOccurrence = old.Status.LastOccurrence
		}
	}
	first := v.Now.Add(task.FirstDelay).Add(r.registerSpread(task.ID))
	status.Anchor = first
	c.Task, c.Status = task, status
	reason := ReasonSuperseded
	if task.Disabled {
		reason = ReasonDisabled
	}
	g := newGate(task, v)
	c.Update = dropPending(v, &g, reason)
	if old != nil {
		c.Insert = r.overdue(v, status, reason)
	}
	if task.Disabled || status.Paused {
		return c, nil
	}
	// A window or an exception that leaves the moment out holds for the default immediate run, not for one that was asked for.
	immediate := task.runsAtOnce(r.register) && (task.OnRegister == RunImmediatelyOnRegister || admits(task.Schedule, first))
	if err := owe(task, status, first, immediate || g.active > 0); err != nil {
		return Change{}, err
	}
	if status.NextRunAt.IsZero() && status.Delay == 0 && !immediate {
		return Change{}, &TaskError{task.ID, []FieldError{{
			"Schedule", fmt.Sprintf("%q yields no occurrence after %s", clip(task.Schedule.String(), 128), first.Format(time.RFC3339)),
		}}}
	}
	if immediate {
		run := &room.run[0]
		*run = r.newRun(task, TriggerRegister, first, v.Now)
		run.State, run.DueAt = StatePending, first
		if !first.After(v.Now) && g.pass(r, &c, run, v.Now, newcomer) == passReplace {
			c.Update = overtake(v, c.Update, run)
		}
		if c.Insert == nil {
			c.Insert = room.run[:]
		} else {
			c.Insert = append(c.Insert, *run)
		}
	}
	return c, nil
}

// owe sets what an enabled task owes next, counted from the given instant. With busy, a run exists whose end sets the next
// occurrence of a fixed delay.
func owe(task *Task, status *Status, from time.Time, busy bool) error {
	status.Delay = task.delay()
	if status.Delay > 0 {
		status.NextRunAt = time.Time{}
		if !busy {
			status.NextRunAt = from.Add(status.Delay)
		}
		return nil
	}
	if status.LastOccurrence.After(from) {
		from = status.LastOccurrence // the clock went back: what has a ledger fact is not owed again
	}
	status.NextRunAt = task.nextOccurrence(status.Anchor, from)
	if !status.NextRunAt.IsZero() && !status.NextRunAt.After(from) {
		return fmt.Errorf("punctual: schedule %q of task %q is not increasing: after %v it yields %v", task.Schedule, task.ID, from, status.NextRunAt)
	}
	return nil
}

// registerSpread is the task's fixed share of the register spread.
func (r *rules) registerSpread(taskID string) time.Duration {
	if r.spread <= 0 {
		return 0
	}
	return micro(time.Duration(hashFraction(taskID, 0) * float64(r.spread)))
}

// dropPending ends the pending runs that a newer registration, a pause or a removal overtakes. Those that never began are skipped,
// those that wait for another attempt end with their last error. What people asked for by hand stays, and whatever of it waits
// for the gate is looked at anew, since the gate may have changed.
func dropPending(v *View, g *gate, reason string) []Run {
	var updates []Run
	for _, run := range v.Pending {
		waits, forKey := run.DueAt.IsZero(), run.WaitsForKey
		switch {
		case run.Trigger == TriggerManual && reason != ReasonRemoved:
			if !waits {
				continue
			}
			run.DueAt, run.WaitsForKey = v.Now, false
		case run.Attempt == 0:
			endRun(&run, StateSkipped, reason, v.Now)
		default:
			endRun(&run, StateFailed, reason, v.Now)
		}
		switch {
		case waits && forKey:
			g.keyWaiting--
		case waits:
			g.waiting--
		}
		updates = append(updates, run)
	}
	if g.waiting == 0 {
		g.waiter = nil
	}
	return updates
}

// overtake skips the manual runs that have not begun when an immediate run waits to replace what is active: of the runs that replace, only
// the newest should begin. Dropped is what dropPending has changed already.
func overtake(v *View, dropped []Run, newer *Run) []Run {
	for _, run := range v.Pending {
		if run.Trigger != TriggerManual || run.Attempt > 0 {
			continue
		}
		endRun(&run, StateSkipped, ReasonReplaced, v.Now)
		run.BlockedBy = newer.ID
		if i := slices.IndexFunc(dropped, func(d Run) bool { return d.ID == run.ID }); i >= 0 {
			dropped[i] = run
		} else {
			dropped = append(dropped, run)
		}
	}
	return dropped
}

// overdue accounts for the occurrences that were due when a registration, a pause or a removal came before anybody had claimed them: one
// skipped row stands for all of them, and the new status knows the last. A task that was set aside owes nothing, since its schedule may be
// what is wrong with it.
func (r *rules) overdue(v *View, status *Status, reason string) []Run {
	task, old := &v.Record.Task, &v.Record.Status
	first := old.NextRunAt
	if v.Record.Fault != "" || task.Disabled || old.Paused || first.IsZero() || first.After(v.Now) {
		return nil
	}
	run, last := r.newRun(task, TriggerSchedule, first, v.Now), first
	if old.Delay == 0 {
		schedule := bind(task.Schedule, task.ID, old.Anchor)
		if latest := latestOccurrences(schedule, first, v.Now, 1); len(latest) > 0 {
			last = micros(latest[0])
			run.Count, run.Until = 1+countOccurrences(schedule, first, v.Now), last
		}
	}
	endRun(&run, StateSkipped, reason, v.Now)
	if last.After(status.LastOccurrence) {
		status.LastOccurrence = last
	}
	return []Run{run}
}

// decidePause stops what a task owes.
func (r *rules) decidePause(v *View) (Change, error) {
	if v.Record.Status.Paused {
		return Change{}, nil
	}
	status := v.Record.Status
	overdue := r.overdue(v, &status, ReasonPaused)
	status.Paused, status.NextRunAt, status.Delay, status.Skipping = true, time.Time{}, 0, Skipping{}
	g := newGate(&v.Record.Task, v)
	return Change{Status: &status, Update: dropPending(v, &g, ReasonPaused), Insert: overdue}, nil
}

// decideResume makes the next occurrence after now the one that is owed.
func (r *rules) decideResume(v *View) (Change, error) {
	if !v.Record.Status.Paused {
		return Change{}, nil
	}
	task, status := &v.Record.Task, v.Record.Status
	status.Paused = false
	if !task.Disabled {
		if err := owe(task, &status, v.Now, v.Active > 0); err != nil {
			return Change{}, err
		}
	}
	return Change{Status: &status}, nil
}

// decideRunNow makes a manual run.
func (r *rules) decideRunNow(v *View) (Change, error) {
	run := r.newRun(&v.Record.Task, TriggerManual, v.Now, v.Now)
	run.DueAt = v.Now
	var c Change
	g := newGate(&v.Record.Task, v)
	g.pass(r, &c, &run, v.Now, newcomer)
	c.Insert = []Run{run}
	return c, nil
}

// decideBackfill makes a run of each occurrence in [from, to) that is past and was not executed. An occurrence that the task owes is left to
// Claim, which will say what becomes of it.
func (r *rules) decideBackfill(v *View, from, to time.Time, executed map[time.Time]bool) (Change, error) {
	task, status := &v.Record.Task, v.Record.Status
	if task.delay() > 0 {
		return Change{}, fmt.Errorf("%w: %q has a fixed delay, whose occurrences follow from its runs", ErrInvalidQuery, task.ID)
	}
	for _, bound := range []time.Time{v.Now, status.NextRunAt} {
		if !bound.IsZero() && bound.Before(to) {
			to = bound
		}
	}
	const tick = time.Microsecond
	schedule := bind(task.Schedule, task.ID, status.Anchor)
	from, to = from.Add(-tick), to.Add(-tick)
	if !from.Before(to) {
		return Change{}, nil
	}
	if n := countOccurrences(schedule, from, to); n > MaxBackfill {
		return Change{}, fmt.Errorf("%w: the range has %d occurrences, and one call covers at most %d", ErrInvalidQuery, n, MaxBackfill)
	}
	var c Change
	for at := nextOccurrence(schedule, from); !at.IsZero() && !at.After(to); at = nextOccurrence(schedule, at) {
		if executed[at] {
			continue
		}
		run := r.newRun(task, TriggerBackfill, at, v.Now)
		run.State, run.DueAt = StatePending, v.Now
		c.Insert = append(c.Insert, run)
	}
	return c, nil
}

// decideRemove deletes a task.
func (r *rules) decideRemove(v *View, keepHistory bool) (Change, error) {
	c := Change{Remove: true, KeepHistory: keepHistory}
	if keepHistory {
		g := newGate(&v.Record.Task, v)
		c.Update = dropPending(v, &g, ReasonRemoved)
		c.Insert = r.overdue(v, &Status{}, ReasonRemoved)
	}
	return c, nil
}

// decideCancel ends a pending run and orders the end of a running one.
func (r *rules) decideCancel(v *View) (Change, error) {
	run := *v.Run
	switch {
	case run.State.Final():
		return Change{}, fmt.Errorf("%w: %s is %v", ErrRunFinished, run.ID, run.State)
	case run.State == StateRunning:
		return Change{Cancel: []CancelOrder{{RunID: run.ID, Reason: ReasonCanceled}}}, nil
	}
	endRun(&run, StateCanceled, ReasonCanceled, v.Now)
	c := Change{Update: []Run{run}}
	waits := 0
	for _, other := range v.Pending {
		if other.ID == run.ID || !other.DueAt.IsZero() {
			continue
		}
		if other.WaitsForKey {
			waits++
			continue
		}
		// The cancelled run may have been the one that the gate had let through: the next in line is looked at.
		other.DueAt = v.Now
		c.Update = append(c.Update, other)
		waits++
		break
	}
	if v.Record != nil {
		status := v.Record.Status
		if status.Delay > 0 && status.NextRunAt.IsZero() && v.Active == 0 && waits == 0 {
			status.NextRunAt = v.Now.Add(status.Delay)
			c.Status = &status
		}
	}
	return c, nil
}
