package punctual_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

// counted counts the calls that look for kinds that nobody handles.
type counted struct {
	*memory.Store
	overdue, instances atomic.Int64
}

func (c *counted) Overdue(ctx context.Context, req punctual.OverdueRequest) ([]punctual.Overdue, error) {
	c.overdue.Add(1)
	return c.Store.Overdue(ctx, req)
}

func (c *counted) Instances(ctx context.Context) ([]punctual.Instance, error) {
	c.instances.Add(1)
	return c.Store.Instances(ctx)
}

// service starts another scheduler over the world's store, which handles some kinds.
func (w *world) service(name string, kinds ...string) (*punctual.Scheduler, *punctual.Mux) {
	mux := new(punctual.Mux)
	for _, kind := range kinds {
		mux.HandleFunc(kind, w.execute)
	}
	return w.serve(name, mux), mux
}

func (w *world) serve(name string, executor punctual.Executor) *punctual.Scheduler {
	s, err := punctual.New(w.store, executor, punctual.WithInstance(name), punctual.WithLogger(slog.New(slog.NewTextHandler(w.logs, nil))))
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = s.Close() })
	require.NoError(w.t, s.Start(w.t.Context()))
	synctest.Wait()
	return s
}

func ofKind(id, kind string) punctual.Task {
	task := hourly(id)
	task.Kind = kind
	return task
}

func TestHealthNamesAKindThatNobodyHandles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		mail, mux := w.service("mail", "mail")
		added := time.Now()
		require.NoError(t, mail.Add(t.Context(), ofKind("report", "report")))
		w.wait(time.Minute - time.Second)
		assert.True(t, mail.Health().OK, "due for less than a minute")
		w.wait(time.Minute)
		health := mail.Health()
		assert.Equal(t, []string{punctual.DegradedHandler}, reasons(health))
		assert.Contains(t, health.Reasons[0], fmt.Sprintf(`"report" since %s`, added.UTC().Format(time.RFC3339)))
		assert.Equal(t, []punctual.Overdue{{Kind: "report", Since: added.UTC()}}, health.Unhandled)
		w.wait(time.Hour)
		assert.Equal(t, health.Unhandled, mail.Health().Unhandled, "it goes on")
		assert.Equal(t, 1, strings.Count(w.logs.String(), "no live instance handles its kind"), "said once")
		assert.Empty(t, w.starts("report"))
		mux.HandleFunc("report", w.execute)
		w.wait(time.Minute)
		assert.True(t, mail.Health().OK, "it has learnt the kind")
		assert.NotEmpty(t, w.starts("report"))
		require.NoError(t, mail.Shutdown(t.Context()))
	})
}

func TestHealthNamesAKindWhoseOnlyInstanceDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		w := newWorld(t, func(context.Context, punctual.Run) (punctual.Result, error) {
			<-end
			return punctual.Result{}, nil
		})
		mail, _ := w.service("mail", "mail")
		report, _ := w.service("report", "report")
		require.NoError(t, report.Add(t.Context(), ofKind("long", "report")))
		synctest.Wait()
		require.NoError(t, mail.Add(t.Context(), ofKind("other", "report")))
		w.wait(time.Minute)
		drained := make(chan error)
		go func() { drained <- report.Shutdown(context.WithoutCancel(t.Context())) }()
		synctest.Wait() // else it may still start what comes
		require.NoError(t, mail.Add(t.Context(), ofKind("late", "report")))
		w.wait(3 * time.Minute)
		assert.Equal(t, []string{punctual.DegradedHandler}, reasons(mail.Health()))
		assert.True(t, report.Health().OK, "who drains claims nothing and so misses nothing")
		instances, err := mail.Instances(t.Context())
		require.NoError(t, err)
		require.Len(t, instances, 2)
		assert.Equal(t, []string{"mail"}, instances[0].Kinds)
		assert.Equal(t, []string{}, instances[1].Kinds)
		close(end)
		require.NoError(t, <-drained)
		require.NoError(t, mail.Shutdown(t.Context()))
	})
}

// A store that is not made for sharing has one instance only, and what that does not handle is handled by nobody.
func TestHealthNamesAKindThatTheOnlyInstanceDoesNotHandle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.store = struct{ punctual.Store }{memory.New()}
		alone, _ := w.service("alone", "mail")
		require.NoError(t, alone.Add(t.Context(), ofKind("report", "report")))
		w.wait(2 * time.Minute)
		assert.Equal(t, []string{punctual.DegradedHandler}, reasons(alone.Health()))
		require.NoError(t, alone.Shutdown(t.Context()))
	})
}

// kindsOf is an executor of some kinds, nil for all.
type kindsOf struct {
	punctual.ExecutorFunc
	kinds []string
}

func (k kindsOf) Kinds() []string { return k.kinds }

func TestLookingForKindsThatNobodyHandlesCostsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		store := &counted{Store: memory.New()}
		w.store = store
		for _, executor := range []punctual.Executor{punctual.ExecutorFunc(w.execute), kindsOf{w.execute, nil}} {
			all := w.serve("all", executor)
			require.NoError(t, all.Add(t.Context(), ofKind("t", "any")))
			w.wait(time.Hour)
			require.NoError(t, all.Remove(t.Context(), "t"))
			require.NoError(t, all.Shutdown(t.Context()))
		}
		assert.Zero(t, store.overdue.Load(), "who handles all kinds has nothing to look for")
		some, _ := w.service("some", "mail")
		require.NoError(t, some.Add(t.Context(), ofKind("mail", "mail")))
		w.wait(time.Hour)
		assert.InDelta(t, 110, store.overdue.Load(), 11, "twice a minute at most")
		assert.Zero(t, store.instances.Load(), "nothing else was due")
		require.NoError(t, some.Shutdown(t.Context()))
	})
}

func TestAReasonNamesAFewKindsAndHowManyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		mail, _ := w.service("mail", "mail")
		for i := range 7 {
			require.NoError(t, mail.Add(t.Context(), ofKind(fmt.Sprint("t", i), fmt.Sprint("kind", i))))
		}
		w.wait(2 * time.Minute)
		health := mail.Health()
		require.Equal(t, []string{punctual.DegradedHandler}, reasons(health))
		assert.Len(t, health.Unhandled, 7)
		assert.Contains(t, health.Reasons[0], `"kind4" since`)
		assert.NotContains(t, health.Reasons[0], "kind5")
		assert.True(t, strings.HasSuffix(health.Reasons[0], ", and 2 more"))
		require.NoError(t, mail.Shutdown(t.Context()))
	})
}
