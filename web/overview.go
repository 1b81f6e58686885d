package web

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/punctual-go/punctual"
)

// window is a span of time that charts cover.
type window struct {
	Name    string
	Words   string
	Span    time.Duration
	Buckets int
}

var windows = []window{
	{"1h", "the last hour", time.Hour, 60},
	{"24h", "the last 24 hours", 24 * time.Hour, 48},
	{"7d", "the last 7 days", 7 * 24 * time.Hour, 56},
}

// windowOf returns the window of that name; the empty name is that of the second.
func windowOf(name string) (window, error) {
	if name == "" {
		name = "24h"
	}
	i := slices.IndexFunc(windows, func(w window) bool { return w.Name == name })
	if i < 0 {
		return window{}, fmt.Errorf("%w: the window %q is none of 1h, 24h, 7d", errBadRequest, readable(name))
	}
	return windows[i], nil
}

// outcomes counts ledger rows by what became of them.
type outcomes struct {
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Canceled  int `json:"canceled"`
	Skipped   int `json:"skipped"`
	Missed    int `json:"missed"`
	Lost      int `json:"lost"`
}

func (o *outcomes) add(s punctual.State) {
	if n := o.of(s); n != nil {
		*n++
	}
}

func (o *outcomes) of(s punctual.State) *int {
	switch s {
	case punctual.StateSucceeded:
		return &o.Succeeded
	case punctual.StateFailed:
		return &o.Failed
	case punctual.StateCanceled:
		return &o.Canceled
	case punctual.StateSkipped:
		return &o.Skipped
	case punctual.StateMissed:
		return &o.Missed
	case punctual.StateLost:
		return &o.Lost
	default:
		return nil
	}
}

// finals are the final states, the worst first: the order in which charts stack them and a day takes its colour.
var finals = []punctual.State{
	punctual.StateFailed, punctual.StateLost, punctual.StateMissed, punctual.StateSkipped, punctual.StateCanceled, punctual.StateSucceeded,
}

// Total is how many there are.
func (o *outcomes) Total() int {
	return o.Succeeded + o.Failed + o.Canceled + o.Skipped + o.Missed + o.Lost
}

// Count returns how many ended in the state.
func (o *outcomes) Count(s punctual.State) int {
	if n := o.of(s); n != nil {
		return *n
	}
	return 0
}

type bucket struct {
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Outcomes outcomes  `json:"outcomes"`
}

// spread is the distribution of durations, in seconds.
type spread struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	Max   float64 `json:"max"`
}

func spreadOf(durations []time.Duration) spread {
	if len(durations) == 0 {
		return spread{}
	}
	slices.Sort(durations)
	at := func(share float64) float64 { return durations[int(share*float64(len(durations)-1)+0.5)].Seconds() }
	return spread{len(durations), at(0.5), at(0.95), at(1)}
}

// latenessSteps are the upper bounds of the bars of the lateness chart; the last bar has none.
var latenessSteps = []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, time.Second, 10 * time.Second, time.Minute}

// overview is the state of everything in figures.
type overview struct {
	At    time.Time      `json:"at"`
	Tasks overviewTasks  `json:"tasks"`
	Runs  overviewRuns   `json:"runs"`
	Chart overviewWindow `json:"window"`
	// Lateness is of the first attempts of runs on time, in the window.
	Lateness spread          `json:"lateness_seconds"`
	Health   punctual.Health `json:"health"`

	lateBars []int // counts by latenessSteps
	survey   survey
	history  history
}

type overviewTasks struct {
	Total     int            `json:"total"`
	Cut       bool           `json:"cut"` // more tasks exist than were counted
	Standings map[string]int `json:"standings"`
	DueInHour int            `json:"due_in_hour"` // tasks whose next run lies within an hour
}

type overviewRuns struct {
	Running int  `json:"running"`
	Pending int  `json:"pending"`
	Overdue int  `json:"overdue"` // pending runs that could start but for a free slot
	Cut     bool `json:"cut"`     // there are more live runs than were counted
}

type overviewWindow struct {
	Name     string    `json:"name"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Since    time.Time `json:"since"` // earlier runs were not read: a bound was reached
	Outcomes outcomes  `json:"outcomes"`
	Buckets  []bucket  `json:"buckets"`
}

func (d *dashboard) overview(ctx context.Context, w window) (*overview, error) {
	tasks, err := d.survey(ctx)
	if err != nil {
		return nil, err
	}
	h, err := d.history(ctx)
	if err != nil {
		return nil, err
	}
	now := d.clock.Now().UTC()
	o := &overview{At: now, Health: d.s.Health(), survey: tasks, history: h}
	o.Tasks = overviewTasks{Total: len(tasks.tasks), Cut: tasks.cut, Standings: tasks.counts}
	_, o.Tasks.DueInHour = tasks.upcoming(now.Add(time.Hour), 0)
	o.Runs = overviewRuns{Running: h.count(punctual.StateRunning), Pending: h.count(punctual.StatePending), Cut: h.liveCut}
	for _, f := range h.in(maxLive, punctual.StatePending) {
		o.Runs.Overdue += btoi(!f.Due.IsZero() && !f.Due.After(now))
	}

	// Buckets end at whole multiples of their length, so that the past does not move with each look.
	step := w.Span / time.Duration(w.Buckets)
	to := now.Truncate(step).Add(step)
	from := to.Add(-w.Span)
	o.Chart = overviewWindow{Name: w.Name, From: from, To: to, Since: latestOf(from, h.since), Buckets: make([]bucket, w.Buckets)}
	for i := range o.Chart.Buckets {
		o.Chart.Buckets[i].From = from.Add(time.Duration(i) * step)
		o.Chart.Buckets[i].To = from.Add(time.Duration(i+1) * step)
	}
	o.lateBars = make([]int, len(latenessSteps)+1)
	var lateness []time.Duration
	for _, f := range h.between(from, to) {
		if f.State.Final() {
			o.Chart.Outcomes.add(f.State)
			o.Chart.Buckets[f.at().Sub(from)/step].Outcomes.add(f.State)
		}
		if l, ok := f.lateness(); ok {
			l = max(l, 0)
			lateness = append(lateness, l)
			bar, _ := slices.BinarySearch(latenessSteps, l) // just a step belongs to the bar that ends there
			o.lateBars[bar]++
		}
	}
	o.Lateness = spreadOf(lateness)
	return o, nil
}

func latestOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
