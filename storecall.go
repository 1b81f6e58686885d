package punctual

import (
	"context"
	"errors"
	"time"
)

// StoreCall is one call of a Scheduler to its store.
type StoreCall struct {
	// Method is the method of Store or Leaser in lower case: "claim", "edit", "finish", "beat", ... A claim made
	// ahead is "upcoming", "prepare", "extend", and "commit" or "cancel".
	Method string
	// At is when the call began, by the Scheduler's clock.
	At time.Time
	// Duration is how long the caller waited for the answer. A call that is given up at its deadline counts until then.
	Duration time.Duration
	// Err is how the store failed; nil when it answered. Answers such as ErrTaskNotFound are no failures, nor is a call whose caller
	// went away.
	Err error
	// Started is how many runs a claim started; zero for all other methods.
	Started int
}

// StoreObserver is implemented by Observers that are also told about each call to the store, to measure claim times and count
// errors. The rules of Observe hold. It is separate from Observer because a busy Scheduler makes many calls and most observers
// have no use for them.
type StoreObserver interface {
	ObserveStore(StoreCall)
}

// timed makes one call to the store and tells the observer about it.
func timed[T any](ctx context.Context, s *Scheduler, method string, call func() (T, error)) (T, error) {
	observer, ok := s.observer.(StoreObserver)
	if !ok {
		return call()
	}
	c := StoreCall{Method: method, At: s.clock.Now()}
	value, err := call()
	c.Duration = max(s.clock.Since(c.At), 0)
	if storeFault(err) && !errors.Is(context.Cause(ctx), context.Canceled) {
		c.Err = err
	}
	if claimed, ok := any(value).(ClaimReply); ok {
		c.Started = len(claimed.Started)
	}
	observer.ObserveStore(c)
	return value, err
}

// storeFault reports whether an error says that the store failed, rather than answered that what was asked for cannot be.
func storeFault(err error) bool {
	if err == nil {
		return false
	}
	for _, answer := range []error{ErrTaskExists, ErrTaskNotFound, ErrRunNotFound, ErrRunFinished, ErrConflict, ErrInvalidTask, ErrInvalidSchedule, ErrInvalidQuery, ErrLeaseLost} {
		if errors.Is(err, answer) {
			return false
		}
	}
	return true
}
