package memory

import (
	"fmt"
	"slices"

	"github.com/punctual-go/punctual"
)

// view writes down for a decide function what there is of a task, some of its pending runs and its concurrency key, or the one that is asked
// for. t is nil when there is no such task.
func (s *Store) view(v *punctual.View, t *task, pending []ref, key string) {
	if key == "" && t != nil && t.exists {
		key = s.policiesOf(t).key
	}
	if k := s.keys[key]; k != nil && len(k.active) > 0 {
		v.KeyActive, v.KeyOldest = len(k.active), s.idOf(s.rows.at(k.active[0]))
	}
	if t == nil {
		return
	}
	if t.exists {
		v.Record = s.recordOf(t)
	}
	if len(pending) > 0 {
		v.Pending = make([]punctual.Run, len(pending))
		for i, n := range pending {
			r := s.rows.at(n)
			s.fill(r, s.idOf(r), &v.Pending[i])
		}
	}
	l := &t.ledger
	if running := s.running(l); len(running) > 0 {
		v.Active, v.OldestActive = len(running), s.idOf(s.rows.at(running[0]))
	}
	v.KeyWaiting = s.forKey(l)
	waiting := s.waiting(l)
	v.Waiting = len(waiting)
	for _, n := range slices.Backward(waiting) {
		r := s.rows.at(n)
		if r.attempt == 0 && r.trigger != punctual.TriggerCatchUp && r.trigger != punctual.TriggerBackfill {
			newest := s.copy(r)
			v.Waiter = &newest
			break
		}
	}
}

// applied is what changes did besides what is stored.
type applied struct {
	started []started // in the order decided
	dropped []string  // inserted runs whose occurrence was taken
	news    bool      // something became due, now or later, or was ordered to be cancelled
}

// started is a row whose run was started, with its id as it came.
type started struct {
	row *row
	id  string
}

// check finds what would stop a change halfway, so that apply cannot fail.
func (s *Store) check(t *task, id string, c *punctual.Change) error {
	switch exists := t != nil && t.exists; {
	case !exists && c.Task == nil && (c.Status != nil || c.Remove || len(c.Insert) > 0):
		return fmt.Errorf("memory: a change for a task that does not exist: %w", punctual.ErrTaskNotFound)
	case c.Task != nil && c.Task.ID != id:
		return fmt.Errorf("memory: a change of task %q would rename it to %q", id, c.Task.ID)
	}
	var seen map[string]bool
	if len(c.Insert) > 1 {
		seen = make(map[string]bool, len(c.Insert))
	}
	for i := range c.Insert {
		runID := c.Insert[i].ID
		sought := seekID(runID)
		if runID == "" || seen[runID] || s.find(&sought) != nil {
			return fmt.Errorf("memory: run id %q of task %q is empty or taken", runID, id)
		}
		if seen != nil {
			seen[runID] = true
		}
	}
	return nil
}

// apply carries out a change that was checked, and adds to done what it did.
func (s *Store) apply(t *task, c *punctual.Change, now int64, done *applied) {
	for i := range c.Update {
		update := &c.Update[i]
		id := seekID(update.ID)
		r := s.findOf(t, &id)
		if r == nil || r.running() || r.state.Final() && r.state != punctual.StateSkipped {
			continue
		}
		s.rewrite(r, func() { s.overwrite(r, update) })
		done.add(r, update.ID)
	}
	if c.Task != nil {
		if !t.exists {
			t.exists, t.created = true, now
			s.sorted.add(t.self, s.tasks.byID)
		}
		s.define(t, c.Task)
		t.updated = now
		t.mixed = t.newest != 0 // requeue finds out
	}
	if c.Status != nil {
		t.enter(c.Status)
		done.news = done.news || t.next != noTime
	}
	for i := range c.Insert {
		if r := s.insert(t, &c.Insert[i]); r != nil {
			done.add(r, c.Insert[i].ID)
		} else {
			done.dropped = append(done.dropped, c.Insert[i].ID)
		}
	}
	for _, order := range c.Cancel {
		id := seekID(order.RunID)
		if r := s.findOf(t, &id); r != nil && r.running() && s.order(r) == nil {
			x := s.seldom(r)
			x.cancelRequested, x.reason, x.blockedBy = true, order.Reason, order.BlockedBy
			s.setSeldom(r, x)
			s.owners.at(r.owner).orders++
			done.news = true
		}
	}
	if c.Remove {
		s.remove(t, c.KeepHistory)
	}
	s.requeue(t)
	if s.passOn(now) {
		done.news = true
	}
}

func (a *applied) add(r *row, id string) {
	switch r.state {
	case punctual.StateRunning:
		a.started = append(a.started, started{r, id})
	case punctual.StatePending:
		a.news = a.news || r.due != noTime
	}
}

// remove deletes a task. With its history kept it leaves a ghost: an id and its rows.
func (s *Store) remove(t *task, keepHistory bool) {
	s.releasePolicies(t.policies)
	s.agenda.drop(t.entry)
	if t.unusual != nil {
		for _, e := range t.unusual.foreign {
			s.agenda.drop(e)
		}
		t.unusual.foreign = nil
		t.tidy()
	}
	s.sorted.remove(t.self, s.tasks.byID)
	for !keepHistory && t.newest != 0 {
		s.forget(s.rows.at(t.newest))
	}
	if t.newest == 0 {
		s.tasks.remove(t)
		return
	}
	*t = task{id: t.id, self: t.self, ledger: t.ledger, mixed: t.mixed, deciding: t.deciding}
}
