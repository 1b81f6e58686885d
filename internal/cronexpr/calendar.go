package cronexpr

import (
	"math"
	"math/bits"
)

const (
	minYear = 1970
	maxYear = 2199

	secondsPerDay = 24 * 60 * 60

	// never and none are the answers of searches that found nothing, forward and backward. A shift can be added to them.
	never = math.MaxInt64 / 2
	none  = math.MinInt64 / 2
)

// calendar is a set of wall-clock readings. A reading is counted in seconds since 1970-01-01 00:00:00 of the same wall clock, as if
// it were UTC, so that this file knows no zones.
type calendar struct {
	seconds, minutes uint64
	hours            uint32
	months           uint16 // bits 1-12

	dates           uint32 // bits 1-31
	fromEnd         uint32 // bit n: the nth day before the last
	nearest         uint32 // bit n: the weekday nearest to day n
	nearestFromEnd  uint32 // bit n: the weekday nearest to the nth day before the last
	weekdays        uint8  // bits 0-6, Sunday first
	nth             [5]uint8
	lastOfWeekday   uint8
	eitherDay       bool // both day fields are restricted: one match is enough
	everyDay        bool // no field restricts the day
	years           [4]uint64
	perDay          int64 // occurrences on a matching day
	firstOf, lastOf int64 // the first and last time of such a day
}

// finish derives what the searches use from the sets.
func (c *calendar) finish() {
	c.perDay = int64(bits.OnesCount32(c.hours) * bits.OnesCount64(c.minutes) * bits.OnesCount64(c.seconds))
	c.firstOf = timeOfDay(bits.TrailingZeros32(c.hours), bits.TrailingZeros64(c.minutes), bits.TrailingZeros64(c.seconds))
	c.lastOf = timeOfDay(31-bits.LeadingZeros32(c.hours), 63-bits.LeadingZeros64(c.minutes), 63-bits.LeadingZeros64(c.seconds))
	years := 0
	for _, w := range c.years {
		years += bits.OnesCount64(w)
	}
	c.everyDay = years == maxYear-minYear+1 && c.months == 1<<13-2 && c.dates == math.MaxUint32-1 && c.weekdays == 1<<7-1
}

// next returns the first reading of the set at or after l, or never.
func (c *calendar) next(l int64) int64 {
	day, tod := floorDiv(l, secondsPerDay)
	d := c.nextDay(day)
	if d == day {
		if t := c.nextTime(tod); t != never {
			return d*secondsPerDay + t
		}
		d = c.nextDay(day + 1)
	}
	if d == never {
		return never
	}
	return d*secondsPerDay + c.firstOf
}

// prev returns the last reading of the set at or before l, or none.
func (c *calendar) prev(l int64) int64 {
	day, tod := floorDiv(l, secondsPerDay)
	d := c.prevDay(day)
	if d == day {
		if t := c.prevTime(tod); t != none {
			return d*secondsPerDay + t
		}
		d = c.prevDay(day - 1)
	}
	if d == none {
		return none
	}
	return d*secondsPerDay + c.lastOf
}

// count returns how many readings of the set lie in [from, to).
func (c *calendar) count(from, to int64) int64 {
	if from >= to {
		return 0
	}
	first, firstTod := floorDiv(from, secondsPerDay)
	last, lastTod := floorDiv(to, secondsPerDay)
	n := c.countDays(first, last) * c.perDay
	if firstTod > 0 && c.nextDay(first) == first {
		n -= c.timesBefore(firstTod)
	}
	if lastTod > 0 && c.nextDay(last) == last {
		n += c.timesBefore(lastTod)
	}
	return n
}

// nextTime returns the first matching time of day at or after tod, or never.
func (c *calendar) nextTime(tod int64) int64 {
	h, m, s := split(tod)
	if c.hours>>h&1 != 0 {
		if c.minutes>>m&1 != 0 {
			if rest := c.seconds >> s; rest != 0 {
				return tod + int64(bits.TrailingZeros64(rest))
			}
		}
		if rest := c.minutes >> (m + 1); rest != 0 {
			return timeOfDay(h, m+1+bits.TrailingZeros64(rest), bits.TrailingZeros64(c.seconds))
		}
	}
	if rest := c.hours >> (h + 1); rest != 0 {
		return timeOfDay(h+1+bits.TrailingZeros32(rest), bits.TrailingZeros64(c.minutes), bits.TrailingZeros64(c.seconds))
	}
	return never
}

// prevTime returns the last matching time of day at or before tod, or none.
func (c *calendar) prevTime(tod int64) int64 {
	h, m, s := split(tod)
	if c.hours>>h&1 != 0 {
		if c.minutes>>m&1 != 0 {
			if rest := c.seconds & below(s+1); rest != 0 {
				return timeOfDay(h, m, 63-bits.LeadingZeros64(rest))
			}
		}
		if rest := c.minutes & below(m); rest != 0 {
			return timeOfDay(h, 63-bits.LeadingZeros64(rest), 63-bits.LeadingZeros64(c.seconds))
		}
	}
	if rest := uint64(c.hours) & below(h); rest != 0 {
		return timeOfDay(63-bits.LeadingZeros64(rest), 63-bits.LeadingZeros64(c.minutes), 63-bits.LeadingZeros64(c.seconds))
	}
	return none
}

// timesBefore returns how many matching times of day lie before tod.
func (c *calendar) timesBefore(tod int64) int64 {
	h, m, s := split(tod)
	perMinute := bits.OnesCount64(c.seconds)
	perHour := bits.OnesCount64(c.minutes) * perMinute
	n := bits.OnesCount64(uint64(c.hours)&below(h)) * perHour
	if c.hours>>h&1 != 0 {
		n += bits.OnesCount64(c.minutes&below(m)) * perMinute
		if c.minutes>>m&1 != 0 {
			n += bits.OnesCount64(c.seconds & below(s))
		}
	}
	return int64(n)
}

// nextDay returns the first matching day at or after the given one, counted from 1970-01-01, or never. It visits the chosen months of
// the chosen years only.
func (c *calendar) nextDay(day int64) int64 {
	if day > lastDay {
		return never
	}
	day = max(day, 0)
	if c.everyDay {
		return day
	}
	y, m, d := civil(day)
	for {
		if ny := c.nextYear(y); ny != y {
			if ny == 0 {
				return never
			}
			y, m, d = ny, 1, 1
		}
		rest := c.months >> m
		if rest == 0 {
			y, m, d = y+1, 1, 1
			continue
		}
		if skip := bits.TrailingZeros16(rest); skip > 0 {
			m, d = m+skip, 1
		}
		first := dayOf(y, m)
		if set := c.daysOf(y, m, first) >> d; set != 0 {
			return first + int64(d-1+bits.TrailingZeros32(set))
		}
		m, d = m+1, 1
	}
}

// prevDay returns the last matching day at or before the given one, or none.
func (c *calendar) prevDay(day int64) int64 {
	if day < 0 {
		return none
	}
	day = min(day, lastDay)
	if c.everyDay {
		return day
	}
	y, m, d := civil(day)
	for {
		if py := c.prevYear(y); py != y {
			if py == 0 {
				return none
			}
			y, m, d = py, 12, 31
		}
		rest := c.months & uint16(below(m+1))
		if rest == 0 {
			y, m, d = y-1, 12, 31
			continue
		}
		if pm := 15 - bits.LeadingZeros16(rest); pm != m {
			m, d = pm, 31
		}
		first := dayOf(y, m)
		if set := c.daysOf(y, m, first) & uint32(below(d+1)); set != 0 {
			return first + int64(30-bits.LeadingZeros32(set))
		}
		m, d = m-1, 31
	}
}

// countDays returns how many days in [from, to) match.
func (c *calendar) countDays(from, to int64) int64 {
	from, to = max(from, 0), min(to, lastDay+1)
	if from >= to {
		return 0
	}
	if c.everyDay {
		return to - from
	}
	var n int
	y, m, d := civil(from)
	for {
		if ny := c.nextYear(y); ny != y {
			if ny == 0 {
				return int64(n)
			}
			y, m, d = ny, 1, 1
		}
		for ; m <= 12; m, d = m+1, 1 {
			if c.months>>m&1 == 0 {
				continue
			}
			first := dayOf(y, m)
			if first >= to {
				return int64(n)
			}
			set := c.daysOf(y, m, first) >> d << d
			if rest := to - first; rest < 31 {
				set &= uint32(below(int(rest) + 1))
			}
			n += bits.OnesCount32(set)
		}
		y, m, d = y+1, 1, 1
	}
}

// daysOf returns the matching days of a month as bits 1-31; first is the day number of the month's first day.
func (c *calendar) daysOf(y, m int, first int64) uint32 {
	length := monthLength(y, m)
	start := int((first + 4) % 7) // the weekday of the 1st; 1970-01-01 was a Thursday

	dates := c.dates
	if c.fromEnd|c.nearest|c.nearestFromEnd != 0 {
		for rest := c.fromEnd; rest != 0; rest &= rest - 1 {
			if n := bits.TrailingZeros32(rest); n < length {
				dates |= 1 << (length - n)
			}
		}
		for rest := c.nearest; rest != 0; rest &= rest - 1 {
			if d := bits.TrailingZeros32(rest); d <= length {
				dates |= 1 << nearestWeekday(d, start, length)
			}
		}
		for rest := c.nearestFromEnd; rest != 0; rest &= rest - 1 {
			if n := bits.TrailingZeros32(rest); n < length {
				dates |= 1 << nearestWeekday(length-n, start, length)
			}
		}
	}

	week := uint64(c.weekdays)
	week |= week<<7 | week<<14
	week |= week << 21
	days := uint32(week>>start) << 1
	for n, set := range c.nth {
		for rest := set; rest != 0; rest &= rest - 1 {
			if d := 1 + (bits.TrailingZeros8(rest)-start+7)%7 + 7*n; d <= length {
				days |= 1 << d
			}
		}
	}
	for rest := c.lastOfWeekday; rest != 0; rest &= rest - 1 {
		last := (start + length - 1) % 7
		days |= 1 << (length - (last-bits.TrailingZeros8(rest)+7)%7)
	}

	if c.eitherDay {
		dates |= days
	} else {
		dates &= days
	}
	return dates & uint32(below(length+1)) &^ 1
}

// nearestWeekday returns the day from Monday to Friday that is nearest to day d of a month that starts on the given weekday.
func nearestWeekday(d, start, length int) int {
	switch (start + d - 1) % 7 {
	case 6:
		if d == 1 {
			return 3
		}
		return d - 1
	case 0:
		if d == length {
			return d - 2
		}
		return d + 1
	}
	return d
}

// nextYear returns the first chosen year at or after y, or 0.
func (c *calendar) nextYear(y int) int {
	i := y - minYear
	if i >= 64*len(c.years) {
		return 0
	}
	if rest := c.years[i/64] >> (i % 64); rest != 0 {
		return y + bits.TrailingZeros64(rest)
	}
	for w := i/64 + 1; w < len(c.years); w++ {
		if c.years[w] != 0 {
			return minYear + 64*w + bits.TrailingZeros64(c.years[w])
		}
	}
	return 0
}

// prevYear returns the last chosen year at or before y, or 0.
func (c *calendar) prevYear(y int) int {
	i := y - minYear
	if i < 0 {
		return 0
	}
	if rest := c.years[i/64] & below(i%64+1); rest != 0 {
		return minYear + i/64*64 + 63 - bits.LeadingZeros64(rest)
	}
	for w := i/64 - 1; w >= 0; w-- {
		if c.years[w] != 0 {
			return minYear + 64*w + 63 - bits.LeadingZeros64(c.years[w])
		}
	}
	return 0
}

// below returns the set of all numbers under n.
func below(n int) uint64 {
	return 1<<n - 1
}

func timeOfDay(h, m, s int) int64 {
	return int64(h*3600 + m*60 + s)
}

func split(tod int64) (h, m, s int) {
	t := uint32(tod)
	return int(t / 3600), int(t / 60 % 60), int(t % 60)
}

func floorDiv(a, b int64) (quotient, remainder int64) {
	quotient, remainder = a/b, a%b
	if remainder < 0 {
		quotient, remainder = quotient-1, remainder+b
	}
	return quotient, remainder
}

// lastDay is the number of the last covered day, 2199-12-31.
const lastDay = 365*(maxYear+1-minYear) + 56 - 1 // 56 leap years: 1972 to 2196 without 2100

var daysBefore = [14]int16{0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365}

func leap(y int) bool {
	return y%4 == 0 && (y%100 != 0 || y%400 == 0)
}

func monthLength(y, m int) int {
	if m == 2 && leap(y) {
		return 29
	}
	return int(daysBefore[m+1] - daysBefore[m])
}

// dayOf returns the number of the first day of a month, counted from 1970-01-01.
func dayOf(y, m int) int64 {
	p := y - 1
	d := 365*(y-1970) + p/4 - p/100 + p/400 - 477 + int(daysBefore[m])
	if m > 2 && leap(y) {
		d++
	}
	return int64(d)
}

// civil is the date of a day counted from 1970-01-01; it holds for the covered years and a little around them.
func civil(day int64) (y, m, d int) {
	y = minYear + int(day*400/146097) // right, or one too many or too few
	n := int(day - dayOf(y, 1))
	if n < 0 {
		y--
		n = int(day - dayOf(y, 1))
	} else if length := 337 + monthLength(y, 2); n >= length {
		y, n = y+1, n-length
	}
	if n < 31 {
		return y, 1, n + 1
	}
	n -= 31
	february := monthLength(y, 2)
	if n < february {
		return y, 2, n + 1
	}
	n -= february
	// From March on the lengths repeat as 31 30 31 30 31 every 153 days.
	i := (5*n + 2) / 153
	return y, i + 3, n - (153*i+2)/5 + 1
}
