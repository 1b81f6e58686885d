package punctual_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// stretches lists the stretches that end after from and begin before to, as local readings.
func stretches(t *testing.T, c punctual.Calendar, from, to time.Time, loc *time.Location) string {
	t.Helper()
	var found []string
	for {
		begin, end, ok := c.Stretch(from)
		if !ok || !begin.Before(to) {
			return strings.Join(found, ", ")
		}
		require.True(t, end.After(begin) && end.After(from), "%s: the stretch [%v, %v) after %v", c, begin, end, from)
		require.True(t, len(found) == 0 || !begin.Before(from), "%s: stretches that overlap at %v", c, from)
		found = append(found, begin.In(loc).Format("2006-01-02 15:04")+" to "+end.In(loc).Format("2006-01-02 15:04"))
		from = end
	}
}

func TestDatesLastFromMidnightToMidnight(t *testing.T) {
	for _, test := range []struct{ dates, zone, from, to, want string }{
		{"2026-12-25,2026-12-26", "Europe/Berlin", "2026-01-01", "2030-01-01", "2026-12-25 00:00 to 2026-12-27 00:00"},
		{"12-24..01-02", "UTC", "2026-12-30", "2027-12-25", "2026-12-24 00:00 to 2027-01-03 00:00, 2027-12-24 00:00 to 2028-01-03 00:00"},
		{"02-29", "UTC", "2095-01-01", "2105-01-01", "2096-02-29 00:00 to 2096-03-01 00:00, 2104-02-29 00:00 to 2104-03-01 00:00"},
		{"sat,sun,2026-03-09", "America/New_York", "2026-03-06", "2026-03-14", "2026-03-07 00:00 to 2026-03-10 00:00"},
		{"2026-12-28..2027-01-03,01-04,mon", "UTC", "2026-12-25", "2027-01-08", "2026-12-28 00:00 to 2027-01-05 00:00"},
		{"2026-03-29", "Asia/Beirut", "2026-01-01", "2030-01-01", "2026-03-29 01:00 to 2026-03-30 00:00"}, // midnight is in a gap
		{"2011-12-30", "Pacific/Apia", "2011-01-01", "2030-01-01", ""},                                    // the date was left out
		{"2011-12-29,2011-12-31", "Pacific/Apia", "2011-01-01", "2030-01-01", "2011-12-29 00:00 to 2011-12-31 00:00, 2011-12-31 00:00 to 2012-01-01 00:00"},
		{"2006-10-29", "America/St_Johns", "2006-01-01", "2030-01-01", "2006-10-29 00:00 to 2006-10-30 00:00"}, // 00:01 became 23:01 of the day before
		{"9999-12-31", "UTC", "2026-01-01", "9999-12-31", ""},
	} {
		loc := zone(t, test.zone)
		c := punctual.Dates(loc, strings.Split(test.dates, ",")...)
		from, to := local(t, test.from+" 00:00", loc), local(t, test.to+" 00:00", loc)
		assert.Equal(t, test.want, stretches(t, c, from, to, loc), "%s", c)
		again, err := punctual.ParseCalendar(c.String())
		require.NoError(t, err)
		assert.Equal(t, c, again)
	}
}

func TestTheHourThatComesTwiceOverMidnightBelongsToTheLaterDate(t *testing.T) {
	loc := zone(t, "America/St_Johns") // on 2006-10-29 at 00:01 the clock went back to 23:01 of the 28th
	c := punctual.Dates(loc, "2006-10-29")
	midnight := time.Date(2006, 10, 29, 2, 30, 0, 0, time.UTC)
	for _, test := range []struct {
		at   time.Time
		want bool
	}{
		{midnight.Add(-time.Second), false},
		{midnight, true},
		{midnight.Add(30 * time.Minute), true}, // 23:30, the second time
		{midnight.Add(25*time.Hour - time.Second), true},
		{midnight.Add(25 * time.Hour), false},
	} {
		s := punctual.Except(punctual.Once(test.at), c)
		assert.Equal(t, test.want, s.Next(test.at.Add(-time.Hour)).IsZero(), "%v", test.at.In(loc))
	}
}

func TestTheTextFormOfDatesIsShort(t *testing.T) {
	for text, want := range map[string]string{
		"sun,2026-12-26, 2026-12-25,SAT":               "sat,sun,2026-12-25..2026-12-26 UTC",
		"12-24..01-02 Europe/Berlin":                   "01-01..01-02,12-24..12-31 Europe/Berlin",
		"02-28..03-01":                                 "02-28..03-01 UTC",
		"2026-01-05..2026-01-09,2026-01-07,2026-01-10": "2026-01-05..2026-01-10 UTC",
		"monday +02:00":                                "mon +02:00",
	} {
		c, err := punctual.ParseCalendar(text)
		require.NoError(t, err)
		assert.Equal(t, want, c.String())
	}
}

func TestDatesThatCannotBeReadAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"2026-02-29":                      "is not a date",
		"02-30":                           "is not a date",
		"2026-12-26..2026-12-25":          "is not a date",
		"2026-12-26..12-27":               "is not a date",
		"12-26..2026-12-27":               "is not a date",
		"0000-12-26":                      "is not a date",
		",":                               "is not a date",
		"":                                "not a calendar",
		"christmas":                       "is not a date",
		"mon-fri":                         "is not a date",
		"mon,tue,wed,thu,fri,sat,sun":     "all dates",
		"03-01..02-29":                    "all dates",
		"2026-12-25,2026-12-26 Mars/Base": "Mars/Base",
		"2026-12-25 and 2026-12-26":       "not a calendar",
	} {
		_, err := punctual.ParseCalendar(text)
		require.ErrorIs(t, err, punctual.ErrInvalidSchedule, text)
		assert.ErrorContains(t, err, want)
	}
	for _, c := range []punctual.DateCalendar{{}, punctual.Dates(nil), punctual.Dates(nil, "x"), punctual.Dates(time.FixedZone("odd", 1), "mon")} {
		_, _, ok := c.Stretch(time.Unix(0, 0))
		assert.False(t, ok)
		assert.Equal(t, "nothing", c.Explain())
		requireNever(t, punctual.Except(punctual.Every(time.Hour), c), "")
	}
}

func TestExceptionsWithoutAZoneMeanThatOfTheSchedule(t *testing.T) {
	for text, want := range map[string]string{
		"daily 09:30 Europe/Berlin | except 12-25":                                            "daily 09:30 Europe/Berlin | except 12-25 Europe/Berlin",
		"daily 09:30 Europe/Berlin | jitter 5m | except 12-25":                                "daily 09:30 Europe/Berlin | jitter 5m | except 12-25 Europe/Berlin",
		"daily 09:30 Europe/Berlin | except 12-25 UTC":                                        "daily 09:30 Europe/Berlin | except 12-25 UTC",
		"every 1h | except 12-25":                                                             "every 1h | except 12-25 UTC",
		"union (daily 09:30 Europe/Berlin) (daily 09:30 Asia/Tokyo) | except 12-25":           "union (daily 09:30 Europe/Berlin) (daily 09:30 Asia/Tokyo) | except 12-25 UTC",
		"union (daily 09:30 Europe/Berlin) (daily 10:30 Europe/Berlin) | except 12-25, 12-26": "union (daily 09:30 Europe/Berlin) (daily 10:30 Europe/Berlin) | except 12-25..12-26 Europe/Berlin",
	} {
		s, err := punctual.ParseSchedule(text)
		require.NoError(t, err)
		assert.Equal(t, want, s.String())
	}
}
