package punctual

import (
	"fmt"
	"strings"
	"time"
)

// Between returns the occurrences of s from start on and before end. A zero start or end leaves that side open. Instants are cut to
// microseconds. An interval task that is registered outside of its window waits for the window.
//
// Text form: "every 30m | between 2027-01-01T00:00:00Z and 2028-01-01T00:00:00Z"; "| starting <time>" and "| until <time>" where a side is open.
func Between(s Schedule, start, end time.Time) Schedule {
	return combine(&window{s, micros(start), micros(end)})
}

type window struct {
	s          Schedule
	start, end time.Time
}

func (w *window) parts() []Schedule { return []Schedule{w.s} }
func (w *window) anchored(t time.Time) combination {
	return &window{anchorPart(w.s, t), w.start, w.end}
}

func (w *window) forTask(id string) combination { return &window{taskPart(w.s, id), w.start, w.end} }

func (w *window) check() error {
	switch {
	case w.start.IsZero() && w.end.IsZero():
		return fmt.Errorf("%w: the window has neither start nor end", ErrInvalidSchedule)
	case !w.start.IsZero() && !w.end.IsZero() && !w.end.After(w.start):
		return fmt.Errorf("%w: the window ends at %s, which is not after its start at %s", ErrInvalidSchedule, rfc3339(w.end), rfc3339(w.start))
	case w.start.Year() > 9999 || w.end.Year() > 9999:
		return fmt.Errorf("%w: the window reaches beyond the year 9999", ErrInvalidSchedule)
	case w.start.Year() < 1 || w.end.Year() < 1:
		return fmt.Errorf("%w: the window reaches back before the year 1", ErrInvalidSchedule)
	}
	return nil
}

// open is the instant before the window, or the given one if that is later.
func (w *window) open(t time.Time) time.Time {
	if w.start.IsZero() {
		return t
	}
	return later(t, w.start.Add(-1))
}

func (w *window) next(after time.Time) time.Time {
	t := w.s.Next(w.open(after))
	if !w.end.IsZero() && !t.Before(w.end) {
		return time.Time{}
	}
	return t
}

func (w *window) prev(before time.Time) time.Time {
	if !w.end.IsZero() {
		before = earlier(before, w.end)
	}
	t := w.s.(Ranged).Prev(before)
	if t.Before(w.start) {
		return time.Time{}
	}
	return t
}

func (w *window) count(from, to time.Time) int64 {
	from = w.open(from)
	if !w.end.IsZero() {
		to = earlier(to, w.end.Add(-1))
	}
	if !to.After(from) {
		return 0
	}
	return w.s.(Ranged).Count(from, to)
}

func (w *window) admits(t time.Time) bool {
	return !t.Before(w.start) && (w.end.IsZero() || t.Before(w.end)) && admits(w.s, t)
}

func (w *window) origin() (time.Time, bool) {
	t, ok := originOf(w.s)
	if w.start.IsZero() {
		return t, ok
	}
	return w.open(t), true
}

func (w *window) text() string {
	switch {
	case w.end.IsZero():
		return modified(w.s, "starting "+rfc3339(w.start))
	case w.start.IsZero():
		return modified(w.s, "until "+rfc3339(w.end))
	}
	return modified(w.s, "between "+rfc3339(w.start)+" and "+rfc3339(w.end))
}

func (w *window) words() string {
	words := Explain(w.s)
	if !w.start.IsZero() {
		words += ", from " + timeWords(w.start) + " on"
	}
	if !w.end.IsZero() {
		words += ", before " + timeWords(w.end)
	}
	return words
}

func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func timeWords(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.999999 UTC") }

func parseBetween(s Schedule, args string) (Schedule, error) {
	words := strings.Fields(args)
	if len(words) != 3 || words[1] != "and" {
		return nil, badSchedule("between "+args, "want between <start> and <end>, with times such as 2027-01-01T00:00:00Z")
	}
	start, err := parseInstant(words[0])
	if err != nil {
		return nil, err
	}
	end, err := parseInstant(words[2])
	if err != nil {
		return nil, err
	}
	return Between(s, start, end), nil
}

func parseStarting(s Schedule, args string) (Schedule, error) {
	start, err := parseInstant(args)
	if err != nil {
		return nil, err
	}
	return Between(s, start, time.Time{}), nil
}

func parseUntil(s Schedule, args string) (Schedule, error) {
	end, err := parseInstant(args)
	if err != nil {
		return nil, err
	}
	return Between(s, time.Time{}, end), nil
}
