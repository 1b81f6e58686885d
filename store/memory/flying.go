package memory

import "hash/maphash"

// flying finds most of the running rows by their id without a way through what a million tasks have: there are not many at a time, and those
// that started last are still in the processor's caches. Two that come to share a place push each other out, so who is not found here
// has to be sought elsewhere. There is room for many times as many as there are, so that this is seldom.
type flying struct {
	seed   maphash.Seed
	places []ref // by hash of the id; nil before the first
	count  int   // of all running rows
}

// How many places there are: at first, and at most. Powers of two.
const (
	fewPlaces  = 1 << 12
	mostPlaces = 1 << 16
	roomEach   = 16 // places for each running row, as long as there are not the most
)

func (s *Store) addFlying(r *row) {
	f := &s.flying
	f.count++
	if f.places == nil {
		f.seed, f.places = maphash.MakeSeed(), make([]ref, fewPlaces)
	}
	if f.count*roomEach > len(f.places) && len(f.places) < mostPlaces {
		s.spreadFlying()
	}
	*f.place(&r.id) = r.self
}

// spreadFlying makes more places.
func (s *Store) spreadFlying() {
	f := &s.flying
	before := f.places
	f.places = make([]ref, 4*len(before))
	for _, n := range before {
		if n != 0 {
			*f.place(&s.rows.at(n).id) = n
		}
	}
}

func (s *Store) dropFlying(r *row) {
	f := &s.flying
	f.count--
	if p := f.place(&r.id); *p == r.self {
		*p = 0
	}
}

// findFlying returns the running row of an id; nil when it is not known here.
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
	return &f.places[maphash.Bytes(f.seed, id.text[:])%uint64(len(f.places))]
}
