package punctual

import (
	"context"
	"sync"
	"time"

	"github.com/benbjohnson/clock"
)

// storeCall makes one call to the store with a deadline on the Scheduler's clock.
func storeCall[T any](ctx context.Context, s *Scheduler, method string, call func(context.Context) (T, error)) (T, error) {
	bound := &lazyTimeout{Context: ctx, scheduler: s}
	defer bound.end()
	return timed(bound, s, method, func() (T, error) { return call(bound) })
}

// lazyTimeout is a context that ends after a limit on an injected clock, with cause errStoreTimeout. Its timer is made when somebody
// begins to wait for the end, so that a call to a store that never waits, as the one in memory, costs no timer.
type lazyTimeout struct {
	context.Context // the parent
	scheduler       *Scheduler

	mu    sync.Mutex // guards all below
	inner *timeout   // nil until somebody waits
	ended bool
}

// timeout is a context that ends after a limit and what ends it before.
type timeout struct {
	context.Context
	cancel context.CancelFunc
}

// Done begins the wait.
func (l *lazyTimeout) Done() <-chan struct{} { return l.waiting().Done() }

// Err reports the end of the parent, and that of the limit if somebody waits for it.
func (l *lazyTimeout) Err() error { return l.current().Err() }

// Value passes the question on, so that context.Cause finds the cause.
func (l *lazyTimeout) Value(key any) any { return l.current().Value(key) }

func (l *lazyTimeout) current() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inner == nil {
		return l.Context
	}
	return l.inner
}

func (l *lazyTimeout) waiting() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inner == nil {
		ctx, cancel := withTimeout(l.Context, l.scheduler.clock, l.scheduler.storeTimeout, errStoreTimeout)
		l.inner = &timeout{ctx, cancel}
		if l.ended {
			cancel()
		}
	}
	return l.inner
}

// end releases what the context holds once the call is over.
func (l *lazyTimeout) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.inner != nil {
		l.inner.cancel()
	}
}

// withTimeout is context.WithTimeoutCause on an injected clock. The context has no deadline that code could read, since the clock
// may not be the wall's.
func withTimeout(ctx context.Context, c clock.Clock, d time.Duration, cause error) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := c.AfterFunc(d, func() { cancel(cause) })
	return ctx, func() {
		timer.Stop()
		cancel(context.Canceled)
	}
}
