package punctual

import (
	"errors"
	"fmt"
	"time"
)

// This file holds every decision about a task: what a registration does, what becomes of what is due, what pausing means. The
// functions are pure: values in, values out, no clock, no I/O, no goroutine. Stores call them under a task's lock.

// rules is what decisions need to know of the Scheduler that asks.
type rules struct {
	instance string
	session  string
	register RegisterPolicy
	spread   time.Duration
	handles  func(kind string) bool // whether this instance runs a kind; nil for all
	newID    func(now time.Time) string
}

// gate is what stands between a run of one task and its start while one View is decided: the task's overlap policy, its
// concurrency key and the slots. What was started so far counts.
type gate struct {
	task       *Task
	active     int
	oldest     string
	waiting    int
	waiter     *Run // the newest that waits; nil for none
	keyActive  int
	keyOldest  string
	keyWaiting int
	slots      int
}

func newGate(task *Task, v View) *gate {
	return &gate{
		task: task, active: v.Active, oldest: v.OldestActive, waiting: v.Waiting, waiter: v.Waiter,
		keyActive: v.KeyActive, keyOldest: v.KeyOldest, keyWaiting: v.KeyWaiting, slots: v.Slots,
	}
}

// busy reports whether there is a run whose end comes: active, or waiting to become so.
func (g *gate) busy() bool { return g.active+g.waiting+g.keyWaiting > 0 }

// inTheWay is the run that keeps others from starting: the task's oldest active one, or the one that holds its key.
func (g *gate) inTheWay() string {
	if g.oldest != "" {
		return g.oldest
	}
	return g.keyOldest
}

// passage is what the gate says to a run that wants to start now.
type passage uint8

const (
	passStart    passage = iota // start it
	passWait                    // let it wait until an active run of the task ends
	passKey                     // let it wait for its concurrency key
	passReplace                 // let it wait for the end of the oldest active run, which is cancelled
	passReplaced                // end it: a newer run has taken its place while it waited for another attempt
	passSkip                    // skip it: the gate is full
	passFull                    // skip it: the gate is full and so is the queue
	passDefer                   // it may start, but this call has no slot left
)

// admit says what becomes of a run that wants to start now. Accepted runs (retries, catch-ups, those that have waited) are never
// skipped.
func (g *gate) admit(run *Run, accepted bool) passage {
	replaces := g.task.Overlap == OverlapReplace
	switch {
	case g.active+g.keyWaiting < g.task.maxActive():
		switch {
		case g.task.ConcurrencyKey != "" && g.keyActive >= g.task.keyLimit():
			return passKey
		case g.slots == 0:
			return passDefer
		}
		return passStart
	case replaces && run.Attempt > 0:
		return passReplaced
	case replaces && !accepted:
		return passReplace
	case accepted, g.task.Overlap == OverlapAllow:
		return passWait
	case g.task.Overlap == OverlapQueue && g.waiting < g.task.maxQueued():
		return passWait
	case g.task.Overlap == OverlapQueue:
		return passFull
	default:
		return passSkip
	}
}

// start makes run the gate's newest active run.
func (g *gate) start(r *rules, run *Run, now time.Time) {
	g.active++
	g.slots--
	if g.oldest == "" || run.ID < g.oldest {
		g.oldest = run.ID
	}
	if g.task.ConcurrencyKey != "" {
		g.keyActive++
		if g.keyOldest == "" || run.ID < g.keyOldest {
			g.keyOldest = run.ID
		}
	}
	run.State = StateRunning
	run.Attempt++
	run.StartedAt = now
	run.DueAt = time.Time{}
	run.Instance = r.instance
	run.Session = r.session
}

// pass carries out what admit says, for runs that may be pending when they are deferred. What it does to other runs goes to c.
func (g *gate) pass(r *rules, c *Change, run *Run, now time.Time, accepted bool) passage {
	p := g.admit(run, accepted)
	run.ConcurrencyKey, run.WaitsForKey = g.task.ConcurrencyKey, p == passKey
	switch p {
	case passStart:
		g.start(r, run, now)
	case passWait:
		g.wait(run)
	case passKey:
		g.keyWaiting++
		run.State, run.DueAt = StatePending, time.Time{}
	case passReplace:
		g.replace(c, run, now)
		g.wait(run)
	case passReplaced:
		endRun(run, StateFailed, ReasonReplaced, now)
		run.BlockedBy = g.oldest
	case passDefer:
		run.State = StatePending
	case passSkip, passFull:
		reason := ReasonOverlap
		if p == passFull {
			reason = ReasonQueueFull
		}
		endRun(run, StateSkipped, reason, now)
		run.BlockedBy = g.inTheWay()
	}
	return p
}

func (g *gate) wait(run *Run) {
	g.waiting++
	g.waiter = run
	run.State, run.DueAt = StatePending, time.Time{}
}

// replace makes room for run: the oldest active run is to be cancelled, and a run that waits in the same way is skipped, since only
// the newest of them should begin. Catch-ups, backfills and retries that wait keep their place.
func (g *gate) replace(c *Change, run *Run, now time.Time) {
	if g.oldest != "" {
		c.Cancel = append(c.Cancel, CancelOrder{g.oldest, ReasonReplaced, run.ID})
	}
	if w := g.waiter; w != nil && w.ID != run.ID && w.Attempt == 0 && w.Trigger != TriggerCatchUp && w.Trigger != TriggerBackfill {
		old := *w
		endRun(&old, StateSkipped, ReasonReplaced, now)
		old.BlockedBy = run.ID
		c.Update = append(c.Update, old)
		g.waiting--
		g.waiter = nil
	}
}

func endRun(run *Run, state State, reason string, now time.Time) {
	run.State, run.Reason, run.FinishedAt, run.DueAt = state, reason, now, time.Time{}
	run.Session, run.WaitsForKey = "", false
}

// newRun makes a ledger row for a task that has no state yet.
func (r *rules) newRun(task *Task, trigger Trigger, at, now time.Time) Run {
	return Run{
		ID: r.newID(now), TaskID: task.ID, TaskName: task.displayName(), Kind: task.Kind, Trigger: trigger,
		ScheduledAt: at, Count: 1, Revision: task.Revision, AtMostOnce: task.Lost == LostMark, CreatedAt: now,
		ConcurrencyKey: task.ConcurrencyKey,
	}
}

// decideDue says what becomes of a task that Claim found due: first its pending runs, then its occurrences.
func (r *rules) decideDue(v View) (Change, error) {
	task, status := &v.Record.Task, v.Record.Status
	g := newGate(task, v)
	var c Change
	for _, run := range v.Pending {
		fresh := run.Attempt == 0 && (run.Trigger == TriggerRegister || run.Trigger == TriggerManual)
		if g.pass(r, &c, &run, v.Now, !fresh) == passDefer {
			c.Deferred = true
			return c, nil
		}
		if run.State == StateRunning && status.Skipping != (Skipping{}) {
			status.Skipping = Skipping{}
			c.Status = &status
		}
		c.Update = append(c.Update, run)
	}
	if status.NextRunAt.IsZero() || status.NextRunAt.After(v.Now) || !r.mayRun(task.Kind) {
		return c, nil
	}
	if err := r.decideOccurrences(v, g, &status, &c); err != nil {
		return Change{}, err
	}
	return c, nil
}

// mayRun reports whether this instance runs a kind. A task may be due for a run of the kind that it had before, so that an instance
// looks at it that does not know its present kind.
func (r *rules) mayRun(kind string) bool { return r.handles == nil || r.handles(kind) }

// decideOccurrences handles the occurrence that a task owes, and all later ones that are due when it comes too late.
func (r *rules) decideOccurrences(v View, g *gate, status *Status, c *Change) error {
	task, first := g.task, status.NextRunAt
	if task.Disabled || status.Paused {
		status.NextRunAt, c.Status = time.Time{}, status
		return nil
	}
	schedule := bind(task.Schedule, task.ID, status.Anchor)
	late := func(t time.Time) bool { return v.Now.Sub(t) > task.misfireGrace() }
	due := dueOccurrences{run: []time.Time{first}, last: first}
	if late(first) {
		due = findDue(schedule, task, status, v.Now)
	}
	ran := false
	if len(due.run) == 1 {
		trigger := TriggerSchedule
		if late(due.run[0]) {
			trigger = TriggerCatchUp
		}
		run := r.newRun(task, trigger, due.run[0], v.Now)
		switch g.pass(r, c, &run, v.Now, false) {
		case passDefer:
			c.Deferred = true
			return nil
		case passSkip, passFull:
			r.addSkip(run, status, c)
		default:
			status.Skipping = Skipping{}
			c.Insert = append(c.Insert, run)
			ran = true
		}
	}
	if due.missed > 0 {
		run := r.newRun(task, TriggerSchedule, first, v.Now)
		run.Count = due.missed
		if due.missed > 1 {
			run.Until = due.missedLast
		}
		endRun(&run, StateMissed, ReasonMisfire, v.Now)
		c.Insert = append(c.Insert, run)
	}
	if len(due.run) > 1 {
		for _, at := range due.run {
			run := r.newRun(task, TriggerCatchUp, at, v.Now)
			run.State, run.DueAt = StatePending, v.Now
			c.Insert = append(c.Insert, run)
		}
		status.Skipping = Skipping{}
		ran = true
	}
	status.LastOccurrence = due.last
	c.Status = status
	switch {
	case status.Delay == 0:
		next := nextOccurrence(schedule, due.last)
		if !next.IsZero() && !next.After(due.last) {
			return fmt.Errorf("schedule %q is not increasing: after %v it yields %v", schedule, due.last, next)
		}
		status.NextRunAt = next
	case ran || g.busy():
		status.NextRunAt = time.Time{} // the end of the run sets it
	default:
		status.NextRunAt = v.Now.Add(status.Delay)
	}
	return nil
}

// dueOccurrences is what the misfire policy makes of a range of occurrences.
type dueOccurrences struct {
	run        []time.Time // to be run, oldest first
	missed     int64       // how many before them are missed
	missedLast time.Time   // the last missed one
	last       time.Time   // the newest due occurrence
}

// findDue applies the misfire policy to all occurrences from status.NextRunAt to now.
func findDue(schedule Schedule, task *Task, status *Status, now time.Time) dueOccurrences {
	first := status.NextRunAt
	keep := 1
	if task.Misfire == MisfireRunAll {
		keep = task.misfireLimit()
	}
	total, newest := int64(1), []time.Time{first}
	if status.Delay == 0 {
		total += countOccurrences(schedule, first, now)
		newest = latestOccurrences(schedule, first, now, keep+1)
		for i := range newest {
			newest[i] = micros(newest[i])
		}
		if len(newest) < keep+1 {
			newest = append([]time.Time{first}, newest...)
		}
	}
	d := dueOccurrences{last: newest[len(newest)-1]}
	if task.Misfire == MisfireSkip && now.Sub(d.last) > task.misfireGrace() {
		d.missed, d.missedLast = total, d.last
		return d
	}
	if len(newest) > keep {
		d.missedLast = newest[len(newest)-keep-1]
		newest = newest[len(newest)-keep:]
	}
	d.run = newest
	d.missed = total - int64(len(newest))
	return d
}

// addSkip records a skipped occurrence: in the open row when it goes on for the same reason behind the same run, else in a new
// one.
func (r *rules) addSkip(run Run, status *Status, c *Change) {
	open := status.Skipping
	if open.RunID == "" || open.Reason != run.Reason || open.BlockedBy != run.BlockedBy {
		status.Skipping = Skipping{RunID: run.ID, Reason: run.Reason, BlockedBy: run.BlockedBy, Count: 1}
		c.Insert = append(c.Insert, run)
		return
	}
	open.Count++
	status.Skipping = open
	run.ID, run.Until, run.Count = open.RunID, run.ScheduledAt, open.Count
	c.Update = append(c.Update, run)
}

// registerMode says which call a registration comes from.
type registerMode uint8

const (
	modeAdd registerMode = iota
	modeEnsure
	modeReschedule
)

// decideRegister says what Add, Ensure and Reschedule do with a valid definition. The answer is the immediate run's id, empty when
// there is none.
func (r *rules) decideRegister(v View, task Task, mode registerMode) (Change, error) {
	old := v.Record
	switch {
	case old == nil && mode == modeReschedule:
		return Change{}, fmt.Errorf("%w: %q", ErrTaskNotFound, task.ID)
	case old == nil && task.Revision != 0:
		return Change{}, fmt.Errorf("%w: %q has no revision %d, it does not exist", ErrConflict, task.ID, task.Revision)
	case old != nil && mode == modeAdd:
		return Change{}, fmt.Errorf("%w: %q", ErrTaskExists, task.ID)
	case old != nil && task.Revision != 0 && task.Revision != old.Task.Revision:
		return Change{}, fmt.Errorf("%w: %q is at revision %d, not %d", ErrConflict, task.ID, old.Task.Revision, task.Revision)
	case old != nil && mode == modeEnsure && old.Fault == "" && task.sameDefinition(old.Task):
		return Change{}, nil
	}
	status := Status{}
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
	c := Change{Task: &task, Status: &status}
	reason := ReasonSuperseded
	if task.Disabled {
		reason = ReasonDisabled
	}
	g := newGate(&task, v)
	c.Update = dropPending(v, g, reason)
	if task.Disabled || status.Paused {
		return c, nil
	}
	// A window or an exception that leaves the moment out holds for the default immediate run, not for one that was asked for.
	immediate := task.runsAtOnce(r.register) && (task.OnRegister == RunImmediatelyOnRegister || admits(task.Schedule, first))
	if err := owe(&task, &status, first, immediate || g.active > 0); err != nil {
		return Change{}, err
	}
	if status.NextRunAt.IsZero() && status.Delay == 0 && !immediate {
		return Change{}, &TaskError{task.ID, []FieldError{{
			"Schedule", fmt.Sprintf("%q yields no occurrence after %s", clip(task.Schedule.String(), 128), first.Format(time.RFC3339)),
		}}}
	}
	if immediate {
		run := r.newRun(&task, TriggerRegister, first, v.Now)
		run.State, run.DueAt = StatePending, first
		if !first.After(v.Now) {
			g.pass(r, &c, &run, v.Now, false)
		}
		c.Insert = append(c.Insert, run)
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
	status.NextRunAt = nextOccurrence(bind(task.Schedule, task.ID, status.Anchor), from)
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
func dropPending(v View, g *gate, reason string) []Run {
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

// decidePause stops what a task owes.
func (r *rules) decidePause(v View) (Change, error) {
	if v.Record.Status.Paused {
		return Change{}, nil
	}
	status := v.Record.Status
	status.Paused, status.NextRunAt, status.Delay = true, time.Time{}, 0
	return Change{Status: &status, Update: dropPending(v, newGate(&v.Record.Task, v), ReasonPaused)}, nil
}

// decideResume makes the next occurrence after now the one that is owed.
func (r *rules) decideResume(v View) (Change, error) {
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
func (r *rules) decideRunNow(v View) (Change, error) {
	run := r.newRun(&v.Record.Task, TriggerManual, v.Now, v.Now)
	run.DueAt = v.Now
	var c Change
	newGate(&v.Record.Task, v).pass(r, &c, &run, v.Now, false)
	c.Insert = []Run{run}
	return c, nil
}

// decideBackfill makes a run of each occurrence in [from, to) that is past and was not executed. An occurrence that the task owes is left to
// Claim, which will say what becomes of it.
func (r *rules) decideBackfill(v View, from, to time.Time, executed map[time.Time]bool) (Change, error) {
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
func (r *rules) decideRemove(v View, keepHistory bool) (Change, error) {
	c := Change{Remove: true, KeepHistory: keepHistory}
	if keepHistory {
		c.Update = dropPending(v, newGate(&v.Record.Task, v), ReasonRemoved)
	}
	return c, nil
}

// decideCancel ends a pending run and orders the end of a running one.
func (r *rules) decideCancel(v View) (Change, error) {
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

// outcome is what came of one attempt.
type outcome struct {
	result   Result
	err      error
	cause    error  // why the attempt's context was cancelled; nil when it was not
	stack    string // of a panic
	started  time.Time
	finished time.Time
}

// decideFinish says how an attempt ends: for good, or with another one to come.
func decideFinish(run Run, retry Retry, o outcome) Finish {
	f := Finish{
		RunID: run.ID, TaskID: run.TaskID, Attempt: run.Attempt, StartedAt: o.started, FinishedAt: o.finished,
		Result: o.result, Stack: o.stack, State: StateSucceeded,
	}
	if o.err == nil {
		return f
	}
	f.State, f.Error = StateFailed, errorText(o.err)
	switch {
	case errors.Is(o.cause, ErrCanceled):
		f.State, f.Reason = StateCanceled, ReasonCanceled
		return f
	case errors.Is(o.cause, ErrReplaced):
		f.State, f.Reason = StateCanceled, ReasonReplaced
		return f
	case errors.Is(o.cause, ErrShutdown):
		f.State, f.Reason = StateCanceled, ReasonShutdown
		return f
	case errors.Is(o.cause, ErrLeaseLost):
		f.Reason = ReasonLeaseLost
		if run.AtMostOnce {
			f.State = StateLost
		} else {
			f.State, f.RetryAt = StatePending, o.finished
		}
		return f
	case o.stack != "":
		f.Reason = ReasonPanic
	case errors.Is(o.cause, ErrTimeout):
		f.Reason = ReasonTimeout
	}
	if run.Attempt >= retry.MaxAttempts || IsPermanent(o.err) {
		return f
	}
	wait, ok := RetryAfterOf(o.err)
	if !ok {
		wait = retry.wait(run.ID, run.Attempt)
	}
	f.State, f.RetryAt = StatePending, micros(o.finished.Add(wait))
	return f
}

// nextOccurrence asks a schedule for its next occurrence in the microseconds that stores keep.
func nextOccurrence(s Schedule, after time.Time) time.Time {
	next := micros(s.Next(after))
	if !next.IsZero() && !next.After(after) {
		// A schedule that is finer than microseconds yields the same one again after the cut.
		next = micros(s.Next(after.Add(time.Microsecond - time.Nanosecond)))
	}
	return next
}

// micros returns t as stores keep it: UTC, whole microseconds, without monotonic reading. The zero time stays zero.
func micros(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.UnixMicro(t.UnixMicro()).UTC()
}

func micro(d time.Duration) time.Duration { return d.Truncate(time.Microsecond) }
