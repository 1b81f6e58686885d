package punctual_test

import (
	"math"
	"testing"
	"testing/quick"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

func TestAnIntervalCountsFromItsAnchorWithoutDrift(t *testing.T) {
	registered := instant(t, "2026-03-01T10:07:03.25Z")
	s := punctual.Every(30 * time.Minute).Anchor(registered)
	var want []time.Time
	for k := 1; k <= 48; k++ {
		want = append(want, registered.Add(time.Duration(k)*30*time.Minute))
	}
	requireOccurrences(t, s, want, registered, registered.Add(24*time.Hour))
	assert.Equal(t, registered.Add(30*time.Minute), s.Next(registered.AddDate(-1, 0, 0)), "nothing lies before the first occurrence")
	assert.Zero(t, s.(punctual.Ranged).Prev(registered.Add(30*time.Minute)))
	assert.Zero(t, s.(punctual.Ranged).Count(registered.AddDate(-1, 0, 0), registered))
}

func TestWithoutAnAnchorAnIntervalCountsFromTheQuestion(t *testing.T) {
	at := instant(t, "2026-03-01T10:00:00Z")
	s := punctual.Every(time.Hour)
	assert.Equal(t, at.Add(time.Hour), s.Next(at))
	assert.Equal(t, at.Add(-time.Hour), s.Prev(at))
	assert.EqualValues(t, 24, s.Count(at, at.Add(24*time.Hour)))
}

func TestAnAlignedIntervalKeepsToTheGridWheneverItWasRegistered(t *testing.T) {
	at := instant(t, "2026-03-01T10:07:00Z")
	s := punctual.Every(15 * time.Minute).Aligned()
	assert.Equal(t, instant(t, "2026-03-01T10:15:00Z"), s.Anchor(at).Next(at))
	assert.Equal(t, instant(t, "2026-03-01T10:00:00Z"), s.Prev(at))
	assert.Equal(t, instant(t, "1969-12-31T23:45:00Z"), s.Prev(time.Unix(0, 0)), "the grid has no beginning")
	assert.Equal(t, time.Unix(0, 0).UTC(), s.Next(time.Unix(0, 0).Add(-time.Nanosecond)))
	assert.EqualValues(t, 8, s.Count(time.Unix(-3600, 0), time.Unix(3600, 0)))
	requireOccurrences(t, s, walk(t, s, at, at.AddDate(0, 0, 3)), at, at.AddDate(0, 0, 3))
}

func TestAFixedAnchorHoldsOverRegistrations(t *testing.T) {
	from := instant(t, "2026-03-01T09:00:00Z")
	s := punctual.Every(45 * time.Minute).From(from)
	assert.Equal(t, s, s.Anchor(from.Add(7*time.Minute)))
	assert.Equal(t, from.Add(45*time.Minute), s.Next(from.AddDate(-100, 0, 0)))
	assert.Zero(t, s.Prev(from.Add(45*time.Minute)))
}

func TestAFixedDelayCountsFromTheEndOfTheRunBefore(t *testing.T) {
	s := punctual.Every(time.Hour).AfterCompletion()
	assert.True(t, s.Delayed())
	end := instant(t, "2026-03-01T09:12:00Z")
	assert.Equal(t, end.Add(time.Hour), s.Anchor(end.AddDate(0, 0, -1)).Next(end))
	assert.False(t, punctual.Every(time.Hour).Delayed())
	assert.False(t, s.From(end).Delayed(), "the last word counts")
}

// The arithmetic against the definition t + k*d, in exact steps from an occurrence to its neighbours.
func TestIntervalArithmeticIsExactUpToTheYear9999(t *testing.T) {
	last := instant(t, "9999-12-31T23:59:59.999999Z")
	law := func(length, anchorSeed, afterSeed uint64) bool {
		d := punctual.MinInterval + time.Duration(length%uint64(100*365*24*time.Hour))
		d = d.Truncate(time.Microsecond)
		begin := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
		span := uint64(last.UnixMicro() - begin)
		anchor := time.UnixMicro(begin + int64(anchorSeed%span)).UTC()
		after := time.UnixMicro(begin + int64(afterSeed%span)).UTC().Add(time.Duration(afterSeed % 1000))
		s := punctual.Every(d).From(anchor)
		next, prev := s.Next(after), s.Prev(after)
		if next.IsZero() {
			return !prev.IsZero() && prev.Add(d).After(last) || anchor.Add(d).After(last) || prev.Add(d).Equal(after) && after.Add(d).After(last)
		}
		ok := next.After(after) && (next.UnixMicro()-anchor.UnixMicro())%d.Microseconds() == 0 && next.After(anchor)
		if !prev.IsZero() {
			gap := next.Sub(prev)
			ok = ok && prev.Before(after) && (gap == d || gap == 2*d && prev.Add(d).Equal(after))
			ok = ok && s.Count(prev, next) == int64(gap/d) && s.Count(anchor, next) == (next.UnixMicro()-anchor.UnixMicro())/d.Microseconds()
		} else {
			ok = ok && next.Equal(anchor.Add(d))
		}
		return ok
	}
	require.NoError(t, quick.Check(law, &quick.Config{MaxCount: 20_000}))
}

func TestBadIntervalsAreRefusedAndNeverFire(t *testing.T) {
	requireNever(t, punctual.IntervalSchedule{}, "too short")
	requireNever(t, punctual.Every(-time.Hour), "too short")
	requireNever(t, punctual.Every(time.Millisecond-1), "too short")
	requireNever(t, punctual.Every(time.Second+1), "microseconds")
	requireNever(t, punctual.Every(math.MaxInt64), "microseconds")
	requireNever(t, punctual.Every(200*365*24*time.Hour), "hundred years")
	requireNever(t, punctual.Every(time.Hour).From(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)), "year")
	requireNever(t, punctual.Every(-1).AfterCompletion(), "too short")
	requireNever(t, punctual.Every(0).Aligned(), "too short")
}

func TestOnceHasOneOccurrence(t *testing.T) {
	at := instant(t, "2027-01-01T00:00:00.0000019+02:00")
	cut := instant(t, "2026-12-31T22:00:00.000001Z")
	s := punctual.Once(at)
	requireOccurrences(t, s, []time.Time{cut}, cut.AddDate(-1, 0, 0), cut.AddDate(1, 0, 0))
	assert.Zero(t, s.Next(cut))
	assert.Equal(t, "once 2026-12-31T22:00:00.000001Z", s.String())
	requireNever(t, punctual.Once(time.Time{}), "year 1 ")
	requireNever(t, punctual.OnceSchedule{}, "year 1 ")
	requireNever(t, punctual.Once(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)), "10000")
}
