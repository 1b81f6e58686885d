package punctual

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/punctual-go/punctual/internal/cronexpr"
)

// IntervalSchedule means elapsed time: see Every. The zero value is not valid.
type IntervalSchedule struct {
	every   time.Duration
	anchor  int64 // in microseconds since 1970: a million tasks may have a schedule each, and this way the garbage collector does not look into it
	mode    intervalMode
	pinned  bool // the anchor is part of the definition (From)
	bounded bool // the anchor is known, from the definition or from the registration
}

type intervalMode uint8

const (
	fixedRate intervalMode = iota
	fixedDelay
	aligned
)

// Every returns the schedule of a fixed rate: occurrences d, 2d, 3d, ... after the registration (or after From), however long runs
// take and whatever the wall clock of a zone does. There is no drift: each occurrence counts from the scheduled instant of the one
// before. The interval is at least MinInterval and whole microseconds; Task.Validate reports a bad one.
func Every(d time.Duration) IntervalSchedule { return IntervalSchedule{every: d} }

// AfterCompletion makes it a fixed delay: the interval counts from the end of the run before, so there is never an overlap.
func (s IntervalSchedule) AfterCompletion() IntervalSchedule {
	return IntervalSchedule{every: s.every, mode: fixedDelay}
}

// Aligned puts occurrences on the zone-free grid of multiples of the interval since 1970-01-01T00:00:00Z, so that tasks with the same
// interval run at the same time whenever they were registered.
func (s IntervalSchedule) Aligned() IntervalSchedule {
	return IntervalSchedule{every: s.every, mode: aligned, pinned: true, bounded: true}
}

// From fixes the anchor in the definition: occurrences d, 2d, 3d, ... after t, whenever the task was registered.
func (s IntervalSchedule) From(t time.Time) IntervalSchedule {
	return IntervalSchedule{every: s.every, anchor: t.UnixMicro(), pinned: true, bounded: true}
}

// Interval returns the time between occurrences.
func (s IntervalSchedule) Interval() time.Duration { return s.every }

// Delayed reports whether the interval counts from the end of the run before.
func (s IntervalSchedule) Delayed() bool { return s.mode == fixedDelay }

// Anchor returns the schedule counted from t, unless its definition has an anchor of its own or counts from ends of runs.
func (s IntervalSchedule) Anchor(t time.Time) Schedule { return s.anchored(t) }

func (s IntervalSchedule) anchored(t time.Time) IntervalSchedule {
	if s.pinned || s.mode == fixedDelay {
		return s
	}
	s.anchor, s.bounded = t.UnixMicro(), true
	return s
}

func (s IntervalSchedule) fault() error {
	switch {
	case s.every < MinInterval:
		return fmt.Errorf("%w: interval %v is too short, at least %v is needed", ErrInvalidSchedule, s.every, MinInterval)
	case s.every%time.Microsecond != 0:
		return fmt.Errorf("%w: interval %v is not a whole number of microseconds", ErrInvalidSchedule, s.every)
	case s.every > maxDuration:
		return fmt.Errorf("%w: interval %v is longer than a hundred years", ErrInvalidSchedule, s.every)
	case s.pinned && (s.anchor > lastInstant.UnixMicro() || s.anchor < firstInstant.UnixMicro()):
		return fmt.Errorf("%w: the anchor's year %d is not between 1 and 9999", ErrInvalidSchedule, s.origin().Year())
	}
	return nil
}

// firstInstant is the beginning of time for schedules.
var firstInstant = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)

// lastInstant is the end of time for schedules: the last instant that RFC 3339 can write, in microseconds.
var lastInstant = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)

// Next returns the first occurrence after the given instant; the zero time after the year 9999 and for a schedule that is not valid.
// Without an anchor it counts from the given instant itself.
func (s IntervalSchedule) Next(after time.Time) time.Time {
	if s.fault() != nil {
		return time.Time{}
	}
	var next time.Time
	if s.bounded {
		next = s.at(s.index(after) + 1)
	} else {
		next = time.UnixMicro(floorMicro(after)).UTC().Add(s.every)
	}
	if next.After(lastInstant) {
		return time.Time{}
	}
	return next
}

// Prev returns the last occurrence before the given instant, or the zero time. Without an anchor it counts back from the given
// instant.
func (s IntervalSchedule) Prev(before time.Time) time.Time {
	switch {
	case s.fault() != nil:
		return time.Time{}
	case !s.bounded:
		return time.UnixMicro(floorMicro(before)).UTC().Add(-s.every)
	}
	k := s.index(before)
	if s.at(k).Equal(before) {
		k--
	}
	if k < 1 && s.mode != aligned {
		return time.Time{}
	}
	return s.at(k)
}

// Count returns how many occurrences lie after from and not after to. Without an anchor it counts from from.
func (s IntervalSchedule) Count(from, to time.Time) int64 {
	if s.fault() != nil || !to.After(from) {
		return 0
	}
	if !s.bounded {
		s.anchor, s.bounded = from.UnixMicro(), true
	}
	return max(s.index(to)-s.index(from), 0)
}

// index returns how many whole intervals lie between the anchor and t; without counting those before the anchor, unless the grid has
// no beginning. All in microseconds, since a Duration holds only 292 years.
func (s IntervalSchedule) index(t time.Time) int64 {
	distance := floorMicro(t) - s.anchor
	every := s.every.Microseconds()
	k := distance / every
	if distance < 0 && distance%every != 0 {
		k--
	}
	if s.mode != aligned {
		k = max(k, 0)
	}
	return k
}

func (s IntervalSchedule) at(k int64) time.Time {
	every := s.every.Microseconds()
	if k > 0 && every > (math.MaxInt64-max(s.anchor, 0))/k {
		return time.UnixMicro(math.MaxInt64).UTC()
	}
	return time.UnixMicro(s.anchor + k*every).UTC()
}

// origin is the anchor as a time.
func (s IntervalSchedule) origin() time.Time { return time.UnixMicro(s.anchor).UTC() }

// floorMicro is t in whole microseconds, rounded down also before 1970.
func floorMicro(t time.Time) int64 { return t.Unix()*1_000_000 + int64(t.Nanosecond()/1000) }

// String returns the text form: "every 30m", with "after completion", "aligned" or "from <RFC 3339>" behind it.
func (s IntervalSchedule) String() string {
	text := "every " + durationString(s.every)
	switch {
	case s.mode == fixedDelay:
		return text + " after completion"
	case s.mode == aligned:
		return text + " aligned"
	case s.pinned:
		return text + " from " + s.origin().Format(time.RFC3339Nano)
	}
	return text
}

// durationString is d without zero units: 1h30m, not 1h30m0s.
func durationString(d time.Duration) string {
	text := d.String()
	if len(text) > 2 && text[len(text)-2:] == "0s" && text[len(text)-3] == 'm' {
		text = text[:len(text)-2]
	}
	if len(text) > 2 && text[len(text)-2:] == "0m" && text[len(text)-3] == 'h' {
		text = text[:len(text)-2]
	}
	return text
}

// Explain returns the schedule in words.
func (s IntervalSchedule) Explain() string {
	words := "every " + durationString(s.every)
	switch {
	case s.fault() != nil:
		return "never"
	case s.mode == fixedDelay:
		return words + " after the end of the run before"
	case s.mode == aligned:
		return words + ", at multiples of it since 1970"
	case s.pinned:
		return words + " after " + timeWords(s.origin())
	}
	return words + ", counted from the registration"
}

// parseEvery reads what stands behind "every".
func parseEvery(args string) (Schedule, error) {
	words := strings.Fields(args)
	if len(words) == 0 {
		return nil, badSchedule("every", "want every <duration>, for example every 30m")
	}
	d, err := parseLength(words[0])
	if err != nil {
		return nil, badSchedule("every "+args, "%q is not a duration such as 30m or 1h30m", clip(words[0], 32))
	}
	switch s, rest := Every(d), strings.Join(words[1:], " "); {
	case rest == "":
		return s, nil
	case rest == "aligned":
		return s.Aligned(), nil
	case rest == "after completion":
		return s.AfterCompletion(), nil
	case words[1] == "from":
		t, err := parseInstant(strings.Join(words[2:], " "))
		if err != nil {
			return nil, err
		}
		return s.From(t), nil
	}
	return nil, badSchedule("every "+args, "behind the duration may stand: aligned, after completion, from <time>")
}

// parseAtEvery reads the crontab form "@every 5m".
func parseAtEvery(spec string) (Schedule, error) {
	d, _, err := cronexpr.ParseEvery(spec)
	if err != nil {
		return nil, invalid(err)
	}
	return Every(d), nil
}

var daysAndWeeks = regexp.MustCompile(`^(?:(\d{1,5})w)?(?:(\d{1,5})d)?(.*)$`)

// parseLength reads a duration as time.ParseDuration does, and also whole weeks (168h) and days (24h) before it: 1w, 2d12h.
func parseLength(text string) (time.Duration, error) {
	if !strings.ContainsAny(text, "wd") {
		return time.ParseDuration(text) // what most are
	}
	parts := daysAndWeeks.FindStringSubmatch(text)
	if parts == nil || parts[1] == "" && parts[2] == "" {
		return time.ParseDuration(text)
	}
	weeks, _ := strconv.Atoi(parts[1])
	days, _ := strconv.Atoi(parts[2])
	d := time.Duration(min(weeks*7+days, 100_000)) * 24 * time.Hour
	if parts[3] == "" {
		return d, nil
	}
	rest, err := time.ParseDuration(parts[3])
	if err != nil || rest < 0 || parts[3][0] == '+' || rest > maxDuration {
		return 0, errors.New("not a duration")
	}
	return d + rest, nil
}
