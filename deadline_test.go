package punctual

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The bound of a store call behaves like context.WithTimeoutCause for whoever waits, and costs no timer for who does not.
func TestTheBoundOfAStoreCallEndsItWithItsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Scheduler{config: config{clock: clock.New(), storeTimeout: time.Second}}
		_, err := storeCall(t.Context(), s, "edit", func(ctx context.Context) (int, error) {
			assert.NoError(t, ctx.Err())
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			begin := time.Now()
			<-child.Done()
			assert.Equal(t, time.Second, time.Since(begin))
			assert.ErrorIs(t, context.Cause(ctx), ErrUnavailable)
			assert.ErrorIs(t, context.Cause(child), ErrUnavailable)
			return 0, ctx.Err()
		})
		assert.ErrorIs(t, err, context.Canceled)
	})
}

func TestTheBoundOfAStoreCallEndsWithItsParent(t *testing.T) {
	s := &Scheduler{config: config{clock: clock.New(), storeTimeout: time.Hour}}
	why := errors.New("why")
	parent, cancel := context.WithCancelCause(context.WithValue(t.Context(), taskKey{}, "kept"))
	_, err := storeCall(parent, s, "edit", func(ctx context.Context) (int, error) {
		assert.Equal(t, "kept", ctx.Value(taskKey{}))
		done := ctx.Done()
		cancel(why)
		<-done
		return 0, context.Cause(ctx)
	})
	assert.Equal(t, why, err)
	_, err = storeCall(parent, s, "edit", func(ctx context.Context) (int, error) { return 0, ctx.Err() })
	assert.ErrorIs(t, err, context.Canceled, "nobody waits, and the parent has ended already")
}

func TestTheBoundOfAStoreCallLeavesNothingBehind(t *testing.T) {
	s := &Scheduler{config: config{clock: clock.New(), storeTimeout: time.Hour}}
	var kept context.Context
	_, err := storeCall(t.Context(), s, "edit", func(ctx context.Context) (int, error) {
		kept = ctx
		return 0, nil
	})
	require.NoError(t, err)
	select {
	case <-kept.Done():
	default:
		t.Error("who begins to wait after the call is over waits for nothing")
	}
}

func TestAllWhoWaitForAStoreCallWaitForTheSame(t *testing.T) {
	s := &Scheduler{config: config{clock: clock.New(), storeTimeout: time.Hour}}
	_, err := storeCall(t.Context(), s, "edit", func(ctx context.Context) (int, error) {
		waits := make(chan (<-chan struct{}))
		for range 10 {
			go func() { waits <- ctx.Done() }()
		}
		for range 10 {
			assert.Equal(t, ctx.Done(), <-waits)
		}
		return 0, nil
	})
	require.NoError(t, err)
}

type taskKey struct{}
