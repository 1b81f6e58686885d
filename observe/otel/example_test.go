package otel_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/observe/otel"
	"github.com/punctual-go/punctual/store/memory"
)

// The observer counts, the middleware traces, and Watch adds what is asked for when it is read.
func Example() {
	ctx := context.Background()
	reader := metric.NewManualReader() // in production an exporter's
	o, err := otel.New(otel.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(reader))))
	if err != nil {
		log.Fatal(err)
	}
	executor := punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) { return punctual.Result{}, nil })
	s, err := punctual.New(memory.New(), punctual.Chain(executor, o.Middleware), punctual.WithObserver(o))
	if err != nil {
		log.Fatal(err)
	}
	stop, err := o.Watch(s)
	if err != nil {
		log.Fatal(err)
	}
	defer stop()
	if err := s.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := s.Ensure(ctx, o.Traced(ctx, punctual.Task{ID: "feed", Schedule: punctual.Every(time.Hour)})); err != nil {
		log.Fatal(err)
	}
	if err := s.WaitIdle(ctx); err != nil {
		log.Fatal(err)
	}
	if err := s.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}

	var all metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &all); err != nil {
		log.Fatal(err)
	}
	for _, m := range all.ScopeMetrics[0].Metrics {
		if runs, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == "punctual.runs" {
			state, _ := runs.DataPoints[0].Attributes.Value("punctual.run.state")
			fmt.Println(m.Name, state.AsString(), runs.DataPoints[0].Value)
		}
	}
	// Output: punctual.runs succeeded 1
}

// Providers of the host's own in place of the global ones, and time series per task for a program that has few of them.
func ExampleNew() {
	ctx := context.Background()
	spans := tracetest.NewInMemoryExporter() // in production one that sends them away
	o, err := otel.New(
		otel.WithTracerProvider(trace.NewTracerProvider(trace.WithSyncer(spans))),
		otel.WithMeterProvider(metric.NewMeterProvider()),
		otel.WithTaskIDs())
	if err != nil {
		log.Fatal(err)
	}
	executor := punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) { return punctual.Result{}, nil })
	s, err := punctual.New(memory.New(), punctual.Chain(executor, o.Middleware), punctual.WithObserver(o))
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := s.Ensure(ctx, punctual.Task{ID: "feed", Schedule: punctual.Every(time.Hour)}); err != nil {
		log.Fatal(err)
	}
	if err := s.WaitIdle(ctx); err != nil {
		log.Fatal(err)
	}
	if err := s.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	for _, span := range spans.GetSpans() {
		fmt.Println(span.Name)
	}
	// Output:
	// punctual run
}
