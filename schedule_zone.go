package punctual

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// zones holds the zones that were loaded by name. A process meets few of the some six hundred names, and a claim decodes many tasks, so
// that each is read once.
var zones sync.Map // string -> *time.Location

// parseZone reads a zone as text forms write it: a name of the tz database, UTC, or a fixed offset such as +02:00.
func parseZone(name string) (*time.Location, error) {
	switch {
	case name == "" || strings.EqualFold(name, "UTC"):
		return time.UTC, nil
	case strings.EqualFold(name, "Local"):
		return nil, fmt.Errorf("%w: %s", ErrInvalidSchedule, localZone)
	case name[0] == '+' || name[0] == '-':
		return parseOffset(name)
	}
	if loc, ok := zones.Load(name); ok {
		return loc.(*time.Location), nil
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%w: unknown time zone %q; allowed are names of the tz database such as Europe/Berlin (a program that imports time/tzdata "+
			"knows them all), UTC and offsets such as +02:00", ErrInvalidSchedule, clip(name, 64))
	}
	known, _ := zones.LoadOrStore(name, loc)
	return known.(*time.Location), nil
}

const localZone = "the time zone Local differs from machine to machine; name the zone, for example with time.LoadLocation(\"Europe/Berlin\")"

// parseOffset reads +hh:mm and -hh:mm.
func parseOffset(text string) (*time.Location, error) {
	at, err := time.Parse("-07:00", text)
	_, offset := at.Zone()
	if err != nil || offset <= -day || offset >= day {
		return nil, fmt.Errorf("%w: %q is not an offset such as +02:00", ErrInvalidSchedule, clip(text, 64))
	}
	return fixedZone(offset), nil
}

// fixedZone makes the zone of an offset in whole minutes, named as text forms write it.
func fixedZone(seconds int) *time.Location {
	if seconds == 0 {
		return time.UTC
	}
	sign, minutes := '+', seconds/60
	if minutes < 0 {
		sign, minutes = '-', -minutes
	}
	name := fmt.Sprintf("%c%02d:%02d", sign, minutes/60, minutes%60)
	loc, _ := zones.LoadOrStore(name, time.FixedZone(name, seconds))
	return loc.(*time.Location)
}

// portableZone returns the zone that every machine finds under the name of the given one, so that the text form of a schedule means what its
// maker meant: a zone of the tz database, or a fixed offset, whatever it was called. Nil means UTC.
func portableZone(loc *time.Location) (*time.Location, error) {
	if loc == nil || loc == time.UTC {
		return time.UTC, nil
	}
	name := loc.String()
	if name == "Local" {
		return nil, fmt.Errorf("%w: %s", ErrInvalidSchedule, localZone)
	}
	known, err := parseZone(name)
	if err == nil && (known == loc || sameZone(known, loc)) {
		return known, nil
	}
	at := time.Unix(0, 0).In(loc)
	start, end := at.ZoneBounds()
	if _, offset := at.Zone(); start.IsZero() && end.IsZero() && offset%60 == 0 && offset > -day && offset < day {
		return fixedZone(offset), nil
	}
	return nil, fmt.Errorf("%w: time zone %q is not the one that the tz database has under this name, so other machines could not find it", ErrInvalidSchedule, clip(name, 64))
}

const day = 24 * 60 * 60 // in seconds

// offsetEnd returns the instant up to which the zone of t keeps the offset that it has at t, or an earlier one that is behind t; the zero
// time when it keeps it for ever.
func offsetEnd(t time.Time) time.Time {
	_, end := t.ZoneBounds()
	if !end.IsZero() && !end.After(t) {
		// ZoneBounds counts a leap year's days as if there were 365, so that on the last day the bound lies before it.
		return time.Date(t.UTC().Year()+1, 1, 1, 0, 0, 0, 0, time.UTC).In(t.Location())
	}
	return end
}

// sameZone reports whether two zones have the same offsets from 1970 to 2100.
func sameZone(a, b *time.Location) bool {
	end := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	for t := time.Unix(0, 0); t.Before(end); {
		_, offsetA := t.In(a).Zone()
		_, offsetB := t.In(b).Zone()
		nextA, nextB := offsetEnd(t.In(a)), offsetEnd(t.In(b))
		switch {
		case offsetA != offsetB || !nextA.Equal(nextB):
			return false
		case nextA.IsZero():
			return true
		}
		t = nextA
	}
	return true
}
