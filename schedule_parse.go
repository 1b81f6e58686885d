package punctual

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

var (
	kindsMu sync.RWMutex // guards kinds
	kinds   = map[string]func(args string) (Schedule, error){}
)

// init and not the declaration, since a union parses schedules.
func init() {
	kinds["every"] = parseEvery
	kinds["once"] = parseOnce
	kinds["cron"] = parseCron
	kinds["union"] = parseUnion
	for _, kind := range []string{"daily", "weekly", "monthly"} {
		kinds[kind] = func(args string) (Schedule, error) { return parseClock(kind, args) }
	}
}

// RegisterSchedule makes ParseSchedule read a kind of schedule of the host's own: the first word of the text form is its name and the
// rest goes to parse. The text must not contain |, and its parentheses must be balanced. Call it from an init function, in every process
// that shares the store. It panics when the name is taken or not made of lower-case letters, digits and dashes beginning with a letter, or
// when parse is nil, since these are mistakes in the program.
//
// The schedule may implement Anchored, Ranged, Interval and PerTask as well, and Explain() string for Explain.
func RegisterSchedule(name string, parse func(args string) (Schedule, error)) {
	if !wellNamed(name) {
		panic(fmt.Sprintf("punctual: schedule kind %q is not made of lower-case letters, digits and dashes beginning with a letter", name))
	}
	if parse == nil {
		panic(fmt.Sprintf("punctual: nil parse function for schedule kind %q", name))
	}
	kindsMu.Lock()
	defer kindsMu.Unlock()
	if _, taken := kinds[name]; taken {
		panic(fmt.Sprintf("punctual: schedule kind %q is registered already", name))
	}
	kinds[name] = parse
}

// ParseSchedule reads the text form of a schedule, as Schedule.String writes it: a kind and what belongs to it, then modifiers.
//
//	every 30m                       also: every 30m aligned, every 30m after completion, every 30m from 2027-01-01T00:00:00Z
//	daily 09:30,17:00 Europe/Berlin
//	weekly mon,fri 09:30 Europe/Berlin
//	monthly 15 09:30 UTC            also: monthly last, monthly last workday, monthly 2nd tue
//	cron 0 9 * * 1-5 Europe/Berlin
//	once 2027-01-01T00:00:00Z
//	union (daily 09:30 UTC) (every 1h)
//	... | between 2027-01-01T00:00:00Z and 2028-01-01T00:00:00Z
//	... | limit 10
//	... | except sat,sun,12-25 Europe/Berlin
//	... | jitter 5m
//
// A zone that is missing is UTC. The forms of crontabs are read as well: 0 9 * * 1-5, @hourly and the like, with a zone behind or CRON_TZ=
// before them, and @every 5m. Errors wrap ErrInvalidSchedule and say what is wrong and what is allowed.
func ParseSchedule(spec string) (Schedule, error) {
	spec = strings.TrimSpace(spec)
	if len(spec) > maxSchedule {
		return nil, badSchedule(spec, "it is %d bytes long, at most %d are allowed", len(spec), maxSchedule)
	}
	segments, err := splitModifiers(spec)
	if err != nil {
		segments = []string{spec} // the kind knows better what is wrong
	}
	s, err := parseKind(segments[0])
	if err != nil {
		return nil, err
	}
	for _, text := range segments[1:] {
		if s, err = parseModifier(s, text); err != nil {
			return nil, err
		}
	}
	if f, ok := s.(interface{ fault() error }); ok {
		if err := f.fault(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// parseKind reads a schedule without modifiers, or one in parentheses.
func parseKind(spec string) (Schedule, error) {
	if groups, ok := splitGroups(spec); ok && len(groups) == 1 {
		return ParseSchedule(groups[0])
	}
	words := strings.Fields(spec)
	if len(words) == 0 {
		return nil, badSchedule(spec, "it begins with a kind: %s", kindNames())
	}
	name := words[0]
	if strings.EqualFold(name, "@every") {
		return parseAtEvery(spec)
	}
	if _, _, prefixed := cutZonePrefix(spec); prefixed || strings.Contains("@*0123456789", name[:1]) {
		return parseCron(spec)
	}
	kindsMu.RLock()
	parse := kinds[strings.ToLower(name)]
	kindsMu.RUnlock()
	if parse == nil {
		return nil, badSchedule(spec, "it does not begin with a known kind: %s", kindNames())
	}
	s, err := parse(strings.TrimSpace(spec[len(name):]))
	switch {
	case err != nil:
		return nil, invalid(err)
	case s == nil:
		return nil, badSchedule(spec, "its kind returned neither a schedule nor an error")
	}
	return s, nil
}

func kindNames() string {
	kindsMu.RLock()
	defer kindsMu.RUnlock()
	return strings.Join(slices.Sorted(maps.Keys(kinds)), ", ")
}

// invalid makes an error of a host's parse function one of ours.
func invalid(err error) error {
	if errors.Is(err, ErrInvalidSchedule) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrInvalidSchedule, err)
}

func badSchedule(spec, reason string, args ...any) error {
	return fmt.Errorf("%w: %q: %s", ErrInvalidSchedule, clip(strings.TrimSpace(spec), 128), fmt.Sprintf(reason, args...))
}

func wellNamed(name string) bool {
	return name != "" && name[0] >= 'a' && name[0] <= 'z' && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// parseInstant reads a time as text forms write it.
func parseInstant(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, fmt.Errorf("%w: %q is not a time such as 2027-01-01T00:00:00Z", ErrInvalidSchedule, clip(text, 48))
	}
	return t, nil
}
