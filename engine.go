package punctual

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/benbjohnson/clock"
)

const (
	// claimBatch bounds how many runs one claim starts, so that one transaction stays short.
	claimBatch = 500
	// firstBatch bounds the first claims of a burst: nothing of it starts before its transaction is committed, and what is due first should not wait
	// for all the rest. A long burst goes on with larger claims, which cost less for each run.
	firstBatch = 256
	// manyStarts is how many runs a claim has to start to be part of a burst, after which the next claim follows at once.
	manyStarts = 128
	// spacing is what lies between claims when manyTight of them in a row have found the next due time nearer than that: a claim costs some
	// microseconds whatever it finds, and timers can be a millisecond late. Due times that are few and close are still met one by one.
	spacing   = 250 * time.Microsecond
	manyTight = 32
	// lockedWait is the pause after a claim that found something due but could take nothing, since others hold it.
	lockedWait = 10 * time.Millisecond

	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// phase is where a Scheduler's life stands. It only moves forward.
type phase uint8

const (
	phaseNew phase = iota
	phaseRunning
	phaseDraining // nothing new starts; what is in flight may finish
	phaseClosed   // everything has ended
)

// Scheduler is one instance of the engine over a Store; many may share one durable Store. Make it with New. All methods are safe for
// concurrent use, and all may be called from inside a run.
//
// One goroutine, the loop, claims what is due and hands each run to the crew (crew.go), then sleeps until the next due time.
// Three helpers stand beside it: the beat renews the lease (lease.go), the finisher stores results (finish.go), housekeeping
// takes over from dead instances and trims the ledger (housekeeping.go). Over a store that can, a fourth makes claims ahead (ahead.go)
// and a fifth makes some beside the loop's (partner.go).
type Scheduler struct {
	config
	store    Store
	leaser   Leaser   // nil when the store is not made for sharing
	watcher  Watcher  // nil when the store gives no hints
	preparer Preparer // nil when claims are not made ahead
	executor Executor
	kinds    KindLister // nil when the executor takes all kinds
	overlaps bool       // claims are made two at a time in a backlog
	ids      *idSource
	finisher finisher
	rules    rules             // without session
	claiming *claiming         // the loop's alone, as is what follows
	timer    *clock.Timer      // that it does not wait for; nil for none
	tight    int               // claims in a row after which the next due time was nearer than spacing
	judged   time.Time         // when it looked at Health
	degraded map[string]string // the reasons that it has told of, by what they begin with

	wake      chan struct{} // capacity 1: the loop should look again
	beatNow   chan struct{} // capacity 1: the beat should not wait for its time
	keepNow   chan struct{} // capacity 1: nor should housekeeping
	lookNow   chan struct{} // capacity 1: nor should the lookout
	joinNow   chan struct{} // capacity 1: the partner should claim as well
	stopping  chan struct{} // closed when draining begins
	landed    chan struct{} // closed when draining and nothing is in flight any more
	abandoned chan struct{} // closed when nobody waits for results any more
	done      chan struct{} // closed when every goroutine of the engine has ended

	mu       sync.Mutex // guards all below; never held across host code, I/O or a channel send that can block
	phase    phase
	base     context.Context         // values of the Start context
	calls    context.Context         // ends when waiting for the store is no use any more
	endCall  context.CancelCauseFunc // of calls
	detach   func() bool             // forgets the Start context
	watch    context.Context         // ends when draining begins
	endWatch context.CancelFunc      // of watch
	beats    context.Context         // ends when nothing is in flight any more, for which a lease would be needed
	endBeats context.CancelFunc      // of beats
	giveUp   time.Time               // when the last tries end, on this instance's clock; zero until there is a last try
	flights  flights                 // attempts that this instance has started and not yet stored
	crew     crew                    // those of them that wait for a goroutine, and who is on the way to them
	busy     int                     // attempts that are in host code or about to be
	ops      []uint64                // the numbers of store calls under way that may start runs, oldest first
	opSeq    uint64
	reserve  int                   // slots held for those calls
	asked    int                   // slots that claims among them may come to need besides
	limits   map[string]*kindLimit // by kind; the map itself never changes
	told     storeClock
	loop     loopState     // what the loop waits for
	rests    [helpers]rest // what the helpers wait for
	ahead    ahead
	session  sessionState
	faults   map[string]string // tasks that this instance set aside, with the reason
	failing  storeFailure
	overdue  []Overdue     // of kinds that no live instance was found to handle
	changed  chan struct{} // closed and replaced at each change while somebody waits
	waiters  int
}

// loopState is what the loop waits for, on this instance's clock.
type loopState struct {
	parked  bool
	poked   bool      // asked to look again, and has not begun to
	starved bool      // parked for want of a free slot
	next    time.Time // next known due time; zero when none
	until   time.Time // when the loop looks again by itself
	hint    time.Time // earliest due time that was reported since the last claim began; zero when none
	blind   bool      // the last claim failed, so next is not known
}

// storeFailure is since when and how the store fails; zero when it works.
type storeFailure struct {
	since time.Time
	err   error
}

func newScheduler(store Store, executor Executor, c config) *Scheduler {
	s := &Scheduler{
		config: c, store: store, executor: executor, ids: newIDSource(),
		wake: make(chan struct{}, 1), beatNow: make(chan struct{}, 1), keepNow: make(chan struct{}, 1), lookNow: make(chan struct{}, 1), joinNow: make(chan struct{}, 1),
		stopping: make(chan struct{}), landed: make(chan struct{}), abandoned: make(chan struct{}), done: make(chan struct{}),
		faults:  make(map[string]string),
		changed: make(chan struct{}), limits: make(map[string]*kindLimit, len(c.kindLimits)),
	}
	for kind, limit := range c.kindLimits {
		s.limits[kind] = &limit
	}
	s.calls, s.endCall = context.WithCancelCause(context.Background())
	s.leaser, _ = store.(Leaser)
	s.watcher, _ = store.(Watcher)
	if s.lookahead > 0 {
		s.preparer, _ = store.(Preparer)
	}
	s.overlaps = s.claimsOverlap()
	s.kinds, _ = executor.(KindLister)
	s.claiming = s.newClaiming()
	s.finisher.wake = make(chan struct{}, 1)
	s.rules = rules{instance: s.instance, register: s.config.register, spread: s.spread, handles: s.handles, newID: s.ids.next}
	return s
}

// storeNow is the Now of store requests: zero, so that the store's clock decides, unless a clock was injected.
func (s *Scheduler) storeNow() time.Time {
	if !s.injected {
		return time.Time{}
	}
	return micros(s.clock.Now())
}

// now is the clock's time cut to the microseconds of stores, so that a due time computed from it is never late by the fraction. The
// monotonic reading is kept.
func (s *Scheduler) now() time.Time {
	now := s.clock.Now()
	return now.Add(-time.Duration(now.Nanosecond() % 1000))
}

// rulesFor returns what decisions have to know in a call under the given session.
func (s *Scheduler) rulesFor(session string) rules {
	r := s.rules
	r.session = session
	return r
}

// run is the loop.
func (s *Scheduler) run() {
	backoff := newBackoff()
	s.judged = s.clock.Now() // the first beat is on its way, so there may be no lease yet
	for {
		until := s.claimDue(&backoff)
		s.judge()
		if !s.park(until) {
			return
		}
	}
}

// claimDue claims and dispatches until nothing more is due or can be started, and returns when to look again.
func (s *Scheduler) claimDue(backoff *backoff) time.Time {
	defer s.finisher.inBurst(false)
	for burst := 0; ; {
		sent := s.now()
		if c := s.takeReady(); c != nil {
			reply, err := s.commit(c)
			if err != nil {
				s.storeFailed(err)
				return sent.Add(backoff.next())
			}
			burst += len(reply.Started)
			s.giveWay()
			continue
		}
		op, ok := s.beginClaim(min(max(burst, firstBatch), claimBatch))
		if !ok {
			return sent.Add(s.maxSleep)
		}
		reply, err := s.claim(s.claiming, op)
		if err != nil {
			s.claiming = s.newClaiming()
			s.storeFailed(err)
			return sent.Add(backoff.next())
		}
		backoff.reset()
		s.storeWorks()
		burst += len(reply.Started)
		if s.overlaps && op.leftMore(&reply) {
			s.callPartner()
		}
		if len(reply.Started) >= manyStarts {
			s.giveWay()
		}
		if reply.NextDue.IsZero() {
			return s.known(time.Time{}, sent.Add(s.maxSleep))
		}
		if wait := reply.NextDue.Sub(reply.Now); wait > 0 {
			s.foresee(storeClock{reply.NextDue, sent.Add(wait)}, wait)
			wait = s.spaced(wait)
			return s.known(sent.Add(wait), sent.Add(min(wait, s.maxSleep)))
		}
		if len(reply.Started) == 0 && reply.Decided == 0 && len(reply.SetAside) == 0 && !s.claiming.short {
			return s.known(sent, sent.Add(lockedWait))
		}
	}
}

// spaced returns how long the loop waits when the next due time is so far away.
func (s *Scheduler) spaced(wait time.Duration) time.Duration {
	if wait >= spacing {
		s.tight = 0
		return wait
	}
	if s.tight++; s.tight <= manyTight {
		return wait
	}
	return spacing
}

func (s *Scheduler) setAside(fault Fault) {
	s.mu.Lock()
	s.faults[fault.TaskID] = errorText(fault.Err)
	s.mu.Unlock()
	s.log(s.engineContext(), slog.LevelError, "task set aside until it is rescheduled", taskAttr(fault.TaskID), errorAttr(fault.Err))
	s.emit(EventSetAside, fault.TaskID, nil, fault.Err)
}

// known records the next due time that a claim has told, and returns when to look again: at the given time, or when the rate of a kind
// allows what it held back.
func (s *Scheduler) known(next, until time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loop.next, s.loop.blind = next, false
	if token := s.nextTokenLocked(); !token.IsZero() && token.Before(until) {
		return token
	}
	return until
}

// park sleeps until the given time or until somebody wakes the loop; false means that the loop should end. It counts as parked when its
// timer has been made, so that whoever moves the clock from timer to timer finds it.
func (s *Scheduler) park(until time.Time) bool {
	s.mu.Lock()
	until = s.foldHintLocked(until)
	s.mu.Unlock()
	wait := until.Sub(s.clock.Now())
	if wait <= 0 {
		return !s.isStopping()
	}
	timer := s.newTimer(wait)
	defer s.stop(timer)
	s.mu.Lock()
	if s.foldHintLocked(until) != until || !s.clock.Now().Before(until) {
		s.mu.Unlock()
		return true // something came, or the clock moved past, while the timer was being made
	}
	s.loop.parked, s.loop.until = true, until
	s.notifyLocked()
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.loop.parked = false
		s.mu.Unlock()
	}()
	select {
	case <-timer.C:
	case <-s.wake:
	case <-s.stopping:
		return false
	}
	return true
}

// newTimer returns a timer for the loop: the one that it had before, which a busy loop would else make for each occurrence, or a fresh one. On
// an injected clock it is always a fresh one, since timers of a mock are not made to be set again.
func (s *Scheduler) newTimer(wait time.Duration) *clock.Timer {
	if s.timer == nil {
		return s.clock.Timer(wait)
	}
	timer := s.timer
	s.timer = nil
	timer.Reset(wait)
	return timer
}

// stop stops a timer of the loop and keeps it for another wait.
func (s *Scheduler) stop(timer *clock.Timer) {
	timer.Stop()
	if !s.injected {
		s.timer = timer // stopped, so that no tick of it can come any more, not even one that was not read
	}
}

// foldHintLocked returns the given time, or a sooner one: that of a prepared claim, or that of a due time that was reported meanwhile if there is
// a slot for it.
func (s *Scheduler) foldHintLocked(until time.Time) time.Time {
	if c := s.ahead.ready; c != nil && c.at.local.Before(until) {
		until = c.at.local
	}
	hint := s.loop.hint
	if hint.IsZero() {
		return until
	}
	if s.loop.next.IsZero() || hint.Before(s.loop.next) {
		s.loop.next = hint
	}
	if hint.Before(until) && !s.loop.starved {
		return hint
	}
	return until
}

// poke makes the loop look again.
func (s *Scheduler) poke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pokeLocked()
}

func (s *Scheduler) pokeLocked() {
	s.loop.poked = true
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// noteDue tells the loop that something is due at the given time, where now is the time of the store at that moment. It wakes the
// loop only if that is sooner than it would look by itself, which it does after maxSleep at most.
func (s *Scheduler) noteDue(due, now time.Time) {
	wait := due.Sub(now)
	if due.IsZero() || wait > s.maxSleep {
		return
	}
	local := s.now().Add(wait)
	s.mu.Lock()
	if s.loop.hint.IsZero() || local.Before(s.loop.hint) {
		s.loop.hint = local
	}
	if s.loop.parked && !s.loop.starved && local.Before(s.loop.until) {
		s.pokeLocked()
	}
	s.mu.Unlock()
}

// notifyLocked tells whoever waits that something changed, and notices the end of a drain.
func (s *Scheduler) notifyLocked() {
	if s.phase == phaseDraining && s.flights.count == 0 && len(s.ops) == 0 {
		s.phase = phaseClosed
		close(s.landed)
		s.endBeats()
	}
	if s.waiters > 0 {
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// engineContext is the context of the engine's own store calls: it has the values of the Start context.
func (s *Scheduler) engineContext() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// backoff yields growing waits between tries of something that fails.
type backoff struct{ wait time.Duration }

func newBackoff() backoff { return backoff{minBackoff} }

func (b *backoff) next() time.Duration {
	wait := b.wait
	b.wait = min(2*b.wait, maxBackoff)
	return wait
}

func (b *backoff) reset() { b.wait = minBackoff }
