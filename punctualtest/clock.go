package punctualtest

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/benbjohnson/clock"
)

// virtualClock is a clock.Clock that moves when a Harness says so, from timer to timer. It differs from clock.Mock where that stands in
// the way of exact tests: no step sleeps in real time, whoever moves the clock learns when the functions of AfterFunc have
// returned, and the timers of one instant fire in a fixed order.
//
// The Timer and Ticker of the clock package are structs that only their package can fill, so a timer here is the shell of a real one
// that will not fire within a lifetime: its channel is replaced, and its Stop tells, once, whether it is still wanted.
type virtualClock struct {
	mock *clock.Mock // shows the same time; nil for none
	lot  *lot

	mu     sync.Mutex // guards all below
	now    time.Time  // unless there is a mock
	alarms alarms
	seq    uint64
}

var _ clock.Clock = (*virtualClock)(nil)

// never is longer than any test takes in real time.
const never = 100 * 365 * 24 * time.Hour

func newVirtualClock(mock *clock.Mock, l *lot) *virtualClock {
	return &virtualClock{mock: mock, lot: l, now: time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)}
}

// alarm is something that happens at an instant.
type alarm struct {
	at     time.Time
	sleeps bool // an attempt that sleeps: it goes before the timers of the same instant
	seq    uint64
	wanted func() bool // takes the alarm; false when it was stopped. Nil means that it cannot be
	ring   func(now time.Time)
}

func (a *alarm) before(b *alarm) bool {
	switch {
	case !a.at.Equal(b.at):
		return a.at.Before(b.at)
	case a.sleeps != b.sleeps:
		return a.sleeps
	}
	return a.seq < b.seq
}

type alarms []*alarm

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].before(a[j]) }
func (a alarms) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *alarms) Push(x any)        { *a = append(*a, x.(*alarm)) }

func (a *alarms) Pop() any {
	old := *a
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*a = old[:len(old)-1]
	return last
}

func (c *virtualClock) set(d time.Duration, a *alarm) {
	now := c.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	a.seq, a.at = c.seq, now.Add(max(d, 0))
	heap.Push(&c.alarms, a)
}

// step goes to the next alarm and rings it, or to the given time when there is none before. Attempts that sleep until the same instant
// wake together. It reports whether there was one.
func (c *virtualClock) step(limit time.Time) bool {
	for {
		next := c.take(limit, nil)
		if next == nil {
			c.moveTo(limit)
			return false
		}
		if next.wanted != nil && !next.wanted() {
			continue
		}
		c.moveTo(next.at)
		next.ring(next.at)
		for next.sleeps {
			other := c.take(next.at, next)
			if other == nil {
				break
			}
			other.ring(next.at)
		}
		return true
	}
}

// take removes the next alarm that is not after the limit, if it sleeps like the one given.
func (c *virtualClock) take(limit time.Time, like *alarm) *alarm {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.alarms) == 0 || c.alarms[0].at.After(limit) || like != nil && !c.alarms[0].sleeps {
		return nil
	}
	return heap.Pop(&c.alarms).(*alarm)
}

// moveTo sets the time. An alarm that was overtaken, because the mock was moved by somebody else, rings late.
func (c *virtualClock) moveTo(at time.Time) {
	if c.mock != nil {
		if c.mock.Now().Before(at) {
			c.mock.Set(at)
		}
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now.Before(at) {
		c.now = at
	}
}

func (c *virtualClock) Now() time.Time {
	if c.mock != nil {
		return c.mock.Now()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *virtualClock) Since(t time.Time) time.Duration        { return c.Now().Sub(t) }
func (c *virtualClock) Until(t time.Time) time.Duration        { return t.Sub(c.Now()) }
func (c *virtualClock) After(d time.Duration) <-chan time.Time { return c.Timer(d).C }
func (c *virtualClock) Sleep(d time.Duration)                  { <-c.After(d) }
func (c *virtualClock) Tick(d time.Duration) <-chan time.Time  { return c.Ticker(d).C }

func (c *virtualClock) Timer(d time.Duration) *clock.Timer {
	ticks := make(chan time.Time, 1)
	shell := realTime.AfterFunc(never, func() {})
	shell.C = ticks
	if d <= 0 {
		shell.Stop()
		ticks <- c.Now()
		return shell
	}
	c.set(d, &alarm{wanted: shell.Stop, ring: func(now time.Time) { ticks <- now }})
	return shell
}

func (c *virtualClock) AfterFunc(d time.Duration, f func()) *clock.Timer {
	shell := realTime.AfterFunc(never, func() {})
	if d <= 0 {
		shell.Stop()
		c.lot.call(f)
		return shell
	}
	c.set(d, &alarm{wanted: shell.Stop, ring: func(time.Time) { c.lot.call(f) }})
	return shell
}

// Ticker goes on ticking to nobody when it is stopped, since nothing tells.
func (c *virtualClock) Ticker(d time.Duration) *clock.Ticker {
	if d <= 0 {
		panic("punctualtest: the interval of a Ticker must be positive")
	}
	shell := realTime.Ticker(never)
	ticks := make(chan time.Time, 1)
	shell.C = ticks
	var tick func(now time.Time)
	tick = func(now time.Time) {
		select {
		case ticks <- now:
		default:
		}
		c.set(d, &alarm{ring: tick})
	}
	c.set(d, &alarm{ring: tick})
	return shell
}

func (c *virtualClock) WithTimeout(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return c.WithDeadline(parent, c.Now().Add(d))
}

func (c *virtualClock) WithDeadline(parent context.Context, at time.Time) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	timer := c.AfterFunc(at.Sub(c.Now()), func() { cancel(context.DeadlineExceeded) })
	return deadlineContext{ctx, at}, func() {
		timer.Stop()
		cancel(context.Canceled)
	}
}

// deadlineContext is a context whose deadline is on a virtual clock.
type deadlineContext struct {
	context.Context
	at time.Time
}

func (c deadlineContext) Deadline() (time.Time, bool) { return c.at, true }

func (c deadlineContext) Err() error {
	err := c.Context.Err()
	if err != nil && context.Cause(c.Context) == context.DeadlineExceeded {
		return context.DeadlineExceeded
	}
	return err
}
