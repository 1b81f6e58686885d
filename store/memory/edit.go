package memory

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/punctual-go/punctual"
)

// Edit implements punctual.Store.
func (s *Store) Edit(ctx context.Context, req punctual.EditRequest) (punctual.EditReply, error) {
	if err := gate(ctx, "edit"); err != nil {
		return punctual.EditReply{}, err
	}
	reply, tell, err := s.edit(&req)
	if tell {
		s.watch.tell()
	}
	return reply, err
}

func (s *Store) edit(req *punctual.EditRequest) (reply punctual.EditReply, tell bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reply.Now = s.now(req.Now)
	t := s.tasks.get(req.TaskID)
	var named *punctual.Run
	if req.RunID != "" {
		id := seekID(req.RunID)
		r := s.find(&id)
		if r == nil {
			return reply, false, noRun(req.RunID)
		}
		run := s.copy(r)
		t, named = s.taskOf(r), &run
	}
	var pending []ref
	if t != nil {
		pending = s.pending(&t.ledger)
	}
	v := punctual.View{Now: reply.Now, Slots: req.Slots, Run: named}
	s.view(&v, t, pending, req.ConcurrencyKey)
	change, err := req.Decide(v)
	if err != nil {
		return reply, false, err
	}
	if err := s.check(t, req.TaskID, &change); err != nil {
		return reply, false, err
	}
	if t == nil {
		if change.Task == nil {
			return reply, false, nil
		}
		t = s.tasks.add(req.TaskID)
	}
	var done applied
	s.apply(t, &change, reply.Now.UnixMicro(), &done)
	reply.Dropped = done.dropped
	return reply, done.news && s.othersThan(req.Session), nil
}

// Claim implements punctual.Store.
func (s *Store) Claim(ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
	if err := gate(ctx, "claim"); err != nil {
		return punctual.ClaimReply{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	reply := punctual.ClaimReply{Now: s.now(req.Now)}
	if req.Session != "" && !s.sessions[req.Session].open() {
		return punctual.ClaimReply{}, fmt.Errorf("memory: claim: session %s: %w", req.Session, punctual.ErrLeaseLost)
	}
	left := allowance{req.Limit, maps.Clone(req.KindLimits)}
	started := s.claim(&req, &left, &reply)
	defer s.keepRoom(started)
	var few [8]*queue
	if due := nextDue(left.without(s.queuesOf(req.Kinds, few[:0]))); due != never {
		reply.NextDue = instant(due)
	}
	reply.Started = slices.Grow(req.Started[:0], len(started))[:len(started)]
	for i, r := range started {
		s.fill(r.row, r.id, &reply.Started[i])
		own := s.taskOf(r.row).owned()
		reply.Started[i].Payload, reply.Started[i].Labels = bytes.Clone(own.payload), maps.Clone(own.labels)
	}
	return reply, nil
}

// keepRoom keeps the room of what a claim started for the next one, and nothing that it held.
func (s *Store) keepRoom(made []started) {
	clear(made)
	s.room = made[:0]
}

// fairBatch is how many tasks one Claim decides at most, so that it does not keep others from the store for long.
const fairBatch = 1000

// claim decides what is due and returns what was started. Tasks that remain due stay out of the queues until the end, so that none is
// shown twice.
func (s *Store) claim(req *punctual.ClaimRequest, left *allowance, reply *punctual.ClaimReply) []started {
	done := applied{started: s.room}
	s.room = nil
	var again []*task
	defer func() {
		for _, t := range again {
			t.deciding = false
			s.requeue(t)
		}
	}()
	now := reply.Now.UnixMicro()
	var few [8]*queue
	queues := left.without(s.queuesOf(req.Kinds, few[:0]))
	for shown := 0; shown < fairBatch && left.total > 0; shown++ {
		t := firstDue(queues, now)
		if t == nil {
			break
		}
		t.deciding = true
		pending := s.dueRuns(t, now, req.Kinds)
		v := punctual.View{Now: reply.Now, Slots: s.slotsFor(t, pending, left)}
		s.view(&v, t, pending, "")
		change, err := req.Decide(v)
		if err == nil {
			err = s.checkClaimed(t, &change)
		}
		if err != nil {
			t.setAside(err.Error())
			t.deciding = false
			s.requeue(t)
			reply.SetAside = append(reply.SetAside, punctual.Fault{TaskID: t.id, Err: err})
			continue
		}
		if change.Status != nil || len(change.Insert)+len(change.Update)+len(change.Cancel) > 0 {
			reply.Decided++
		}
		before, bounded := len(done.started), v.Slots < left.total
		s.apply(t, &change, now, &done)
		if s.dueBy(t, now) {
			s.unqueue(t)
			again = append(again, t)
		} else {
			t.deciding = false
			s.requeue(t)
		}
		if s.spend(left, done.started[before:]) {
			queues = left.without(queues)
		} else if change.Deferred && !bounded {
			break
		}
	}
	return done.started
}

// allowance is what a claim may still start.
type allowance struct {
	total int
	kinds map[string]int // of the kinds that have a limit of their own
}

// slotsFor returns how many runs may be started for a task with some pending runs.
func (s *Store) slotsFor(t *task, pending []ref, a *allowance) int {
	slots := a.total
	if len(a.kinds) == 0 {
		return slots
	}
	limit := func(kind string) {
		if n, limited := a.kinds[kind]; limited {
			slots = min(slots, n)
		}
	}
	limit(s.policiesOf(t).kind)
	for _, n := range pending {
		limit(s.kindOf(n))
	}
	return max(slots, 0)
}

// spend counts what was started and reports whether a kind was used up by it.
func (s *Store) spend(a *allowance, made []started) (usedUp bool) {
	a.total -= len(made)
	if len(a.kinds) == 0 {
		return false
	}
	for _, m := range made {
		kind := s.traitsOf(m.row).kind
		if n, limited := a.kinds[kind]; limited {
			a.kinds[kind] = n - 1
			usedUp = usedUp || n == 1
		}
	}
	return usedUp
}

// without drops the queues of kinds that are used up.
func (a *allowance) without(queues []*queue) []*queue {
	if len(a.kinds) == 0 {
		return queues
	}
	return slices.DeleteFunc(queues, func(q *queue) bool {
		n, limited := a.kinds[q.lane.kind]
		return limited && n <= 0
	})
}

// checkClaimed is check for a Claim, which changes neither the definition nor the existence of a task.
func (s *Store) checkClaimed(t *task, c *punctual.Change) error {
	if c.Task != nil || c.Remove {
		return fmt.Errorf("memory: claim: a change of task %q that only an edit may make", t.id)
	}
	return s.check(t, t.id, c)
}

func noTask(id string) error { return fmt.Errorf("%w: %q", punctual.ErrTaskNotFound, id) }

func noRun(id string) error { return fmt.Errorf("%w: %q", punctual.ErrRunNotFound, id) }
