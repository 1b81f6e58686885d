package memory

import "github.com/punctual-go/punctual"

// key is what is known of one concurrency key.
type key struct {
	active  []ref // running runs, by id
	waiting []ref // pending runs that wait for it, by id
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
func (s *Store) rowsOf(r *row) *[]ref {
	switch name := s.traitsOf(r).key; {
	case name == "":
		return nil
	case r.running():
		return &s.keyOf(name).active
	case r.state == punctual.StatePending && r.waitsForKey:
		return &s.keyOf(name).waiting
	default:
		return nil
	}
}

// indexKey enters a row under its key.
func (s *Store) indexKey(r *row) {
	if rows := s.rowsOf(r); rows != nil {
		*rows = s.insertSorted(*rows, r, s.compareRows)
	}
}

// unindexKey is the opposite of indexKey.
func (s *Store) unindexKey(r *row) {
	rows := s.rowsOf(r)
	if rows == nil {
		return
	}
	*rows = s.removeSorted(*rows, r, s.compareRows)
	name := s.traitsOf(r).key
	if k := s.keys[name]; len(k.active)+len(k.waiting) == 0 {
		delete(s.keys, name)
	}
}

// hold is what a run has of its concurrency key.
type hold struct {
	key     string
	running bool
	claims  bool // it holds the key or is about to try
	waits   bool // it waits for its turn
}

func (s *Store) hold(r *row) hold {
	name := s.traitsOf(r).key
	if name == "" {
		return hold{}
	}
	pending := r.state == punctual.StatePending
	return hold{name, r.running(), r.running() || pending && r.due != noTime, pending && r.waitsForKey}
}

// freed notes the key of a row that was changed, if the run gave it up by that. After is nil when the row is gone.
func (s *Store) freed(before hold, after *row) {
	if !before.claims {
		return
	}
	if after != nil {
		if now := s.hold(after); now.key == before.key && (!before.running || now.running) && (now.claims || now.waits) {
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
		for _, n := range k.waiting {
			r := s.rows.at(n)
			t, kind := s.taskOf(r), s.traitsOf(r).kind
			if t.exists && t.fault() == "" && !seen[kind] {
				seen[kind] = true
				next = append(next, r)
			}
		}
		for _, r := range next {
			s.rewrite(r, func() { r.due, r.waitsForKey = now, false })
			s.requeue(s.taskOf(r))
			any = true
		}
	}
	return any
}
