package memory

import (
	"fmt"
	"slices"

	"github.com/punctual-go/punctual"
)

// view shows a task, some of its pending runs and its concurrency key, or the one that is asked for, to a decide function. t is nil when
// there is no such task.
func (s *Store) view(t *task, pending []*row, key string) punctual.View {
	var v punctual.View
	if key == "" && t != nil && t.exists {
		key = t.policies.Value().key
	}
	if k := s.keys[key]; k != nil && len(k.active) > 0 {
		v.KeyActive, v.KeyOldest = len(k.active), k.active[0].id
	}
	if t == nil {
		return v
	}
	if t.exists {
		v.Record = &s.record
		t.record(v.Record)
	}
	l := t.ledger
	if l == nil {
		return v
	}
	if len(pending) > 0 {
		v.Pending = make([]punctual.Run, len(pending))
		for i, r := range pending {
			r.fill(&v.Pending[i])
		}
	}
	if running := l.live.running(); len(running) > 0 {
		v.Active, v.OldestActive = len(running), running[0].id
	}
	v.KeyWaiting = l.live.forKey()
	waiting := l.live.waiting()
	v.Waiting = len(waiting)
	for _, r := range slices.Backward(waiting) {
		if r.attempt == 0 && r.trigger != punctual.TriggerCatchUp && r.trigger != punctual.TriggerBackfill {
			newest := r.copy()
			v.Waiter = &newest
			break
		}
	}
	return v
}

// applied is what changes did besides what is stored.
type applied struct {
	started []*row   // in the order decided
	dropped []string // inserted runs whose occurrence was taken
	news    bool     // something became due, now or later, or was ordered to be cancelled
}

// check finds what would stop a change halfway, so that apply cannot fail.
func (s *Store) check(t *task, c *punctual.Change) error {
	switch {
	case !t.exists && c.Task == nil && (c.Status != nil || c.Remove || len(c.Insert) > 0):
		return fmt.Errorf("memory: a change for a task that does not exist: %w", punctual.ErrTaskNotFound)
	case c.Task != nil && c.Task.ID != t.id:
		return fmt.Errorf("memory: a change of task %q would rename it to %q", t.id, c.Task.ID)
	}
	var seen map[string]bool
	if len(c.Insert) > 1 {
		seen = make(map[string]bool, len(c.Insert))
	}
	for i := range c.Insert {
		id := c.Insert[i].ID
		if id == "" || seen[id] || s.find(id) != nil {
			return fmt.Errorf("memory: run id %q of task %q is empty or taken", id, t.id)
		}
		if seen != nil {
			seen[id] = true
		}
	}
	return nil
}

// apply carries out a change that was checked, and adds to done what it did.
func (s *Store) apply(t *task, c *punctual.Change, now int64, done *applied) {
	for i := range c.Update {
		update := &c.Update[i]
		r := s.findOf(t, update.ID)
		if r == nil || r.running() || r.state.Final() && r.state != punctual.StateSkipped {
			continue
		}
		s.rewrite(r, func() { s.overwrite(r, update) })
		done.add(r)
	}
	if c.Task != nil {
		if !t.exists {
			if t.ledger == nil { // or it is a ghost and was there
				s.tasks.add(t)
			}
			t.exists, t.created = true, now
			s.sorted.add(t, compareTasks)
		}
		s.define(t, c.Task)
		t.updated = now
		if t.ledger != nil {
			t.ledger.mixed = true // requeue finds out
		}
	}
	if c.Status != nil {
		t.enter(c.Status)
		done.news = done.news || t.next != noTime
	}
	for i := range c.Insert {
		if r, ok := s.insert(t, &c.Insert[i]); ok {
			done.add(r)
		} else {
			done.dropped = append(done.dropped, c.Insert[i].ID)
		}
	}
	for _, order := range c.Cancel {
		if r := s.findOf(t, order.RunID); r != nil && r.running() && !r.cancelRequested() {
			x := r.seldom()
			x.cancelRequested, x.reason, x.blockedBy = true, order.Reason, order.BlockedBy
			r.setSeldom(x)
			r.owner.orders++
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

func (a *applied) add(r *row) {
	switch r.state {
	case punctual.StateRunning:
		a.started = append(a.started, r)
	case punctual.StatePending:
		a.news = a.news || r.due != noTime
	}
}

// remove deletes a task. With its history kept it leaves a ghost: an id and its rows.
func (s *Store) remove(t *task, keepHistory bool) {
	s.unqueue(t)
	s.sorted.remove(t, compareTasks)
	t.exists = false
	for !keepHistory && t.ledger != nil {
		s.forget(t.ledger.newest)
	}
	if t.ledger == nil {
		s.tasks.remove(t)
	}
	*t = task{id: t.id, ledger: t.ledger, deciding: t.deciding}
}
