package rrule

import (
	"slices"

	"github.com/teambition/rrule-go"
)

// times are the times of day of a rule whose periods are hours, minutes or seconds. In the words of RFC 5545, section 3.3.10, BYHOUR limits
// such periods, and BYMINUTE and BYSECOND limit those that are not longer than a minute or a second, and expand the others.
type times struct {
	length, step int64   // of a period, and from one that counts to the next, in seconds
	start        int64   // the beginning of a period that counts
	candidates   []int64 // where in a day the limits allow a period to begin; nil when there are no limits
	within       []int64 // what a period has, in seconds from its beginning
}

func (r *rule) times() *times {
	o := &r.option
	t := &times{length: unit[o.Freq], step: unit[o.Freq] * int64(o.Interval), within: []int64{0}}
	t.start = floor(o.Dtstart.Unix(), t.length)

	// Of each field: what limits, what expands.
	hours, minutes, seconds := o.Byhour, o.Byminute, o.Bysecond
	if o.Freq < rrule.MINUTELY {
		t.within = expand(t.within, minutes, o.Dtstart.Minute(), 60)
		minutes = []int{0}
	}
	if o.Freq < rrule.SECONDLY {
		t.within = expand(t.within, seconds, o.Dtstart.Second(), 1)
		seconds = []int{0}
	}
	t.within = choose(t.within, o.Bysetpos)
	if len(o.Byhour) > 0 || len(minutes) > 0 && o.Freq >= rrule.MINUTELY || len(seconds) > 0 && o.Freq >= rrule.SECONDLY {
		for _, h := range all(hours, 24) {
			for _, m := range all(minutes, 60) {
				for _, s := range all(seconds, 60) {
					t.candidates = append(t.candidates, int64(h*3600+m*60+s))
				}
			}
		}
	}
	return t
}

// all returns the values in order, each once, or all there are if none are named.
func all(named []int, size int) []int {
	if len(named) > 0 {
		named = slices.Clone(named)
		slices.Sort(named)
		return slices.Compact(named)
	}
	list := make([]int, size)
	for i := range list {
		list[i] = i
	}
	return list
}

// expand puts each of the values, or that of the start if none are named, behind each of the list.
func expand(list []int64, named []int, start int, length int64) []int64 {
	if len(named) == 0 {
		named = []int{start}
	}
	var longer []int64
	for _, at := range list {
		for _, n := range all(named, 0) {
			longer = append(longer, at+int64(n)*length)
		}
	}
	return longer
}

// choose keeps what BYSETPOS names: 1 is the first, -1 the last.
func choose(list []int64, positions []int) []int64 {
	if len(positions) == 0 {
		return list
	}
	var kept []int64
	for i, at := range list {
		if slices.Contains(positions, i+1) || slices.Contains(positions, i-len(list)) {
			kept = append(kept, at)
		}
	}
	return kept
}

// reaches reports whether a period that counts ever begins where the limits allow one, and has something.
func (t *times) reaches() bool {
	if len(t.within) == 0 {
		return false
	}
	if t.candidates == nil {
		return true
	}
	divisor := gcd(t.step, daySeconds)
	return slices.ContainsFunc(t.candidates, func(at int64) bool { return (at-t.start)%divisor == 0 })
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// appendDay appends the readings of a day that lie in [from, to], in order. It visits the candidates or the periods that count, whichever are
// fewer.
func (t *times) appendDay(list []int64, day, from, to int64) []int64 {
	period := func(begin int64) {
		for _, at := range t.within {
			if at += begin; at >= from && at <= to {
				list = append(list, at)
			}
		}
	}
	if t.candidates != nil && int64(len(t.candidates)) <= daySeconds/t.step {
		for _, at := range t.candidates {
			if (day+at-t.start)%t.step == 0 {
				period(day + at)
			}
		}
		return list
	}
	first := max(day, from-t.length)
	begin := t.start
	if first > begin {
		begin += (first - begin + t.step - 1) / t.step * t.step
	}
	for ; begin < day+daySeconds && begin <= to; begin += t.step {
		if t.candidates != nil {
			if _, allowed := slices.BinarySearch(t.candidates, begin-day); !allowed {
				continue
			}
		}
		period(begin)
	}
	return list
}
