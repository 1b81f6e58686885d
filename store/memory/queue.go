package memory

import (
	"math"
	"strings"

	"github.com/punctual-go/punctual"
)

// never is the due time of what is not due at any time.
const never = math.MaxInt64

// agenda is what is due, or will be. It has no pointers to tasks, so that the garbage collector does not look at what waits, and moving it
// about touches little memory.
type agenda struct {
	tasks   *tasks
	entries slab[entry]
	queues  []*queue // of the lanes, by their numbers. They stay when they run empty: kinds are few, since each has a handler in code
	lanes   map[lane]int32
	last    int32 // the number of the lane that was asked for last, which is mostly asked for again
}

// entry is a task's place among what is due.
type entry struct {
	task  ref
	queue uint32 // the number of the lane where it belongs, and in the last two bits what it is in the front of the queue
	place int32  // one more than its index in the queue's heap; zero while it is not in there
}

func (e *entry) lane() uint32     { return e.queue >> 2 }
func (e *entry) front() fronted   { return fronted(e.queue & 3) }
func (e *entry) become(f fronted) { e.queue = e.queue&^3 | uint32(f) }
func (e *entry) belong(n int32)   { e.queue = uint32(n)<<2 | e.queue&3 }

// queue holds what is due, or will be, of one lane: a heap with four children a node, earliest first, then by id. Due
// times and the beginnings of ids stand in the heap itself, so that sifting seldom looks elsewhere: with a million tasks, or a hundred
// thousand that are due at one instant, that is the difference between one cache miss a level and a dozen.
type queue struct {
	agenda *agenda
	lane   lane
	heap   []queued
	front  front
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
	entry ref
}

// before is the order of one queue.
func (q *queue) before(a, b *queued) bool {
	return a.sooner(b) || a.ties(b) && q.agenda.taskOf(a.entry).id < q.agenda.taskOf(b.entry).id
}

// sooner is the order as far as it shows without a look at the tasks, and ties says where it does not.
func (a *queued) sooner(b *queued) bool { return a.due < b.due || a.due == b.due && a.head < b.head }
func (a *queued) ties(b *queued) bool   { return a.due == b.due && a.head == b.head }

func (a *agenda) taskOf(n ref) *task { return a.tasks.at(a.entries.at(n).task) }

// enter makes an entry for a task in a lane; it is not due at any time yet.
func (a *agenda) enter(t *task, l lane) ref {
	n := a.entries.take()
	e := a.entries.at(n)
	e.task = t.self
	e.belong(a.number(l))
	return n
}

// drop is the opposite of enter.
func (a *agenda) drop(n ref) {
	a.leave(n)
	if e := a.entries.at(n); e.front() != notFronted {
		e.task = 0
		e.become(dropped)
		return
	}
	a.entries.give(n)
}

// queueOf returns the queue of an entry.
func (a *agenda) queueOf(e *entry) *queue { return a.queues[e.lane()] }

// number returns the number of a lane.
func (a *agenda) number(l lane) int32 {
	if int(a.last) < len(a.queues) && a.queues[a.last].lane == l {
		return a.last
	}
	n, known := a.lanes[l]
	if !known {
		n = int32(len(a.queues))
		a.lanes[l] = n
		a.queues = append(a.queues, &queue{agenda: a, lane: l, front: front{wait: atHand}})
	}
	a.last = n
	return n
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

// headOf returns the head of an entry's id. What is put back is mostly what was first in the front, where its head stands.
func (q *queue) headOf(n ref, e *entry) uint64 {
	if f := &q.front; f.next < len(f.items) && f.items[f.next].entry == n {
		return f.items[f.next].head
	}
	return q.head(q.agenda.tasks.at(e.task).id)
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
	prefix := q.agenda.taskOf(q.heap[0].entry).id
	for i := 0; i < n; i += max(n/16, 1) {
		prefix = commonPrefix(prefix, q.agenda.taskOf(q.heap[i].entry).id)
	}
	if prefix == q.prefix {
		return
	}
	q.prefix = strings.Clone(prefix)
	for _, items := range [...][]queued{q.heap, q.front.items[q.front.next:]} {
		for i := range items {
			items[i].head = q.head(q.agenda.taskOf(items[i].entry).id)
		}
	}
}

func commonPrefix(a, b string) string {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

// move makes a lane the one where an entry belongs.
func (a *agenda) move(n ref, l lane) {
	if e := a.entries.at(n); a.queueOf(e).lane != l {
		a.leave(n)
		e.belong(a.number(l))
	}
}

// set puts an entry into its queue for a due time, moves it there, or takes it out when that is never.
func (a *agenda) set(n ref, due int64) {
	e := a.entries.at(n)
	q := a.queueOf(e)
	switch {
	case due == never:
		a.leave(n)
	case e.place == 0:
		if e.front() == inFront {
			e.become(leftFront)
		}
		if len(q.heap) == cap(q.heap) {
			q.grow()
		}
		q.heap = append(q.heap, queued{})
		q.up(len(q.heap)-1, queued{due, q.headOf(n, e), n})
	case q.heap[e.place-1].due != due:
		q.fix(int(e.place)-1, queued{due, q.heap[e.place-1].head, n})
	}
}

// leave takes an entry out of its queue, if it is in there.
func (a *agenda) leave(n ref) {
	e := a.entries.at(n)
	if e.place == 0 {
		if e.front() == inFront {
			e.become(leftFront)
		}
		return
	}
	q := a.queueOf(e)
	i, last := int(e.place)-1, len(q.heap)-1
	e.place = 0
	moved := q.heap[last]
	q.heap = q.heap[:last]
	if i < last {
		q.fix(i, moved)
	}
}

// first returns what is first in due order; nil when the queue is empty. It is valid until the queue changes.
func (q *queue) first() *queued {
	x := q.front.first(q)
	if len(q.heap) > 0 && (x == nil || q.before(&q.heap[0], x)) {
		return &q.heap[0]
	}
	return x
}

// due is the earliest due time in the queue; never when it is empty.
func (q *queue) due() int64 {
	if x := q.first(); x != nil {
		return x.due
	}
	return never
}

func (q *queue) put(i int, x queued) {
	q.heap[i] = x
	q.agenda.entries.at(x.entry).place = int32(i + 1)
}

// fix puts x at i or wherever it belongs from there.
func (q *queue) fix(i int, x queued) {
	if i > 0 && q.before(&x, &q.heap[(i-1)/4]) {
		q.up(i, x)
	} else {
		q.down(i, x)
	}
}

func (q *queue) up(i int, x queued) {
	for i > 0 {
		parent := (i - 1) / 4
		if !q.before(&x, &q.heap[parent]) {
			break
		}
		q.put(i, q.heap[parent])
		i = parent
	}
	q.put(i, x)
}

// down puts x at i or below. What goes down is mostly later than all that it meets, so the way is made free to the bottom first, and x comes up
// from there: that is a comparison less at each level.
func (q *queue) down(i int, x queued) {
	for first := 4*i + 1; first < len(q.heap); first = 4*i + 1 {
		least, children := 0, q.heap[first:min(first+4, len(q.heap))]
		for c := 1; c < len(children); c++ { // most of a burst is decided here, so without a call
			if a, b := &children[c], &children[least]; a.sooner(b) || a.ties(b) && q.before(a, b) {
				least = c
			}
		}
		q.put(i, children[least])
		i = first + least
	}
	q.up(i, x)
}
