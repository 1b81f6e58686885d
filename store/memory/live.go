package memory

import (
	"slices"
	"sort"
)

// crowd are the rows of a task that are not final, from the second one until there is none any more. Mostly there is one at a time, and an idle
// task should hold no more than it needs.
type crowd struct {
	running []ref // by id
	pending []ref // in due order, then those that wait for the gate, then those that wait for their key
	forKey  int   // how many wait for their key
}

func (c *crowd) empty() bool { return len(c.running)+len(c.pending) == 0 }

// crowd returns the live rows if they are more than one.
func (l *ledger) crowd() *crowd {
	if l.unusual == nil || l.unusual.crowd.empty() {
		return nil
	}
	return &l.unusual.crowd
}

// running returns the running rows by id.
func (s *Store) running(l *ledger) []ref {
	if c := l.crowd(); c != nil {
		return c.running
	}
	if n := l.lone[0]; n != 0 && s.rows.at(n).running() {
		return l.lone[:]
	}
	return nil
}

// pending returns the pending rows: in due order, then those that wait for the gate, then those that wait for their key.
func (s *Store) pending(l *ledger) []ref {
	if c := l.crowd(); c != nil {
		return c.pending
	}
	if n := l.lone[0]; n != 0 && !s.rows.at(n).running() {
		return l.lone[:]
	}
	return nil
}

// forKey is how many wait for their key.
func (s *Store) forKey(l *ledger) int {
	if c := l.crowd(); c != nil {
		return c.forKey
	}
	if n := l.lone[0]; n != 0 {
		if r := s.rows.at(n); !r.running() && r.waitsForKey {
			return 1
		}
	}
	return 0
}

// waiting returns the rows that wait for the gate, oldest first.
func (s *Store) waiting(l *ledger) []ref {
	rows := s.pending(l)
	if len(rows) == 0 {
		return nil
	}
	first := sort.Search(len(rows), func(i int) bool { return s.rows.at(rows[i]).due == noTime })
	return rows[first : len(rows)-s.forKey(l)]
}

// firstDueOf returns when the first pending row may start; never when none may.
func (s *Store) firstDueOf(l *ledger) int64 {
	if rows := s.pending(l); len(rows) > 0 {
		return s.rows.at(rows[0]).dueAt()
	}
	return never
}

// enter adds a row that is running or pending.
func (s *Store) enter(l *ledger, r *row) {
	if l.crowd() == nil {
		if l.lone[0] == 0 {
			l.lone[0] = r.self
			return
		}
		s.enterCrowd(&l.uncommon().crowd, s.rows.at(l.lone[0]))
		l.lone[0] = 0
	}
	s.enterCrowd(&l.unusual.crowd, r)
}

// leave is the opposite of enter.
func (s *Store) leave(l *ledger, r *row) {
	c := l.crowd()
	switch {
	case c == nil:
		l.lone[0] = 0
		return
	case r.running():
		c.running = s.removeSorted(c.running, r, s.compareRows)
	default:
		c.pending = s.removeSorted(c.pending, r, s.comparePending)
		if r.waitsForKey {
			c.forKey--
		}
	}
	l.tidy()
}

func (s *Store) enterCrowd(c *crowd, r *row) {
	if r.running() {
		c.running = s.insertSorted(c.running, r, s.compareRows)
		return
	}
	c.pending = s.insertSorted(c.pending, r, s.comparePending)
	if r.waitsForKey {
		c.forKey++
	}
}

func (s *Store) insertSorted(rows []ref, r *row, compare func(a, b *row) int) []ref {
	if n := len(rows); n == 0 || compare(s.rows.at(rows[n-1]), r) < 0 {
		return append(rows, r.self)
	}
	i := s.search(rows, r, compare)
	return slices.Insert(rows, i, r.self)
}

// removeSorted gives the slice up when it becomes empty: an idle task should hold no more than it needs.
func (s *Store) removeSorted(rows []ref, r *row, compare func(a, b *row) int) []ref {
	if len(rows) == 1 {
		return nil
	}
	i := s.search(rows, r, compare)
	return slices.Delete(rows, i, i+1)
}

// search returns the first place of sorted rows that is not before r.
func (s *Store) search(rows []ref, r *row, compare func(a, b *row) int) int {
	return sort.Search(len(rows), func(i int) bool { return compare(s.rows.at(rows[i]), r) >= 0 })
}
