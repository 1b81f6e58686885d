package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/punctual-go/punctual"
)

// metrics counts what the scheduler tells.
type metrics struct {
	registry *prometheus.Registry
	runs     *prometheus.CounterVec
	duration prometheus.Histogram
	lateness prometheus.Histogram
	failing  prometheus.Gauge
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "llmcron_runs_total", Help: "Runs that ended, by trigger and state. A missed range counts its occurrences.",
		}, []string{"trigger", "state"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "llmcron_run_duration_seconds", Help: "Time from start to end of the last attempt.",
			Buckets: []float64{.01, .05, .1, .5, 1, 2, 5, 10, 30, 60, 120, 300},
		}),
		lateness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "llmcron_run_lateness_seconds", Help: "Time from the scheduled instant to the start of the first attempt.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 30, 300},
		}),
		failing: prometheus.NewGauge(prometheus.GaugeOpts{Name: "llmcron_store_failing", Help: "1 while the store fails."}),
	}
	m.registry.MustRegister(m.runs, m.duration, m.lateness, m.failing)
	return m
}

// watch adds figures that are asked for when they are read.
func (m *metrics) watch(s *punctual.Scheduler) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "llmcron_runs_in_flight", Help: "Attempts whose outcome is not stored yet.",
	}, func() float64 { return float64(s.Health().InFlight) }))
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Observe implements punctual.Observer.
func (m *metrics) Observe(e punctual.Event) {
	switch e.Type {
	case punctual.EventStarted:
		if e.Run.Attempt == 1 {
			m.lateness.Observe(max(e.Run.StartedAt.Sub(e.Run.ScheduledAt).Seconds(), 0))
		}
	case punctual.EventFinished:
		m.runs.WithLabelValues(e.Run.Trigger.String(), e.Run.State.String()).Inc()
		if !e.Run.StartedAt.IsZero() {
			m.duration.Observe(e.Run.FinishedAt.Sub(e.Run.StartedAt).Seconds())
		}
	case punctual.EventSkipped, punctual.EventMissed:
		m.runs.WithLabelValues(e.Run.Trigger.String(), e.Run.State.String()).Add(float64(e.Run.Count))
	case punctual.EventStoreFailing:
		m.failing.Set(1)
	case punctual.EventStoreWorking:
		m.failing.Set(0)
	}
}
