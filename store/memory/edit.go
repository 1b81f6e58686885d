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
		r := s.find(req.RunID)
		if r == nil {
			return reply, false, noRun(req.RunID)
		}
		run := r.copy()
		t, named = r.task, &run
	}
	var pending []*row
	if t != nil && t.ledger != nil {
		pending = t.ledger.live.pending()
	}
	v := s.view(t, pending, req.ConcurrencyKey)
	v.Now, v.Slots, v.Run = reply.Now, req.Slots, named
	change, err := req.Decide(v)
	if err != nil {
		return reply, false, err
	}
	if t == nil {
		t = &task{id: req.TaskID}
	}
	if err := s.check(t, &change); err != nil {
		return reply, false, err
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
		r.fill(&reply.Started[i])
		own := r.task.owned()
		reply.Started[i].Payload, reply.Started[i].Labels = bytes.Clone(own.payload), maps.Clone(own.labels)
	}
	return reply, nil
}

// keepRoom keeps the room of what a claim started for the next one, and nothing that it held.
func (s *Store) keepRoom(started []*row) {
	clear(started)
	s.room = started[:0]
}

// fairBatch is how many tasks one Claim decides at most, so that it does not keep others from the store for long.
const fairBatch = 1000

// claim decides what is due and returns what was started. Tasks that remain due stay out of the queues until the end, so that none is
// shown twice.
func (s *Store) claim(req *punctual.ClaimRequest, left *allowance, reply *punctual.ClaimReply) []*row {
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
		pending := t.dueRuns(now, req.Kinds)
		v := s.view(t, pending, "")
		v.Now, v.Slots = reply.Now, left.of(t.kind(), pending)
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
		if t.dueBy(now) {
			s.unqueue(t)
			again = append(again, t)
		} else {
			t.deciding = false
			s.requeue(t)
		}
		if left.spend(done.started[before:]) {
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

// of returns how many runs may be started for a task of a kind with some pending runs.
func (a *allowance) of(kind string, pending []*row) int {
	slots := a.total
	if len(a.kinds) == 0 {
		return slots
	}
	limit := func(kind string) {
		if n, limited := a.kinds[kind]; limited {
			slots = min(slots, n)
		}
	}
	limit(kind)
	for _, r := range pending {
		limit(r.traits.kind)
	}
	return max(slots, 0)
}

// spend counts what was started and reports whether a kind was used up by it.
func (a *allowance) spend(started []*row) (usedUp bool) {
	a.total -= len(started)
	if len(a.kinds) == 0 {
		return false
	}
	for _, r := range started {
		if n, limited := a.kinds[r.traits.kind]; limited {
			a.kinds[r.traits.kind] = n - 1
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
	return s.check(t, c)
}

func noTask(id string) error { return fmt.Errorf("%w: %q", punctual.ErrTaskNotFound, id) }

func noRun(id string) error { return fmt.Errorf("%w: %q", punctual.ErrRunNotFound, id) }
