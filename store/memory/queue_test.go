package memory

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// What enters, moves and leaves in any order comes out in due order: by due time and then id, also where ids begin alike or due times are the same.
func TestWhatIsDueComesInDueOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 30 {
		s := New()
		due := map[*task]int64{}
		var all []*task
		for i := range 300 {
			task := s.tasks.add(fmt.Sprintf("%c-with-a-long-name-%d", 'a'+i%3, i))
			task.entry = s.agenda.enter(task, lane{})
			all = append(all, task)
		}
		for range 3000 {
			task := all[r.IntN(len(all))]
			at := r.Int64N(20)
			if r.IntN(4) == 0 {
				at = never
			}
			s.agenda.set(task.entry, at)
			if due[task] = at; at == never {
				delete(due, task)
			}
		}
		var want, got []string
		for task := range due {
			want = append(want, task.id)
		}
		slices.SortFunc(want, func(a, b string) int {
			return cmp.Or(cmp.Compare(due[s.tasks.get(a)], due[s.tasks.get(b)]), cmp.Compare(a, b))
		})
		for q := s.agenda.queues[0]; len(q.heap) > 0; {
			first := s.agenda.taskOf(q.heap[0].entry)
			got = append(got, first.id)
			s.agenda.leave(first.entry)
		}
		require.Equal(t, want, got)
	}
}
