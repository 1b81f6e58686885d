package punctual

import "time"

// storeClock is one moment as both clocks had it: the store's, and this instance's with its monotonic reading. From it any instant of this
// instance can be told in the store's time, even when the wall clock here is wrong or has jumped since. The zero value takes the two for
// the same.
type storeClock struct{ store, local time.Time }

// at returns the store's time at an instant of this instance.
func (c storeClock) at(t time.Time) time.Time {
	if c.local.IsZero() {
		return micros(t)
	}
	return micros(c.store.Add(t.Sub(c.local)))
}

// ahead is how far the store's clock is ahead of the wall clock here, which reads now.
func (c storeClock) ahead(now time.Time) time.Duration {
	if c.local.IsZero() {
		return 0
	}
	return c.store.Add(now.Sub(c.local)).Sub(now.Round(0))
}

// storeTold takes the store's time from an answer to what was sent at the given instant. With an injected clock that instant is what the
// store was told; else the store looked at its own clock somewhere on the way.
func (s *Scheduler) storeTold(sent, now time.Time) {
	if now.IsZero() {
		return
	}
	local := sent
	if !s.injected {
		local = sent.Add(s.clock.Since(sent) / 2)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = storeClock{now, local}
}

// storeTime returns the store's time at an instant of this instance.
func (s *Scheduler) storeTime(t time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told.at(t)
}
