package punctual

import (
	"context"
	"fmt"
	"log/slog"
	"sort"
	"strings"
	"sync"
	"time"
)

// Start begins to execute what is due. The values of ctx reach every executor and log call; its end is an immediate stop like
// Close: contexts of runs are cancelled with cause ErrShutdown and their results recorded. Use Shutdown to stop gracefully.
//
// A second Start does nothing. Errors: ErrClosed after Shutdown or Close, or the cause of a ctx that has ended already.
func (s *Scheduler) Start(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.phase >= phaseDraining:
		return ErrClosed
	case s.phase == phaseRunning:
		return nil
	}
	s.phase = phaseRunning
	s.base = context.WithoutCancel(ctx)
	s.calls, s.endCall = context.WithCancelCause(s.base)
	s.watch, s.endWatch = context.WithCancel(s.base)
	s.beats, s.endBeats = context.WithCancel(s.base)
	s.loop.blind = true
	s.detach = context.AfterFunc(ctx, s.abort)
	jobs := []func(){s.run, s.runFinisher, s.runHousekeeping}
	s.rests[helperHousekeeping].working = true
	if s.leaser != nil {
		jobs = append(jobs, s.runBeat)
		s.rests[helperBeat].working = true
	}
	if s.watcher != nil {
		jobs = append(jobs, s.runWatch)
	}
	if s.overlaps {
		jobs = append(jobs, s.runPartner)
	}
	if s.preparer != nil {
		jobs = append(jobs, s.runLookout)
		s.rests[helperLookout].working = true
	}
	var running sync.WaitGroup
	for _, job := range jobs {
		running.Go(job)
	}
	go func() {
		running.Wait()
		s.mu.Lock()
		endCall := s.endCall
		s.mu.Unlock()
		endCall(ErrClosed)
		close(s.done)
	}()
	return nil
}

// Shutdown stops gracefully: from now on nothing new starts and registrations answer ErrClosed, while runs in flight go on with a live
// context and their results are stored. It returns nil when all has ended.
//
// When ctx ends first, the remaining runs are cancelled with cause ErrShutdown and Shutdown returns at once, with an error that
// wraps the cause of ctx and names the runs. What they still return is recorded if the store takes it soon: all that is left to store then,
// and the end of this instance's session, have the time of one call to the store (WithStoreTimeout) together, counted from when the last
// run returned or the store last took a result.
//
// It may be called many times, at the same time, before Start and from inside a run, which it then does not wait for if ctx is
// derived from the run's.
func (s *Scheduler) Shutdown(ctx context.Context) error {
	s.drain()
	own, _ := ctx.Value(runKey{}).(*runContext)
	outside := own == nil || own.of(s) == nil
	err := s.await(ctx, func() bool {
		if outside {
			return s.phase == phaseClosed
		}
		return s.phase == phaseClosed || s.flights.count == 1 && own.of(s) == s.flights.first
	})
	if err == nil && outside {
		select {
		case <-s.done:
			return nil
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if err == nil {
		return nil
	}
	// What has not finished is named before it is told to: runs that obey end at any moment from then on.
	unfinished := s.unfinished("Shutdown", err)
	s.abandon()
	return unfinished
}

// Close stops at once: the contexts of all runs are cancelled with cause ErrShutdown, and Close does not wait for host code that is
// still running. It returns nil when nothing was, else an error that wraps ErrShutdown and names the runs. To give them time,
// call Shutdown first. When nothing was running it waits until the store has taken the last results and the end of the session, over a
// store that does not answer for the time of one call (WithStoreTimeout).
func (s *Scheduler) Close() error {
	s.drain()
	s.abandon()
	s.mu.Lock()
	deaf := s.busy > 0
	s.mu.Unlock()
	if deaf {
		return s.unfinished("Close", ErrShutdown)
	}
	<-s.done
	return nil
}

// drain makes sure that nothing new starts.
func (s *Scheduler) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.phase {
	case phaseNew:
		s.phase = phaseClosed
		close(s.stopping)
		close(s.landed)
		close(s.done)
		s.notifyLocked()
	case phaseRunning:
		s.phase = phaseDraining
		s.detach()
		s.endWatch()
		close(s.stopping)
		s.finisher.inBurst(false) // whatever claim is under way
		s.notifyLocked()
	}
}

// abort is what the end of the Start context does.
func (s *Scheduler) abort() {
	s.drain()
	s.cancelFlights(ErrShutdown, func(*flight) bool { return true })
}

// abandon gives up waiting: runs are cancelled, store calls under way end, and results get one more try, all of them in the time of one call.
func (s *Scheduler) abandon() {
	s.mu.Lock()
	select {
	case <-s.abandoned:
		s.mu.Unlock()
		return
	default:
	}
	close(s.abandoned)
	s.extendLastLocked()
	endCall := s.endCall
	if s.base != nil {
		s.calls, s.endCall = context.WithCancelCause(s.base)
	}
	s.mu.Unlock()
	s.cancelFlights(ErrShutdown, func(*flight) bool { return true })
	endCall(ErrShutdown)
}

// extendLastLocked gives the last tries, from now on, as much time together as one call to the store may take. That begins anew when the store has
// taken something, and when there is something more to try.
func (s *Scheduler) extendLastLocked() {
	if s.isAbandoned() {
		s.giveUp = s.clock.Now().Add(s.storeTimeout)
	}
}

func (s *Scheduler) extendLast() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.extendLastLocked()
}

// lastLimit is how long a last try may take, zero or less when there is no time left. Who was not told to hurry may take as long as any call.
func (s *Scheduler) lastLimit() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.giveUp.IsZero() {
		return s.storeTimeout
	}
	return min(s.storeTimeout, s.giveUp.Sub(s.clock.Now()))
}

func (s *Scheduler) isAbandoned() bool { return isClosed(s.abandoned) }
func (s *Scheduler) isStopping() bool  { return isClosed(s.stopping) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// unfinished names what has not ended.
func (s *Scheduler) unfinished(call string, cause error) error {
	s.mu.Lock()
	var runs []string
	for f := range s.allFlightsLocked() {
		what := "still running"
		if f.landed {
			what = "result not stored"
		}
		runs = append(runs, fmt.Sprintf("run %s of task %q (%s)", f.run.ID, clip(f.run.TaskID, 64), what))
	}
	s.mu.Unlock()
	sort.Strings(runs)
	if len(runs) == 0 {
		return fmt.Errorf("punctual: %s: store calls did not end: %w", call, cause)
	}
	s.log(context.Background(), slog.LevelWarn, "stopped with unfinished runs", slog.Int("count", len(runs)))
	const most = 20
	more := ""
	if len(runs) > most {
		more = fmt.Sprintf(" and %d more", len(runs)-most)
		runs = runs[:most]
	}
	return fmt.Errorf("punctual: %s: not finished: %s%s: %w", call, strings.Join(runs, ", "), more, cause)
}

// pause is the finisher's wait between two tries: on the Scheduler's clock, or until nobody waits for results any more. Between two last tries
// everybody knows that already.
func (s *Scheduler) pause(d time.Duration, lastTry bool) {
	abandoned := s.abandoned
	if lastTry {
		abandoned = nil
	}
	until := s.clock.Now().Add(d)
	timer := s.clock.Timer(d)
	defer timer.Stop()
	s.sleep(helperFinisher, until)
	defer s.leave(helperFinisher)
	select {
	case <-timer.C:
	case <-abandoned:
	}
}
