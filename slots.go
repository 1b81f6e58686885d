package punctual

import (
	"slices"
	"time"
)

// op is one store call that may start runs: it holds slots for them, and the session they will belong to.
type op struct {
	seq     uint64
	session string
	slots   int            // held
	kinds   map[string]int // starts held of kinds that have a limit of their own
	limit   int            // of a claim: how many starts it asks for; it holds slots as it comes to need them
	asked   int            // of a claim: how many more slots it may come to need
	ended   bool           // guarded by Scheduler.mu
}

// beginOp admits a call of the host. With mayStart it holds a slot if there is one, so that what the call starts can be dispatched
// at once.
func (s *Scheduler) beginOp(mayStart bool) (op, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase >= phaseDraining {
		return op{}, ErrClosed
	}
	slots := 0
	if mayStart && s.phase == phaseRunning && s.freeLocked() > 0 && s.leaseHeldLocked(s.clock.Now()) {
		slots = 1
	}
	return s.openOpLocked(slots), nil
}

// beginClaim admits a claim of at most so many starts. False means that there are no slots, or no lease, or that the loop should end.
func (s *Scheduler) beginClaim(most int) (op, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.foldHintLocked(time.Time{}) // what cannot be claimed now is still known to be due
	s.loop.hint = time.Time{}
	s.loop.starved, s.loop.poked = false, false
	select {
	case <-s.wake: // this is the look that was asked for
	default:
	}
	if s.phase != phaseRunning || !s.leaseHeldLocked(s.clock.Now()) {
		s.loop.blind = true
		return op{}, false
	}
	free := s.unaskedLocked()
	if free <= 0 {
		s.loop.starved = true
		return op{}, false
	}
	return s.openClaimLocked(min(free, most)), true
}

// openClaimLocked begins the call of a claim of at most so many starts.
func (s *Scheduler) openClaimLocked(limit int) op {
	o := s.openOpLocked(0)
	o.limit, o.asked = limit, limit
	s.asked += limit
	o.kinds = s.holdKindsLocked(limit)
	return o
}

// slotsForDue is how many runs of a task a claim may start. It takes only slots that it needs, since others may have a use for them while the
// claim is under way: an Add whose immediate run should start at once.
func (s *Scheduler) slotsForDue(o *op, made *claiming, v *View) int {
	want := min(v.Slots, len(v.Pending)+1)
	if o.slots-made.starts < want {
		s.holdMore(o, want-(o.slots-made.starts))
	}
	if have := o.slots - made.starts; have < want {
		made.short = true
		return max(have, 0)
	}
	return want
}

// holdMore takes slots for an op as far as there are any. With many free it takes some more than are asked for, so as not to be asked each time.
func (s *Scheduler) holdMore(o *op, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := s.freeLocked()
	if o.ended || free <= 0 { // once it has ended, nobody is there who would start anything
		return
	}
	n = min(max(n, min(free/8, 16)), free)
	o.slots += n
	s.reserve += n
	came := min(n, o.asked)
	o.asked -= came
	s.asked -= came
}

func (s *Scheduler) freeLocked() int { return s.concurrency - s.busy - s.reserve }

// unaskedLocked is how many slots are free and will not be needed by a claim under way.
func (s *Scheduler) unaskedLocked() int { return s.freeLocked() - s.asked }

func (s *Scheduler) openOpLocked(slots int) op {
	s.reserve += slots
	return op{seq: s.callLocked(), session: s.session.id, slots: slots}
}

// callLocked counts a store call that begins and returns its number, and returnedLocked says that it is over. One that is over already may be
// meant.
func (s *Scheduler) callLocked() uint64 {
	s.opSeq++
	s.ops = append(s.ops, s.opSeq)
	return s.opSeq
}

func (s *Scheduler) returnedLocked(seq uint64) {
	if i := slices.Index(s.ops, seq); i >= 0 {
		s.ops = slices.Delete(s.ops, i, i+1)
	}
}

// endOp gives back what the call held and did not use; slots of started runs, whose kinds are given, were taken over by their flights.
func (s *Scheduler) endOp(o *op, started []string) {
	s.mu.Lock()
	s.returnedLocked(o.seq)
	o.ended = true
	s.reserve -= o.slots
	s.asked -= o.asked
	s.returnKindsLocked(o, started)
	if s.loop.starved && s.freeLocked() > 0 {
		s.pokeLocked() // the call has not used its slot, or what it started has ended already
	}
	s.notifyLocked()
	s.mu.Unlock()
}
