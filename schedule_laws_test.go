package punctual_test

import (
	"slices"
	"testing"
	"time"
	_ "time/tzdata" // the zones of the tests, on machines without a tz database

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	require.NoError(t, err)
	return loc
}

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	require.NoError(t, err)
	return at
}

// local is a wall-clock reading in a zone; of a repeated one, the first.
func local(t testing.TB, reading string, loc *time.Location) time.Time {
	t.Helper()
	at, err := time.ParseInLocation("2006-01-02 15:04", reading, loc)
	require.NoError(t, err)
	return at
}

// bound is a schedule as the engine asks it: for one task, registered at one instant.
func bound(s punctual.Schedule, id string, registered time.Time) punctual.Schedule {
	if p, ok := s.(punctual.PerTask); ok {
		s = p.ForTask(id)
	}
	if a, ok := s.(punctual.Anchored); ok {
		s = a.Anchor(registered)
	}
	return s
}

// walk lists the occurrences after from and not after to.
func walk(t testing.TB, s punctual.Schedule, from, to time.Time) []time.Time {
	t.Helper()
	var found []time.Time
	for at := s.Next(from); !at.IsZero() && !at.After(to); at = s.Next(at) {
		require.True(t, at.After(from), "%s: Next(%v) = %v is not later", s, from, at)
		require.Zero(t, at.Nanosecond()%1000, "%s yields %v, which is no whole microsecond", s, at)
		found = append(found, at.UTC())
		from = at
	}
	return found
}

// requireOccurrences checks that a bound schedule has exactly these occurrences after from and not after to, whichever way it is asked.
func requireOccurrences(t testing.TB, s punctual.Schedule, want []time.Time, from, to time.Time) {
	t.Helper()
	require.Equal(t, want, walk(t, s, from, to), "occurrences of %s after %v", s, from)
	r, ok := s.(punctual.Ranged)
	if !ok {
		return
	}
	require.EqualValues(t, len(want), r.Count(from, to), "%s: Count(%v, %v)", s, from, to)
	require.Zero(t, r.Count(to, from), "%s: a range that ends before it begins", s)
	for i, at := range want {
		if i > 0 && i%97 > 5 && i < len(want)-5 {
			continue // the neighbours of a few are enough
		}
		for _, near := range []time.Time{at.Add(-time.Nanosecond), at, at.Add(time.Nanosecond)} {
			before, _ := slices.BinarySearchFunc(want, near, time.Time.Compare)
			notAfter := before
			if near.Equal(at) {
				notAfter++
			}
			if notAfter < len(want) {
				require.Equal(t, want[notAfter], s.Next(near).UTC(), "%s: Next(%v)", s, near)
			}
			if before > 0 {
				require.Equal(t, want[before-1], r.Prev(near).UTC(), "%s: Prev(%v)", s, near)
			} else if last := r.Prev(near); !last.IsZero() {
				require.False(t, last.After(from), "%s: Prev(%v) = %v is an occurrence that Next does not have", s, near, last)
			}
			require.EqualValues(t, notAfter, r.Count(from, near), "%s: Count(%v, %v)", s, from, near)
			require.EqualValues(t, len(want)-notAfter, r.Count(near, to), "%s: Count(%v, %v)", s, near, to)
		}
	}
}

// requireRoundTrip checks that the text form is read back as the same schedule.
func requireRoundTrip(t testing.TB, s punctual.Schedule) punctual.Schedule {
	t.Helper()
	again, err := punctual.ParseSchedule(s.String())
	require.NoError(t, err, "the text form of a schedule")
	require.Equal(t, s.String(), again.String())
	require.IsType(t, s, again)
	require.Equal(t, punctual.Explain(s), punctual.Explain(again))
	return again
}

// requireNever checks that a schedule which is refused never fires.
func requireNever(t testing.TB, s punctual.Schedule, reason string) {
	t.Helper()
	var fault *punctual.TaskError
	require.ErrorAs(t, punctual.Task{ID: "t", Schedule: s}.Validate(), &fault)
	require.Len(t, fault.Fields, 1)
	assert.Equal(t, "Schedule", fault.Fields[0].Field)
	assert.Contains(t, fault.Fields[0].Reason, reason)
	assert.NotContains(t, fault.Fields[0].Reason, "punctual:")
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, s := range []punctual.Schedule{s, bound(s, "t", at)} {
		assert.Zero(t, s.Next(at))
		if r, ok := s.(punctual.Ranged); ok {
			assert.Zero(t, r.Prev(at))
			assert.Zero(t, r.Count(at, at.AddDate(1, 0, 0)))
		}
		assert.Equal(t, "never", punctual.Explain(s))
		_, err := punctual.ParseSchedule(s.String())
		assert.ErrorIs(t, err, punctual.ErrInvalidSchedule, "the text form %q", s.String())
	}
}
