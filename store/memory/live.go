package memory

import (
	"slices"
	"sort"
)

// live are the rows of a task that are not final: mostly there is one at a time, and an idle task should hold no more than it needs.
type live struct {
	lone  [1]*row // the only one, while there is no crowd
	crowd *crowd  // from the second one until there is none any more
}

type crowd struct {
	running []*row // by id
	pending []*row // in due order, then those that wait for the gate, then those that wait for their key
	forKey  int    // how many wait for their key
}

// running returns the running rows by id.
func (l *live) running() []*row {
	switch r := l.lone[0]; {
	case l.crowd != nil:
		return l.crowd.running
	case r != nil && r.running():
		return l.lone[:]
	}
	return nil
}

// pending returns the pending rows: in due order, then those that wait for the gate, then those that wait for their key.
func (l *live) pending() []*row {
	switch r := l.lone[0]; {
	case l.crowd != nil:
		return l.crowd.pending
	case r != nil && !r.running():
		return l.lone[:]
	}
	return nil
}

// forKey is how many wait for their key.
func (l *live) forKey() int {
	switch r := l.lone[0]; {
	case l.crowd != nil:
		return l.crowd.forKey
	case r != nil && !r.running() && r.waitsForKey:
		return 1
	}
	return 0
}

// waiting returns the rows that wait for the gate, oldest first.
func (l *live) waiting() []*row {
	rows := l.pending()
	if len(rows) == 0 {
		return nil
	}
	first := sort.Search(len(rows), func(i int) bool { return rows[i].due == noTime })
	return rows[first : len(rows)-l.forKey()]
}

// firstDue returns when the first pending row may start; never when none may.
func (l *live) firstDue() int64 {
	if rows := l.pending(); len(rows) > 0 {
		return rows[0].dueAt()
	}
	return never
}

// add enters a row that is running or pending.
func (l *live) add(r *row) {
	if l.crowd == nil {
		if l.lone[0] == nil {
			l.lone[0] = r
			return
		}
		l.crowd = &crowd{}
		l.crowd.add(l.lone[0])
		l.lone[0] = nil
	}
	l.crowd.add(r)
}

// drop is the opposite of add.
func (l *live) drop(r *row) {
	if l.crowd == nil {
		l.lone[0] = nil
		return
	}
	l.crowd.drop(r)
	if len(l.crowd.running)+len(l.crowd.pending) == 0 {
		l.crowd = nil
	}
}

func (c *crowd) add(r *row) {
	if r.running() {
		c.running = insertSorted(c.running, r, compareRows)
		return
	}
	c.pending = insertSorted(c.pending, r, comparePending)
	if r.waitsForKey {
		c.forKey++
	}
}

func (c *crowd) drop(r *row) {
	if r.running() {
		c.running = removeSorted(c.running, r, compareRows)
		return
	}
	c.pending = removeSorted(c.pending, r, comparePending)
	if r.waitsForKey {
		c.forKey--
	}
}

func insertSorted(rows []*row, r *row, compare func(a, b *row) int) []*row {
	if n := len(rows); n == 0 || compare(rows[n-1], r) < 0 {
		return append(rows, r)
	}
	i, _ := slices.BinarySearchFunc(rows, r, compare)
	return slices.Insert(rows, i, r)
}

// removeSorted gives the slice up when it becomes empty: an idle task should hold no more than it needs.
func removeSorted(rows []*row, r *row, compare func(a, b *row) int) []*row {
	if len(rows) == 1 {
		rows[0] = nil
		return nil
	}
	i, _ := slices.BinarySearchFunc(rows, r, compare)
	return slices.Delete(rows, i, i+1)
}
