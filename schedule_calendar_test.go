package punctual_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// readings lists the next n occurrences after a wall-clock reading, each as a reading.
func readings(t testing.TB, s punctual.CalendarSchedule, after string, n int) []string {
	t.Helper()
	var found []string
	for _, at := range punctual.Upcoming(s, local(t, after, s.Location()), n) {
		found = append(found, at.Format("Mon 01-02 15:04:05 MST"))
	}
	return found
}

func TestLocalTimesThroughChangesOfTheClock(t *testing.T) {
	ny := zone(t, "America/New_York") // gap 2026-03-08 02:00 to 03:00, fold 2026-11-01 02:00 EDT to 01:00 EST
	cron := func(expr string) punctual.CalendarSchedule {
		s, err := punctual.Cron(expr, ny)
		require.NoError(t, err)
		return s
	}
	tests := []struct {
		name  string
		s     punctual.CalendarSchedule
		after string
		want  []string
	}{
		// robfig/cron#541 and the suites of gocron and go-quartz.
		{"a time in a gap", punctual.Daily("02:30", ny), "2026-03-07 12:00", []string{"Sun 03-08 03:00:00 EDT", "Mon 03-09 02:30:00 EDT"}},
		{"the same as cron", cron("30 2 * * *"), "2026-03-07 12:00", []string{"Sun 03-08 03:00:00 EDT", "Mon 03-09 02:30:00 EDT"}},
		{"a gap on a day that does not match", cron("30 2 * * 1-5"), "2026-03-07 12:00", []string{"Mon 03-09 02:30:00 EDT"}},
		{"two times that merge at a gap", punctual.Daily("02:00,03:00", ny), "2026-03-07 12:00", []string{"Sun 03-08 03:00:00 EDT", "Mon 03-09 02:00:00 EDT", "Mon 03-09 03:00:00 EDT"}},
		{"times of several expressions that merge", punctual.Daily("02:15,02:30:10,03:00,03:20", ny), "2026-03-07 12:00", []string{"Sun 03-08 03:00:00 EDT", "Sun 03-08 03:20:00 EDT", "Mon 03-09 02:15:00 EDT"}},
		{"times in a fold", punctual.Daily("01:00,01:30", ny), "2026-10-31 12:00", []string{"Sun 11-01 01:00:00 EDT", "Sun 11-01 01:30:00 EDT", "Mon 11-02 01:00:00 EST"}},
		{"a time at the end of a fold", punctual.Daily("02:00", ny), "2026-10-31 12:00", []string{"Sun 11-01 02:00:00 EST", "Mon 11-02 02:00:00 EST"}},
		{"a wildcard keeps its cadence in a fold", cron("30 * * * *"), "2026-11-01 00:00", []string{"Sun 11-01 00:30:00 EDT", "Sun 11-01 01:30:00 EDT", "Sun 11-01 01:30:00 EST", "Sun 11-01 02:30:00 EST"}},
		{"a wildcard keeps its cadence over a gap", cron("*/15 * * * *"), "2026-03-08 01:30", []string{"Sun 03-08 01:45:00 EST", "Sun 03-08 03:00:00 EDT", "Sun 03-08 03:15:00 EDT"}},
		{"weekly in a gap", punctual.Weekly("sun", "02:30", ny), "2026-03-02 00:00", []string{"Sun 03-08 03:00:00 EDT", "Sun 03-15 02:30:00 EDT"}},
		{"monthly in a gap", punctual.Monthly("2nd sun", "02:30", ny), "2026-02-09 00:00", []string{"Sun 03-08 03:00:00 EDT", "Sun 04-12 02:30:00 EDT"}},
		{"a gap that is skipped", punctual.Daily("02:30", ny).WithGap(punctual.GapSkip), "2026-03-07 12:00", []string{"Mon 03-09 02:30:00 EDT"}},
		{"a gap that shifts", punctual.Daily("02:30,03:30", ny).WithGap(punctual.GapShift), "2026-03-07 12:00", []string{"Sun 03-08 03:30:00 EDT", "Mon 03-09 02:30:00 EDT"}},
		{"the second of a fold", punctual.Daily("01:30", ny).WithFold(punctual.FoldSecond), "2026-10-31 12:00", []string{"Sun 11-01 01:30:00 EST", "Mon 11-02 01:30:00 EST"}},
		{"both of a fold", punctual.Daily("01:30", ny).WithFold(punctual.FoldBoth), "2026-10-31 12:00", []string{"Sun 11-01 01:30:00 EDT", "Sun 11-01 01:30:00 EST", "Mon 11-02 01:30:00 EST"}},
		{"a gap at midnight", punctual.Daily("00:00", zone(t, "Asia/Beirut")), "2026-03-28 12:00", []string{"Sun 03-29 01:00:00 EEST", "Mon 03-30 00:00:00 EEST"}},
		{"a gap of 30 minutes", punctual.Daily("02:15", zone(t, "Australia/Lord_Howe")), "2026-10-03 12:00", []string{"Sun 10-04 02:30:00 +11", "Mon 10-05 02:15:00 +11"}},
		{"a gap of two hours", punctual.Daily("01:30", zone(t, "Antarctica/Troll")), "2026-03-28 12:00", []string{"Sun 03-29 03:00:00 +02", "Mon 03-30 01:30:00 +02"}},
		{"a date that does not exist", punctual.Daily("12:00", zone(t, "Pacific/Apia")), "2011-12-29 00:00", []string{"Thu 12-29 12:00:00 -10", "Sat 12-31 12:00:00 +14"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, readings(t, test.s, test.after, len(test.want)))
			requireRoundTrip(t, test.s)
		})
	}
}

// Times of day against a brute-force walk through every minute around the changes of the clock, with times that no single cron expression can
// hold.
func TestSeveralTimesOfDayAgreeWithAWalkThroughEveryMinute(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	for _, name := range []string{"America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Beirut", "Antarctica/Troll", "America/Santiago", "Pacific/Apia", "Europe/Dublin", "Asia/Kathmandu"} {
		loc := zone(t, name)
		for range 12 {
			// Half of the times lie where clocks are changed.
			times := make(map[int]bool)
			text := ""
			for range 1 + random.IntN(6) {
				at := random.IntN(4 * 60)
				if random.IntN(2) == 0 {
					at = random.IntN(24*4) * 15
				}
				times[at] = true
				text += fmt.Sprintf(",%02d:%02d", at/60, at%60)
			}
			for year := 2010; year < 2013; year++ {
				for at := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).In(loc); at.Year() <= year; {
					_, transition := at.ZoneBounds()
					if transition.IsZero() {
						transition = at.AddDate(1, 0, 0)
					}
					gap, fold := punctual.Gap(random.IntN(2)), punctual.Fold(random.IntN(2)*2)
					s := punctual.Daily(text[1:], loc).WithGap(gap).WithFold(fold)
					from, to := transition.Add(-36*time.Hour).Truncate(time.Minute), transition.Add(36*time.Hour).Truncate(time.Minute)
					requireOccurrences(t, s, walkMinutes(loc, times, gap == punctual.GapAtTransition, fold == punctual.FoldBoth, from, to), from, to)
					at = transition
				}
			}
		}
	}
}

// walkMinutes lists when the clock shows one of the times, which are in minutes since midnight: of a repeated reading only the first counts unless
// both is set; readings that the clock jumped over count at the jump if gaps is set and the date is still the same.
func walkMinutes(loc *time.Location, times map[int]bool, gaps, both bool, from, to time.Time) []time.Time {
	seen := make(map[int64]bool)
	var found []time.Time
	wall := func(at time.Time) int64 { // the reading, in minutes as if it were in UTC
		y, m, d := at.In(loc).Date()
		h, mi, _ := at.In(loc).Clock()
		return time.Date(y, m, d, h, mi, 0, 0, time.UTC).Unix() / 60
	}
	const dayLength = 24 * 60
	before := wall(from.Add(-48 * time.Hour))
	for at := from.Add(-48 * time.Hour).Add(time.Minute); !at.After(to); at = at.Add(time.Minute) {
		now, fires := wall(at), false
		for r := before + 1; gaps && r < now; r++ {
			fires = fires || times[int(r%dayLength)] && r/dayLength == now/dayLength
		}
		if times[int(now%dayLength)] && (both || !seen[now]) {
			fires = true
		}
		seen[now] = true
		if fires && at.After(from) {
			found = append(found, at.UTC())
		}
		before = now
	}
	return found
}

func TestDaysOfWeeksAndMonths(t *testing.T) {
	tests := []struct{ text, canonical, after, want string }{
		{"weekly Fri,mon-WED 9:30", "weekly mon,tue,wed,fri 09:30 UTC", "2026-01-01 00:00", "Fri 01-02 Mon 01-05 Tue 01-06 Wed 01-07 Fri 01-09"},
		{"weekly sat-mon 09:30", "weekly mon,sat,sun 09:30 UTC", "2026-01-01 00:00", "Sat 01-03 Sun 01-04 Mon 01-05 Sat 01-10"},
		{"weekly Sunday 09:30", "weekly sun 09:30 UTC", "2026-01-01 00:00", "Sun 01-04 Sun 01-11"},
		{"monthly 15 09:30", "monthly 15 09:30 UTC", "2026-01-15 09:30", "Sun 02-15 Sun 03-15"},
		{"monthly 31 09:30", "monthly 31 09:30 UTC", "2026-01-31 09:30", "Tue 03-31 Sun 05-31"},
		{"monthly last 09:30", "monthly last 09:30 UTC", "2026-01-01 00:00", "Sat 01-31 Sat 02-28 Tue 03-31"},
		{"monthly last-2,LAST,15,1 09:30", "monthly 1,15,last-2,last 09:30 UTC", "2028-01-31 09:30", "Tue 02-01 Tue 02-15 Sun 02-27 Tue 02-29 Wed 03-01"},
		{"monthly last workday 09:30", "monthly last workday 09:30 UTC", "2026-01-01 00:00", "Fri 01-30 Fri 02-27 Tue 03-31"},
		{"monthly 2nd tue 09:30", "monthly 2nd tue 09:30 UTC", "2026-01-01 00:00", "Tue 01-13 Tue 02-10"},
		{"monthly last,1st Sunday 09:30", "monthly 1st,last sun 09:30 UTC", "2026-01-01 00:00", "Sun 01-04 Sun 01-25 Sun 02-01 Sun 02-22"},
		{"monthly 5th fri 09:30", "monthly 5th fri 09:30 UTC", "2026-01-01 00:00", "Fri 01-30 Fri 05-29"},
	}
	for _, test := range tests {
		s, err := punctual.ParseSchedule(test.text)
		require.NoError(t, err)
		assert.Equal(t, test.canonical, s.String())
		requireRoundTrip(t, s)
		at, got := local(t, test.after, time.UTC), ""
		for len(got) < len(test.want) {
			at = s.Next(at)
			got += at.Format(" Mon 01-02")
		}
		assert.Equal(t, test.want, got[1:], test.text)
	}
}

func TestTimesOfDayThatCannotBeReadNeverFire(t *testing.T) {
	for _, text := range []string{"", "25:00", "24:00", "9", "09:60", "09:30:60", "9:5", "009:30", "-1:30", "09:30,", "09:30 UTC", "+9:30", "09.30", "09:30:15:00", "٠٩:٣٠"} {
		requireNever(t, punctual.Daily(text, time.UTC), "is not a time of day")
		requireNever(t, punctual.Weekly("mon", text, time.UTC), "is not a time of day")
		requireNever(t, punctual.Monthly("1", text, time.UTC), "is not a time of day")
	}
	for _, text := range []string{"", "moon", "mon,", "mon-", "1", "mo"} {
		requireNever(t, punctual.Weekly(text, "09:30", nil), "is not a weekday")
	}
	for _, text := range []string{"", "0", "32", "last-0", "last-31", "first", "6th mon", "2nd", "2nd moon", "first workday", "1,,2", "1 2 3", "-1"} {
		requireNever(t, punctual.Monthly(text, "09:30", nil), "is not a day of the month")
	}
	requireNever(t, punctual.CalendarSchedule{}, "zero value")
	requireNever(t, punctual.Daily("09:30", nil).WithGap(7), "Gap(7)")
	requireNever(t, punctual.Daily("09:30", nil).WithFold(7), "Fold(7)")
}

func TestCronErrorsSayWhereAndWhatIsAllowed(t *testing.T) {
	for expr, want := range map[string]string{
		"60 * * * *":                `minute, column 1: 60 is out of range; allowed are 0-59`,
		"* * *":                     "3 fields",
		"0 0 30 2 *":                "never matches", // one peer hangs on it
		"@every 5m":                 "interval",
		"CRON_TZ= 0 9 * * *":        "time zone",
		"CRON_TZ=Mars/Base 0 9 * *": `"Mars/Base"`,
		"TZ=Local 0 9 * * *":        "Local",
		"":                          "0 fields",
	} {
		s, err := punctual.Cron(expr, nil)
		require.ErrorIs(t, err, punctual.ErrInvalidSchedule, expr)
		assert.Contains(t, err.Error(), want)
		assert.Zero(t, s.Next(time.Unix(0, 0)))
	}
}

func TestAZoneBeforeTheFieldsOverridesTheArgument(t *testing.T) {
	for _, expr := range []string{"CRON_TZ=Asia/Tokyo 0 9 * * *", "tz=Asia/Tokyo  0 9 * * * "} {
		s, err := punctual.Cron(expr, time.Local)
		require.NoError(t, err)
		assert.Equal(t, "cron 0 9 * * * Asia/Tokyo", s.String())
		assert.Equal(t, instant(t, "2026-01-01T00:00:00Z"), s.Next(instant(t, "2025-12-31T12:00:00Z")).UTC())
	}
}

func TestAHashDiffersByTaskAndStays(t *testing.T) {
	s, err := punctual.Cron("H H(1-5) * * *", nil)
	require.NoError(t, err)
	at := instant(t, "2026-01-01T00:00:00Z")
	different := make(map[time.Time]bool)
	for i := range 100 {
		id := fmt.Sprint("task ", i)
		next := s.ForTask(id).Next(at)
		assert.Equal(t, next, requireRoundTrip(t, s).(punctual.PerTask).ForTask(id).Next(at))
		assert.Contains(t, []int{1, 2, 3, 4, 5}, next.Hour())
		different[next] = true
	}
	assert.Greater(t, len(different), 60)
	plain, err := punctual.Cron("0 9 * * *", nil)
	require.NoError(t, err)
	assert.Equal(t, plain, plain.ForTask("any"))
}

func TestTheTextFormNamesAZoneThatEveryMachineFinds(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	for _, test := range []struct {
		loc  *time.Location
		want string
	}{
		{nil, "UTC"},
		{time.UTC, "UTC"},
		{berlin, "Europe/Berlin"},
		{time.FixedZone("", 2*3600), "+02:00"},
		{time.FixedZone("Europe/Berlin", -(3*3600 + 1800)), "-03:30"},
		{time.FixedZone("GMT", 0), "GMT"},
		{time.FixedZone("CET", 0), "UTC"},
	} {
		s := punctual.Daily("09:30", test.loc)
		assert.Equal(t, "daily 09:30 "+test.want, s.String())
		again := requireRoundTrip(t, s)
		at := instant(t, "2026-06-01T00:00:00Z")
		loc := test.loc
		if loc == nil {
			loc = time.UTC
		}
		assert.Equal(t, "09:30", s.Next(at).In(loc).Format("15:04"))
		assert.Equal(t, s.Next(at).UTC(), again.Next(at).UTC())
	}
	requireNever(t, punctual.Daily("09:30", time.FixedZone("odd", 3601)), `"odd"`)
	requireNever(t, punctual.Daily("09:30", time.FixedZone("far", 25*3600)), `"far"`)
	data, err := time.LoadLocationFromTZData("Europe/Berlin", tzData(t))
	require.NoError(t, err)
	requireNever(t, punctual.Daily("09:30", data), `"Europe/Berlin" is not the one`)
	_, err = punctual.Cron("0 9 * * *", data)
	assert.ErrorIs(t, err, punctual.ErrInvalidSchedule)
}

// tzData is a zone that is at UTC until 2000 and an hour ahead from then on.
func tzData(t *testing.T) []byte {
	t.Helper()
	header := func(version byte, size int) []byte {
		h := append([]byte("TZif"), version)
		h = append(h, make([]byte, 15)...)
		return append(h, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, byte(size))
	}
	types := []byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 14, 16, 0, 4}
	names := []byte("UTC\x00ONE\x00")
	at := uint32(946684800)
	block := []byte{byte(at >> 24), byte(at >> 16), byte(at >> 8), byte(at)}
	return slices.Concat(header(0, len(names)), block, types, names)
}

func TestLocalIsRefusedSinceItDiffersFromMachineToMachine(t *testing.T) {
	before := time.Local
	t.Cleanup(func() { time.Local = before })
	for _, loc := range []*time.Location{zone(t, "Local"), time.Local} {
		if loc.String() != "Local" {
			continue // a machine whose TZ says UTC
		}
		requireNever(t, punctual.Daily("09:30", loc), "Local")
		_, err := punctual.Cron("0 9 * * *", loc)
		assert.ErrorIs(t, err, punctual.ErrInvalidSchedule)
	}
	_, err := punctual.ParseSchedule("daily 09:30 Local")
	assert.ErrorContains(t, err, "name the zone")
}
