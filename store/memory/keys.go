package memory

import "github.com/punctual-go/punctual"

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
	case r.traits.key == "":
		return nil
	case r.running():
		return &s.keyOf(r.traits.key).active
	case r.state == punctual.StatePending && r.waitsForKey:
		return &s.keyOf(r.traits.key).waiting
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
	if k := s.keys[r.traits.key]; len(k.active)+len(k.waiting) == 0 {
		delete(s.keys, r.traits.key)
	}
}

// hold is what a run has of its concurrency key.
type hold struct {
	key     string
	running bool
	claims  bool // it holds the key or is about to try
	waits   bool // it waits for its turn
}

func (r *row) hold() hold {
	if r.traits.key == "" {
		return hold{}
	}
	pending := r.state == punctual.StatePending
	return hold{r.traits.key, r.running(), r.running() || pending && r.due != noTime, pending && r.waitsForKey}
}

// freed notes the key of a row that was changed, if the run gave it up by that. After is nil when the row is gone.
func (s *Store) freed(before hold, after *row) {
	if !before.claims {
		return
	}
	if after != nil {
		if now := after.hold(); now.key == before.key && (!before.running || now.running) && (now.claims || now.waits) {
			return
		}
	}
	s.free = append(s.free, before.key)
}

// passOn makes due who waits for the keys that were freed: the oldest run of each kind. It reports whether there was one.
func (s *Store) passOn(now int64) (any bool) {
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
			if r.task.exists && r.task.fault() == "" && !seen[r.traits.kind] {
				seen[r.traits.kind] = true
				next = append(next, r)
			}
		}
		for _, r := range next {
			s.rewrite(r, func() { r.due, r.waitsForKey = now, false })
			s.requeue(r.task)
			any = true
		}
	}
	return any
}
