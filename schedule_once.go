package punctual

import (
	"fmt"
	"time"
)

// OnceSchedule has a single occurrence: see Once.
type OnceSchedule struct{ at time.Time }

// Once returns the schedule whose only occurrence is t, cut to microseconds, in UTC. Registering a task whose t has passed is refused, since
// it would never run.
func Once(t time.Time) OnceSchedule {
	return OnceSchedule{time.UnixMicro(floorMicro(t)).UTC()}
}

// Next returns the occurrence if it lies after the given instant.
func (s OnceSchedule) Next(after time.Time) time.Time {
	if s.fault() == nil && s.at.After(after) {
		return s.at
	}
	return time.Time{}
}

// Prev returns the occurrence if it lies before the given instant.
func (s OnceSchedule) Prev(before time.Time) time.Time {
	if s.fault() == nil && s.at.Before(before) {
		return s.at
	}
	return time.Time{}
}

// Count returns 1 if the occurrence lies after from and not after to.
func (s OnceSchedule) Count(from, to time.Time) int64 {
	if s.fault() == nil && s.at.After(from) && !s.at.After(to) {
		return 1
	}
	return 0
}

func (s OnceSchedule) fault() error {
	if y := s.at.UTC().Year(); y < 1970 || y > 9999 {
		return fmt.Errorf("%w: the year %d of a single occurrence is not between 1970 and 9999", ErrInvalidSchedule, y)
	}
	return nil
}

// String returns the text form: "once 2027-01-01T00:00:00Z".
func (s OnceSchedule) String() string { return "once " + s.at.UTC().Format(time.RFC3339Nano) }

// Explain returns the schedule in words.
func (s OnceSchedule) Explain() string {
	if s.fault() != nil {
		return "never"
	}
	return "once, on " + timeWords(s.at)
}

// parseOnce reads what stands behind "once".
func parseOnce(args string) (Schedule, error) {
	t, err := parseInstant(args)
	if err != nil {
		return nil, err
	}
	return Once(t), nil
}
