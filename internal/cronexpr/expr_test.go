package cronexpr

import (
	"sync"
	"testing"
	"time"
	_ "time/tzdata" // so that every machine knows the zones

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const newYork = "America/New_York" // gap 2026-03-08 02:00 to 03:00, fold 2026-11-01 02:00 EDT to 01:00 EST

func location(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	require.NoError(t, err)
	return loc
}

func mustParse(t testing.TB, text string, o Options) *Expr {
	t.Helper()
	e, err := Parse(text, o)
	require.NoError(t, err)
	return e
}

// local reads a wall-clock time of a zone; of two it is the first.
func local(t testing.TB, loc *time.Location, reading string) time.Time {
	t.Helper()
	at, err := time.ParseInLocation("2006-01-02 15:04:05", reading, loc)
	require.NoError(t, err)
	return at
}

// walk lists n occurrences after a local time, and checks on the way that Prev and Count agree with Next.
func walk(t testing.TB, e *Expr, after string, n int) []string {
	t.Helper()
	from := local(t, e.Location(), after)
	var list []string
	at := from
	for range n {
		next := e.Next(at)
		if next.IsZero() {
			return append(list, "never")
		}
		require.True(t, next.After(at), "%v is not after %v", next, at)
		require.EqualValues(t, 1, e.Count(at, next), "Count from %v to %v", at, next)
		require.EqualValues(t, 0, e.Count(at, next.Add(-time.Nanosecond)), "Count from %v to before %v", at, next)
		if !at.Equal(from) {
			require.Equal(t, at, e.Prev(next), "Prev of %v", next)
		}
		require.Equal(t, next, e.Prev(next.Add(time.Nanosecond)))
		list = append(list, next.Format("2006-01-02 15:04:05 MST"))
		at = next
	}
	require.EqualValues(t, len(list), e.Count(from, at))
	return list
}

func TestOccurrencesThroughChangesOfTheOffset(t *testing.T) {
	tests := []struct {
		name, text, zone, after string
		want                    []string
	}{
		// C1, fixed time in a gap: robfig/cron#541 skips the day, gocron fires at 01:30.
		{"a fixed time in a gap occurs at the transition", "30 2 * * *", newYork, "2026-03-07 12:00:00", []string{"2026-03-08 03:00:00 EDT", "2026-03-09 02:30:00 EDT"}},
		{"the day filter holds in a gap", "30 2 * * 1-5", newYork, "2026-03-07 12:00:00", []string{"2026-03-09 02:30:00 EDT"}},
		{"a time in a gap merges with one at its end", "0 2,3 * * *", newYork, "2026-03-07 12:00:00", []string{"2026-03-08 03:00:00 EDT", "2026-03-09 02:00:00 EDT", "2026-03-09 03:00:00 EDT"}},
		{"times in one gap merge", "0,10,50 2 * * *", newYork, "2026-03-07 12:00:00", []string{"2026-03-08 03:00:00 EDT", "2026-03-09 02:00:00 EDT"}},
		{"all seconds of a minute in a gap merge", "* 30 2 * * *", newYork, "2026-03-07 12:00:00", []string{"2026-03-08 03:00:00 EDT", "2026-03-09 02:30:00 EDT", "2026-03-09 02:30:01 EDT"}},
		{"a range of hours is fixed", "0 1-3 * * *", newYork, "2026-03-08 00:00:00", []string{"2026-03-08 01:00:00 EST", "2026-03-08 03:00:00 EDT", "2026-03-09 01:00:00 EDT"}},

		// C2, fixed time in a fold: three peers run it four times.
		{"a fixed time in a fold occurs at the first", "0,30 1 * * *", newYork, "2026-10-31 12:00:00", []string{"2026-11-01 01:00:00 EDT", "2026-11-01 01:30:00 EDT", "2026-11-02 01:00:00 EST"}},
		{"the end of a fold is not in it", "0 2 * * *", newYork, "2026-10-31 12:00:00", []string{"2026-11-01 02:00:00 EST", "2026-11-02 02:00:00 EST"}},

		// C3, wildcard cadence: go-quartz expires its trigger for ever.
		{"a wildcard hour occurs in both passes of a fold", "30 * * * *", newYork, "2026-11-01 00:00:00", []string{"2026-11-01 00:30:00 EDT", "2026-11-01 01:30:00 EDT", "2026-11-01 01:30:00 EST", "2026-11-01 02:30:00 EST"}},
		{"a wildcard minute needs nothing in a gap", "*/15 * * * *", newYork, "2026-03-08 01:30:00", []string{"2026-03-08 01:45:00 EST", "2026-03-08 03:00:00 EDT", "2026-03-08 03:15:00 EDT"}},
		{"a wildcard minute keeps its cadence in a fold", "*/30 * * * *", newYork, "2026-11-01 00:30:00", []string{"2026-11-01 01:00:00 EDT", "2026-11-01 01:30:00 EDT", "2026-11-01 01:00:00 EST", "2026-11-01 01:30:00 EST", "2026-11-01 02:00:00 EST"}},
		{"a wildcard hour has no occurrence for a missing one", "0 */2 * * *", newYork, "2026-03-07 23:00:00", []string{"2026-03-08 00:00:00 EST", "2026-03-08 04:00:00 EDT"}},
		{"a wildcard minute within a missing hour has none on that date", "*/20 2 * * *", newYork, "2026-03-07 02:30:00", []string{"2026-03-07 02:40:00 EST", "2026-03-09 02:00:00 EDT"}},
		{"a wildcard minute within a fixed hour occurs in both passes", "*/30 1 * * *", newYork, "2026-11-01 00:00:00", []string{"2026-11-01 01:00:00 EDT", "2026-11-01 01:30:00 EDT", "2026-11-01 01:00:00 EST", "2026-11-01 01:30:00 EST", "2026-11-02 01:00:00 EST"}},
		{"a hashed step is a wildcard", "H/30 1 * * *", newYork, "2026-11-01 00:00:00", []string{"2026-11-01 01:04:00 EDT", "2026-11-01 01:34:00 EDT", "2026-11-01 01:04:00 EST", "2026-11-01 01:34:00 EST", "2026-11-02 01:04:00 EST"}},

		{"a hashed step within a range is fixed", "H(0-59)/30 1 * * *", newYork, "2026-11-01 00:00:00", []string{"2026-11-01 01:04:00 EDT", "2026-11-01 01:34:00 EDT", "2026-11-02 01:04:00 EST"}},

		// C4, other gaps: gocron loops or shifts for ever.
		{"a gap at midnight", "0 0 * * *", "America/Santiago", "2026-09-05 12:00:00", []string{"2026-09-06 01:00:00 -03", "2026-09-07 00:00:00 -03"}},
		{"a time in a gap at midnight", "30 0 * * *", "Africa/Cairo", "2026-04-23 12:00:00", []string{"2026-04-24 01:00:00 EEST", "2026-04-25 00:30:00 EEST"}},
		{"midnight of a Sunday in Beirut", "0 0 * * SUN", "Asia/Beirut", "2026-03-28 12:00:00", []string{"2026-03-29 01:00:00 EEST", "2026-04-05 00:00:00 EEST"}},
		{"a gap across midnight leaves out the date before it", "45 23 * * *", "America/Scoresbysund", "2024-03-29 12:00:00", []string{"2024-03-29 23:45:00 -01", "2024-03-30 23:45:00 -01", "2024-03-31 23:45:00 -01"}},
		{"a gap of 30 minutes", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03 12:00:00", []string{"2026-10-04 02:30:00 +11", "2026-10-05 02:15:00 +11"}},
		{"behind a gap of 30 minutes", "45 2 * * *", "Australia/Lord_Howe", "2026-10-03 12:00:00", []string{"2026-10-04 02:45:00 +11", "2026-10-05 02:45:00 +11"}},
		{"a fold of 30 minutes", "30,45 1 * * *", "Australia/Lord_Howe", "2026-04-04 12:00:00", []string{"2026-04-05 01:30:00 +11", "2026-04-05 01:45:00 +11", "2026-04-06 01:30:00 +1030"}},
		{"a gap of two hours", "30 1,2 * * *", "Antarctica/Troll", "2026-03-28 12:00:00", []string{"2026-03-29 03:00:00 +02", "2026-03-30 01:30:00 +02"}},
		{"a swallowed date", "0 12 * * *", "Pacific/Apia", "2011-12-29 00:00:00", []string{"2011-12-29 12:00:00 -10", "2011-12-31 12:00:00 +14"}},
		{"a swallowed Friday", "0 12 * * FRI", "Pacific/Apia", "2011-12-22 00:00:00", []string{"2011-12-23 12:00:00 -10", "2012-01-06 12:00:00 +14"}},
		{"midnight behind a swallowed date", "0 0 * * *", "Pacific/Apia", "2011-12-28 12:00:00", []string{"2011-12-29 00:00:00 -10", "2011-12-31 00:00:00 +14"}},
		{"negative daylight saving time", "30 1 * * *", "Europe/Dublin", "2026-03-28 12:00:00", []string{"2026-03-29 02:00:00 IST", "2026-03-30 01:30:00 IST"}},
		{"negative daylight saving time in Ramadan", "30 2 * * *", "Africa/Casablanca", "2026-03-21 12:00:00", []string{"2026-03-22 03:00:00 +01", "2026-03-23 02:30:00 +01"}},
		{"a fold across midnight", "30 23 * * *", "America/Santiago", "2026-04-03 23:45:00", []string{"2026-04-04 23:30:00 -03", "2026-04-05 23:30:00 -04"}},
		{"a wildcard in a fold across midnight", "30 * * * *", "America/Santiago", "2026-04-04 22:45:00", []string{"2026-04-04 23:30:00 -03", "2026-04-04 23:30:00 -04", "2026-04-05 00:30:00 -04"}},
		{"a change of the zone that is no daylight saving time", "15 0 * * *", "Asia/Pyongyang", "2018-05-03 12:00:00", []string{"2018-05-04 00:15:00 KST", "2018-05-05 00:15:00 KST"}},
		{"a gap that ends at midnight belongs to no date", "45 23 4 5 *", "Asia/Pyongyang", "2017-06-01 00:00:00", []string{"2019-05-04 23:45:00 KST"}},
		{"an offset with seconds", "30 0 * * *", "Africa/Monrovia", "1972-01-05 12:00:00", []string{"1972-01-06 00:30:00 MMT", "1972-01-07 00:44:30 GMT", "1972-01-08 00:30:00 GMT"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := mustParse(t, test.text, Options{Location: location(t, test.zone)})
			assert.Equal(t, test.want, walk(t, e, test.after, len(test.want)))
		})
	}
}

func TestPolicies(t *testing.T) {
	tests := []struct {
		name, text string
		gap        Gap
		fold       Fold
		zone       string
		after      string
		want       []string
	}{
		{"GapSkip", "30 2 * * *", GapSkip, 0, newYork, "2026-03-07 12:00:00", []string{"2026-03-09 02:30:00 EDT"}},
		{"GapShift", "30 2 * * *", GapShift, 0, newYork, "2026-03-07 12:00:00", []string{"2026-03-08 03:30:00 EDT", "2026-03-09 02:30:00 EDT"}},
		{"GapShift merges", "15,30 2,3 * * *", GapShift, 0, newYork, "2026-03-07 12:00:00", []string{"2026-03-08 03:15:00 EDT", "2026-03-08 03:30:00 EDT", "2026-03-09 02:15:00 EDT"}},
		{"GapShift interleaves", "0 15 2,3 * * *", GapShift, 0, "Australia/Lord_Howe", "2026-10-03 12:00:00", []string{"2026-10-04 02:45:00 +11", "2026-10-04 03:15:00 +11", "2026-10-05 02:15:00 +11"}},
		{"GapShift of two hours", "30 1,2 * * *", GapShift, 0, "Antarctica/Troll", "2026-03-28 12:00:00", []string{"2026-03-29 03:30:00 +02", "2026-03-29 04:30:00 +02", "2026-03-30 01:30:00 +02"}},
		{"GapShift keeps the date", "0 12 * * *", GapShift, 0, "Pacific/Apia", "2011-12-29 00:00:00", []string{"2011-12-29 12:00:00 -10", "2011-12-31 12:00:00 +14"}},
		{"FoldSecond", "0,30 1 * * *", 0, FoldSecond, newYork, "2026-10-31 12:00:00", []string{"2026-11-01 01:00:00 EST", "2026-11-01 01:30:00 EST", "2026-11-02 01:00:00 EST"}},
		{"FoldBoth", "0,30 1 * * *", 0, FoldBoth, newYork, "2026-10-31 12:00:00", []string{"2026-11-01 01:00:00 EDT", "2026-11-01 01:30:00 EDT", "2026-11-01 01:00:00 EST", "2026-11-01 01:30:00 EST", "2026-11-02 01:00:00 EST"}},
		{"a wildcard has no use for them", "30 * * * *", GapShift, FoldSecond, newYork, "2026-11-01 00:30:00", []string{"2026-11-01 01:30:00 EDT", "2026-11-01 01:30:00 EST", "2026-11-01 02:30:00 EST"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := mustParse(t, test.text, Options{Location: location(t, test.zone), Gap: test.gap, Fold: test.fold})
			assert.Equal(t, test.want, walk(t, e, test.after, len(test.want)))
		})
	}
}

func TestFields(t *testing.T) {
	// 2026-01-01 is a Thursday.
	tests := []struct {
		text, after string
		want        []string
	}{
		{"0 9 * * MON-FRI", "2026-01-01 09:00:00", []string{"2026-01-02 09:00:00", "2026-01-05 09:00:00"}},
		{"0 9 * * fri-mon", "2026-01-01 00:00:00", []string{"2026-01-02 09:00:00", "2026-01-03 09:00:00", "2026-01-04 09:00:00", "2026-01-05 09:00:00", "2026-01-09 09:00:00"}},
		{"0 0 * * 5-7", "2026-01-01 00:00:00", []string{"2026-01-02 00:00:00", "2026-01-03 00:00:00", "2026-01-04 00:00:00", "2026-01-09 00:00:00"}},
		{"0 0 * * 7-1", "2026-01-01 00:00:00", []string{"2026-01-04 00:00:00", "2026-01-05 00:00:00", "2026-01-11 00:00:00"}},
		{"0 0 * * 0-7", "2026-01-01 00:00:00", []string{"2026-01-02 00:00:00", "2026-01-03 00:00:00"}},
		{"0 0 * * Sunday", "2026-01-01 00:00:00", []string{"2026-01-04 00:00:00", "2026-01-11 00:00:00"}},
		{"0 22-2 * * *", "2026-01-01 02:00:00", []string{"2026-01-01 22:00:00", "2026-01-01 23:00:00", "2026-01-02 00:00:00", "2026-01-02 01:00:00", "2026-01-02 02:00:00", "2026-01-02 22:00:00"}},
		{"0 22-2/2 * * *", "2026-01-01 02:00:00", []string{"2026-01-01 22:00:00", "2026-01-02 00:00:00", "2026-01-02 02:00:00", "2026-01-02 22:00:00"}},
		{"5/20 * * * *", "2026-01-01 00:00:00", []string{"2026-01-01 00:05:00", "2026-01-01 00:25:00", "2026-01-01 00:45:00", "2026-01-01 01:05:00"}},
		{"10-30/10,55 7 * * *", "2026-01-01 00:00:00", []string{"2026-01-01 07:10:00", "2026-01-01 07:20:00", "2026-01-01 07:30:00", "2026-01-01 07:55:00", "2026-01-02 07:10:00"}},
		{"*/25 30 12 * * *", "2026-01-01 00:00:00", []string{"2026-01-01 12:30:00", "2026-01-01 12:30:25", "2026-01-01 12:30:50", "2026-01-02 12:30:00"}},
		{"0 0 1 NOV-FEB *", "2026-01-01 00:00:00", []string{"2026-02-01 00:00:00", "2026-11-01 00:00:00", "2026-12-01 00:00:00", "2027-01-01 00:00:00"}},
		{"0 0 29 2 *", "2026-01-01 00:00:00", []string{"2028-02-29 00:00:00", "2032-02-29 00:00:00"}},
		{"0 0 29 2 ?", "2096-03-01 00:00:00", []string{"2104-02-29 00:00:00"}},
		{"0 0 L * *", "2026-01-01 00:00:00", []string{"2026-01-31 00:00:00", "2026-02-28 00:00:00", "2026-03-31 00:00:00", "2026-04-30 00:00:00"}},
		{"0 0 L-3 2 *", "2026-01-01 00:00:00", []string{"2026-02-25 00:00:00", "2027-02-25 00:00:00", "2028-02-26 00:00:00"}},
		{"0 0 LW * *", "2026-01-01 00:00:00", []string{"2026-01-30 00:00:00", "2026-02-27 00:00:00", "2026-03-31 00:00:00"}},
		{"0 0 15W * *", "2026-01-01 00:00:00", []string{"2026-01-15 00:00:00", "2026-02-16 00:00:00", "2026-03-16 00:00:00", "2026-04-15 00:00:00", "2026-05-15 00:00:00", "2026-06-15 00:00:00", "2026-07-15 00:00:00", "2026-08-14 00:00:00"}},
		{"0 0 1W * *", "2026-07-15 00:00:00", []string{"2026-08-03 00:00:00", "2026-09-01 00:00:00", "2026-10-01 00:00:00", "2026-11-02 00:00:00"}},
		{"0 0 31W * *", "2026-01-01 00:00:00", []string{"2026-01-30 00:00:00", "2026-03-31 00:00:00", "2026-05-29 00:00:00"}},
		{"0 0 L-2W * *", "2026-01-01 00:00:00", []string{"2026-01-29 00:00:00", "2026-02-26 00:00:00", "2026-03-30 00:00:00"}},
		{"0 0 * * 5#2", "2026-01-01 00:00:00", []string{"2026-01-09 00:00:00", "2026-02-13 00:00:00"}},
		{"0 0 * * fri#5", "2026-01-01 00:00:00", []string{"2026-01-30 00:00:00", "2026-05-29 00:00:00"}},
		{"0 0 * * 5L", "2026-01-01 00:00:00", []string{"2026-01-30 00:00:00", "2026-02-27 00:00:00"}},
		{"0 0 * * FRIL,7#1", "2026-01-01 00:00:00", []string{"2026-01-04 00:00:00", "2026-01-30 00:00:00", "2026-02-01 00:00:00"}},
		{"0 0 1 * MON", "2026-01-01 00:00:00", []string{"2026-01-05 00:00:00", "2026-01-12 00:00:00", "2026-01-19 00:00:00", "2026-01-26 00:00:00", "2026-02-01 00:00:00", "2026-02-02 00:00:00"}},
		{"0 0 L 2 1", "2026-01-01 00:00:00", []string{"2026-02-02 00:00:00", "2026-02-09 00:00:00", "2026-02-16 00:00:00", "2026-02-23 00:00:00", "2026-02-28 00:00:00", "2027-02-01 00:00:00"}},
		// Vixie cron's star fields: the first character decides.
		{"0 0 */2 * MON", "2026-01-01 00:00:00", []string{"2026-01-05 00:00:00", "2026-01-19 00:00:00", "2026-02-09 00:00:00"}},
		{"0 0 1-7 * */7", "2026-01-01 00:00:00", []string{"2026-01-04 00:00:00", "2026-02-01 00:00:00"}},
		{"0 0 29 2 */7", "2026-01-01 00:00:00", []string{"2032-02-29 00:00:00", "2060-02-29 00:00:00", "2088-02-29 00:00:00", "2128-02-29 00:00:00", "2156-02-29 00:00:00", "2184-02-29 00:00:00", "never"}},
		{"0 0 0 1 1 ? 2028/10", "2026-01-01 00:00:00", []string{"2028-01-01 00:00:00", "2038-01-01 00:00:00"}},
		{"0 0 0 1 1 * 2027,2030-2031", "2026-01-01 00:00:00", []string{"2027-01-01 00:00:00", "2030-01-01 00:00:00", "2031-01-01 00:00:00", "never"}},
		{"0 0 12 * * * 2027", "2027-12-30 00:00:00", []string{"2027-12-30 12:00:00", "2027-12-31 12:00:00", "never"}},
		{"@hourly", "2026-01-01 00:00:00", []string{"2026-01-01 01:00:00"}},
		{"@daily", "2026-01-01 00:00:00", []string{"2026-01-02 00:00:00"}},
		{"@Midnight", "2026-01-01 00:00:00", []string{"2026-01-02 00:00:00"}},
		{"@weekly", "2026-01-01 00:00:00", []string{"2026-01-04 00:00:00"}},
		{"@monthly", "2026-01-01 00:00:00", []string{"2026-02-01 00:00:00"}},
		{"@yearly", "2026-01-01 00:00:00", []string{"2027-01-01 00:00:00"}},
		{"@annually", "2026-01-01 00:00:00", []string{"2027-01-01 00:00:00"}},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			e := mustParse(t, test.text, Options{})
			for i, w := range test.want {
				if w != "never" {
					test.want[i] = w + " UTC"
				}
			}
			assert.Equal(t, test.want, walk(t, e, test.after, len(test.want)))
		})
	}
}

func TestParseTellsFieldColumnAndWhatIsAllowed(t *testing.T) {
	tests := []struct {
		text, field string
		column      int
		reason      string
	}{
		// C5, never: one peer hangs in Next.
		{"0 0 30 2 *", "day of month", 5, "never matches"},
		{"0 0 31 2,4,6,9,11 *", "day of month", 5, "never matches"},
		{"0 0 0 29 2 ? 2026", "day of month", 7, "never matches"},
		{"0 0 0 29 2 ? 2100", "day of month", 7, "never matches"},
		{"0 0 31W 4 *", "day of month", 5, "never matches"},
		{"0 0 L-30 2 *", "day of month", 5, "never matches"},
		{"0 0 * 2 1#5", "", 0, ""}, // five Mondays: a leap year's February that begins with one
		{"0 0 0 * 2 1#5 2026", "day of month", 7, "never matches"},
		{"", "", 1, "0 fields; allowed are 5 (minute, hour, day of month, month, day of week), 6"},
		{"* * * *", "", 8, "4 fields"},
		{"* * * * * * * *", "", 15, "8 fields"},
		{"60 * * * *", "minute", 1, "60 is out of range; allowed are 0-59"},
		{"  *  24 * * *", "hour", 6, "24 is out of range; allowed are 0-23"},
		{"* * 0 * *", "day of month", 5, "allowed are 1-31"},
		{"* * * 13 *", "month", 7, "allowed are 1-12 and JAN-DEC"},
		{"* * * foo *", "month", 7, `"foo" is not allowed; allowed are 1-12 and JAN-DEC`},
		{"* * * * 8", "day of week", 9, "allowed are 0-7 and SUN-SAT"},
		{"* * * * L", "day of week", 9, "L needs a weekday"},
		{"* * * * 5#6", "day of week", 11, "allowed behind # are 1-5"},
		{"* * * * * * 1969", "year", 13, "allowed are 1970-2199"},
		{"* * * * * * 2030-2020", "year", 18, "2020 lies before 2030"},
		{"* * * * * * H", "year", 13, "H is not for years"},
		{"*/0 * * * *", "minute", 3, "allowed are 1-60"},
		{"*/90 * * * *", "minute", 3, "allowed are 1-60"},
		{"1,,2 * * * *", "minute", 3, "a value is missing"},
		{"1, * * * *", "minute", 3, "a value is missing"},
		{"1- * * * *", "minute", 3, "a value is missing"},
		{"-1 * * * *", "minute", 1, `"-1" is not allowed`},
		{"1-2-3 * * * *", "minute", 4, `unexpected "-3"`},
		{"99999999999999999999 * * * *", "minute", 1, "out of range"},
		{"? * * * *", "minute", 1, "? stands in the two day fields only"},
		{"* * L-31 * *", "day of month", 7, "allowed behind L- are 1-30"},
		{"* * L/2 * *", "day of month", 6, `"L" takes no step`},
		{"H(1- * * * *", "minute", 5, "a value is missing"},
		{"H(1-2 * * * *", "minute", 6, "ends with )"},
		{"H(1) * * * *", "minute", 4, "H(0-59)"},
		{"CRON_TZ=Mars/Olympus * * * * *", "time zone", 9, `"Mars/Olympus" is not known`},
		{"TZ= * * * * *", "time zone", 4, "behind TZ="},
		{"TZ=UTC", "", 7, "0 fields"},
		{"é * * * *", "minute", 1, `"é" is not allowed`},
		{"\u00a0* é * * *", "hour", 4, `"é" is not allowed`},
		{"@often", "", 1, "allowed are @hourly"},
		{"@every 1h", "", 1, "is an interval"},
		{"TZ=UTC @every", "", 8, "is an interval"},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			e, err := Parse(test.text, Options{})
			if test.reason == "" {
				require.NoError(t, err)
				return
			}
			require.Nil(t, e)
			var fault *Error
			require.ErrorAs(t, err, &fault)
			assert.Equal(t, test.text, fault.Text)
			assert.Equal(t, test.field, fault.Field)
			assert.Equal(t, test.column, fault.Column)
			assert.Contains(t, fault.Reason, test.reason)
		})
	}
}

func TestParseRefusesWhatAZoneNeverShows(t *testing.T) {
	for text, o := range map[string]Options{
		"0 0 12 30 12 ? 2011":    {Location: location(t, "Pacific/Apia")},
		"0 */30 2 8 3 ? 2026":    {Location: location(t, newYork)},
		"0 30 2 8 3 ? 2026":      {Location: location(t, newYork), Gap: GapSkip},
		"0 45 23 29 12 ? 9":      {},
		"0 0 0 1 1 ? 2026-2025":  {},
		"* * * * * * * ":         {Gap: 3},
		"* * * * * * *":          {Fold: 3},
		"* * * * *\xff":          {},
		"0 0 0 30 12 ? 2011 ":    {Location: location(t, "Pacific/Apia")},
		"0 0 0 30,31 2 ? 2011-3": {},
	} {
		_, err := Parse(text, o)
		assert.Error(t, err, text)
	}
}

func TestZonePrefixWinsOverTheOption(t *testing.T) {
	for _, text := range []string{"CRON_TZ=Europe/Berlin 0  9 * *\t1-5", " TZ=Europe/Berlin 0 9 * * 1-5 "} {
		e := mustParse(t, text, Options{Location: location(t, newYork)})
		assert.Equal(t, "Europe/Berlin", e.Location().String())
		assert.Equal(t, "0 9 * * 1-5", e.String())
		assert.Equal(t, "2026-01-02 09:00:00 CET", e.Next(time.Date(2026, 1, 1, 9, 0, 0, 0, time.UTC)).Format("2006-01-02 15:04:05 MST"))
	}
}

func TestEveryIsRecognised(t *testing.T) {
	d, is, err := ParseEvery(" @Every 1h30m ")
	require.NoError(t, err)
	assert.True(t, is)
	assert.Equal(t, 90*time.Minute, d)

	for _, text := range []string{"", "@hourly", "* * * * *", "every 1h"} {
		_, is, err := ParseEvery(text)
		require.NoError(t, err)
		assert.False(t, is, text)
	}
	for text, column := range map[string]int{"@every": 1, "@every soon": 8, "@every 0s": 8, "@every -1h": 8, "@every 1h 5m": 11, "TZ=UTC @every 1h": 4} {
		_, is, err := ParseEvery(text)
		assert.True(t, is, text)
		var fault *Error
		require.ErrorAs(t, err, &fault, text)
		assert.Equal(t, column, fault.Column, text)
	}
}

func TestNextEndsAtTheEndOfTheCoveredYears(t *testing.T) {
	for _, zone := range []string{"UTC", newYork, "Pacific/Kiritimati", "Pacific/Pago_Pago"} {
		loc := location(t, zone)
		e := mustParse(t, "0 12 * * *", Options{Location: loc})
		first, last := time.Date(1970, 1, 1, 12, 0, 0, 0, loc), time.Date(2199, 12, 31, 12, 0, 0, 0, loc)
		assert.Equal(t, first, e.Next(time.Time{}))
		assert.Equal(t, last, e.Next(last.Add(-time.Second)))
		assert.True(t, e.Next(last).IsZero())
		assert.True(t, e.Prev(first).IsZero())
		assert.Equal(t, last, e.Prev(time.Unix(1<<60, 0)))
		assert.True(t, e.Prev(time.Time{}).IsZero())
		assert.True(t, e.Next(time.Unix(1<<62, 0)).IsZero())
	}
}

func TestFixedZonesMayBeAsFarFromUTCAsTheyLike(t *testing.T) {
	for _, days := range []int{-40, -2, 2, 40} {
		shift := time.Duration(days) * 24 * time.Hour
		for _, text := range []string{"0 0 29 2 *", "0 12 1 1 *", "30 * * * *"} {
			far := mustParse(t, text, Options{Location: time.FixedZone("far", days*secondsPerDay)})
			near := mustParse(t, text, Options{})
			at := time.Date(2026, 1, 20, 0, 0, 0, 0, time.UTC)
			for range 30 {
				next := near.Next(at)
				require.True(t, next.Add(-shift).Equal(far.Next(at.Add(-shift))), "%s after %v, %d days off", text, at, days)
				require.True(t, near.Prev(at).Add(-shift).Equal(far.Prev(at.Add(-shift))), "%s before %v, %d days off", text, at, days)
				at = next
			}
		}
	}
}

func TestExpressionsCanBeSharedByGoroutines(t *testing.T) {
	e := mustParse(t, "30 2 * * *", Options{Location: location(t, newYork)})
	first := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	want := mustParse(t, "30 2 * * *", Options{Location: location(t, newYork)}).Count(first, first.AddDate(20, 0, 0))
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			var n int64
			for at := e.Next(first); at.Before(first.AddDate(20, 0, 0)); at = e.Next(at) {
				n++
			}
			assert.Equal(t, want, n)
			assert.Equal(t, want, e.Count(first, first.AddDate(20, 0, 0)))
		})
	}
	group.Wait()
}

func TestTheEpochIsAnInstantLikeAnyOther(t *testing.T) {
	e := mustParse(t, "30 12 * * *", Options{})
	assert.EqualValues(t, 45000, e.Next(time.Unix(-1, 0)).Unix())
	assert.True(t, e.Prev(time.Unix(1, 0)).IsZero())
	assert.Zero(t, mustParse(t, "@daily", Options{}).Next(time.Unix(-1, 0)).Unix())
	assert.Zero(t, mustParse(t, "@daily", Options{}).Prev(time.Unix(1, 0)).Unix())
}

func TestInstantsBetweenSecondsRoundTheRightWay(t *testing.T) {
	e := mustParse(t, "* * * * * *", Options{})
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	assert.Equal(t, at, e.Next(at.Add(-1)))
	assert.Equal(t, at.Add(time.Second), e.Next(at))
	assert.Equal(t, at.Add(time.Second), e.Next(at.Add(1)))
	assert.Equal(t, at.Add(-time.Second), e.Prev(at))
	assert.Equal(t, at, e.Prev(at.Add(1)))
	assert.EqualValues(t, 1, e.Count(at.Add(-1), at))
	assert.EqualValues(t, 0, e.Count(at, at.Add(1)))
	assert.EqualValues(t, 0, e.Count(at.Add(5), at))
}
