package rrule

import (
	"math"
	"slices"
	"time"
)

// never is the answer when there is no further occurrence.
const never = math.MaxInt64

// Next returns the first occurrence after the given instant, in the zone of DTSTART, or the zero time when there is none up to the year
// 2199.
func (s Schedule) Next(after time.Time) time.Time {
	if s.def == nil {
		return time.Time{}
	}
	return s.def.time(s.def.next(after.Unix()))
}

// Prev returns the last occurrence before the given instant, in the zone of DTSTART, or the zero time when there is none.
func (s Schedule) Prev(before time.Time) time.Time {
	if s.def == nil {
		return time.Time{}
	}
	t := before.Unix()
	if before.Nanosecond() == 0 {
		t--
	}
	return s.def.time(s.def.prev(t))
}

// Count returns how many occurrences lie after from and not after to. It visits them, a thousand in about a millisecond.
func (s Schedule) Count(from, to time.Time) int64 {
	if s.def == nil {
		return 0
	}
	var n int64
	low, high := max(from.Unix(), s.def.first), min(to.Unix(), s.def.until)
	for width := max(256*s.def.width(), daySeconds); low < high; low += width {
		n += int64(len(s.def.within(low, min(low+width, high))))
	}
	return n
}

func (d *definition) time(t int64) time.Time {
	if t == never {
		return time.Time{}
	}
	return time.Unix(t, 0).In(d.zone)
}

func (d *definition) width() int64 {
	if d.rule == nil {
		return horizon
	}
	return d.rule.width()
}

// next returns the first occurrence after t. It looks at stretches that grow until one has an occurrence.
func (d *definition) next(t int64) int64 {
	t = max(t, d.first)
	for width := d.width(); t < d.end(); width *= 4 {
		if found := d.within(t, t+width); len(found) > 0 {
			return found[0]
		}
		t += width
	}
	return never
}

// prev returns the last occurrence at or before t.
func (d *definition) prev(t int64) int64 {
	t = min(t, d.end())
	for width := d.width(); t > d.first; width *= 4 {
		if found := d.within(t-width, t); len(found) > 0 {
			return found[len(found)-1]
		}
		t -= width
	}
	return never
}

// end is an instant behind which nothing occurs.
func (d *definition) end() int64 {
	end := int64(0)
	if d.rule != nil {
		end = min(d.until, horizon+aDay, min(d.rule.last, horizon)+aDay)
	}
	if n := len(d.dates); n > 0 {
		end = max(end, d.dates[n-1])
	}
	return end
}

// within lists the occurrences after from and not after to, in order.
func (d *definition) within(from, to int64) []int64 {
	var found []int64
	if d.rule != nil {
		offsets := spans(d.zone, from-2*aDay, to+2*aDay)
		// The readings that can be shown in the range, and those that are jumped over and read with the offset before.
		least, most := int64(math.MaxInt64), int64(math.MinInt64)
		for _, s := range offsets {
			least, most = min(least, s.offset), max(most, s.offset)
		}
		for _, r := range d.rule.between(nil, from+least, to+most) {
			if t := instant(offsets, r); t > from && t <= to && t <= d.until {
				found = append(found, t)
			}
		}
	}
	first, _ := slices.BinarySearch(d.dates, from+1)
	for _, t := range d.dates[first:] {
		if t > to {
			break
		}
		found = append(found, t)
	}
	slices.Sort(found)
	found = slices.Compact(found)
	return slices.DeleteFunc(found, func(t int64) bool { return d.except[t] })
}
