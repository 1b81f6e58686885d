package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/punctual-go/punctual/bench/internal/report"
	"github.com/punctual-go/punctual/bench/internal/trial"
)

// values are the figures of one measurement by key. Times are in seconds.
type values map[string]float64

// quantiles writes those of sorted times, if there are any.
func (v values) quantiles(sorted []time.Duration) {
	if len(sorted) > 0 {
		v["p50"], v["p99"], v["max"] = trial.Quantile(sorted, 0.50), trial.Quantile(sorted, 0.99), trial.Quantile(sorted, 1)
	}
}

// figure is one number of an answer.
type figure struct {
	key   string
	title string
	unit  report.Unit
}

// row is what is measured in a scenario: a line of its table.
type row struct {
	key     string
	title   string
	store   string // whose server it uses
	measure func(ctx context.Context, b backend, place string, s size) (values, error)
}

// scenario is one question to all rows.
type scenario struct {
	key     string
	group   string // what it is chosen by
	title   string
	about   string
	figures []figure
	rounds  int
	rows    []row
}

// Groups of scenarios: parts of the page, and words for -scenarios.
const (
	groupOccurrences = "occurrences"
	groupBeats       = "every-second"
	groupHandOver    = "hand-over"
	groupClaims      = "claims"
	groupInstances   = "instances"
)

var groups = []string{groupOccurrences, groupBeats, groupHandOver, groupClaims, groupInstances}

var (
	coresFigures = []figure{{"process", "cores", report.Cores}, {"server", "cores of the server", report.Cores}}
	rateFigures  = append([]figure{{"rate", "occurrences/s", report.PerSecond}, {"cpu", "CPU each", report.Duration}}, coresFigures...)
	beatFigures  = append([]figure{
		{"missed", "missed", report.Plain}, {"p50", "late p50", report.Duration}, {"p99", "late p99", report.Duration}, {"max", "latest", report.Duration},
	}, coresFigures...)
	lateFigures  = []figure{{"p50", "p50", report.Duration}, {"p99", "p99", report.Duration}, {"max", "longest", report.Duration}}
	claimFigures = []figure{
		{"few", fmt.Sprintf("claim of %d that are due", fewDue), report.Duration},
		{"finish", fmt.Sprintf("finish of %d", fewDue), report.Duration},
		{"none", "claim that finds nothing due", report.Duration},
	}
	instanceFigures = append(slices.Clone(rateFigures), figure{"lock", "wait for rows", report.Share}, figure{"inner", "wait for each other inside", report.Share},
		figure{"io", "wait for the disk", report.Share})
)

const (
	rowEngine = "engine"
	rowCalls  = "calls"
	rowBare   = "bare"
	rowRiver  = "river"
)

// scenariosOf makes the scenarios of a size.
func scenariosOf(s size) (all []scenario) {
	engineRows := func(measure func(ctx context.Context, b backend, place string, s size) (values, error)) (rows []row) {
		for _, b := range backends {
			rows = append(rows, row{rowEngine + "-" + b.key, b.title, b.key, measure})
		}
		return rows
	}

	occurrences := scenario{
		key: groupOccurrences, group: groupOccurrences, title: report.Count(s.Occurrences) + " occurrences", figures: rateFigures, rounds: s.Rounds,
		about: "So many tasks are due at once and an executor does nothing: each is claimed and moved on, its run is inserted, and the run is finished. The time is that from the " +
			"start until the last result is stored. Store calls are Claim and Finish in batches of " + report.Count(batch) + ", by two workers (one on SQLite, which has one writer). " +
			"The bare loop makes the same writes in the same batches by as many workers.",
	}
	for _, b := range backends {
		occurrences.rows = append(
			occurrences.rows,
			row{rowEngine + "-" + b.key, b.title + ", Scheduler", b.key, engineOccurrences},
			row{rowCalls + "-" + b.key, b.title + ", store calls", b.key, callOccurrences},
			row{rowBare + "-" + b.key, b.title + ", bare loop", b.key, bareOccurrences},
		)
		if b.key == "postgres" {
			occurrences.rows = append(occurrences.rows, row{rowRiver, "River, insert and work", b.key, riverOccurrences})
		}
	}
	all = append(all, occurrences)

	for _, c := range s.beats() {
		sc := scenario{
			key: fmt.Sprintf("%s-%d-%d", groupBeats, c.tasks, c.apart.Microseconds()), group: groupBeats, figures: beatFigures, rounds: 1,
			rows: engineRows(func(ctx context.Context, b backend, place string, s size) (values, error) {
				return engineBeats(ctx, b, place, c, s)
			}),
		}
		river := func(defaults bool) func(ctx context.Context, b backend, place string, _ size) (values, error) {
			return func(ctx context.Context, b backend, place string, s size) (values, error) {
				return riverBeats(ctx, b, place, c, defaults, s)
			}
		}
		if c.apart == 0 {
			sc.rows = append(sc.rows, row{rowBare + "-postgres", "PostgreSQL, bare loop", "postgres", func(ctx context.Context, b backend, place string, s size) (values, error) {
				return bareBeats(ctx, b, place, c, s)
			}})
		}
		if c.tasks <= s.RiverBeats {
			sc.rows = append(sc.rows, row{rowRiver, "River", "postgres", river(false)})
		}
		if s.RiverDefault && c.apart == 0 {
			sc.rows = append(sc.rows, row{rowRiver + "-default", "River, with its default waits", "postgres", river(true)})
		}
		sc.about = "Measured for " + report.Length(c.long) + "."
		sc.title = report.Count(c.tasks) + " tasks every second, all at one instant"
		if c.apart > 0 {
			sc.title = report.Count(c.tasks) + " tasks every second, spread over it"
		} else {
			sc.about += " Two workers of the bare loop claim " + report.Count(batch) + " at a time from the instant on and decide nothing; a start is there when the commit of its claim " +
				"has returned. So late is who begins at the instant. Over PostgreSQL and MariaDB a Scheduler begins before it."
		}
		all = append(all, sc)
	}

	handOver := scenario{
		key: groupHandOver, group: groupHandOver, title: "register here, start there", figures: lateFigures, rounds: 1,
		about: "A task that runs at once is registered on an instance that does not handle its kind, " + report.Count(s.HandOvers) + " times, one after the other. The time is that from the call to " +
			"the first instruction of host code on the other instance.",
	}
	handOver.rows = engineRows(engineHandOver)
	handOver.rows = append(handOver.rows, row{rowRiver, "River", "postgres", riverHandOver})
	all = append(all, handOver)

	for _, tasks := range s.Stored {
		all = append(all, scenario{
			key: fmt.Sprintf("%s-%d", groupClaims, tasks), group: groupClaims, title: report.Count(tasks) + " stored tasks", figures: claimFigures, rounds: 1,
			rows: engineRows(func(ctx context.Context, b backend, place string, s size) (values, error) {
				return claims(ctx, b, place, tasks, s)
			}),
		})
	}

	several := scenario{
		key: groupInstances, group: groupInstances, title: "instances as processes over one PostgreSQL", figures: instanceFigures, rounds: s.Rounds,
	}
	for _, n := range []int{1, 2, 4} {
		several.rows = append(several.rows, row{fmt.Sprint(n), report.Count(n), "postgres", func(ctx context.Context, b backend, place string, s size) (values, error) {
			return instances(ctx, b, place, n, s)
		}})
	}
	return append(all, several)
}

// find returns a scenario and its row.
func find(s size, scenarioKey, rowKey string) (scenario, row, error) {
	for _, sc := range scenariosOf(s) {
		for _, r := range sc.rows {
			if sc.key == scenarioKey && r.key == rowKey {
				return sc, r, nil
			}
		}
	}
	return scenario{}, row{}, fmt.Errorf("there is no %q in a scenario %q", rowKey, scenarioKey)
}

// size says how much a measurement does.
type size struct {
	Occurrences  int
	Rounds       int
	Beats        []int         // tasks that are due every second
	Together     time.Duration // how long they are measured when all are due at one instant
	Spread       time.Duration // and when they are spread; zero for not at all
	Lead         time.Duration // how long they run before they are measured
	RiverLead    time.Duration // the same of River
	RiverBeats   int           // up to how many River is asked for
	RiverDefault bool          // also with its default waits
	Grace        time.Duration // how long the last starts are waited for
	HandOvers    int
	Stored       []int // tasks among which few are due
	Claims       int   // of each kind that are timed
	Limit        time.Duration
}

var (
	fullSize = size{
		Occurrences: 100_000, Rounds: 3,
		Beats: []int{1_000, 10_000}, Together: 20 * time.Second, Spread: 10 * time.Second, Lead: 3 * time.Second, RiverLead: 8 * time.Second,
		RiverBeats: 10_000, RiverDefault: true, Grace: 3 * time.Second,
		HandOvers: 300, Stored: []int{1_000, 10_000, 100_000, 1_000_000}, Claims: 200, Limit: 2 * time.Minute,
	}
	quickSize = size{
		Occurrences: 20_000, Rounds: 1,
		Beats: []int{1_000, 10_000}, Together: 3 * time.Second, Lead: time.Second, RiverLead: 8 * time.Second, RiverBeats: 1_000, Grace: 2 * time.Second,
		HandOvers: 50, Stored: []int{1_000, 10_000, 100_000}, Claims: 50, Limit: 40 * time.Second,
	}
)

// beats are the measurements of tasks that are due every second.
func (s size) beats() (all []beats) {
	for _, tasks := range s.Beats {
		all = append(all, beats{tasks: tasks, long: s.Together})
		if s.Spread > 0 {
			all = append(all, beats{tasks: tasks, apart: period / time.Duration(tasks), long: s.Spread})
		}
	}
	return all
}

// order is what a child is to measure.
type order struct {
	Scenario, Row string
	Place         string
	Size          size
}

// outcome is what a child found: values, or why there are none.
type outcome struct {
	Values values `json:",omitempty"`
	Reason string `json:",omitempty"`
}

// child carries out one order.
func child(o order) (outcome, error) {
	_, r, err := find(o.Size, o.Scenario, o.Row)
	if err != nil {
		return outcome{}, err
	}
	b, err := backendOf(r.store)
	if err != nil {
		return outcome{}, err
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), o.Size.Limit, errors.New("it took longer than "+report.Length(o.Size.Limit)))
	defer cancel()
	v, err := r.measure(ctx, b, o.Place, o.Size)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		return outcome{Reason: err.Error()}, nil
	}
	return outcome{Values: v}, nil
}
