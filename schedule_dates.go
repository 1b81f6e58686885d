package punctual

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// DateCalendar is a set of local dates in a zone: see Dates. The zero value is not valid and empty.
type DateCalendar struct{ set *dateSet }

// dateSet has a date when its weekday, its day of the year or one of the spans has it.
type dateSet struct {
	zone     *time.Location
	weekdays [7]bool      // from Sunday
	yearly   [13][32]bool // by month and day
	recurs   bool         // there is a weekday or a day of the year
	spans    []dateSpan   // in order, with other dates between them
	err      error
	zoneless bool // the zone that was given has no portable name
}

// dateSpan is a range of dates, both included, in days since 1970-01-01.
type dateSpan struct{ first, last int64 }

// Dates returns the calendar of local dates. A date lasts from the first instant at which the clock of the zone shows it to the first at which
// it shows the next. A nil zone means UTC. Each text is one of these, or several with commas between them:
//
//	2027-03-26               a date
//	2027-12-24..2028-01-02   the dates from the first to the last
//	12-25                    a date of each year
//	12-24..01-02             a range of each year
//	sat                      a weekday
//
// A text that cannot be read, no dates at all and all dates there are make schedules that Task.Validate refuses.
func Dates(loc *time.Location, texts ...string) DateCalendar {
	set := &dateSet{}
	if set.zone, set.err = portableZone(loc); set.err != nil {
		set.zone, set.zoneless = time.UTC, true
	}
	for _, text := range texts {
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.ToLower(strings.TrimSpace(part)); !set.add(part) && set.err == nil {
				set.err = fmt.Errorf("%w: %q is not a date; allowed are 2027-03-26, 12-25 for each year, ranges such as 2027-12-24..2028-01-02, and weekdays such as sat",
					ErrInvalidSchedule, clip(part, 48))
			}
		}
	}
	set.finish()
	return DateCalendar{set}
}

func (d *dateSet) add(part string) bool {
	if w, ok := parseWeekday(part); ok {
		d.weekdays[(w+1)%7], d.recurs = true, true
		return true
	}
	first, last, isRange := strings.Cut(part, "..")
	if !isRange {
		last = first
	}
	if from, err := time.Parse(time.DateOnly, first); err == nil {
		to, err := time.Parse(time.DateOnly, last)
		if err != nil || to.Before(from) || from.Year() < 1 {
			return false
		}
		d.spans = append(d.spans, dateSpan{dayNumber(from), dayNumber(to)})
		return true
	}
	from, err := time.Parse(time.DateOnly, leapYear+first)
	if err != nil {
		return false
	}
	to, err := time.Parse(time.DateOnly, leapYear+last)
	if err != nil {
		return false
	}
	for t := from; ; t = t.AddDate(0, 0, 1) {
		d.yearly[t.Month()][t.Day()], d.recurs = true, true
		if t.Month() == to.Month() && t.Day() == to.Day() {
			return true
		}
	}
}

// leapYear is a year that has all dates.
const leapYear = "2000-"

// finish orders the spans and joins those that touch.
func (d *dateSet) finish() {
	slices.SortFunc(d.spans, func(a, b dateSpan) int { return cmp.Compare(a.first, b.first) })
	var joined []dateSpan
	for _, s := range d.spans {
		if n := len(joined); n > 0 && s.first <= joined[n-1].last+1 {
			joined[n-1].last = max(joined[n-1].last, s.last)
		} else {
			joined = append(joined, s)
		}
	}
	d.spans = joined
	switch {
	case d.err != nil:
	case !d.recurs && len(d.spans) == 0:
		d.err = fmt.Errorf("%w: the calendar names no date", ErrInvalidSchedule)
	case !slices.Contains(d.weekdays[:], false) || d.allYear():
		d.err = fmt.Errorf("%w: the calendar names all dates, so nothing would be left", ErrInvalidSchedule)
	}
}

// allYear reports whether the set has all 366 dates of a leap year.
func (d *dateSet) allYear() bool {
	n := 0
	for _, month := range d.yearly {
		for _, has := range month {
			if has {
				n++
			}
		}
	}
	return n == 366
}

// dayNumber is the number of days since 1970-01-01 at midnight of a date in UTC.
func dayNumber(t time.Time) int64 { return floorDiv(t.Unix(), day) }

func dayTime(n int64) time.Time { return time.Unix(n*day, 0).UTC() }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// lastDay is the last date that schedules know: that of lastInstant.
var lastDay = dayNumber(lastInstant)

// has reports whether a date is in the set.
func (d *dateSet) has(n int64) bool {
	_, ok := d.span(n)
	return ok || d.recurring(n)
}

// span returns the span that has the date, or else the one behind it if there is one.
func (d *dateSet) span(n int64) (s dateSpan, has bool) {
	i, _ := slices.BinarySearchFunc(d.spans, n, func(s dateSpan, n int64) int { return cmp.Compare(s.last, n) })
	if i == len(d.spans) {
		return dateSpan{lastDay + 1, lastDay + 1}, false
	}
	return d.spans[i], d.spans[i].first <= n
}

func (d *dateSet) recurring(n int64) bool {
	if !d.recurs {
		return false
	}
	t := dayTime(n)
	return d.weekdays[t.Weekday()] || d.yearly[t.Month()][t.Day()]
}

// next returns the first date of the set that is not before n, or one behind lastDay.
func (d *dateSet) next(n int64) int64 {
	s, has := d.span(n)
	if has {
		return n
	}
	if d.recurs {
		for ; n < s.first && !d.recurring(n); n++ { // at most from one 29 February to the next: eight years
		}
		return n
	}
	return s.first
}

// last returns the last date of the run of dates that n is in.
func (d *dateSet) last(n int64) int64 {
	for n <= lastDay && d.has(n+1) {
		n++
		if s, has := d.span(n); has {
			n = s.last
		}
	}
	return n
}

// first returns the first date of the run of dates that n is in.
func (d *dateSet) first(n int64) int64 {
	for n > firstDay && d.has(n-1) {
		n--
		if s, has := d.span(n); has {
			n = s.first
		}
	}
	return n
}

// firstDay is 0001-01-01.
var firstDay = dayNumber(time.Time{})

// begin returns the first instant at which the clock shows the date or a later one.
func (d *dateSet) begin(n int64) time.Time {
	// Two days before, no zone shows the date yet.
	for t := time.Unix((n-2)*day, 0).In(d.zone); ; {
		_, offset := t.Zone()
		end := offsetEnd(t)
		midnight := time.Unix(n*day-int64(offset), 0)
		if end.IsZero() || midnight.Before(end) {
			return later(midnight, t).In(d.zone)
		}
		t = end
	}
}

// date returns the date that an instant belongs to.
func (d *dateSet) date(t time.Time) int64 {
	t = t.In(d.zone)
	_, offset := t.Zone()
	n := floorDiv(t.Unix()+int64(offset), day)
	changed, _ := t.ZoneBounds()
	if !changed.IsZero() && t.Sub(changed) < 48*time.Hour && !d.begin(n+1).After(t) {
		n++ // the clock went back over midnight
	}
	return n
}

// covers reports whether t is in the set: much cheaper than Stretch where it is not.
func (c DateCalendar) covers(t time.Time) bool { return c.fault() == nil && c.set.has(c.set.date(t)) }

// Stretch returns the first run of dates that ends after t.
func (c DateCalendar) Stretch(t time.Time) (from, to time.Time, ok bool) {
	if c.fault() != nil {
		return from, to, false
	}
	n := c.set.date(t)
	if c.set.has(n) {
		n = c.set.first(n)
	}
	for n = c.set.next(n); n <= lastDay; n = c.set.next(n) {
		last := c.set.last(n)
		from, to = c.set.begin(n), c.set.begin(last+1)
		if to.After(from) && to.After(t) { // a date that the zone left out has no instants
			return from, to, true
		}
		n = last + 1
	}
	return time.Time{}, time.Time{}, false
}

// Location returns the zone whose dates the calendar means.
func (c DateCalendar) Location() *time.Location {
	if c.set == nil {
		return time.UTC
	}
	return c.set.zone
}

func (c DateCalendar) fault() error {
	if c.set == nil {
		return fmt.Errorf("%w: the calendar is a zero value; use Dates", ErrInvalidSchedule)
	}
	return c.set.err
}

// String returns the text form: weekdays, dates of each year, dates, with commas between them, and the zone.
func (c DateCalendar) String() string {
	if c.set == nil {
		return "none"
	}
	if c.set.zoneless {
		return strings.Join(c.set.texts(), ",") + " ?"
	}
	return strings.Join(c.set.texts(), ",") + " " + c.set.zone.String()
}

// Explain returns the dates in words. Of many, the first ones are named.
func (c DateCalendar) Explain() string {
	if c.fault() != nil {
		return "nothing"
	}
	texts := c.set.texts()
	for i, text := range texts {
		if w, ok := parseWeekday(text); ok {
			texts[i] = weekdayName(w)
		}
		texts[i] = strings.ReplaceAll(texts[i], "..", " to ")
	}
	if n := len(texts); n > 10 {
		texts = append(texts[:9], fmt.Sprintf("%d more", n-9))
	}
	return listWords(texts) + " in " + c.set.zone.String()
}

func (d *dateSet) texts() []string {
	var texts []string
	for i, name := range weekdayNames {
		if d.weekdays[(i+1)%7] {
			texts = append(texts, name)
		}
	}
	texts = append(texts, d.yearlyRuns()...)
	for _, s := range d.spans {
		texts = append(texts, spanText(dayTime(s.first).Format(time.DateOnly), dayTime(s.last).Format(time.DateOnly)))
	}
	return texts
}

// yearlyRuns are the dates of each year, joined where they touch within the year.
func (d *dateSet) yearlyRuns() []string {
	var runs []string
	first, last := "", ""
	flush := func() {
		if first != "" {
			runs = append(runs, spanText(first, last))
		}
		first = ""
	}
	for t := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC); t.Year() == 2000; t = t.AddDate(0, 0, 1) {
		if !d.yearly[t.Month()][t.Day()] {
			flush()
			continue
		}
		last = t.Format("01-02")
		if first == "" {
			first = last
		}
	}
	flush()
	return runs
}

func spanText(first, last string) string {
	if first == last {
		return first
	}
	return first + ".." + last
}

// parseDateCalendar reads dates with commas between them and a zone.
func parseDateCalendar(text string, missing *time.Location) (Calendar, error) {
	words := strings.Fields(strings.ReplaceAll(text, ", ", ","))
	if len(words) < 1 || len(words) > 2 {
		return nil, fmt.Errorf("%w: %q is not a calendar such as sat,sun,12-25,2027-03-26 Europe/Berlin, nor the name of a kind that is registered",
			ErrInvalidSchedule, clip(text, 64))
	}
	loc := missing
	if len(words) == 2 {
		var err error
		if loc, err = parseZone(words[1]); err != nil {
			return nil, err
		}
	}
	c := Dates(loc, words[0])
	return c, c.fault()
}
