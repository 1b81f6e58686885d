package rrule

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/punctual-go/punctual"
)

func init() { punctual.RegisterSchedule("rrule", parse) }

func parse(args string) (punctual.Schedule, error) {
	s, err := Parse(args)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Schedule occurs as a recurrence rule of RFC 5545 says. It is a value that never changes. The zero value has no occurrences and no text form.
type Schedule struct{ def *definition }

var (
	_ punctual.Schedule = Schedule{}
	_ punctual.Ranged   = Schedule{}
)

// definition holds instants in seconds since 1970.
type definition struct {
	zone    *time.Location
	lines   []string // the text form, line by line
	rule    *rule    // may be nil
	until   int64    // the last instant that UNTIL leaves
	dates   []int64  // of RDATE, sorted
	except  map[int64]bool
	first   int64 // the instant before which nothing occurs
	summary string
}

// Parse reads DTSTART, RRULE, RDATE and EXDATE lines, in any order, separated by spaces or line breaks. Errors wrap
// punctual.ErrInvalidSchedule.
func Parse(text string) (Schedule, error) {
	text = strings.Join(strings.Fields(text), " ")
	if d := parsed.get(text); d != nil {
		return Schedule{d}, nil
	}
	d, err := parseDefinition(text)
	if err != nil {
		return Schedule{}, fmt.Errorf("%w: recurrence rule: %w", punctual.ErrInvalidSchedule, err)
	}
	parsed.put(text, d)
	return Schedule{d}, nil
}

// cache keeps what was parsed, since a store decodes a schedule each time that its task is due.
type cache struct {
	mu    sync.Mutex
	known map[string]*definition // guarded by mu
}

var parsed cache

// maxKnown bounds the cache, which is emptied when it is full.
const maxKnown = 4096

func (c *cache) get(text string) *definition {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known[text]
}

func (c *cache) put(text string, d *definition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= maxKnown {
		c.known = make(map[string]*definition)
	}
	c.known[text] = d
}

func parseDefinition(text string) (d *definition, err error) {
	defer func() {
		// The text may come from a form, and the evaluation is that of a library: a rule that it trips over is a bad rule.
		if r := recover(); r != nil {
			d, err = nil, fmt.Errorf("it cannot be evaluated: %v", r)
		}
	}()
	d = &definition{until: horizon + aDay, except: make(map[int64]bool)}
	var ruleText string
	var start int64
	for line := range strings.FieldsSeq(text) {
		head, value, ok := strings.Cut(line, ":")
		if !ok || strings.HasPrefix(strings.ToUpper(line), "FREQ=") {
			head, value = "RRULE", line
		}
		name, params, _ := strings.Cut(head, ";")
		switch name = strings.ToUpper(name); name {
		case "RRULE":
			if ruleText != "" {
				return nil, errors.New("there is more than one RRULE; join two schedules with a union")
			}
			if params != "" {
				return nil, fmt.Errorf("RRULE has no parameter %q", shortened(params))
			}
			ruleText = strings.ToUpper(value)
			d.lines = append(d.lines, "RRULE:"+ruleText)
		case "DTSTART":
			if d.zone != nil {
				return nil, errors.New("there is more than one DTSTART")
			}
			times, zone, err := parseTimes(params, value, nil)
			if err != nil {
				return nil, err
			}
			if len(times) != 1 {
				return nil, errors.New("DTSTART is one time")
			}
			d.zone, start = zone, times[0].reading
			d.lines = append([]string{canonical(name, times, zone)}, d.lines...)
		case "RDATE", "EXDATE":
			times, zone, err := parseTimes(params, value, nil)
			if err != nil {
				return nil, err
			}
			for _, t := range times {
				if name == "RDATE" {
					d.dates = append(d.dates, t.instant)
				} else {
					d.except[t.instant] = true
				}
			}
			d.lines = append(d.lines, canonical(name, times, zone))
		default:
			return nil, fmt.Errorf("%q is not one of DTSTART, RRULE, RDATE and EXDATE", shortened(name))
		}
	}
	if d.zone == nil {
		return nil, errors.New("DTSTART is missing; a rule means nothing without its start")
	}
	if ruleText == "" && len(d.dates) == 0 {
		return nil, errors.New("RRULE is missing")
	}
	slices.Sort(d.dates)
	d.dates = slices.Compact(d.dates)
	if ruleText != "" {
		if err := d.setRule(ruleText, start); err != nil {
			return nil, err
		}
	}
	d.first = start - aDay
	if len(d.dates) > 0 {
		d.first = min(d.first, d.dates[0]-1)
	}
	d.summary = "by the rule " + ruleText + " from " + reading(start).Format("2006-01-02 15:04:05")
	if ruleText == "" {
		d.summary = fmt.Sprintf("at %d instants from %s", len(d.dates), time.Unix(d.dates[0], 0).In(d.zone).Format("2006-01-02 15:04:05"))
	}
	if d.next(d.first) == never {
		return nil, fmt.Errorf("it never occurs in the years up to %d", lastYear)
	}
	return d, nil
}

func (d *definition) setRule(text string, start int64) error {
	r, err := parseRule(text, start)
	if err != nil {
		return err
	}
	d.rule = r
	if r.until == "" {
		return nil
	}
	// RFC 5545 wants UNTIL in UTC where DTSTART has a zone. Local times and dates are common, and clear: the zone is that of DTSTART, and
	// a date is included.
	value := r.until
	if len(value) == len("20060102") {
		value += "T235959"
	}
	times, _, err := parseTimes("", value, d.zone)
	if err != nil {
		return fmt.Errorf("UNTIL: %w", err)
	}
	if len(times) != 1 {
		return errors.New("UNTIL is one time")
	}
	d.until = times[0].instant
	return nil
}

// moment is a time of the text.
type moment struct{ reading, instant int64 }

// parseTimes reads the value of DTSTART, RDATE, EXDATE or UNTIL. Times without Z are in the zone that TZID names, or in the default.
func parseTimes(params, value string, zone *time.Location) ([]moment, *time.Location, error) {
	named := false
	for param := range strings.SplitSeq(params, ";") {
		key, name, _ := strings.Cut(param, "=")
		switch {
		case param == "" || strings.EqualFold(param, "VALUE=DATE-TIME"):
		case strings.EqualFold(key, "TZID"):
			loc, err := time.LoadLocation(strings.Trim(name, `"`))
			if err != nil || name == "" || loc == time.Local {
				return nil, nil, fmt.Errorf("unknown time zone %q; allowed are names of the tz database such as Europe/Berlin", shortened(name))
			}
			zone, named = loc, true
		default:
			return nil, nil, fmt.Errorf("%q is not supported; give a time with TZID=Europe/Berlin or with a Z for UTC", shortened(param))
		}
	}
	var times []moment
	anyUTC := false
	for text := range strings.SplitSeq(strings.ToUpper(value), ",") {
		local, utc := strings.CutSuffix(text, "Z")
		at, err := time.Parse("20060102T150405", local)
		switch {
		case err != nil || at.Year() < firstYear || at.Year() > lastYear:
			return nil, nil, fmt.Errorf("%q is not a time such as 20270104T090000 in the years %d to %d", shortened(text), firstYear, lastYear)
		case utc && named:
			return nil, nil, fmt.Errorf("%q has two zones, its Z and TZID", shortened(text))
		case utc:
			times, anyUTC = append(times, moment{at.Unix(), at.Unix()}), true
		case zone == nil:
			return nil, nil, fmt.Errorf("%q has no zone; write TZID=Europe/Berlin before it or a Z behind it", shortened(text))
		default:
			list := spans(zone, at.Unix()-2*aDay, at.Unix()+2*aDay)
			times = append(times, moment{at.Unix(), instant(list, at.Unix())})
		}
	}
	if anyUTC {
		zone = time.UTC
	}
	return times, zone, nil
}

// canonical writes a line with times.
func canonical(name string, times []moment, zone *time.Location) string {
	texts := make([]string, len(times))
	for i, t := range times {
		if zone == time.UTC {
			texts[i] = reading(t.instant).Format("20060102T150405Z")
		} else {
			texts[i] = reading(t.reading).Format("20060102T150405")
		}
	}
	if zone != time.UTC {
		name += ";TZID=" + zone.String()
	}
	return name + ":" + strings.Join(texts, ",")
}

// String returns the text form, which begins with "rrule DTSTART".
func (s Schedule) String() string {
	if s.def == nil {
		return "rrule"
	}
	return "rrule " + strings.Join(s.def.lines, " ")
}

// Explain returns the rule as it is, since RFC 5545 is a language of its own, with its start and its zone.
func (s Schedule) Explain() string {
	if s.def == nil {
		return "never"
	}
	return s.def.summary + ", " + s.def.zone.String()
}
