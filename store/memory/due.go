package memory

import (
	"slices"

	"github.com/punctual-go/punctual"
)

// requeue puts a task where Claim finds it: at the earlier of its next occurrence and its first due run, or nowhere when nothing is
// ever due. Whoever has changed a task or its pending runs calls it last.
func (s *Store) requeue(t *task) {
	if t.deciding {
		return
	}
	if !t.exists || t.fault() != "" {
		s.unqueue(t)
		return
	}
	due := int64(never)
	if t.next != noTime {
		due = t.next
	}
	if t.mixed {
		due = min(due, s.requeueForeign(t))
	} else {
		due = min(due, s.firstDueOf(&t.ledger))
	}
	s.agenda.set(t.entry, due)
}

// dueBy reports whether a task may still have a place among what is due.
func (s *Store) dueBy(t *task, now int64) bool {
	return t.next != noTime && t.next <= now || t.mixed || s.firstDueOf(&t.ledger) <= now
}

// requeueForeign gives each kind of pending run that is not the task's own a place among what is due, and returns when the first run
// of the task's own kind is due.
func (s *Store) requeueForeign(t *task) (due int64) {
	own, places := s.policiesOf(t).lane(), t.uncommon()
	first := make(map[string]int64)
	for _, n := range s.pending(&t.ledger) {
		r := s.rows.at(n)
		kind := s.traitsOf(r).kind
		if _, later := first[kind]; !later {
			first[kind] = r.dueAt()
		}
	}
	for kind, e := range places.foreign {
		if _, still := first[kind]; !still {
			s.agenda.drop(e)
			delete(places.foreign, kind)
		}
	}
	due = never
	t.mixed = false
	for kind, at := range first {
		if kind == own.kind {
			due = at
			continue
		}
		t.mixed = true
		if places.foreign == nil {
			places.foreign = make(map[string]ref)
		}
		e, other := places.foreign[kind], lane{kind, own.priority}
		if e == 0 {
			e = s.agenda.enter(t, other)
			places.foreign[kind] = e
		}
		s.agenda.move(e, other)
		s.agenda.set(e, at)
	}
	if e := places.foreign[own.kind]; e != 0 {
		s.agenda.drop(e) // the task has this kind again, and its own place covers it
		delete(places.foreign, own.kind)
	}
	t.tidy()
	return due
}

// unqueue takes a task out of all queues.
func (s *Store) unqueue(t *task) {
	if t.entry != 0 {
		s.agenda.leave(t.entry)
	}
	if t.unusual != nil {
		for _, e := range t.unusual.foreign {
			s.agenda.leave(e)
		}
	}
}

// queuesOf appends the queues of some kinds; nil means all.
func (s *Store) queuesOf(kinds []string, to []*queue) []*queue {
	if kinds == nil {
		return append(to, s.agenda.queues...)
	}
	for _, kind := range kinds {
		for priority := punctual.MinPriority; priority <= punctual.MaxPriority; priority++ {
			if n, known := s.agenda.lanes[lane{kind, priority}]; known {
				to = append(to, s.agenda.queues[n])
			}
		}
	}
	return to
}

// firstDue returns the task that is first in due order among what is due in some queues; nil when nothing is.
func firstDue(queues []*queue, now int64) *task {
	var first *task
	var since int64
	for _, q := range queues {
		q.gather(now)
		x := q.first()
		if x == nil || x.due > now {
			continue
		}
		t, due := q.agenda.taskOf(x.entry), x.due-q.lane.head()
		if first == nil || due < since || due == since && t.id < first.id {
			first, since = t, due
		}
	}
	return first
}

// nextDue returns when the first item of some queues is due; never when they are empty.
func nextDue(queues []*queue) int64 {
	due := int64(never)
	for _, q := range queues {
		due = min(due, q.due())
	}
	return due
}

// dueRuns returns the runs of a task that are due by now, of some kinds.
func (s *Store) dueRuns(t *task, now int64, kinds []string) []ref {
	due, n := s.pending(&t.ledger), 0
	for n < len(due) && s.rows.at(due[n]).dueAt() <= now {
		n++
	}
	due = due[:n]
	if !t.mixed || kinds == nil {
		return due
	}
	return slices.DeleteFunc(slices.Clone(due), func(n ref) bool { return !slices.Contains(kinds, s.kindOf(n)) })
}
