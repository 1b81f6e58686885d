package postgres

import (
	"slices"
	"sync"

	"github.com/punctual-go/punctual"
)

// ClaimsOverlap implements punctual.Overlapper. A pool of a few connections is left to the other calls.
func (s *Store) ClaimsOverlap() bool { return s.pool.Config().MaxConns >= fewConns }

// underWay knows what the claims of this store have locked and not committed yet. Another claim that began at the first of what is due would
// come across each of these rows only to find it locked. So claims take turns at locking, and each begins behind what those before it have
// taken. This spares work and decides nothing: what is passed over for it is as due as ever, and when something is due next is asked without it.
type underWay struct {
	turn chan struct{} // capacity 1: full while a claim locks what is due

	mu    sync.Mutex // guards all below
	taken []*[]stretch
}

// lane is what is due of one kind and priority, and entry is one thing in it.
type (
	lane struct {
		kind     string
		priority int64
	}
	entry struct {
		due int64
		id  string
	}
)

// stretch is a part of a lane that a claim has gone through, from the first task that it has locked to the last.
type stretch struct {
	lane
	first, last entry
}

func (c *candidate) lane() lane {
	return lane{c.kind, (c.due - c.rank) / punctual.PriorityStep.Microseconds()}
}
func (c *candidate) entry() entry { return entry{c.due, c.id} }

// add notes what a claim has taken, which is in due order within each lane, until it is removed.
func (u *underWay) add(tasks []*candidate) *[]stretch {
	var taken []stretch
	lanes := make(map[lane]int)
	for _, c := range tasks {
		l := c.lane()
		i, known := lanes[l]
		if !known {
			i = len(taken)
			lanes[l] = i
			taken = append(taken, stretch{lane: l, first: c.entry()})
		}
		taken[i].last = c.entry()
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.taken = append(u.taken, &taken)
	return &taken
}

func (u *underWay) remove(taken *[]stretch) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.taken = slices.DeleteFunc(u.taken, func(t *[]stretch) bool { return t == taken })
}

// stretches are the parameters 5 to 10 of dueTasks: what claims under way have taken.
func (u *underWay) stretches() []any {
	u.mu.Lock()
	defer u.mu.Unlock()
	var all []stretch
	for _, taken := range u.taken {
		all = append(all, *taken...)
	}
	return stretchLists(all)
}

func stretchLists(all []stretch) []any {
	return []any{
		whole(all, func(s *stretch) string { return s.kind }),
		whole(all, func(s *stretch) int64 { return s.priority }),
		whole(all, func(s *stretch) int64 { return s.first.due }),
		whole(all, func(s *stretch) string { return s.first.id }),
		whole(all, func(s *stretch) int64 { return s.last.due }),
		whole(all, func(s *stretch) string { return s.last.id }),
	}
}
