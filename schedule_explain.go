package punctual

import "time"

// Explain returns a schedule in words, for people who have to check it:
//
//	every day at 09:30, Europe/Berlin time
//
// Schedules of the host's own that have a method Explain() string are asked; of others the text form is returned. Upcoming lists the next
// occurrences to go with it.
func Explain(s Schedule) string {
	if s == nil {
		return "never"
	}
	if e, ok := s.(interface{ Explain() string }); ok {
		return e.Explain()
	}
	return s.String()
}

// Upcoming returns the first n occurrences of s after the given instant, fewer if there are fewer, as for a task that is registered at that
// instant. For the variant of a task with a hash or a jitter, hand in what PerTask.ForTask returns.
func Upcoming(s Schedule, after time.Time, n int) []time.Time {
	if s == nil {
		return nil
	}
	return following(anchorPart(s, after), after, n)
}

// Upcoming returns the next n occurrences of the task that are owed, fewer if there are fewer, in the zone of its schedule: those of this
// task and this registration, so a limit counts what has been. A schedule that counts from ends of runs has only the next.
func (s Snapshot) Upcoming(n int) []time.Time {
	if s.NextRunAt.IsZero() || s.Task.Schedule == nil || n < 1 {
		return nil
	}
	times := []time.Time{s.NextRunAt}
	if i, ok := s.Task.Schedule.(Interval); ok && i.Delayed() {
		return times
	}
	schedule := bind(s.Task.Schedule, s.Task.ID, s.Anchor)
	times = append(times, following(schedule, s.NextRunAt, n-1)...)
	if len(times) > 1 {
		times[0] = times[0].In(times[1].Location()) // stores keep UTC
	} else if next := schedule.Next(s.NextRunAt.Add(-1)); next.Equal(s.NextRunAt) {
		times[0] = next
	}
	return times
}

// following returns the first n occurrences after an instant.
func following(s Schedule, after time.Time, n int) []time.Time {
	var found []time.Time
	for range n {
		next := s.Next(after)
		if next.IsZero() || !next.After(after) {
			break
		}
		found = append(found, next)
		after = next
	}
	return found
}
