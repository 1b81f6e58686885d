package otel

import (
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

type config struct {
	meters  metric.MeterProvider
	tracers trace.TracerProvider
	taskIDs bool
}

// Option configures an Observer; see the With functions.
type Option func(*config)

func newConfig(opts []Option) config {
	c := config{meters: otel.GetMeterProvider(), tracers: otel.GetTracerProvider()}
	for _, opt := range opts {
		if opt != nil {
			opt(&c)
		}
	}
	return c
}

// WithMeterProvider sets where metrics go. Default, and for nil, the global provider.
func WithMeterProvider(p metric.MeterProvider) Option {
	return func(c *config) {
		if p != nil {
			c.meters = p
		}
	}
}

// WithTracerProvider sets where spans go. Default, and for nil, the global provider.
func WithTracerProvider(p trace.TracerProvider) Option {
	return func(c *config) {
		if p != nil {
			c.tracers = p
		}
	}
}

// WithTaskIDs adds the attribute punctual.task.id to the metrics of runs and attempts. Each task then has time series of its own, so
// use it only where tasks are few. Default off; spans carry the id always.
func WithTaskIDs() Option {
	return func(c *config) { c.taskIDs = true }
}
