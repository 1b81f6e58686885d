package punctual

import (
	"context"
	"log/slog"
	"time"
)

const (
	reclaimBatch = 500
	trimBatch    = 1000
	trimEvery    = time.Hour
	// watchAgain is the pause before a broken watch is set up again.
	watchAgain = 5 * time.Second
)

// runHousekeeping takes over runs of dead instances and trims the ledger, until draining begins. Instances do it at different times:
// the wait is spread by the session.
func (s *Scheduler) runHousekeeping() {
	trimmed := s.clock.Now()
	for n := uint64(0); ; n++ {
		if s.leaser != nil {
			s.reclaim()
		}
		if s.clock.Since(trimmed) >= trimEvery {
			trimmed = s.clock.Now()
			s.trim()
		}
		wait := trimEvery
		if s.leaser != nil {
			wait = time.Duration(float64(s.lease) / 3 * (0.9 + 0.2*hashFraction(s.instance, n)))
		}
		timer := s.clock.Timer(wait)
		select {
		case <-timer.C:
		case <-s.stopping:
			timer.Stop()
			return
		}
	}
}

// reclaim takes over what dead instances left.
func (s *Scheduler) reclaim() {
	for {
		s.mu.Lock()
		req := ReclaimRequest{Now: s.storeNow(), Session: s.session.id, Limit: reclaimBatch}
		s.mu.Unlock()
		reply, err := bounded(s, s.storeTimeout, func(ctx context.Context) (ReclaimReply, error) { return s.leaser.Reclaim(ctx, req) })
		if err != nil {
			s.storeFailed(err)
			return
		}
		s.storeWorks()
		for _, run := range reply.Runs {
			s.log(context.Background(), slog.LevelWarn, "attempt lost with its instance", append(runAttrs(run),
				slog.String("state", run.State.String()), slog.String("lost_instance", run.Instance))...)
			s.emit(EventLost, run.TaskID, run, nil)
			if run.State.Final() {
				s.emit(EventFinished, run.TaskID, run, nil)
			}
		}
		if len(reply.Runs) > 0 {
			s.poke()
		}
		if !reply.More || s.isStopping() {
			return
		}
	}
}

// trim removes what the ledger keeps no longer.
func (s *Scheduler) trim() {
	if s.retention == 0 && s.keepRuns == 0 {
		return
	}
	req := TrimRequest{Keep: s.keepRuns, Limit: trimBatch}
	if s.retention > 0 {
		req.Before = micros(s.clock.Now().Add(-s.retention))
	}
	total := 0
	for !s.isStopping() {
		n, err := bounded(s, s.storeTimeout, func(ctx context.Context) (int, error) { return s.store.Trim(ctx, req) })
		if err != nil {
			s.storeFailed(err)
			return
		}
		total += n
		if n < trimBatch {
			break
		}
	}
	if total > 0 {
		s.log(context.Background(), slog.LevelInfo, "ledger trimmed", slog.Int("count", total))
	}
}

// runWatch passes the store's hints to the loop, until draining begins.
func (s *Scheduler) runWatch() {
	for !s.isStopping() {
		err := s.watcher.Watch(s.watch, s.hinted)
		if s.isStopping() {
			return
		}
		if err != nil {
			s.log(context.Background(), slog.LevelWarn, "store gives no hints, polling until it does", errorAttr(err))
		}
		timer := s.clock.Timer(watchAgain)
		select {
		case <-timer.C:
		case <-s.stopping:
			timer.Stop()
		}
	}
}

// hinted is told that another instance may have changed something.
func (s *Scheduler) hinted() {
	s.mu.Lock()
	asleep := s.loop.parked && !s.loop.starved
	if !asleep {
		s.loop.hint = s.clock.Now()
	}
	flying := len(s.flights) > 0
	s.mu.Unlock()
	if asleep {
		s.poke()
	}
	if flying && s.leaser != nil {
		select {
		case s.beatNow <- struct{}{}: // it may have been an order to cancel
		default:
		}
	}
}
