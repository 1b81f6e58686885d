package otel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/punctual-go/punctual"
)

// Middleware makes a span around each attempt; pass it to punctual.Chain. The executor's context carries the span. What it
// returns handles the same kinds as next.
func (o *Observer) Middleware(next punctual.Executor) punctual.Executor {
	return punctual.Chain(next, func(next punctual.Executor) punctual.Executor {
		return punctual.ExecutorFunc(func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
			return o.attempt(ctx, run, next)
		})
	})
}

func (o *Observer) attempt(ctx context.Context, run punctual.Run, next punctual.Executor) (result punctual.Result, err error) {
	name := "punctual run"
	if run.Kind != "" {
		name += " " + run.Kind
	}
	options := []trace.SpanStartOption{
		trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(
			keyTaskID.String(run.TaskID), keyTaskName.String(run.TaskName), keyKind.String(run.Kind), keyRunID.String(run.ID),
			keyTrigger.String(run.Trigger.String()), keyAttempt.Int(run.Attempt), keyScheduledAt.String(run.ScheduledAt.UTC().Format(time.RFC3339Nano)),
		),
	}
	if origin := registration(run.Trace); origin.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: origin}))
	}
	ctx, span := o.tracer.Start(ctx, name, options...)
	returned := false
	defer func() {
		if !returned {
			// The engine recovers the panic and keeps its stack; here it only must not be taken for a success.
			span.SetStatus(codes.Error, "the executor did not return")
			span.SetAttributes(keyErrorType.String("panic"))
		}
		span.End()
	}()
	result, err = next.Execute(ctx, run)
	returned = true
	if reason, skipped := punctual.SkipOf(err); skipped {
		span.SetAttributes(keyReason.String(reason)) // no error: there was nothing to do
	} else if err != nil {
		span.SetStatus(codes.Error, err.Error())
		span.SetAttributes(keyErrorType.String(errorType(ctx, err)))
	}
	return result, err
}

// errorType says in a word of low cardinality why an attempt failed: what ended its context, or the type of its error.
func errorType(ctx context.Context, err error) string {
	for _, cause := range []struct {
		err  error
		name string
	}{
		{punctual.ErrTimeout, "timeout"},
		{punctual.ErrCanceled, "canceled"},
		{punctual.ErrReplaced, "replaced"},
		{punctual.ErrLeaseLost, "lease_lost"},
		{punctual.ErrShutdown, "shutdown"},
	} {
		if errors.Is(context.Cause(ctx), cause.err) {
			return cause.name
		}
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return fmt.Sprintf("%T", err)
		}
		err = inner
	}
}

// Traced returns the task with the trace that ctx is in, so that its runs link with it: s.Ensure(ctx, o.Traced(ctx, task)). Without a span
// in ctx the task stays as it is.
func (o *Observer) Traced(ctx context.Context, task punctual.Task) punctual.Task {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	if parent := carrier.Get("traceparent"); parent != "" {
		task.Trace = parent
	}
	return task
}

// registration reads a traceparent; what cannot be read is no span context.
func registration(traceparent string) trace.SpanContext {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": traceparent})
	return trace.SpanContextFromContext(ctx)
}
