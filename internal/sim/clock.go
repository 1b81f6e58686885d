package sim

import (
	"context"
	"sync"
	"time"
	"unsafe"

	"github.com/benbjohnson/clock"
)

// power is whether a process gets to run: it may be frozen, as by SIGSTOP or the sleep of a laptop, and it may be dead.
type power struct {
	mu     sync.Mutex    // guards all below
	frozen chan struct{} // closed at the end of the freeze; nil when it runs
	dead   chan struct{} // closed when it was killed
	buried chan struct{} // closed when the world ends, so that what is left of a killed process can go
	offset time.Duration // of its wall clock
}

func newPower() *power {
	return &power{dead: make(chan struct{}), buried: make(chan struct{})}
}

func (p *power) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen == nil {
		p.frozen = make(chan struct{})
	}
}

func (p *power) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
}

func (p *power) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !closed(p.dead) {
		close(p.dead)
	}
}

func (p *power) bury() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !closed(p.buried) {
		close(p.buried)
	}
}

// on blocks while the process is frozen. A dead process gets no further until it is buried; then the answer is false: whatever
// asks has to stop without a trace.
func (p *power) on() bool {
	alive := p.wait()
	if !alive {
		<-p.buried
	}
	return alive
}

// wait blocks while the process is frozen. The answer is false when it is dead.
func (p *power) wait() bool {
	for {
		p.mu.Lock()
		frozen := p.frozen
		p.mu.Unlock()
		if closed(p.dead) {
			return false
		}
		if frozen == nil {
			return true
		}
		select {
		case <-frozen:
		case <-p.dead:
		}
	}
}

func (p *power) jump(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.offset += d
}

func (p *power) ahead() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.offset
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// bubble is the time of the synctest bubble that a world lives in.
var bubble = clock.New()

// processClock is the clock of one process: the bubble's time, with a wall clock that may be wrong and may jump while its timers, like
// those of an operating system, go by elapsed time. Timers of a frozen process fire when it is thawed.
type processClock struct {
	clock.Clock // bubble
	power       *power
}

func (c *processClock) Now() time.Time                  { return stepped(c.Clock.Now(), c.power.ahead()) }
func (c *processClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }
func (c *processClock) Until(t time.Time) time.Duration { return t.Sub(c.Now()) }

func (c *processClock) Timer(d time.Duration) *clock.Timer {
	ticks := make(chan time.Time, 1)
	t := c.AfterFunc(d, func() { ticks <- c.Now() })
	t.C = ticks
	return t
}

func (c *processClock) AfterFunc(d time.Duration, f func()) *clock.Timer {
	return c.Clock.AfterFunc(d, func() {
		if c.power.on() {
			f()
		}
	})
}

// stepped returns the instant t of the bubble as a process reads it whose wall clock was stepped by d: the wall time is another, and the
// monotonic reading is what tells how much time has passed. The times of a bubble have no monotonic reading, and no function of package time
// makes such a value, though each step of a system's clock does; TestWallClocksStepAndTimePassesEvenly checks the result.
func stepped(t time.Time, d time.Duration) time.Time {
	const (
		hasMonotonic = 1 << 63
		secondsShift = 30
	)
	t = t.Round(0)
	moved := t.Add(d)
	layout := (*struct {
		wall uint64
		ext  int64
		loc  *time.Location
	})(unsafe.Pointer(&moved))
	layout.wall = hasMonotonic | uint64(moved.Unix()-wallEpoch)<<secondsShift | uint64(moved.Nanosecond())
	layout.ext = int64(t.Sub(bubbleEpoch)) + 1
	return moved
}

// bubbleEpoch is when the time of each bubble begins.
var bubbleEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// wallEpoch is the second that the wall time of instants with a monotonic reading counts from.
var wallEpoch = time.Date(1885, 1, 1, 0, 0, 0, 0, time.UTC).Unix()

// sleep lets time pass in the bubble; false means that ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := bubble.Timer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
