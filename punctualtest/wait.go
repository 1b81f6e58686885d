package punctualtest

import (
	"context"
	"sync"
	"time"
)

// lot is where attempts are parked that wait for the clock or for the test, outside of a bubble. From it the Harness knows which of
// the attempts in flight will not go on by themselves.
type lot struct {
	mu     sync.Mutex // guards all below
	parked map[*parked]struct{}
	calls  int             // functions of AfterFunc that have not returned
	over   bool            // patience has ended
	era    context.Context // ends at each change
	change context.CancelFunc
}

// parked is one attempt that waits.
type parked struct {
	ctx context.Context // whose end makes it go on
	on  chan struct{}   // closed when it may go on
}

func newLot() *lot {
	l := &lot{parked: make(map[*parked]struct{})}
	l.era, l.change = context.WithCancel(context.Background())
	return l
}

func (l *lot) changedLocked() {
	l.change()
	l.era, l.change = context.WithCancel(context.Background())
}

// look returns a context that ends at the next change, and how many attempts wait and will not go on by themselves.
func (l *lot) look() (context.Context, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for p := range l.parked {
		if p.ctx.Err() == nil {
			n++
		}
	}
	return l.era, n
}

func (l *lot) park(p *parked) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.parked[p] = struct{}{}
	l.changedLocked()
}

// unpark lets an attempt go on. It counts as going on from this moment, not from when its goroutine wakes up. It may be called twice.
func (l *lot) unpark(p *parked) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.parked[p]; ok {
		delete(l.parked, p)
		close(p.on)
		l.changedLocked()
	}
}

// call runs a function of AfterFunc in a goroutine of its own, as timers do.
func (l *lot) call(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	go func() {
		defer func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.calls--
			l.changedLocked()
		}()
		f()
	}()
}

func (l *lot) calling() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls > 0
}

// giveUp ends the patience of whoever waits.
func (l *lot) giveUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	l.changedLocked()
}

func (l *lot) gaveUp() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// Sleep is how an executor takes time: it blocks the attempt until d has passed on the clock of its Harness, and returns nil, or until
// ctx ends, and returns the cause. Ctx is the one that the executor was given or derived from it; Sleep panics with any other. A
// run that ends at the very instant at which the next is due has ended before it, outside of a bubble; in a bubble that is a toss.
func Sleep(ctx context.Context, d time.Duration) error {
	h, ok := ctx.Value(harnessKey{}).(*Harness)
	if !ok {
		panic("punctualtest: Sleep: the context is not that of an attempt of a Harness")
	}
	if ctx.Err() != nil || d <= 0 {
		return context.Cause(ctx)
	}
	if h.bubble {
		timer := h.clock.Timer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	p := &parked{ctx, make(chan struct{})}
	h.virtual.set(d, &alarm{sleeps: true, wanted: func() bool { return h.lot.holds(p) }, ring: func(time.Time) { h.lot.unpark(p) }})
	h.lot.park(p)
	return p.wait(h.lot)
}

// holds reports whether an attempt is still parked.
func (l *lot) holds(p *parked) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.parked[p]
	return ok
}

// wait blocks until the attempt may go on, and says why.
func (p *parked) wait(l *lot) error {
	select {
	case <-p.on:
		return nil
	case <-p.ctx.Done():
		l.unpark(p)
		return context.Cause(p.ctx)
	}
}

// Gate holds attempts until the test opens it. Make it with NewGate; it works for one Harness and in both styles.
type Gate struct {
	mu      sync.Mutex // guards all below
	open    bool
	waiting map[*parked]*lot
}

// NewGate makes a closed Gate.
func NewGate() *Gate { return &Gate{waiting: make(map[*parked]*lot)} }

// Wait blocks an attempt until the Gate is open, and returns nil, or until ctx ends, and returns the cause. An open Gate lets everybody
// pass.
func (g *Gate) Wait(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	l := newLot() // of no Harness: then nobody looks at it
	if h, ok := ctx.Value(harnessKey{}).(*Harness); ok && h.lot != nil {
		l = h.lot
	}
	p := &parked{ctx, make(chan struct{})}
	g.mu.Lock()
	if g.open {
		g.mu.Unlock()
		return nil
	}
	g.waiting[p] = l
	l.park(p)
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		delete(g.waiting, p)
		g.mu.Unlock()
	}()
	return p.wait(l)
}

// Open lets all attempts go on that wait, and those to come. Call Settle to wait for what they do then. Opening it again does nothing.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = true
	for p, l := range g.waiting {
		l.unpark(p)
	}
}
