package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/audit"
)

// Check compares the ledger with what really happened and returns every broken promise in words. It is called after End, in the world's bubble.
func (w *World) Check() []string {
	synctest.Wait() // Close does not wait for loops beside deaf host code, and they tell observers how they fare until they end
	c := &checker{World: w, runs: make(map[string]*punctual.Run), tries: make(map[string][]*Execution)}
	c.read()
	c.accountedFor()
	c.atOnce()
	c.once()
	c.results()
	c.noPileUp()
	c.kinds()
	c.cleanEnd()
	c.atRest()
	c.observed()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.problems
}

// checker holds what the checks read.
type checker struct {
	*World
	ledger []punctual.Run           // oldest first
	runs   map[string]*punctual.Run // by id
	tries  map[string][]*Execution  // by run, in the order in which they began
	tasks  map[string]punctual.Snapshot
}

func (c *checker) read() {
	ctx := context.Background()
	c.tasks = make(map[string]punctual.Snapshot)
	var err error
	if c.ledger, err = ledger(ctx, c.store); err != nil {
		c.failf("the ledger cannot be read: %v", err)
		return
	}
	c.ledger = slices.AppendSeq(c.ledger, maps.Values(c.store.trimmed))
	slices.SortFunc(c.ledger, func(a, b punctual.Run) int { return cmp.Compare(a.ID, b.ID) })
	for i := range c.ledger {
		c.runs[c.ledger[i].ID] = &c.ledger[i]
	}
	tasks, err := c.store.Tasks(ctx, punctual.TaskQuery{Limit: punctual.MaxLimit})
	if err != nil {
		c.failf("the tasks cannot be read: %v", err)
	}
	for _, snap := range tasks {
		c.tasks[snap.Task.ID] = snap
	}
	for _, e := range c.executions {
		c.tries[e.Run.ID] = append(c.tries[e.Run.ID], e)
	}
	for _, tries := range c.tries {
		slices.SortStableFunc(tries, func(a, b *Execution) int { return a.Begun.Compare(b.Begun) })
	}
}

// accountedFor is P1: each occurrence that was owed has exactly one fact, and no fact is about anything else.
func (c *checker) accountedFor() {
	found, _ := c.store.books.Compare(c.ledger, c.tasks, c.settled, c.clockTime)
	for _, f := range found {
		c.failf("P1: %s", f.Text)
	}
}

// atOnce is P2: a registration that was acknowledged was committed, together with its immediate run, and that run has its fact.
func (c *checker) atOnce() {
	for _, op := range c.operations {
		if op.Err != nil || op.Returned.IsZero() || op.Call != "Add" && op.Call != "Reschedule" {
			continue
		}
		if _, ok := c.store.commits[op]; !ok {
			c.failf("P2: %s of task %s at %s was acknowledged and not committed", op.Call, op.TaskID, c.clockTime(op.Invoked))
		}
	}
	for op, r := range c.store.commits {
		_, interval := r.task.Schedule.(punctual.IntervalSchedule)
		_, calendar := r.task.Schedule.(punctual.CalendarSchedule)
		// A combination of schedules may leave the moment out.
		known := interval || calendar || r.task.OnRegister != punctual.RegisterDefault
		wanted := !r.task.Disabled && !r.paused &&
			(r.task.OnRegister == punctual.RunImmediatelyOnRegister || interval && r.task.OnRegister == punctual.RegisterDefault && !op.Process.Waits)
		if known && wanted != (r.run != nil) {
			c.failf("P2: the registration of task %s at %s: immediate run wanted %v, committed %v", r.task.ID, c.clockTime(r.at), wanted, r.run != nil)
			continue
		}
		if r.run == nil || !c.removedAt(r.run).IsZero() {
			continue
		}
		if run := c.runs[r.run.ID]; run == nil || !run.State.Final() {
			c.failf("P2: the immediate run of task %s, registered at %s, has no outcome: %s", r.task.ID, c.clockTime(r.at), c.describe(run))
		}
	}
	for id, tries := range c.tries {
		if first := tries[0]; first.Run.Trigger != punctual.TriggerRegister && first.Begun.Before(first.Run.ScheduledAt) {
			c.failf("run %s of task %s began at %s, before its time %s", id, first.Run.TaskID, c.clockTime(first.Begun), c.clockTime(first.Run.ScheduledAt))
		}
	}
}

// once is P3: no attempt is executed twice, and another follows only when the one before was reported or its lease had lapsed.
func (c *checker) once() {
	for id, tries := range c.tries {
		for i, e := range tries[1:] {
			before := tries[i]
			switch {
			case e.Run.Attempt <= before.Run.Attempt:
				c.failf("P3: run %s: attempt %d began at %s on %v after attempt %d at %s on %v", id, e.Run.Attempt, c.clockTime(e.Begun), e.Process,
					before.Run.Attempt, c.clockTime(before.Begun), before.Process)
				continue
			case c.definition(&e.Run).Lost == punctual.LostMark && c.lost(before):
				c.failf("P3: run %s is to be executed at most once; attempt %d was lost and attempt %d began at %s", id, before.Run.Attempt, e.Run.Attempt, c.clockTime(e.Begun))
			}
			over := before.over()
			if !over.IsZero() && !over.After(e.Begun) {
				continue
			}
			// The other attempt may only have been cut off, and it must have been told to stop in time.
			lapsed := c.store.lapses(before.Run.Session)
			switch {
			case e.Begun.Before(lapsed):
				c.failf("P3: run %s: attempt %d began at %s on %v while attempt %d on %v had a lease until %s", id, e.Run.Attempt, c.clockTime(e.Begun), e.Process,
					before.Run.Attempt, before.Process, c.clockTime(lapsed))
			case !before.unaware(before.told(c.settled)):
				c.failf("P3: run %s: attempt %d on %v was still executed, until %s, when attempt %d began at %s on %v", id, before.Run.Attempt, before.Process,
					c.clockTime(over), e.Run.Attempt, c.clockTime(e.Begun), e.Process)
			}
		}
	}
}

// definition is that of a run's task when the run was created. A registration of the same instant, which waited for the claim, may be a later one.
func (c *checker) definition(run *punctual.Run) punctual.Task {
	var found registration
	for _, r := range c.store.commits {
		if r.task.ID == run.TaskID && r.task.Revision == run.Revision && !r.at.After(run.CreatedAt) && !r.at.Before(found.at) {
			found = r
		}
	}
	return found.task
}

// lost reports whether the ledger says that an attempt was taken away, or its result came too late.
func (c *checker) lost(e *Execution) bool {
	run := c.runs[e.Run.ID]
	if c.store.taken[attempt{e.Run.ID, e.Run.Attempt}] {
		return true
	}
	return run != nil && slices.ContainsFunc(run.History, func(a punctual.Attempt) bool {
		// A claim that was handed back had the same number.
		return a.Number == e.Run.Attempt && !a.StartedAt.Before(e.Run.StartedAt) && (a.Outcome == "lost" || a.Outcome == "stale")
	})
}

// results checks that the ledger tells what the last attempt came to, and nothing of those that were taken over.
func (c *checker) results() {
	for i := range c.ledger {
		run := &c.ledger[i]
		var last *Execution
		for _, e := range c.tries[run.ID] {
			if e.Run.Attempt == run.Attempt {
				last = e
			}
		}
		switch run.State {
		case punctual.StateSucceeded:
			if last == nil || last.Err != nil || last.Ended.IsZero() || !last.own(run.Result.Output) {
				c.failf("P3: %s says %q, which attempt %d did not return", c.describe(run), run.Result.Output, run.Attempt)
			}
		case punctual.StateFailed, punctual.StateCanceled, punctual.StateLost:
			if last != nil && !last.Ended.IsZero() && last.Err == nil && !c.excused(last) {
				c.failf("P3: %s, but attempt %d succeeded on %v", c.describe(run), run.Attempt, last.Process)
			}
		case punctual.StateSkipped, punctual.StateMissed:
			if _, own := punctual.SkipOf(lastErr(last)); !own && len(c.tries[run.ID]) > 0 {
				c.failf("P1: %s was executed at %s", c.describe(run), c.clockTime(c.tries[run.ID][0].Begun))
			}
		}
	}
	for id, tries := range c.tries {
		if c.runs[id] == nil && c.removedAt(&tries[0].Run).IsZero() {
			c.failf("P1: run %s of task %s was executed at %s and is not in the ledger", id, tries[0].Run.TaskID, c.clockTime(tries[0].Begun))
		}
	}
}

func lastErr(e *Execution) error {
	if e == nil {
		return nil
	}
	return e.Err
}

// excused reports whether the result of an execution may be missing: it was taken away, its process died, lost its lease or gave up at the
// deadline of its shutdown.
func (c *checker) excused(e *Execution) bool {
	if c.lost(e) {
		return true
	}
	p := e.Process
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.killedAt.IsZero() || errors.Is(e.Cause, punctual.ErrLeaseLost) {
		return true
	}
	for _, s := range p.shutdowns {
		if s.err != nil {
			return true
		}
	}
	lapsed := c.store.lapses(e.Run.Session)
	return e.Ended.After(lapsed)
}

// removedAt returns when a run was removed with its task and all of its history; the zero time means never.
func (c *checker) removedAt(run *punctual.Run) time.Time {
	if c.runs[run.ID] == nil {
		for _, at := range c.store.removed[run.TaskID] {
			if !at.Before(run.CreatedAt) {
				return at
			}
		}
	}
	return time.Time{}
}

// noPileUp is P4: never more executions at a time than MaxActive of the task and ConcurrencyLimit of the key. In a world these do not
// change over the life of a task, but for those that Chaos calls fickle. What is in flight when its task is removed with its history may
// finish and counts no more: a task that is added later under the same id is another.
func (c *checker) noPileUp() {
	limits, keyLimits := make(map[string]int), make(map[string]int) // by task
	for _, r := range c.store.commits {
		t := &r.task
		limits[t.ID], keyLimits[t.ID] = cmp.Or(t.MaxActive, 1), cmp.Or(t.ConcurrencyLimit, 1)
		if t.Overlap == punctual.OverlapAllow && t.MaxActive == 0 || fickle(t.ID) {
			limits[t.ID] = 1 << 30
		}
		if fickle(t.ID) {
			keyLimits[t.ID] = 1 << 30
		}
	}
	byTask, byKey := make(map[string][]*Execution), make(map[string][]*Execution)
	for _, e := range c.executions {
		byTask[e.Run.TaskID] = append(byTask[e.Run.TaskID], e)
		if key := e.Run.ConcurrencyKey; key != "" {
			byKey[key] = append(byKey[key], e)
		}
	}
	for id, all := range byTask {
		c.crowded("task "+id, all, limits)
	}
	for key, all := range byKey {
		c.crowded("key "+key, all, keyLimits)
	}
}

// kinds checks that each process executes only what it handles, and no more of it than its own limits allow.
func (c *checker) kinds() {
	type kindOf struct {
		p    *Process
		kind string
	}
	all := make(map[kindOf][]*Execution)
	for _, e := range c.executions {
		if p := e.Process; p.Kinds != nil && !slices.Contains(p.Kinds, e.Run.Kind) {
			c.failf("C24: run %s of kind %q was executed on %v, which handles %q", e.Run.ID, e.Run.Kind, p, p.Kinds)
		}
		of := kindOf{e.Process, e.Run.Kind}
		all[of] = append(all[of], e)
	}
	for of, executions := range all {
		slices.SortStableFunc(executions, func(a, b *Execution) int { return a.Begun.Compare(b.Begun) })
		several, every := of.p.Several[of.kind], of.p.Every[of.kind]
		var active []*Execution
		for i, e := range executions {
			active = slices.DeleteFunc(active, func(o *Execution) bool { return !o.Ended.IsZero() && !o.Ended.After(e.Begun) })
			if active = append(active, e); several > 0 && len(active) > several {
				c.failf("P4: %d executions of kind %q on %v at %s, the limit is %d", len(active), of.kind, of.p, c.clockTime(e.Begun), several)
			}
			if every == 0 {
				continue
			}
			// Between the claim and the call of host code lie as much as the lease allows.
			for j, first := range executions[:i] {
				if n, most := i-j+1, rateBurst+int((e.Begun.Sub(first.Begun)+Lease)/every)+1; n > most {
					c.failf("P4: %d executions of kind %q began on %v from %s to %s, of at most %d", n, of.kind, of.p, c.clockTime(first.Begun), c.clockTime(e.Begun), most)
				}
			}
		}
	}
}

// crowded looks for an execution that began beside more than the limit of its task allows.
func (c *checker) crowded(what string, all []*Execution, limits map[string]int) {
	// Each passed the gate after those before it, though host code may have been called in another order. Of those that passed it in one
	// transaction the ones with the least limits are thought to be first.
	slices.SortStableFunc(all, func(a, b *Execution) int {
		return cmp.Or(a.Run.StartedAt.Compare(b.Run.StartedAt), cmp.Compare(limits[a.Run.TaskID], limits[b.Run.TaskID]), a.Begun.Compare(b.Begun))
	})
	var active []*Execution
	for _, e := range all {
		active = slices.DeleteFunc(active, func(other *Execution) bool {
			over := earlier(other.over(), c.removedAt(&other.Run))
			return !over.IsZero() && !over.After(e.Begun) || other.Run.ID == e.Run.ID || !e.Begun.Before(c.store.lapses(other.Run.Session)) && other.unaware(e.Begun)
		})
		if gone := c.removedAt(&e.Run); !gone.IsZero() && !gone.After(e.Begun) {
			continue // another instance had claimed it when its task was removed
		}
		active = append(active, e)
		if limit := limits[e.Run.TaskID]; len(active) > limit {
			names := make([]string, len(active))
			for i, a := range active {
				names[i] = fmt.Sprintf("%s on %v since %s", a.Run.ID, a.Process, c.clockTime(a.Begun))
			}
			c.failf("P4: %s has %d executions at %s, the limit is %d: %s", what, len(active), c.clockTime(e.Begun), limit, strings.Join(names, "; "))
			return
		}
	}
}

// cleanEnd is P5: nothing starts after a shutdown was entered, it returns by its deadline, and without an error only when all had ended.
func (c *checker) cleanEnd() {
	for _, p := range c.processes {
		for _, s := range p.shutdowns {
			if s.returned.IsZero() && p.killedAt.IsZero() {
				c.failf("P5: the shutdown of %v at %s never returned", p, c.clockTime(s.entered))
				continue
			}
			frozen := p.wasFrozen(s.entered, s.returned)
			if s.returned.After(s.deadline.Add(time.Millisecond)) && p.killedAt.IsZero() && !frozen {
				c.failf("P5: the shutdown of %v at %s returned %v late", p, c.clockTime(s.entered), s.returned.Sub(s.deadline))
			}
			for _, e := range c.executions {
				if e.Process != p {
					continue
				}
				if e.Begun.After(s.entered) {
					c.failf("P5: run %s began at %s on %v, whose shutdown was entered at %s", e.Run.ID, c.clockTime(e.Begun), p, c.clockTime(s.entered))
				}
				if s.err == nil && c.given(e) {
					c.failf("P5: the shutdown of %v at %s returned without error, and the result of attempt %d of run %s, which ended at %s, is not in the ledger", p,
						c.clockTime(s.entered), e.Run.Attempt, e.Run.ID, c.clockTime(e.Ended))
				}
				if s.err == nil && !s.returned.IsZero() && e != s.inside && (e.Ended.IsZero() || e.Ended.After(s.returned)) {
					c.failf("P5: the shutdown of %v returned without error at %s while run %s went on", p, c.clockTime(s.returned), e.Run.ID)
				}
			}
		}
	}
}

// given reports whether the right to an attempt was given back while its result was not stored yet: the session was ended before its lease
// lapsed, and others took the attempt.
func (c *checker) given(e *Execution) bool {
	return c.lost(e) && !e.Ended.IsZero() && c.store.gaveUp(e.Run.Session)
}

// observed checks that observers were told about each call of host code, and about nothing else of the kind.
func (c *checker) observed() {
	type call struct {
		process *Process
		attempt
	}
	calls := make(map[call]int)
	for _, e := range c.executions {
		calls[call{e.Process, attempt{e.Run.ID, e.Run.Attempt}}]++
	}
	for p, events := range c.events {
		for _, e := range events {
			if e.Type == punctual.EventStarted {
				calls[call{p, attempt{e.Run.ID, e.Run.Attempt}}]--
			}
		}
	}
	for of, n := range calls {
		if n != 0 {
			c.failf("attempt %d of run %s on %v was executed %+d times compared with what observers were told", of.number, of.run, of.process, n)
		}
	}
}

// atRest checks that nothing is left to do.
func (c *checker) atRest() {
	for i := range c.ledger {
		run := &c.ledger[i]
		switch {
		case run.State == punctual.StateRunning:
			c.failf("%s has not ended, though all processes have", c.describe(run))
		case run.State == punctual.StatePending && (run.DueAt.IsZero() || run.DueAt.Before(c.settled.Add(-c.rest/2))):
			c.failf("%s has not begun, though everything has come to rest", c.describe(run))
		}
	}
	for id, snap := range c.tasks {
		if snap.Fault != "" {
			c.failf("task %s was set aside: %s", id, snap.Fault)
		}
	}
}

func (c *checker) describe(run *punctual.Run) string { return audit.Describe(run, c.clockTime) }
