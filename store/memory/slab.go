package memory

import (
	"iter"
	"math/bits"
)

// ref is the number of a value in a slab; zero is none.
type ref uint32

// slabChunk is how many values of a slab lie together: a multiple of 64, with which a chunk of rows and one of tasks each fill one of the
// sizes that Go allocates, and the tasks begin with a line of the processor's cache.
const slabChunk = 256

// slab keeps values of one kind in chunks, each value at one place from take to give, and gives them numbers. A number takes half of a
// pointer's space, and the garbage collector has no use for it: chunks of values that have no pointers, as the rows of the ledger, are
// never looked at, however many there are. The zero value is empty.
type slab[T any] struct {
	chunks [][]T    // of slabChunk values each; nil where a chunk was given up
	taken  []places // of each chunk
	roomy  []ref    // chunks that have room, in no order
	gone   []ref    // chunks that were given up
}

// places has a bit for each place of a chunk.
type places [slabChunk / 64]uint64

var allPlaces = places{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}

// at returns where the value is that has a number.
func (s *slab[T]) at(n ref) *T { return &s.chunks[n/slabChunk][n%slabChunk] }

// take returns the number of a zero value that is nobody's yet.
func (s *slab[T]) take() ref {
	if len(s.roomy) == 0 {
		s.grow()
	}
	last := len(s.roomy) - 1
	chunk := s.roomy[last]
	taken := &s.taken[chunk]
	word := 0
	for taken[word] == ^uint64(0) {
		word++
	}
	bit := bits.TrailingZeros64(^taken[word])
	taken[word] |= 1 << bit
	if *taken == allPlaces {
		s.roomy = s.roomy[:last]
	}
	return chunk*slabChunk + ref(word*64+bit)
}

// give is the opposite of take.
func (s *slab[T]) give(n ref) {
	var zero T
	*s.at(n) = zero
	chunk := n / slabChunk
	taken := &s.taken[chunk]
	if *taken == allPlaces {
		s.roomy = append(s.roomy, chunk)
	}
	taken[n%slabChunk/64] &^= 1 << (n % 64)
	if *taken != (places{}) {
		return
	}
	s.chunks[chunk] = nil
	s.gone = append(s.gone, chunk)
	for i, other := range s.roomy {
		if other == chunk {
			last := len(s.roomy) - 1
			s.roomy[i] = s.roomy[last]
			s.roomy = s.roomy[:last]
			return
		}
	}
}

// numbers yields those that are taken, in ascending order. Values may come and go while they are walked, if not at the same time.
func (s *slab[T]) numbers() iter.Seq[ref] {
	return func(yield func(ref) bool) {
		for n := ref(1); int(n) < len(s.taken)*slabChunk; n++ {
			if s.taken[n/slabChunk][n%slabChunk/64]>>(n%64)&1 != 0 && !yield(n) {
				return
			}
		}
	}
}

// grow adds a chunk.
func (s *slab[T]) grow() {
	chunk := ref(len(s.chunks))
	if last := len(s.gone) - 1; last >= 0 {
		chunk, s.gone = s.gone[last], s.gone[:last]
	} else {
		s.chunks, s.taken = append(s.chunks, nil), append(s.taken, places{})
	}
	s.chunks[chunk] = make([]T, slabChunk)
	if chunk == 0 {
		s.taken[0][0] = 1 // zero is nobody's number, so that the first chunk stays
	}
	s.roomy = append(s.roomy, chunk)
}

// shared keeps one copy of values that many have in common, for as long as one of them has it. Mostly somebody has it who is known to whoever
// asks, or it is the one that was asked for last; only for others is it sought among all.
type shared[T comparable] struct {
	values slab[counted[T]]
	refs   map[T]ref
	last   ref
}

type counted[T comparable] struct {
	value   T
	holders int32
}

// hold returns the number of a value like this one, for one more holder. Likely is the number of one that may be the same; zero for none.
func (s *shared[T]) hold(value *T, likely ref) ref {
	for _, n := range [...]ref{likely, s.last} {
		if n == 0 {
			continue
		}
		if known := s.values.at(n); known.value == *value {
			known.holders++
			return n
		}
	}
	n := s.refs[*value]
	if n == 0 {
		if s.refs == nil {
			s.refs = make(map[T]ref)
		}
		n = s.values.take()
		s.values.at(n).value = *value
		s.refs[*value] = n
	}
	s.values.at(n).holders++
	s.last = n
	return n
}

func (s *shared[T]) at(n ref) *T { return &s.values.at(n).value }

// release is the opposite of hold.
func (s *shared[T]) release(n ref) {
	c := s.values.at(n)
	if c.holders--; c.holders > 0 {
		return
	}
	delete(s.refs, c.value)
	s.values.give(n)
	if s.last == n {
		s.last = 0
	}
}
