package punctual

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// sessionState is this instance's right to the attempts that it has started. Without a Leaser there is none and none is needed.
type sessionState struct {
	id    string    // "" before the first beat
	held  bool      // false before the first beat and after the lease was lost
	until time.Time // trusted until then on this instance's clock
	// strays are runs that the store has on record but this instance does not know.
	strays map[stray]sighting
	// settled are runs whose outcome was stored while the store was being asked what the session holds, so that its answer may not know of it
	// yet; nil while it is not asked.
	settled map[string]struct{}
	// dropped are attempts that were executed and whose outcome was given up. The store has them on record until the session ends, and
	// then they are lost: they must not be handed back as if they had never begun.
	dropped map[attemptKey]struct{}
}

// stray is one claim. When the run is handed back and claimed anew its number is the same, but not its start.
type stray struct {
	runID   string
	number  int
	started int64 // in microseconds
}

// sighting is when a stray was seen first, by the newest store call at the time, and when it was handed back first; zero when it was not. A hand-back
// that is repeated names the same end, so that the store knows the second for a repeat if the first comes through after all.
type sighting struct {
	seq    uint64
	handed time.Time
}

// leaseMargin is how long before the lease lapses in the store this instance stops trusting it: room for clocks that run at
// different speeds and for the cancelled attempts to come down.
func leaseMargin(lease time.Duration) time.Duration { return lease * 2 / 15 }

func (s *Scheduler) leaseHeldLocked(now time.Time) bool {
	if s.leaser == nil {
		return true
	}
	return s.session.held && now.Before(s.session.until)
}

// runBeat renews the lease every third of it until the last flight of a drain has landed, whatever is in flight and however long
// it takes. When the store cannot be reached in time, or says that the lease was lost, all attempts are cancelled and a new
// session begins.
func (s *Scheduler) runBeat() {
	defer s.leave(helperBeat)
	backoff := newBackoff()
	for {
		s.work(helperBeat)
		wait := s.lease / 3
		err := s.beat()
		switch {
		case s.beats.Err() != nil: // it was told not to wait for the answer
		case err != nil:
			s.storeFailed(err)
			wait = min(wait, backoff.next())
		default:
			backoff.reset()
			s.storeWorks()
		}
		wait = min(wait, s.leaseAllows(err != nil))
		until := s.clock.Now().Add(wait)
		timer := s.clock.Timer(wait)
		s.sleep(helperBeat, until)
		select {
		case <-timer.C:
		case <-s.beatNow:
			timer.Stop()
		case <-s.landed:
			timer.Stop()
			s.endSession()
			return
		}
		if err != nil {
			s.expireLease()
		}
	}
}

// leaseAllows is how long the beat may wait at most: after one that worked until a third of the lease has passed since it was sent, which a
// slow store may have used up already, and after one that failed until the lease is trusted no more.
func (s *Scheduler) leaseAllows(failed bool) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.session.held {
		return s.lease
	}
	left := s.session.until.Sub(s.clock.Now())
	if !failed {
		left -= s.lease - leaseMargin(s.lease) - s.lease/3
	}
	return max(left, 0)
}

// expireLease gives up a lease that is trusted no more.
func (s *Scheduler) expireLease() {
	s.mu.Lock()
	session, lapsed := s.session.id, s.session.held && !s.leaseHeldLocked(s.clock.Now())
	s.mu.Unlock()
	if lapsed {
		s.loseLease(session, "the store could not be reached in time")
	}
}

// beat renews the lease once.
func (s *Scheduler) beat() error {
	s.mu.Lock()
	if s.session.id == "" {
		s.session.id = randomID()
	}
	session, until, held, inFlight := s.session.id, s.session.until, s.session.held, s.flights.count
	draining := s.phase >= phaseDraining
	s.mu.Unlock()

	kinds := s.handled()
	if draining {
		kinds = []string{} // what becomes due now is for others
	}
	sent := s.clock.Now()
	limit := s.storeTimeout
	switch {
	case held && sent.Before(until):
		limit = min(limit, until.Sub(sent)) // the answer is of use only while the lease is trusted
	case held:
		// Who comes late, after a freeze or a jump of the clock, gets a short moment to learn whether the session still stands.
		limit = min(limit, s.lease/15)
	}
	req := BeatRequest{
		Now: s.storeNow(), Session: session, Instance: s.instance, Version: s.version, Lease: s.lease, InFlight: inFlight, Kinds: kinds,
		Clock: micros(sent),
	}
	reply, err := bounded(s.beats, s, limit, "beat", func(ctx context.Context) (BeatReply, error) { return s.leaser.Beat(ctx, req) })
	switch {
	case err == nil && !reply.Lost:
		s.renewed(session, sent, reply.Now)
		s.carryOut(reply.Cancel)
		return s.findStrays(session)
	case err == nil:
		s.loseLease(session, "the store gave the session up")
		return s.beat()
	case held && !s.clock.Now().Before(until):
		s.loseLease(session, "the store could not be reached in time")
		return s.beat() // at once under a new session: the store may be back, or only this call was slow
	}
	return err
}

// bounded makes one store call with a limit of its own. It returns when the limit is reached even if the store does not, since a
// store that hangs is just what a lease has to outlive.
func bounded[T any](ctx context.Context, s *Scheduler, limit time.Duration, method string, call func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	ctx, cancel := withTimeout(ctx, s.clock, limit, errStoreTimeout)
	defer cancel()
	answers := make(chan answer, 1)
	return timed(ctx, s, method, func() (T, error) {
		go func() {
			value, err := call(ctx)
			answers <- answer{value, err}
		}()
		select {
		case a := <-answers:
			return a.value, a.err
		case <-ctx.Done():
		}
		// An answer that came together with the limit counts.
		select {
		case a := <-answers:
			return a.value, a.err
		default:
			var zero T
			return zero, context.Cause(ctx)
		}
	})
}

// renewed records that the lease stands, counted from when the beat was sent.
func (s *Scheduler) renewed(session string, sent, told time.Time) {
	s.storeTold(sent, told)
	s.mu.Lock()
	opened := !s.session.held
	if s.session.id == session {
		s.session.held = true
		s.session.until = sent.Add(s.lease - leaseMargin(s.lease))
	}
	if opened || s.loop.blind {
		s.pokeLocked()
	}
	s.notifyLocked()
	s.mu.Unlock()
}

// loseLease cancels all attempts of a session and forgets it; the next beat opens another.
func (s *Scheduler) loseLease(session, why string) {
	s.mu.Lock()
	if s.session.id == session {
		s.session = sessionState{}
	}
	s.mu.Unlock()
	s.log(context.Background(), slog.LevelWarn, "lease lost, attempts are cancelled: "+why)
	s.cancelFlights(ErrLeaseLost, func(f *flight) bool { return f.run.Session == session })
}

// findStrays looks for runs that the store has on record for this session but that this instance does not know: claims whose commit
// went through though its answer was lost. They are handed back. A run counts as stray when it was unknown at two beats in a row
// and no call that could be about to start it was under way all the while.
func (s *Scheduler) findStrays(session string) error {
	s.mu.Lock()
	s.session.settled = make(map[string]struct{})
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.session.settled = nil
		s.mu.Unlock()
	}()
	held, err := bounded(s.beats, s, s.strayLimit(), "held", func(ctx context.Context) ([]Run, error) { return s.leaser.Held(ctx, session) })
	if err != nil {
		return err
	}
	s.mu.Lock()
	before := s.session.strays
	known := make(map[string]bool, s.flights.count)
	for f := range s.allFlightsLocked() {
		known[f.run.ID] = true
	}
	now := make(map[stray]sighting)
	var items []Finish
	at := s.told.at(s.clock.Now())
	for _, run := range held {
		_, settled := s.session.settled[run.ID]
		_, dropped := s.session.dropped[attemptKey{run.ID, run.Attempt}]
		if known[run.ID] || settled || dropped {
			continue
		}
		claim := stray{run.ID, run.Attempt, run.StartedAt.UnixMicro()}
		seen, twice := before[claim]
		if !twice {
			seen.seq = s.opSeq
		}
		ready := twice && !s.opUnderWayLocked(seen.seq)
		if ready && seen.handed.IsZero() {
			seen.handed = at
		}
		now[claim] = seen
		if !ready {
			continue
		}
		items = append(items, Finish{
			RunID: run.ID, TaskID: run.TaskID, Attempt: run.Attempt, State: StatePending, Released: true,
			StartedAt: run.StartedAt, FinishedAt: seen.handed,
		})
	}
	if s.session.id == session {
		s.session.strays = now
	}
	s.mu.Unlock()
	if len(items) == 0 {
		return nil
	}
	s.log(context.Background(), slog.LevelWarn, "runs that were claimed without an answer are handed back", slog.Int("count", len(items)))
	reply, err := bounded(s.beats, s, s.strayLimit(), "finish", func(ctx context.Context) (FinishReply, error) {
		return s.store.Finish(ctx, FinishRequest{Now: s.storeNow(), Session: session, Items: items})
	})
	if err != nil {
		return err
	}
	s.noteDue(reply.NextDue, reply.Now)
	return nil
}

// strayLimit is how long a call about strays may take: the rest of the time that the lease is trusted belongs to the next beat.
func (s *Scheduler) strayLimit() time.Duration {
	return min(s.storeTimeout, s.leaseAllows(true)/2)
}

// opUnderWayLocked reports whether a store call that began at or before the given sequence number has not ended yet.
func (s *Scheduler) opUnderWayLocked(seq uint64) bool {
	return len(s.ops) > 0 && s.ops[0] <= seq
}

// endSession tells the store that this instance has stopped, so that nobody waits for its lease to lapse.
func (s *Scheduler) endSession() {
	s.mu.Lock()
	session := s.session.id
	s.mu.Unlock()
	limit, err := s.lastLimit(), errStoreTimeout
	if limit > 0 {
		_, err = bounded(s.engineContext(), s, limit, "end session", func(ctx context.Context) (struct{}, error) {
			return struct{}{}, s.leaser.EndSession(ctx, session)
		})
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		s.log(context.Background(), slog.LevelWarn, "session not closed, its lease will lapse", errorAttr(err))
	}
}
