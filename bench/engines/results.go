package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/punctual-go/punctual/bench/internal/machine"
	"github.com/punctual-go/punctual/bench/internal/report"
)

// results are all outcomes of a run of the program, with what has to be known about them.
type results struct {
	Date     string // of the beginning
	Machine  machine.Machine
	Versions map[string]string // by library; the floors have none
	Size     size
	Took     time.Duration
	Nice     int     // of this process and its children; less than zero for precedence over others
	Others   float64 // cores that other processes used meanwhile; less than zero when that is not known
	Outcomes []measured
}

// measured are the outcomes of one library in one scenario, a round each; or of the growth with a number of tasks.
type measured struct {
	Scenario string
	Tasks    int `json:",omitempty"` // of the growth
	Library  string
	Outcomes []outcome
}

// of returns the outcomes of a library in a scenario, or of the growth with a number of tasks.
func (r *results) of(scenario string, tasks int, library string) []outcome {
	if m := r.find(scenario, tasks, library); m != nil {
		return m.Outcomes
	}
	return nil
}

func (r *results) find(scenario string, tasks int, library string) *measured {
	for i := range r.Outcomes {
		if m := &r.Outcomes[i]; m.Scenario == scenario && m.Tasks == tasks && m.Library == library {
			return m
		}
	}
	return nil
}

func (r *results) add(scenario string, tasks int, library string, o outcome) {
	m := r.find(scenario, tasks, library)
	if m == nil {
		r.Outcomes = append(r.Outcomes, measured{Scenario: scenario, Tasks: tasks, Library: library})
		m = &r.Outcomes[len(r.Outcomes)-1]
	}
	m.Outcomes = append(m.Outcomes, o)
}

// reason is why a library is not asked again; empty when it is.
func (r *results) reason(scenario string, tasks int, library string) string {
	if outcomes := r.of(scenario, tasks, library); len(outcomes) > 0 {
		return outcomes[len(outcomes)-1].Reason
	}
	return ""
}

// load reads results that a run has written.
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
	return os.WriteFile(name, append(text, '\n'), 0o644)
}

// campaign is one run of the program.
type campaign struct {
	scenarios []scenario
	libraries []library
	growth    bool
	size      size
	progress  io.Writer
	after     func(*results) error // called after each round with the results so far; nil for nothing

	mu      sync.Mutex // guards all below
	results *results
	tooMany map[string]outcome // by library: the fewest tasks that it could not take
}

// run measures every library in every scenario, round by round. A round visits all libraries for a scenario before the next scenario, and
// begins with another library, so that whatever else the machine does meets all of them. A library that came to no figures is not asked
// again, nor where as many tasks are needed as it could not take elsewhere.
func (c *campaign) run(ctx context.Context) (*results, error) {
	began := time.Now()
	c.tooMany = make(map[string]outcome)
	c.results = &results{
		Date: began.Format(time.DateOnly), Machine: machine.This(), Nice: machine.Niceness(), Versions: make(map[string]string), Size: c.size,
	}
	for _, lib := range c.libraries {
		if lib.module == "" {
			continue
		}
		version, err := report.Version(lib.module)
		if err != nil {
			return nil, err
		}
		c.results.Versions[lib.key] = version
	}
	watch := machine.WatchOthers()
	if c.growth {
		for round := range c.size.GrowthRounds {
			if err := c.grow(ctx, round); err != nil {
				return nil, err
			}
		}
	}
	for round := range c.size.Rounds {
		for _, sc := range c.scenarios {
			if err := c.visit(ctx, sc, round); err != nil {
				return nil, err
			}
		}
		c.results.Size.Rounds = round + 1
		c.results.Took, c.results.Others = time.Since(began).Round(time.Second), watch()
		if c.after != nil {
			if err := c.after(c.results); err != nil {
				return nil, err
			}
		}
	}
	return c.results, nil
}

// visit asks all libraries once. Those that only have to wait are asked at the same time.
func (c *campaign) visit(ctx context.Context, sc scenario, round int) error {
	var asked sync.WaitGroup
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for i := range c.libraries {
		lib := c.libraries[(round+i)%len(c.libraries)]
		ask := func() {
			if err := c.ask(ctx, sc, lib, round); err != nil {
				cancel(err)
			}
		}
		if sc.waits {
			asked.Go(ask)
		} else {
			ask()
		}
	}
	asked.Wait()
	return context.Cause(ctx)
}

func (c *campaign) ask(ctx context.Context, sc scenario, lib library, round int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c.mu.Lock()
	limit, known := c.tooMany[lib.key]
	tooMany := known && sc.tasks != nil && sc.tasks(c.size) >= limit.Tasks
	if tooMany {
		c.results.add(sc.key, 0, lib.key, limit)
	}
	over := c.results.reason(sc.key, 0, lib.key) != ""
	c.mu.Unlock()
	if tooMany || over {
		return nil
	}
	began := time.Now()
	o, err := measure(ctx, order{Library: lib.key, Scenario: sc.key, Size: c.size})
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(c.progress, "%s, %s, round %d of %d: %.1f s\n", sc.key, lib.key, round+1, c.size.Rounds, time.Since(began).Seconds())
	c.results.add(sc.key, 0, lib.key, o)
	if limit, known := c.tooMany[lib.key]; o.Tasks > 0 && (!known || o.Tasks < limit.Tasks) {
		c.tooMany[lib.key] = o
	}
	return nil
}

// grow asks all libraries with more and more tasks, each until it cannot take them.
func (c *campaign) grow(ctx context.Context, round int) error {
	for step, tasks := range c.size.Growth {
		for i := range c.libraries {
			lib := c.libraries[(round+i)%len(c.libraries)]
			if c.results.reason(growthKey, tasks, lib.key) != "" {
				continue
			}
			if step > 0 {
				fewerTasks := c.size.Growth[step-1]
				fewer := c.results.of(growthKey, fewerTasks, lib.key)
				if reason := forecast(fewer[len(fewer)-1], fewerTasks, tasks, c.size, machine.AvailableMemory()); reason != "" {
					c.results.add(growthKey, tasks, lib.key, outcome{Reason: reason})
					continue
				}
			}
			began := time.Now()
			o, err := measure(ctx, order{Library: lib.key, Scenario: growthKey, Tasks: tasks, Size: c.size})
			if err != nil {
				return err
			}
			fmt.Fprintf(c.progress, "growth, %s, %s tasks, round %d of %d: %.1f s\n", lib.key, report.Count(tasks), round+1, c.size.GrowthRounds, time.Since(began).Seconds())
			c.results.add(growthKey, tasks, lib.key, o)
		}
	}
	return nil
}
