package punctual

import (
	"context"
	"sync"
	"time"
)

// runContext is the context of one attempt's host code. What makes a context wait for its end is made when somebody asks for it, since
// most host code has returned before; and it stays valid for whoever keeps it, while the flight is used again.
type runContext struct {
	scheduler *Scheduler

	mu     sync.Mutex  // guards all below
	flight *flight     // nil once the outcome of the attempt is stored
	inner  *cancelable // nil until somebody asks for it
	ended  bool        // host code has returned
}

// cancelable is a context and what ends it.
type cancelable struct {
	context.Context
	stop context.CancelCauseFunc
}

// base is the Start context, which does not end by itself. No attempt starts before it is there.
func (c *runContext) base() context.Context { return c.scheduler.base }

// Deadline is none: timeouts go by the Scheduler's clock, which may not be the wall's.
func (c *runContext) Deadline() (time.Time, bool) { return c.base().Deadline() }

// Done is closed when the attempt is cancelled or has ended.
func (c *runContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.innerLocked().Done()
}

// Err reports that the attempt was cancelled or has ended.
func (c *runContext) Err() error { return c.current().Err() }

// Value answers for RunFromContext and context.Cause, and else as the Start context does.
func (c *runContext) Value(key any) any {
	if key == (runKey{}) {
		return c
	}
	return c.current().Value(key)
}

// String is what the context prints as.
func (c *runContext) String() string {
	run, _ := c.run()
	return "punctual: run " + run.ID
}

// run returns the run that the context belongs to; false once its outcome is stored.
func (c *runContext) run() (Run, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flight == nil {
		return Run{}, false
	}
	return c.flight.run, true
}

// of returns the attempt if it is one of the Scheduler's whose outcome is not stored yet; nil otherwise.
func (c *runContext) of(s *Scheduler) *flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flight == nil || c.scheduler != s {
		return nil
	}
	return c.flight
}

func (c *runContext) current() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil && !c.ended {
		return c.base()
	}
	return c.innerLocked()
}

func (c *runContext) innerLocked() *cancelable {
	if c.inner == nil {
		ctx, stop := context.WithCancelCause(c.base())
		c.inner = &cancelable{ctx, stop}
		if c.ended {
			stop(context.Canceled)
		}
	}
	return c.inner
}

// cancel ends the context; the cause of the first call counts.
func (c *runContext) cancel(cause error) {
	c.mu.Lock()
	inner := c.innerLocked()
	c.mu.Unlock()
	inner.stop(cause)
}

// end is what the return of host code does: whatever it has left behind should end, too. It returns why the context had ended before; nil when it
// had not.
func (c *runContext) end() (cause error) {
	c.mu.Lock()
	c.ended = true
	inner := c.inner
	c.mu.Unlock()
	if inner == nil {
		return nil
	}
	cause = context.Cause(inner)
	inner.stop(context.Canceled)
	return cause
}

// leave gives the flight back.
func (c *runContext) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flight = nil
}
