package punctual

import (
	"context"
	"sync/atomic"
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
	inner           atomic.Pointer[timeout] // nil until somebody waits; callOver from the end of the call on
}

// timeout is a context that ends after a limit and what ends it before.
type timeout struct {
	context.Context
	cancel context.CancelFunc
}

// callOver is what somebody gets who begins to wait for the end of a call that is over.
var callOver = func() *timeout {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return &timeout{ctx, cancel}
}()

// Done begins the wait.
func (l *lazyTimeout) Done() <-chan struct{} { return l.waiting().Done() }

// Err reports the end of the parent, and that of the limit if somebody waits for it.
func (l *lazyTimeout) Err() error { return l.current().Err() }

// Value passes the question on, so that context.Cause finds the cause.
func (l *lazyTimeout) Value(key any) any {
	if inner := l.inner.Load(); inner != nil && inner != callOver {
		return inner.Value(key)
	}
	return l.Context.Value(key)
}

func (l *lazyTimeout) current() context.Context {
	if inner := l.inner.Load(); inner != nil {
		return inner
	}
	return l.Context
}

func (l *lazyTimeout) waiting() context.Context {
	if inner := l.inner.Load(); inner != nil {
		return inner
	}
	ctx, cancel := withTimeout(l.Context, l.scheduler.clock, l.scheduler.storeTimeout, errStoreTimeout)
	if !l.inner.CompareAndSwap(nil, &timeout{ctx, cancel}) {
		cancel() // somebody else was first, or the call has ended
	}
	return l.inner.Load()
}

// end releases what the context holds once the call is over.
func (l *lazyTimeout) end() {
	if inner := l.inner.Swap(callOver); inner != nil {
		inner.cancel()
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
