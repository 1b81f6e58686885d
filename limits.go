package punctual

import (
	"math"
	"slices"
	"time"
)

// kindLimit bounds what this instance starts of one kind: how many runs at a time, and how many per time. The rate is a token bucket with
// the semantics of golang.org/x/time/rate: it is full at first, a start takes a token, and a token comes back each interval.
type kindLimit struct {
	concurrency int           // runs at a time; zero for no bound
	every       time.Duration // interval of a token; zero for no rate
	burst       int           // size of the bucket

	active int       // runs that were started, and slots held for store calls that may start some
	tokens float64   // in the bucket at the time
	filled time.Time // when tokens was computed
	wanted bool      // the last claim might have started more but for this limit
}

// refill brings the bucket up to now. A clock that goes back adds nothing and takes nothing.
func (l *kindLimit) refill(now time.Time) {
	if l.every == 0 {
		return
	}
	if l.filled.IsZero() {
		l.tokens = float64(l.burst)
	} else if passed := now.Sub(l.filled); passed > 0 {
		l.tokens = min(l.tokens+float64(passed)/float64(l.every), float64(l.burst))
	}
	l.filled = now
}

// hold reserves up to n starts and returns how many it could.
func (l *kindLimit) hold(n int, now time.Time) int {
	l.refill(now)
	if l.concurrency > 0 {
		n = min(n, l.concurrency-l.active)
	}
	if l.every > 0 {
		n = min(n, int(l.tokens+tokenSlack))
	}
	n = max(n, 0)
	l.take(n)
	return n
}

// free reports whether another start is possible as far as the bucket was filled.
func (l *kindLimit) free() bool {
	return (l.concurrency == 0 || l.active < l.concurrency) && (l.every == 0 || l.tokens+tokenSlack >= 1)
}

// tokenSlack makes up for sums of fractions that end a hair below a whole token.
const tokenSlack = 1e-6

// take counts n starts; less than zero gives them back.
func (l *kindLimit) take(n int) {
	l.active += n
	if l.every > 0 {
		l.tokens = min(l.tokens-float64(n), float64(l.burst))
	}
}

// next returns when another start is possible as far as the rate goes; zero when it does not stand in the way.
func (l *kindLimit) next() time.Time {
	missing := 1 - l.tokens
	if l.every == 0 || missing <= tokenSlack {
		return time.Time{}
	}
	return l.filled.Add(time.Duration(math.Ceil(missing*float64(l.every)/float64(time.Microsecond))) * time.Microsecond)
}

// holdKindLocked makes sure that an op holds a start of a kind, and reports whether it does.
func (s *Scheduler) holdKindLocked(o *op, kind string) bool {
	l := s.limits[kind]
	if l == nil || o.kinds[kind] > 0 {
		return true
	}
	if l.hold(1, s.clock.Now()) == 0 {
		return false
	}
	o.kinds = map[string]int{kind: 1}
	return true
}

// holdKindsLocked reserves what a claim may start of each limited kind.
func (s *Scheduler) holdKindsLocked(slots int) map[string]int {
	if len(s.limits) == 0 {
		return nil
	}
	now := s.clock.Now()
	held := make(map[string]int, len(s.limits))
	for kind, l := range s.limits {
		held[kind] = l.hold(slots, now)
		l.wanted = false
	}
	return held
}

// returnKindsLocked gives back what an op held and did not use. A claim that used up all of it may have left something behind.
func (s *Scheduler) returnKindsLocked(o *op, started []string) {
	for kind, held := range o.kinds {
		l, used := s.limits[kind], 0
		for _, k := range started {
			if k == kind {
				used++
			}
		}
		l.take(used - held)
		// What was given back may be less than a whole token short of what the bucket would have.
		l.wanted = l.wanted || o.limit > 0 && used >= held
		if l.wanted && l.free() {
			s.pokeLocked() // an attempt has ended while the claim was under way
		}
	}
}

// nextTokenLocked returns when the rate of a kind that was held back allows another start; zero when there is none.
func (s *Scheduler) nextTokenLocked() time.Time {
	var next time.Time
	for _, l := range s.limits {
		if at := l.next(); l.wanted && !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// slotsFor is how many runs of a kind a call of the host may start at once: none of a kind that only others handle or that has reached
// its limit. Decide functions ask it, so it may be asked twice.
func (s *Scheduler) slotsFor(o *op, kind string, slots int) int {
	if slots == 0 || !s.handles(kind) {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.holdKindLocked(o, kind) {
		return 0
	}
	return slots
}

// handles reports whether this instance runs a kind.
func (s *Scheduler) handles(kind string) bool {
	if s.kinds == nil {
		return true
	}
	kinds := s.kinds.Kinds()
	return kinds == nil || slices.Contains(kinds, kind)
}
