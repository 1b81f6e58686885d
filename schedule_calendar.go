package punctual

import (
	"fmt"
	"strings"
	"time"

	"github.com/punctual-go/punctual/internal/cronexpr"
)

// CalendarSchedule means wall-clock time in a zone: see Daily, Weekly, Monthly and Cron. It is a value that never changes. The zero
// value is not valid and has no occurrences.
//
// A fixed local time occurs exactly once on each matching local date, also when the clocks change: one that the clock jumps over occurs at the
// instant of the jump if that is still on the same date, one that the clock shows twice occurs at the first. WithGap and WithFold choose other
// rules. Cron expressions with a wildcard minute or hour (*, */n) follow the clock as it runs: both hours of a fold, nothing in a gap.
// Occurrences lie in the years 1970 to 2199.
type CalendarSchedule struct{ def *calendarDef }

// calendarDef is what a CalendarSchedule means. Times of day that no single expression can hold, such as 09:30 and 17:15, are several
// expressions.
type calendarDef struct {
	kind  string   // the first word of the text form
	what  string   // what stands between it and the zone
	words string   // the same in words; empty where the expression knows them
	texts []string // of the expressions
	zone  *time.Location
	gap   Gap
	fold  Fold
	exprs []*cronexpr.Expr
	err   error // then there are no expressions

	zoneless bool // the zone that was given has no portable name
}

// Gap says what becomes of a fixed local time that the clock of a zone jumps over. Cron expressions with a wildcard minute or hour have no
// use for it.
type Gap uint8

// The gap policies.
const (
	// GapAtTransition, the default, lets it occur at the instant of the jump if that is still on the same local date: 02:30 becomes
	// 03:00. All times in one gap, and a regular one at its end, are one occurrence.
	GapAtTransition Gap = iota
	// GapSkip leaves it out.
	GapSkip
	// GapShift moves it by the length of the gap if that stays on the same local date: 02:30 becomes 03:30.
	GapShift
)

// Fold says when a fixed local time occurs that the clock of a zone shows twice. Cron expressions with a wildcard minute or hour have no use
// for it.
type Fold uint8

// The fold policies.
const (
	FoldFirst  Fold = iota // the first time, the default
	FoldSecond             // the second time
	FoldBoth               // both times
)

var (
	gapNames  = []string{"transition", "skip", "shift"}
	foldNames = []string{"first", "second", "both"}
)

// String returns the policy's name: "transition", "skip" or "shift".
func (g Gap) String() string { return policyName("Gap", gapNames, int(g)) }

// String returns the policy's name: "first", "second" or "both".
func (f Fold) String() string { return policyName("Fold", foldNames, int(f)) }

// Cron returns the schedule of a cron expression: five fields (minute, hour, day of month, month, day of week), six (seconds first) or seven
// (years last), or a descriptor such as @daily. Fields have lists, ranges, steps, names and L, W, #, ? and H, which is a value chosen by
// the id of the task. When both day fields are restricted, a day matches if one of them does. A nil zone means UTC; CRON_TZ=Zone before the
// fields overrides it.
//
// The error wraps ErrInvalidSchedule and says which field at which column is wrong and what is allowed there. An expression that never
// matches, such as the 30th of February, is an error, and so is @every, which is an interval: see Every.
func Cron(expr string, loc *time.Location) (CalendarSchedule, error) {
	fields, zone, prefixed := cutZonePrefix(expr)
	var err error
	if prefixed {
		if zone == "" {
			return CalendarSchedule{}, fmt.Errorf("%w: the time zone behind TZ= is missing", ErrInvalidSchedule)
		}
		loc, err = parseZone(zone)
	} else {
		loc, err = portableZone(loc)
	}
	if err != nil {
		return CalendarSchedule{}, err
	}
	def := calendarDef{kind: "cron", texts: []string{fields}, zone: loc}
	s := def.schedule()
	if err := s.fault(); err != nil {
		return CalendarSchedule{}, err
	}
	s.def.what = s.def.exprs[0].String()
	return s, nil
}

// cutZonePrefix takes CRON_TZ=Zone or TZ=Zone off a cron expression.
func cutZonePrefix(expr string) (fields, zone string, found bool) {
	words := strings.Fields(expr)
	if len(words) == 0 {
		return expr, "", false
	}
	key, zone, found := strings.Cut(words[0], "=")
	if !found || !strings.EqualFold(key, "TZ") && !strings.EqualFold(key, "CRON_TZ") {
		return expr, "", false
	}
	return strings.Join(words[1:], " "), zone, true
}

// schedule parses the expressions of a definition.
func (d calendarDef) schedule() CalendarSchedule {
	d.exprs = nil
	if d.err != nil {
		return CalendarSchedule{&d}
	}
	for _, text := range d.texts {
		e, err := cronexpr.Parse(text, cronexpr.Options{Location: d.zone, Gap: cronexpr.Gap(d.gap), Fold: cronexpr.Fold(d.fold)})
		if err != nil {
			d.err, d.exprs = fmt.Errorf("%w: %w", ErrInvalidSchedule, err), nil
			break
		}
		d.exprs = append(d.exprs, e)
	}
	return CalendarSchedule{&d}
}

// WithGap returns the schedule with another rule for local times that do not exist on a date.
func (s CalendarSchedule) WithGap(g Gap) CalendarSchedule {
	def := s.definition()
	def.gap = g
	return def.schedule()
}

// WithFold returns the schedule with another rule for local times that exist twice on a date.
func (s CalendarSchedule) WithFold(f Fold) CalendarSchedule {
	def := s.definition()
	def.fold = f
	return def.schedule()
}

func (s CalendarSchedule) definition() calendarDef {
	if s.def == nil {
		return calendarDef{kind: "cron", zone: time.UTC, err: fmt.Errorf("%w: it is a zero value; use Daily, Weekly, Monthly or Cron", ErrInvalidSchedule)}
	}
	return *s.def
}

func (s CalendarSchedule) exprs() []*cronexpr.Expr {
	if s.def == nil {
		return nil
	}
	return s.def.exprs
}

func (s CalendarSchedule) fault() error { return s.definition().err }

// Location returns the zone whose clock the schedule means.
func (s CalendarSchedule) Location() *time.Location { return s.definition().zone }

// Next returns the first occurrence after the given instant, in the schedule's zone, or the zero time when there is none.
func (s CalendarSchedule) Next(after time.Time) time.Time {
	var first time.Time
	for _, e := range s.exprs() {
		if t := e.Next(after); first.IsZero() || !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	return first
}

// Prev returns the last occurrence before the given instant, in the schedule's zone, or the zero time when there is none.
func (s CalendarSchedule) Prev(before time.Time) time.Time {
	var last time.Time
	for _, e := range s.exprs() {
		if t := e.Prev(before); last.IsZero() || t.After(last) {
			last = t
		}
	}
	return last
}

// Count returns how many occurrences lie after from and not after to. It does not visit them.
func (s CalendarSchedule) Count(from, to time.Time) int64 {
	var n int64
	for _, e := range s.exprs() {
		n += e.Count(from, to)
	}
	if n == 0 || len(s.def.exprs) == 1 {
		return n
	}
	return n - s.def.coinciding(from, to)
}

// coinciding counts how many occurrences of the expressions are one with an occurrence of another. They are fixed and differ in the time of
// day, so that happens only at and shortly behind a gap, where times that do not exist meet others.
func (d *calendarDef) coinciding(from, to time.Time) int64 {
	var n int64
	for t := from.In(d.zone).AddDate(0, 0, -3); ; {
		transition := offsetEnd(t)
		if transition.IsZero() || transition.After(to) {
			return n
		}
		_, before := transition.Add(-time.Second).Zone()
		_, after := transition.Zone()
		if gap := time.Duration(after-before) * time.Second; gap > 0 {
			n += d.coincidingIn(later(from, transition.Add(-1)), earlier(to, transition.Add(gap)))
		}
		t = transition
	}
}

// coincidingIn does the same for a short range, by visiting all occurrences in it.
func (d *calendarDef) coincidingIn(from, to time.Time) int64 {
	var n int64
	seen := make(map[int64]bool)
	for _, e := range d.exprs {
		for t := e.Next(from); !t.IsZero() && !t.After(to); t = e.Next(t) {
			if seen[t.Unix()] {
				n++
			}
			seen[t.Unix()] = true
		}
	}
	return n
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// ForTask returns the schedule with the values that H in a cron expression means for the task with this id. If these never match, as H(29-31) in
// February can do, it has no occurrences.
func (s CalendarSchedule) ForTask(id string) Schedule {
	if len(s.exprs()) != 1 || !s.def.exprs[0].HasHash() {
		return s
	}
	def := *s.def
	e, err := def.exprs[0].WithHash(id)
	if err != nil {
		def.err, def.exprs = fmt.Errorf("%w: %w", ErrInvalidSchedule, err), nil
		return CalendarSchedule{&def}
	}
	def.exprs = []*cronexpr.Expr{e}
	return CalendarSchedule{&def}
}

// String returns the text form: "daily 09:30 Europe/Berlin", "weekly mon,fri 09:30 UTC", "monthly last 09:30 UTC" or
// "cron 0 9 * * 1-5 Europe/Berlin", with "gap=skip" and "fold=both" behind it where these differ from their defaults.
func (s CalendarSchedule) String() string {
	d := s.definition()
	text := d.kind + " " + d.what + " " + d.zone.String()
	if d.zoneless {
		text = d.kind + " " + d.what + " ?"
	}
	if d.gap != GapAtTransition {
		text += " gap=" + d.gap.String()
	}
	if d.fold != FoldFirst {
		text += " fold=" + d.fold.String()
	}
	return text
}

// Explain returns the schedule in words.
func (s CalendarSchedule) Explain() string {
	d := s.definition()
	if d.err != nil {
		return "never"
	}
	if d.words == "" {
		return d.exprs[0].Explain()
	}
	words := d.words + ", " + d.zone.String()
	switch d.gap {
	case GapSkip:
		words += "; times that the clocks jump over are dropped"
	case GapShift:
		words += "; times that the clocks jump over occur later by the length of the jump"
	}
	switch d.fold {
	case FoldSecond:
		words += "; times that come twice count the second time"
	case FoldBoth:
		words += "; times that come twice count both times"
	}
	return words
}

// parseCron reads what stands behind "cron": the fields or a descriptor, then the zone, then policies.
func parseCron(args string) (Schedule, error) {
	words, gap, fold, err := cutPolicies(strings.Fields(args))
	if err != nil {
		return nil, err
	}
	zone := ""
	if n := len(words); n > 1 && !looksLikeField(words[n-1]) && !strings.EqualFold(words[0], "@every") {
		zone, words = words[n-1], words[:n-1]
	}
	loc, err := parseZone(zone)
	if _, _, prefixed := cutZonePrefix(args); err != nil && (len(words) == 4 || prefixed && len(words) == 5) {
		// Four fields are too few, so the word behind them is a misspelt fifth: the expression knows at which column.
		loc, err, words = time.UTC, nil, append(words, zone)
	}
	if err != nil {
		return nil, err
	}
	s, err := Cron(strings.Join(words, " "), loc)
	if err != nil {
		return nil, err
	}
	return s.with(gap, fold), nil
}

func (s CalendarSchedule) with(gap Gap, fold Fold) CalendarSchedule {
	if gap != s.def.gap {
		s = s.WithGap(gap)
	}
	if fold != s.def.fold {
		s = s.WithFold(fold)
	}
	return s
}

// cutPolicies takes gap= and fold= off the end of a text form.
func cutPolicies(words []string) (rest []string, gap Gap, fold Fold, err error) {
	for len(words) > 0 {
		key, value, found := strings.Cut(words[len(words)-1], "=")
		switch {
		case found && key == "gap":
			err = parsePolicy("gap policy", gapNames, []byte(value), &gap)
		case found && key == "fold":
			err = parsePolicy("fold policy", foldNames, []byte(value), &fold)
		default:
			return words, gap, fold, nil
		}
		if err != nil {
			return nil, 0, 0, fmt.Errorf("%w: %s", ErrInvalidSchedule, strings.TrimPrefix(err.Error(), "punctual: "))
		}
		words = words[:len(words)-1]
	}
	return words, gap, fold, nil
}

// looksLikeField tells the last field of a cron expression from the zone behind it: fields are made of numbers, signs, L, W, H and
// the names of months and weekdays, and no zone is.
func looksLikeField(word string) bool {
	if word[0] == '+' || word[0] == '-' {
		return false
	}
	for _, part := range strings.FieldsFunc(word, func(r rune) bool { return strings.ContainsRune("0123456789*?,-/#()", r) }) {
		part = strings.ToLower(part)
		switch {
		case part == "l" || part == "w" || part == "lw" || part == "h":
		case fieldNames[part] || fieldNames[strings.TrimSuffix(part, "l")]:
		default:
			return false
		}
	}
	return true
}

// fieldNames are the names of weekdays and months, short and long.
var fieldNames = func() map[string]bool {
	names := make(map[string]bool)
	add := func(name string) {
		name = strings.ToLower(name)
		names[name], names[name[:3]] = true, true
	}
	for d := time.Sunday; d <= time.Saturday; d++ {
		add(d.String())
	}
	for m := time.January; m <= time.December; m++ {
		add(m.String())
	}
	return names
}()
