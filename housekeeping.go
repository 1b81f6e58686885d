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
	// trimFirst is how long after the start the ledger is trimmed first: soon, since a process that is started anew more often than each
	// trimEvery would never do it, and not at once, when a program has other things to do.
	trimFirst = 5 * time.Minute
	// watchAgain is the pause before a broken watch is set up again.
	watchAgain = 5 * time.Second
)

// runHousekeeping takes over runs of dead instances, trims the ledger and looks for kinds that nobody handles, until draining begins. Instances do it at different times:
// the wait is spread by the session.
func (s *Scheduler) runHousekeeping() {
	defer s.leave(helperHousekeeping)
	looked := s.clock.Now()
	trimmed := looked.Add(trimFirst - trimEvery)
	for n := uint64(0); ; n++ {
		s.work(helperHousekeeping)
		if s.leaser != nil {
			s.reclaim()
		}
		if s.clock.Since(trimmed) >= trimEvery {
			trimmed = s.clock.Now()
			s.trim()
		}
		if s.kinds != nil && s.clock.Since(looked) >= unhandledEvery && !s.isStopping() {
			looked = s.clock.Now()
			s.findUnhandled()
		}
		wait := trimEvery - s.clock.Since(trimmed)
		if s.kinds != nil {
			wait = unhandledEvery
		}
		if s.leaser != nil {
			wait = time.Duration(float64(s.lease) / 3 * (0.9 + 0.2*hashFraction(s.instance, n)))
		}
		until := s.clock.Now().Add(wait)
		timer := s.clock.Timer(wait)
		s.sleep(helperHousekeeping, until)
		select {
		case <-timer.C:
		case <-s.keepNow:
			timer.Stop()
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
		reply, err := bounded(s.engineContext(), s, s.storeTimeout, "reclaim", func(ctx context.Context) (ReclaimReply, error) { return s.leaser.Reclaim(ctx, req) })
		if err != nil {
			s.storeFailed(err)
			return
		}
		s.storeWorks()
		for i := range reply.Runs {
			run := &reply.Runs[i]
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
		req.Before = s.storeTime(s.clock.Now()).Add(-s.retention)
	}
	total := 0
	for !s.isStopping() {
		n, err := bounded(s.engineContext(), s, s.storeTimeout, "trim", func(ctx context.Context) (int, error) { return s.store.Trim(ctx, req) })
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
	defer s.mu.Unlock()
	if s.loop.parked && !s.loop.starved {
		s.pokeLocked()
	} else {
		s.loop.hint = s.clock.Now()
	}
	if s.leaser != nil && s.flights.count > 0 {
		s.rouseLocked(helperBeat) // it may have been an order to cancel
	}
}
