package punctual_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// callLog is an observer that keeps the calls to the store.
type callLog struct {
	mu    sync.Mutex
	calls []punctual.StoreCall
}

func (*callLog) Observe(punctual.Event) {}

func (l *callLog) ObserveStore(c punctual.StoreCall) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, c)
}

// of returns the calls of one method and forgets all.
func (l *callLog) of(method string) []punctual.StoreCall {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []punctual.StoreCall
	for _, c := range l.calls {
		if c.Method == method {
			out = append(out, c)
		}
	}
	l.calls = nil
	return out
}

func TestAnObserverIsToldOfEachCallToTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &callLog{}
		w := newWorld(t, nil, punctual.WithObserver(log))
		w.add(hourly("t"))
		edits := log.of("edit")
		require.Len(t, edits, 1)
		require.NoError(t, edits[0].Err)
		w.start()
		w.wait(0)
		claims := log.of("claim")
		require.NotEmpty(t, claims)
		assert.Equal(t, 1, claims[0].Started, "the immediate run")
		assert.Equal(t, w.begin, claims[0].At)

		w.wait(30 * time.Second)
		assert.NotEmpty(t, log.of("beat"))
		_, err := w.s.Task(t.Context(), "absent")
		require.ErrorIs(t, err, punctual.ErrTaskNotFound)
		lookups := log.of("task")
		require.Len(t, lookups, 1)
		require.NoError(t, lookups[0].Err, "an answer is no failure of the store")
		w.stop()
		assert.Len(t, log.of("end session"), 1)
	})
}

func TestAnObserverIsToldHowTheStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &callLog{}
		w := newWorld(t, nil)
		flaky := w.flaky(punctual.WithObserver(log), punctual.WithStoreTimeout(3*time.Second))
		w.start()
		flaky.mode.Store(storeFails)
		require.ErrorIs(t, w.s.Add(t.Context(), hourly("t")), errDown)
		edits := log.of("edit")
		require.Len(t, edits, 1)
		require.ErrorIs(t, edits[0].Err, errDown)

		flaky.mode.Store(storeHangs)
		require.Error(t, w.s.Add(t.Context(), hourly("t")))
		edits = log.of("edit")
		require.Len(t, edits, 1)
		require.ErrorIs(t, edits[0].Err, punctual.ErrUnavailable)
		assert.Equal(t, 3*time.Second, edits[0].Duration)

		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		require.ErrorIs(t, w.s.Add(ctx, hourly("t")), context.Canceled)
		edits = log.of("edit")
		require.Len(t, edits, 1)
		require.NoError(t, edits[0].Err, "a caller that went away is no failure of the store")
		flaky.mode.Store(storeWorks)
		w.wait(time.Minute)
		w.stop()
	})
}

func TestHealthTellsForHowLongDueWorkWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, busyFor(10*time.Minute), punctual.WithConcurrency(1)).start()
		assert.Zero(t, w.s.Health().Backlog)
		w.add(hourly("first"))
		w.add(hourly("second")) // due at once, and the only slot is taken
		w.wait(4 * time.Minute)
		assert.Equal(t, 4*time.Minute, w.s.Health().Backlog)
		assert.False(t, w.s.Health().OK)
		w.wait(20 * time.Minute)
		assert.Zero(t, w.s.Health().Backlog)
		w.stop()
	})
}

func TestRunsCarryTheTraceOfTheirRegistration(t *testing.T) {
	const first, second = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"
	synctest.Test(t, func(t *testing.T) {
		var traces []string
		w := newWorld(t, func(_ context.Context, run punctual.Run) (punctual.Result, error) {
			traces = append(traces, run.Trace)
			return punctual.Result{}, nil
		}).start()
		task := hourly("t")
		task.Trace = first
		w.add(task)
		w.wait(90 * time.Minute)
		task.Trace = second
		require.NoError(t, w.s.Ensure(t.Context(), task), "the same definition")
		w.wait(0)
		assert.Equal(t, []string{first, first}, traces)
		assert.Equal(t, first, w.task("t").Task.Trace)
		require.NoError(t, w.s.Reschedule(t.Context(), task))
		w.wait(0)
		assert.Equal(t, []string{first, first, second}, traces)
		w.stop()
	})
}
