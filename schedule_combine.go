package punctual

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// combination is what Between, Limit, Union, Except and Jitter have in common: they make a schedule of others. A combined schedule has the
// optional interfaces that its parts allow:
//   - Anchored and PerTask are always there and are passed on to the parts.
//   - Ranged is there if all parts have it.
//   - Interval is there if all parts have it: an interval task that has a window, a limit, holidays or a jitter still runs at once
//     when it is registered.
type combination interface {
	// next is Schedule.Next, prev and count are as in Ranged and asked only if all parts have it.
	next(after time.Time) time.Time
	prev(before time.Time) time.Time
	count(from, to time.Time) int64
	// parts returns the schedules that this one is made of.
	parts() []Schedule
	// anchored and forTask return the combination of the parts that are bound likewise.
	anchored(t time.Time) combination
	forTask(id string) combination
	// admits reports whether the combination lets a run happen at t, whether or not t is an occurrence.
	admits(t time.Time) bool
	// origin returns the instant after which the occurrences are counted, if the definition says so.
	origin() (time.Time, bool)
	text() string
	words() string
	// check reports what is wrong with the combination itself.
	check() error
}

// maxDepth is how deep schedules may be nested: more is a mistake, and costs grow with each level.
const maxDepth = 8

type combined struct {
	combination
	err error
}

type (
	combinedRanged         struct{ combined }
	combinedInterval       struct{ combined }
	combinedRangedInterval struct{ combinedRanged }
)

// combine makes a schedule of a combination.
func combine(c combination) Schedule { return wrap(combined{c, faultOf(c)}) }

func wrap(c combined) Schedule {
	ranged, interval := true, true
	for _, p := range c.parts() {
		_, isRanged := p.(Ranged)
		_, isInterval := p.(Interval)
		ranged, interval = ranged && isRanged, interval && isInterval
	}
	switch {
	case ranged && interval:
		return combinedRangedInterval{combinedRanged{c}}
	case ranged:
		return combinedRanged{c}
	case interval:
		return combinedInterval{c}
	}
	return c
}

func faultOf(c combination) error {
	for _, p := range c.parts() {
		if p == nil {
			return fmt.Errorf("%w: a schedule that is to be combined is missing", ErrInvalidSchedule)
		}
		if f, ok := p.(interface{ fault() error }); ok {
			if err := f.fault(); err != nil {
				return err
			}
		}
		i, ok := p.(Interval)
		if ok && i.Delayed() {
			return fmt.Errorf("%w: %q counts from the ends of runs, so it cannot be combined; use a fixed rate, whose runs do not overlap either unless told to",
				ErrInvalidSchedule, clip(p.String(), 64))
		}
		if ok && i.Interval() < MinInterval {
			return fmt.Errorf("%w: interval %v is too short, at least %v is needed", ErrInvalidSchedule, i.Interval(), MinInterval)
		}
		if _, ours := operationOf(p); !ours {
			if err := nestable(p.String()); err != nil {
				return err
			}
		}
		if depth(p) >= maxDepth {
			return fmt.Errorf("%w: schedules are nested more than %d deep", ErrInvalidSchedule, maxDepth)
		}
	}
	return c.check()
}

// nestable reports whether the text form of a kind of the host's own could be found again within another.
func nestable(text string) error {
	if segments, err := splitModifiers(text); err != nil || len(segments) != 1 {
		return fmt.Errorf("%w: %q cannot be combined, since its text has a | or unbalanced parentheses", ErrInvalidSchedule, clip(text, 64))
	}
	return nil
}

// operationOf returns the combination that a schedule is.
func operationOf(s Schedule) (combination, bool) {
	switch c := s.(type) {
	case combined:
		return c.combination, true
	case combinedRanged:
		return c.combination, true
	case combinedInterval:
		return c.combination, true
	case combinedRangedInterval:
		return c.combination, true
	}
	return nil, false
}

func depth(s Schedule) int {
	deepest := 0
	if c, ok := operationOf(s); ok {
		for _, p := range c.parts() {
			deepest = max(deepest, depth(p))
		}
	}
	return deepest + 1
}

func (c combined) Next(after time.Time) time.Time {
	if c.err != nil {
		return time.Time{}
	}
	return c.next(after)
}

func (c combined) String() string { return c.text() }

// Explain returns the schedule in words.
func (c combined) Explain() string {
	if c.err != nil {
		return "never"
	}
	return c.words()
}

func (c combined) fault() error { return c.err }

// Anchor returns the schedule with its parts counted from t.
func (c combined) Anchor(t time.Time) Schedule {
	if c.err != nil {
		return wrap(c)
	}
	return wrap(combined{c.anchored(t), nil})
}

// ForTask returns the schedule with its parts as they apply to the task with this id.
func (c combined) ForTask(id string) Schedule {
	if c.err != nil {
		return wrap(c)
	}
	return wrap(combined{c.forTask(id), nil})
}

func (c combinedRanged) Prev(before time.Time) time.Time {
	if c.err != nil {
		return time.Time{}
	}
	return c.prev(before)
}

func (c combinedRanged) Count(from, to time.Time) int64 {
	if c.err != nil || !to.After(from) {
		return 0
	}
	return c.count(from, to)
}

// Interval returns the shortest interval of the parts.
func (c combinedInterval) Interval() time.Duration { return shortest(c.parts()) }

// Delayed is false: schedules that count from the ends of runs cannot be combined.
func (c combinedInterval) Delayed() bool { return false }

func (c combinedRangedInterval) Interval() time.Duration { return shortest(c.parts()) }
func (c combinedRangedInterval) Delayed() bool           { return false }

func shortest(parts []Schedule) time.Duration {
	least := time.Duration(0)
	for i, p := range parts {
		if d := p.(Interval).Interval(); i == 0 || d < least {
			least = d
		}
	}
	return least
}

// admits reports whether the definition of a schedule lets a run happen at t that is not an occurrence, such as the immediate run of a
// registration: not outside of its windows and not within its exclusions.
func admits(s Schedule, t time.Time) bool {
	if c, ok := operationOf(s); ok {
		return c.admits(t)
	}
	return true
}

// originOf returns the instant after which the occurrences of a schedule are counted, if its definition says so.
func originOf(s Schedule) (time.Time, bool) {
	switch s := s.(type) {
	case IntervalSchedule:
		return s.origin(), s.pinned && s.mode == fixedRate
	case OnceSchedule:
		return s.at.Add(-time.Microsecond), true
	}
	if c, ok := operationOf(s); ok {
		return c.origin()
	}
	return time.Time{}, false
}

func anchorPart(s Schedule, t time.Time) Schedule {
	if a, ok := s.(Anchored); ok {
		return a.Anchor(t)
	}
	return s
}

func taskPart(s Schedule, id string) Schedule {
	if p, ok := s.(PerTask); ok {
		return p.ForTask(id)
	}
	return s
}

// atOrAfter returns the first occurrence that is not before t.
func atOrAfter(s Schedule, t time.Time) time.Time { return s.Next(t.Add(-1)) }

// modified is the text of a schedule with a modifier behind it.
func modified(s Schedule, modifier string) string { return partText(s) + " | " + modifier }

// partText is the text of a part, which is there even if the part is not.
func partText(s Schedule) string {
	if s == nil {
		return "none"
	}
	return s.String()
}

// splitModifiers cuts a text form at each | that is not in parentheses.
func splitModifiers(spec string) ([]string, error) {
	var segments []string
	level, begin := 0, 0
	for i := range len(spec) {
		switch spec[i] {
		case '(':
			level++
		case ')':
			level--
		case '|':
			if level == 0 {
				segments, begin = append(segments, strings.TrimSpace(spec[begin:i])), i+1
			}
		}
		if level < 0 {
			break
		}
	}
	if level != 0 {
		return nil, errors.New("its parentheses are not balanced")
	}
	return append(segments, strings.TrimSpace(spec[begin:])), nil
}

// splitGroups cuts "(a) (b) (c)" into its groups.
func splitGroups(text string) ([]string, bool) {
	var groups []string
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		level, end := 0, -1
		for i := range len(text) {
			if text[i] == '(' {
				level++
			}
			if text[i] == ')' {
				level--
			}
			if level == 0 {
				end = i
				break
			}
		}
		if text[0] != '(' || end < 0 {
			return nil, false
		}
		groups, text = append(groups, strings.TrimSpace(text[1:end])), text[end+1:]
	}
	return groups, len(groups) > 0
}

// modifiers read what may stand behind a schedule and a |: the first word says which.
var modifiers = map[string]func(s Schedule, args string) (Schedule, error){
	"between":  parseBetween,
	"starting": parseStarting,
	"until":    parseUntil,
	"limit":    parseLimit,
	"except":   parseExcept,
	"jitter":   parseJitter,
}

func parseModifier(s Schedule, text string) (Schedule, error) {
	name, args, _ := strings.Cut(text, " ")
	parse := modifiers[strings.ToLower(name)]
	if parse == nil {
		return nil, badSchedule(text, "behind | may stand: between, starting, until, limit, except, jitter")
	}
	return parse(s, strings.TrimSpace(args))
}
