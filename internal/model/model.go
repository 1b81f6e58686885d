// Package model says once more what becomes of a task, in a way as unlike the engine as possible: no store, no transactions, no
// goroutines, one list of runs that is walked through from event to event. It was written from the documentation and not from
// decide.go. Its tests let both do the same random things and compare their ledgers.
package model

import (
	"slices"
	"time"

	"github.com/punctual-go/punctual"
)

// Task is one task with an interval schedule, from its registration to its removal, and what is left of it until it is registered anew.
type Task struct {
	Def    punctual.Task
	Gone   bool // removed, and its history kept
	Every  time.Duration
	Delay  bool // Every counts from the end of a run
	Work   Work
	Paused bool
	Next   time.Time // the occurrence that is owed; zero for none
	Runs   []*Run    // in the order of their creation
	// Stalled means that nobody looks for what is due: attempts end, and hosts have their way, but nothing starts by itself.
	Stalled bool

	anchor time.Time
	skips  *Run // the row that takes further skips
}

// Work says how long an attempt takes and whether it fails.
type Work func(taskID string, trigger punctual.Trigger, at time.Time, attempt int) (time.Duration, bool)

// Run is one row of the ledger.
type Run struct {
	Trigger  punctual.Trigger
	At       time.Time
	Until    time.Time
	Count    int64
	State    punctual.State
	Reason   string
	Blocker  *Run // what was in the way, or took its place
	Attempt  int
	Due      time.Time // of a pending run; zero while it waits for the gate
	Started  time.Time
	Finished time.Time

	// Of the attempt under way:
	ends       time.Time
	fails      bool
	late       bool // it ends by its timeout
	retry      punctual.Retry
	replacedBy *Run

	known bool // it has been at the gate, or was made to go there
}

// Register is Add, Ensure of something new, and Reschedule.
func (t *Task) Register(def punctual.Task, every time.Duration, now time.Time) {
	reason := punctual.ReasonSuperseded
	if def.Disabled {
		reason = punctual.ReasonDisabled
	}
	if t.Def.ID != "" && !t.Gone {
		t.drop(reason, now)
		t.overdue(reason, now)
	}
	t.Gone = false
	t.Def, t.Every, t.anchor, t.Next, t.skips = def, every, now.Add(def.FirstDelay), time.Time{}, nil
	t.Delay = def.Schedule.(punctual.Interval).Delayed()
	if !def.Disabled && !t.Paused {
		r := t.create(punctual.TriggerRegister, t.anchor)
		t.owe(t.anchor, true)
		switch r.Due = t.anchor; {
		case def.FirstDelay > 0: // it waits for its time
		default:
			t.enter(r, now)
			if def.Overlap == punctual.OverlapReplace && r.State == punctual.StatePending {
				t.overtake(r, now)
			}
		}
	}
	t.Settle(now)
}

// owe sets the first occurrence after an instant. A fixed delay owes none while a run is on its way whose end it counts from.
func (t *Task) owe(from time.Time, onItsWay bool) {
	switch {
	case t.Delay && onItsWay:
		t.Next = time.Time{}
	case t.Delay:
		t.Next = from.Add(t.Every)
	default:
		t.Next = t.after(from)
	}
}

// overdue skips the occurrences that nobody had looked at when the host made an end of them: all are one row.
func (t *Task) overdue(reason string, now time.Time) {
	if t.Next.IsZero() || t.Next.After(now) {
		return
	}
	r := t.create(punctual.TriggerSchedule, t.Next)
	if all := t.due(now); len(all) > 1 {
		r.Count, r.Until = int64(len(all)), all[len(all)-1]
	}
	r.end(punctual.StateSkipped, reason, now)
}

// due are the occurrences that are owed until an instant.
func (t *Task) due(now time.Time) []time.Time {
	all := []time.Time{t.Next}
	for at := t.Next.Add(t.Every); !t.Delay && !at.After(now); at = at.Add(t.Every) {
		all = append(all, at)
	}
	return all
}

// overtake skips the manual runs of before that have not begun, for an immediate run that waits to replace what is active.
func (t *Task) overtake(r *Run, now time.Time) {
	for _, old := range t.Runs {
		if old.State == punctual.StatePending && old.Trigger == punctual.TriggerManual && old.Attempt == 0 {
			old.end(punctual.StateSkipped, punctual.ReasonReplaced, now)
			old.Blocker = r
		}
	}
}

// Pause is that of the Scheduler.
func (t *Task) Pause(now time.Time) {
	if !t.Paused {
		t.drop(punctual.ReasonPaused, now)
		t.overdue(punctual.ReasonPaused, now)
		t.Paused, t.Next, t.skips = true, time.Time{}, nil
	}
	t.Settle(now)
}

// Remove is that of the Scheduler with KeepHistory. What is active goes on.
func (t *Task) Remove(now time.Time) {
	for _, r := range t.Runs {
		if r.State == punctual.StatePending && r.Trigger == punctual.TriggerManual && r.Attempt == 0 {
			r.end(punctual.StateSkipped, punctual.ReasonRemoved, now)
		} else if r.State == punctual.StatePending && r.Trigger == punctual.TriggerManual {
			r.end(punctual.StateFailed, punctual.ReasonRemoved, now)
		}
	}
	t.drop(punctual.ReasonRemoved, now)
	if !t.Paused {
		t.overdue(punctual.ReasonRemoved, now)
	}
	t.Gone, t.Paused, t.Next, t.skips = true, false, time.Time{}, nil
	t.Settle(now)
}

// Resume is that of the Scheduler.
func (t *Task) Resume(now time.Time) {
	if t.Paused && !t.Def.Disabled {
		t.owe(now, len(t.active()) > 0)
	}
	t.Paused = false
	t.Settle(now)
}

// RunNow is that of the Scheduler.
func (t *Task) RunNow(now time.Time) {
	t.enter(t.create(punctual.TriggerManual, now), now)
	t.Settle(now)
}

// Backfill is that of the Scheduler. It returns how many runs it made.
func (t *Task) Backfill(from, to, now time.Time) int {
	if !t.Next.IsZero() && t.Next.Before(to) {
		to = t.Next
	}
	if now.Before(to) {
		to = now
	}
	executed := make(map[time.Time]bool) // or made up for once, also if that came to nothing
	for _, r := range t.Runs {
		ran := r.Attempt > 0 || r.Live()
		if r.Trigger == punctual.TriggerBackfill || ran && (r.Trigger == punctual.TriggerSchedule || r.Trigger == punctual.TriggerCatchUp) {
			executed[r.At] = true
		}
	}
	made := 0
	for at := t.after(from.Add(-time.Nanosecond)); at.Before(to); at = at.Add(t.Every) {
		if !executed[at] {
			r := t.create(punctual.TriggerBackfill, at)
			r.Due, r.known = now, true
			made++
		}
	}
	t.Settle(now)
	return made
}

// Cancel ends a live run.
func (t *Task) Cancel(r *Run, now time.Time) {
	if r.State == punctual.StateRunning {
		t.finish(r, punctual.StateCanceled, punctual.ReasonCanceled, now)
	} else {
		r.end(punctual.StateCanceled, punctual.ReasonCanceled, now)
		if t.Delay && t.Next.IsZero() && t.counts() && !t.busy() {
			t.Next = now.Add(t.Every)
		}
		t.passOn(now)
	}
	t.Settle(now)
}

// Stop is the abrupt end of the only instance: nothing starts before the next Settle.
func (t *Task) Stop(now time.Time) {
	for _, r := range t.active() {
		t.finish(r, punctual.StateCanceled, punctual.ReasonShutdown, now)
	}
}

// Upcoming is when something happens by itself next; zero for never.
func (t *Task) Upcoming() time.Time {
	next := t.Next
	if t.Stalled {
		next = time.Time{}
	}
	for _, r := range t.Runs {
		if t.Stalled && r.State != punctual.StateRunning {
			continue
		}
		at := r.Due
		if r.State == punctual.StateRunning {
			at = r.ends
		}
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// Settle lets everything happen that is due: attempts end, then what is due goes to the gate, until nothing is left.
func (t *Task) Settle(now time.Time) {
	for at := t.Upcoming(); !at.IsZero() && !at.After(now); at = t.Upcoming() {
		ended := false
		for _, r := range t.active() {
			if !r.ends.After(now) {
				t.attempted(r, now)
				ended = true
			}
		}
		if !ended {
			t.gate(now)
		}
	}
}

// attempted is the end of an attempt by itself.
func (t *Task) attempted(r *Run, now time.Time) {
	reason := ""
	if r.late {
		reason = punctual.ReasonTimeout
	}
	switch {
	case r.replacedBy != nil:
		r.Blocker = r.replacedBy
		t.finish(r, punctual.StateCanceled, punctual.ReasonReplaced, now)
	case !r.fails:
		t.finish(r, punctual.StateSucceeded, "", now)
	case r.Attempt < r.retry.MaxAttempts && t.Gone:
		t.finish(r, punctual.StateFailed, punctual.ReasonRemoved, now)
	case r.Attempt < r.retry.MaxAttempts:
		r.State, r.Due = punctual.StatePending, now.Add(r.retry.Initial)
		t.passOn(now)
	default:
		t.finish(r, punctual.StateFailed, reason, now)
	}
}

func (t *Task) finish(r *Run, state punctual.State, reason string, now time.Time) {
	r.end(state, reason, now)
	t.passOn(now)
	if t.Delay && t.Next.IsZero() && t.counts() {
		t.Next = now.Add(t.Every)
	}
}

// counts reports whether occurrences are owed at all.
func (t *Task) counts() bool { return !t.Gone && !t.Def.Disabled && !t.Paused }

// passOn lets the one that has waited longest look at the gate again.
func (t *Task) passOn(now time.Time) {
	if waiting := t.waiting(); len(waiting) > 0 {
		waiting[0].Due = now
	}
}

// gate sends all that is due to the gate: runs that exist, by due time, and then the occurrences.
func (t *Task) gate(now time.Time) {
	var due []*Run
	for _, r := range t.Runs {
		if r.State == punctual.StatePending && !r.Due.IsZero() && !r.Due.After(now) {
			due = append(due, r)
		}
	}
	slices.SortStableFunc(due, func(a, b *Run) int { return a.Due.Compare(b.Due) })
	for _, r := range due {
		if t.enter(r, now); r.State == punctual.StateRunning {
			t.skips = nil
		}
	}
	if !t.Next.IsZero() && !t.Next.After(now) {
		t.occur(now)
	}
}

// occur makes runs of the occurrences that are due.
func (t *Task) occur(now time.Time) {
	all := []time.Time{t.Next}
	if t.late(t.Next, now) { // else the others have their turn
		all = t.due(now)
	}
	t.Next = all[len(all)-1].Add(t.Every)
	keep := 1
	if t.Def.Misfire == punctual.MisfireRunAll {
		keep = t.Def.MisfireLimit
	}
	if t.Def.Misfire == punctual.MisfireSkip && t.late(all[len(all)-1], now) {
		keep = 0
	}
	missed, run := all[:max(len(all)-keep, 0)], all[max(len(all)-keep, 0):]
	if len(missed) > 0 {
		t.skips = nil
	}
	if len(run) == 1 {
		t.occurrence(run[0], now)
	}
	if len(missed) > 0 {
		r := t.create(punctual.TriggerSchedule, missed[0])
		r.Count = int64(len(missed))
		if len(missed) > 1 {
			r.Until = missed[len(missed)-1]
		}
		r.end(punctual.StateMissed, punctual.ReasonMisfire, now)
	}
	if len(run) > 1 {
		for _, at := range run {
			r := t.create(punctual.TriggerCatchUp, at)
			r.Due, r.known = now, true
		}
		t.skips = nil
	}
	if t.Delay {
		t.owe(now, t.busy())
	}
}

// busy reports whether a run is active or waits for the gate.
func (t *Task) busy() bool { return len(t.active()) > 0 || len(t.waiting()) > 0 }

// late reports whether an occurrence is found later than its grace.
func (t *Task) late(at, now time.Time) bool {
	grace := t.Def.MisfireGrace
	if grace == 0 {
		grace = punctual.DefaultMisfireGrace
	}
	return now.Sub(at) > grace
}

func (t *Task) occurrence(at, now time.Time) {
	trigger := punctual.TriggerSchedule
	if t.late(at, now) {
		trigger = punctual.TriggerCatchUp
	}
	r := t.create(trigger, at)
	t.enter(r, now)
	switch s := t.skips; {
	case r.State != punctual.StateSkipped:
		t.skips = nil
	case s != nil && s.Reason == r.Reason && s.Blocker == r.Blocker:
		t.Runs = t.Runs[:len(t.Runs)-1]
		s.Until, s.Finished = at, now
		s.Count++
	default:
		t.skips = r
	}
}

// enter is what the gate does with one run: it starts, waits, takes the place of another, or ends. Runs that were accepted before are
// not turned away, and only what the host asks for is not accepted by waiting.
func (t *Task) enter(r *Run, now time.Time) {
	asked := r.Trigger == punctual.TriggerManual || r.Trigger == punctual.TriggerRegister
	accepted := r.Attempt > 0 || r.known && !asked
	r.known, r.Due = true, time.Time{}
	r.State = 0 // while it is at the gate it counts nowhere
	active, waiting := t.active(), t.waiting()
	turnAway := func(state punctual.State, reason string) {
		r.end(state, reason, now)
		r.Blocker = active[0]
	}
	switch overlap := t.Def.Overlap; {
	case len(active) < t.limit():
		t.start(r, now)
	case overlap == punctual.OverlapReplace && r.Attempt > 0:
		turnAway(punctual.StateFailed, punctual.ReasonReplaced)
	case overlap == punctual.OverlapReplace && !accepted:
		r.State = punctual.StatePending
		t.replace(active[0], waiting, r, now)
	case accepted, overlap == punctual.OverlapAllow, overlap == punctual.OverlapQueue && len(waiting) < max(t.Def.MaxQueued, 1):
		r.State = punctual.StatePending
	case overlap == punctual.OverlapQueue:
		turnAway(punctual.StateSkipped, punctual.ReasonQueueFull)
	default:
		turnAway(punctual.StateSkipped, punctual.ReasonOverlap)
	}
}

// replace cancels the oldest active run, and the newest of those that came to wait for the same, for r. What makes up for an occurrence and what
// is repeated keeps its place.
func (t *Task) replace(oldest *Run, waiting []*Run, r *Run, now time.Time) {
	for _, w := range slices.Backward(waiting) {
		if w.Attempt == 0 && w.Trigger != punctual.TriggerCatchUp && w.Trigger != punctual.TriggerBackfill {
			w.end(punctual.StateSkipped, punctual.ReasonReplaced, now)
			w.Blocker = r
			break
		}
	}
	if oldest.replacedBy == nil {
		oldest.replacedBy, oldest.ends = r, now
	}
}

func (t *Task) start(r *Run, now time.Time) {
	r.State, r.Started = punctual.StateRunning, now
	r.Attempt++
	takes, fails := t.Work(t.Def.ID, r.Trigger, r.At, r.Attempt)
	r.late = t.Def.Timeout > 0 && takes > t.Def.Timeout
	if r.late {
		takes, fails = t.Def.Timeout, true
	}
	r.ends, r.fails, r.retry = now.Add(takes), fails, t.Def.Retry
}

func (t *Task) limit() int {
	switch {
	case t.Def.MaxActive > 0:
		return t.Def.MaxActive
	case t.Def.Overlap == punctual.OverlapAllow:
		return 1 << 30
	}
	return 1
}

// drop ends what is pending when a registration or a pause overtakes it. What was asked for by hand stays.
func (t *Task) drop(reason string, now time.Time) {
	for _, r := range t.Runs {
		switch {
		case r.State != punctual.StatePending:
		case r.Trigger == punctual.TriggerManual:
			if r.Due.IsZero() {
				r.Due = now
			}
		case r.Attempt == 0:
			r.end(punctual.StateSkipped, reason, now)
		default:
			r.end(punctual.StateFailed, reason, now)
		}
	}
}

func (t *Task) create(trigger punctual.Trigger, at time.Time) *Run {
	r := &Run{Trigger: trigger, At: at, Count: 1, State: punctual.StatePending}
	t.Runs = append(t.Runs, r)
	return r
}

func (r *Run) end(state punctual.State, reason string, now time.Time) {
	r.State, r.Reason, r.Finished, r.Due = state, reason, now, time.Time{}
}

// Live reports whether a run may still change.
func (r *Run) Live() bool {
	return r.State == punctual.StatePending || r.State == punctual.StateRunning
}

func (t *Task) active() []*Run {
	return t.where(func(r *Run) bool { return r.State == punctual.StateRunning })
}

// waiting are those that wait for the gate, the longest first.
func (t *Task) waiting() []*Run {
	return t.where(func(r *Run) bool { return r.State == punctual.StatePending && r.Due.IsZero() })
}

func (t *Task) where(which func(*Run) bool) []*Run {
	var found []*Run
	for _, r := range t.Runs {
		if which(r) {
			found = append(found, r)
		}
	}
	return found
}

// after is the first occurrence after an instant; the anchor itself is none.
func (t *Task) after(at time.Time) time.Time {
	if at.Before(t.anchor) {
		at = t.anchor
	}
	return t.anchor.Add((at.Sub(t.anchor)/t.Every + 1) * t.Every)
}
