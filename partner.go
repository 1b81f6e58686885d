package punctual

// In a backlog the loop makes one claim after the other. A store on a server works on each for itself, and while it writes what one has taken, and
// waits for the disk, the next could lock what it will take. So over a store that gains by it (Overlapper), a helper of the loop, the partner, claims
// too as long as there is more than both get: a claim of the loop that got all it asked for calls it.

// Overlapper is implemented by stores on which an instance gets more done in a backlog when it makes two claims at a time. The second begins while
// the first is being written, and takes what is due behind it; so runs of the second may start before those of the first. A Scheduler
// makes one claim at a time over other stores, and where kinds have limits of their own.
type Overlapper interface {
	// ClaimsOverlap reports whether this store gains by it, as it is set up. New asks once.
	ClaimsOverlap() bool
}

// leastOverlap is how many starts a claim has to ask for to be worth another one beside it.
const leastOverlap = manyStarts

// claimsOverlap reports whether claims are made two at a time.
func (s *Scheduler) claimsOverlap() bool {
	o, ok := s.store.(Overlapper)
	return ok && o.ClaimsOverlap() && len(s.limits) == 0
}

// leftMore reports whether a claim of many has got all it asked for, and more is due.
func (o *op) leftMore(reply *ClaimReply) bool {
	return o.limit >= leastOverlap && len(reply.Started) >= o.limit && !reply.NextDue.IsZero() && !reply.NextDue.After(reply.Now)
}

// callPartner has the partner claim, too.
func (s *Scheduler) callPartner() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != phaseRunning || s.rests[helperPartner].working {
		return
	}
	s.rests[helperPartner].working = true
	s.joinNow <- struct{}{} // whoever works has taken the call before
}

// runPartner claims when it is called, until draining begins.
func (s *Scheduler) runPartner() {
	defer s.leave(helperPartner)
	made := s.newClaiming()
	for {
		select {
		case <-s.joinNow:
		case <-s.stopping:
			return
		}
		made = s.claimBeside(made)
		s.leave(helperPartner)
	}
}

// claimBeside claims until there is no more than the loop gets, and returns the room for the next time. A store that fails is the loop's to wait for.
func (s *Scheduler) claimBeside(made *claiming) *claiming {
	defer s.finisher.inBurst(false)
	for {
		op, ok := s.beginBeside()
		if !ok {
			return made
		}
		reply, err := s.claim(made, op)
		if err != nil {
			s.storeFailed(err)
			return s.newClaiming()
		}
		s.giveWay()
		if !op.leftMore(&reply) {
			return made
		}
	}
}

// beginBeside admits a claim of the partner. Unlike beginClaim it is not the look that anybody has asked for.
func (s *Scheduler) beginBeside() (op, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := min(s.unaskedLocked(), claimBatch)
	if limit < leastOverlap || s.phase != phaseRunning || !s.leaseHeldLocked(s.clock.Now()) {
		return op{}, false
	}
	return s.openClaimLocked(limit), true
}
