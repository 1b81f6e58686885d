package punctual

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
)

// finishBatch bounds how many outcomes one store call records.
const finishBatch = 500

// outcomes are what became of attempts, at most finishBatch of them. Both slices have the same length.
type outcomes struct {
	flights []*flight
	items   []Finish
}

// of returns the outcomes with the numbers from a to b.
func (o outcomes) of(a, b int) outcomes { return outcomes{o.flights[a:b], o.items[a:b]} }

func (o outcomes) full() bool { return len(o.items) == finishBatch }

// finisher collects outcomes and stores them in batches: while one call is under way, what ends meanwhile makes up the next. So a
// lone outcome is stored at once, and a thousand at a time cost a few transactions. No timer is involved.
//
// In a burst it stores full batches only: what is due and has not been started should not have to share the store with transactions for a
// few results. A burst brings so many runs that a batch is soon full, or it is over.
type finisher struct {
	wake chan struct{} // capacity 1: there may be something to take

	mu    sync.Mutex // guards all below
	queue []outcomes // oldest first; all but the last are full
	spare []outcomes // empty, for the end of the queue; two are enough for who keeps up: one that is being stored and one that grows
	burst bool
}

func (q *finisher) add(f *flight, finish *Finish) {
	q.mu.Lock()
	first := len(q.queue) == 0
	if first || q.queue[len(q.queue)-1].full() {
		q.queue = append(q.queue, q.empty(first))
	}
	last := &q.queue[len(q.queue)-1]
	last.flights = append(last.flights, f)
	last.items = append(last.items, *finish)
	ready := first && !q.burst || last.full()
	q.mu.Unlock()
	if ready {
		q.rouse()
	}
}

// inBurst says whether a burst goes on.
func (q *finisher) inBurst(burst bool) {
	q.mu.Lock()
	ready := !burst && len(q.queue) > 0
	q.burst = burst
	q.mu.Unlock()
	if ready {
		q.rouse()
	}
}

func (q *finisher) rouse() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// empty returns room for outcomes: no more than is needed, unless there is much to do.
func (q *finisher) empty(first bool) outcomes {
	switch last := len(q.spare) - 1; {
	case last >= 0:
		o := q.spare[last]
		q.spare = q.spare[:last]
		return o
	case first:
		return outcomes{}
	}
	return outcomes{make([]*flight, 0, finishBatch), make([]Finish, 0, finishBatch)}
}

// take returns the oldest outcomes of the queue, none when it is empty or has to wait, and keeps the room of others that are settled.
func (q *finisher) take(settled outcomes) outcomes {
	clear(settled.flights)
	clear(settled.items)
	q.mu.Lock()
	defer q.mu.Unlock()
	if settled.items != nil && len(q.spare) < 2 {
		q.spare = append(q.spare, settled.of(0, 0))
	}
	if len(q.queue) == 0 || q.burst && !q.queue[0].full() {
		return outcomes{}
	}
	taken := q.queue[0]
	q.queue = slices.Delete(q.queue, 0, 1)
	return taken
}

// runFinisher stores outcomes until the last flight of a drain has landed. What the store does not take is kept and offered again,
// unless nobody waits for it any more.
func (s *Scheduler) runFinisher() {
	backoff := newBackoff()
	var taken outcomes
	done := 0 // how many of them are settled
	for {
		if done == len(taken.items) {
			taken, done = s.finisher.take(taken), 0
		}
		if len(taken.items) == 0 {
			select {
			case <-s.finisher.wake:
				continue
			case <-s.landed:
				return
			}
		}
		lastTry := s.isAbandoned()
		batch := taken.of(done, len(taken.items))
		settled, err := s.storeBatch(batch, lastTry)
		done += settled
		switch {
		case err == nil:
			backoff.reset()
			if settled < len(batch.items) {
				s.pause(backoff.next(), lastTry)
			}
		case lastTry:
			s.drop(batch, err)
			done += len(batch.items)
		default:
			// A call that was given up may still read what it was given.
			taken = outcomes{slices.Clone(taken.flights), slices.Clone(taken.items)}
			s.storeFailed(err)
			s.pause(backoff.next(), false)
		}
	}
}

// storeBatch hands a batch to the store and returns how many are settled by that. They stand first then; what has to be offered again stands
// behind them. A last try is made if there is time left for it.
func (s *Scheduler) storeBatch(batch outcomes, lastTry bool) (settled int, err error) {
	ctx := s.engineContext()
	if lastTry {
		limit := s.lastLimit()
		if limit <= 0 {
			return 0, errStoreTimeout
		}
		var cancel context.CancelFunc
		ctx, cancel = withTimeout(ctx, s.clock, limit, errStoreTimeout)
		defer cancel()
	}
	req := FinishRequest{Now: s.storeNow(), Session: batch.flights[0].run.Session, Items: batch.items}
	reply, err := storeCall(ctx, s, "finish", func(ctx context.Context) (FinishReply, error) { return s.store.Finish(ctx, req) })
	if err != nil {
		return 0, err
	}
	if len(reply.Verdicts) != len(batch.items) {
		return 0, errors.New("punctual: the store answered Finish with a wrong number of verdicts")
	}
	for i, verdict := range reply.Verdicts {
		if verdict == VerdictRetryable {
			continue
		}
		s.report(batch.flights[i], &batch.items[i], verdict)
		if i != settled {
			batch.flights[i], batch.flights[settled] = batch.flights[settled], batch.flights[i]
			batch.items[i], batch.items[settled] = batch.items[settled], batch.items[i]
		}
		settled++
	}
	if lastTry && settled > 0 {
		s.extendLast()
	}
	s.noteDue(reply.NextDue, reply.Now)
	s.storeWorks() // before anybody takes the flights for settled: said later, it could deny a failure that came meanwhile
	s.settle(batch.flights[:settled])
	return settled, nil
}

// settle forgets flights whose outcome is stored or given up.
func (s *Scheduler) settle(batch []*flight) {
	for _, f := range batch {
		f.ctx.leave() // before anybody who waited for the end of a run may look whether a context that was kept has ended with it
	}
	s.mu.Lock()
	for _, f := range batch {
		s.flights.remove(f)
		if s.session.settled != nil {
			s.session.settled[f.run.ID] = struct{}{}
		}
	}
	s.notifyLocked()
	s.mu.Unlock()
	s.giveFlights(batch)
}

// report logs and emits what became of an outcome.
func (s *Scheduler) report(flight *flight, f *Finish, verdict Verdict) {
	level, msg, event, err := slog.LevelDebug, "run finished", EventFinished, error(nil)
	switch {
	case verdict == VerdictStale:
		level, msg = slog.LevelWarn, "result came too late and changed nothing: the attempt was taken over"
		event, err = EventStale, ErrStaleAttempt
	case verdict == VerdictGone:
		level, msg, event, err = slog.LevelInfo, "result dropped: the task was removed", EventStale, ErrRunNotFound
	case f.Released:
		level, msg, event = slog.LevelInfo, "run released before it began", EventReleased
	case f.State == StatePending:
		level, msg, event = slog.LevelWarn, "attempt failed, another follows", EventRetried
	case f.State == StateSkipped:
		level, msg, event = slog.LevelInfo, "run skipped by its executor", EventSkipped
	case f.State != StateSucceeded:
		level = slog.LevelWarn
	}
	logged := s.logger.Enabled(flight.ctx, level)
	if !logged && s.observer == nil {
		return
	}
	run := flight.run
	run.State, run.StartedAt, run.Result, run.Error, run.Stack, run.Reason = f.State, f.StartedAt, f.Result, f.Error, f.Stack, f.Reason
	attrs := append(runAttrs(&run), slog.String("state", f.State.String()))
	if f.Error != "" {
		attrs = append(attrs, slog.String("error", f.Error))
	}
	switch event {
	case EventRetried:
		run.DueAt = f.RetryAt
		attrs = append(attrs, slog.Time("retry_at", f.RetryAt))
	case EventSkipped:
		run.FinishedAt = f.FinishedAt
		attrs = append(attrs, slog.String("reason", f.Reason))
	case EventFinished:
		run.FinishedAt = f.FinishedAt
		attrs = append(attrs, slog.Duration("duration", f.FinishedAt.Sub(f.StartedAt)))
	}
	if logged {
		s.log(flight.ctx, level, msg, attrs...)
	}
	if event == EventSkipped {
		s.emitRange(event, &run, 1)
		return
	}
	s.emit(event, run.TaskID, &run, err)
}

// drop gives up outcomes that the store did not take before the Scheduler was told not to wait for it.
func (s *Scheduler) drop(batch outcomes, err error) {
	for i, f := range batch.flights {
		s.log(f.ctx, slog.LevelError, "result lost: the store did not take it before the shutdown deadline",
			append(runAttrs(&f.run), slog.String("state", batch.items[i].State.String()), errorAttr(err))...)
	}
	s.mu.Lock()
	if s.session.dropped == nil {
		s.session.dropped = make(map[attemptKey]struct{})
	}
	for i, f := range batch.flights {
		if !batch.items[i].Released && f.run.Session == s.session.id {
			s.session.dropped[f.key()] = struct{}{}
		}
	}
	s.mu.Unlock()
	s.settle(batch.flights)
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
		s.emit(EventStoreFailing, "", nil, err)
	}
}

func (s *Scheduler) storeWorks() {
	s.mu.Lock()
	was := s.failing
	s.failing = storeFailure{}
	s.mu.Unlock()
	if was.err != nil {
		s.log(context.Background(), slog.LevelInfo, "store works again", slog.Duration("failed_for", s.clock.Since(was.since)))
		s.emit(EventStoreWorking, "", nil, nil)
	}
}
