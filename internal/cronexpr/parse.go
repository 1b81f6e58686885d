package cronexpr

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// longest is the length in bytes of the longest text that Parse reads.
const longest = 4096

var descriptors = map[string]string{
	"@hourly":   "0 * * * *",
	"@daily":    "0 0 * * *",
	"@midnight": "0 0 * * *",
	"@weekly":   "0 0 * * 0",
	"@monthly":  "0 0 1 * *",
	"@yearly":   "0 0 1 1 *",
	"@annually": "0 0 1 1 *",
}

// Parse reads an expression, as the package documentation describes it. The error is an *Error, also when the expression can never
// match, when the zone is unknown, and for an @every, which is an interval and not an expression: ParseEvery reads it.
func Parse(text string, o Options) (*Expr, error) {
	e, err := parse(text, o)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// ParseEvery reads "@every" and a duration such as 1h30m. It reports whether the text is of that form; if it is, the duration is
// positive or the error, an *Error, tells what is wrong with it.
func ParseEvery(text string) (time.Duration, bool, error) {
	zone, words, _ := scan(text)
	if len(words) == 0 || !strings.EqualFold(words[0].text, "@every") {
		return 0, false, nil
	}
	if zone != nil {
		return 0, true, fault(text, "time zone", zone.offset, "an interval has no time zone; leave it out")
	}
	if len(words) != 2 {
		at := words[0].offset
		if len(words) > 2 {
			at = words[2].offset
		}
		return 0, true, fault(text, "", at, "one duration such as 1h30m is allowed behind @every")
	}
	d, err := time.ParseDuration(words[1].text)
	if err != nil || d <= 0 {
		return 0, true, fault(text, "", words[1].offset, "%q is no duration; a positive one such as 90s or 1h30m is allowed", shortened(words[1].text))
	}
	return d, true, nil
}

// WithHash returns the same expression for another hash key. An expression without H is returned as it is.
//
// Parse refuses an expression whose H could choose a date that does not exist. What is left for the error, an *Error, is a single
// date in a named year on which the zone's clocks jump over the time that H chooses for this key.
func (e *Expr) WithHash(key string) (*Expr, error) {
	if !e.hashed || key == e.options.HashKey {
		return e, nil
	}
	o := e.options
	o.HashKey = key
	return Parse(e.text, o)
}

// word is a part of a text without spaces.
type word struct {
	text   string
	offset int // in bytes
}

// scan cuts a text into its words and takes off the zone before them, if there is one. The zone's offset is that of its name.
func scan(text string) (zone *word, words []word, err *Error) {
	start := -1
	for i, r := range text + " " {
		switch space := unicode.IsSpace(r); {
		case !space && start < 0:
			start = i
		case space && start >= 0:
			words = append(words, word{text[start:i], start})
			start = -1
		}
	}
	if len(words) == 0 {
		return nil, nil, nil
	}
	key, name, found := strings.Cut(words[0].text, "=")
	if !found || !strings.EqualFold(key, "TZ") && !strings.EqualFold(key, "CRON_TZ") {
		return nil, words, nil
	}
	zone = &word{name, words[0].offset + len(key) + 1}
	if name == "" {
		return zone, words[1:], fault(text, "time zone", zone.offset, "a zone of the tz database such as Europe/Berlin is allowed behind %s=", key)
	}
	return zone, words[1:], nil
}

func parse(text string, o Options) (*Expr, *Error) {
	switch {
	case len(text) > longest:
		return nil, fault(text, "", 0, "the text has %d bytes; %d are allowed", len(text), longest)
	case !utf8.ValidString(text):
		return nil, fault(strings.ToValidUTF8(text, "\uFFFD"), "", 0, "the text is not valid UTF-8")
	case o.Gap > GapShift:
		return nil, fault(text, "", 0, "unknown policy %v; allowed are GapAtTransition, GapSkip and GapShift", o.Gap)
	case o.Fold > FoldBoth:
		return nil, fault(text, "", 0, "unknown policy %v; allowed are FoldFirst, FoldSecond and FoldBoth", o.Fold)
	}
	zone, words, err := scan(text)
	if err != nil {
		return nil, err
	}
	if zone != nil {
		loc, err := loadLocation(zone.text)
		if err != nil {
			return nil, fault(text, "time zone", zone.offset,
				"%q is not known; a name of the tz database such as Europe/Berlin is allowed (a program that imports time/tzdata knows them all)", shortened(zone.text))
		}
		o.Location = loc
	}
	if o.Location == nil {
		o.Location = time.UTC
	}

	e := &Expr{options: o}
	fields, starts, err := e.read(text, words)
	if err != nil {
		return nil, err
	}
	for at, f := range fields {
		for _, el := range f.elements {
			if el.kind == hashed {
				e.hashed = true
				el = el.resolve(&grammars[at], hashOf(o.HashKey, position(at)))
			}
			e.cal.add(el, position(at))
		}
	}
	e.cal.eitherDay = !fields[dayOfMonth].star && !fields[dayOfWeek].star
	e.cal.finish()

	gap, fold := o.Gap, o.Fold
	if fields[minute].star || fields[hour].star {
		gap, fold = GapSkip, FoldBoth
	}
	e.line = timelineOf(o.Location, gap, fold)
	switch {
	case e.cal.nextDay(0) == never:
		return nil, fault(text, grammars[dayOfMonth].name, starts[dayOfMonth],
			"it never matches: no date in the years %d-%d has this day, month, weekday and year", minYear, maxYear)
	case e.hashed && canFail(&fields):
		return nil, fault(text, grammars[dayOfMonth].name, starts[dayOfMonth],
			"it never matches for some keys: H can choose so that no date has this day, month, weekday and year")
	case e.next(firstInstant) == never:
		return nil, fault(text, grammars[hour].name, starts[hour],
			"it never matches: on the dates that it names, the clocks in %v jump over its times", o.Location)
	}
	return e, nil
}

// read parses the fields or the descriptor, keeps their text, and returns them with their offsets in the whole text.
func (e *Expr) read(text string, words []word) (fields [positions]field, starts [positions]int, err *Error) {
	if len(words) > 0 && strings.EqualFold(words[0].text, "@every") {
		return fields, starts, fault(text, "", words[0].offset,
			"@every is an interval and not a cron expression, which means times of day; make an interval schedule of it")
	}
	if len(words) == 1 && strings.HasPrefix(words[0].text, "@") {
		e.text = strings.ToLower(words[0].text)
		long, ok := descriptors[e.text]
		if !ok {
			return fields, starts, fault(text, "", words[0].offset,
				"%q is not known; allowed are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually", shortened(words[0].text))
		}
		_, words, _ = scan(long)
		fields, _, err = parseFields(long, words)
		return fields, starts, err
	}
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(w.text)
	}
	e.text = b.String()
	return parseFields(text, words)
}

// parseFields parses 5, 6 or 7 words and returns the fields with their offsets. What was not written has its default.
func parseFields(text string, words []word) (fields [positions]field, starts [positions]int, err *Error) {
	if len(words) < 5 || len(words) > 7 {
		at := len(text)
		if len(words) > 7 {
			at = words[7].offset
		}
		return fields, starts, fault(text, "", at, "it has %d fields; allowed are 5 (minute, hour, day of month, month, day of week), "+
			"6 (with the second before them) and 7 (also with the year behind them)", len(words))
	}
	fields[second] = field{elements: []element{{kind: values}}}
	fields[year] = field{elements: []element{{kind: every, lo: minYear, hi: maxYear}}, star: true}
	first := second
	if len(words) == 5 {
		first = minute
	}
	for i, w := range words {
		at := first + position(i)
		starts[at] = w.offset
		if fields[at], err = parseField(text, w.offset, w.offset+len(w.text), at); err != nil {
			return fields, starts, err
		}
	}
	return fields, starts, nil
}

// add puts an element's values into the sets. An H element has to be resolved before.
func (c *calendar) add(e element, at position) {
	switch e.kind {
	case fromEnd:
		c.fromEnd |= 1 << e.lo
		return
	case nearest:
		c.nearest |= 1 << e.lo
		return
	case nearestFromEnd:
		c.nearestFromEnd |= 1 << e.lo
		return
	case nthWeekday:
		c.nth[e.nth-1] |= 1 << e.lo
		return
	case lastWeekdayOfMonth:
		c.lastOfWeekday |= 1 << e.lo
		return
	}
	for v := range grammars[at].expand(e.lo, e.hi, e.step) {
		switch at {
		case second:
			c.seconds |= 1 << v
		case minute:
			c.minutes |= 1 << v
		case hour:
			c.hours |= 1 << v
		case dayOfMonth:
			c.dates |= 1 << v
		case month:
			c.months |= 1 << v
		case dayOfWeek:
			c.weekdays |= 1 << v
		case year:
			c.years[(v-minYear)/64] |= 1 << ((v - minYear) % 64)
		}
	}
}
