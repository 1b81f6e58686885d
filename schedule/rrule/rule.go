package rrule

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/teambition/rrule-go"
)

const (
	daySeconds = 24 * 60 * 60
	maxCount   = 100_000
	maxStep    = 1_000_000
	firstYear  = 1900
	lastYear   = 2199
)

// horizon is the last reading that occurs.
var horizon = time.Date(lastYear, 12, 31, 23, 59, 59, 0, time.UTC).Unix()

// unit is the length of a period in seconds, about that for months and years.
var unit = map[rrule.Frequency]int64{
	rrule.YEARLY: 365 * daySeconds, rrule.MONTHLY: 30 * daySeconds, rrule.WEEKLY: 7 * daySeconds, rrule.DAILY: daySeconds,
	rrule.HOURLY: 60 * 60, rrule.MINUTELY: 60, rrule.SECONDLY: 1,
}

// rule is an RRULE with its DTSTART, in readings of the clock: seconds since 1970 as if the zone were UTC. What the library calculates
// is therefore free of zones.
type rule struct {
	option rrule.ROption // without COUNT and UNTIL
	count  int
	until  string // as it was given
	last   int64  // the last reading that COUNT leaves
}

// parseRule reads what stands behind "RRULE:".
func parseRule(text string, start int64) (*rule, error) {
	seen := make(map[string]string)
	for part := range strings.SplitSeq(text, ";") {
		key, value, ok := strings.Cut(part, "=")
		if _, twice := seen[key]; !ok || value == "" || twice {
			return nil, fmt.Errorf("%q is not one part of a rule such as BYDAY=MO,WE", shortened(part))
		}
		seen[key] = value
	}
	r := &rule{until: seen["UNTIL"], last: math.MaxInt64}
	var rest []string
	for part := range strings.SplitSeq(text, ";") {
		switch key, _, _ := strings.Cut(part, "="); key {
		case "UNTIL":
		case "DTSTART", "BYEASTER":
			return nil, fmt.Errorf("%s is not a part of a rule", key)
		default:
			rest = append(rest, part)
		}
	}
	option, err := rrule.StrToROption(strings.Join(rest, ";"))
	if err != nil {
		return nil, err
	}
	r.option, r.count = *option, option.Count
	r.option.Count, r.option.Dtstart = 0, reading(start)
	switch _, err := rrule.NewRRule(r.option); {
	case err != nil:
		return nil, err
	case seen["INTERVAL"] != "" && r.option.Interval < 1 || r.option.Interval > maxStep:
		return nil, fmt.Errorf("INTERVAL is not between 1 and %d", maxStep)
	case seen["COUNT"] != "" && (r.count < 1 || r.count > maxCount):
		return nil, fmt.Errorf("COUNT is not between 1 and %d", maxCount)
	case r.count > 0 && r.until != "":
		return nil, errors.New("COUNT and UNTIL exclude each other")
	}
	r.option.Interval = max(r.option.Interval, 1)
	if err := r.combination(); err != nil {
		return nil, err
	}
	if r.count > 0 {
		r.last = r.nth(r.count)
	}
	return r, nil
}

// combination checks what RFC 5545, section 3.3.10, says about the parts that a frequency may have, and that a rule finer than days occurs
// at all: the library would search for ever.
func (r *rule) combination() error {
	o := &r.option
	most := 0 // number of a weekday
	for _, d := range o.Byweekday {
		most = max(most, d.N(), -d.N())
	}
	numbered, inMonth := most > 0, o.Freq == rrule.MONTHLY || len(o.Bymonth) > 0
	others := len(o.Bymonth) + len(o.Byweekno) + len(o.Byyearday) + len(o.Bymonthday) + len(o.Byweekday) + len(o.Byhour) + len(o.Byminute) + len(o.Bysecond)
	switch {
	case len(o.Byweekno) > 0 && o.Freq != rrule.YEARLY:
		return errors.New("BYWEEKNO needs FREQ=YEARLY")
	case len(o.Byyearday) > 0 && (o.Freq == rrule.DAILY || o.Freq == rrule.WEEKLY || o.Freq == rrule.MONTHLY):
		return fmt.Errorf("BYYEARDAY cannot stand with FREQ=%v", o.Freq)
	case len(o.Bymonthday) > 0 && o.Freq == rrule.WEEKLY:
		return errors.New("BYMONTHDAY cannot stand with FREQ=WEEKLY")
	case numbered && (o.Freq != rrule.YEARLY && o.Freq != rrule.MONTHLY || len(o.Byweekno) > 0):
		return errors.New("a number in BYDAY needs FREQ=MONTHLY, or FREQ=YEARLY without BYWEEKNO")
	case most > 5 && inMonth: // the library would look for it behind the end of the year
		return errors.New("BYDAY: no month has more than five of a weekday")
	case len(o.Bysetpos) > 0 && others == 0:
		return errors.New("BYSETPOS needs another BY part to choose from")
	case !r.hasDates():
		return errors.New("it never occurs: none of its months has one of its days")
	case r.fine() && !r.times().reaches():
		return errors.New("it never occurs: with this start and interval the times of day are passed over")
	}
	return nil
}

// hasDates reports whether the days of the month occur in the months.
func (r *rule) hasDates() bool {
	if len(r.option.Bymonth) == 0 || len(r.option.Bymonthday) == 0 {
		return true
	}
	return slices.ContainsFunc(r.option.Bymonth, func(month int) bool {
		length := time.Date(2000, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
		return slices.ContainsFunc(r.option.Bymonthday, func(day int) bool { return max(day, -day) <= length })
	})
}

// fine reports whether the periods are shorter than days.
func (r *rule) fine() bool { return r.option.Freq >= rrule.HOURLY }

// floor is the multiple of the unit at or before n.
func floor(n, unit int64) int64 { return n - (n%unit+unit)%unit }

func reading(n int64) time.Time { return time.Unix(n, 0).UTC() }

// between appends the readings in [from, to] that the rule has, in order. The library visits every period; where these are shorter
// than days it is asked for the days only.
func (r *rule) between(list []int64, from, to int64) []int64 {
	to = min(to, r.last, horizon)
	from = max(from, r.option.Dtstart.Unix())
	if from > to {
		return list
	}
	if !r.fine() {
		return appendReadings(list, r.option, from, to)
	}
	days := r.option
	days.Freq, days.Interval, days.Bysetpos = rrule.DAILY, 1, nil
	days.Byhour, days.Byminute, days.Bysecond = []int{0}, []int{0}, []int{0}
	midnight := floor(from, daySeconds)
	days.Dtstart = reading(midnight)
	times := r.times()
	for _, day := range appendReadings(nil, days, midnight, to) {
		list = times.appendDay(list, day, from, to)
	}
	return list
}

// appendReadings appends the readings of the library's rule in [from, to]. It moves the start close to from, by whole periods so that nothing
// else changes, since the library begins to count there.
func appendReadings(list []int64, o rrule.ROption, from, to int64) []int64 {
	step := unit[o.Freq] * int64(o.Interval)
	if periods := (from-o.Dtstart.Unix())/step - 2; periods > 0 {
		switch {
		case o.Freq >= rrule.WEEKLY:
			o.Dtstart = reading(o.Dtstart.Unix() + periods*step)
		case o.Dtstart.Day() > 28: // no date of each month
		case o.Freq == rrule.MONTHLY:
			periods -= periods / 20 // a month is longer than 30 days
			o.Dtstart = o.Dtstart.AddDate(0, int(periods)*o.Interval, 0)
		default:
			periods -= periods / 20
			o.Dtstart = o.Dtstart.AddDate(int(periods)*o.Interval, 0, 0)
		}
	}
	o.Until = reading(to)
	each, err := rrule.NewRRule(o)
	if err != nil {
		return list // cannot be: parseRule has made it
	}
	next := each.Iterator()
	for t, ok := next(); ok; t, ok = next() {
		if at := t.Unix(); at >= from {
			list = append(list, at)
		}
	}
	return list
}

// nth returns the reading of the nth occurrence, or the last there is.
func (r *rule) nth(n int) int64 {
	from := r.option.Dtstart.Unix()
	for width := r.width(); from <= horizon; width *= 2 {
		found := r.between(nil, from, from+width-1)
		if len(found) >= n {
			return found[n-1]
		}
		n -= len(found)
		from += width
	}
	return horizon
}

// width is a stretch of readings that is likely to hold a few occurrences.
func (r *rule) width() int64 { return max(4*unit[r.option.Freq]*int64(r.option.Interval), 60) }

func shortened(s string) string {
	if len(s) > 48 {
		s = strings.ToValidUTF8(s[:48], "") + "…"
	}
	return strconv.Quote(s)[1 : len(strconv.Quote(s))-1]
}
