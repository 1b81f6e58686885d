package memory

import (
	"iter"
	"slices"
	"sort"
)

// maxChunk is how many values one chunk of a list holds: small enough that shifting a chunk costs less than a cache miss or two,
// large enough that the directory of ten million values still fits a processor's cache.
const maxChunk = 512

// list keeps values in ascending order as a sequence of short sorted slices. Values arrive almost in order here, so most inserts
// append; an insert or a removal anywhere shifts one chunk. It costs about the size of a value for each.
//
// Orders are passed to each call, because the same kind of list holds rows by id and by their end. The zero value is empty.
type list[T comparable] struct {
	chunks [][]T
	near   position // where the last value came that was not appended; it may have moved since
}

// position is a place in a list: an index into the directory and one into the chunk. It is void after a change.
type position struct{ chunk, index int }

// seek returns the first place whose value reaches what is sought: reached is false for all values before it and true for it and
// all after it.
func (l *list[T]) seek(reached func(T) bool) position {
	c := sort.Search(len(l.chunks), func(i int) bool {
		chunk := l.chunks[i]
		return reached(chunk[len(chunk)-1])
	})
	if c == len(l.chunks) {
		return position{c, 0}
	}
	chunk := l.chunks[c]
	return position{c, sort.Search(len(chunk), func(i int) bool { return reached(chunk[i]) })}
}

// place returns the first place whose value is not less than the given one, in a list that is not empty. What is sought is often behind
// what was added last, as when ids are counted up without leading zeros, or near the end.
func (l *list[T]) place(value T, compare func(a, b T) int) position {
	if p := l.near; p.chunk < len(l.chunks) {
		if chunk := l.chunks[p.chunk]; p.index < len(chunk) && compare(chunk[p.index], value) < 0 {
			for i := p.index + 1; i < min(p.index+5, len(chunk)); i++ {
				if compare(chunk[i], value) >= 0 {
					return position{p.chunk, i}
				}
			}
		}
	}
	c := len(l.chunks) - 1
	last := l.chunks[c]
	if compare(last[0], value) > 0 {
		return l.seek(func(other T) bool { return compare(other, value) >= 0 })
	}
	for i, near := len(last), max(len(last)-8, 0); i > near; i-- {
		if compare(last[i-1], value) < 0 {
			if i == len(last) {
				return l.end()
			}
			return position{c, i}
		}
	}
	return position{c, sort.Search(len(last), func(i int) bool { return compare(last[i], value) >= 0 })}
}

// at returns the value at a place; false at the end.
func (l *list[T]) at(p position) (value T, ok bool) {
	if p.chunk >= len(l.chunks) {
		return value, false
	}
	return l.chunks[p.chunk][p.index], true
}

// add inserts a value unless an equal one is there, and reports whether it did.
func (l *list[T]) add(value T, compare func(a, b T) int) bool {
	n := len(l.chunks)
	if n == 0 || compare(l.last(), value) < 0 {
		switch {
		case n == 0:
			l.chunks = append(l.chunks, []T{value})
		case len(l.chunks[n-1]) >= maxChunk:
			l.chunks = append(l.chunks, append(make([]T, 0, maxChunk), value))
		default:
			l.chunks[n-1] = append(l.chunks[n-1], value)
		}
		return true
	}
	p := l.place(value, compare)
	if other, _ := l.at(p); compare(other, value) == 0 {
		return false
	}
	l.near = p
	chunk := slices.Insert(l.chunks[p.chunk], p.index, value)
	l.chunks[p.chunk] = chunk
	if len(chunk) > maxChunk {
		half := len(chunk) / 2
		right := slices.Clone(chunk[half:])
		l.chunks[p.chunk] = slices.Clone(chunk[:half])
		l.chunks = slices.Insert(l.chunks, p.chunk+1, right)
		if p.index >= half {
			l.near = position{p.chunk + 1, p.index - half}
		}
	}
	return true
}

// remove takes out a value, and reports whether it was there. Within its chunk it is sought by what it is and not by its order: to look at
// half a chunk of pointers takes less time than to look at what nine of them point to.
func (l *list[T]) remove(value T, compare func(a, b T) int) bool {
	var p position
	p.chunk = sort.Search(len(l.chunks), func(i int) bool {
		chunk := l.chunks[i]
		return compare(chunk[len(chunk)-1], value) >= 0
	})
	if p.chunk == len(l.chunks) {
		return false
	}
	chunk := l.chunks[p.chunk]
	if p.index = slices.Index(chunk, value); p.index < 0 {
		return false
	}
	if p.index < len(chunk)/2 {
		// What goes is mostly old and stands in front: nothing else moves then.
		copy(chunk[1:], chunk[:p.index])
		clear(chunk[:1])
		chunk = chunk[1:]
	} else {
		chunk = slices.Delete(chunk, p.index, p.index+1)
	}
	l.chunks[p.chunk] = chunk
	switch next := p.chunk + 1; {
	case len(chunk) == 0:
		l.chunks = slices.Delete(l.chunks, p.chunk, next)
	case next < len(l.chunks) && len(chunk)+len(l.chunks[next]) <= maxChunk/2:
		l.chunks[p.chunk] = append(chunk, l.chunks[next]...)
		l.chunks = slices.Delete(l.chunks, next, next+1)
	}
	return true
}

func (l *list[T]) empty() bool { return len(l.chunks) == 0 }

// first and last return the ends of a list that is not empty.
func (l *list[T]) first() T { return l.chunks[0][0] }

func (l *list[T]) last() T {
	chunk := l.chunks[len(l.chunks)-1]
	return chunk[len(chunk)-1]
}

// ascend yields the values from a place to the end.
func (l *list[T]) ascend(from position) iter.Seq[T] {
	return func(yield func(T) bool) {
		for c, i := from.chunk, from.index; c < len(l.chunks); c, i = c+1, 0 {
			for _, value := range l.chunks[c][i:] {
				if !yield(value) {
					return
				}
			}
		}
	}
}

// descend yields the values before a place, the nearest first.
func (l *list[T]) descend(from position) iter.Seq[T] {
	return func(yield func(T) bool) {
		c, i := from.chunk, from.index
		for {
			if i == 0 {
				c--
				if c < 0 {
					return
				}
				i = len(l.chunks[c])
			}
			i--
			if !yield(l.chunks[c][i]) {
				return
			}
		}
	}
}

// end is the place after the last value.
func (l *list[T]) end() position { return position{len(l.chunks), 0} }
