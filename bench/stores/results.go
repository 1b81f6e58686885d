package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/punctual-go/punctual/bench/internal/machine"
	"github.com/punctual-go/punctual/bench/internal/report"
	"github.com/punctual-go/punctual/bench/internal/trial"
)

// results are all outcomes of a run of the program, with what has to be known about them.
type results struct {
	Date     string // of the beginning
	Machine  machine.Machine
	Versions map[string]string // by store, and of River
	Size     size
	Took     time.Duration
	Nice     int
	Others   float64 // cores that processes other than this, its children and the servers used; less than zero when not known
	Outcomes []measured
}

// measured are the outcomes of one row of a scenario, a round each.
type measured struct {
	Scenario, Row string
	Outcomes      []outcome
}

// of returns the outcomes of a row.
func (r *results) of(scenario, row string) []outcome {
	for _, m := range r.Outcomes {
		if m.Scenario == scenario && m.Row == row {
			return m.Outcomes
		}
	}
	return nil
}

func (r *results) add(scenario, row string, o outcome) {
	for i := range r.Outcomes {
		if m := &r.Outcomes[i]; m.Scenario == scenario && m.Row == row {
			m.Outcomes = append(m.Outcomes, o)
			return
		}
	}
	r.Outcomes = append(r.Outcomes, measured{scenario, row, []outcome{o}})
}

// spreadOf returns the spread of a figure; false when no round has it.
func (r *results) spreadOf(scenario, row, figure string) (report.Spread, bool) {
	var found []float64
	for _, o := range r.of(scenario, row) {
		if v, ok := o.Values[figure]; ok {
			found = append(found, v)
		}
	}
	return report.SpreadOf(found)
}

// reason is why the last round of a row came to no figures; empty when it did.
func (r *results) reason(scenario, row string) string {
	if all := r.of(scenario, row); len(all) > 0 {
		return all[len(all)-1].Reason
	}
	return ""
}

func load(name string) (*results, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var r results
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &r, nil
}

func (r *results) save(name string) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644)
}

// campaign is one run of the program.
type campaign struct {
	scenarios []scenario
	backends  []backend
	size      size
	progress  io.Writer
	after     func(*results) error // called after each scenario and round with the results so far; nil for nothing

	results *results
	places  int
	missing map[string]string // by store: why it cannot be measured
}

// run measures every row of every scenario, round by round. A round of a scenario begins with another row, so that whatever else the machine
// does meets all of them. A row that fails says so, and the others go on.
func (c *campaign) run(ctx context.Context) (*results, error) {
	began := time.Now()
	c.missing = make(map[string]string)
	c.results = &results{
		Date: began.Format(time.DateOnly), Machine: machine.This(), Nice: machine.Niceness(), Versions: make(map[string]string), Size: c.size,
	}
	for _, b := range c.backends {
		version, err := b.version(ctx)
		if err != nil {
			c.missing[b.key] = "there is no such server: " + line(err.Error())
			continue
		}
		c.results.Versions[b.key] = version
	}
	version, err := report.Version("github.com/riverqueue/river")
	if err != nil {
		return nil, err
	}
	c.results.Versions[rowRiver] = version
	others := watchOthers(ctx, c.backends)
	for _, sc := range c.scenarios {
		for round := range sc.rounds {
			for i := range sc.rows {
				if err := c.ask(ctx, sc, sc.rows[(round+i)%len(sc.rows)], round); err != nil {
					return nil, err
				}
			}
			c.results.Took, c.results.Others = time.Since(began).Round(time.Second), others()
			if c.after != nil {
				if err := c.after(c.results); err != nil {
					return nil, err
				}
			}
		}
	}
	return c.results, nil
}

// watchOthers returns a function that tells how many cores others than this program and the servers have used on average since; less than
// zero when that is not known.
func watchOthers(ctx context.Context, all []backend) func() float64 {
	began := time.Now()
	others := machine.WatchOthers()
	var families []machine.Family
	var before time.Duration
	for _, b := range all {
		if b.server == nil {
			continue
		}
		if family, err := b.server(ctx); err == nil {
			used, _ := family.CPUTime()
			families = append(families, family)
			before += used
		}
	}
	return func() float64 {
		cores := others()
		if cores < 0 {
			return cores
		}
		for _, family := range families {
			used, err := family.CPUTime()
			if err != nil {
				return -1
			}
			cores -= used.Seconds() / time.Since(began).Seconds()
		}
		return max(0, cores+before.Seconds()/time.Since(began).Seconds())
	}
}

// ask measures one row once, in a place of its own. A row that failed is not asked again.
func (c *campaign) ask(ctx context.Context, sc scenario, r row, round int) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	chosen := slices.IndexFunc(c.backends, func(b backend) bool { return b.key == r.store })
	if chosen < 0 || c.results.reason(sc.key, r.key) != "" {
		return nil
	}
	if reason, missing := c.missing[r.store]; missing {
		c.results.add(sc.key, r.key, outcome{Reason: reason})
		return nil
	}
	began := time.Now()
	o, err := c.measure(ctx, sc, r, c.backends[chosen])
	if err != nil {
		return err
	}
	fmt.Fprintf(c.progress, "%s, %s, round %d of %d: %.1f s %s\n", sc.key, r.key, round+1, sc.rounds, time.Since(began).Seconds(), o.Reason)
	c.results.add(sc.key, r.key, o)
	return nil
}

// clearing is how long a place may take to be made or removed.
const clearing = time.Minute

func (c *campaign) measure(ctx context.Context, sc scenario, r row, b backend) (outcome, error) {
	c.places++
	return c.measureAt(ctx, sc, r, b, placeName(c.places))
}

// measureAt has a child measure in a place, which is made before and removed after it, also when this program is interrupted.
func (c *campaign) measureAt(ctx context.Context, sc scenario, r row, b backend, place string) (o outcome, err error) {
	defer func() {
		clear, cancel := context.WithTimeout(context.WithoutCancel(ctx), clearing)
		defer cancel()
		if failure := b.remove(clear, place); failure != nil && err == nil {
			err = fmt.Errorf("%s of %s is left behind: %w", place, b.title, failure)
		}
	}()
	if err := b.make(ctx, place); err != nil {
		return outcome{Reason: line(err.Error())}, ctx.Err()
	}
	err = trial.Run(ctx, order{sc.key, r.key, place, c.size}, &o, c.size.Limit+clearing)
	switch {
	case ctx.Err() != nil:
		return outcome{}, ctx.Err()
	case err != nil:
		o = outcome{Reason: err.Error()}
	}
	o.Reason = line(o.Reason)
	return o, nil
}

// line makes a text fit for a cell of a table.
func line(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	text = strings.ReplaceAll(text, "|", "/")
	if runes := []rune(text); len(runes) > 200 {
		text = string(runes[:200]) + "…"
	}
	return text
}
