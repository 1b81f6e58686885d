package memory

import (
	"cmp"
	"slices"
	"sort"
	"strings"

	"github.com/punctual-go/punctual"
)

// row is one entry of the ledger. Whatever changes it takes it out of the indexes first: see Store.rewrite.
type row struct {
	run   punctual.Run // without payload and labels, times clean
	task  *task
	owner *session // whose attempt it is; nil unless it is running
}

// ledger is what is known of one task's runs.
type ledger struct {
	rows    list[*row]  // all, by id
	taken   list[int64] // occurrences that have a row, see occurrence
	running []*row      // by id
	pending []*row      // in due order, then those that wait for the gate, then those that wait for their key
	forKey  int         // how many wait for their key
	final   int         // how many rows are final
	// mixed is set while pending runs may have another kind than the task, which was given a new one meanwhile; foreign then
	// holds the places of those kinds among what is due.
	mixed   bool
	foreign map[string]*entry
}

func compareRows(a, b *row) int { return strings.Compare(a.run.ID, b.run.ID) }

// comparePending is due order: by DueAt and then id, those without DueAt last, and of them those that wait for their key.
func comparePending(a, b *row) int {
	if x, y := a.run.WaitsForKey, b.run.WaitsForKey; x != y {
		if x {
			return 1
		}
		return -1
	}
	if x, y := a.run.DueAt, b.run.DueAt; !x.Equal(y) {
		switch {
		case x.IsZero():
			return 1
		case y.IsZero():
			return -1
		default:
			return x.Compare(y)
		}
	}
	return compareRows(a, b)
}

func compareEnded(a, b *row) int {
	if c := a.run.FinishedAt.Compare(b.run.FinishedAt); c != 0 {
		return c
	}
	return compareRows(a, b)
}

func compareTasks(a, b *task) int { return strings.Compare(a.id, b.id) }

// queuing returns the index of the oldest run that waits for the gate.
func (l *ledger) queuing() int {
	return sort.Search(len(l.pending), func(i int) bool { return l.pending[i].run.DueAt.IsZero() })
}

// waiting returns the runs that wait for the gate, oldest first.
func (l *ledger) waiting() []*row { return l.pending[l.queuing() : len(l.pending)-l.forKey] }

// copy returns the run as it goes out: it shares nothing that can be changed.
func (r *row) copy() punctual.Run {
	run := r.run
	run.Result.Facts = slices.Clone(run.Result.Facts)
	run.History = slices.Clone(run.History)
	return run
}

// note appends to the history of attempts, which keeps the newest punctual.MaxHistory.
func (r *row) note(a punctual.Attempt) {
	a.StartedAt, a.FinishedAt = clean(a.StartedAt), clean(a.FinishedAt)
	history := append(r.run.History, a)
	if extra := len(history) - punctual.MaxHistory; extra > 0 {
		history = slices.Delete(history, 0, extra)
	}
	r.run.History = history
}

// occurrence reports whether the run stands for an occurrence of the schedule, and returns the number that only one row may have: each
// occurrence has one for what the schedule made of it, and one for a backfill.
func occurrence(run *punctual.Run) (number int64, is bool) {
	number = 2 * run.ScheduledAt.UnixMicro()
	switch run.Trigger {
	case punctual.TriggerSchedule, punctual.TriggerCatchUp:
		return number, true
	case punctual.TriggerBackfill:
		return number + 1, true
	default:
		return 0, false
	}
}

// insert adds a row for a copy of the run and reports whether it did: not when the run's occurrence has one already.
func (s *Store) insert(t *task, run *punctual.Run) (*row, bool) {
	if t.ledger == nil {
		t.ledger = &ledger{}
	}
	l := t.ledger
	if number, is := occurrence(run); is && !l.taken.add(number, cmp.Compare) {
		return nil, false
	}
	r := &row{run: *run, task: t}
	c := &r.run
	c.TaskID, c.Payload, c.Labels = t.id, nil, nil
	c.ScheduledAt, c.Until, c.DueAt = clean(c.ScheduledAt), clean(c.Until), clean(c.DueAt)
	c.StartedAt, c.FinishedAt, c.CreatedAt = clean(c.StartedAt), clean(c.FinishedAt), clean(c.CreatedAt)
	c.Result.Facts = slices.Clone(c.Result.Facts)
	c.History = nil
	for _, a := range run.History {
		r.note(a)
	}
	l.mixed = l.mixed || c.Kind != t.kind()
	s.runs[c.ID] = r
	s.ledger.add(r, compareRows)
	l.rows.add(r, compareRows)
	s.index(r)
	return r, true
}

// forget removes a row, and with its last row a ghost.
func (s *Store) forget(r *row) {
	s.unindex(r)
	s.freed(r.run, nil)
	t := r.task
	delete(s.runs, r.run.ID)
	s.ledger.remove(r, compareRows)
	t.ledger.rows.remove(r, compareRows)
	if number, is := occurrence(&r.run); is {
		t.ledger.taken.remove(number, cmp.Compare)
	}
	if t.ledger.rows.empty() {
		t.ledger = nil
		if !t.exists {
			delete(s.tasks, t.id)
		}
	}
}

// rewrite changes a row and keeps the indexes in step.
func (s *Store) rewrite(r *row, change func(run *punctual.Run)) {
	before := r.run
	s.unindex(r)
	change(&r.run)
	s.index(r)
	s.freed(before, &r.run)
}

// index enters a row where its state belongs.
func (s *Store) index(r *row) {
	l := r.task.ledger
	s.indexKey(r)
	switch {
	case r.run.State == punctual.StateRunning:
		l.running = insertSorted(l.running, r, compareRows)
		r.owner = s.sessionOf(r.run.Session)
		r.owner.runs.add(r, compareRows)
	case r.run.State == punctual.StatePending:
		l.pending = insertSorted(l.pending, r, comparePending)
		if r.run.WaitsForKey {
			l.forKey++
		}
	default:
		l.final++
		s.ended.add(r, compareEnded)
		if l.final > s.history {
			s.bound(l, r)
		}
	}
}

// unindex is the opposite of index.
func (s *Store) unindex(r *row) {
	l := r.task.ledger
	s.unindexKey(r)
	switch {
	case r.run.State == punctual.StateRunning:
		l.running = removeSorted(l.running, r, compareRows)
		s.disown(r)
	case r.run.State == punctual.StatePending:
		l.pending = removeSorted(l.pending, r, comparePending)
		if r.run.WaitsForKey {
			l.forKey--
		}
	default:
		l.final--
		s.ended.remove(r, compareEnded)
	}
}

// bound removes the oldest final row of a ledger, but not the one that just became final.
func (s *Store) bound(l *ledger, newest *row) {
	for r := range l.rows.ascend(position{}) {
		if r != newest && r.run.State.Final() {
			s.forget(r)
			return
		}
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
		return nil
	}
	i, _ := slices.BinarySearchFunc(rows, r, compare)
	return slices.Delete(rows, i, i+1)
}
