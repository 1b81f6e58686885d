package punctual

import (
	"context"
	"time"

	"github.com/benbjohnson/clock"
)

// What many tasks share is a due time: a full second, minute or hour. Claimed when it has come, the last of them are late by the time that all
// the claims take. So where the store can (Preparer), a helper, the lookout, counts what comes due next and has the claim made before its
// time, all but the commit, which is the loop's at the instant. Whatever the lookout does not get done is claimed as ever.

const (
	// mostAhead bounds what is prepared for one instant.
	mostAhead = 8192
	// leastAhead is how many tasks have to come due for it to be worth while.
	leastAhead = manyStarts
	// readyBefore is how long before the instant a prepared claim should be ready.
	readyBefore = 10 * time.Millisecond
	// firstCost is what it is thought to take for a task before any was prepared. A quarter more than what the last ones took is allowed for.
	firstCost = 100 * time.Microsecond
)

// ahead is what the loop and the lookout tell each other. Scheduler.mu guards it.
type ahead struct {
	next  storeClock     // when something is due next, as the last claim has told
	ready *preparedClaim // waits for its instant; nil for none
	spare *claiming      // for the next one; nil for none
}

// preparedClaim is a claim that waits for its instant. It holds slots for what it will start, but is no call under way.
type preparedClaim struct {
	Prepared
	at   storeClock
	made *claiming
}

// foresee tells the lookout when something is due next.
func (s *Scheduler) foresee(next storeClock, wait time.Duration) {
	if s.preparer == nil || wait < 2*readyBefore {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != phaseRunning || s.ahead.next.store.Equal(next.store) {
		return
	}
	s.ahead.next = next
	s.rouseLocked(helperLookout)
}

// lookout is what that helper knows of the next due time.
type lookout struct {
	s     *Scheduler
	at    storeClock
	tasks int           // that come due at it; zero while nobody has counted
	done  bool          // there is nothing more to do for it
	cost  time.Duration // of preparing one task
}

// runLookout prepares claims until draining begins.
func (s *Scheduler) runLookout() {
	defer s.leave(helperLookout)
	defer s.cancelReady()
	l := lookout{s: s, cost: firstCost}
	for {
		s.work(helperLookout)
		until := l.step()
		var timer *clock.Timer
		var tick <-chan time.Time
		if !until.IsZero() {
			timer = s.clock.Timer(until.Sub(s.clock.Now()))
			tick = timer.C
		}
		s.sleep(helperLookout, until)
		select {
		case <-tick:
		case <-s.lookNow:
		case <-s.stopping:
		}
		if timer != nil {
			timer.Stop()
		}
		if s.isStopping() {
			return
		}
	}
}

// step does what there is to do for the next due time now, and returns when there is more to do; zero for when there is another.
func (l *lookout) step() time.Time {
	s := l.s
	s.mu.Lock()
	next, idle := s.ahead.next, s.ahead.ready == nil
	s.mu.Unlock()
	if !next.store.Equal(l.at.store) {
		l.at, l.tasks, l.done = next, 0, false
	}
	if l.done || !idle || next.store.IsZero() {
		return time.Time{}
	}
	if begin := next.local.Add(-s.lookahead); l.tasks == 0 && s.clock.Now().Before(begin) {
		return begin
	}
	if l.tasks == 0 {
		l.count()
	}
	if early := l.left() - time.Duration(l.tasks)*l.allowed(); l.tasks >= leastAhead && early > 0 {
		return s.clock.Now().Add(early)
	}
	l.done = true
	l.prepare()
	return time.Time{}
}

// left is how much time there is to prepare something, and allowed is what is allowed for each task.
func (l *lookout) left() time.Duration    { return l.at.local.Sub(l.s.clock.Now()) - readyBefore }
func (l *lookout) allowed() time.Duration { return l.cost * 5 / 4 }

// fitting is how many more tasks may be prepared in the time that is left, at most so many; zero for so few that it is not worth while.
func (l *lookout) fitting(most int) int {
	n := min(most, int(l.left()/l.allowed()))
	if n < leastAhead {
		return 0
	}
	return n
}

// count asks the store how much comes due. When it does not answer there is nothing to prepare: the loop will see how the store is.
func (l *lookout) count() {
	s := l.s
	req := UpcomingRequest{At: l.at.store, Limit: mostAhead, Kinds: s.handled(), Without: s.limitedKinds()}
	n, err := storeCall(s.engineContext(), s, "upcoming", func(ctx context.Context) (int, error) { return s.preparer.Upcoming(ctx, req) })
	if err == nil {
		l.tasks = n
	}
}

// prepare has the store make a claim and leaves it to the loop. What the first try leaves of the time is used for more.
func (l *lookout) prepare() {
	s := l.s
	made := s.beginAhead(l.tasks)
	if made == nil {
		return
	}
	n := l.fitting(made.op.limit)
	if n == 0 {
		s.endOp(&made.op, nil)
		return
	}
	req := PrepareRequest{
		At: l.at.store, Hold: max(l.at.local.Sub(s.clock.Now()), 0), Session: made.op.session, Limit: n,
		Kinds: s.handled(), Without: s.limitedKinds(), Decide: made.decideIt,
	}
	var claim Prepared
	err := l.timed(made, "prepare", func(ctx context.Context) (err error) {
		claim, err = s.preparer.Prepare(ctx, req)
		return err
	})
	if err != nil || claim == nil {
		s.endOp(&made.op, nil)
		return
	}
	c := &preparedClaim{claim, l.at, made}
	for {
		before := made.starts
		if n = l.fitting(made.op.limit - before); n == 0 {
			break
		}
		if l.timed(made, "extend", func(ctx context.Context) error { return claim.Extend(ctx, n) }) != nil {
			s.cancel(c)
			return
		}
		if made.starts == before {
			break
		}
	}
	s.keepReady(c)
}

// timed makes one call to the store and learns what it costs to prepare a task.
func (l *lookout) timed(made *claiming, method string, call func(context.Context) error) error {
	s, began, before := l.s, l.s.clock.Now(), made.starts
	_, err := storeCall(s.engineContext(), s, method, func(ctx context.Context) (struct{}, error) { return struct{}{}, call(ctx) })
	if n := made.starts - before; n > 0 && err == nil {
		l.cost = max((l.cost+s.clock.Since(began)/time.Duration(n))/2, time.Microsecond)
	}
	return err
}

// beginAhead admits the preparation of a claim of at most so many starts; nil when it is not worth while. An eighth of the free slots is left
// to others.
func (s *Scheduler) beginAhead(most int) *claiming {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := s.freeLocked()
	most = min(most, free-free/8)
	if most < leastAhead || s.phase != phaseRunning || !s.leaseHeldLocked(s.clock.Now()) {
		return nil
	}
	made, o := s.ahead.spare, s.openOpLocked(0)
	if s.ahead.spare = nil; made == nil {
		made = s.newClaiming()
	}
	o.limit = most
	made.begin(o)
	return made
}

// keepReady keeps a claim for its instant. From now on nobody waits for the end of its op, but it holds the slots that it needs.
func (s *Scheduler) keepReady(c *preparedClaim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead.ready = c
	s.returnedLocked(c.made.op.seq)
	s.reserve -= c.made.op.slots - c.made.starts
	c.made.op.slots = c.made.starts
	if s.loop.parked && c.at.local.Before(s.loop.until) {
		s.pokeLocked() // the instant has come meanwhile, and the loop has found it taken
	}
	s.notifyLocked()
}

// takeReady returns a prepared claim whose instant has come, as a call under way.
func (s *Scheduler) takeReady() *preparedClaim {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.ahead.ready
	if c == nil || s.phase != phaseRunning || s.clock.Now().Before(c.at.local) {
		return nil
	}
	s.ahead.ready = nil
	c.made.op.seq = s.callLocked()
	return c
}

// commit carries out a prepared claim and dispatches what it started.
func (s *Scheduler) commit(c *preparedClaim) (ClaimReply, error) {
	s.mu.Lock()
	lost := c.made.op.session != s.session.id || !s.leaseHeldLocked(s.clock.Now())
	s.mu.Unlock()
	if lost {
		s.cancel(c)
		return ClaimReply{}, nil
	}
	reply, err := storeCall(s.engineContext(), s, "commit", func(ctx context.Context) (ClaimReply, error) { return c.Commit(ctx, s.storeNow()) })
	if err != nil {
		s.endOp(&c.made.op, nil)
		return reply, err
	}
	s.claimed(c.made, &reply)
	s.mu.Lock()
	s.ahead.spare = c.made
	s.mu.Unlock()
	return reply, nil
}

// cancelReady cancels the claim that waits for its instant, if there is one.
func (s *Scheduler) cancelReady() {
	s.mu.Lock()
	c := s.ahead.ready
	s.ahead.ready = nil
	s.mu.Unlock()
	if c != nil {
		s.cancel(c)
	}
}

// cancel gives a prepared claim up.
func (s *Scheduler) cancel(c *preparedClaim) {
	_, _ = storeCall(s.engineContext(), s, "cancel", func(ctx context.Context) (struct{}, error) {
		c.Cancel(ctx)
		return struct{}{}, nil
	})
	s.endOp(&c.made.op, nil)
}

// limitedKinds are the kinds that have a limit of their own on this instance. What they may start is known when they are due.
func (s *Scheduler) limitedKinds() []string {
	kinds := make([]string, 0, len(s.limits))
	for kind := range s.limits {
		kinds = append(kinds, kind)
	}
	return kinds
}
