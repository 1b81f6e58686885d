package memory

import (
	"context"
	"fmt"
	"slices"

	"github.com/punctual-go/punctual"
)

// Finish implements punctual.Store.
func (s *Store) Finish(ctx context.Context, req punctual.FinishRequest) (punctual.FinishReply, error) {
	if err := gate(ctx, "finish"); err != nil {
		return punctual.FinishReply{}, err
	}
	for i := range req.Items {
		if item := &req.Items[i]; item.State != punctual.StatePending && !item.State.Final() {
			return punctual.FinishReply{}, fmt.Errorf("memory: finish: an attempt of run %q cannot end as %v", item.RunID, item.State)
		}
	}
	reply, tell := s.finishAll(&req)
	if tell {
		s.watch.tell()
	}
	return reply, nil
}

func (s *Store) finishAll(req *punctual.FinishRequest) (reply punctual.FinishReply, tell bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reply.Now = s.now(req.Now)
	reply.Verdicts = make([]punctual.Verdict, len(req.Items))
	now, due := reply.Now.UnixMicro(), int64(never)
	for i := range req.Items {
		verdict, next := s.finish(&req.Items[i], now)
		reply.Verdicts[i] = verdict
		due = min(due, next)
	}
	if due != never {
		reply.NextDue = instant(due)
	}
	return reply, due != never && s.alive > 1 // who finishes is one of them
}

// finish records one outcome and returns when the earliest of what it made pending is due.
func (s *Store) finish(item *punctual.Finish, now int64) (punctual.Verdict, int64) {
	r := s.finishing(item)
	if r == nil {
		return punctual.VerdictGone, never
	}
	finished := item.FinishedAt.UnixMicro()
	if finished == noTime {
		finished = now
	}
	if !r.ownedBy(item) {
		return s.late(r, item, finished), never
	}
	s.rewrite(r, func() {
		if item.State == punctual.StatePending {
			s.again(r, item, finished, now)
			return
		}
		if order := s.order(r); order != nil && item.State != punctual.StateCanceled {
			order.blockedBy = ""
		}
		if !item.StartedAt.IsZero() {
			r.started = item.StartedAt.UnixMicro()
		}
		s.keepResult(r, item)
		s.end(r, item.State, item.Reason, finished)
	})
	next := s.left(r, now)
	if s.passOn(now) {
		next = now
	}
	return punctual.VerdictApplied, next
}

// finishing returns the row that an outcome is about; nil when there is none.
func (s *Store) finishing(item *punctual.Finish) *row {
	id := seekID(item.RunID)
	if r := s.findFlying(&id); r != nil {
		return r
	}
	if t := s.tasks.get(item.TaskID); t != nil {
		if r := s.findOf(t, &id); r != nil {
			return r
		}
	}
	return s.find(&id)
}

// end makes the run final. What else is known of it stays.
func (s *Store) end(r *row, state punctual.State, reason string, at int64) {
	r.state, r.finished = state, at
	if r.extra == 0 && reason == "" {
		return
	}
	x := s.seldom(r)
	x.reason, x.cancelRequested = reason, false
	s.setSeldom(r, x)
}

// ownedBy reports whether the run is running under the attempt that the item is about. The number of a released attempt is given out
// again, so a release names its attempt by its start as well: its repeat must not release the next one.
func (r *row) ownedBy(item *punctual.Finish) bool {
	if !r.running() || int(r.attempt) != item.Attempt {
		return false
	}
	return !item.Released || item.StartedAt.IsZero() || item.StartedAt.UnixMicro() == r.started
}

// late judges an outcome of an attempt that is not the running one: a repeat of what was recorded changes nothing, and all else is
// stale and leaves a note.
func (s *Store) late(r *row, item *punctual.Finish, finished int64) punctual.Verdict {
	if r.state == item.State && r.state.Final() && int(r.attempt) == item.Attempt && r.finished == finished {
		return punctual.VerdictAlready
	}
	instance := ""
	for _, a := range s.seldom(r).history {
		if a.Number != item.Attempt {
			continue
		}
		same := a.FinishedAt.UnixMicro() == finished
		switch {
		case same && a.Outcome == outcomeStale:
			return punctual.VerdictStale
		case same && item.State == punctual.StatePending && a.Outcome == outcomeOf(item):
			return punctual.VerdictAlready
		}
		instance = a.Instance
	}
	s.note(r, punctual.Attempt{
		Number: item.Attempt, Instance: instance, StartedAt: item.StartedAt, FinishedAt: instant(finished),
		Outcome: outcomeStale, Error: item.Error,
	})
	return punctual.VerdictStale
}

// The outcomes of punctual.Attempt.
const (
	outcomeFailed   = "failed"
	outcomeLost     = "lost"
	outcomeReleased = "released"
	outcomeStale    = "stale"
)

func outcomeOf(item *punctual.Finish) string {
	if item.Released {
		return outcomeReleased
	}
	return outcomeFailed
}

// again makes the run pending for another attempt.
func (s *Store) again(r *row, item *punctual.Finish, finished, now int64) {
	if !item.StartedAt.IsZero() && !item.Released {
		r.started = item.StartedAt.UnixMicro()
	}
	a := punctual.Attempt{
		Number: int(r.attempt), Instance: s.traitsOf(r).instance, StartedAt: instant(r.started), FinishedAt: instant(finished),
		Outcome: outcomeOf(item), Error: item.Error,
	}
	s.note(r, a)
	r.state, r.due = punctual.StatePending, item.RetryAt.UnixMicro()
	if r.due == noTime {
		r.due = now
	}
	if !item.Released {
		s.keepResult(r, item)
	} else if r.attempt--; r.attempt == 0 {
		r.started = noTime
		s.retrait(r, s.traitsOf(r).key, "")
	}
	s.endInstead(r, finished)
}

// endInstead ends a run that would become pending though it was ordered to be cancelled, or though its task is gone.
func (s *Store) endInstead(r *row, at int64) {
	order := s.order(r)
	switch {
	case order != nil:
		s.end(r, punctual.StateCanceled, order.reason, at)
	case s.taskOf(r).exists:
		return
	case r.attempt == 0:
		s.end(r, punctual.StateSkipped, punctual.ReasonRemoved, at)
	default:
		s.end(r, punctual.StateFailed, punctual.ReasonRemoved, at)
	}
	r.due = noTime
}

func (s *Store) keepResult(r *row, item *punctual.Finish) {
	if r.extra == 0 && item.Result.Output == "" && item.Result.Facts == nil && item.Error == "" && item.Stack == "" {
		return
	}
	x := s.seldom(r)
	x.result = punctual.Result{Output: item.Result.Output, Facts: slices.Clone(item.Result.Facts)}
	x.err, x.stack = item.Error, item.Stack
	s.setSeldom(r, x)
}

// left does what follows whenever a run has left StateRunning: the next one at the overlap gate may try, and a fixed delay counts from
// here. It returns when the earliest of it all is due.
func (s *Store) left(r *row, now int64) int64 {
	t := s.taskOf(r)
	due, moved := int64(never), !r.state.Final()
	if waiting := s.waiting(&t.ledger); len(waiting) > 0 {
		first := s.rows.at(waiting[0])
		s.rewrite(first, func() { first.due = now })
		due, moved = now, true
	}
	switch {
	case !r.state.Final():
		due = min(due, r.dueAt())
	case t.next == noTime && t.fault() == "" && t.seldom().delay > 0:
		t.next = r.finished + t.seldom().delay.Microseconds()
		due, moved = min(due, t.next), true
	}
	if moved {
		s.requeue(t)
	}
	if !t.exists || t.fault() != "" {
		return never
	}
	return due
}
