package punctual

import (
	"fmt"
	"time"
)

// Jitter returns the occurrences of s, each later by a share of max that follows from the task's id and the occurrence, so that tasks of the
// same schedule spread while every instance and every replay agrees. An occurrence stays before the one behind it: where s has them
// closer than max, the share is of their distance. Zero max changes nothing; max is at least a microsecond otherwise.
//
// Text form: "daily 09:30 Europe/Berlin | jitter 5m".
func Jitter(s Schedule, limit time.Duration) Schedule {
	if limit == 0 && s != nil {
		return s
	}
	return combine(&jitter{s: s, max: limit})
}

type jitter struct {
	s   Schedule
	max time.Duration
	id  string
}

func (j *jitter) parts() []Schedule                { return []Schedule{j.s} }
func (j *jitter) anchored(t time.Time) combination { return &jitter{anchorPart(j.s, t), j.max, j.id} }
func (j *jitter) forTask(id string) combination    { return &jitter{taskPart(j.s, id), j.max, id} }

func (j *jitter) check() error {
	switch {
	case j.max < time.Microsecond || j.max%time.Microsecond != 0:
		return fmt.Errorf("%w: the jitter %v is not a positive number of microseconds", ErrInvalidSchedule, j.max)
	case j.max > maxDuration:
		return fmt.Errorf("%w: the jitter %v is longer than a hundred years", ErrInvalidSchedule, j.max)
	}
	return nil
}

// moved returns where an occurrence of s goes. Not to the one behind it or further, so the order is kept.
func (j *jitter) moved(t time.Time) time.Time {
	room := j.max
	if behind := j.s.Next(t); !behind.IsZero() {
		room = min(room, behind.Sub(t))
	}
	share := micro(time.Duration(hashFraction(j.id, uint64(t.UnixMicro())) * float64(room)))
	return t.Add(max(min(share, room-time.Microsecond), 0))
}

func (j *jitter) next(after time.Time) time.Time {
	// Occurrences stay in order, so only the last one that was at or before the instant can still be behind it.
	if t := lastIn(j.s, after.Add(-j.max), after); !t.IsZero() {
		if m := j.moved(t); m.After(after) {
			return m
		}
	}
	t := j.s.Next(after)
	if t.IsZero() {
		return t
	}
	return j.moved(t)
}

func (j *jitter) prev(before time.Time) time.Time {
	r := j.s.(Ranged)
	t := r.Prev(before)
	if t.IsZero() {
		return t
	}
	if m := j.moved(t); m.Before(before) {
		return m
	}
	if t = r.Prev(t); t.IsZero() {
		return t
	}
	return j.moved(t)
}

func (j *jitter) count(from, to time.Time) int64 {
	return j.s.(Ranged).Count(from, to) + j.straddling(from) - j.straddling(to)
}

// straddling returns 1 if an occurrence at or before the instant is moved behind it, else 0.
func (j *jitter) straddling(at time.Time) int64 {
	t := lastIn(j.s, at.Add(-j.max), at)
	if !t.IsZero() && j.moved(t).After(at) {
		return 1
	}
	return 0
}

func (j *jitter) admits(t time.Time) bool   { return admits(j.s, t) }
func (j *jitter) origin() (time.Time, bool) { return originOf(j.s) }
func (j *jitter) text() string              { return modified(j.s, "jitter "+durationString(j.max)) }

func (j *jitter) words() string { return Explain(j.s) + ", later by up to " + durationString(j.max) }

// lastIn returns the last occurrence after from and not after to, or the zero time. Where a schedule can only tell what comes next, it
// is searched for by halving.
func lastIn(s Schedule, from, to time.Time) time.Time {
	if r, ok := s.(Ranged); ok {
		if t := r.Prev(to.Add(1)); t.After(from) {
			return t
		}
		return time.Time{}
	}
	found := s.Next(from)
	if found.IsZero() || found.After(to) {
		return time.Time{}
	}
	low, high := found, to // an occurrence, and an instant behind which there is none up to to
	for high.Sub(low) > 0 {
		middle := low.Add(high.Sub(low) / 2)
		if t := s.Next(middle); t.IsZero() || t.After(to) {
			high = middle
		} else {
			found, low = t, t
		}
	}
	return found
}

func parseJitter(s Schedule, args string) (Schedule, error) {
	d, err := parseLength(args)
	if err != nil {
		return nil, badSchedule("jitter "+args, "%q is not a duration such as 5m", clip(args, 32))
	}
	return Jitter(s, d), nil
}
