package memory

import "hash/maphash"

// flying finds most of the running rows by their id without a way through what a million tasks have: there are not many at a time, and those
// that started last are still in the processor's caches. Two that come to share a place push each other out, so who is not found here
// has to be sought elsewhere.
type flying struct {
	seed   maphash.Seed
	places []ref // by hash of the id; nil before the first
}

// flyingPlaces is a power of two, for a few batches of a claim and as many of outcomes.
const flyingPlaces = 4096

func (f *flying) add(r *row) {
	if f.places == nil {
		f.seed, f.places = maphash.MakeSeed(), make([]ref, flyingPlaces)
	}
	*f.place(&r.id) = r.self
}

func (f *flying) drop(r *row) {
	if p := f.place(&r.id); *p == r.self {
		*p = 0
	}
}

// find returns the running row of an id; nil when it is not known here.
func (s *Store) findFlying(id *sought) *row {
	if s.flying.places == nil {
		return nil
	}
	n := *s.flying.place(&id.runID)
	if n == 0 {
		return nil
	}
	if r := s.rows.at(n); s.compareTo(r, id) == 0 {
		return r
	}
	return nil
}

func (f *flying) place(id *runID) *ref {
	return &f.places[maphash.Bytes(f.seed, id.text[:])%flyingPlaces]
}
