package punctual_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// scheduleTexts are texts of every kind, with their canonical form and the same in words.
var scheduleTexts = []struct{ text, canonical, words string }{
	{"every 90m", "every 1h30m", "every 1h30m, counted from the registration"},
	{"EVERY 1w2d", "every 216h", "every 216h, counted from the registration"},
	{"every 1d12h30s", "every 36h0m30s", "every 36h0m30s, counted from the registration"},
	{"  every   1.5s\taligned ", "every 1.5s aligned", "every 1.5s, at multiples of it since 1970"},
	{"every 5m after  completion", "every 5m after completion", "every 5m after the end of the run before"},
	{"every 1h from 2026-01-01T01:30:00.5+01:00", "every 1h from 2026-01-01T00:30:00.5Z", "every 1h after 2026-01-01 00:30:00.5 UTC"},
	{"@every 5m", "every 5m", "every 5m, counted from the registration"},
	{"once 2027-01-01T00:00:00+02:00", "once 2026-12-31T22:00:00Z", "once, on 2026-12-31 22:00:00 UTC"},
	{"daily 9:30", "daily 09:30 UTC", "every day at 09:30, UTC"},
	{"daily 17:00, 09:30:15,17:00 Europe/Berlin", "daily 09:30:15,17:00 Europe/Berlin", "every day at 09:30:15 and 17:00, Europe/Berlin"},
	{"daily 09:30 utc fold=first gap=transition", "daily 09:30 UTC", "every day at 09:30, UTC"},
	{
		"daily 09:30 +02:00 fold=both gap=skip", "daily 09:30 +02:00 gap=skip fold=both",
		"every day at 09:30, +02:00; times that the clocks jump over are dropped; times that come twice count both times",
	},
	{"weekly mon,fri 09:30 Europe/Berlin", "weekly mon,fri 09:30 Europe/Berlin", "every Monday and Friday at 09:30, Europe/Berlin"},
	{"weekly mon, wed, fri 09:30, 17:00", "weekly mon,wed,fri 09:30,17:00 UTC", "every Monday, Wednesday and Friday at 09:30 and 17:00, UTC"},
	{"monthly 1,last-1,last 09:30 UTC", "monthly 1,last-1,last 09:30 UTC", "on the 1st, 1st day before the last and last day of each month at 09:30, UTC"},
	{"monthly 2nd Tuesday 09:30", "monthly 2nd tue 09:30 UTC", "on the 2nd Tuesday of each month at 09:30, UTC"},
	{"monthly last workday 09:30", "monthly last workday 09:30 UTC", "on the last workday of each month at 09:30, UTC"},
	{
		"monthly 22,3,12 02:30 Europe/Berlin gap=shift fold=second", "monthly 3,12,22 02:30 Europe/Berlin gap=shift fold=second",
		"on the 3rd, 12th and 22nd of each month at 02:30, Europe/Berlin; times that the clocks jump over occur later by the length of the jump; " +
			"times that come twice count the second time",
	},
	{"cron 0 9 * * 1-5 Europe/Berlin", "cron 0 9 * * 1-5 Europe/Berlin", "at 09:00 on Monday to Friday, Europe/Berlin"},
	{"cron 0 9 * * MON-FRI", "cron 0 9 * * MON-FRI UTC", "at 09:00 on Monday to Friday, UTC"},
	{"cron 0 9 LW * ?", "cron 0 9 LW * ? UTC", "at 09:00 on the last weekday of the month, UTC"},
	{"cron 0 9 * jan,December 5L", "cron 0 9 * jan,December 5L UTC", "at 09:00 on the last Friday of the month, in January and December, UTC"},
	{"cron 0 9 * * friL", "cron 0 9 * * friL UTC", "at 09:00 on the last Friday of the month, UTC"},
	{"cron 0 0 9 * * 1 2030 W-SU", "cron 0 0 9 * * 1 2030 W-SU", "at 09:00 on Monday, in 2030, W-SU"},
	{"cron 0 9 * * * MET", "cron 0 9 * * * MET", "at 09:00 every day, MET"},
	{"cron 0 9 * * * -03:30", "cron 0 9 * * * -03:30", "at 09:00 every day, -03:30"},
	{"cron @daily Europe/Berlin", "cron @daily Europe/Berlin", "at 00:00 every day, Europe/Berlin"},
	{"cron CRON_TZ=Asia/Tokyo 0 9 * * *", "cron 0 9 * * * Asia/Tokyo", "at 09:00 every day, Asia/Tokyo"},
	{"@hourly", "cron @hourly UTC", "at minute 0 of every hour, UTC"},
	{"@Daily Europe/Berlin", "cron @daily Europe/Berlin", "at 00:00 every day, Europe/Berlin"},
	{"CRON_TZ=Asia/Tokyo  0 9 * * *", "cron 0 9 * * * Asia/Tokyo", "at 09:00 every day, Asia/Tokyo"},
	{"*/15 * * * *", "cron */15 * * * * UTC", "every 15 minutes, UTC"},
	{"0 9 * * 1-5 Europe/Berlin", "cron 0 9 * * 1-5 Europe/Berlin", "at 09:00 on Monday to Friday, Europe/Berlin"},
	{
		"every 30m | between 2027-01-01T00:00:00Z and 2028-01-01T01:00:00+01:00", "every 30m | between 2027-01-01T00:00:00Z and 2028-01-01T00:00:00Z",
		"every 30m, counted from the registration, from 2027-01-01 00:00:00 UTC on, before 2028-01-01 00:00:00 UTC",
	},
	{
		"daily 09:30|starting 2027-01-01T00:00:00Z", "daily 09:30 UTC | starting 2027-01-01T00:00:00Z",
		"every day at 09:30, UTC, from 2027-01-01 00:00:00 UTC on",
	},
	{
		"daily 09:30 | until 2027-01-01T00:00:00Z", "daily 09:30 UTC | until 2027-01-01T00:00:00Z",
		"every day at 09:30, UTC, before 2027-01-01 00:00:00 UTC",
	},
	{"daily 09:30 | limit 10", "daily 09:30 UTC | limit 10", "every day at 09:30, UTC, 10 times"},
	{"daily 09:30 | Limit 1", "daily 09:30 UTC | limit 1", "every day at 09:30, UTC, once"},
	{"daily 09:30 | jitter 90s", "daily 09:30 UTC | jitter 1m30s", "every day at 09:30, UTC, later by up to 1m30s"},
	{"daily 09:30 | jitter 0s", "daily 09:30 UTC", "every day at 09:30, UTC"},
	{
		"daily 09:30 | except sat,sun,12-24..12-26,2027-03-26 Europe/Berlin", "daily 09:30 UTC | except sat,sun,12-24..12-26,2027-03-26 Europe/Berlin",
		"every day at 09:30, UTC, except Saturday, Sunday, 12-24 to 12-26 and 2027-03-26 in Europe/Berlin",
	},
	{
		"daily 09:30 | except 01-02,02-02,03-02,04-02,05-02,06-02,07-02,08-02,09-02,10-02,11-02,12-02",
		"daily 09:30 UTC | except 01-02,02-02,03-02,04-02,05-02,06-02,07-02,08-02,09-02,10-02,11-02,12-02 UTC",
		"every day at 09:30, UTC, except 01-02, 02-02, 03-02, 04-02, 05-02, 06-02, 07-02, 08-02, 09-02 and 3 more in UTC",
	},
	{
		"union (daily 09:30 Europe/Berlin) ( (every 1h | limit 3) )", "union (daily 09:30 Europe/Berlin) (every 1h | limit 3)",
		"every day at 09:30, Europe/Berlin; and every 1h, counted from the registration, 3 times",
	},
	{"union (cron H(1-5) 9 * * *)(every 1h) | limit 3", "union (cron H(1-5) 9 * * * UTC) (every 1h) | limit 3", ""},
	{"((every 5m)) | limit 2", "every 5m | limit 2", "every 5m, counted from the registration, 2 times"},
	{"plain 1h", "plain 1h0m0s", "plain 1h0m0s"},
	{
		"plain 1h | except fixed 2026-01-01T00:00:00Z 2026-01-02T00:00:00Z", "plain 1h0m0s | except fixed 2026-01-01T00:00:00Z 2026-01-02T00:00:00Z",
		"plain 1h0m0s, except fixed 2026-01-01T00:00:00Z 2026-01-02T00:00:00Z",
	},
}

func TestEveryKindHasATextFormThatIsReadBack(t *testing.T) {
	for _, test := range scheduleTexts {
		s, err := punctual.ParseSchedule(test.text)
		require.NoError(t, err)
		assert.Equal(t, test.canonical, s.String())
		if test.words != "" {
			assert.Equal(t, test.words, punctual.Explain(s))
		}
		again := requireRoundTrip(t, s)
		from := instant(t, "2026-12-20T00:00:00Z")
		assert.NotEmpty(t, punctual.Upcoming(s, from, 3), test.text)
		assert.Equal(t, punctual.Upcoming(s, from, 50), punctual.Upcoming(again, from, 50))
		require.NoError(t, punctual.Task{ID: "t", Schedule: s}.Validate())
	}
}

func TestTextsThatCannotBeReadSayWhatIsAllowed(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "begins with a kind: cron, daily, every",
		"hourly":                            "known kind: cron, daily",
		"@fortnightly":                      "allowed are @hourly",
		"every":                             "every 30m",
		"every five minutes":                `"five" is not a duration`,
		"every 5m from":                     "is not a time",
		"every 5m from now":                 `"now" is not a time`,
		"every 5m after":                    "after completion",
		"every 5m aligned after completion": "behind the duration may stand",
		"every 1d-5m":                       "is not a duration",
		"every 0s":                          "too short",
		"every 999999999w":                  "is not a duration",
		"every 99999w":                      "hundred years",
		"@every":                            "one duration",
		"@every 5m UTC":                     "one duration",
		"once":                              "is not a time",
		"once 2027-01-01":                   "is not a time",
		"once 1969-01-01T00:00:00Z":         "1969",
		"daily":                             "a time of day",
		"daily Europe/Berlin":               "a time of day",
		"daily 25:00 UTC":                   `"25:00" is not a time of day`,
		"daily mon 09:30":                   "stands first",
		"daily 09:30 10:30":                 "unknown time zone",
		"daily 09:30 Europe/Berlin Paris":   "behind the time may stand",
		"daily 09:30 Europe/Atlantis":       `unknown time zone "Europe/Atlantis"`,
		"daily 09:30 ../../etc/passwd":      "unknown time zone",
		"daily 09:30 +25:00":                "not an offset",
		"daily 09:30 +2":                    "not an offset",
		"daily 09:30 gap=sometimes":         `unknown gap policy "sometimes", have transition, skip, shift`,
		"daily 09:30 fold=third":            "have first, second, both",
		"weekly 09:30":                      "is not a weekday",
		"weekly someday 09:30":              `"someday" is not a weekday`,
		"monthly 09:30":                     "is not a day of the month",
		"cron":                              "0 fields",
		"cron UTC":                          "1 field",
		"cron 60 * * * *":                   "minute, column 1",
		"cron 0 9 * * * Mars":               `unknown time zone "Mars"`,
		"cron 0 9 * * MON-FOO":              "day of week, column 13",
		"0 9 * * Mo":                        "day of week, column 9",
		"TZ=Asia/Tokyo 0 9 * * Mo":          "day of week, column 9",
		"cron 0 9 * Mars":                   `unknown time zone "Mars"`,
		"@daily Mars":                       `unknown time zone "Mars"`,
		"cron 0 0 30 2 *":                   "never matches",
		"cron @every 5m":                    "interval",
		"cron 0 9 * * * Local":              "name the zone",
		"union":                             "in parentheses",
		"union daily 09:30":                 "in parentheses",
		"union (daily 09:30) every 1h":      "in parentheses",
		"union (daily 09:30":                "in parentheses",
		"union ()":                          "begins with a kind",
		"every 1h |":                        "may stand: between",
		"every 1h | sometimes":              "may stand: between",
		"| limit 3":                         "begins with a kind",
		"every 1h | limit":                  "is not a number",
		"every 1h | limit many":             "is not a number",
		"every 1h | limit 0":                "not between 1 and",
		"every 1h | between now and then":   "is not a time",
		"every 1h | between 2027-01-01T00:00:00Z":    "want between",
		"every 1h | starting soon":                   "is not a time",
		"every 1h | until":                           "is not a time",
		"every 1h | jitter":                          "is not a duration",
		"every 1h | jitter -5m":                      "microseconds",
		"every 1h | except":                          "not a calendar",
		"every 1h | except christmas":                "is not a date",
		"every 5m after completion | limit 3":        "cannot be combined",
		"plain one":                                  "invalid duration",
		"every 1h" + strings.Repeat(" | limit 3", 8): "nested more than",
		strings.Repeat("(", 1000) + "every 1h" + strings.Repeat(")", 999): "known kind",
		"cron " + strings.Repeat("0,", 3000) + "0 * * * *":                "at most 4096",
		"every \x00":    "is not a duration",
		"every 1h\xff":  "is not a duration",
		"every 1h (":    "behind the duration",
		"daily 09:30 )": "unknown time zone",
	} {
		s, err := punctual.ParseSchedule(text)
		require.ErrorIs(t, err, punctual.ErrInvalidSchedule, "%q", text)
		assert.ErrorContains(t, err, want, "%q", text)
		assert.Nil(t, s)
		assert.Equal(t, 1, strings.Count(err.Error(), "punctual:"), "%v", err)
		assert.Less(t, len(err.Error()), 600)
	}
}

var errMoon = errors.New("the moon is not up")

func init() {
	punctual.RegisterSchedule("moon-phase", func(args string) (punctual.Schedule, error) {
		if args == "nothing" {
			return nil, nil
		}
		return nil, fmt.Errorf("%w: %q", errMoon, args)
	})
}

func TestAHostsErrorIsAnInvalidSchedule(t *testing.T) {
	_, err := punctual.ParseSchedule("moon-phase  full moon ")
	require.ErrorIs(t, err, punctual.ErrInvalidSchedule)
	require.ErrorIs(t, err, errMoon)
	assert.ErrorContains(t, err, `"full moon"`)
	_, err = punctual.ParseSchedule("moon-phase nothing")
	assert.ErrorIs(t, err, punctual.ErrInvalidSchedule)
}

func TestMistakesInRegisteringAKindPanic(t *testing.T) {
	schedule := func(string) (punctual.Schedule, error) { return nil, nil }
	calendar := func(string) (punctual.Calendar, error) { return nil, nil }
	for _, name := range []string{"", "every", "plain", "Upper", "with space", "9to5", "-x", "ünion"} {
		assert.Panics(t, func() { punctual.RegisterSchedule(name, schedule) }, name)
	}
	for _, name := range []string{"", "fixed", "mon", "sunday", "12-25", "Upper"} {
		assert.Panics(t, func() { punctual.RegisterCalendar(name, calendar) }, name)
	}
	assert.Panics(t, func() { punctual.RegisterSchedule("nil-parse", nil) })
	assert.Panics(t, func() { punctual.RegisterCalendar("nil-parse", nil) })
}

func TestUpcomingEndsWhereTheScheduleDoes(t *testing.T) {
	at := instant(t, "2026-03-01T00:00:00Z")
	assert.Len(t, punctual.Upcoming(punctual.Limit(punctual.Every(time.Hour), 3), at, 10), 3)
	assert.Equal(t, []time.Time{at}, punctual.Upcoming(punctual.Once(at), at.Add(-1), 10))
	assert.Empty(t, punctual.Upcoming(punctual.Once(at), at, 10))
	assert.Empty(t, punctual.Upcoming(punctual.Every(time.Hour), at, 0))
	assert.Empty(t, punctual.Upcoming(nil, at, 3))
	assert.Equal(t, "never", punctual.Explain(nil))
}

func TestSchedulesAreSafeToShare(t *testing.T) {
	at := instant(t, "2026-03-07T12:00:00Z")
	for _, test := range scheduleTexts {
		s, err := punctual.ParseSchedule(test.text)
		require.NoError(t, err)
		want := punctual.Upcoming(s, at, 5)
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				again, err := punctual.ParseSchedule(s.String())
				assert.NoError(t, err)
				assert.Equal(t, want, punctual.Upcoming(again, at, 5))
				assert.Equal(t, want, punctual.Upcoming(s, at, 5))
				_ = bound(s, fmt.Sprint(i), at).Next(at)
				_ = punctual.Explain(s)
			})
		}
		wg.Wait()
	}
}

// FuzzParseSchedule: no text makes it panic or hang, and what it reads it reads again.
func FuzzParseSchedule(f *testing.F) {
	for _, test := range scheduleTexts {
		f.Add(test.text)
	}
	at := time.Date(2026, 3, 7, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := punctual.ParseSchedule(text)
		if err != nil {
			require.ErrorIs(t, err, punctual.ErrInvalidSchedule)
			return
		}
		again := requireRoundTrip(t, s)
		next := punctual.Upcoming(s, at, 3)
		require.Equal(t, next, punctual.Upcoming(again, at, 3))
		if r, ok := bound(s, "t", at).(punctual.Ranged); ok && len(next) == 3 {
			require.False(t, r.Prev(next[2]).IsZero())
		}
	})
}
