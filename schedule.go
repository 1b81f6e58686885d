package punctual

import (
	"time"
)

// Schedule is a pure function of time: it yields the occurrences of a task. Implementations are values that never change, are
// safe to share between tasks and goroutines, and answer the same question the same way for ever and on every instance.
//
// The schedules of this package are made by Every, Daily, Weekly, Monthly, Cron and Once, combined by Union, Between, Limit, Except and
// Jitter, and read by ParseSchedule. A host can add a kind of its own: see RegisterSchedule.
type Schedule interface {
	// Next returns the first occurrence strictly after the given instant, or the zero time when there is none. It is strictly
	// increasing and always ends. The engine keeps occurrences in microseconds, so finer ones are cut.
	Next(after time.Time) time.Time
	// String returns the text form that ParseSchedule reads back as the same schedule: stores and forms keep this text.
	String() string
}

// Anchored is implemented by schedules whose occurrences depend on when the task was registered, such as Every. The engine asks
// for the anchored schedule before it asks for occurrences.
type Anchored interface {
	Schedule
	// Anchor returns the schedule with its occurrences counted from t; t itself is the zeroth and not an occurrence.
	// A schedule that has a fixed anchor returns itself.
	Anchor(t time.Time) Schedule
}

// Ranged is implemented by schedules that can answer about a range of time without walking through it. The engine asks it
// when a task comes back after a long time; without it, each occurrence of the range is visited.
type Ranged interface {
	Schedule
	// Count returns how many occurrences lie in the range: after from, and not after to.
	Count(from, to time.Time) int64
	// Prev returns the last occurrence strictly before the given instant, or the zero time when there is none.
	Prev(before time.Time) time.Time
}

// Interval is implemented by schedules that mean elapsed time rather than time of day. Their tasks run at once when they are
// registered unless told otherwise; all others wait for their time.
type Interval interface {
	Schedule
	// Interval returns the time between occurrences, at least a millisecond.
	Interval() time.Duration
	// Delayed reports whether the interval counts from the end of the run before (fixed delay) instead of from the
	// occurrence before (fixed rate).
	Delayed() bool
}

// PerTask is implemented by schedules that differ by task, for example by a jitter or hash of the task's id. The engine asks
// for the task's own variant before it asks for occurrences.
type PerTask interface {
	Schedule
	// ForTask returns the schedule as it applies to the task with this id.
	ForTask(id string) Schedule
}

// Must returns the schedule or panics on an error: for literals in program code.
//
//	var nightly = punctual.Must(punctual.Cron("0 3 * * *", time.UTC))
func Must(s Schedule, err error) Schedule {
	if err != nil {
		panic(err)
	}
	return s
}

// bind returns the schedule as it applies to one registration of one task.
func bind(s Schedule, taskID string, anchor time.Time) Schedule {
	if p, ok := s.(PerTask); ok {
		s = p.ForTask(taskID)
	}
	if a, ok := s.(Anchored); ok {
		s = a.Anchor(anchor)
	}
	return s
}

// countOccurrences counts the occurrences of s after from and not after to.
func countOccurrences(s Schedule, from, to time.Time) int64 {
	if r, ok := s.(Ranged); ok {
		return r.Count(from, to)
	}
	var n int64
	for t := s.Next(from); !t.IsZero() && !t.After(to); t = s.Next(t) {
		n++
	}
	return n
}

// latestOccurrences returns up to n occurrences after from and not after to, the newest n, oldest first.
func latestOccurrences(s Schedule, from, to time.Time, n int) []time.Time {
	if n <= 0 {
		return nil
	}
	var found []time.Time
	if r, ok := s.(Ranged); ok {
		for t := r.Prev(to.Add(time.Nanosecond)); len(found) < n && !t.IsZero() && t.After(from); t = r.Prev(t) {
			found = append(found, t)
		}
		for i, j := 0, len(found)-1; i < j; i, j = i+1, j-1 {
			found[i], found[j] = found[j], found[i]
		}
		return found
	}
	for t := s.Next(from); !t.IsZero() && !t.After(to); t = s.Next(t) {
		if len(found) == n {
			copy(found, found[1:])
			found = found[:n-1]
		}
		found = append(found, t)
	}
	return found
}
