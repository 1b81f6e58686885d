package memory

import (
	"time"

	"github.com/punctual-go/punctual"
)

// key is what is known of one concurrency key.
type key struct {
	active  []*row // running runs, by id
	waiting []*row // pending runs that wait for it, by id
}

func (s *Store) keyOf(name string) *key {
	k := s.keys[name]
	if k == nil {
		k = &key{}
		s.keys[name] = k
	}
	return k
}

// rowsOf returns the list of its key that the row belongs to; nil when it belongs to none.
func (s *Store) rowsOf(r *row) *[]*row {
	switch {
	case r.run.ConcurrencyKey == "":
		return nil
	case r.run.State == punctual.StateRunning:
		return &s.keyOf(r.run.ConcurrencyKey).active
	case r.run.State == punctual.StatePending && r.run.WaitsForKey:
		return &s.keyOf(r.run.ConcurrencyKey).waiting
	default:
		return nil
	}
}

// indexKey enters a row under its key.
func (s *Store) indexKey(r *row) {
	if rows := s.rowsOf(r); rows != nil {
		*rows = insertSorted(*rows, r, compareRows)
	}
}

// unindexKey is the opposite of indexKey.
func (s *Store) unindexKey(r *row) {
	rows := s.rowsOf(r)
	if rows == nil {
		return
	}
	*rows = removeSorted(*rows, r, compareRows)
	if k := s.keys[r.run.ConcurrencyKey]; len(k.active)+len(k.waiting) == 0 {
		delete(s.keys, r.run.ConcurrencyKey)
	}
}

// claimsKey reports whether a run holds its key or is about to try.
func claimsKey(run *punctual.Run) bool {
	return run.ConcurrencyKey != "" &&
		(run.State == punctual.StateRunning || run.State == punctual.StatePending && !run.DueAt.IsZero())
}

// freed notes the key of a row that was changed, if the run gave it up by that. After is nil when the row is gone.
func (s *Store) freed(before punctual.Run, after *punctual.Run) {
	if !claimsKey(&before) {
		return
	}
	if after != nil && after.ConcurrencyKey == before.ConcurrencyKey && (before.State != punctual.StateRunning || after.State == punctual.StateRunning) &&
		(claimsKey(after) || after.WaitsForKey) {
		return
	}
	s.free = append(s.free, before.ConcurrencyKey)
}

// passOn makes due who waits for the keys that were freed: the oldest run of each kind. It reports whether there was one.
func (s *Store) passOn(now time.Time) (any bool) {
	for len(s.free) > 0 {
		name := s.free[len(s.free)-1]
		s.free = s.free[:len(s.free)-1]
		k := s.keys[name]
		if k == nil {
			continue
		}
		var next []*row
		seen := make(map[string]bool)
		for _, r := range k.waiting {
			if r.task.exists && r.task.fault() == "" && !seen[r.run.Kind] {
				seen[r.run.Kind] = true
				next = append(next, r)
			}
		}
		for _, r := range next {
			s.rewrite(r, func(run *punctual.Run) { run.DueAt, run.WaitsForKey = now, false })
			s.requeue(r.task)
			any = true
		}
	}
	return any
}
