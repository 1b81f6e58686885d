package memory

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is due at once is taken out of the heap, and whatever else is done meanwhile comes in due order all the same: tasks that leave, move, come to be due earlier
// or later, are removed, or change their lane; ids that begin alike, and new ones that do not begin as all others.
func TestAFrontKeepsDueOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for round := range 6 {
		s := New()
		due, lanes := map[string]int64{}, [...]lane{{"a", 0}, {"b", 0}}
		of, made, instants := map[string]lane{}, 0, 1+r.Int64N(2)
		set := func(id string, at int64) {
			s.agenda.set(s.tasks.get(id).entry, at)
			due[id] = at
		}
		add := func(prefix string, at int64) {
			made++
			task := s.tasks.add(fmt.Sprintf("%s%02d-among-others-%d", prefix, r.IntN(50), made))
			of[task.id] = lanes[r.IntN(2)]
			task.entry = s.agenda.enter(task, of[task.id])
			set(task.id, at)
		}
		some := func() string {
			ids := make([]string, 0, len(due))
			for id := range due {
				ids = append(ids, id)
			}
			slices.Sort(ids)
			return ids[r.IntN(len(ids))]
		}
		for range 700 {
			add("task-with-a-long-name-", r.Int64N(instants))
		}
		fronts, until := 0, r.IntN(600)
		for step := 0; len(due) > until; step++ {
			if step == 5 && round%2 == 0 { // the heaps grow, and what ids begin with is another
				for range 1300 {
					add("t", 20)
				}
			}
			var first string
			for id := range due {
				if first == "" || cmp.Or(cmp.Compare(due[id], due[first]), cmp.Compare(id, first)) < 0 {
					first = id
				}
			}
			got := firstDue(s.queuesOf(nil, nil), 10)
			if due[first] > 10 {
				require.Nil(t, got)
				break
			}
			require.Equal(t, first, got.id, "round %d, step %d", round, step)
			for _, q := range s.agenda.queues {
				if q.front.items != nil {
					fronts++
				}
				q.front.wait = min(q.front.wait, r.IntN(5)) // not as many at hand as there mostly are
			}
			set(first, due[first]+11*r.Int64N(2))
			switch id := some(); r.IntN(8) {
			case 0:
				task := s.tasks.get(id)
				s.agenda.drop(task.entry)
				s.tasks.remove(task)
				delete(due, id)
			case 1:
				of[id] = lanes[r.IntN(2)]
				s.agenda.move(s.tasks.get(id).entry, of[id])
				set(id, due[id])
			case 2:
				set(id, r.Int64N(20))
			case 3:
				s.agenda.leave(s.tasks.get(id).entry)
				set(id, due[id])
			case 4:
				add([]string{"t", "task-with-a-long-name-7", "z"}[r.IntN(3)], r.Int64N(20))
			default:
				s.agenda.leave(s.tasks.get(first).entry)
				task := s.tasks.get(first)
				s.agenda.drop(task.entry)
				s.tasks.remove(task)
				delete(due, first)
			}
		}
		require.NotZero(t, fronts)
		for len(due) > 0 {
			id := some()
			task := s.tasks.get(id)
			s.agenda.drop(task.entry)
			s.tasks.remove(task)
			delete(due, id)
		}
		require.Nil(t, firstDue(s.queuesOf(nil, nil), 100))
		for n := range s.agenda.entries.numbers() {
			t.Fatalf("entry %d was not given back", n)
		}
	}
}

// Who has come to another lane is not taken for what is left in the front of the one before.
func TestAnEntryIsInOneFrontAtATime(t *testing.T) {
	s := New()
	for i := range 600 {
		task := s.tasks.add(fmt.Sprint(i))
		task.entry = s.agenda.enter(task, lane{kind: fmt.Sprint(i % 2)})
		s.agenda.set(task.entry, 1)
	}
	one, other := s.agenda.queues[0], s.agenda.queues[1]
	one.front.wait, other.front.wait = 0, 0
	one.gather(1)
	require.NotNil(t, one.front.items)
	moves := s.tasks.get("298").entry
	s.agenda.move(moves, other.lane)
	s.agenda.set(moves, 1)
	other.gather(1)
	require.NotNil(t, other.front.items)
	for _, want := range []int{299, 301} {
		q, n := one, 0
		if want == 301 {
			q = other
		}
		for x := q.first(); x != nil; x = q.first() {
			n++
			s.agenda.leave(x.entry)
		}
		require.Equal(t, want, n)
	}
}

// A heap of which little is due is not walked along for each task that is taken.
func TestAFrontIsMadeOnlyOfALargePartOfTheHeap(t *testing.T) {
	s := New()
	for i := range 4000 {
		task := s.tasks.add(fmt.Sprint(i))
		task.entry = s.agenda.enter(task, lane{})
		at := int64(100)
		if i < 600 {
			at = 1
		}
		s.agenda.set(task.entry, at)
	}
	q := s.agenda.queues[0]
	q.front.wait = 0
	require.NotNil(t, firstDue([]*queue{q}, 1))
	require.Nil(t, q.front.items)
	require.Equal(t, 600, q.front.wait)
	require.NotNil(t, firstDue([]*queue{q}, 1))
	require.Equal(t, 599, q.front.wait)
	q.front.wait = 0
	require.NotNil(t, firstDue([]*queue{q}, 100))
	require.Len(t, q.front.items, 4000)
	require.Empty(t, q.heap)
}

// What is due first at an instant is there at once and does not wait until all that is due is in order: at the first instant, and at the next ones.
func TestWhatIsDueFirstDoesNotWaitForTheFront(t *testing.T) {
	s := New()
	for i := range 1000 {
		task := s.tasks.add(fmt.Sprint(i))
		task.entry = s.agenda.enter(task, lane{})
		s.agenda.set(task.entry, 1)
	}
	q := s.agenda.queues[0]
	for now := int64(1); now <= 3; now++ {
		for n := range 1000 {
			first := firstDue([]*queue{q}, now)
			require.NotNil(t, first)
			require.Equal(t, n >= atHand, q.front.items != nil, "instant %d, place %d", now, n)
			s.agenda.set(first.entry, now+1)
		}
		require.Nil(t, firstDue([]*queue{q}, now))
	}
}
