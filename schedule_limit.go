package punctual

import (
	"fmt"
	"strconv"
	"time"
)

// maxLimit is the largest n of Limit.
const maxLimit = 1_000_000_000

// Limit returns the first n occurrences of s. They are counted from the beginning that the definition of s has, i.e. the anchor of
// Every(d).From(t) or the start of Between; where it has none, from the registration of the task. So a limit that shall survive a
// Reschedule needs a beginning. The immediate run of an interval task is not an occurrence and not counted.
//
// Before it is anchored, a limited schedule without a beginning does not know where to count from, and Next answers as that of s.
//
// Text form: "every 30m | limit 10".
func Limit(s Schedule, n int) Schedule {
	l := &limit{s: s, n: int64(n)}
	if s != nil {
		l.from, l.counted = originOf(s)
	}
	return combine(l)
}

type limit struct {
	s       Schedule
	n       int64
	from    time.Time // the occurrences after it are counted
	counted bool      // from is known
}

func (l *limit) parts() []Schedule { return []Schedule{l.s} }

func (l *limit) anchored(t time.Time) combination {
	bound := &limit{anchorPart(l.s, t), l.n, l.from, true}
	if !l.counted {
		bound.from = t
	}
	return bound
}

func (l *limit) forTask(id string) combination {
	return &limit{taskPart(l.s, id), l.n, l.from, l.counted}
}

func (l *limit) check() error {
	if l.n < 1 || l.n > maxLimit {
		return fmt.Errorf("%w: the limit %d is not between 1 and %d", ErrInvalidSchedule, l.n, maxLimit)
	}
	return nil
}

func (l *limit) next(after time.Time) time.Time {
	if !l.counted {
		return l.s.Next(after)
	}
	if !after.After(l.from) {
		return l.s.Next(l.from)
	}
	if r, ok := l.s.(Ranged); ok {
		if r.Count(l.from, after) >= l.n {
			return time.Time{}
		}
		return l.s.Next(after)
	}
	t := l.from
	for range l.n {
		t = l.s.Next(t)
		if t.IsZero() || t.After(after) {
			return t
		}
	}
	return time.Time{}
}

func (l *limit) count(from, to time.Time) int64 {
	r := l.s.(Ranged)
	if !l.counted {
		return min(r.Count(from, to), l.n)
	}
	from = later(from, l.from)
	if !to.After(from) {
		return 0
	}
	left := l.n - r.Count(l.from, from)
	if left <= 0 {
		return 0
	}
	return min(r.Count(from, to), left)
}

func (l *limit) prev(before time.Time) time.Time {
	r := l.s.(Ranged)
	t := r.Prev(before)
	switch {
	case !l.counted:
		return t
	case t.IsZero() || !t.After(l.from):
		return time.Time{}
	case r.Count(l.from, t) <= l.n:
		return t
	}
	// The last of the n is the first instant up to which there are n; between l.from and t in microseconds.
	low, high := l.from.UnixMicro(), t.UnixMicro()
	for low+1 < high {
		middle := low + (high-low)/2
		if r.Count(l.from, time.UnixMicro(middle)) >= l.n {
			high = middle
		} else {
			low = middle
		}
	}
	return r.Prev(time.UnixMicro(high).Add(1))
}

func (l *limit) admits(t time.Time) bool {
	if !admits(l.s, t) {
		return false
	}
	return !l.counted || !l.next(t).IsZero()
}

func (l *limit) origin() (time.Time, bool) { return originOf(l.s) }

func (l *limit) text() string { return modified(l.s, "limit "+strconv.FormatInt(l.n, 10)) }

func (l *limit) words() string {
	if l.n == 1 {
		return Explain(l.s) + ", once"
	}
	return fmt.Sprintf("%s, %d times", Explain(l.s), l.n)
}

func parseLimit(s Schedule, args string) (Schedule, error) {
	n, err := strconv.Atoi(args)
	if err != nil {
		return nil, badSchedule("limit "+args, "%q is not a number of occurrences such as 10", clip(args, 32))
	}
	return Limit(s, n), nil
}
