package punctual

import (
	"cmp"
	"fmt"
	"time"
)

// The files decide*.go hold every decision about a task: here what becomes of what is due, in decide_edit.go what a registration, a pause
// or a cancel means, in decide_finish.go how an attempt ends. The functions are pure: values in, values out, no clock, no I/O, no
// goroutine. Stores call them under a task's lock.

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
	waiter     *Run // the newest that waits and is replaceable; nil for none
	keyActive  int
	keyOldest  string
	keyWaiting int
	slots      int
}

func newGate(task *Task, v *View) gate {
	return gate{
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

// newer is a run that keeps others from starting and was made after this one: the task's oldest active run, or the one that waits to replace
// it. It is empty when there is none, and for a run that was put off, which is as new as its time.
func (g *gate) newer(run *Run) string {
	switch {
	case run.ScheduledAt.After(run.CreatedAt):
		return ""
	case g.oldest > run.ID:
		return g.oldest
	case g.waiter != nil && g.waiter.ID > run.ID:
		return g.waiter.ID
	}
	return ""
}

// passage is what the gate says to a run that wants to start now.
type passage uint8

const (
	passStart    passage = iota // start it
	passWait                    // let it wait until an active run of the task ends
	passKey                     // let it wait for its concurrency key
	passReplace                 // let it wait for the end of the oldest active run, which is cancelled
	passReplaced                // end it: a newer run has taken its place before it was looked at
	passSkip                    // skip it: the gate is full
	passFull                    // skip it: the gate is full and so is the queue
	passDefer                   // it may start, but this call has no slot left
)

// standing says what a run may expect at the gate.
type standing uint8

const (
	newcomer standing = iota // it was made just now
	asked                    // the host asked for it, and it was not looked at yet or came to wait
	accepted                 // a retry, a catch-up, an occurrence that has waited: it is never skipped
)

// standingOf is the standing of a run that is due.
func standingOf(run *Run) standing {
	if run.Attempt == 0 && (run.Trigger == TriggerRegister || run.Trigger == TriggerManual) {
		return asked
	}
	return accepted
}

// admit says what becomes of a run that wants to start now.
func (g *gate) admit(run *Run, has standing) passage {
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
	case replaces && (run.Attempt > 0 || has == asked && g.newer(run) != ""):
		return passReplaced
	case replaces && has != accepted:
		return passReplace
	case has == accepted, g.task.Overlap == OverlapAllow:
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
func (g *gate) pass(r *rules, c *Change, run *Run, now time.Time, has standing) passage {
	p := g.admit(run, has)
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
		state := StateSkipped
		if run.Attempt > 0 {
			state = StateFailed
		}
		endRun(run, state, ReasonReplaced, now)
		run.BlockedBy = cmp.Or(g.newer(run), g.inTheWay())
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
	if replaceable(run) {
		g.waiter = run
	}
	run.State, run.DueAt = StatePending, time.Time{}
}

// replaceable reports whether a newer run may take the place of one that waits. Catch-ups, backfills and retries keep theirs.
func replaceable(run *Run) bool {
	return run.Attempt == 0 && run.Trigger != TriggerCatchUp && run.Trigger != TriggerBackfill
}

// replace makes room for run: the oldest active run is to be cancelled, and a run that waits in the same way is skipped, since only
// the newest of them should begin.
func (g *gate) replace(c *Change, run *Run, now time.Time) {
	if g.oldest != "" {
		c.Cancel = append(c.Cancel, CancelOrder{g.oldest, ReasonReplaced, run.ID})
	}
	if w := g.waiter; w != nil {
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

// room is where a decision about what is due finds place for its answer, so that a claim of hundreds needs no memory for each.
type room struct {
	status Status
	run    [1]Run // of a pending run or of an occurrence; more are rare
	at     [1]time.Time
}

// decideDue says in c what becomes of a task that Claim found due. The answer may lie in the room.
func (r *rules) decideDue(v *View, room *room, c *Change) (err error) {
	if !r.decideUsual(v, room, c) {
		*c, err = r.decideAnyDue(v, room)
	}
	return err
}

// decideAnyDue decides about any task that is due: first about its pending runs, then about its occurrences.
func (r *rules) decideAnyDue(v *View, room *room) (Change, error) {
	room.status = v.Record.Status
	task, status := &v.Record.Task, &room.status
	g := newGate(task, v)
	var c Change
	pending := append(room.run[:0], v.Pending...)
	for i := range pending {
		run := &pending[i]
		if g.pass(r, &c, run, v.Now, standingOf(run)) == passDefer {
			c.Deferred = true
			return c, nil
		}
		if run.State == StateRunning && status.Skipping != (Skipping{}) {
			status.Skipping = Skipping{}
			c.Status = status
		}
		if len(c.Update) == i {
			c.Update = pending[: i+1 : i+1]
		} else { // others were changed to make room
			c.Update = append(c.Update, *run)
		}
	}
	if status.NextRunAt.IsZero() || status.NextRunAt.After(v.Now) || !r.mayRun(task.Kind) {
		return c, nil
	}
	if err := r.decideOccurrences(v, &g, room, &c); err != nil {
		return Change{}, err
	}
	return c, nil
}

// mayRun reports whether this instance runs a kind. A task may be due for a run of the kind that it had before, so that an instance
// looks at it that does not know its present kind.
func (r *rules) mayRun(kind string) bool { return r.handles == nil || r.handles(kind) }

// decideOccurrences handles the occurrence that a task owes, and all later ones that are due when it comes too late.
func (r *rules) decideOccurrences(v *View, g *gate, room *room, c *Change) error {
	status := &room.status
	task, first := g.task, status.NextRunAt
	if task.Disabled || status.Paused {
		status.NextRunAt, c.Status = time.Time{}, status
		return nil
	}
	late := func(t time.Time) bool { return v.Now.Sub(t) > task.misfireGrace() }
	room.at[0] = first
	due := dueOccurrences{run: room.at[:], last: first}
	if late(first) {
		due = findDue(bind(task.Schedule, task.ID, status.Anchor), task, status, v.Now)
	}
	if due.missed > 0 {
		status.Skipping = Skipping{} // what is missed lies between the skips before and after
	}
	ran := false
	if len(due.run) == 1 {
		trigger := TriggerSchedule
		if late(due.run[0]) {
			trigger = TriggerCatchUp
		}
		c.Insert = room.run[:]
		if len(v.Pending) > 0 {
			c.Insert = make([]Run, 1) // the room is taken
		}
		run := &c.Insert[0]
		*run = r.newRun(task, trigger, due.run[0], v.Now)
		switch g.pass(r, c, run, v.Now, newcomer) {
		case passDefer:
			c.Insert, c.Deferred = nil, true
			return nil
		case passSkip, passFull:
			c.Insert = nil
			r.addSkip(*run, status, c)
		default:
			status.Skipping = Skipping{}
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
		next := task.nextOccurrence(status.Anchor, due.last)
		if !next.IsZero() && !next.After(due.last) {
			return fmt.Errorf("schedule %q is not increasing: after %v it yields %v", task.Schedule, due.last, next)
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

// nextOccurrence is the task's next occurrence after an instant, for a registration with the given anchor.
func (t *Task) nextOccurrence(anchor, after time.Time) time.Time {
	if interval, ok := t.Schedule.(IntervalSchedule); ok { // most common, needs no other Schedule to be made, and yields whole microseconds
		return interval.anchored(anchor).Next(after)
	}
	return nextOccurrence(bind(t.Schedule, t.ID, anchor), after)
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
