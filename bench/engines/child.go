package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/punctual-go/punctual/bench/internal/report"
	"github.com/punctual-go/punctual/bench/internal/trial"
)

// order is what a child is to measure.
type order struct {
	Library  string
	Scenario string
	Tasks    int `json:",omitempty"` // of the growth
	Size     size
}

// outcome is what a child found: values, or why there are none.
type outcome struct {
	Values values `json:",omitempty"`
	Reason string `json:",omitempty"`
	Tasks  int    `json:",omitempty"` // too many for the library, where that is the reason
}

// child carries out one order.
func child(o order) (outcome, error) {
	lib, err := libraryOf(o.Library)
	if err != nil {
		return outcome{}, err
	}
	if o.Scenario == growthKey {
		return answer(grow(lib, o.Tasks, o.Size))
	}
	sc, err := scenarioOf(o.Scenario)
	if err != nil {
		return outcome{}, err
	}
	return answer(sc.measure(lib, o.Size))
}

// answer turns a measurement that gave up into an outcome. Other errors are mistakes of this program or its use.
func answer(v values, err error) (outcome, error) {
	if g := (*gaveUp)(nil); errors.As(err, &g) {
		return outcome{Reason: g.reason, Tasks: g.tasks}, nil
	}
	return outcome{Values: v}, err
}

// measure has an order carried out by a child.
func measure(ctx context.Context, o order) (result outcome, err error) {
	limit := o.Size.limit()
	err = trial.Run(ctx, o, &result, limit)
	switch {
	case errors.Is(err, trial.ErrLimit):
		return outcome{Reason: "stopped after " + report.Length(limit)}, nil
	case err != nil && ctx.Err() == nil:
		return outcome{}, fmt.Errorf("%s, %s: %w", o.Library, o.Scenario, err)
	}
	return result, err
}
