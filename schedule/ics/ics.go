// Package ics makes a calendar of dates for punctual.Except from an iCalendar file (RFC 5545), such as the public holidays that
// calendar programs and authorities publish.
//
//	holidays, err := ics.Dates(file, ics.Options{Zone: berlin, FirstYear: 2027, LastYear: 2030})
//	...
//	schedule := punctual.Except(punctual.Daily("09:30", berlin), holidays)
//
// The file is read once: the dates themselves become part of the schedule and of its text form, so that it means the same on every instance and
// for ever, also when the file changes or is gone. To take over a new edition of the file, reschedule the task.
package ics

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	ical "github.com/arran4/golang-ical"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/schedule/rrule"
)

// MaxSize is the size in bytes of the largest file that is read.
const MaxSize = 16 << 20

// Options choose what Dates takes.
type Options struct {
	// Zone is the one at whose midnight a date begins. Nil means UTC.
	Zone *time.Location
	// FirstYear and LastYear bound the dates, both included. Required, since recurring events may go on for ever; from 1900 to 2199. The text
	// form of a schedule has at most 4096 bytes, which is room for some 350 dates that do not follow each other.
	FirstYear, LastYear int
	// Keep tells which events count, for example by their summary, since many files mix holidays with days of remembrance. Nil keeps all.
	Keep func(Event) bool
}

// Event is an all-day event of the file, as Options.Keep sees it.
type Event struct {
	UID        string
	Summary    string
	Categories []string
	Date       time.Time // the first date, at midnight UTC; of a recurring event that of the first time
	Days       int       // how many dates it lasts
	Recurs     bool      // it has a rule or further dates
}

// Dates reads the dates of all-day events. Events with a time of day are no holidays and left out, so are cancelled ones. Recurring events are
// expanded, with their exceptions and with instances that were moved.
//
// It is an error if the file cannot be read as a calendar, has an event whose dates or rule cannot be understood, or has no date in the years that
// are asked for.
func Dates(r io.Reader, o Options) (punctual.DateCalendar, error) {
	dates, err := read(r, o)
	if err != nil {
		return punctual.DateCalendar{}, fmt.Errorf("ics: %w", err)
	}
	return punctual.Dates(o.Zone, dates...), nil
}

func read(r io.Reader, o Options) ([]string, error) {
	if o.FirstYear < 1900 || o.LastYear > 2199 || o.LastYear < o.FirstYear {
		return nil, fmt.Errorf("the years %d to %d are not a range between 1900 and 2199", o.FirstYear, o.LastYear)
	}
	data, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxSize {
		return nil, fmt.Errorf("the file is larger than %d bytes", MaxSize)
	}
	file, err := ical.ParseCalendar(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xEF\xBB\xBF"))))
	if err != nil {
		return nil, err
	}
	var all []*event
	for _, component := range file.Events() {
		e, err := readEvent(component)
		if err != nil {
			return nil, err
		}
		if e != nil {
			all = append(all, e)
		}
	}
	// An instance that was moved or cancelled takes the place of the one that the rule yields.
	replaced := make(map[instance]bool)
	for _, e := range all {
		if !e.replaces.IsZero() {
			replaced[instance{e.UID, e.replaces}] = true
		}
	}
	var dates []string
	for _, e := range all {
		if e.cancelled || o.Keep != nil && !o.Keep(e.Event) {
			continue
		}
		begins, err := e.begins(o.LastYear)
		if err != nil {
			return nil, err
		}
		for _, begin := range begins {
			if e.replaces.IsZero() && replaced[instance{e.UID, begin}] {
				continue
			}
			if text := o.clip(begin, begin.AddDate(0, 0, e.Days-1)); text != "" {
				dates = append(dates, text)
			}
		}
	}
	if len(dates) == 0 {
		return nil, fmt.Errorf("no all-day event that counts lies in the years %d to %d", o.FirstYear, o.LastYear)
	}
	return dates, nil
}

// instance is one time of a recurring event.
type instance struct {
	uid  string
	date time.Time
}

// clip writes the dates from first to last that lie in the years asked for; nothing if none do.
func (o Options) clip(first, last time.Time) string {
	if begin := time.Date(o.FirstYear, 1, 1, 0, 0, 0, 0, time.UTC); first.Before(begin) {
		first = begin
	}
	if end := time.Date(o.LastYear, 12, 31, 0, 0, 0, 0, time.UTC); last.After(end) {
		last = end
	}
	if last.Before(first) {
		return ""
	}
	return first.Format(time.DateOnly) + ".." + last.Format(time.DateOnly)
}

// event is an all-day event with what says when it recurs.
type event struct {
	Event
	cancelled bool
	replaces  time.Time // the date of the instance in whose place it stands
	rules     []string
	added     []time.Time
	left      map[time.Time]bool
}

// readEvent returns nil for an event with a time of day.
func readEvent(c *ical.VEvent) (*event, error) {
	e := &event{left: make(map[time.Time]bool)}
	e.UID, e.Summary = text(c, ical.ComponentPropertyUniqueId), text(c, ical.ComponentPropertySummary)
	fail := func(err error) (*event, error) {
		return nil, fmt.Errorf("event %q: %w", shortened(e.Summary+" "+e.UID), err)
	}
	start := c.GetProperty(ical.ComponentPropertyDtStart)
	if start == nil {
		return fail(errors.New("DTSTART is missing"))
	}
	begin, allDay, err := date(start.Value)
	if err != nil {
		return fail(err)
	}
	if !allDay {
		return nil, nil
	}
	e.Date, e.Days = begin, 1
	if e.Days, err = days(c, begin); err != nil {
		return fail(err)
	}
	e.cancelled = strings.EqualFold(text(c, ical.ComponentPropertyStatus), "CANCELLED")
	for _, p := range c.GetProperties(ical.ComponentPropertyCategories) {
		for name := range strings.SplitSeq(p.Value, ",") {
			e.Categories = append(e.Categories, ical.FromText(strings.TrimSpace(name)))
		}
	}
	if p := c.GetProperty(ical.ComponentPropertyRecurrenceId); p != nil {
		if e.replaces, _, err = date(p.Value); err != nil {
			return fail(err)
		}
		return e, nil
	}
	for _, p := range c.GetProperties(ical.ComponentPropertyRrule) {
		e.rules = append(e.rules, p.Value)
	}
	if e.added, err = datesOf(c, ical.ComponentPropertyRdate); err != nil {
		return fail(err)
	}
	left, err := datesOf(c, ical.ComponentPropertyExdate)
	if err != nil {
		return fail(err)
	}
	for _, d := range left {
		e.left[d] = true
	}
	e.Recurs = len(e.rules)+len(e.added) > 0
	return e, nil
}

func text(c *ical.VEvent, name ical.ComponentProperty) string {
	if p := c.GetProperty(name); p != nil {
		return ical.FromText(p.Value)
	}
	return ""
}

// date reads a date, or the date of a time, and tells which it is.
func date(value string) (at time.Time, allDay bool, err error) {
	value = strings.TrimSpace(value)
	if len(value) > 8 && value[8] == 'T' {
		at, err = time.Parse("20060102", value[:8])
	} else {
		at, err = time.Parse("20060102", value)
		allDay = true
	}
	if err != nil {
		return at, false, fmt.Errorf("%q is not a date such as 20271225", shortened(value))
	}
	return at, allDay, nil
}

func datesOf(c *ical.VEvent, name ical.ComponentProperty) ([]time.Time, error) {
	var list []time.Time
	for _, p := range c.GetProperties(name) {
		for value := range strings.SplitSeq(p.Value, ",") {
			at, _, err := date(value)
			if err != nil {
				return nil, err
			}
			list = append(list, at)
		}
	}
	return list, nil
}

var duration = regexp.MustCompile(`^\+?P([0-9]{1,4})([DW])$`)

// days returns how many dates an event lasts. DTEND is the date behind the last.
func days(c *ical.VEvent, begin time.Time) (int, error) {
	if p := c.GetProperty(ical.ComponentPropertyDtEnd); p != nil {
		end, _, err := date(p.Value)
		if err != nil {
			return 0, err
		}
		return max(int(end.Sub(begin)/(24*time.Hour)), 1), nil
	}
	p := c.GetProperty(ical.ComponentPropertyDuration)
	if p == nil {
		return 1, nil
	}
	parts := duration.FindStringSubmatch(strings.TrimSpace(p.Value))
	if parts == nil {
		return 0, fmt.Errorf("DURATION %q is not a number of days such as P2D", shortened(p.Value))
	}
	n, _ := strconv.Atoi(parts[1])
	if parts[2] == "W" {
		n *= 7
	}
	return max(n, 1), nil
}

// begins lists the dates on which the event begins up to the end of the last year, in no order. DTSTART is one of them, whatever the rule says.
func (e *event) begins(lastYear int) ([]time.Time, error) {
	list := append([]time.Time{e.Date}, e.added...)
	end := time.Date(lastYear+1, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, rule := range e.rules {
		s, err := rrule.Parse("DTSTART:" + e.Date.Format("20060102T150405Z") + " RRULE:" + rule)
		if err != nil {
			return nil, fmt.Errorf("event %q: %w", shortened(e.Summary+" "+e.UID), err)
		}
		for at := s.Next(e.Date); !at.IsZero() && at.Before(end); at = s.Next(at) {
			list = append(list, at.Truncate(24*time.Hour))
		}
	}
	var kept []time.Time
	for _, at := range list {
		if !e.left[at] {
			kept = append(kept, at)
		}
	}
	return kept, nil
}

func shortened(s string) string {
	if len(s) > 96 {
		return strings.ToValidUTF8(s[:96], "") + "…"
	}
	return s
}
