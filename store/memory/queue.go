package memory

import (
	"math"
	"strings"

	"github.com/punctual-go/punctual"
)

// never is the due time of what is not due at any time.
const never = math.MaxInt64

// queue holds what is due, or will be, of one lane: a heap with four children a node, earliest first, then by id. Due
// times and the beginnings of ids stand in the heap itself, so that sifting seldom looks elsewhere: with a million tasks, or a hundred
// thousand that are due at one instant, that is the difference between one cache miss a level and a dozen.
type queue struct {
	lane   lane
	heap   []queued
	prefix string // what most ids begin with, see head
}

// lane is a kind of runs at one priority. Within a lane due order is the order of due times.
type lane struct {
	kind     string
	priority int
}

// head is the priority by which the due times of a lane count as earlier.
func (l lane) head() int64 { return int64(l.priority) * punctual.PriorityStep.Microseconds() }

type queued struct {
	due   int64  // in microseconds
	head  uint64 // of the id: those that differ are in the order of the ids
	entry *entry
}

// entry is a task's place among what is due.
type entry struct {
	task  *task
	queue *queue // where it belongs; nil for a ghost
	place int    // one more than its index in the queue's heap; zero while it is not in there
}

// before is the order of one queue.
func (a *queued) before(b *queued) bool {
	switch {
	case a.due != b.due:
		return a.due < b.due
	case a.head != b.head:
		return a.head < b.head
	}
	return a.entry.task.id < b.entry.task.id
}

// head returns the first bytes of an id behind the prefix, as a number. Ids that do not begin with the prefix come before or after all that
// do, so that any prefix is right; a good one leaves few ids whose heads are the same.
func (q *queue) head(id string) (head uint64) {
	rest, ok := strings.CutPrefix(id, q.prefix)
	switch {
	case ok:
		for i := range 8 {
			head <<= 8
			if i < len(rest) {
				head |= uint64(rest[i])
			}
		}
		return head
	case id < q.prefix:
		return 0
	default:
		return math.MaxUint64
	}
}

// grow makes room for as many again, and looks at some of the ids for what most begin with.
func (q *queue) grow() {
	n := len(q.heap)
	heap := make([]queued, n, max(2*n, 16)) // append would copy a large heap more often, slices.Grow take room for more than twice as many
	copy(heap, q.heap)
	q.heap = heap
	if n == 0 {
		return
	}
	prefix := q.heap[0].entry.task.id
	for i := 0; i < n; i += max(n/16, 1) {
		prefix = commonPrefix(prefix, q.heap[i].entry.task.id)
	}
	if prefix == q.prefix {
		return
	}
	q.prefix = strings.Clone(prefix)
	for i := range q.heap {
		q.heap[i].head = q.head(q.heap[i].entry.task.id)
	}
}

func commonPrefix(a, b string) string {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return a[:n]
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
		if len(q.heap) == cap(q.heap) {
			q.grow()
		}
		q.heap = append(q.heap, queued{})
		q.up(len(q.heap)-1, queued{due, q.head(e.task.id), e})
	case q.heap[e.place-1].due != due:
		q.fix(e.place-1, queued{due, q.heap[e.place-1].head, e})
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
	if i > 0 && x.before(&q.heap[(i-1)/4]) {
		q.up(i, x)
	} else {
		q.down(i, x)
	}
}

func (q *queue) up(i int, x queued) {
	for i > 0 {
		parent := (i - 1) / 4
		if !x.before(&q.heap[parent]) {
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
			if q.heap[c].before(&q.heap[least]) {
				least = c
			}
		}
		if !q.heap[least].before(&x) {
			break
		}
		q.put(i, q.heap[least])
		i = least
	}
	q.put(i, x)
}
