package punctual_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// Each of these runs waits for all others to have begun, and the last of them ends its goroutine.
func TestNoRunWaitsForTheEndOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const runs = 300
		var begun sync.WaitGroup
		begun.Add(runs)
		w := newWorld(t, func(_ context.Context, run punctual.Run) (punctual.Result, error) {
			begun.Done()
			begun.Wait()
			if run.TaskID == "task7" {
				runtime.Goexit()
			}
			return punctual.Result{}, nil
		}, punctual.WithConcurrency(runs))
		for i := range runs {
			require.NoError(t, w.s.Add(t.Context(), hourly(fmt.Sprint("task", i))))
		}
		require.NoError(t, w.s.Start(t.Context()))
		require.NoError(t, w.s.WaitIdle(t.Context()))
		failed, err := w.s.Runs(t.Context(), punctual.RunQuery{States: []punctual.State{punctual.StateFailed}})
		require.NoError(t, err)
		assert.Len(t, failed, 1)
		require.NoError(t, w.s.Shutdown(t.Context()))
	})
}

type hostKey struct{}

// Host code may keep its context. It ends with the run, and belongs to no other run afterwards.
func TestAContextThatIsKeptEndsWithItsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept, derived []context.Context
		w := newWorld(t, func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
			of, ok := punctual.RunFromContext(ctx)
			assert.True(t, ok)
			assert.Equal(t, run.ID, of.ID)
			assert.NoError(t, ctx.Err())
			assert.Contains(t, fmt.Sprint(ctx), run.ID)
			for _, old := range kept {
				_, ok := punctual.RunFromContext(old)
				assert.False(t, ok)
				assert.Equal(t, context.Canceled, old.Err())
				assert.Equal(t, context.Canceled, context.Cause(old))
				assert.Equal(t, "host", old.Value(hostKey{}))
				<-old.Done()
			}
			for _, old := range derived {
				assert.Equal(t, context.Canceled, old.Err())
			}
			kept = append(kept, ctx)
			if len(kept)%2 == 0 { // every other asks for what most contexts are never asked for
				child, cancel := context.WithTimeout(ctx, time.Hour)
				t.Cleanup(cancel)
				assert.NoError(t, child.Err())
				derived = append(derived, child)
			}
			return punctual.Result{}, nil
		})
		require.NoError(t, w.s.Start(context.WithValue(t.Context(), hostKey{}, "host")))
		for i := range 6 {
			require.NoError(t, w.s.Add(t.Context(), hourly(fmt.Sprint("task", i))))
			require.NoError(t, w.s.WaitIdle(t.Context()))
		}
		assert.Len(t, kept, 6)
		assert.Len(t, derived, 3)
		require.NoError(t, w.s.Shutdown(t.Context()))
	})
}

func TestAContextTellsItsEndToWhoOnlyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(ctx context.Context, _ punctual.Run) (punctual.Result, error) {
			time.Sleep(time.Minute - time.Second)
			assert.NoError(t, ctx.Err())
			time.Sleep(2 * time.Second)
			assert.Equal(t, context.Canceled, ctx.Err())
			assert.Equal(t, punctual.ErrTimeout, context.Cause(ctx))
			return punctual.Result{}, context.Cause(ctx)
		})
		task := hourly("task")
		task.Timeout = time.Minute
		require.NoError(t, w.s.Start(t.Context()))
		require.NoError(t, w.s.Add(t.Context(), task))
		require.NoError(t, w.s.WaitIdle(t.Context()))
		snapshot, err := w.s.Task(t.Context(), "task")
		require.NoError(t, err)
		assert.Equal(t, punctual.ReasonTimeout, snapshot.LastRun.Reason)
		require.NoError(t, w.s.Shutdown(t.Context()))
	})
}
