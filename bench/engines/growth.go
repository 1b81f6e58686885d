package main

import (
	"fmt"
	"runtime"
	"time"

	"github.com/punctual-go/punctual/bench/internal/machine"
	"github.com/punctual-go/punctual/bench/internal/report"
	"github.com/punctual-go/punctual/bench/internal/trial"
)

// growthKey names the growth in orders. It is no scenario of the table: it is asked with more and more tasks.
const growthKey = "growth"

// growthFigures are what one number of tasks costs. Times are those of one call.
var growthFigures = []figure{
	{"register", "register one", report.Duration},
	{"bytes", "memory each", report.BytesEach},
	{"start", "register to start, p50", report.Duration},
	{"reschedule", "reschedule one", report.Duration},
	{"remove", "remove one", report.Duration},
}

// grow registers so many tasks, and then times what is done to single ones among them.
func grow(lib library, tasks int, s size) (values, error) {
	startedAt := make(chan time.Time, 1)
	e, start, err := open(lib, tasks+s.Calls, func(int) { startedAt <- time.Now() })
	if err != nil {
		return nil, err
	}
	before := machine.HeapBytes()
	began := time.Now()
	done, err := fill(e, tasks, began.Add(s.GrowthSetup), hourly)
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	if done < tasks {
		return nil, &gaveUp{reason: fmt.Sprintf("%s of %s registered in %s", report.Count(done), report.Count(tasks), report.Length(s.GrowthSetup)), tasks: tasks}
	}
	v := values{"register": took.Seconds() / float64(tasks), "bytes": float64(machine.HeapBytes()-before) / float64(tasks)}
	if err := start(); err != nil {
		return nil, err
	}
	all, err := callStarts(e, tasks, s.Calls, time.Now().Add(s.Repeat), 0, startedAt)
	if err != nil {
		return nil, err
	}
	v["start"] = trial.Quantile(all, 0.50)
	runtime.GC()
	rates, err := edits(e, tasks, s.Repeat)
	if err != nil {
		return nil, err
	}
	v["reschedule"], v["remove"] = 1/rates["reschedule"], 1/rates["remove"]
	return v, e.drain()
}

// forecast tells why a library should not be asked with so many tasks, given what fewer took; empty when it can be asked.
func forecast(fewer outcome, fewerTasks, tasks int, s size, memory int64) string {
	if fewer.Reason != "" {
		return fewer.Reason
	}
	took := time.Duration(fewer.Values["register"] * float64(tasks) * float64(time.Second))
	if took > s.GrowthSetup*3/2 {
		return fmt.Sprintf("%s would take %s to register, as fast as %s", report.Count(tasks), report.Length(took.Round(time.Second)), report.Count(fewerTasks))
	}
	if call := time.Duration(fewer.Values["start"] * float64(tasks) / float64(fewerTasks) * float64(time.Second)); fewer.Values["start"] > 0.1 && call > s.Repeat {
		return fmt.Sprintf("one start among %s would take %s, if it grew with their number as it did before", report.Count(tasks), report.Length(call.Round(time.Second)))
	}
	// While garbage is collected the heap is up to twice as large as what lives, and others want memory, too.
	if needs := int64(2 * fewer.Values["bytes"] * float64(tasks)); memory > 0 && needs > memory/2 {
		return fmt.Sprintf("%s would take up to %.1f GB, as large as %s", report.Count(tasks), float64(needs)/1e9, report.Count(fewerTasks))
	}
	return ""
}
