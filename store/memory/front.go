package memory

import "slices"

// front is what came due at once. To take a hundred thousand out of a heap that are due at one instant, and to put each back where it is due next, is a
// long way down the heap for each of them. So when a large part of the heap is due, that part leaves it and is put in order at once; and what goes back
// into the heap finds itself in order there.
type front struct {
	items []queued // in order; nil while there is no front
	next  int      // those before it are over
	wait  int      // how often no front is to be made before the heap is looked at again
}

// fronted is what an entry is in the front of a queue.
type fronted uint8

const (
	notFronted fronted = iota
	inFront            // it is due there
	leftFront          // it is due elsewhere or not at all, and its item is still there
	dropped            // nobody has it any more, and its item is still there
)

const (
	// atHand is how many come out of the heap before a front is made: what is due first should not wait until all is in order.
	atHand = 256
	// leastFront is how large a heap has to be to be more work than a front.
	leastFront = 256
	// frontShare is the part of the heap that has to be due, as the whole heap is walked along for a front.
	frontShare = 4
)

// gather makes a front of what is due, if that is worth while.
func (q *queue) gather(now int64) {
	f := &q.front
	switch {
	case f.items != nil || len(q.heap) < leastFront:
		return
	case q.heap[0].due > now:
		f.wait = atHand
		return
	case f.wait > 0:
		f.wait--
		return
	}
	enough := len(q.heap) / frontShare
	if n := q.countDue(0, now, enough); n < enough {
		f.wait = n
		return
	}
	due, rest := make([]queued, 0, len(q.heap)), q.heap[:0]
	for _, x := range q.heap {
		e := q.agenda.entries.at(x.entry)
		if x.due > now || e.front() != notFronted {
			rest = append(rest, x)
			continue
		}
		e.place = 0
		e.become(inFront)
		due = append(due, x)
	}
	q.heap = rest
	for i, x := range rest {
		q.up(i, x)
	}
	q.sort(due, q.heap[len(rest):len(rest)+len(due)])
	f.items = due
}

// countDue counts what is due of the heap from a place downwards, up to a bound.
func (q *queue) countDue(i int, now int64, most int) int {
	if most <= 0 || i >= len(q.heap) || q.heap[i].due > now {
		return 0
	}
	n := 1
	for child := 4*i + 1; child <= 4*i+4; child++ {
		n += q.countDue(child, now, most-n)
	}
	return n
}

// first returns the first item in due order that is still in the front; nil when there is none.
func (f *front) first(q *queue) *queued {
	for ; f.next < len(f.items); f.next++ {
		x := &f.items[f.next]
		e := q.agenda.entries.at(x.entry)
		switch e.front() {
		case inFront:
			return x
		case dropped:
			q.agenda.entries.give(x.entry)
		default:
			e.become(notFronted)
		}
	}
	if f.items != nil {
		*f = front{wait: atHand}
	}
	return nil
}

// sort puts items in order, with room for as many. Those that are due at one instant mostly differ in the beginnings of their ids, which are put in order
// byte by byte, the last first: for a hundred thousand that takes a fifth of the time of comparisons.
func (q *queue) sort(items, room []queued) {
	for i := 1; i < len(items); i++ {
		if items[i].due != items[0].due {
			slices.SortFunc(items, q.compare)
			return
		}
	}
	if slices.IsSortedFunc(items, q.compare) {
		return // as they were left by the last front
	}
	sortByHead(items, room)
	for i := 0; i < len(items); {
		same := i + 1
		for same < len(items) && items[same].head == items[i].head {
			same++
		}
		if same > i+1 {
			slices.SortFunc(items[i:same], q.compare)
		}
		i = same
	}
}

func sortByHead(items, room []queued) {
	var counts [8][256]int
	for i := range items {
		for n, head := 0, items[i].head; n < len(counts); n, head = n+1, head>>8 {
			counts[n][byte(head)]++
		}
	}
	from, to := items, room
	for n := range counts {
		places, shift := &counts[n], 8*n
		if places[byte(from[0].head>>shift)] == len(from) {
			continue
		}
		for b, sum := 0, 0; b < len(places); b++ {
			places[b], sum = sum, sum+places[b]
		}
		for i := range from {
			p := &places[byte(from[i].head>>shift)]
			to[*p] = from[i]
			*p++
		}
		from, to = to, from
	}
	copy(items, from)
}

func (q *queue) compare(a, b queued) int {
	switch {
	case q.before(&a, &b):
		return -1
	case q.before(&b, &a):
		return 1
	}
	return 0
}
