package punctual

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Union returns the occurrences of all the schedules; what several of them have at the same instant is one occurrence. It means elapsed time,
// so that its tasks run at once when they are registered, if all of them do.
//
// Counting what was missed visits the occurrences of all parts but the one that has the most.
//
// Text form: "union (daily 09:30 Europe/Berlin) (every 1h)".
func Union(schedules ...Schedule) Schedule { return combine(&union{slices.Clone(schedules)}) }

type union struct{ of []Schedule }

func (u *union) parts() []Schedule { return u.of }

func (u *union) each(f func(Schedule) Schedule) *union {
	of := make([]Schedule, len(u.of))
	for i, s := range u.of {
		of[i] = f(s)
	}
	return &union{of}
}

func (u *union) anchored(t time.Time) combination {
	return u.each(func(s Schedule) Schedule { return anchorPart(s, t) })
}

func (u *union) forTask(id string) combination {
	return u.each(func(s Schedule) Schedule { return taskPart(s, id) })
}

func (u *union) check() error {
	if len(u.of) == 0 {
		return fmt.Errorf("%w: a union of no schedules never fires", ErrInvalidSchedule)
	}
	return nil
}

func (u *union) next(after time.Time) time.Time {
	var first time.Time
	for _, s := range u.of {
		if t := s.Next(after); first.IsZero() || !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	return first
}

func (u *union) prev(before time.Time) time.Time {
	var last time.Time
	for _, s := range u.of {
		if t := s.(Ranged).Prev(before); t.After(last) {
			last = t
		}
	}
	return last
}

func (u *union) count(from, to time.Time) int64 {
	type part struct {
		s Schedule
		n int64
	}
	counts := make([]part, len(u.of))
	for i, s := range u.of {
		counts[i] = part{s, s.(Ranged).Count(from, to)}
	}
	slices.SortStableFunc(counts, func(a, b part) int { return int(max(min(b.n-a.n, 1), -1)) })
	total := counts[0].n
	for i, p := range counts[1:] {
		for t := p.s.Next(from); !t.IsZero() && !t.After(to); t = p.s.Next(t) {
			known := slices.ContainsFunc(counts[:i+1], func(q part) bool { return atOrAfter(q.s, t).Equal(t) })
			if !known {
				total++
			}
		}
	}
	return total
}

func (u *union) admits(t time.Time) bool {
	return slices.ContainsFunc(u.of, func(s Schedule) bool { return admits(s, t) })
}

func (u *union) origin() (time.Time, bool) {
	var first time.Time
	for i, s := range u.of {
		t, ok := originOf(s)
		if !ok {
			return time.Time{}, false
		}
		if i == 0 || t.Before(first) {
			first = t
		}
	}
	return first, len(u.of) > 0
}

func (u *union) text() string {
	var b strings.Builder
	b.WriteString("union")
	for _, s := range u.of {
		b.WriteString(" (" + partText(s) + ")")
	}
	return b.String()
}

func (u *union) words() string {
	parts := make([]string, len(u.of))
	for i, s := range u.of {
		parts[i] = Explain(s)
	}
	return strings.Join(parts, "; and ")
}

func parseUnion(args string) (Schedule, error) {
	groups, ok := splitGroups(args)
	if !ok {
		return nil, badSchedule("union "+args, "want schedules in parentheses: union (daily 09:30 UTC) (every 1h)")
	}
	of := make([]Schedule, len(groups))
	for i, g := range groups {
		s, err := ParseSchedule(g)
		if err != nil {
			return nil, err
		}
		of[i] = s
	}
	return Union(of...), nil
}
