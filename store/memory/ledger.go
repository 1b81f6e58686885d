package memory

import "github.com/punctual-go/punctual"

// ledger is what is known of one task's runs. Most of its rows are final and form a chain; the few that are live are known besides.
type ledger struct {
	oldest, newest ref      // the ends of its rows, which are linked by id
	lone           [1]ref   // the only live row, while there is no crowd
	final          int32    // how many rows are final
	unusual        *unusual // nil while all of it is zero
}

// unusual is what few ledgers have.
type unusual struct {
	crowd   crowd
	taken   map[occurrence]struct{} // see Store.takes
	foreign map[string]ref          // while the task is mixed: the places of other kinds than the task's among what is due
}

// uncommon returns what few ledgers have, to be changed.
func (l *ledger) uncommon() *unusual {
	if l.unusual == nil {
		l.unusual = &unusual{}
	}
	return l.unusual
}

// tidy spends no memory on it when there is nothing to keep.
func (l *ledger) tidy() {
	if u := l.unusual; u != nil && u.crowd.empty() && u.taken == nil && len(u.foreign) == 0 {
		l.unusual = nil
	}
}

// link enters a row by its id. Rows arrive almost in order.
func (s *Store) link(l *ledger, r *row) {
	r.older = l.newest
	for r.older != 0 {
		older := s.rows.at(r.older)
		if s.compareRows(older, r) < 0 {
			break
		}
		r.newer, r.older = r.older, older.older
	}
	s.joins(l, r, r.self, r.self)
}

// unlink is the opposite of link.
func (s *Store) unlink(l *ledger, r *row) {
	s.joins(l, r, r.older, r.newer)
}

// joins tells the neighbours of a row what they have beside them from now on: the one that is newer, and the one that is older.
func (s *Store) joins(l *ledger, r *row, older, newer ref) {
	if r.older != 0 {
		s.rows.at(r.older).newer = newer
	} else {
		l.oldest = newer
	}
	if r.newer != 0 {
		s.rows.at(r.newer).older = older
	} else {
		l.newest = older
	}
}

// near is how many of a task's newest rows are looked at before the row of an id is sought among all.
const near = 16

// findOf returns the row of a run of this task; nil when there is none.
func (s *Store) findOf(t *task, id *sought) *row {
	n := t.newest
	for range near {
		if n == 0 {
			return nil
		}
		r := s.rows.at(n)
		if c := s.compareTo(r, id); c == 0 {
			return r
		} else if c < 0 {
			return nil
		}
		n = r.older
	}
	if r := s.find(id); r != nil && r.task == t.self {
		return r
	}
	return nil
}

// find returns the row of a run; nil when there is none.
func (s *Store) find(id *sought) *row {
	if s.ledger.empty() || s.compareTo(s.rows.at(s.ledger.last()), id) < 0 {
		return nil // a new id is greater than all
	}
	n, ok := s.ledger.at(s.placeOf(id))
	if !ok {
		return nil
	}
	if r := s.rows.at(n); s.compareTo(r, id) == 0 {
		return r
	}
	return nil
}

// placeOf returns the first place among all rows whose id is not less.
func (s *Store) placeOf(id *sought) position {
	return s.ledger.seek(func(n ref) bool { return s.compareTo(s.rows.at(n), id) >= 0 })
}

// occurrence is what a row may stand for. Each has room for two rows: what the schedule made of it, and a backfill.
type occurrence struct {
	at       int64
	backfill bool
}

// occurrenceOf returns what a run stands for, and whether it stands for an occurrence at all.
func occurrenceOf(trigger punctual.Trigger, scheduled int64) (o occurrence, is bool) {
	switch trigger {
	case punctual.TriggerSchedule, punctual.TriggerCatchUp:
		return occurrence{scheduled, false}, true
	case punctual.TriggerBackfill:
		return occurrence{scheduled, true}, true
	default:
		return occurrence{}, false
	}
}

// takes notes that a run, which is in the ledger not yet, stands for its occurrence; false when another does. Occurrences come in order but
// for backfills and clocks that go back, so that the newest row alone tells of most that they have none; of the others all are noted,
// from the first time that one comes.
func (s *Store) takes(l *ledger, id *sought, run *punctual.Run) bool {
	o, is := occurrenceOf(run.Trigger, run.ScheduledAt.UnixMicro())
	if !is {
		return true
	}
	if l.unusual == nil || l.unusual.taken == nil {
		if s.follows(l, id, o) {
			return true
		}
		taken := make(map[occurrence]struct{})
		for n := l.oldest; n != 0; {
			r := s.rows.at(n)
			if o, is := occurrenceOf(r.trigger, r.scheduled); is {
				taken[o] = struct{}{}
			}
			n = r.newer
		}
		l.uncommon().taken = taken
	}
	if _, taken := l.unusual.taken[o]; taken {
		return false
	}
	l.unusual.taken[o] = struct{}{}
	return true
}

// follows reports whether an occurrence comes after all that have a row, and its id as well: then all are in the order of their rows, and
// the newest is the greatest.
func (s *Store) follows(l *ledger, id *sought, o occurrence) bool {
	if l.newest != 0 && s.compareTo(s.rows.at(l.newest), id) > 0 {
		return false
	}
	for n := l.newest; n != 0; {
		r := s.rows.at(n)
		if other, is := occurrenceOf(r.trigger, r.scheduled); is && other.backfill == o.backfill {
			return other.at < o.at
		}
		n = r.older
	}
	return true
}

// releases is the opposite of takes.
func (l *ledger) releases(r *row) {
	if l.unusual == nil || l.unusual.taken == nil {
		return
	}
	if o, is := occurrenceOf(r.trigger, r.scheduled); is {
		delete(l.unusual.taken, o)
	}
}

// insert adds a row for a copy of the run and returns it; nil when the run's occurrence has one already.
func (s *Store) insert(t *task, run *punctual.Run) *row {
	id := seekID(run.ID)
	if !s.takes(&t.ledger, &id, run) {
		return nil
	}
	r := s.newRow(t, &id, run)
	s.ledger.add(r.self, s.byID)
	s.link(&t.ledger, r)
	s.index(r)
	return r
}

// forget removes a row, and with its last row a ghost.
func (s *Store) forget(r *row) {
	s.unindex(r)
	s.freed(s.hold(r), nil)
	t := s.taskOf(r)
	s.ledger.remove(r.self, s.byID)
	s.unlink(&t.ledger, r)
	t.releases(r)
	s.traits.release(r.traits)
	s.dropSeldom(r)
	s.rows.give(r.self)
	if t.newest == 0 {
		t.ledger, t.mixed = ledger{}, false
		if !t.exists {
			s.tasks.remove(t)
		}
	}
}

// rewrite changes a row and keeps the indexes in step.
func (s *Store) rewrite(r *row, change func()) {
	before := s.hold(r)
	s.unindex(r)
	change()
	s.index(r)
	s.freed(before, r)
}

// index enters a row where its state belongs.
func (s *Store) index(r *row) {
	t := s.taskOf(r)
	s.indexKey(r)
	switch r.state {
	case punctual.StateRunning:
		s.enter(&t.ledger, r)
		s.own(r)
		s.addFlying(r)
	case punctual.StatePending:
		s.enter(&t.ledger, r)
		t.mixed = t.mixed || s.traitsOf(r).kind != s.policiesOf(t).kind
	default:
		t.final++
		s.ended.add(r.self, s.byEnd)
		if int(t.final) > s.history {
			s.bound(t, r)
		}
	}
}

// unindex is the opposite of index.
func (s *Store) unindex(r *row) {
	t := s.taskOf(r)
	s.unindexKey(r)
	switch r.state {
	case punctual.StateRunning:
		s.leave(&t.ledger, r)
		s.disown(r)
		s.dropFlying(r)
	case punctual.StatePending:
		s.leave(&t.ledger, r)
	default:
		t.final--
		s.ended.remove(r.self, s.byEnd)
	}
}

// bound removes the oldest final row of a task, but not the one that just became final, nor one that grows.
func (s *Store) bound(t *task, newest *row) {
	for n := t.oldest; n != 0; {
		r := s.rows.at(n)
		if r != newest && r.state.Final() && !s.growing(r) {
			s.forget(r)
			return
		}
		n = r.newer
	}
}
