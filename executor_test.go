package punctual_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

func TestMuxDispatchesByKind(t *testing.T) {
	var mux punctual.Mux
	assert.Equal(t, []string{}, mux.Kinds(), "an empty Mux handles no kind, which is not the same as all")
	mux.HandleFunc("b", func(context.Context, punctual.Run) (punctual.Result, error) { return punctual.Result{Output: "b"}, nil })
	type params struct{ N int }
	punctual.Handle(&mux, "a", func(_ context.Context, _ punctual.Run, p params) (punctual.Result, error) {
		return punctual.Result{Output: string(rune('0' + p.N))}, nil
	})
	assert.Equal(t, []string{"a", "b"}, mux.Kinds())

	result, err := mux.Execute(t.Context(), punctual.Run{Kind: "b"})
	require.NoError(t, err)
	assert.Equal(t, "b", result.Output)
	result, err = mux.Execute(t.Context(), punctual.Run{Kind: "a", Payload: json.RawMessage(`{"N":7}`)})
	require.NoError(t, err)
	assert.Equal(t, "7", result.Output)
	result, err = mux.Execute(t.Context(), punctual.Run{Kind: "a"})
	require.NoError(t, err)
	assert.Equal(t, "0", result.Output, "no payload is the zero value")

	_, err = mux.Execute(t.Context(), punctual.Run{Kind: "a", Payload: json.RawMessage(`{"N":"x"}`)})
	assert.True(t, punctual.IsPermanent(err), "what does not decode cannot succeed later")
	_, err = mux.Execute(t.Context(), punctual.Run{Kind: "c"})
	require.ErrorIs(t, err, punctual.ErrNoHandler)
	assert.True(t, punctual.IsPermanent(err))

	assert.Panics(t, func() { mux.Handle("a", punctual.ExecutorFunc(nil)) })
	assert.Panics(t, func() { mux.Handle("d", nil) })
}

func TestChainWrapsOutermostFirstAndKeepsTheKinds(t *testing.T) {
	var order []string
	trace := func(name string) punctual.Middleware {
		return func(inner punctual.Executor) punctual.Executor {
			return punctual.ExecutorFunc(func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
				order = append(order, name)
				return inner.Execute(ctx, run)
			})
		}
	}
	var mux punctual.Mux
	mux.HandleFunc("k", func(context.Context, punctual.Run) (punctual.Result, error) { return punctual.Result{}, nil })
	chain := punctual.Chain(&mux, trace("outer"), trace("inner"))
	_, err := chain.Execute(t.Context(), punctual.Run{Kind: "k"})
	require.NoError(t, err)
	assert.Equal(t, []string{"outer", "inner"}, order)
	lister, ok := chain.(punctual.KindLister)
	require.True(t, ok)
	assert.Equal(t, []string{"k"}, lister.Kinds())
}

// Two services with different handlers share a store: each claims only what it handles (river#342, #658).
func TestAnInstanceClaimsOnlyKindsItHandles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		var mu sync.Mutex
		ran := map[string][]string{}
		service := func(kind string) *punctual.Scheduler {
			var mux punctual.Mux
			mux.HandleFunc(kind, func(_ context.Context, run punctual.Run) (punctual.Result, error) {
				mu.Lock()
				defer mu.Unlock()
				ran[kind] = append(ran[kind], run.TaskID)
				return punctual.Result{}, nil
			})
			s, err := punctual.New(store, &mux)
			require.NoError(t, err)
			require.NoError(t, s.Start(t.Context()))
			synctest.Wait()
			return s
		}
		a, b := service("a"), service("b")
		for _, kind := range []string{"a", "b", "nobody"} {
			require.NoError(t, a.Add(t.Context(), punctual.Task{ID: "of " + kind, Kind: kind, Schedule: punctual.Every(time.Hour), OnRegister: punctual.WaitForSchedule}))
		}
		require.NoError(t, a.Add(t.Context(), punctual.Task{ID: "at once", Kind: "b", Schedule: punctual.Every(24 * time.Hour)}))
		synctest.Wait()
		assert.Equal(t, map[string][]string{"b": {"at once"}}, ran, "who registers a task need not be who runs it")
		time.Sleep(90 * time.Minute)
		synctest.Wait()
		assert.Equal(t, map[string][]string{"a": {"of a"}, "b": {"at once", "of b"}}, ran)
		waits, err := a.Task(t.Context(), "of nobody")
		require.NoError(t, err)
		assert.False(t, waits.NextRunAt.After(time.Now()), "it waits for somebody who handles it")
		require.NoError(t, a.Shutdown(t.Context()))
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

func TestErrorMarks(t *testing.T) {
	boom := errors.New("boom")
	require.NoError(t, punctual.Permanent(nil))
	require.NoError(t, punctual.RetryAfter(nil, time.Second))
	require.ErrorIs(t, punctual.Permanent(boom), boom)
	assert.Equal(t, "boom", punctual.RetryAfter(boom, time.Second).Error())
	wait, ok := punctual.RetryAfterOf(punctual.RetryAfter(boom, -time.Second))
	assert.True(t, ok)
	assert.Zero(t, wait)
	_, ok = punctual.RetryAfterOf(boom)
	assert.False(t, ok)
	assert.False(t, punctual.IsPermanent(boom))
}
