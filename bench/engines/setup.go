package main

import (
	"fmt"
	"runtime"
	"time"

	"github.com/punctual-go/punctual/bench/internal/machine"
	"github.com/punctual-go/punctual/bench/internal/report"
)

func nothing(int) {}

// hourly is a task that is not due while anything is measured.
func hourly(id int) task { return task{id: id, every: time.Hour} }

// fill registers tasks 0 to n-1 and returns how many it could before the deadline.
func fill(e engine, n int, deadline time.Time, make func(id int) task) (int, error) {
	for id := range n {
		if id%64 == 0 && time.Now().After(deadline) {
			return id, nil
		}
		if err := e.add(make(id)); err != nil {
			return id, err
		}
	}
	return n, nil
}

// open opens an engine, and returns with it a function that starts it and waits until it has started a task of its own: some engines
// return from start before they have looked at the tasks that they have, and what they do then belongs to no measurement.
func open(lib library, room int, run run) (e engine, start func() error, err error) {
	up := make(chan struct{}, 1)
	e, err = lib.open(room+1, func(id int) {
		if id == room {
			up <- struct{}{}
			return
		}
		run(id)
	})
	return e, func() error {
		if err := e.start(); err != nil {
			return err
		}
		if err := e.add(task{id: room, every: 24 * time.Hour, now: true}); err != nil {
			return err
		}
		<-up
		return nil
	}, err
}

// filled opens an engine with n tasks that are not due for long, and starts it.
func filled(lib library, room, n int, s size, run run) (engine, error) {
	e, start, err := open(lib, room, run)
	if err != nil {
		return nil, err
	}
	done, err := fill(e, n, time.Now().Add(s.Setup), hourly)
	if err != nil {
		return nil, err
	}
	if done < n {
		return nil, &gaveUp{reason: fmt.Sprintf("%s of %s registered in %s", report.Count(done), report.Count(n), report.Length(s.Setup)), tasks: n}
	}
	return e, start()
}

// idle watches an engine whose tasks are not due.
func idle(lib library, s size) (values, error) {
	before := runtime.NumGoroutine()
	e, err := filled(lib, s.Registered, s.Registered, s, nothing)
	if err != nil {
		return nil, err
	}
	runtime.GC()
	time.Sleep(min(s.Idle/4, time.Second)) // until what the registrations left behind is done
	cpu, err := machine.CPUOver(func() { time.Sleep(s.Idle) })
	if err != nil {
		return nil, err
	}
	v := values{"cpu": cpu, "goroutines": float64(runtime.NumGoroutine() - before)}
	return v, e.drain()
}

// drain stops an engine whose runs have all just started. Both figures count from the last start.
func drain(lib library, s size) (values, error) {
	startedAt := make(chan time.Time, s.Drain)
	e, err := filled(lib, s.Drain, 0, s, func(int) {
		startedAt <- time.Now()
		time.Sleep(s.Work)
	})
	if err != nil {
		return nil, err
	}
	for id := range s.Drain {
		t := hourly(id)
		t.now = true
		if err := e.add(t); err != nil {
			return nil, err
		}
	}
	var last time.Time
	for range s.Drain {
		if at := <-startedAt; at.After(last) {
			last = at
		}
	}
	before, err := machine.CPUTime()
	if err != nil {
		return nil, err
	}
	if err := e.drain(); err != nil {
		return nil, err
	}
	took := time.Since(last)
	after, err := machine.CPUTime()
	return values{"took": took.Seconds(), "cpu": (after - before).Seconds()}, err
}
