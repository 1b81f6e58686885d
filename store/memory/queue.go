package memory

import (
	"math"
	"slices"

	"github.com/punctual-go/punctual"
)

// never is the due time of what is not due at any time.
const never = math.MaxInt64

// queue holds what is due, or will be, of one lane: a heap with four children a node, earliest first, then by id. Due
// times stand in the heap itself, so that sifting seldom looks elsewhere: with a million tasks that is the difference between one
// cache miss a level and three.
type queue struct {
	lane lane
	heap []queued
}

// lane is a kind of runs at one priority. Within a lane due order is the order of due times.
type lane struct {
	kind     string
	priority int
}

// head is the priority by which the due times of a lane count as earlier.
func (l lane) head() int64 { return int64(l.priority) * punctual.PriorityStep.Microseconds() }

type queued struct {
	due   int64 // in microseconds
	entry *entry
}

// entry is a task's place among what is due.
type entry struct {
	task  *task
	queue *queue // where it belongs; nil for a ghost
	place int    // one more than its index in the queue's heap; zero while it is not in there
}

func (a queued) before(b queued) bool {
	if a.due != b.due {
		return a.due < b.due
	}
	return a.entry.task.id < b.entry.task.id
}

// move makes q the queue where e belongs.
func (e *entry) move(q *queue) {
	if e.queue != q {
		e.leave()
		e.queue = q
	}
}

// set puts e into its queue for a due time, moves it there, or takes it out when that is never.
func (e *entry) set(due int64) {
	q := e.queue
	switch {
	case due == never:
		e.leave()
	case e.place == 0:
		if n := len(q.heap); n == cap(q.heap) {
			q.heap = slices.Grow(q.heap, max(n, 16)) // append would copy a large heap four times as often
		}
		q.heap = append(q.heap, queued{})
		q.up(len(q.heap)-1, queued{due, e})
	case q.heap[e.place-1].due != due:
		q.fix(e.place-1, queued{due, e})
	}
}

// leave takes e out of its queue, if it is in there.
func (e *entry) leave() {
	if e.place == 0 {
		return
	}
	q, i, n := e.queue, e.place-1, len(e.queue.heap)-1
	e.place = 0
	last := q.heap[n]
	q.heap[n] = queued{}
	q.heap = q.heap[:n]
	if i < n {
		q.fix(i, last)
	}
}

// due is the earliest due time in the queue; never when it is empty.
func (q *queue) due() int64 {
	if len(q.heap) == 0 {
		return never
	}
	return q.heap[0].due
}

func (q *queue) put(i int, x queued) {
	q.heap[i] = x
	x.entry.place = i + 1
}

// fix puts x at i or wherever it belongs from there.
func (q *queue) fix(i int, x queued) {
	if i > 0 && x.before(q.heap[(i-1)/4]) {
		q.up(i, x)
	} else {
		q.down(i, x)
	}
}

func (q *queue) up(i int, x queued) {
	for i > 0 {
		parent := (i - 1) / 4
		if !x.before(q.heap[parent]) {
			break
		}
		q.put(i, q.heap[parent])
		i = parent
	}
	q.put(i, x)
}

func (q *queue) down(i int, x queued) {
	for {
		first := 4*i + 1
		if first >= len(q.heap) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(q.heap)); c++ {
			if q.heap[c].before(q.heap[least]) {
				least = c
			}
		}
		if !q.heap[least].before(x) {
			break
		}
		q.put(i, q.heap[least])
		i = least
	}
	q.put(i, x)
}
