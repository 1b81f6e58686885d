package main

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/punctual-go/punctual/bench/internal/machine"
	"github.com/punctual-go/punctual/bench/internal/trial"
)

// register times registrations, and weighs what they leave on the heap. Those that the cap cuts short count as far as they came.
func register(lib library, s size, running bool) (values, error) {
	e, err := lib.open(s.Register, nothing)
	if err != nil {
		return nil, err
	}
	if running {
		if err := e.start(); err != nil {
			return nil, err
		}
	}
	before := machine.HeapBytes()
	began := time.Now()
	done, err := fill(e, s.Register, began.Add(s.Cap), hourly)
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	v := values{"rate": float64(done) / took.Seconds(), "bytes": float64(machine.HeapBytes()-before) / float64(done)}
	if done < s.Register { // an engine that takes so long takes long to end, too, and its process ends anyhow
		v["done"] = float64(done)
		return v, nil
	}
	if !running {
		if err := e.start(); err != nil {
			return nil, err
		}
	}
	return v, e.drain()
}

const pauseBetween = 200 * time.Microsecond

// starts times registrations of tasks that run at once, from the call to the first instruction of host code: with no other task, and with
// others.
func starts(lib library, s size, pause time.Duration) (values, error) {
	v := values{}
	alone, err := startTimes(lib, 0, s, pause)
	if err != nil {
		return nil, err
	}
	v["alone"] = trial.Quantile(alone, 0.50)
	all, err := startTimes(lib, s.Registered, s, pause)
	if err != nil {
		return nil, err
	}
	v["p50"], v["p99"] = trial.Quantile(all, 0.50), trial.Quantile(all, 0.99)
	return v, nil
}

func startTimes(lib library, others int, s size, pause time.Duration) ([]time.Duration, error) {
	startedAt := make(chan time.Time, 1)
	e, err := filled(lib, others+s.Calls, others, s, func(int) { startedAt <- time.Now() })
	if err != nil {
		return nil, err
	}
	runtime.GC()
	all, err := callStarts(e, others, s.Calls, time.Now().Add(s.Repeat), pause, startedAt)
	if err != nil {
		return nil, err
	}
	return all, e.drain()
}

// callStarts registers tasks with the ids first, first+1, ... one after the other, each of which runs at once.
func callStarts(e engine, first, calls int, deadline time.Time, pause time.Duration, startedAt <-chan time.Time) ([]time.Duration, error) {
	var all []time.Duration
	for i := range calls {
		if i > 0 && time.Now().After(deadline) {
			break
		}
		if pause > 0 {
			pauseFor(pause)
		}
		t := hourly(first + i)
		t.now = true
		began := time.Now()
		if err := e.add(t); err != nil {
			return nil, err
		}
		all = append(all, (<-startedAt).Sub(began))
	}
	slices.Sort(all)
	return all, nil
}

// pauseFor keeps its caller busy, as a host is between two registrations, while the engine has nothing to do. A timer would be no pause of
// that length: its grain is a millisecond when nothing else runs.
func pauseFor(d time.Duration) {
	for began := time.Now(); time.Since(began) < d; {
	}
}

// edit reschedules tasks in no order, and then removes them in no order, until all are done or a share of the cap has passed.
func edit(lib library, s size) (values, error) {
	e, err := filled(lib, s.Registered, s.Registered, s, nothing)
	if err != nil {
		return nil, err
	}
	runtime.GC()
	v, err := edits(e, s.Registered, s.Repeat)
	if err != nil {
		return nil, err
	}
	return v, e.drain()
}

func edits(e engine, n int, most time.Duration) (values, error) {
	random := rand.New(rand.NewPCG(1, 2)) // the same order for every library
	reschedule, err := rate(random.Perm(n), most, func(id int) error {
		return e.reschedule(task{id: id, every: 2 * time.Hour})
	})
	if err != nil {
		return nil, err
	}
	remove, err := rate(random.Perm(n), most, e.remove)
	return values{"reschedule": reschedule, "remove": remove}, err
}

// rate calls do for ids until all are done or the time is over, and returns how many it did each second.
func rate(ids []int, most time.Duration, do func(id int) error) (float64, error) {
	began := time.Now()
	done := 0
	for _, id := range ids {
		if (done < 16 || done%16 == 0) && done > 0 && time.Since(began) > most { // not each time: calls can be as quick as the clock
			break
		}
		if err := do(id); err != nil {
			return 0, err
		}
		done++
	}
	return float64(done) / time.Since(began).Seconds(), nil
}
