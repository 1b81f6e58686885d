package cronexpr

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDatesAgreeWithPackageTime(t *testing.T) {
	at := time.Date(minYear-1, 1, 1, 0, 0, 0, 0, time.UTC)
	for at.Year() <= maxYear+1 {
		day := at.Unix() / secondsPerDay
		y, m, d := civil(day)
		if wy, wm, wd := at.Date(); y != wy || m != int(wm) || d != wd {
			t.Fatalf("civil(%d) = %d-%d-%d, want %s", day, y, m, d, at.Format(time.DateOnly))
		}
		if d == 1 {
			require.Equal(t, day, dayOf(y, m), "%d-%d", y, m)
			require.Equal(t, at.AddDate(0, 1, -1).Day(), monthLength(y, m), "%d-%d", y, m)
		}
		at = at.AddDate(0, 0, 1)
	}
	assert.EqualValues(t, time.Date(maxYear, 12, 31, 0, 0, 0, 0, time.UTC).Unix()/secondsPerDay, lastDay)
}

// What makes a search of the covered years a proof: a date's match depends on the month, its length and its first weekday only.
func TestCoveredYearsHoldEveryShapeOfAMonth(t *testing.T) {
	shapes := map[[3]int]bool{}
	for y := minYear; y <= maxYear; y++ {
		for m := 1; m <= 12; m++ {
			shapes[[3]int{m, monthLength(y, m), int((dayOf(y, m) + 4) % 7)}] = true
		}
	}
	assert.Len(t, shapes, 13*7) // February has two lengths
}

// choice is a field's text with its meaning in the plainest words.
type choice struct {
	text  string
	match func(t time.Time) bool
	star  bool
}

func number(get func(time.Time) int, lo, hi int, r *rand.Rand) choice {
	at := func(v int) func(time.Time) bool { return func(t time.Time) bool { return get(t) == v } }
	within := func(a, b, step int) func(time.Time) bool {
		return func(t time.Time) bool {
			v := get(t)
			if b < a { // wraps around
				if v < a && v > b {
					return false
				}
				return ((v-a+hi-lo+1)%(hi-lo+1))%step == 0
			}
			return v >= a && v <= b && (v-a)%step == 0
		}
	}
	v := func() int { return lo + r.IntN(hi-lo+1) }
	a, b, step := v(), v(), 1+r.IntN(hi-lo+1)
	switch r.IntN(7) {
	case 0, 1:
		return choice{"*", func(time.Time) bool { return true }, true}
	case 2:
		return choice{fmt.Sprintf("*/%d", step), within(lo, hi, step), true}
	case 3:
		return choice{fmt.Sprintf("%d-%d", a, b), within(a, b, 1), false}
	case 4:
		return choice{fmt.Sprintf("%d-%d/%d", a, b, step), within(a, b, step), false}
	case 5:
		return choice{fmt.Sprintf("%d/%d", a, step), within(a, hi, step), false}
	}
	return choice{fmt.Sprint(a), at(a), false}
}

func isWeekday(t time.Time) bool { return t.Weekday() != time.Saturday && t.Weekday() != time.Sunday }

func lastOf(t time.Time) time.Time { return time.Date(t.Year(), t.Month()+1, 0, 0, 0, 0, 0, time.UTC) }

// nearestTo reports whether t is the weekday nearest to a date of its month, by looking at all days of the month.
func nearestTo(t, date time.Time) bool {
	if t.Month() != date.Month() {
		return false
	}
	var best time.Time
	distance := func(d time.Time) time.Duration { return d.Sub(date).Abs() }
	for d := time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC); d.Month() == t.Month(); d = d.AddDate(0, 0, 1) {
		if isWeekday(d) && (best.IsZero() || distance(d) < distance(best)) {
			best = d
		}
	}
	return best.Day() == t.Day()
}

func date(r *rand.Rand) choice {
	n := 1 + r.IntN(30)
	switch r.IntN(12) {
	case 0:
		return choice{"L", func(t time.Time) bool { return t.Day() == lastOf(t).Day() }, false}
	case 1:
		return choice{fmt.Sprintf("L-%d", n), func(t time.Time) bool { return t.Day() == lastOf(t).Day()-n }, false}
	case 2:
		return choice{fmt.Sprintf("%dW", n), func(t time.Time) bool {
			return n <= lastOf(t).Day() && nearestTo(t, time.Date(t.Year(), t.Month(), n, 0, 0, 0, 0, time.UTC))
		}, false}
	case 3:
		return choice{"LW", func(t time.Time) bool { return nearestTo(t, lastOf(t)) }, false}
	case 4:
		return choice{fmt.Sprintf("L-%dW", n), func(t time.Time) bool {
			return n < lastOf(t).Day() && nearestTo(t, lastOf(t).AddDate(0, 0, -n))
		}, false}
	case 5:
		return choice{"?", func(time.Time) bool { return true }, true}
	}
	return number(time.Time.Day, 1, 31, r)
}

func weekday(r *rand.Rand) choice {
	d, n := r.IntN(7), 1+r.IntN(5)
	switch r.IntN(8) {
	case 0:
		return choice{fmt.Sprintf("%d#%d", d, n), func(t time.Time) bool { return int(t.Weekday()) == d && (t.Day()-1)/7 == n-1 }, false}
	case 1:
		return choice{fmt.Sprintf("%dL", d), func(t time.Time) bool { return int(t.Weekday()) == d && t.AddDate(0, 0, 7).Month() != t.Month() }, false}
	}
	return number(func(t time.Time) int { return int(t.Weekday()) }, 0, 6, r)
}

// list joins one to three choices; the first decides whether it is a star field.
func list(r *rand.Rand, one func() choice) choice {
	all := one()
	for range r.IntN(3) {
		more, before := one(), all.match
		all.text += "," + more.text
		all.match = func(t time.Time) bool { return before(t) || more.match(t) }
	}
	return all
}

// meaning is what a random expression means, apart for dates and for times of day.
type meaning struct {
	text       string
	date, time func(time.Time) bool
}

func randomExpr(r *rand.Rand) meaning {
	seconds := number(time.Time.Second, 0, 59, r)
	minutes := number(time.Time.Minute, 0, 59, r)
	hours := list(r, func() choice { return number(time.Time.Hour, 0, 23, r) })
	dates := list(r, func() choice { return date(r) })
	months := number(func(t time.Time) int { return int(t.Month()) }, 1, 12, r)
	weekdays := list(r, func() choice { return weekday(r) })
	years := choice{"*", func(time.Time) bool { return true }, true}
	if r.IntN(3) == 0 {
		from, step := minYear+r.IntN(20), 1+r.IntN(8)
		years = choice{fmt.Sprintf("%d/%d", from, step), func(t time.Time) bool { return t.Year() >= from && (t.Year()-from)%step == 0 }, false}
	}
	return meaning{
		text: strings.Join([]string{seconds.text, minutes.text, hours.text, dates.text, months.text, weekdays.text, years.text}, " "),
		date: func(t time.Time) bool {
			if !months.match(t) || !years.match(t) {
				return false
			}
			if !dates.star && !weekdays.star {
				return dates.match(t) || weekdays.match(t)
			}
			return dates.match(t) && weekdays.match(t)
		},
		time: func(t time.Time) bool { return seconds.match(t) && minutes.match(t) && hours.match(t) },
	}
}

func TestRandomExpressionsMeanWhatTheirPartsMean(t *testing.T) {
	const years = 9
	r := rand.New(rand.NewPCG(9, 10))
	impossible := 0
	for range 200 {
		m := randomExpr(r)
		e, err := Parse(m.text, Options{})
		if err != nil {
			impossible++
			require.ErrorContains(t, err, "never matches")
			for d := time.Unix(0, 0).UTC(); d.Year() <= maxYear; d = d.AddDate(0, 0, 1) {
				require.False(t, m.date(d), "%v, but %s matches", err, d.Format(time.DateOnly))
			}
			continue
		}
		// All occurrences of some years, as the product of their dates and times.
		start := time.Date(1970+r.IntN(maxYear-1970-years), 1, 1, 0, 0, 0, 0, time.UTC)
		var days, times []int64
		for d := start; d.Year() < start.Year()+years; d = d.AddDate(0, 0, 1) {
			if m.date(d) {
				days = append(days, d.Unix())
			}
		}
		for s := range int64(secondsPerDay) {
			if m.time(time.Unix(s, 0).UTC()) {
				times = append(times, s)
			}
		}
		nth := func(i int) int64 { return days[i/len(times)] + times[i%len(times)] }
		total := len(days) * len(times)
		end := start.AddDate(years, 0, 0).Add(-time.Second)
		require.EqualValues(t, total, e.Count(start.Add(-time.Second), end), "%s from %v", m.text, start)
		for range 50 {
			at := start.Unix() + r.Int64N(end.Unix()-start.Unix())
			if r.IntN(2) == 0 && total > 0 {
				at = nth(r.IntN(total))
			}
			i := sort.Search(total, func(i int) bool { return nth(i) > at }) // the first after at
			instant := time.Unix(at, 0).UTC()
			require.EqualValues(t, i, e.Count(start.Add(-time.Second), instant), "%s up to %v", m.text, instant)
			if i < total {
				require.Equal(t, time.Unix(nth(i), 0).UTC(), e.Next(instant), "%s after %v", m.text, instant)
			} else if next := e.Next(instant); !next.IsZero() {
				require.True(t, next.After(end), "%s after %v", m.text, instant)
			}
			if i > 0 {
				require.Equal(t, time.Unix(nth(i-1), 0).UTC(), e.Prev(instant.Add(time.Second)), "%s before %v", m.text, instant)
			}
		}
	}
	require.Positive(t, impossible)
	require.Less(t, impossible, 50)
}
