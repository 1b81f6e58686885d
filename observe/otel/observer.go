package otel

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/punctual-go/punctual"
)

const scope = "github.com/punctual-go/punctual/observe/otel"

// Observer turns what a Scheduler tells into metrics, and its Middleware makes spans. Make it with New; one may serve several
// Schedulers. It is safe for concurrent use and starts no goroutine.
type Observer struct {
	config
	*instruments
	meter  metric.Meter
	tracer trace.Tracer

	mu      sync.Mutex           // guards started
	started map[attempt]struct{} // attempts in host code, or whose outcome is not stored yet
}

// attempt names one attempt.
type attempt struct {
	runID  string
	number int
}

var (
	_ punctual.Observer      = (*Observer)(nil)
	_ punctual.StoreObserver = (*Observer)(nil)
)

// New makes an Observer. An error comes from the meter provider and says which instrument it did not make.
func New(opts ...Option) (*Observer, error) {
	o := &Observer{config: newConfig(opts), started: make(map[attempt]struct{})}
	o.meter, o.tracer = o.meters.Meter(scope), o.tracers.Tracer(scope)
	var err error
	if o.instruments, err = newInstruments(o.meter); err != nil {
		return nil, fmt.Errorf("punctual: observe/otel: %w", err)
	}
	return o, nil
}

// Observe implements punctual.Observer.
func (o *Observer) Observe(e punctual.Event) {
	switch e.Type {
	case punctual.EventStarted:
		o.mu.Lock()
		o.started[attempt{e.Run.ID, e.Run.Attempt}] = struct{}{}
		o.mu.Unlock()
		if e.Run.Attempt == 1 {
			late := max(e.Run.StartedAt.Sub(e.Run.ScheduledAt), 0)
			o.lateness.Record(context.Background(), late.Seconds(), o.of(e.Run, keyTrigger.String(e.Run.Trigger.String())))
		}
	case punctual.EventFinished:
		o.final(e.Run, 1)
		// A run that ended between two attempts, or with another instance, ended none here.
		if o.landed(e.Run) {
			o.ended(e, e.Run.State.String())
		}
	case punctual.EventSkipped, punctual.EventMissed:
		o.final(e.Run, e.Count)
		if o.landed(e.Run) { // its executor said so
			o.ended(e, e.Run.State.String())
		}
	case punctual.EventRetried, punctual.EventReleased, punctual.EventLost, punctual.EventStale:
		o.landed(e.Run)
		o.ended(e, e.Type.String())
	}
}

// landed reports whether the attempt was started here, and forgets it.
func (o *Observer) landed(run punctual.Run) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := attempt{run.ID, run.Attempt}
	_, ok := o.started[key]
	delete(o.started, key)
	return ok
}

// final counts a ledger fact.
func (o *Observer) final(run punctual.Run, count int64) {
	attrs := []attribute.KeyValue{keyState.String(run.State.String()), keyTrigger.String(run.Trigger.String())}
	if run.Reason != "" {
		attrs = append(attrs, keyReason.String(run.Reason))
	}
	o.runs.Add(context.Background(), count, o.of(run, attrs...))
}

// ended counts an attempt, and how long it took if it ran to its end here.
func (o *Observer) ended(e punctual.Event, outcome string) {
	attrs := o.of(e.Run, keyOutcome.String(outcome))
	o.attempts.Add(context.Background(), 1, attrs)
	switch e.Type {
	case punctual.EventFinished, punctual.EventRetried:
		end := e.Run.FinishedAt
		if end.IsZero() {
			end = e.At
		}
		o.duration.Record(context.Background(), max(end.Sub(e.Run.StartedAt), 0).Seconds(), attrs)
	}
}

// of adds what each measurement of a run has.
func (o *Observer) of(run punctual.Run, attrs ...attribute.KeyValue) metric.MeasurementOption {
	attrs = append(attrs, keyKind.String(run.Kind))
	if o.taskIDs {
		attrs = append(attrs, keyTaskID.String(run.TaskID))
	}
	return metric.WithAttributeSet(attribute.NewSet(attrs...))
}

// ObserveStore implements punctual.StoreObserver.
func (o *Observer) ObserveStore(c punctual.StoreCall) {
	method := keyMethod.String(c.Method)
	o.storeDuration.Record(context.Background(), c.Duration.Seconds(), metric.WithAttributes(method))
	switch {
	case c.Err != nil:
		o.storeErrors.Add(context.Background(), 1, metric.WithAttributes(method, keyErrorType.String(storeErrorType(c.Err))))
	case c.Method == "claim":
		o.claimed.Record(context.Background(), int64(c.Started))
	}
}

// storeErrorType tells a store that cannot be reached, or takes too long, from one that has another fault.
func storeErrorType(err error) string {
	switch {
	case errors.Is(err, punctual.ErrUnavailable):
		return "unavailable"
	case errors.Is(err, punctual.ErrStoreSchema):
		return "schema"
	}
	return "_OTHER"
}

// Watch adds figures of a Scheduler that are asked for when they are read: attempts in flight, backlog, health. stop ends that; it
// is safe to call more than once.
func (o *Observer) Watch(s *punctual.Scheduler) (stop func() error, err error) {
	registration, err := o.meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		h := s.Health()
		attrs := metric.WithAttributes(keyInstance.String(h.Instance))
		to.ObserveInt64(o.inFlight, int64(h.InFlight), attrs)
		to.ObserveInt64(o.setAside, int64(h.SetAside), attrs)
		to.ObserveFloat64(o.backlog, h.Backlog.Seconds(), attrs)
		to.ObserveFloat64(o.offset, h.ClockOffset.Seconds(), attrs)
		var healthy int64
		if h.OK {
			healthy = 1
		}
		to.ObserveInt64(o.healthy, healthy, attrs)
		return nil
	}, o.inFlight, o.setAside, o.backlog, o.offset, o.healthy)
	if err != nil {
		return nil, fmt.Errorf("punctual: observe/otel: %w", err)
	}
	return registration.Unregister, nil
}
