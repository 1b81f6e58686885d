package main

import (
	"fmt"

	"github.com/punctual-go/punctual/bench/internal/report"
)

// scenario is one question to all libraries.
type scenario struct {
	key     string
	title   func(size) string
	about   func(size) string // what is done and measured, in the page
	figures []figure
	tasks   func(size) int // how many are registered before anything is measured; nil for none
	waits   bool           // hardly anything is done while it is measured, so libraries do not disturb each other
	measure func(lib library, s size) (values, error)
}

// figure is one number of the answer.
type figure struct {
	key   string
	title string
	unit  report.Unit
}

// values are the figures of one measurement by key. Times are in seconds.
type values map[string]float64

var scenarios = []scenario{
	{
		key: "register", title: func(s size) string { return "register " + report.Count(s.Register) + " before the start" },
		about: func(size) string {
			return "Hourly tasks are registered one after the other, from one goroutine, with an engine that has not been started. Memory is what lives on the heap afterwards, ids included."
		},
		figures: []figure{{"rate", "tasks/s", report.PerSecond}, {"bytes", "each", report.BytesEach}},
		measure: func(lib library, s size) (values, error) { return register(lib, s, false) },
	},
	{
		key: "register-running", title: func(s size) string { return "register " + report.Count(s.Register) + " after the start" },
		about: func(size) string {
			return "The same with an engine that has been started. Nothing is due."
		},
		figures: []figure{{"rate", "tasks/s", report.PerSecond}, {"bytes", "each", report.BytesEach}},
		measure: func(lib library, s size) (values, error) { return register(lib, s, true) },
	},
	{
		key: "fires", title: func(s size) string { return report.Count(s.Slow) + " fires/s" },
		about: func(s size) string {
			return "So many tasks with a period of " + report.Length(period) + ", their first instants spread evenly over it, are registered before the start. After " + report.Length(s.Warm) + " of warming up, " + report.Length(s.Long) + " are measured. Late is the time from the last instant at which the task was due to the first instruction of host code, so what is late by more than the period shows among the starts that are missing, not here."
		},
		figures: firesFigures,
		tasks:   func(s size) int { return s.Slow },
		measure: func(lib library, s size) (values, error) { return fires(lib, s, s.Slow) },
	},
	{
		key: "fires-fast", title: func(s size) string { return report.Count(s.Fast) + " fires/s" },
		about: func(s size) string {
			return "The same with more tasks."
		},
		figures: firesFigures,
		tasks:   func(s size) int { return s.Fast },
		measure: func(lib library, s size) (values, error) { return fires(lib, s, s.Fast) },
	},
	{
		key: "burst", title: func(s size) string { return "burst of " + report.Count(s.Burst) + " at one instant" },
		about: func(size) string {
			return "All tasks are due at the same instant, and again an hour later. The rate is that of all starts, from the instant to the last one."
		},
		figures: []figure{{"rate", "starts/s", report.PerSecond}, {"fired", "of all", report.Share}, {"first", "first after", report.Duration}},
		tasks:   func(s size) int { return s.Burst },
		measure: burst,
	},
	{
		key: "start", title: func(s size) string {
			return "register to start, " + report.Count(s.Registered) + " registered, back to back"
		},
		about: func(s size) string {
			return "An hourly task that also runs at once is registered, its start is awaited, and so on: " + report.Count(s.Calls) + " times, or as often as " + report.Length(s.Repeat) + " allow. The time is that from the call to the first instruction of host code."
		},
		figures: startFigures,
		tasks:   func(s size) int { return s.Registered },
		measure: func(lib library, s size) (values, error) { return starts(lib, s, 0) },
	},
	{
		key: "start-idle", title: func(s size) string {
			return "register to start, " + report.Count(s.Registered) + " registered, " + report.Length(pauseBetween) + " between calls"
		},
		about: func(size) string {
			return "The same, with a pause before each call in which the caller keeps a core busy and the engine has nothing to do, so that the engine has to wake."
		},
		figures: startFigures,
		tasks:   func(s size) int { return s.Registered },
		measure: func(lib library, s size) (values, error) { return starts(lib, s, pauseBetween) },
	},
	{
		key: "edit", title: func(s size) string { return "reschedule and remove, " + report.Count(s.Registered) + " registered" },
		about: func(s size) string {
			return "Tasks are given another period, and then removed, each in a shuffled order, for as many as " + report.Length(s.Repeat) + " allow. The engine runs."
		},
		figures: []figure{{"reschedule", "reschedules/s", report.PerSecond}, {"remove", "removes/s", report.PerSecond}},
		tasks:   func(s size) int { return s.Registered },
		measure: edit,
	},
	{
		key: "idle", title: func(s size) string { return report.Count(s.Registered) + " idle for " + report.Length(s.Idle) },
		about: func(s size) string {
			return "Hourly tasks, none of them due. Measured for all libraries at the same time, since they do nothing. Goroutines are those that the engine has."
		},
		figures: []figure{{"cpu", "cores", report.Cores}, {"goroutines", "goroutines", report.Plain}},
		tasks:   func(s size) int { return s.Registered },
		waits:   true,
		measure: idle,
	},
	{
		key: "drain", title: func(s size) string { return "drain of " + report.Count(s.Drain) + " × " + report.Length(s.Work) },
		about: func(size) string {
			return "So many runs have started and sleep, when the engine is told to stop and to wait for them. Both figures count from the last start."
		},
		figures: []figure{{"took", "took", report.Duration}, {"cpu", "CPU", report.Duration}},
		measure: drain,
	},
}

var firesFigures = []figure{
	{"p50", "late p50", report.Duration}, {"p99", "late p99", report.Duration}, {"cpu", "cores", report.Cores}, {"fired", "of all", report.Share},
}

var startFigures = []figure{
	{"p50", "p50", report.Duration}, {"p99", "p99", report.Duration}, {"alone", "p50 with no other task", report.Duration},
}

func scenarioOf(key string) (scenario, error) {
	for _, sc := range scenarios {
		if sc.key == key {
			return sc, nil
		}
	}
	return scenario{}, fmt.Errorf("there is no scenario %q", key)
}

// gaveUp is a measurement that came to no figures.
type gaveUp struct {
	reason string
	tasks  int // more than the library could register in the time given; zero for another reason
}

func (g *gaveUp) Error() string { return g.reason }
