package memory

import (
	"math"

	"github.com/punctual-go/punctual"
)

// ledger is what is known of one task's runs.
type ledger struct {
	oldest, newest *row // the ends of its rows, which are linked by id
	occurrences    occurrences
	live           live
	foreign        map[string]*entry // while it is mixed: the places of other kinds than the task's among what is due
	final          int32             // how many rows are final
	mixed          bool              // pending runs may have another kind than the task, which was given a new one meanwhile
}

func newLedger() *ledger {
	return &ledger{occurrences: occurrences{top: [2]int64{math.MinInt64, math.MinInt64}}}
}

// share returns the traits: those of the ledger's row before or of the store's row before if they are the same.
func (s *Store) share(l *ledger, t traits) *traits {
	switch {
	case l.newest != nil && *l.newest.traits == t:
		return l.newest.traits
	case s.traits == nil || *s.traits != t:
		other := t // only what is kept goes to the heap
		s.traits = &other
	}
	return s.traits
}

// link enters a row by its id. Rows arrive almost in order.
func (l *ledger) link(r *row) {
	r.older = l.newest
	for r.older != nil && r.older.id > r.id {
		r.newer, r.older = r.older, r.older.older
	}
	if r.older != nil {
		r.older.newer = r
	} else {
		l.oldest = r
	}
	if r.newer != nil {
		r.newer.older = r
	} else {
		l.newest = r
	}
}

// unlink is the opposite of link.
func (l *ledger) unlink(r *row) {
	if r.older != nil {
		r.older.newer = r.newer
	} else {
		l.oldest = r.newer
	}
	if r.newer != nil {
		r.newer.older = r.older
	} else {
		l.newest = r.older
	}
	r.older, r.newer = nil, nil
}

// near is how many of a task's newest rows are looked at before the row of an id is sought among all.
const near = 16

// find returns the row of a run of this task; nil when there is none.
func (s *Store) findOf(t *task, id string) *row {
	if t.ledger == nil {
		return nil
	}
	r := t.ledger.newest
	for range near {
		if r == nil || r.id < id {
			return nil
		}
		if r.id == id {
			return r
		}
		r = r.older
	}
	if r = s.find(id); r != nil && r.task != t {
		return nil
	}
	return r
}

// find returns the row of a run; nil when there is none.
func (s *Store) find(id string) *row {
	if s.ledger.empty() || s.ledger.last().id < id {
		return nil // a new id is greater than all
	}
	r, ok := s.ledger.at(s.ledger.seek(func(r *row) bool { return r.id >= id }))
	if !ok || r.id != id {
		return nil
	}
	return r
}

// occurrences knows which occurrences of a task have a row. Each has room for two: what the schedule made of it, and a backfill. They
// come in order but for backfills and clocks that go back, so that the greatest alone tells of most that they have none; of the others
// all are noted, from the first time that one comes.
type occurrences struct {
	top   [2]int64 // the greatest that have or had a row: of the schedule, and of backfills
	taken map[occurrence]struct{}
}

type occurrence struct {
	at       int64
	backfill bool
}

// occurrence returns what the row stands for, and whether it stands for an occurrence at all.
func (r *row) occurrence() (o occurrence, is bool) {
	switch r.trigger {
	case punctual.TriggerSchedule, punctual.TriggerCatchUp:
		return occurrence{r.scheduled, false}, true
	case punctual.TriggerBackfill:
		return occurrence{r.scheduled, true}, true
	default:
		return occurrence{}, false
	}
}

// take notes that the row, which is none of the ledger's yet, stands for its occurrence; false when another does.
func (l *ledger) take(r *row) bool {
	o, is := r.occurrence()
	if !is {
		return true
	}
	known, top := &l.occurrences, &l.occurrences.top[0]
	if o.backfill {
		top = &known.top[1]
	}
	if o.at > *top {
		*top = o.at
	} else if known.taken == nil {
		known.taken = make(map[occurrence]struct{})
		for other := l.oldest; other != nil; other = other.newer {
			if o, is := other.occurrence(); is {
				known.taken[o] = struct{}{}
			}
		}
	}
	if known.taken != nil {
		if _, taken := known.taken[o]; taken {
			return false
		}
		known.taken[o] = struct{}{}
	}
	return true
}

// release is the opposite of take.
func (l *ledger) release(r *row) {
	if o, is := r.occurrence(); is && l.occurrences.taken != nil {
		delete(l.occurrences.taken, o)
	}
}

// insert adds a row for a copy of the run and reports whether it did: not when the run's occurrence has one already.
func (s *Store) insert(t *task, run *punctual.Run) (*row, bool) {
	if t.ledger == nil {
		t.ledger = newLedger()
	}
	l := t.ledger
	r := s.newRow(t, run)
	if !l.take(r) {
		return nil, false
	}
	l.mixed = l.mixed || run.Kind != t.kind()
	s.ledger.add(r, compareRows)
	l.link(r)
	s.index(r)
	return r, true
}

// forget removes a row, and with its last row a ghost.
func (s *Store) forget(r *row) {
	s.unindex(r)
	s.freed(r.hold(), nil)
	t, l := r.task, r.task.ledger
	s.ledger.remove(r, compareRows)
	l.unlink(r)
	l.release(r)
	if l.newest == nil {
		t.ledger = nil
		if !t.exists {
			s.tasks.remove(t)
		}
	}
}

// rewrite changes a row and keeps the indexes in step.
func (s *Store) rewrite(r *row, change func()) {
	before := r.hold()
	s.unindex(r)
	change()
	s.index(r)
	s.freed(before, r)
}

// index enters a row where its state belongs.
func (s *Store) index(r *row) {
	l := r.task.ledger
	s.indexKey(r)
	switch r.state {
	case punctual.StateRunning:
		l.live.add(r)
		s.own(r)
		s.flying.add(r)
	case punctual.StatePending:
		l.live.add(r)
	default:
		l.final++
		s.ended.add(r, compareEnded)
		if int(l.final) > s.history {
			s.bound(l, r)
		}
	}
}

// unindex is the opposite of index.
func (s *Store) unindex(r *row) {
	l := r.task.ledger
	s.unindexKey(r)
	switch r.state {
	case punctual.StateRunning:
		l.live.drop(r)
		s.disown(r)
		s.flying.drop(r)
	case punctual.StatePending:
		l.live.drop(r)
	default:
		l.final--
		s.ended.remove(r, compareEnded)
	}
}

// bound removes the oldest final row of a ledger, but not the one that just became final.
func (s *Store) bound(l *ledger, newest *row) {
	for r := l.oldest; r != nil; r = r.newer {
		if r != newest && r.state.Final() {
			s.forget(r)
			return
		}
	}
}
