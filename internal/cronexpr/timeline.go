package cronexpr

import (
	"slices"
	"sync/atomic"
	"time"
	"weak"
)

// timeline tells at which instants of a zone which wall-clock readings count, under one gap and one fold policy. Wildcard
// expressions use GapSkip with FoldBoth, which is the wall clock as it runs. It is computed year by year when asked, and shared.
type timeline struct {
	loc   *time.Location
	gap   Gap
	fold  Fold
	reach int64 // no reading is further than this from its instant, in seconds
	years [maxYear - minYear + 3]atomic.Pointer[stretch]
}

// stretch is the part of a timeline that lies in one year of UTC.
type stretch struct {
	start, end int64   // the instants at which this year and the next begin
	pieces     []piece // by their first instant; they overlap only where a gap's readings are added
}

// piece is a range of instants whose readings differ from them by a constant. Instants are counted in seconds since 1970 UTC.
type piece struct {
	from, to int64 // instants in [from, to)
	shift    int64 // the reading at an instant is the instant plus shift
	// gap, when positive, is a number of readings, from the one at from, all of which occur at from.
	gap int64
}

const (
	firstYear = minYear - 1 // a local 1970 begins in 1969 in zones that are ahead of UTC
	finalYear = maxYear + 1

	// context is how far around a year transitions can affect what happens in it: two offsets differ by two days at most.
	context = 3 * secondsPerDay

	// leastReach covers every offset that the format of zone files can express by rule.
	leastReach = 7 * secondsPerDay
)

type timelineKey struct {
	loc  weak.Pointer[time.Location]
	gap  Gap
	fold Fold
}

var (
	timelines weakMap[timelineKey, timeline]
	locations weakMap[string, time.Location]
)

func timelineOf(loc *time.Location, gap Gap, fold Fold) *timeline {
	l, _ := timelines.get(timelineKey{weak.Make(loc), gap, fold}, func() (*timeline, error) {
		l := &timeline{loc: loc, gap: gap, fold: fold}
		// A fixed zone may be as far from UTC as the host likes; other zones keep within a day.
		_, offset := time.Unix(0, 0).In(loc).Zone()
		l.reach = max(leastReach, int64(offset), -int64(offset))
		return l, nil
	})
	return l
}

// loadLocation is time.LoadLocation, except that expressions with the same zone share it.
func loadLocation(name string) (*time.Location, error) {
	return locations.get(name, func() (*time.Location, error) { return time.LoadLocation(name) })
}

// at returns the stretch around an instant of the covered years.
func (l *timeline) at(t int64) *stretch {
	day, _ := floorDiv(t, secondsPerDay)
	y, _, _ := civil(day)
	slot := &l.years[y-firstYear]
	if s := slot.Load(); s != nil {
		return s
	}
	s := l.compute(dayOf(y, 1)*secondsPerDay, dayOf(y+1, 1)*secondsPerDay)
	slot.Store(s)
	return s
}

// segment is a range of instants with one offset.
type segment struct {
	from, to, offset int64
}

// span is a range of readings.
type span struct {
	from, to int64
}

func (s segment) span() span {
	return span{s.from + s.offset, s.to + s.offset}
}

// compute makes the stretch for the instants in [from, to).
func (l *timeline) compute(from, to int64) *stretch {
	var pieces []piece
	segments := segmentsOf(l.loc, from-context, to+context)
	for i, s := range segments {
		readings := []span{s.span()}
		switch l.fold {
		case FoldFirst:
			for _, earlier := range segments[:i] {
				readings = without(readings, earlier.span())
			}
		case FoldSecond:
			for _, later := range segments[i+1:] {
				readings = without(readings, later.span())
			}
		}
		for _, r := range readings {
			pieces = append(pieces, piece{from: r.from - s.offset, to: r.to - s.offset, shift: s.offset})
		}
		if i > 0 && l.gap != GapSkip {
			for _, g := range gapBefore(segments, i) {
				pieces = append(pieces, l.filled(g, segments[i-1], s)...)
			}
		}
	}
	kept := pieces[:0]
	for _, p := range pieces {
		p.from, p.to = max(p.from, from), min(p.to, to)
		if p.from < p.to {
			kept = append(kept, p)
		}
	}
	slices.SortStableFunc(kept, func(a, b piece) int { return int(a.from - b.from) })
	return &stretch{start: from, end: to, pieces: slices.Clone(kept)}
}

// filled returns how the readings of a gap between two segments occur.
func (l *timeline) filled(g span, before, after segment) []piece {
	switch l.gap {
	case GapAtTransition:
		today, _ := floorDiv(after.from+after.offset, secondsPerDay)
		g.from = max(g.from, today*secondsPerDay)
		if g.from < g.to {
			return []piece{{from: after.from, to: after.from + 1, shift: g.from - after.from, gap: g.to - g.from}}
		}
	case GapShift:
		length := after.offset - before.offset
		var pieces []piece
		for g.from < g.to {
			day, _ := floorDiv(g.from, secondsPerDay)
			midnight := (day + 1) * secondsPerDay
			if end := min(g.to, midnight-length); g.from < end {
				pieces = append(pieces, piece{from: g.from - before.offset, to: end - before.offset, shift: before.offset})
			}
			g.from = midnight
		}
		return pieces
	}
	return nil
}

// gapBefore returns the readings that the wall clock jumps over at the start of segment i and that it shows at no other time. A
// reading that is jumped over twice belongs to the first jump.
func gapBefore(segments []segment, i int) []span {
	jump := func(i int) span {
		return span{segments[i].from + segments[i-1].offset, segments[i].from + segments[i].offset}
	}
	if g := jump(i); g.from >= g.to {
		return nil
	}
	gap := []span{jump(i)}
	for _, s := range segments {
		gap = without(gap, s.span())
	}
	for j := 1; j < i; j++ {
		gap = without(gap, jump(j))
	}
	return gap
}

// without returns the readings in list that are not in s.
func without(list []span, s span) []span {
	if s.from >= s.to {
		return list
	}
	var rest []span
	for _, l := range list {
		if r := (span{l.from, min(l.to, s.from)}); r.from < r.to {
			rest = append(rest, r)
		}
		if r := (span{max(l.from, s.to), l.to}); r.from < r.to {
			rest = append(rest, r)
		}
	}
	return rest
}

// segmentsOf returns the offsets of a zone in [from, to), without gaps, neighbours differing.
//
// It walks by the ends that Time.ZoneBounds tells. Beyond the transitions listed in a zone file these are right where the offset
// changes, but may also be the end of a year; there they count 365 days, so that on the last day of a leap year the
// end lies before the asked instant.
func segmentsOf(loc *time.Location, from, to int64) []segment {
	var list []segment
	for t := from; t < to; {
		at := time.Unix(t, 0).In(loc)
		_, offset := at.Zone()
		end := to
		if _, bound := at.ZoneBounds(); !bound.IsZero() {
			end = bound.Unix()
			if end <= t {
				end = time.Date(at.UTC().Year()+1, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
			}
			end = min(end, to)
		}
		if n := len(list); n > 0 && list[n-1].offset == int64(offset) {
			list[n-1].to = end
		} else {
			list = append(list, segment{t, end, int64(offset)})
		}
		t = end
	}
	return list
}
