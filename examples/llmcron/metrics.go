package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/observe/otel"
)

// metrics serves what the scheduler tells as Prometheus text; docs/observability.md names each metric.
type metrics struct {
	*otel.Observer
	provider *metric.MeterProvider
	registry *prometheus.Registry
	unwatch  func() error
}

func newMetrics() (*metrics, error) {
	m := &metrics{registry: prometheus.NewRegistry()}
	reader, err := exporter.New(exporter.WithRegisterer(m.registry), exporter.WithoutScopeInfo())
	if err != nil {
		return nil, err
	}
	m.provider = metric.NewMeterProvider(metric.WithReader(reader))
	m.Observer, err = otel.New(otel.WithMeterProvider(m.provider))
	return m, err
}

// watch adds figures that are asked for when they are read.
func (m *metrics) watch(s *punctual.Scheduler) (err error) {
	m.unwatch, err = m.Watch(s)
	return err
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

func (m *metrics) close() error {
	var err error
	if m.unwatch != nil {
		err = m.unwatch()
	}
	return errors.Join(err, m.provider.Shutdown(context.Background()))
}
