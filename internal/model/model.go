// Package model says once more what becomes of tasks, in a way as unlike the engine as possible: no store, no transactions, no
// goroutines, lists of runs that are walked through from event to event. It was written from the documentation and not from
// decide.go. Its tests let both do the same random things and compare their ledgers.
package model

import (
	"cmp"
	"slices"
	"time"

	"github.com/punctual-go/punctual"
)

// World is all that one store knows.
type World struct {
	Tasks []*Task // by id
	Work  Work
	// Stalled means that nobody looks for what is due: attempts end, and hosts have their way, but nothing starts by itself.
	Stalled bool

	made int // how many runs there have been
}

// Task is one task with an interval schedule, from its registration to its removal, and what is left of it until it is registered anew.
type Task struct {
	ID     string
	Def    punctual.Task
	Gone   bool // not registered yet; or removed, and its history kept
	Every  time.Duration
	Delay  bool // Every counts from the end of a run
	Paused bool
	Next   time.Time // the occurrence that is owed; zero for none
	Runs   []*Run    // in the order of their creation

	world  *World
	anchor time.Time
	skips  *Run // the row that takes further skips
}

// Work says how long an attempt takes and what comes of it.
type Work func(taskID string, trigger punctual.Trigger, at time.Time, attempt int) (time.Duration, Outcome)

// Outcome is what comes of an attempt.
type Outcome struct {
	State  punctual.State // succeeded, failed, skipped or canceled
	Reason string
	Final  bool          // no attempt follows, though it failed
	After  time.Duration // the next one follows then; zero for what the task says
}

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
	Kind     string
	Key      string    // the concurrency key, as it was when the run was at the gate
	ForKey   bool      // it waits for the key
	Due      time.Time // zero while it waits for the gate or for the key; of a running one, when its attempt ends
	Started  time.Time
	Finished time.Time

	task    *Task
	made    time.Time
	number  int     // in the order of creation
	outcome Outcome // of the attempt under way, like what follows
	retry   punctual.Retry
}

// Task returns the one with the id, which may be a new one that is Gone.
func (w *World) Task(id string) *Task {
	i, found := slices.BinarySearchFunc(w.Tasks, id, func(t *Task, id string) int { return cmp.Compare(t.ID, id) })
	if !found {
		w.Tasks = slices.Insert(w.Tasks, i, &Task{ID: id, Gone: true, world: w})
	}
	return w.Tasks[i]
}

// Register is Add, Ensure of something new, and Reschedule.
func (t *Task) Register(def punctual.Task, every time.Duration, now time.Time) {
	reason := punctual.ReasonSuperseded
	if def.Disabled {
		reason = punctual.ReasonDisabled
	}
	t.world.change(now, func() {
		t.drop(reason, now)
		t.Gone, t.Def, t.Every, t.anchor = false, def, every, now.Add(def.FirstDelay)
		t.Delay = def.Schedule.(punctual.Interval).Delayed()
		switch {
		case !t.counts():
			return
		case def.OnRegister == punctual.WaitForSchedule:
			t.owe(t.anchor, len(t.where((*Run).active)) > 0)
			return
		}
		r := t.create(punctual.TriggerRegister, t.anchor, now)
		t.owe(t.anchor, true)
		if r.Due = t.anchor; def.FirstDelay == 0 {
			t.enter(r, false, now)
			t.overtake(r, now)
		}
	})
}

// drop ends what a registration, a pause or a removal overtakes: what is pending and what nobody had looked at. What was asked for by hand
// stays, except when the task goes, and looks at the gate again.
func (t *Task) drop(reason string, now time.Time) {
	for _, r := range t.where((*Run).pending) {
		switch {
		case r.Trigger == punctual.TriggerManual && reason != punctual.ReasonRemoved:
			if r.Due.IsZero() {
				wake([]*Run{r}, now)
			}
		case r.Attempt == 0:
			r.end(punctual.StateSkipped, reason, now)
		default:
			r.end(punctual.StateFailed, reason, now)
		}
	}
	if !t.Next.IsZero() && !t.Next.After(now) {
		t.account(t.owed(now), punctual.StateSkipped, reason, now)
	}
	t.Next, t.skips = time.Time{}, nil
}

// overtake skips the manual runs of before that have not begun, for an immediate run that waits to replace what is active.
func (t *Task) overtake(r *Run, now time.Time) {
	for _, old := range t.where((*Run).pending) {
		if r.waits() && t.Def.Overlap == punctual.OverlapReplace && old.Trigger == punctual.TriggerManual && old.Attempt == 0 {
			old.replaced(r, now)
		}
	}
}

// Pause is that of the Scheduler.
func (t *Task) Pause(now time.Time) {
	t.world.change(now, func() {
		if !t.Paused {
			t.drop(punctual.ReasonPaused, now)
		}
		t.Paused = true
	})
}

// Resume is that of the Scheduler.
func (t *Task) Resume(now time.Time) {
	t.world.change(now, func() {
		if t.Paused && !t.Def.Disabled {
			t.owe(now, len(t.where((*Run).active)) > 0)
		}
		t.Paused = false
	})
}

// Remove is that of the Scheduler. What is active goes on, but nobody knows of it any more unless the history is kept.
func (t *Task) Remove(keepHistory bool, now time.Time) {
	t.world.change(now, func() {
		t.drop(punctual.ReasonRemoved, now)
		t.Gone, t.Paused = true, false
		for _, r := range t.where((*Run).active) {
			if !keepHistory {
				r.end(punctual.StateCanceled, punctual.ReasonRemoved, now)
			}
		}
	})
	if !keepHistory {
		t.Runs = nil
	}
}

// RunNow is that of the Scheduler.
func (t *Task) RunNow(now time.Time) {
	t.world.change(now, func() { t.enter(t.create(punctual.TriggerManual, now, now), false, now) })
}

// Backfill is that of the Scheduler. It returns how many runs it made.
func (t *Task) Backfill(from, to, now time.Time) (made int) {
	if !t.Next.IsZero() && t.Next.Before(to) {
		to = t.Next
	}
	if now.Before(to) {
		to = now
	}
	executed := make(map[time.Time]bool) // or made up for once, also if that came to nothing
	for _, r := range t.Runs {
		ran := r.Attempt > 0 && r.State != punctual.StateSkipped || r.Live()
		if r.Trigger == punctual.TriggerBackfill || ran && (r.Trigger == punctual.TriggerSchedule || r.Trigger == punctual.TriggerCatchUp) {
			executed[r.At] = true
		}
	}
	t.world.change(now, func() {
		for at := t.after(from.Add(-time.Nanosecond)); at.Before(to); at = at.Add(t.Every) {
			if !executed[at] {
				t.create(punctual.TriggerBackfill, at, now)
				made++
			}
		}
	})
	return made
}

// Cancel ends a live run.
func (t *Task) Cancel(r *Run, now time.Time) {
	t.world.change(now, func() {
		pending := r.State == punctual.StatePending
		r.end(punctual.StateCanceled, punctual.ReasonCanceled, now)
		if pending {
			t.left(!t.busy(), now)
		}
	})
}

// Stop is the abrupt end of the only instance: nothing starts before the next Settle.
func (w *World) Stop(now time.Time) {
	for _, r := range w.runs((*Run).active) {
		w.change(now, func() { r.end(punctual.StateCanceled, punctual.ReasonShutdown, now) })
	}
}

// Advance lets everything happen at its time until an instant.
func (w *World) Advance(end time.Time) {
	for at := w.upcoming(); !at.After(end); at = w.upcoming() {
		w.Settle(at)
	}
}

// Settle lets everything happen now that has come due: attempts end, then what is due goes to the gate, until nothing is left.
func (w *World) Settle(now time.Time) {
	for !w.upcoming().After(now) {
		ended := w.runs(func(r *Run) bool { return r.active() && !r.Due.After(now) })
		for _, r := range ended {
			w.change(now, func() { r.attempted(now) })
		}
		if len(ended) == 0 {
			w.gate(now)
		}
	}
}

// upcoming is when something happens by itself next.
func (w *World) upcoming() time.Time {
	next := never
	for _, t := range w.Tasks {
		if !w.Stalled {
			next = earlier(next, t.due())
		}
		for _, r := range t.where((*Run).active) {
			next = earlier(next, r.Due)
		}
	}
	return next
}

// gate sends each task to the gate that is due, once, and the one first that has been due for longest. Each step of priority counts as
// if it had been due for a minute more.
func (w *World) gate(now time.Time) {
	for left := slices.Clone(w.Tasks); len(left) > 0; {
		left = slices.DeleteFunc(left, func(t *Task) bool { return t.due().After(now) })
		if len(left) == 0 {
			return
		}
		rank := func(t *Task) time.Time { return t.due().Add(-time.Duration(t.Def.Priority) * punctual.PriorityStep) }
		first := slices.MinFunc(left, func(a, b *Task) int { return rank(a).Compare(rank(b)) })
		w.change(now, func() { first.gate(now) })
		left = slices.DeleteFunc(left, func(t *Task) bool { return t == first })
	}
}

// change lets f change one task, and then lets those look at the gate again for whom a place there may have come free.
func (w *World) change(now time.Time, f func()) {
	before := make(map[*Run]Run)
	for _, r := range w.runs((*Run).Live) {
		before[r] = *r
	}
	f()
	for r, was := range before {
		ended := was.active() && !r.active()
		if ended {
			r.task.left(!r.Live(), now)
		}
		// It held its key or was about to try for it, and now it neither does nor waits for it.
		if !was.Due.IsZero() && (ended || r.Key != was.Key || r.Due.IsZero() && !r.ForKey) {
			w.passOn(was.Key, now)
		}
	}
}

// passOn lets one of each kind look at the gate again that waits for a key: nobody knows which kinds are handled.
func (w *World) passOn(key string, now time.Time) {
	kinds := make(map[string]bool)
	for _, r := range w.runs(func(r *Run) bool { return r.ForKey && r.Key == key }) {
		if !kinds[r.Kind] {
			wake([]*Run{r}, now)
		}
		kinds[r.Kind] = true
	}
}

// left follows when a run of the task does not stand in the way any more. A fixed delay counts from its end.
func (t *Task) left(forGood bool, now time.Time) {
	wake(t.where((*Run).waits), now)
	if forGood && t.Delay && t.Next.IsZero() && t.counts() {
		t.Next = now.Add(t.Every)
	}
}

// wake lets the one that has waited longest look at the gate again.
func wake(waiting []*Run, now time.Time) {
	if len(waiting) > 0 {
		waiting[0].Due, waiting[0].ForKey = now, false
	}
}

// attempted is the end of an attempt by itself.
func (r *Run) attempted(now time.Time) {
	o := r.outcome
	switch again := o.State == punctual.StateFailed && !o.Final && r.Attempt < r.retry.MaxAttempts; {
	case again && r.task.Gone:
		r.end(punctual.StateFailed, punctual.ReasonRemoved, now)
	case again:
		wait := r.retry.Initial
		for range r.Attempt - 1 {
			wait = time.Duration(float64(wait) * r.retry.Multiplier)
		}
		r.State, r.Due = punctual.StatePending, now.Add(cmp.Or(o.After, min(wait, r.retry.Max)))
	default:
		r.end(o.State, o.Reason, now)
	}
}

// gate sends all that is due to the gate: runs that exist, by due time, and then the occurrences.
func (t *Task) gate(now time.Time) {
	due := t.where(func(r *Run) bool { return r.pending() && !r.Due.IsZero() && !r.Due.After(now) })
	slices.SortStableFunc(due, func(a, b *Run) int { return a.Due.Compare(b.Due) })
	for _, r := range due {
		asked := r.Trigger == punctual.TriggerManual || r.Trigger == punctual.TriggerRegister
		if t.enter(r, r.Attempt > 0 || !asked, now); r.State == punctual.StateRunning {
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
		all = t.owed(now)
	}
	t.Next = all[len(all)-1].Add(t.Every)
	keep := 1
	if t.Def.Misfire == punctual.MisfireRunAll {
		keep = t.Def.MisfireLimit
	}
	if t.Def.Misfire == punctual.MisfireSkip && t.late(all[len(all)-1], now) {
		keep = 0
	}
	first := max(len(all)-keep, 0)
	missed, run := all[:first], all[first:]
	if len(missed) > 0 || len(run) > 1 {
		t.skips = nil
	}
	if len(run) == 1 {
		t.occurrence(run[0], now)
	}
	if len(missed) > 0 {
		t.account(missed, punctual.StateMissed, punctual.ReasonMisfire, now)
	}
	if len(run) > 1 {
		for _, at := range run {
			t.create(punctual.TriggerCatchUp, at, now)
		}
	}
	if t.Delay {
		t.owe(now, t.busy())
	}
}

func (t *Task) occurrence(at, now time.Time) {
	trigger := punctual.TriggerSchedule
	if t.late(at, now) {
		trigger = punctual.TriggerCatchUp
	}
	r := t.create(trigger, at, now)
	t.enter(r, false, now)
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

// late reports whether an occurrence is found later than its grace.
func (t *Task) late(at, now time.Time) bool {
	return now.Sub(at) > cmp.Or(t.Def.MisfireGrace, punctual.DefaultMisfireGrace)
}

// account makes one row of occurrences that do not run.
func (t *Task) account(all []time.Time, state punctual.State, reason string, now time.Time) {
	r := t.create(punctual.TriggerSchedule, all[0], now)
	if n := len(all); n > 1 {
		r.Count, r.Until = int64(n), all[n-1]
	}
	r.end(state, reason, now)
}

// enter is what the gate does with one run: it starts, waits, takes the place of another, or ends. Runs that were accepted before are
// not turned away, and only what the host asks for is not accepted by waiting.
func (t *Task) enter(r *Run, accepted bool, now time.Time) {
	r.State, r.Due, r.Key = punctual.StatePending, time.Time{}, t.Def.ConcurrencyKey
	others := func(which func(*Run) bool) []*Run { return t.where(func(o *Run) bool { return o != r && which(o) }) }
	active, waiting := others((*Run).active), others((*Run).waits)
	holders := t.world.runs(func(o *Run) bool { return r.Key != "" && o.active() && o.Key == r.Key })
	unlimited := t.Def.Overlap == punctual.OverlapAllow && t.Def.MaxActive == 0
	full := !unlimited && len(active)+len(others((*Run).forKey)) >= max(t.Def.MaxActive, 1)
	turnAway := func(state punctual.State, reason string) {
		r.end(state, reason, now)
		if inTheWay := slices.Concat(active, holders); len(inTheWay) > 0 {
			r.Blocker = inTheWay[0]
		}
	}
	var newer *Run // what it would replace, if that came later
	for _, o := range append(replaceable(waiting), active[:min(len(active), 1)]...) {
		if o.number > r.number && !r.At.After(r.made) {
			newer = o
		}
	}
	switch overlap := t.Def.Overlap; {
	case !full && len(holders) < max(t.Def.ConcurrencyLimit, 1):
		t.start(r, now)
	case !full:
		r.ForKey = true
	case overlap == punctual.OverlapReplace && r.Attempt > 0:
		turnAway(punctual.StateFailed, punctual.ReasonReplaced)
		r.Blocker = cmp.Or(newer, r.Blocker)
	case overlap == punctual.OverlapReplace && !accepted && newer != nil:
		r.replaced(newer, now)
	case overlap == punctual.OverlapReplace && !accepted:
		replace(active, waiting, r, now)
	case accepted, overlap == punctual.OverlapAllow, overlap == punctual.OverlapQueue && len(waiting) < max(t.Def.MaxQueued, 1):
	case overlap == punctual.OverlapQueue:
		turnAway(punctual.StateSkipped, punctual.ReasonQueueFull)
	default:
		turnAway(punctual.StateSkipped, punctual.ReasonOverlap)
	}
}

// replaceable is the newest of those that came to wait for the end of what they replace. What makes up for an occurrence and what is repeated keeps
// its place.
func replaceable(waiting []*Run) []*Run {
	for _, w := range slices.Backward(waiting) {
		if w.Attempt == 0 && w.Trigger != punctual.TriggerCatchUp && w.Trigger != punctual.TriggerBackfill {
			return []*Run{w}
		}
	}
	return nil
}

// replace cancels the oldest active run, and skips the one that waits for the same, for r.
func replace(active, waiting []*Run, r *Run, now time.Time) {
	for _, w := range replaceable(waiting) {
		w.replaced(r, now)
	}
	if len(active) > 0 && active[0].Blocker == nil {
		a := active[0]
		a.Due, a.outcome, a.Blocker = now, Outcome{State: punctual.StateCanceled, Reason: punctual.ReasonReplaced}, r
	}
}

func (t *Task) start(r *Run, now time.Time) {
	r.State, r.Started, r.retry = punctual.StateRunning, now, t.Def.Retry
	r.Attempt++
	takes, outcome := t.world.Work(t.ID, r.Trigger, r.At, r.Attempt)
	if t.Def.Timeout > 0 && takes > t.Def.Timeout {
		takes, outcome = t.Def.Timeout, Outcome{State: punctual.StateFailed, Reason: punctual.ReasonTimeout}
	}
	r.Due, r.outcome = now.Add(takes), outcome
}

// create makes a run that goes to the gate now, unless somebody says otherwise.
func (t *Task) create(trigger punctual.Trigger, at, now time.Time) *Run {
	t.world.made++
	r := &Run{
		task: t, made: now, Trigger: trigger, At: at, Count: 1, State: punctual.StatePending, Due: now, Kind: t.Def.Kind, Key: t.Def.ConcurrencyKey, number: t.world.made,
	}
	t.Runs = append(t.Runs, r)
	return r
}

func (r *Run) end(state punctual.State, reason string, now time.Time) {
	r.State, r.Reason, r.Finished = state, reason, now
	r.Due, r.ForKey = time.Time{}, false
}

// replaced ends a run that has not begun, for a newer one.
func (r *Run) replaced(by *Run, now time.Time) {
	r.end(punctual.StateSkipped, punctual.ReasonReplaced, now)
	r.Blocker = by
}

func (r *Run) active() bool  { return r.State == punctual.StateRunning }
func (r *Run) pending() bool { return r.State == punctual.StatePending }
func (r *Run) forKey() bool  { return r.ForKey }
func (r *Run) waits() bool   { return r.pending() && r.Due.IsZero() && !r.ForKey } // for the gate

// Live reports whether a run may still change.
func (r *Run) Live() bool { return r.active() || r.pending() }

// busy reports whether a run is active or waits to be.
func (t *Task) busy() bool {
	return len(t.where(func(r *Run) bool { return r.active() || r.waits() || r.ForKey })) > 0
}

func (t *Task) where(which func(*Run) bool) (found []*Run) {
	for _, r := range t.Runs {
		if which(r) {
			found = append(found, r)
		}
	}
	return found
}

// runs are those of all tasks, in the order of their creation.
func (w *World) runs(which func(*Run) bool) (found []*Run) {
	for _, t := range w.Tasks {
		found = append(found, t.where(which)...)
	}
	slices.SortFunc(found, func(a, b *Run) int { return cmp.Compare(a.number, b.number) })
	return found
}

// counts reports whether occurrences are owed at all.
func (t *Task) counts() bool { return !t.Gone && !t.Def.Disabled && !t.Paused }

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

// owed are the occurrences from the next one until an instant.
func (t *Task) owed(now time.Time) []time.Time {
	all := []time.Time{t.Next}
	for at := t.Next.Add(t.Every); !t.Delay && !at.After(now); at = at.Add(t.Every) {
		all = append(all, at)
	}
	return all
}

var never = time.Unix(1<<40, 0)

// due is when the task is to be looked at.
func (t *Task) due() time.Time {
	at := earlier(never, t.Next)
	for _, r := range t.where((*Run).pending) {
		at = earlier(at, r.Due)
	}
	return at
}

// earlier returns the earlier of two times; a zero one does not count.
func earlier(a, b time.Time) time.Time {
	if !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// after is the first occurrence after an instant; the anchor itself is none. Aligned intervals count from no anchor.
func (t *Task) after(at time.Time) time.Time {
	if t.Def.Schedule.String() == punctual.Every(t.Every).Aligned().String() {
		return at.Truncate(t.Every).Add(t.Every)
	}
	if at.Before(t.anchor) {
		at = t.anchor
	}
	return t.anchor.Add((at.Sub(t.anchor)/t.Every + 1) * t.Every)
}
