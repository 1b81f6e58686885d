package punctual_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

// The scenarios run in synctest bubbles: the real clock is used, and inside a bubble it is a fake one that moves when everybody waits.

// started is one call of host code.
type started struct {
	task    string
	trigger punctual.Trigger
	at      time.Duration // since the world began
	attempt int
	runID   string
}

// world is one scheduler over one store with an executor that records its calls.
type world struct {
	t     *testing.T
	begin time.Time
	store punctual.Store
	s     *punctual.Scheduler
	logs  *lockedBuffer

	mu    sync.Mutex
	calls []started
	// work is what the executor does after it has recorded the call; nil succeeds at once.
	work func(ctx context.Context, run punctual.Run) (punctual.Result, error)
}

// newWorld makes a world that is not started yet and is shut down at the end of the test.
func newWorld(t *testing.T, work func(context.Context, punctual.Run) (punctual.Result, error), opts ...punctual.Option) *world {
	w := &world{t: t, begin: time.Now(), store: memory.New(), work: work, logs: &lockedBuffer{}}
	w.s = w.engine(opts...)
	return w
}

// engine makes another scheduler over the world's store.
func (w *world) engine(opts ...punctual.Option) *punctual.Scheduler {
	logger := slog.New(slog.NewTextHandler(w.logs, nil))
	opts = append([]punctual.Option{punctual.WithLogger(logger)}, opts...)
	s, err := punctual.New(w.store, punctual.ExecutorFunc(w.execute), opts...)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = s.Close() })
	return s
}

// lockedBuffer takes the log lines of all schedulers of a world.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (w *world) execute(ctx context.Context, run punctual.Run) (punctual.Result, error) {
	w.mu.Lock()
	w.calls = append(w.calls, started{run.TaskID, run.Trigger, time.Since(w.begin), run.Attempt, run.ID})
	w.mu.Unlock()
	if w.work == nil {
		return punctual.Result{Output: "done"}, nil
	}
	return w.work(ctx, run)
}

func (w *world) start() *world {
	require.NoError(w.t, w.s.Start(w.t.Context()))
	synctest.Wait()
	return w
}

func (w *world) add(task punctual.Task) {
	w.t.Helper()
	require.NoError(w.t, w.s.Add(w.t.Context(), task))
}

// wait lets time pass and everything settle.
func (w *world) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// starts lists when host code was called for the task, since the world began.
func (w *world) starts(task string) []time.Duration {
	return w.allStarts()[task]
}

// allStarts lists the same for each task that has started.
func (w *world) allStarts() map[string][]time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	starts := map[string][]time.Duration{}
	for _, c := range w.calls {
		starts[c.task] = append(starts[c.task], c.at)
	}
	return starts
}

// ledger lists the task's runs, oldest first.
func (w *world) ledger(task string) []punctual.Run {
	w.t.Helper()
	var all []punctual.Run
	q := punctual.RunQuery{TaskID: task, Limit: punctual.MaxLimit}
	for {
		page, err := w.s.Runs(context.Background(), q)
		require.NoError(w.t, err)
		all = append(all, page...)
		if len(page) < q.Limit {
			break
		}
		q.Before = page[len(page)-1].ID
	}
	for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
		all[i], all[j] = all[j], all[i]
	}
	return all
}

// facts describes the ledger in short lines: trigger, time since the world began, state and reason.
func (w *world) facts(task string) []string {
	w.t.Helper()
	var out []string
	for _, run := range w.ledger(task) {
		line := fmt.Sprintf("%v +%v %v", run.Trigger, run.ScheduledAt.Sub(w.begin), run.State)
		if run.Count > 1 {
			line += fmt.Sprintf(" x%d", run.Count)
		}
		if run.Reason != "" {
			line += " " + run.Reason
		}
		out = append(out, line)
	}
	return out
}

func (w *world) task(id string) punctual.Snapshot {
	w.t.Helper()
	snap, err := w.s.Task(context.Background(), id)
	require.NoError(w.t, err)
	return snap
}

// stop shuts the world down gracefully.
func (w *world) stop() {
	w.t.Helper()
	require.NoError(w.t, w.s.Shutdown(context.Background()))
}

// busyFor is work that takes time and gives up when its context ends.
func busyFor(d time.Duration) func(context.Context, punctual.Run) (punctual.Result, error) {
	return func(ctx context.Context, _ punctual.Run) (punctual.Result, error) {
		select {
		case <-time.After(d):
			return punctual.Result{}, nil
		case <-ctx.Done():
			return punctual.Result{}, context.Cause(ctx)
		}
	}
}

func seconds(n ...float64) []time.Duration {
	out := make([]time.Duration, len(n))
	for i, s := range n {
		out[i] = time.Duration(s * float64(time.Second))
	}
	return out
}
