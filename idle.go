package punctual

import (
	"context"
	"time"
)

// helper names a goroutine of the engine besides the loop that works by the clock.
type helper uint8

const (
	helperBeat helper = iota
	helperHousekeeping
	helperFinisher
	helperLookout
	helperPartner
	helpers // how many there are
)

// rest says what a helper does. The zero value is one that has nothing to wait for on the clock, as before its start and after its
// end.
type rest struct {
	working bool
	until   time.Time // when it works again by itself; zero for when it is asked to
}

// WaitIdle blocks until there is nothing to do at the clock's present time: nothing is due, nothing is in flight and every result is
// stored. It is what tests on a fake clock call between two steps. Before Start and after the end of a drain it returns as soon
// as no call is under way. While the store fails it does not return.
//
// Errors: the cause of ctx when that ends first.
func (s *Scheduler) WaitIdle(ctx context.Context) error {
	return s.await(ctx, func() bool {
		switch {
		case s.flights.count > 0 || s.phase == phaseDraining || !s.settledLocked(0):
			return false
		case s.phase != phaseRunning:
			return true
		}
		// The loop sleeps. While the store fails it knows less than there is.
		now := s.clock.Now()
		due := func(t time.Time) bool { return !t.IsZero() && !t.After(now) }
		if s.failing.err != nil || due(s.loop.next) || due(s.loop.hint) {
			s.pokeLocked()
			return false
		}
		return !s.loop.blind
	})
}

// WaitSettled blocks until nothing more happens before the clock moves: as WaitIdle, but attempts that are in host code and wait for the
// clock themselves may be in flight, and a store that fails may be waited for. Waiting is how many such attempts there are, which
// only the caller can know; when it is wrong, WaitSettled does not return. It is made for test harnesses such as punctualtest.
//
// Errors: the cause of ctx when that ends first.
func (s *Scheduler) WaitSettled(ctx context.Context, waiting int) error {
	return s.await(ctx, func() bool { return s.settledLocked(waiting) })
}

// settledLocked reports whether the engine waits for the clock, for a call of the host, or for the given number of attempts in host code.
// Who sleeps though its time has come is woken, since the clock has moved and its tick may be on its way only; but not before the
// attempts have come to rest, so that what ends at an instant has ended when the loop looks for what is due at it.
func (s *Scheduler) settledLocked(waiting int) bool {
	if len(s.ops) > 0 || s.busy != waiting {
		return false
	}
	if stored := s.flights.count == s.busy || !s.rests[helperFinisher].until.IsZero(); !stored {
		return false
	}
	now, settled := s.clock.Now(), true
	for h, r := range s.rests {
		over := !r.until.IsZero() && !r.until.After(now)
		if over {
			s.rouseLocked(helper(h))
		}
		settled = settled && !over && !r.working
	}
	if s.phase != phaseRunning {
		return settled
	}
	if s.loop.parked && !s.loop.until.After(now) {
		s.pokeLocked()
	}
	return settled && s.loop.parked && !s.loop.poked
}

// rouseLocked ends the sleep of a helper that has begun and not ended, which counts as working from then on. The finisher sleeps only between two
// tries, and the clock ends that.
func (s *Scheduler) rouseLocked(h helper) {
	if h == helperFinisher {
		return
	}
	s.rests[h].working = true
	select {
	case s.rouses(h) <- struct{}{}:
	default:
	}
}

// rouses is the channel, of capacity one, that ends the sleep of a helper.
func (s *Scheduler) rouses(h helper) chan struct{} {
	switch h {
	case helperHousekeeping:
		return s.keepNow
	case helperLookout:
		return s.lookNow
	}
	return s.beatNow
}

// work and sleep say what a helper is about to do. It sleeps with its timer made already, so that whoever moves the clock from timer to
// timer finds it.
func (s *Scheduler) work(h helper) {
	select {
	case <-s.rouses(h): // this is the work that was asked for
	default:
	}
	s.setRest(h, rest{working: true})
}

func (s *Scheduler) sleep(h helper, until time.Time) { s.setRest(h, rest{until: until}) }

// leave says that a helper has ended.
func (s *Scheduler) leave(h helper) { s.setRest(h, rest{}) }

func (s *Scheduler) setRest(h helper, r rest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rests[h] = r
	s.notifyLocked()
}

// await blocks until ready says true, which is asked under the lock at each change, or until ctx is done.
func (s *Scheduler) await(ctx context.Context, ready func() bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !ready() {
		s.waiters++
		changed := s.changed
		s.mu.Unlock()
		var err error
		select {
		case <-changed:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		s.mu.Lock()
		s.waiters--
		if err != nil {
			return err
		}
	}
	return nil
}
