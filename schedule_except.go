package punctual

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// Calendar is a set of instants that Except leaves out: holidays, maintenance windows. Implementations are values that never change and
// answer the same for ever and on every instance. Dates makes one of a list of dates; a host can add a kind of its own: see
// RegisterCalendar.
type Calendar interface {
	// Stretch returns the first stretch of the set that ends after t: it begins at from, which is at or before t when t is in the
	// set, and ends before to, which is after t. It reports false when there is none.
	Stretch(t time.Time) (from, to time.Time, ok bool)
	// String returns the text form that ParseCalendar reads back as the same set.
	String() string
}

// Except returns the occurrences of s that are not in the calendar. An interval task that is registered within the calendar waits for the
// first occurrence behind it.
//
// Text form: "daily 09:30 Europe/Berlin | except sat,sun,12-25,12-26,2027-03-26 Europe/Berlin".
func Except(s Schedule, c Calendar) Schedule { return combine(&except{s, c}) }

type except struct {
	s Schedule
	c Calendar
}

func (e *except) parts() []Schedule                { return []Schedule{e.s} }
func (e *except) anchored(t time.Time) combination { return &except{anchorPart(e.s, t), e.c} }
func (e *except) forTask(id string) combination    { return &except{taskPart(e.s, id), e.c} }

func (e *except) check() error {
	if e.c == nil {
		return fmt.Errorf("%w: the calendar of the exceptions is missing", ErrInvalidSchedule)
	}
	if f, ok := e.c.(interface{ fault() error }); ok {
		return f.fault()
	}
	if err := nestable(e.c.String()); err != nil {
		return err
	}
	return nil
}

// inside returns the stretch that holds t.
func (e *except) inside(t time.Time) (from, to time.Time, ok bool) {
	if c, ours := e.c.(DateCalendar); ours && !c.covers(t) {
		return from, to, false
	}
	from, to, ok = e.c.Stretch(t)
	return from, to, ok && !from.After(t) && to.After(t)
}

func (e *except) next(after time.Time) time.Time {
	for t := e.s.Next(after); ; {
		if t.IsZero() {
			return t
		}
		_, to, ok := e.inside(t)
		if !ok {
			return t
		}
		t = atOrAfter(e.s, to)
	}
}

func (e *except) prev(before time.Time) time.Time {
	r := e.s.(Ranged)
	for t := r.Prev(before); ; {
		if t.IsZero() {
			return t
		}
		from, _, ok := e.inside(t)
		if !ok {
			return t
		}
		t = r.Prev(from)
	}
}

func (e *except) count(from, to time.Time) int64 {
	r := e.s.(Ranged)
	n := r.Count(from, to)
	for t := from; ; {
		begin, end, ok := e.c.Stretch(t)
		if !ok || begin.After(to) || !end.After(t) {
			return n
		}
		low, high := later(from, begin.Add(-1)), earlier(to, end.Add(-1))
		if high.After(low) {
			n -= r.Count(low, high)
		}
		t = end
	}
}

func (e *except) admits(t time.Time) bool {
	_, _, in := e.inside(t)
	return !in && admits(e.s, t)
}

func (e *except) origin() (time.Time, bool) { return originOf(e.s) }

func (e *except) text() string {
	if e.c == nil {
		return modified(e.s, "except none")
	}
	return modified(e.s, "except "+e.c.String())
}

func (e *except) words() string {
	words := e.c.String()
	if c, ok := e.c.(interface{ Explain() string }); ok {
		words = c.Explain()
	}
	return Explain(e.s) + ", except " + words
}

func parseExcept(s Schedule, args string) (Schedule, error) {
	c, err := parseCalendar(args, clockOf(s))
	if err != nil {
		return nil, err
	}
	return Except(s, c), nil
}

var (
	calendarsMu sync.RWMutex // guards calendars
	calendars   = map[string]func(args string) (Calendar, error){}
)

// RegisterCalendar makes ParseCalendar read a kind of calendar of the host's own: the first word of the text form is its name and the rest
// goes to parse. The text must not contain |, and its parentheses must be balanced. Call it from an init function, in every
// process that shares the store. It panics when the name is taken, is that of a weekday, or is not made of lower-case letters, digits and
// dashes beginning with a letter, or when parse is nil, since these are mistakes in the program.
func RegisterCalendar(name string, parse func(args string) (Calendar, error)) {
	if _, weekday := parseWeekday(name); weekday || !wellNamed(name) {
		panic(fmt.Sprintf("punctual: calendar kind %q is not made of lower-case letters, digits and dashes beginning with a letter, or is a weekday", name))
	}
	if parse == nil {
		panic(fmt.Sprintf("punctual: nil parse function for calendar kind %q", name))
	}
	calendarsMu.Lock()
	defer calendarsMu.Unlock()
	if _, taken := calendars[name]; taken {
		panic(fmt.Sprintf("punctual: calendar kind %q is registered already", name))
	}
	calendars[name] = parse
}

// ParseCalendar reads the text form of a calendar: dates as Dates takes them, with commas between them, and a zone, or the name of a registered
// kind and what belongs to it. Errors wrap ErrInvalidSchedule.
//
// A zone that is missing is UTC; behind a schedule in ParseSchedule it is the zone of that schedule.
func ParseCalendar(text string) (Calendar, error) { return parseCalendar(text, time.UTC) }

func parseCalendar(text string, missing *time.Location) (Calendar, error) {
	text = strings.TrimSpace(text)
	name, args, _ := strings.Cut(text, " ")
	calendarsMu.RLock()
	parse := calendars[strings.ToLower(name)]
	calendarsMu.RUnlock()
	if parse != nil {
		c, err := parse(strings.TrimSpace(args))
		if err != nil {
			return nil, invalid(err)
		}
		return c, nil
	}
	return parseDateCalendar(text, missing)
}

// clockOf returns the zone whose clock a schedule means, UTC if it has none or several.
func clockOf(s Schedule) *time.Location {
	if c, ok := s.(CalendarSchedule); ok {
		return c.Location()
	}
	c, ok := operationOf(s)
	if !ok {
		return time.UTC
	}
	var zone *time.Location
	for _, p := range c.parts() {
		loc := clockOf(p)
		if zone != nil && zone != loc {
			return time.UTC
		}
		zone = loc
	}
	return zone
}
