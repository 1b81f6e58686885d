package memory

import (
	"context"
	"fmt"
	"slices"
	"time"

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
	due := int64(never)
	for i := range req.Items {
		verdict, next := s.finish(&req.Items[i], reply.Now)
		reply.Verdicts[i] = verdict
		due = min(due, next)
	}
	if due != never {
		reply.NextDue = instant(due)
	}
	return reply, due != never && s.alive > 1 // who finishes is one of them
}

// finish records one outcome and returns when the earliest of what it made pending is due.
func (s *Store) finish(item *punctual.Finish, now time.Time) (punctual.Verdict, int64) {
	r := s.runs[item.RunID]
	if r == nil {
		return punctual.VerdictGone, never
	}
	finished := clean(item.FinishedAt)
	if finished.IsZero() {
		finished = now
	}
	if !r.ownedBy(item) {
		return r.late(item, finished), never
	}
	s.rewrite(r, func(run *punctual.Run) {
		run.Session = ""
		if item.State == punctual.StatePending {
			r.again(item, finished, now)
			return
		}
		if run.CancelRequested && item.State != punctual.StateCanceled {
			run.BlockedBy = ""
		}
		run.State, run.Reason, run.FinishedAt, run.CancelRequested = item.State, item.Reason, finished, false
		if !item.StartedAt.IsZero() {
			run.StartedAt = clean(item.StartedAt)
		}
		r.keepResult(item)
	})
	next := s.left(r, now)
	if s.passOn(now) {
		next = now.UnixMicro()
	}
	return punctual.VerdictApplied, next
}

// ownedBy reports whether the run is running under the attempt that the item is about. The number of a released attempt is given out
// again, so a release names its attempt by its start as well: its repeat must not release the next one.
func (r *row) ownedBy(item *punctual.Finish) bool {
	if r.run.State != punctual.StateRunning || r.run.Attempt != item.Attempt {
		return false
	}
	return !item.Released || item.StartedAt.IsZero() || clean(item.StartedAt).Equal(r.run.StartedAt)
}

// late judges an outcome of an attempt that is not the running one: a repeat of what was recorded changes nothing, and all else is
// stale and leaves a note.
func (r *row) late(item *punctual.Finish, finished time.Time) punctual.Verdict {
	run := &r.run
	if run.State == item.State && run.State.Final() && run.Attempt == item.Attempt && run.FinishedAt.Equal(finished) {
		return punctual.VerdictAlready
	}
	instance := ""
	for _, a := range run.History {
		if a.Number != item.Attempt {
			continue
		}
		same := a.FinishedAt.Equal(finished)
		switch {
		case same && a.Outcome == outcomeStale:
			return punctual.VerdictStale
		case same && item.State == punctual.StatePending && a.Outcome == outcomeOf(item):
			return punctual.VerdictAlready
		}
		instance = a.Instance
	}
	r.note(punctual.Attempt{
		Number: item.Attempt, Instance: instance, StartedAt: item.StartedAt, FinishedAt: finished,
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
func (r *row) again(item *punctual.Finish, finished, now time.Time) {
	run := &r.run
	started := item.StartedAt
	if started.IsZero() {
		started = run.StartedAt
	}
	r.note(punctual.Attempt{
		Number: run.Attempt, Instance: run.Instance, StartedAt: started, FinishedAt: finished, Outcome: outcomeOf(item),
		Error: item.Error,
	})
	run.State, run.DueAt = punctual.StatePending, clean(item.RetryAt)
	if run.DueAt.IsZero() {
		run.DueAt = now
	}
	if !item.Released {
		run.StartedAt = clean(started)
		r.keepResult(item)
	} else if run.Attempt--; run.Attempt == 0 {
		run.StartedAt, run.Instance = time.Time{}, ""
	}
	r.endInstead(finished)
}

// endInstead ends a run that would become pending though it was ordered to be cancelled, or though its task is gone.
func (r *row) endInstead(at time.Time) {
	run := &r.run
	switch {
	case run.CancelRequested:
		run.State, run.CancelRequested = punctual.StateCanceled, false
	case r.task.exists:
		return
	case run.Attempt == 0:
		run.State, run.Reason = punctual.StateSkipped, punctual.ReasonRemoved
	default:
		run.State, run.Reason = punctual.StateFailed, punctual.ReasonRemoved
	}
	run.DueAt, run.FinishedAt = time.Time{}, at
}

func (r *row) keepResult(item *punctual.Finish) {
	r.run.Result = punctual.Result{Output: item.Result.Output, Facts: slices.Clone(item.Result.Facts)}
	r.run.Error, r.run.Stack = item.Error, item.Stack
}

// left does what follows whenever a run has left StateRunning: the next one at the overlap gate may try, and a fixed delay counts from
// here. It returns when the earliest of it all is due.
func (s *Store) left(r *row, now time.Time) int64 {
	t := r.task
	l, due := t.ledger, int64(never)
	if waiting := l.waiting(); len(waiting) > 0 {
		s.rewrite(waiting[0], func(run *punctual.Run) { run.DueAt = now })
		due = now.UnixMicro()
	}
	switch {
	case !r.run.State.Final():
		due = min(due, r.dueAt())
	case t.delay > 0 && t.next == noTime && t.fault() == "":
		t.next = r.run.FinishedAt.Add(t.delay).UnixMicro()
		due = min(due, t.next)
	}
	s.requeue(t)
	if !t.exists || t.fault() != "" {
		return never
	}
	return due
}
