package punctualtest

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

// DefaultPatience is how long, in real time, a Harness waits for attempts that neither end nor wait for its clock.
const DefaultPatience = 10 * time.Second

// Config says how a Harness is made. The zero value is what New uses.
type Config struct {
	// Store is the Scheduler's store. Nil means a memory store of its own that forgets nothing.
	Store punctual.Store
	// Start is the time at which the Harness begins. Zero means the time of Mock or of the bubble, else the start of the year 2000
	// in UTC. In a bubble, and with a Mock, time goes forward to it.
	Start time.Time
	// Mock is the mock clock that the host injects into its own code: it shows the same time as the Harness at every instant at
	// which something happens. The Harness moves it; move it nowhere else. A mock sleeps a millisecond of real time at each step,
	// except in a bubble. Nil for none.
	Mock *clock.Mock
	// Unstarted leaves it to the test to call Start.
	Unstarted bool
	// Patience is how long, in real time, the Harness waits for attempts that neither end nor wait for its clock before it fails
	// the test. Zero means DefaultPatience.
	Patience time.Duration
	// MayOutlive names functions, such as "net/http.(*persistConn).readLoop", whose goroutines are no leak when the test ends.
	MayOutlive []string
}

// Harness is a Scheduler whose time the test moves. Make it with New or Config.New. All of the Scheduler's methods are there. Methods of
// the Harness itself are for the goroutine of the test.
type Harness struct {
	*punctual.Scheduler
	t       testing.TB
	config  Config
	start   time.Time
	clock   clock.Clock
	bubble  bool          // in a synctest bubble, whose runtime knows when all is settled
	virtual *virtualClock // nil in a bubble
	lot     *lot          // nil in a bubble
	flights flights
	log     *testLog
}

// New makes a started Harness over a fresh memory store and stops it when the test ends; see Config for more. Options go to
// punctual.New. The Harness itself sets: the clock; a logger that shows when the test fails or is verbose; no retention, so that the
// ledger is whole; a lease and a longest sleep of a day, so that no time is spent on beats and looks. Each can be overridden but
// the clock.
func New(t testing.TB, executor punctual.Executor, opts ...punctual.Option) *Harness {
	t.Helper()
	return Config{}.New(t, executor, opts...)
}

// New makes a Harness; see the function New.
func (c Config) New(t testing.TB, executor punctual.Executor, opts ...punctual.Option) *Harness {
	t.Helper()
	if executor == nil {
		t.Fatal("punctualtest: New: the executor is nil")
	}
	if c.Patience <= 0 {
		c.Patience = DefaultPatience
	}
	if c.Store == nil {
		c.Store = memory.New(memory.WithHistory(math.MaxInt))
	}
	watchGoroutines(t, c)
	h := &Harness{t: t, config: c, bubble: inBubble(), log: &testLog{to: t.Output()}}
	h.setClock()
	all := []punctual.Option{
		punctual.WithLogger(slog.New(slog.NewTextHandler(h.log, nil))),
		punctual.WithRetention(0, 0), punctual.WithInstance("punctualtest"),
		punctual.WithLease(24 * time.Hour), punctual.WithMaxSleep(24 * time.Hour),
	}
	all = append(append(all, opts...), punctual.WithClock(h.clock))
	s, err := punctual.New(c.Store, h.wrap(executor), all...)
	if err != nil {
		t.Fatal(err)
	}
	h.Scheduler = s
	t.Cleanup(h.stop)
	if !c.Start.IsZero() && h.Now().Before(c.Start) {
		h.AdvanceTo(c.Start)
	}
	h.start = h.Now()
	if !c.Unstarted {
		// The context of the test ends before its cleanup does, and the end of the Start context is an abrupt one.
		if err := s.Start(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		h.Settle()
	}
	return h
}

func (h *Harness) setClock() {
	switch {
	case h.bubble && h.config.Mock != nil:
		h.clock = h.config.Mock
	case h.bubble:
		h.clock = clock.New()
	default:
		h.lot = newLot()
		h.virtual = newVirtualClock(h.config.Mock, h.lot)
		if h.config.Mock == nil && !h.config.Start.IsZero() {
			h.virtual.now = h.config.Start
		}
		h.clock = h.virtual
	}
}

// inBubble reports whether the calling goroutine is in a synctest bubble: elsewhere Wait panics.
func inBubble() (in bool) {
	defer func() { in = recover() == nil }()
	synctest.Wait()
	return true
}

// Clock returns the clock of the Harness, for code of the host that wants one. In a bubble it is the real clock, which is a fake one
// there, or the Mock. Elsewhere its timers fire while time is advanced and cannot be Reset.
func (h *Harness) Clock() clock.Clock { return h.clock }

// Now returns the present time.
func (h *Harness) Now() time.Time { return h.clock.Now() }

// Elapsed returns the time since the Harness began.
func (h *Harness) Elapsed() time.Duration { return h.Now().Sub(h.start) }

// Advance moves time forward. What is due on the way happens at its exact instant, and when Advance returns all has settled.
func (h *Harness) Advance(d time.Duration) {
	h.t.Helper()
	if d < 0 {
		h.t.Fatalf("punctualtest: Advance(%v): time does not go back", d)
	}
	h.AdvanceTo(h.Now().Add(d))
}

// AdvanceTo moves time forward to an instant; see Advance.
func (h *Harness) AdvanceTo(at time.Time) {
	h.t.Helper()
	now := h.Now()
	switch {
	case at.Before(now):
		h.t.Fatalf("punctualtest: AdvanceTo(%v): time does not go back, it is %v", at, now)
	case h.bubble && h.config.Mock != nil:
		synctest.Wait()
		h.config.Mock.Set(at)
		synctest.Wait()
	case h.bubble:
		h.clock.Sleep(at.Sub(now))
		synctest.Wait()
	default:
		h.Settle()
		for h.virtual.step(at) {
			h.Settle()
		}
	}
}

// Settle returns when nothing more happens at the present time: whatever could start has started, and each attempt has either ended,
// with its result in the ledger, or waits for the clock. Advance does it by itself; it is for what the test does between two of
// them, such as RunNow or opening a Gate.
func (h *Harness) Settle() {
	h.t.Helper()
	if h.bubble {
		synctest.Wait()
		return
	}
	patience := realTime.AfterFunc(h.config.Patience, func() { h.lot.giveUp() })
	defer patience.Stop()
	for {
		if h.settled() {
			return
		}
		if h.lot.gaveUp() {
			h.t.Fatalf("punctualtest: not settled after %v of real time at %s\n%s", h.config.Patience, h.stamp(h.Now()), h.unsettled())
		}
	}
}

// settled waits until all is settled as far as is known; it must be asked again when the answer is false.
func (h *Harness) settled() bool {
	era, waiting := h.lot.look()
	if err := h.WaitSettled(era, waiting); err != nil {
		return false
	}
	if now, still := h.lot.look(); now != era || still != waiting {
		return false
	}
	if h.lot.calling() {
		<-era.Done()
		return false
	}
	return true
}

// stop ends the Scheduler with the test. Attempts that are still in flight are cancelled; those that do not care are named.
func (h *Harness) stop() {
	h.t.Helper()
	defer h.log.close()
	_ = h.Close() // who is still in host code is waited for below
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	patience := realTime.AfterFunc(h.config.Patience, func() {
		cancel(errors.New("gave up waiting for what does not heed the end of its context"))
	})
	defer patience.Stop()
	if err := h.Shutdown(ctx); err != nil {
		h.t.Errorf("punctualtest: the test ends and leaves attempts behind: %v", err)
	}
}

// realTime bounds how long a Harness waits for others. In a bubble it is the bubble's.
var realTime = clock.New()
