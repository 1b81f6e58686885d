package cronexpr

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// fewTimes is up to how many times of day Explain lists one by one.
const fewTimes = 6

// Explain says in words when the expression occurs, such as "at 09:00 on Monday to Friday, Europe/Berlin". The H fields appear as
// what they mean for the hash key.
func (e *Expr) Explain() string {
	_, words, _ := scan(e.text)
	var reread Expr
	fields, _, err := reread.read(e.text, words)
	if err != nil {
		return e.text // cannot be: Parse has read it
	}
	for at := range fields {
		for i, el := range fields[at].elements {
			if el.kind == hashed {
				fields[at].elements[i] = el.resolve(&grammars[at], hashOf(e.options.HashKey, position(at)))
			}
		}
	}
	fixed := !fields[minute].star && !fields[hour].star
	text := e.explainTime(&fields, fixed)
	if days := explainDays(&fields); days != "" {
		text += " " + days
	} else if fixed {
		text += " every day"
	}
	if f := &fields[month]; !f.all() {
		text += ", in " + f.months()
	}
	if f := &fields[year]; !f.all() {
		text += ", in " + f.numbers(year)
	}
	text += ", " + e.Location().String()
	if fixed {
		switch e.options.Gap {
		case GapSkip:
			text += "; times that the clocks jump over are dropped"
		case GapShift:
			text += "; times that the clocks jump over occur later by the length of the jump"
		}
		switch e.options.Fold {
		case FoldSecond:
			text += "; times that come twice count the second time"
		case FoldBoth:
			text += "; times that come twice count both times"
		}
	}
	return text
}

// all reports whether the field restricts nothing.
func (f *field) all() bool {
	for _, e := range f.elements {
		if e.kind == every && e.step <= 1 {
			return true
		}
	}
	return false
}

// explainTime says the seconds, minutes and hours.
func (e *Expr) explainTime(fields *[positions]field, fixed bool) string {
	c := &e.cal
	if fixed {
		perMinute := int64(bits.OnesCount64(c.seconds))
		hours := fields[hour].elements
		switch {
		case c.perDay <= fewTimes:
			return "at " + listed(e.timesOfDay(c.seconds))
		case c.perDay/perMinute <= fewTimes:
			return fields[second].ticks(second) + " of " + listed(e.timesOfDay(1))
		case c.perDay == int64(bits.OnesCount32(c.hours)) && len(hours) == 1 && hours[0].kind == values && hours[0].step <= 1:
			m, s := bits.TrailingZeros64(c.minutes), bits.TrailingZeros64(c.seconds)
			return "every hour from " + clock(hours[0].lo, m, s) + " to " + clock(hours[0].hi, m, s)
		}
	}

	text := ""
	steady := false // what was said last goes on evenly, so that "of every hour" would add nothing
	for at := second; at <= hour; at++ {
		f := &fields[at]
		switch {
		case at == second && c.seconds == 1:
			continue
		case text == "":
			text = f.ticks(at)
		case f.all() && steady:
			continue
		case at == hour && steady && len(f.elements) == 1 && f.elements[0].kind == values && f.elements[0].step <= 1:
			text += " from " + clock(f.elements[0].lo, 0, 0) + " to " + clock(f.elements[0].hi, 59, 0)
		case f.all():
			text += " of every " + grammars[at].name
		default:
			text += " of " + f.numbers(at)
		}
		steady = f.even(at)
	}
	return text
}

// even reports whether the field's values go on evenly from one round to the next, as in every minute or every 15 minutes.
func (f *field) even(at position) bool {
	if f.all() {
		return true
	}
	e := f.elements[0]
	return len(f.elements) == 1 && (e.kind == every || e.open) && e.step > 0 && e.lo < grammars[at].min+e.step && grammars[at].size()%e.step == 0
}

// timesOfDay lists all times of a day with the given seconds.
func (e *Expr) timesOfDay(seconds uint64) []string {
	var list []string
	for hours := e.cal.hours; hours != 0; hours &= hours - 1 {
		for minutes := e.cal.minutes; minutes != 0; minutes &= minutes - 1 {
			for rest := seconds; rest != 0; rest &= rest - 1 {
				list = append(list, clock(bits.TrailingZeros32(hours), bits.TrailingZeros64(minutes), bits.TrailingZeros64(rest)))
			}
		}
	}
	return list
}

func clock(h, m, s int) string {
	if s == 0 {
		return fmt.Sprintf("%02d:%02d", h, m)
	}
	return fmt.Sprintf("%02d:%02d:%02d", h, m, s)
}

// ticks says a field that begins a sentence: "every 15 minutes", "at minutes 0 and 30".
func (f *field) ticks(at position) string {
	g := &grammars[at]
	switch e := f.elements[0]; {
	case f.all():
		return "every " + g.name
	case f.even(at) && e.lo == g.min:
		return fmt.Sprintf("every %d %s", e.step, g.plural)
	case f.even(at):
		return fmt.Sprintf("every %d %s from %s %d", e.step, g.plural, g.name, e.lo)
	}
	return "at " + f.numbers(at)
}

// numbers says a field as a noun: "minute 30", "minutes 0, 30 and 40 to 50", "every 10th minute from 5 to 25".
func (f *field) numbers(at position) string {
	g := &grammars[at]
	var plain, stepped []string
	single := true
	for _, e := range f.elements {
		switch {
		case e.step > 1:
			s := fmt.Sprintf("every %s %s from %d", ordinal(e.step), g.name, e.lo)
			if e.kind == values && !e.open && e.hi != g.max {
				s += fmt.Sprintf(" to %d", e.hi)
			}
			stepped = append(stepped, s)
		case e.lo == e.hi:
			plain = append(plain, strconv.Itoa(e.lo))
		default:
			single = false
			plain = append(plain, fmt.Sprintf("%d to %d", e.lo, e.hi))
		}
	}
	var parts []string
	switch {
	case len(plain) == 0:
	case at == year:
		parts = append(parts, listed(plain))
	case len(plain) == 1 && single:
		parts = append(parts, g.name+" "+plain[0])
	default:
		parts = append(parts, g.plural+" "+listed(plain))
	}
	return listed(append(parts, stepped...))
}

// explainDays says both day fields, or nothing if they restrict nothing.
func explainDays(fields *[positions]field) string {
	dates, weekdays := &fields[dayOfMonth], &fields[dayOfWeek]
	switch {
	case dates.all() && weekdays.all():
		return ""
	case dates.all():
		return "on " + weekdays.weekdays()
	case weekdays.all():
		return "on " + dates.dates()
	case dates.star || weekdays.star:
		return "on " + dates.dates() + " if that is " + weekdays.weekdays()
	}
	return "on " + dates.dates() + " or on " + weekdays.weekdays()
}

// dates says a day-of-month field: "the 1st and 15th of the month", "the last day of the month".
func (f *field) dates() string {
	var plain, parts []string
	for _, e := range f.elements {
		switch {
		case e.kind == fromEnd && e.lo == 0:
			parts = append(parts, "the last day")
		case e.kind == fromEnd:
			parts = append(parts, daysBeforeLast(e.lo))
		case e.kind == nearest:
			parts = append(parts, "the weekday nearest to the "+ordinal(e.lo))
		case e.kind == nearestFromEnd && e.lo == 0:
			parts = append(parts, "the last weekday")
		case e.kind == nearestFromEnd:
			parts = append(parts, "the weekday nearest to "+daysBeforeLast(e.lo))
		case e.step > 1:
			s := fmt.Sprintf("every %s day from the %s", ordinal(e.step), ordinal(e.lo))
			if e.kind == values && !e.open && e.hi != 31 {
				s += " to the " + ordinal(e.hi)
			}
			parts = append(parts, s)
		case e.lo == e.hi:
			plain = append(plain, ordinal(e.lo))
		default:
			plain = append(plain, ordinal(e.lo)+" to "+ordinal(e.hi))
		}
	}
	if len(plain) > 0 {
		parts = append([]string{"the " + listed(plain)}, parts...)
	}
	return listed(parts) + " of the month"
}

func daysBeforeLast(n int) string {
	if n == 1 {
		return "the day before the last"
	}
	return fmt.Sprintf("the %s day before the last", ordinal(n))
}

// weekdays says a day-of-week field: "Monday to Friday", "the 2nd Friday of the month".
func (f *field) weekdays() string {
	g := &grammars[dayOfWeek]
	var parts []string
	for _, e := range f.elements {
		switch e.kind {
		case nthWeekday:
			parts = append(parts, fmt.Sprintf("the %s %s of the month", ordinal(e.nth), g.names[e.lo]))
		case lastWeekdayOfMonth:
			parts = append(parts, "the last "+g.names[e.lo]+" of the month")
		default:
			parts = append(parts, g.namesOf(e)...)
		}
	}
	return listed(parts)
}

// months says a month field.
func (f *field) months() string {
	g := &grammars[month]
	var parts []string
	for _, e := range f.elements {
		parts = append(parts, g.namesOf(e)...)
	}
	return listed(parts)
}

// namesOf lists the names of an element's values; a range is one item.
func (g *grammar) namesOf(e element) []string {
	if e.step <= 1 && e.hi != e.lo {
		return []string{g.names[e.lo-g.min] + " to " + g.names[e.hi-g.min]}
	}
	var list []string
	for v := range g.expand(e.lo, e.hi, e.step) {
		list = append(list, g.names[v-g.min])
	}
	return list
}

// ordinal returns 1st, 2nd, 3rd, 4th ...
func ordinal(n int) string {
	suffix := "th"
	if n/10%10 != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return strconv.Itoa(n) + suffix
}

// listed joins items as in "a, b and c".
func listed(items []string) string {
	if len(items) < 2 {
		return strings.Join(items, "")
	}
	return strings.Join(items[:len(items)-1], ", ") + " and " + items[len(items)-1]
}
