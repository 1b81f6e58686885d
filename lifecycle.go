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
	s.loop.blind = true
	s.detach = context.AfterFunc(ctx, s.abort)
	helpers := []func(){s.run, s.runFinisher, s.runHousekeeping}
	if s.leaser != nil {
		helpers = append(helpers, s.runBeat)
	}
	if s.watcher != nil {
		helpers = append(helpers, s.runWatch)
	}
	var running sync.WaitGroup
	for _, helper := range helpers {
		running.Go(helper)
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
// wraps the cause of ctx and names the runs. What they still return is recorded if the store takes it at the first try.
//
// It may be called many times, at the same time, before Start and from inside a run, which it then does not wait for if ctx is
// derived from the run's.
func (s *Scheduler) Shutdown(ctx context.Context) error {
	s.drain()
	var own attemptKey
	if r, ok := ctx.Value(runKey{}).(*runInContext); ok && r.owner == s {
		own = attemptKey{r.run.ID, r.run.Attempt}
	}
	outside := own == attemptKey{}
	err := s.await(ctx, func() bool {
		if outside {
			return s.phase == phaseClosed
		}
		_, flying := s.flights[own]
		return s.phase == phaseClosed || flying && len(s.flights) == 1
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
	s.abandon()
	return s.unfinished("Shutdown", err)
}

// Close stops at once: the contexts of all runs are cancelled with cause ErrShutdown, and Close does not wait for host code that is
// still running. It returns nil when nothing was, else an error that wraps ErrShutdown and names the runs. To give them time,
// call Shutdown first.
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
		s.notifyLocked()
	}
}

// abort is what the end of the Start context does.
func (s *Scheduler) abort() {
	s.drain()
	s.cancelFlights(ErrShutdown, func(*flight) bool { return true })
}

// abandon gives up waiting: runs are cancelled, store calls under way end, and results get one more try.
func (s *Scheduler) abandon() {
	s.mu.Lock()
	select {
	case <-s.abandoned:
		s.mu.Unlock()
		return
	default:
	}
	close(s.abandoned)
	endCall := s.endCall
	if s.base != nil {
		s.calls, s.endCall = context.WithCancelCause(s.base)
	}
	s.mu.Unlock()
	s.cancelFlights(ErrShutdown, func(*flight) bool { return true })
	endCall(ErrShutdown)
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
	for _, f := range s.flights {
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

// pause waits on the Scheduler's clock, or until nobody waits for results any more.
func (s *Scheduler) pause(d time.Duration) {
	timer := s.clock.Timer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.abandoned:
	}
}

// WaitIdle blocks until there is nothing to do at the clock's present time: nothing is due, nothing is in flight and every result is
// stored. It is what tests on a fake clock call between two steps. Before Start and after the end of a drain it returns as soon
// as no call is under way. While the store fails it does not return.
//
// Errors: the cause of ctx when that ends first.
func (s *Scheduler) WaitIdle(ctx context.Context) error {
	return s.await(ctx, func() bool {
		if len(s.ops) > 0 || len(s.flights) > 0 {
			return false
		}
		if s.phase != phaseRunning {
			return s.phase != phaseDraining
		}
		now := s.clock.Now()
		due := func(t time.Time) bool { return !t.IsZero() && !t.After(now) }
		if s.loop.parked && !s.loop.blind && (due(s.loop.next) || due(s.loop.hint)) {
			s.poke() // the clock has moved, and its tick may be on its way only
			return false
		}
		if s.loop.parked && !s.loop.blind && s.failing.err != nil {
			s.poke() // a helper's call failed: a claim shows whether the store works again
			return false
		}
		return s.loop.parked && !s.loop.blind && s.failing.err == nil
	})
}

// Health is the state of one instance in a few figures.
type Health struct {
	// OK is false when something needs attention; Reasons then says what, in words.
	OK      bool     `json:"ok"`
	Reasons []string `json:"reasons,omitempty"`
	// Phase is "new", "running", "draining" or "closed".
	Phase    string `json:"phase"`
	Instance string `json:"instance"`
	InFlight int    `json:"in_flight"` // attempts started here whose outcome is not stored yet
	Running  int    `json:"running"`   // those of them that are in host code
	SetAside int    `json:"set_aside"` // tasks that this instance set aside since it started
	// ClockOffset is how far the store's clock was ahead of this instance's at the last beat. Due times are the store's, so an
	// offset moves nothing but log times.
	ClockOffset time.Duration `json:"clock_offset"`
}

var phaseNames = [...]string{"new", "running", "draining", "closed"}

// backlogBound is how late the next due time may be before Health reports it.
const backlogBound = time.Minute

// clockBound is how far this instance's clock and the store's may be apart before Health reports it.
const clockBound = 5 * time.Second

// Health reports how this instance is. It does not ask the store.
func (s *Scheduler) Health() Health {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	h := Health{
		Phase: phaseNames[s.phase], Instance: s.instance, InFlight: len(s.flights), Running: s.busy, SetAside: len(s.faults),
		ClockOffset: s.offset.Round(time.Millisecond),
	}
	if s.failing.err != nil {
		h.Reasons = append(h.Reasons, fmt.Sprintf("the store fails since %s: %s", s.failing.since.UTC().Format(time.RFC3339), errorText(s.failing.err)))
	}
	if s.phase == phaseRunning && !s.leaseHeldLocked() {
		h.Reasons = append(h.Reasons, "no lease: nothing starts until the store renews it")
	}
	if late := now.Sub(s.loop.next); s.phase == phaseRunning && !s.loop.next.IsZero() && late > backlogBound {
		h.Reasons = append(h.Reasons, fmt.Sprintf("backlog: due since %s", late.Round(time.Second)))
	}
	if s.offset.Abs() > clockBound {
		h.Reasons = append(h.Reasons, fmt.Sprintf("clock off: the store's is %v ahead", s.offset.Round(time.Second)))
	}
	if n := len(s.faults); n > 0 {
		h.Reasons = append(h.Reasons, fmt.Sprintf("%d tasks were set aside", n))
	}
	h.OK = len(h.Reasons) == 0
	return h
}
