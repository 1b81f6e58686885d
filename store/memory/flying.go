package memory

import "hash/maphash"

// flying finds most of the running rows by their id without a way through what a million tasks have: there are not many at a time, and those
// that started last are still in the processor's caches. Two that come to share a place push each other out, so who is not found here
// has to be sought elsewhere.
type flying struct {
	seed   maphash.Seed
	places []*row // by hash of the id; nil before the first
}

// flyingPlaces is a power of two, for a few batches of a claim and as many of outcomes.
const flyingPlaces = 4096

func (f *flying) add(r *row) {
	if f.places == nil {
		f.seed, f.places = maphash.MakeSeed(), make([]*row, flyingPlaces)
	}
	*f.place(r.id) = r
}

func (f *flying) drop(r *row) {
	if p := f.place(r.id); *p == r {
		*p = nil
	}
}

// find returns the running row of an id; nil when it is not known here.
func (f *flying) find(id string) *row {
	if f.places == nil {
		return nil
	}
	if r := *f.place(id); r != nil && r.id == id {
		return r
	}
	return nil
}

func (f *flying) place(id string) **row {
	return &f.places[maphash.String(f.seed, id)%flyingPlaces]
}
