package otel

import (
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Keys of attributes.
const (
	keyInstance    = attribute.Key("punctual.instance")
	keyTaskID      = attribute.Key("punctual.task.id")
	keyTaskName    = attribute.Key("punctual.task.name")
	keyKind        = attribute.Key("punctual.task.kind")
	keyRunID       = attribute.Key("punctual.run.id")
	keyTrigger     = attribute.Key("punctual.run.trigger")
	keyState       = attribute.Key("punctual.run.state")
	keyReason      = attribute.Key("punctual.run.reason")
	keyAttempt     = attribute.Key("punctual.run.attempt")
	keyScheduledAt = attribute.Key("punctual.run.scheduled_at")
	keyOutcome     = attribute.Key("punctual.attempt.outcome")
	keyMethod      = attribute.Key("punctual.store.method")
	keyErrorType   = attribute.Key("error.type")
)

// Bounds of the histograms. Lateness is a few milliseconds on an idle machine; attempts take from milliseconds to hours.
var (
	latenessBounds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30, 300, 3600}
	durationBounds = []float64{.005, .01, .05, .1, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200}
	storeBounds    = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}
	claimBounds    = []float64{0, 1, 2, 5, 10, 25, 50, 100, 250, 500}
)

type instruments struct {
	runs          metric.Int64Counter
	attempts      metric.Int64Counter
	duration      metric.Float64Histogram
	lateness      metric.Float64Histogram
	storeDuration metric.Float64Histogram
	storeErrors   metric.Int64Counter
	claimed       metric.Int64Histogram

	inFlight metric.Int64ObservableUpDownCounter
	backlog  metric.Float64ObservableGauge
	setAside metric.Int64ObservableUpDownCounter
	healthy  metric.Int64ObservableGauge
	offset   metric.Float64ObservableGauge
}

func newInstruments(m metric.Meter) (*instruments, error) {
	var i instruments
	var errs [12]error
	i.runs, errs[0] = m.Int64Counter("punctual.runs", metric.WithUnit("{run}"),
		metric.WithDescription("Ledger facts that became final; a range of skipped or missed occurrences counts by its number."))
	i.attempts, errs[1] = m.Int64Counter("punctual.attempts", metric.WithUnit("{attempt}"),
		metric.WithDescription("Attempts that ended."))
	i.duration, errs[2] = m.Float64Histogram("punctual.attempt.duration", metric.WithUnit("s"),
		metric.WithDescription("How long attempts took."), metric.WithExplicitBucketBoundaries(durationBounds...))
	i.lateness, errs[3] = m.Float64Histogram("punctual.run.lateness", metric.WithUnit("s"),
		metric.WithDescription("Time from the scheduled instant to the start of the first attempt."), metric.WithExplicitBucketBoundaries(latenessBounds...))
	i.storeDuration, errs[4] = m.Float64Histogram("punctual.store.call.duration", metric.WithUnit("s"),
		metric.WithDescription("How long calls to the store took."), metric.WithExplicitBucketBoundaries(storeBounds...))
	i.storeErrors, errs[5] = m.Int64Counter("punctual.store.errors", metric.WithUnit("{error}"),
		metric.WithDescription("Calls to the store that failed."))
	i.claimed, errs[6] = m.Int64Histogram("punctual.claim.runs", metric.WithUnit("{run}"),
		metric.WithDescription("How many runs a claim started."), metric.WithExplicitBucketBoundaries(claimBounds...))
	i.inFlight, errs[7] = m.Int64ObservableUpDownCounter("punctual.attempt.in_flight", metric.WithUnit("{attempt}"),
		metric.WithDescription("Attempts whose outcome is not stored yet."))
	i.backlog, errs[8] = m.Float64ObservableGauge("punctual.backlog.age", metric.WithUnit("s"),
		metric.WithDescription("For how long the earliest due work has been waiting to start."))
	i.setAside, errs[9] = m.Int64ObservableUpDownCounter("punctual.task.set_aside", metric.WithUnit("{task}"),
		metric.WithDescription("Tasks that cannot be decided and wait for somebody to reschedule them."))
	i.healthy, errs[10] = m.Int64ObservableGauge("punctual.instance.healthy", metric.WithUnit("{instance}"),
		metric.WithDescription("1 while nothing needs attention, else 0."))
	i.offset, errs[11] = m.Float64ObservableGauge("punctual.instance.clock_offset", metric.WithUnit("s"),
		metric.WithDescription("How far the store's clock is ahead of the instance's."))
	return &i, errors.Join(errs[:]...)
}
