package punctual

import (
	"context"
	"errors"
	"log/slog"
	"sync"
)

// finishBatch bounds how many outcomes one store call records.
const finishBatch = 500

// finisher collects outcomes and stores them in batches: while one call is under way, what ends meanwhile makes up the next. So a
// lone outcome is stored at once, and a thousand at a time cost a few transactions. No timer is involved.
type finisher struct {
	wake chan struct{} // capacity 1: the queue is not empty

	mu    sync.Mutex // guards queue
	queue []landing
}

// landing is a flight and how it ended.
type landing struct {
	flight *flight
	finish Finish
}

func (q *finisher) add(f *flight, finish Finish) {
	q.mu.Lock()
	q.queue = append(q.queue, landing{f, finish})
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns up to finishBatch outcomes.
func (q *finisher) take() []landing {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.queue), finishBatch)
	batch := append([]landing(nil), q.queue[:n]...)
	clear(q.queue[:n])
	q.queue = q.queue[n:]
	if len(q.queue) == 0 {
		q.queue = nil
	}
	return batch
}

// runFinisher stores outcomes until the last flight of a drain has landed. What the store does not take is kept and offered again,
// unless nobody waits for it any more.
func (s *Scheduler) runFinisher() {
	backoff := newBackoff()
	var batch []landing
	for {
		if len(batch) == 0 {
			batch = s.finisher.take()
		}
		if len(batch) == 0 {
			select {
			case <-s.finisher.wake:
				continue
			case <-s.landed:
				return
			}
		}
		lastTry := s.isAbandoned()
		rest, err := s.storeBatch(batch)
		batch = rest
		switch {
		case err == nil:
			backoff.reset()
			s.storeWorks()
			if len(batch) > 0 {
				s.pause(backoff.next())
			}
			continue
		case lastTry:
			s.drop(batch, err)
			batch = nil
		default:
			s.storeFailed(err)
			s.pause(backoff.next())
		}
	}
}

// storeBatch hands a batch to the store and returns what has to be offered again.
func (s *Scheduler) storeBatch(batch []landing) (again []landing, err error) {
	req := FinishRequest{Now: s.storeNow(), Session: batch[0].flight.run.Session, Items: make([]Finish, len(batch))}
	for i, l := range batch {
		req.Items[i] = l.finish
	}
	reply, err := storeCall(s.engineContext(), s, func(ctx context.Context) (FinishReply, error) { return s.store.Finish(ctx, req) })
	if err != nil {
		return batch, err
	}
	if len(reply.Verdicts) != len(batch) {
		return batch, errors.New("punctual: the store answered Finish with a wrong number of verdicts")
	}
	settled := batch[:0:0]
	for i, verdict := range reply.Verdicts {
		if verdict == VerdictRetryable {
			again = append(again, batch[i])
			continue
		}
		s.report(batch[i], verdict)
		settled = append(settled, batch[i])
	}
	s.noteDue(reply.NextDue, reply.Now)
	s.settle(settled)
	return again, nil
}

// settle forgets flights whose outcome is stored or given up.
func (s *Scheduler) settle(batch []landing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range batch {
		// A released attempt gives its number back, so another flight may have the key already.
		if key := l.flight.key(); s.flights[key] == l.flight {
			delete(s.flights, key)
		}
	}
	s.notifyLocked()
}

// report logs and emits what became of an outcome.
func (s *Scheduler) report(l landing, verdict Verdict) {
	run, f := l.flight.run, l.finish
	run.State, run.StartedAt, run.Result, run.Error, run.Stack, run.Reason = f.State, f.StartedAt, f.Result, f.Error, f.Stack, f.Reason
	attrs := append(runAttrs(run), slog.String("state", f.State.String()))
	if f.Error != "" {
		attrs = append(attrs, slog.String("error", f.Error))
	}
	ctx := l.flight.ctx
	switch {
	case verdict == VerdictStale:
		s.log(ctx, slog.LevelWarn, "result came too late and changed nothing: the attempt was taken over", attrs...)
		s.emit(EventStale, run.TaskID, run, ErrStaleAttempt)
	case verdict == VerdictGone:
		s.log(ctx, slog.LevelInfo, "result dropped: the task was removed", attrs...)
		s.emit(EventStale, run.TaskID, run, ErrRunNotFound)
	case f.Released:
		s.log(ctx, slog.LevelInfo, "run released before it began", attrs...)
		s.emit(EventReleased, run.TaskID, run, nil)
	case f.State == StatePending:
		run.DueAt = f.RetryAt
		s.log(ctx, slog.LevelWarn, "attempt failed, another follows", append(attrs, slog.Time("retry_at", f.RetryAt))...)
		s.emit(EventRetried, run.TaskID, run, nil)
	default:
		run.FinishedAt = f.FinishedAt
		level, msg := slog.LevelDebug, "run finished"
		if f.State != StateSucceeded {
			level = slog.LevelWarn
		}
		s.log(ctx, level, msg, append(attrs, slog.Duration("duration", f.FinishedAt.Sub(f.StartedAt)))...)
		s.emit(EventFinished, run.TaskID, run, nil)
	}
}

// drop gives up outcomes that the store did not take before the Scheduler was told not to wait for it.
func (s *Scheduler) drop(batch []landing, err error) {
	for _, l := range batch {
		s.log(l.flight.ctx, slog.LevelError, "result lost: the store did not take it before the shutdown deadline",
			append(runAttrs(l.flight.run), slog.String("state", l.finish.State.String()), errorAttr(err))...)
	}
	s.settle(batch)
}

// storeFailed and storeWorks keep track of whether the store works, and say so once per change.
func (s *Scheduler) storeFailed(err error) {
	s.mu.Lock()
	first := s.failing.err == nil
	if first {
		s.failing.since = s.clock.Now()
	}
	s.failing.err = err
	s.mu.Unlock()
	if first {
		s.log(context.Background(), slog.LevelError, "store fails, trying again", errorAttr(err))
		s.emit(EventStoreFailing, "", Run{}, err)
	}
}

func (s *Scheduler) storeWorks() {
	s.mu.Lock()
	was := s.failing
	s.failing = storeFailure{}
	s.mu.Unlock()
	if was.err != nil {
		s.log(context.Background(), slog.LevelInfo, "store works again", slog.Duration("failed_for", s.clock.Since(was.since)))
		s.emit(EventStoreWorking, "", Run{}, nil)
	}
}
