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
	s = anchorPart(s, after)
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
