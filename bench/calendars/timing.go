package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/punctual-go/punctual/bench/internal/report"
)

// timing is an expression whose evaluation by a library is timed.
type timing struct {
	Library string
	Expr    string
}

// timed are the expressions of the table of times, all in the zone timedZone.
var timed = []string{"*/5 * * * *", "0 9 * * 1-5", "0 0 29 2 *", "*/10 * * * * *"}

const timedZone = newYork

// probes are the instants after which the next one is computed, in turn: spread over the years 2026 to 2029, all months, weekdays and
// hours, the same for every library.
func probes(loc *time.Location) []time.Time {
	at := make([]time.Time, 64)
	for i := range at {
		at[i] = time.Date(2026, time.January, 1+23*i, 0, 0, 0, 0, loc).Add(time.Duration(i) * 61 * time.Minute)
	}
	return at
}

// measure times the library for about the given length and writes the nanoseconds that one evaluation took.
func measure(t timing, length time.Duration, lines *json.Encoder) error {
	lib, err := libraryOf(t.Library)
	if err != nil {
		return err
	}
	loc, err := time.LoadLocation(timedZone)
	if err != nil {
		return err
	}
	next, err := lib.parse(lib.translate(t.Expr), loc)
	if err != nil {
		return lines.Encode(event{End: endRefused, Reason: err.Error()})
	}
	at := probes(loc)
	sweep := func() (sum int64, err error) {
		for _, after := range at {
			found, err := next(after)
			if err == nil && !found.After(after) {
				err = fmt.Errorf("%s after %s is %s", t.Expr, after, found)
			}
			if err != nil {
				return 0, err
			}
			sum += found.Unix()
		}
		return sum, nil
	}
	sum, err := sweep() // so that caches are warm and every answer is one
	if err != nil {
		return lines.Encode(event{End: endFailed, Reason: err.Error()})
	}
	sweeps := 0
	began := time.Now()
	for sweeps == 0 || time.Since(began) < length {
		if _, err := sweep(); err != nil {
			return err
		}
		sweeps++
	}
	took := time.Since(began)
	return lines.Encode(event{End: endDone, NsOp: float64(took.Nanoseconds()) / float64(sweeps*len(at)), Sum: sum})
}

// clocked is the result of the rounds of one library and expression.
type clocked struct {
	NsOp   float64 // the median
	Sum    int64   // of the instants
	End    end     // other than done where there is no time
	Reason string
}

// clock times every library that computes by itself, and returns the medians by library and expression. Each round visits all
// libraries for an expression before the next expression, and begins with another library, so that whatever else the machine does
// meets all of them.
func clock(ctx context.Context, rounds int, length, limit time.Duration) (map[timing]clocked, error) {
	var libs []library
	for _, lib := range libraries {
		if lib.parse != nil {
			libs = append(libs, lib)
		}
	}
	samples := make(map[timing][]float64)
	results := make(map[timing]clocked)
	for round := range rounds {
		for _, expr := range timed {
			for i := range libs {
				t := timing{libs[(round+i)%len(libs)].key, expr}
				if end := results[t].End; end != "" && end != endDone {
					continue // it gave no answer in an earlier round
				}
				events, err := run(ctx, order{Timing: &t, Length: length}, limit+length)
				if err != nil {
					return nil, err
				}
				last := events[len(events)-1]
				if last.End == endDone {
					samples[t] = append(samples[t], last.NsOp)
				}
				results[t] = clocked{Sum: last.Sum, End: last.End, Reason: last.Reason}
			}
		}
	}
	for t, r := range results {
		if r.End == endDone {
			r.NsOp = report.Median(samples[t])
			results[t] = r
		}
	}
	return results, nil
}
