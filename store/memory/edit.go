package memory

import (
	"context"
	"fmt"
	"maps"

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
	t := s.tasks[req.TaskID]
	var named *punctual.Run
	if req.RunID != "" {
		r := s.runs[req.RunID]
		if r == nil {
			return reply, false, noRun(req.RunID)
		}
		run := r.copy()
		t, named = r.task, &run
	}
	var pending []*row
	if t != nil && t.ledger != nil {
		pending = t.ledger.pending
	}
	v := view(t, pending)
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
	started := s.claim(&req, &reply)
	reply.Started = make([]punctual.Run, len(started))
	for i, r := range started {
		reply.Started[i] = r.copy()
		reply.Started[i].Payload, reply.Started[i].Labels = r.task.payloadCopy(), maps.Clone(r.task.labels)
	}
	var few [8]*queue
	if _, due := earliest(s.queuesOf(req.Kinds, few[:0])); due != never {
		reply.NextDue = instant(due)
	}
	return reply, nil
}

// fairBatch is how many tasks one Claim decides at most, so that it does not keep others from the store for long.
const fairBatch = 1000

// claim decides what is due and returns what was started. Tasks that were shown stay out of the queues until the end, so that none
// is shown twice.
func (s *Store) claim(req *punctual.ClaimRequest, reply *punctual.ClaimReply) []*row {
	var shown []*task
	var done applied
	defer func() {
		for _, t := range shown {
			t.deciding = false
			s.requeue(t)
		}
	}()
	var few [8]*queue
	queues := s.queuesOf(req.Kinds, few[:0])
	now := reply.Now.UnixMicro()
	for len(shown) < fairBatch && len(done.started) < req.Limit {
		t, due := earliest(queues)
		if due > now {
			break
		}
		s.unqueue(t)
		t.deciding = true
		shown = append(shown, t)
		v := view(t, t.dueRuns(now, req.Kinds))
		v.Now, v.Slots = reply.Now, req.Limit-len(done.started)
		change, err := req.Decide(v)
		if err == nil {
			err = s.checkClaimed(t, &change)
		}
		if err != nil {
			t.setAside(err.Error())
			reply.SetAside = append(reply.SetAside, punctual.Fault{TaskID: t.id, Err: err})
			continue
		}
		if change.Status != nil || len(change.Insert)+len(change.Update)+len(change.Cancel) > 0 {
			reply.Decided++
		}
		s.apply(t, &change, now, &done)
		if change.Deferred {
			break
		}
	}
	return done.started
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
