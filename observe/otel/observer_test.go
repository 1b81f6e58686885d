package otel_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/observe/otel"
	"github.com/punctual-go/punctual/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host is a program that uses the library, with everything that the SDK would export kept in memory.
type host struct {
	t       *testing.T
	s       *punctual.Scheduler
	o       *otel.Observer
	reader  *metric.ManualReader
	spans   *tracetest.SpanRecorder
	tracers *sdktrace.TracerProvider
}

func newHost(t *testing.T, store punctual.Store, work punctual.Executor, opts ...otel.Option) *host {
	h := &host{t: t, reader: metric.NewManualReader(), spans: tracetest.NewSpanRecorder()}
	h.tracers = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(h.spans))
	var err error
	h.o, err = otel.New(append([]otel.Option{
		otel.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(h.reader))), otel.WithTracerProvider(h.tracers),
	}, opts...)...)
	require.NoError(t, err)
	h.s, err = punctual.New(store, punctual.Chain(work, h.o.Middleware), punctual.WithObserver(h.o), punctual.WithInstance("one"), punctual.WithConcurrency(2))
	require.NoError(t, err)
	stop, err := h.o.Watch(h.s)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, h.s.Close())
		require.NoError(t, stop())
		require.NoError(t, stop(), "stopping twice does no harm")
	})
	return h
}

func (h *host) start() {
	require.NoError(h.t, h.s.Start(h.t.Context()))
	synctest.Wait()
}

func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// point is one time series: its value, or the count and sum of a histogram.
type point struct {
	value float64
	count uint64
}

// read returns the series of an instrument by their attributes in text form.
func (h *host) read(name string) map[string]point {
	h.t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(h.t, h.reader.Collect(context.Background(), &all))
	out := map[string]point{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != name {
				continue
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					out[text(p.Attributes)] = point{value: float64(p.Value)}
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					out[text(p.Attributes)] = point{value: float64(p.Value)}
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					out[text(p.Attributes)] = point{value: p.Value}
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					out[text(p.Attributes)] = point{p.Sum, p.Count}
				}
			case metricdata.Histogram[int64]:
				for _, p := range data.DataPoints {
					out[text(p.Attributes)] = point{float64(p.Sum), p.Count}
				}
			}
		}
	}
	return out
}

func text(set attribute.Set) string { return set.Encoded(attribute.DefaultEncoder()) }

func TestRunsAndAttemptsAreCountedByOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, memory.New(), punctual.ExecutorFunc(func(_ context.Context, run punctual.Run) (punctual.Result, error) {
			time.Sleep(2 * time.Second)
			if run.TaskID == "bad" {
				return punctual.Result{}, errors.New("boom")
			}
			return punctual.Result{}, nil
		}))
		h.start()
		require.NoError(t, h.s.Add(t.Context(), punctual.Task{ID: "good", Kind: "mail", Schedule: punctual.Every(time.Minute)}))
		require.NoError(t, h.s.Add(t.Context(), punctual.Task{
			ID: "bad", Schedule: punctual.Every(time.Hour), Retry: punctual.Retry{MaxAttempts: 2, Initial: time.Second},
		}))
		wait(time.Second)
		_, err := h.s.RunNow(t.Context(), "good")
		require.NoError(t, err)
		assert.Equal(t, map[string]point{"punctual.instance=one": {value: 2}}, h.read("punctual.attempt.in_flight"))
		wait(2 * time.Minute)

		assert.Equal(t, map[string]point{
			"punctual.run.state=succeeded,punctual.run.trigger=register,punctual.task.kind=mail":                         {value: 1},
			"punctual.run.state=succeeded,punctual.run.trigger=schedule,punctual.task.kind=mail":                         {value: 1},
			"punctual.run.reason=overlap,punctual.run.state=skipped,punctual.run.trigger=manual,punctual.task.kind=mail": {value: 1},
			"punctual.run.state=failed,punctual.run.trigger=register,punctual.task.kind=":                                {value: 1},
		}, h.read("punctual.runs"))
		attempts := map[string]point{
			"punctual.attempt.outcome=succeeded,punctual.task.kind=mail": {value: 2},
			"punctual.attempt.outcome=retried,punctual.task.kind=":       {value: 1},
			"punctual.attempt.outcome=failed,punctual.task.kind=":        {value: 1},
		}
		assert.Equal(t, attempts, h.read("punctual.attempts"))
		assert.Equal(t, map[string]point{
			"punctual.attempt.outcome=succeeded,punctual.task.kind=mail": {4, 2},
			"punctual.attempt.outcome=retried,punctual.task.kind=":       {2, 1},
			"punctual.attempt.outcome=failed,punctual.task.kind=":        {2, 1},
		}, h.read("punctual.attempt.duration"))
		assert.Equal(t, map[string]point{
			"punctual.run.trigger=register,punctual.task.kind=mail": {0, 1},
			"punctual.run.trigger=schedule,punctual.task.kind=mail": {0, 2},
			"punctual.run.trigger=register,punctual.task.kind=":     {0, 1},
		}, h.read("punctual.run.lateness"), "a second attempt is not late")
		require.NoError(t, h.s.Shutdown(context.Background()))
	})
}

func TestSkippedAndMissedOccurrencesCountByTheirNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		h := newHost(t, store, punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
			time.Sleep(10*time.Second + 500*time.Millisecond)
			return punctual.Result{}, nil
		}), otel.WithTaskIDs())
		h.start()
		require.NoError(t, h.s.Add(t.Context(), punctual.Task{ID: "t", Schedule: punctual.Every(time.Second)}))
		wait(10 * time.Second)
		skipped := "punctual.run.reason=overlap,punctual.run.state=skipped,punctual.run.trigger=schedule,punctual.task.id=t,punctual.task.kind="
		assert.Equal(t, point{value: 10}, h.read("punctual.runs")[skipped])
		require.NoError(t, h.s.Shutdown(context.Background()))
	})
}

func TestBacklogAndHealthAreAskedForWhenTheyAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, memory.New(), punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
			time.Sleep(10 * time.Minute)
			return punctual.Result{}, nil
		}))
		h.start()
		one := "punctual.instance=one"
		assert.Equal(t, point{value: 1}, h.read("punctual.instance.healthy")[one])
		for _, id := range []string{"a", "b", "c"} { // one more than there are slots
			require.NoError(t, h.s.Add(t.Context(), punctual.Task{ID: id, Schedule: punctual.Every(time.Hour)}))
		}
		wait(3 * time.Minute)
		assert.Equal(t, point{value: 180}, h.read("punctual.backlog.age")[one])
		assert.Equal(t, point{value: 0}, h.read("punctual.instance.healthy")[one])
		assert.Equal(t, point{value: 0}, h.read("punctual.task.set_aside")[one])
		wait(30 * time.Minute)
		assert.Equal(t, point{value: 0}, h.read("punctual.backlog.age")[one])
		assert.InDelta(t, 600, h.read("punctual.run.lateness")["punctual.run.trigger=register,punctual.task.kind="].value, .001,
			"the third began when the first had ended")
		require.NoError(t, h.s.Shutdown(context.Background()))
	})
}

// brokenStore fails on order.
type brokenStore struct {
	punctual.Store
	fault atomic.Pointer[error]
}

// fail makes claims fail from now on; nil ends it.
func (b *brokenStore) fail(err error) {
	if err == nil {
		b.fault.Store(nil)
		return
	}
	b.fault.Store(&err)
}

func (b *brokenStore) Claim(ctx context.Context, r punctual.ClaimRequest) (punctual.ClaimReply, error) {
	if err := b.fault.Load(); err != nil {
		time.Sleep(time.Second)
		return punctual.ClaimReply{}, *err
	}
	return b.Store.Claim(ctx, r)
}

func TestClaimTimesAndStoreErrorsAreMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &brokenStore{Store: memory.New()}
		h := newHost(t, store, punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
			return punctual.Result{}, nil
		}))
		require.NoError(t, h.s.Add(t.Context(), punctual.Task{ID: "t", Schedule: punctual.Every(time.Hour)}))
		h.start()
		claims := h.read("punctual.store.call.duration")["punctual.store.method=claim"]
		assert.Positive(t, claims.count)
		assert.Zero(t, claims.value, "on fake time")
		assert.Equal(t, 1.0, h.read("punctual.claim.runs")[""].value)
		assert.Empty(t, h.read("punctual.store.errors"))

		store.fail(punctual.ErrUnavailable)
		wait(time.Hour + 500*time.Millisecond)
		store.fail(errors.New("corrupt"))
		wait(30 * time.Second)
		store.fail(nil)
		wait(10 * time.Second)
		faults := h.read("punctual.store.errors")
		assert.Positive(t, faults["error.type=unavailable,punctual.store.method=claim"].value)
		assert.Positive(t, faults["error.type=_OTHER,punctual.store.method=claim"].value)
		assert.Len(t, faults, 2)
		assert.Greater(t, h.read("punctual.store.call.duration")["punctual.store.method=claim"].value, 1.0)
		require.NoError(t, h.s.Shutdown(context.Background()))
	})
}

func attributesOf(span sdktrace.ReadOnlySpan) map[string]string {
	out := map[string]string{}
	for _, a := range span.Attributes() {
		out[string(a.Key)] = a.Value.String()
	}
	return out
}

func TestEachAttemptIsASpanLinkedWithItsRegistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h *host
		h = newHost(t, memory.New(), punctual.ExecutorFunc(func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
			_, inner := h.tracers.Tracer("host").Start(ctx, "host work")
			inner.End()
			if run.Attempt == 1 {
				return punctual.Result{}, errors.New("boom")
			}
			return punctual.Result{}, nil
		}))
		h.start()
		ctx, request := h.tracers.Tracer("host").Start(t.Context(), "POST /tasks")
		task := punctual.Task{ID: "t", Name: "Daily mail", Kind: "mail", Schedule: punctual.Every(time.Hour), Retry: punctual.Retry{MaxAttempts: 2, Initial: time.Minute}}
		require.NoError(t, h.s.Add(ctx, h.o.Traced(ctx, task)))
		request.End()
		begin := time.Now()
		wait(2 * time.Minute)
		require.NoError(t, h.s.Shutdown(context.Background()))

		byName := map[string][]sdktrace.ReadOnlySpan{}
		for _, span := range h.spans.Ended() {
			byName[span.Name()] = append(byName[span.Name()], span)
		}
		attempts := byName["punctual run mail"]
		require.Len(t, attempts, 2)
		for i, span := range attempts {
			assert.False(t, span.Parent().IsValid(), "a trace of its own")
			assert.Equal(t, trace.SpanKindConsumer, span.SpanKind())
			require.Len(t, span.Links(), 1)
			assert.Equal(t, request.SpanContext().TraceID(), span.Links()[0].SpanContext.TraceID())
			assert.Equal(t, request.SpanContext().SpanID(), span.Links()[0].SpanContext.SpanID())
			assert.Equal(t, span.SpanContext().SpanID(), byName["host work"][i].Parent().SpanID(), "host code is inside")
		}
		first, second := attributesOf(attempts[0]), attributesOf(attempts[1])
		assert.Equal(t, map[string]string{
			"punctual.task.id": "t", "punctual.task.name": "Daily mail", "punctual.task.kind": "mail", "punctual.run.id": first["punctual.run.id"],
			"punctual.run.trigger": "register", "punctual.run.attempt": "1", "punctual.run.scheduled_at": begin.UTC().Format(time.RFC3339Nano),
			"error.type": "*errors.errorString",
		}, first)
		assert.Equal(t, sdktrace.Status{Code: codes.Error, Description: "boom"}, attempts[0].Status())
		assert.Equal(t, "2", second["punctual.run.attempt"])
		assert.NotContains(t, second, "error.type")
		assert.Equal(t, codes.Unset, attempts[1].Status().Code)
	})
}

func TestSpansSayWhyAnAttemptEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, memory.New(), punctual.ExecutorFunc(func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
			if run.TaskID == "panics" {
				panic("ouch")
			}
			<-ctx.Done()
			return punctual.Result{}, ctx.Err()
		}))
		h.start()
		require.NoError(t, h.s.Add(t.Context(), punctual.Task{ID: "panics", Kind: "panics", Schedule: punctual.Every(time.Hour)}))
		wait(0)
		require.NoError(t, h.s.Add(t.Context(), punctual.Task{ID: "slow", Kind: "slow", Schedule: punctual.Every(time.Hour), Timeout: time.Minute}))
		require.NoError(t, h.s.Add(t.Context(), punctual.Task{ID: "canceled", Kind: "canceled", Schedule: punctual.Every(time.Hour)}))
		wait(time.Second)
		runs, err := h.s.Runs(t.Context(), punctual.RunQuery{TaskID: "canceled"})
		require.NoError(t, err)
		require.NoError(t, h.s.Cancel(t.Context(), runs[0].ID))
		wait(2 * time.Minute)
		require.NoError(t, h.s.Shutdown(context.Background()))
		types := map[string]string{}
		for _, span := range h.spans.Ended() {
			assert.Equal(t, codes.Error, span.Status().Code)
			assert.Empty(t, span.Links(), "nobody traced the registration")
			types[span.Name()] = attributesOf(span)["error.type"]
		}
		assert.Equal(t, map[string]string{
			"punctual run panics": "panic", "punctual run slow": "timeout", "punctual run canceled": "canceled",
		}, types)
	})
}

func TestTheMiddlewareHandlesTheSameKinds(t *testing.T) {
	o, err := otel.New()
	require.NoError(t, err)
	var mux punctual.Mux
	mux.HandleFunc("mail", func(context.Context, punctual.Run) (punctual.Result, error) { return punctual.Result{}, nil })
	lister, ok := o.Middleware(&mux).(punctual.KindLister)
	require.True(t, ok)
	assert.Equal(t, []string{"mail"}, lister.Kinds())
}

func TestATaskOutsideATraceStaysAsItIs(t *testing.T) {
	o, err := otel.New()
	require.NoError(t, err)
	task := punctual.Task{ID: "t", Trace: "kept"}
	assert.Equal(t, task, o.Traced(t.Context(), task))
}
