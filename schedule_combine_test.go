package punctual_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// model is a schedule beside what it should yield: the same rules carried out on lists.
type model struct {
	s        punctual.Schedule
	occurs   func() []time.Time // all occurrences of the test's stretch of time
	origin   time.Time          // where the definition says that counting begins; zero if it does not
	interval bool
}

// The stretch of time of the test, and where in it the task is registered.
var (
	modelBegin      = time.Date(2026, 2, 20, 0, 0, 0, 0, time.UTC)
	modelRegistered = time.Date(2026, 3, 1, 10, 7, 3, 250_000_000, time.UTC)
	modelEnd        = time.Date(2026, 4, 10, 0, 0, 0, 0, time.UTC)
)

// plain is a kind of schedule of the host's own that knows no more than what comes next.
type plain struct{ every time.Duration }

func init() {
	punctual.RegisterSchedule("plain", func(args string) (punctual.Schedule, error) {
		d, err := time.ParseDuration(args)
		return plain{d}, err
	})
}

func (p plain) Next(after time.Time) time.Time { return after.Truncate(p.every).Add(p.every) }
func (p plain) String() string                 { return "plain " + p.every.String() }

// randomModel makes a schedule with up to depth combinations around and within it.
func randomModel(t *testing.T, r *rand.Rand, depth int) model {
	t.Helper()
	if depth == 0 {
		return randomKind(t, r)
	}
	if r.IntN(4) == 0 {
		return randomUnion(t, r, depth-1)
	}
	in := randomModel(t, r, depth-1)
	out := in
	switch r.IntN(4) {
	case 0:
		var start, end time.Time
		which := r.IntN(3)
		if which != 0 {
			start = modelBegin.Add(time.Duration(r.IntN(25*24*60)) * time.Minute)
			out.origin = start.Add(-time.Nanosecond)
			if in.origin.After(out.origin) {
				out.origin = in.origin
			}
		}
		if which != 1 {
			end = modelEnd.Add(-time.Duration(1+r.IntN(15*24*60)) * time.Minute)
		}
		out.s = punctual.Between(in.s, start, end)
		out.occurs = filtered(in.occurs, func(at time.Time) bool { return !at.Before(start) && (end.IsZero() || at.Before(end)) })
	case 1:
		n := 1 + r.IntN(30)
		begin := in.origin
		if begin.IsZero() {
			begin = modelRegistered
		}
		out.s = punctual.Limit(in.s, n)
		counted := filtered(in.occurs, func(at time.Time) bool { return at.After(begin) })
		out.occurs = func() []time.Time { all := counted(); return all[:min(n, len(all))] }
	case 2:
		loc := zone(t, []string{"America/New_York", "UTC", "Asia/Beirut"}[r.IntN(3)])
		dates := map[string]bool{}
		var texts []string
		for range 1 + r.IntN(4) {
			date := modelBegin.AddDate(0, 0, r.IntN(49))
			texts = append(texts, date.Format([]string{"2006-01-02", "01-02"}[r.IntN(2)]))
			dates[date.Format("2006-01-02")] = true
		}
		sundays := r.IntN(2) == 0
		if sundays {
			texts = append(texts, "sun")
		}
		out.s = punctual.Except(in.s, punctual.Dates(loc, texts...))
		out.occurs = filtered(in.occurs, func(at time.Time) bool {
			return !dates[at.In(loc).Format("2006-01-02")] && (!sundays || at.In(loc).Weekday() != time.Sunday)
		})
	default:
		out = randomJitter(in, time.Duration(1+r.IntN(300))*time.Minute)
	}
	return out
}

func filtered(occurs func() []time.Time, keep func(time.Time) bool) func() []time.Time {
	return func() []time.Time {
		var kept []time.Time
		for _, at := range occurs() {
			if keep(at) {
				kept = append(kept, at)
			}
		}
		return kept
	}
}

// randomJitter cannot say where a jittered occurrence goes, only that it stays within its bounds: it takes what the schedule yields and
// checks that.
func randomJitter(in model, limit time.Duration) model {
	out := in
	out.s = punctual.Jitter(in.s, limit)
	out.occurs = func() []time.Time {
		s := bound(out.s, "task", modelRegistered)
		var moved []time.Time
		all := in.occurs()
		var after time.Time
		for i, at := range all {
			if i == 0 {
				after = at.Add(-time.Nanosecond)
			}
			next := s.Next(after)
			inBounds := !next.Before(at) && next.Before(at.Add(limit)) && (i+1 == len(all) || next.Before(all[i+1]))
			if !inBounds {
				panic(fmt.Sprintf("%s: occurrence %v of %v went to %v", out.s, at, in.s, next))
			}
			moved, after = append(moved, next.UTC()), next
		}
		return moved
	}
	return out
}

func randomUnion(t *testing.T, r *rand.Rand, depth int) model {
	t.Helper()
	parts := make([]model, 1+r.IntN(3))
	of := make([]punctual.Schedule, len(parts))
	out := model{interval: true}
	counted := true
	for i := range parts {
		parts[i] = randomModel(t, r, r.IntN(depth+1))
		of[i] = parts[i].s
		out.interval = out.interval && parts[i].interval
		counted = counted && !parts[i].origin.IsZero()
		if i == 0 || parts[i].origin.Before(out.origin) {
			out.origin = parts[i].origin
		}
	}
	if !counted {
		out.origin = time.Time{}
	}
	out.s = punctual.Union(of...)
	out.occurs = func() []time.Time {
		var all []time.Time
		for _, p := range parts {
			all = append(all, p.occurs()...)
		}
		slices.SortFunc(all, time.Time.Compare)
		return slices.CompactFunc(all, time.Time.Equal)
	}
	return out
}

// randomKind makes a schedule that is no combination; its own occurrences are proven elsewhere.
func randomKind(t *testing.T, r *rand.Rand) model {
	t.Helper()
	m := model{}
	loc := zone(t, []string{"America/New_York", "UTC", "Asia/Beirut", "Asia/Kathmandu"}[r.IntN(4)])
	d := time.Duration(20+r.IntN(3000)) * time.Minute
	begin := modelBegin.Add(time.Duration(r.IntN(1_000_000)) * time.Second)
	switch r.IntN(9) {
	case 0:
		m.s, m.interval = punctual.Every(d), true
	case 1:
		m.s, m.interval, m.origin = punctual.Every(d).From(begin), true, begin
	case 2:
		m.s, m.interval = punctual.Every(d).Aligned(), true
	case 3:
		m.s, m.origin = punctual.Once(begin), begin.Add(-time.Microsecond)
	case 4:
		m.s = punctual.Daily(fmt.Sprintf("%02d:30,02:15,%02d:00:20", r.IntN(24), r.IntN(24)), loc)
	case 5:
		m.s = punctual.Weekly([]string{"mon,fri", "sat-mon", "wed"}[r.IntN(3)], "00:30", loc).WithGap(punctual.Gap(r.IntN(3)))
	case 6:
		m.s = punctual.Monthly([]string{"last", "1,15", "2nd sun", "last workday"}[r.IntN(4)], "02:30", loc).WithFold(punctual.Fold(r.IntN(3)))
	case 7:
		s, err := punctual.Cron([]string{"H */3 * * *", "*/20 9-17 * * 1-5", "0 0 13 * 5", "H H * * 0"}[r.IntN(4)], loc)
		require.NoError(t, err)
		m.s = s
	default:
		m.s = plain{d}
	}
	s := bound(m.s, "task", modelRegistered)
	all := walk(t, s, modelBegin.AddDate(0, 0, -40), modelEnd)
	m.occurs = func() []time.Time { return all }
	return m
}

func TestCombinationsAgreeWithTheSameRulesOnLists(t *testing.T) {
	kinds := make(map[string]int)
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := randomModel(t, r, 1+r.IntN(3))
		require.NoError(t, punctual.Task{ID: "t", Schedule: m.s}.Validate(), "%s", m.s)
		// What the list has near its end depends on what lies behind it: a jitter may move it out.
		to := modelEnd.Add(-36 * time.Hour)
		want := slices.Clip(filtered(m.occurs, func(at time.Time) bool { return at.After(modelBegin) && !at.After(to) })())
		again := requireRoundTrip(t, m.s)
		for _, s := range []punctual.Schedule{m.s, again} {
			s = bound(s, "task", modelRegistered)
			requireOccurrences(t, s, want, modelBegin, to)
			_, interval := s.(punctual.Interval)
			require.Equal(t, m.interval, interval, "%s is an interval", m.s)
			_, ranged := s.(punctual.Ranged)
			require.Equal(t, !strings.Contains(m.s.String(), "plain"), ranged, "%s answers about ranges", m.s)
		}
		for _, word := range []string{"between", "starting", "until", "limit", "union", "except", "jitter"} {
			if strings.Contains(m.s.String(), word) && len(want) > 0 {
				kinds[word]++
			}
		}
	}
	for word, n := range kinds {
		assert.Greater(t, n, 10, "schedules with %s and occurrences", word)
	}
	assert.Len(t, kinds, 7)
}

func TestAWindowHoldsItsStartAndNotItsEnd(t *testing.T) {
	start, end := instant(t, "2026-03-01T00:00:00Z"), instant(t, "2026-03-01T03:00:00Z")
	s := punctual.Between(punctual.Every(time.Hour).Aligned(), start, end)
	requireOccurrences(t, s, []time.Time{start, start.Add(time.Hour), start.Add(2 * time.Hour)}, start.AddDate(-50, 0, 0), end.AddDate(50, 0, 0))
}

func TestALimitCountsFromTheBeginningOfTheDefinitionOrElseFromTheRegistration(t *testing.T) {
	day := instant(t, "2026-03-01T00:00:00Z")
	for _, test := range []struct {
		text string
		want []string // occurrences when registered on the 1st and when on the 10th
	}{
		{"daily 09:30 UTC | limit 3", []string{"1 2 3", "10 11 12"}},
		{"every 24h | limit 2", []string{"2 3", "11 12"}},
		{"every 24h from 2026-03-08T12:00:00Z | limit 3", []string{"9 10 11", "10 11"}},
		{"daily 09:30 UTC | starting 2026-03-09T09:30:00Z | limit 2", []string{"9 10", "10"}},
		{"daily 09:30 UTC | until 2026-03-12T00:00:00Z | limit 20", []string{"1 2 3 4 5 6 7 8 9 10 11", "10 11"}},
		{"daily 09:30 UTC | starting 2026-03-09T00:00:00Z | except 2026-03-10 UTC | limit 2", []string{"9 11", "11"}},
		{"union (once 2026-03-05T00:00:00Z) (every 24h from 2026-03-08T00:00:00Z) | limit 3", []string{"5 9 10", "10"}},
		{"union (once 2026-03-15T00:00:00Z) (every 24h) | limit 3", []string{"2 3 4", "11 12 13"}},
		{"plain 24h | limit 3", []string{"1 2 3", "10 11 12"}},
	} {
		s, err := punctual.ParseSchedule(test.text)
		require.NoError(t, err)
		for i, registered := range []time.Time{day, day.AddDate(0, 0, 9)} {
			var got []string
			for _, at := range punctual.Upcoming(s, registered.Add(-time.Second), 100) {
				got = append(got, fmt.Sprint(at.Add(time.Second).Day()))
			}
			assert.Equal(t, test.want[i], strings.Join(got, " "), "%s, registered on %v", test.text, registered.Day())
		}
	}
}

func TestALimitOfManyIsDecidedWithoutCountingOneByOne(t *testing.T) {
	registered := instant(t, "2026-03-01T00:00:00Z")
	s := bound(punctual.Limit(punctual.Every(time.Millisecond), 1_000_000_000), "t", registered).(punctual.Ranged)
	last := registered.Add(1_000_000_000 * time.Millisecond)
	assert.Equal(t, last, s.Prev(last.AddDate(1, 0, 0)))
	assert.Zero(t, s.Next(last))
	assert.EqualValues(t, 1_000_000_000, s.Count(registered, last.AddDate(1, 0, 0)))
}

func TestAUnionIsAnIntervalOnlyIfAllOfItAre(t *testing.T) {
	hourly, daily := punctual.Every(time.Hour), punctual.Daily("09:30", nil)
	both, ok := punctual.Union(hourly, punctual.Every(time.Minute)).(punctual.Interval)
	require.True(t, ok)
	assert.Equal(t, time.Minute, both.Interval())
	assert.False(t, both.Delayed())
	assert.NotImplements(t, (*punctual.Interval)(nil), punctual.Union(hourly, daily))
	assert.NotImplements(t, (*punctual.Interval)(nil), punctual.Limit(daily, 3))
}

func TestAJitterDependsOnTheTaskAndTheOccurrenceAndKeepsTheOrder(t *testing.T) {
	from, to := instant(t, "2026-03-01T00:00:00Z"), instant(t, "2026-03-11T00:00:00Z")
	hourly := punctual.Every(time.Hour).Aligned()
	wide, narrow := punctual.Jitter(hourly, 30*24*time.Hour), punctual.Jitter(hourly, 10*time.Minute)
	shares := make(map[time.Duration]bool)
	for _, id := range []string{"a", "b"} {
		for _, s := range []punctual.Schedule{wide, narrow} {
			all := walk(t, bound(s, id, from), from, to)
			assert.InDelta(t, 240, len(all), 1)
			for _, at := range all {
				shares[at.Sub(at.Truncate(time.Hour))] = true
			}
			requireOccurrences(t, bound(s, id, from), all, from, to)
		}
	}
	assert.Greater(t, len(shares), 950, "different tasks and occurrences have different shares")
	for share := range shares {
		assert.Less(t, share, time.Hour)
	}
	assert.Equal(t, hourly, punctual.Jitter(hourly, 0))
}

// fixed is a calendar of the host's own with one stretch.
type fixed struct{ from, to time.Time }

func (f fixed) Stretch(t time.Time) (time.Time, time.Time, bool) { return f.from, f.to, f.to.After(t) }

func (f fixed) String() string {
	return "fixed " + f.from.Format(time.RFC3339) + " " + f.to.Format(time.RFC3339)
}

func init() {
	punctual.RegisterCalendar("fixed", func(args string) (punctual.Calendar, error) {
		from, to, _ := strings.Cut(args, " ")
		begin, err := time.Parse(time.RFC3339, from)
		if err != nil {
			return nil, err
		}
		end, err := time.Parse(time.RFC3339, to)
		return fixed{begin, end}, err
	})
}

func TestACalendarOfTheHostsOwnIsLeftOut(t *testing.T) {
	from := instant(t, "2026-03-01T00:00:00Z")
	s := punctual.Except(punctual.Every(time.Hour).Aligned(), fixed{from.Add(2 * time.Hour), from.Add(4 * time.Hour)})
	again := requireRoundTrip(t, s)
	requireOccurrences(t, again, []time.Time{from.Add(time.Hour), from.Add(4 * time.Hour), from.Add(5 * time.Hour)}, from, from.Add(5*time.Hour))
	_, err := punctual.ParseSchedule("every 1h | except fixed today tomorrow")
	assert.ErrorIs(t, err, punctual.ErrInvalidSchedule)
}

// open is a calendar that breaks its contract: its stretches end where they begin.
type open struct{ fixed }

func (o open) Stretch(t time.Time) (time.Time, time.Time, bool) { return t, t, true }

func TestACalendarThatBreaksItsContractDoesNotHang(t *testing.T) {
	from := instant(t, "2026-03-01T00:00:00Z")
	s := punctual.Except(punctual.Every(time.Hour).Aligned(), open{fixed{from, from}}).(punctual.Ranged)
	assert.Equal(t, from.Add(time.Hour), s.Next(from))
	assert.Equal(t, from.Add(-time.Hour), s.Prev(from))
	assert.EqualValues(t, 24, s.Count(from, from.Add(24*time.Hour)))
}

func TestCombinationsThatCannotBeAreRefusedAndNeverFire(t *testing.T) {
	at := instant(t, "2026-03-01T00:00:00Z")
	hourly := punctual.Every(time.Hour)
	requireNever(t, punctual.Between(hourly, time.Time{}, time.Time{}), "neither start nor end")
	requireNever(t, punctual.Between(hourly, at, at), "not after its start")
	requireNever(t, punctual.Between(nil, at, time.Time{}), "missing")
	requireNever(t, punctual.Limit(hourly, 0), "between 1 and")
	requireNever(t, punctual.Limit(hourly, -1), "between 1 and")
	requireNever(t, punctual.Limit(nil, 1), "missing")
	requireNever(t, punctual.Union(), "no schedules")
	requireNever(t, punctual.Union(hourly, nil), "missing")
	requireNever(t, punctual.Union(hourly, punctual.Daily("25:00", nil)), `"25:00"`)
	requireNever(t, punctual.Except(hourly, nil), "missing")
	requireNever(t, punctual.Except(hourly, punctual.DateCalendar{}), "zero value")
	requireNever(t, punctual.Jitter(hourly, -1), "microseconds")
	requireNever(t, punctual.Jitter(hourly, 1), "microseconds")
	requireNever(t, punctual.Jitter(nil, time.Second), "missing")
	requireNever(t, punctual.Limit(punctual.Every(0), 3), "too short")
	requireNever(t, punctual.Limit(hourly.AfterCompletion(), 3), "cannot be combined")
	deep := punctual.Schedule(hourly)
	for range 8 {
		deep = punctual.Limit(deep, 3)
	}
	requireNever(t, deep, "nested")
}

func TestAHostsTextThatCouldNotBeFoundAgainIsNotCombined(t *testing.T) {
	for _, text := range []string{"odd a | b", "odd (", "odd )("} {
		requireNeverCombined(t, punctual.Limit(odd(text), 3))
		requireNeverCombined(t, punctual.Union(odd(text)))
	}
}

func requireNeverCombined(t *testing.T, s punctual.Schedule) {
	t.Helper()
	err := punctual.Task{ID: "t", Schedule: s}.Validate()
	require.ErrorContains(t, err, "cannot be combined")
}

type odd string

func (o odd) Next(after time.Time) time.Time { return after.Add(time.Hour) }
func (o odd) String() string                 { return string(o) }
