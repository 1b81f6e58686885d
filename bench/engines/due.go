package main

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/punctual-go/punctual/bench/internal/machine"
	"github.com/punctual-go/punctual/bench/internal/report"
	"github.com/punctual-go/punctual/bench/internal/trial"
)

// margin is how long before its first instant a set of tasks has to be registered.
const margin = 100 * time.Millisecond

// timed opens an engine with n tasks, of which make says when each is due, given the instant of the first. All are registered, and the
// engine is started, before that instant; when the time does not suffice, it begins again with more.
func timed(lib library, n int, s size, run run, make func(id int, first time.Time) task) (e engine, first time.Time, err error) {
	for _, lead := range []time.Duration{s.Setup / 30, s.Setup / 10, s.Setup / 3, s.Setup} {
		e, err := lib.open(n, run)
		if err != nil {
			return nil, first, err
		}
		first := time.Now().Add(lead).Round(time.Microsecond)
		deadline := first.Add(-margin)
		done, err := fill(e, n, deadline, func(id int) task { return make(id, first) })
		if err != nil {
			return nil, first, err
		}
		if err := e.start(); err != nil {
			return nil, first, err
		}
		runtime.GC() // what the registrations left behind is not to be done in the measurement
		if done == n && time.Now().Before(deadline) {
			return e, first, nil
		}
		if err := e.drain(); err != nil {
			return nil, first, err
		}
	}
	return nil, first, &gaveUp{reason: fmt.Sprintf("%s not registered in %s", report.Count(n), report.Length(s.Setup)), tasks: n}
}

// period is how often each task of the fires is due. Lateness is told apart only below it.
const period = time.Second

// grace is how long the last fires of a measurement are waited for at most.
const grace = period

// fires lets as many tasks as there are fires per second be due each second, spread evenly over it. Late is the time from the instant to the
// first instruction of host code.
func fires(lib library, s size, perSecond int) (values, error) {
	type window struct{ first, from, until time.Time }
	var current atomic.Pointer[window] // nil until the tasks are registered
	late := trial.NewSamples(int(1.2 * float64(perSecond) * s.Long.Seconds()))
	var fired atomic.Int64
	offset := func(id int) time.Duration {
		return (time.Duration(id) * period / time.Duration(perSecond)).Truncate(time.Microsecond)
	}
	e, first, err := timed(lib, perSecond, s, func(id int) {
		w := current.Load()
		if w == nil {
			return
		}
		now := time.Now()
		since := now.Sub(w.first.Add(offset(id)))
		if since < 0 {
			return // before its time: nothing that was due
		}
		lateness := since % period
		if due := now.Add(-lateness); due.Before(w.until) {
			fired.Add(1)
			if !due.Before(w.from) {
				late.Add(lateness)
			}
		}
	}, func(id int, first time.Time) task {
		return task{id: id, every: period, first: first.Add(offset(id))}
	})
	if err != nil {
		return nil, err
	}
	w := &window{first: first, from: first.Add(s.Warm), until: first.Add(s.Warm + s.Long)}
	current.Store(w)
	time.Sleep(time.Until(w.from))
	cpu, err := machine.CPUOver(func() { time.Sleep(s.Long) }) // this goroutine may wake late as well, so not until an instant
	if err != nil {
		return nil, err
	}
	owed := int64(float64(perSecond) * (s.Warm + s.Long).Seconds())
	for end := w.until.Add(grace); fired.Load() < owed && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	current.Store(nil)
	v := values{"cpu": cpu, "fired": float64(fired.Load()) / float64(owed)}
	if sorted := late.Sorted(); len(sorted) > 0 {
		v["p50"], v["p99"] = trial.Quantile(sorted, 0.50), trial.Quantile(sorted, 0.99)
	}
	return v, drainHealthy(e, v)
}

// drainHealthy ends an engine, but not one that has fallen behind: to wait for it says nothing, and its process ends anyhow.
func drainHealthy(e engine, v values) error {
	if v["fired"] < 1 {
		return nil
	}
	return e.drain()
}

// stall is how long a burst may pause before it counts as over.
const stall = 2 * time.Second

// burst lets all tasks be due at one instant. The rate is that of all starts from this instant to the last one.
func burst(lib library, s size) (values, error) {
	var armed atomic.Pointer[time.Time] // the instant; nil until the tasks are registered
	var started, firstNanos, lastNanos atomic.Int64
	e, first, err := timed(lib, s.Burst, s, func(int) {
		at := armed.Load()
		if at == nil {
			return
		}
		since := int64(time.Since(*at))
		if started.Add(1) == 1 {
			firstNanos.Store(since)
		}
		for {
			last := lastNanos.Load()
			if since <= last || lastNanos.CompareAndSwap(last, since) {
				return
			}
		}
	}, func(id int, first time.Time) task { return task{id: id, every: time.Hour, first: first} })
	if err != nil {
		return nil, err
	}
	armed.Store(&first)
	time.Sleep(time.Until(first))
	seen, since := int64(0), time.Now()
	for seen < int64(s.Burst) && time.Since(first) < s.Cap && time.Since(since) < stall {
		time.Sleep(10 * time.Millisecond)
		if n := started.Load(); n > seen {
			seen, since = n, time.Now()
		}
	}
	if seen == 0 {
		return nil, &gaveUp{reason: "nothing started in " + report.Length(stall)}
	}
	v := values{
		"rate":  float64(seen) / time.Duration(lastNanos.Load()).Seconds(),
		"fired": float64(seen) / float64(s.Burst),
		"first": time.Duration(firstNanos.Load()).Seconds(),
	}
	return v, drainHealthy(e, v)
}
