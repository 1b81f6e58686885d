package rrule_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the zones of the tests, on machines without a tz database

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	library "github.com/teambition/rrule-go"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/schedule/rrule"
)

func parse(t testing.TB, text string) rrule.Schedule {
	t.Helper()
	s, err := rrule.Parse(text)
	require.NoError(t, err, text)
	return s
}

// walk lists up to n occurrences after an instant.
func walk(t testing.TB, s punctual.Schedule, after time.Time, n int) []time.Time {
	t.Helper()
	var found []time.Time
	for at := s.Next(after); len(found) < n && !at.IsZero(); at = s.Next(at) {
		require.True(t, at.After(after), "%s: %v after %v", s, at, after)
		found = append(found, at)
		after = at
	}
	return found
}

// The examples of RFC 5545, section 3.8.5.3, with the first occurrences that it lists.
func TestExamplesOfTheStandard(t *testing.T) {
	for _, test := range []struct{ start, rule, want string }{
		{"19970902T090000", "FREQ=DAILY;COUNT=10", "1997 9/2 9/3 9/4 9/5 9/6 9/7 9/8 9/9 9/10 9/11 end"},
		{"19970902T090000", "FREQ=DAILY;INTERVAL=2", "1997 9/2 9/4 9/6 9/8"},
		{"19970902T090000", "FREQ=DAILY;INTERVAL=10;COUNT=5", "1997 9/2 9/12 9/22 10/2 10/12 end"},
		{"19980101T090000", "FREQ=YEARLY;UNTIL=19980103T140000Z;BYMONTH=1;BYDAY=SU,MO,TU,WE,TH,FR,SA", "1998 1/1 1/2 1/3 end"},
		{"19970902T090000", "FREQ=WEEKLY;COUNT=10", "1997 9/2 9/9 9/16 9/23 9/30 10/7 10/14 10/21 10/28 11/4 end"},
		{"19970902T090000", "FREQ=WEEKLY;INTERVAL=2;WKST=SU", "1997 9/2 9/16 9/30 10/14 10/28 11/11"},
		{"19970902T090000", "FREQ=WEEKLY;COUNT=10;WKST=SU;BYDAY=TU,TH", "1997 9/2 9/4 9/9 9/11 9/16 9/18 9/23 9/25 9/30 10/2 end"},
		{"19970901T090000", "FREQ=WEEKLY;INTERVAL=2;UNTIL=19971224T000000Z;WKST=SU;BYDAY=MO,WE,FR", "1997 9/1 9/3 9/5 9/15 9/17 9/19 9/29 10/1 10/3"},
		{"19970905T090000", "FREQ=MONTHLY;COUNT=10;BYDAY=1FR", "1997 9/5 10/3 11/7 12/5 1998 1/2 2/6 3/6 4/3 5/1 6/5 end"},
		{"19970907T090000", "FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU", "1997 9/7 9/28 11/2 11/30 1998 1/4 1/25 3/1 3/29 5/3 5/31 end"},
		{"19970922T090000", "FREQ=MONTHLY;COUNT=6;BYDAY=-2MO", "1997 9/22 10/20 11/17 12/22 1998 1/19 2/16 end"},
		{"19970928T090000", "FREQ=MONTHLY;BYMONTHDAY=-3", "1997 9/28 10/29 11/28 12/29 1998 1/29 2/26"},
		{"19970902T090000", "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=2,15", "1997 9/2 9/15 10/2 10/15 11/2 11/15 12/2 12/15 1998 1/2 1/15 end"},
		{"19970930T090000", "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1", "1997 9/30 10/1 10/31 11/1 11/30 12/1 12/31 1998 1/1 1/31 2/1 end"},
		{"19970910T090000", "FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15", "1997 9/10 9/11 9/12 9/13 9/14 9/15 1999 3/10 3/11 3/12 3/13 end"},
		{"19970902T090000", "FREQ=MONTHLY;INTERVAL=2;BYDAY=TU", "1997 9/2 9/9 9/16 9/23 9/30 11/4 11/11"},
		{"19970610T090000", "FREQ=YEARLY;COUNT=10;BYMONTH=6,7", "1997 6/10 7/10 1998 6/10 7/10 1999 6/10 7/10 2000 6/10 7/10 2001 6/10 7/10 end"},
		{"19970101T090000", "FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200", "1997 1/1 4/10 7/19 2000 1/1 4/9 7/18 2003 1/1 4/10 7/19 2006 1/1 end"},
		{"19970519T090000", "FREQ=YEARLY;BYDAY=20MO", "1997 5/19 1998 5/18 1999 5/17"},
		{"19970512T090000", "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "1997 5/12 1998 5/11 1999 5/17"},
		{"19970313T090000", "FREQ=YEARLY;BYMONTH=3;BYDAY=TH", "1997 3/13 3/20 3/27 1998 3/5 3/12"},
		{"19970902T090000", "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "1998 2/13 3/13 11/13 1999 8/13 2000 10/13"},
		{"19970913T090000", "FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13", "1997 9/13 10/11 11/8 12/13 1998 1/10"},
		{"19961105T090000", "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8", "1996 11/5 2000 11/7 2004 11/2"},
		{"19970904T090000", "FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3", "1997 9/4 10/7 11/6 end"},
		{"19970929T090000", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2", "1997 9/29 10/30 11/27 12/30 1998 1/29"},
		{"19970805T090000", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO", "1997 8/5 8/10 8/19 8/24 end"},
		{"19970805T090000", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU", "1997 8/5 8/17 8/19 8/31 end"},
		{"20070115T090000", "FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5", "2007 1/15 1/30 2/15 3/15 3/30 end"},
	} {
		s := parse(t, "DTSTART;TZID=America/New_York:"+test.start+" RRULE:"+test.rule)
		got, year := "", 0
		for _, at := range walk(t, s, time.Unix(0, 0), 11) {
			require.Equal(t, "09:00:00", at.Format(time.TimeOnly))
			if at.Year() != year {
				year = at.Year()
				got += fmt.Sprintf("%d ", year)
			}
			got += at.Format("1/2 ")
		}
		if strings.Contains(test.want, "end") {
			got += "end"
		}
		assert.True(t, strings.HasPrefix(got, test.want), "%s\nwant %s\ngot  %s", s, test.want, got)
	}
}

// The evaluation starts close to the question; the library's own goes from DTSTART on. Both have to agree, for all frequencies.
func TestItAgreesWithTheLibraryFromTheStartOn(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	pick := func(texts ...string) string { return texts[random.IntN(len(texts))] }
	checked := 0
	for range 500 {
		start := time.Date([]int{2020, 1969}[random.IntN(2)], 12, 1, 0, 0, 0, 0, time.UTC)
		freq := pick("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
		begin := start.Add(time.Duration(random.IntN(100*24*60)) * time.Minute)
		rule := fmt.Sprintf("FREQ=%s;INTERVAL=%d", freq, 1+random.IntN(4))
		span := 60 * 24 * time.Hour
		switch freq {
		case "SECONDLY":
			rule += pick(";BYSECOND=0,30", ";BYMINUTE=5", ";BYHOUR=3;BYMINUTE=4", ";BYDAY=TU;BYMINUTE=1") + fmt.Sprintf(";INTERVAL=%d", 1+random.IntN(5000))
			rule = strings.Replace(rule, rule[strings.Index(rule, ";INTERVAL"):strings.Index(rule, ";BY")], "", 1)
			span = 10 * 24 * time.Hour
		case "MINUTELY":
			rule += pick("", ";BYHOUR=9,10", ";BYMONTH=3;BYDAY=MO", ";BYSECOND=1,2,3;BYSETPOS=-1", ";BYMONTHDAY=-1")
		case "HOURLY":
			rule += pick("", ";BYMINUTE=0,30", ";BYMINUTE=0,30;BYSETPOS=1", ";BYDAY=SA,SU", ";BYMONTHDAY=1,2;BYMONTH=2,3", ";BYYEARDAY=70,-1")
		case "DAILY":
			rule += pick("", ";BYMONTH=1,2,3", ";BYDAY=MO,TU", ";BYHOUR=1,2;BYMINUTE=3", ";BYHOUR=8,9;BYSETPOS=2")
		case "WEEKLY":
			rule += pick("", ";BYDAY=MO,SU", ";WKST=SU;BYDAY=MO,SU", ";BYDAY=MO,WE,FR;BYSETPOS=-1")
			span *= 10
		case "MONTHLY":
			rule += pick("", ";BYDAY=2TU", ";BYMONTHDAY=-1", ";BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", ";BYMONTHDAY=31")
			span *= 30
		case "YEARLY":
			rule += pick("", ";BYWEEKNO=1,53", ";BYYEARDAY=-1", ";BYMONTH=2;BYMONTHDAY=29", ";BYDAY=20MO", ";BYMONTH=11;BYDAY=4TH")
			span *= 300
		}
		option, err := library.StrToROption(rule)
		require.NoError(t, err, rule)
		option.Dtstart = begin
		whole, err := library.NewRRule(*option)
		require.NoError(t, err)
		s, err := rrule.Parse("DTSTART:" + begin.Format("20060102T150405Z") + " RRULE:" + rule)
		if err != nil {
			require.ErrorContains(t, err, "never occurs", rule)
			continue
		}
		checked++
		from := begin.Add(time.Duration(random.Int64N(int64(span))))
		to := from.Add(span / 10)
		want := whole.Between(from, to, true)
		if len(want) > 0 && want[0].Equal(from) {
			want = want[1:]
		}
		require.EqualValues(t, len(want), s.Count(from, to), "%s: Count(%v, %v)", s, from, to)
		at := from
		for i, next := range want {
			if i > 40 {
				break
			}
			at = s.Next(at)
			require.Equal(t, next, at, "%s after %v", s, from)
		}
		at = to.Add(time.Nanosecond)
		for i := len(want) - 1; i >= 0 && i > len(want)-40; i-- {
			at = s.Prev(at)
			require.Equal(t, want[i], at, "%s before %v", s, to)
		}
	}
	assert.Greater(t, checked, 300)
}

func TestReadingsThroughChangesOfTheClock(t *testing.T) {
	const ny = "DTSTART;TZID=America/New_York:"
	for _, test := range []struct{ text, after, want string }{
		// RFC 5545, section 3.3.5: the first of two, and the offset before the gap.
		{ny + "20260301T023000 RRULE:FREQ=DAILY", "2026-03-07T12:00:00Z", "03-08 03:30 EDT, 03-09 02:30 EDT"},
		{ny + "20260301T013000 RRULE:FREQ=DAILY", "2026-10-31T12:00:00Z", "11-01 01:30 EDT, 11-02 01:30 EST"},
		{ny + "20260301T000000 RRULE:FREQ=HOURLY", "2026-03-08T05:30:00Z", "03-08 01:00 EST, 03-08 03:00 EDT, 03-08 04:00 EDT"},
		{ny + "20260301T000000 RRULE:FREQ=MINUTELY;INTERVAL=30", "2026-03-08T06:00:00Z", "03-08 01:30 EST, 03-08 03:00 EDT, 03-08 03:30 EDT, 03-08 04:00 EDT"},
		{ny + "20260301T021500 RRULE:FREQ=DAILY;BYHOUR=2,3;BYMINUTE=10,50", "2026-03-07T12:00:00Z", "03-08 03:10 EDT, 03-08 03:50 EDT, 03-09 02:10 EDT"},
		{"DTSTART;TZID=Pacific/Apia:20111201T120000 RRULE:FREQ=DAILY", "2011-12-29T12:00:00Z", "12-29 12:00 -10, 12-31 12:00 +14, 01-01 12:00 +14"},
		{"DTSTART:20260301T023000Z RRULE:FREQ=DAILY", "2026-03-07T12:00:00Z", "03-08 02:30 UTC, 03-09 02:30 UTC"},
	} {
		s := parse(t, test.text)
		after, err := time.Parse(time.RFC3339, test.after)
		require.NoError(t, err)
		var got []string
		for _, at := range walk(t, s, after, strings.Count(test.want, ",")+1) {
			got = append(got, at.Format("01-02 15:04 MST"))
			require.EqualValues(t, 1, s.Count(at.Add(-time.Second), at))
			require.Equal(t, at, s.Prev(at.Add(time.Nanosecond)))
			require.Equal(t, at, s.Prev(s.Next(at)))
		}
		assert.Equal(t, test.want, strings.Join(got, ", "), test.text)
	}
}

func TestDatesThatAreAddedAndLeftOut(t *testing.T) {
	s := parse(t, "DTSTART;TZID=Europe/Berlin:20270104T090000\r\nRRULE:FREQ=DAILY;COUNT=4\r\nEXDATE;TZID=Europe/Berlin:20270105T090000,20270106T100000\r\nRDATE:20270105T120000Z")
	var got []string
	for _, at := range walk(t, s, time.Unix(0, 0), 9) {
		got = append(got, at.Format("01-02 15:04"))
	}
	assert.Equal(t, []string{"01-04 09:00", "01-05 13:00", "01-06 09:00", "01-07 09:00"}, got)
	only := parse(t, "DTSTART:20270104T090000Z RDATE:20270106T090000Z,20270105T090000Z")
	assert.Len(t, walk(t, only, time.Unix(0, 0), 9), 2)
	assert.Equal(t, time.Date(2027, 1, 6, 9, 0, 0, 0, time.UTC), only.Prev(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)))
	assert.EqualValues(t, 2, only.Count(time.Unix(0, 0), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)))
}

func TestUntilIncludesItsInstantInEachOfItsForms(t *testing.T) {
	for until, want := range map[string]int{
		"20270106T080000Z": 3, "20270106T075959Z": 2, "20270106T090000": 3, "20270106T085959": 2, "20270106": 3, "20270105": 2,
	} {
		s := parse(t, "DTSTART;TZID=Europe/Berlin:20270104T090000 RRULE:FREQ=DAILY;UNTIL="+until)
		assert.Len(t, walk(t, s, time.Unix(0, 0), 9), want, until)
	}
}

func TestTheTextFormIsReadBackByParseSchedule(t *testing.T) {
	for text, canonical := range map[string]string{
		"DTSTART;TZID=Europe/Berlin:20270104T090000\nRRULE:FREQ=WEEKLY;BYDAY=MO": "rrule DTSTART;TZID=Europe/Berlin:20270104T090000 RRULE:FREQ=WEEKLY;BYDAY=MO",
		"rrule:freq=daily;count=3 dtstart:20270104T090000z":                      "rrule DTSTART:20270104T090000Z RRULE:FREQ=DAILY;COUNT=3",
		"FREQ=DAILY DTSTART;VALUE=DATE-TIME:20270104T090000Z":                    "rrule DTSTART:20270104T090000Z RRULE:FREQ=DAILY",
		"DTSTART;TZID=UTC:20270104T090000 RRULE:FREQ=DAILY":                      "rrule DTSTART:20270104T090000Z RRULE:FREQ=DAILY",
	} {
		s, err := punctual.ParseSchedule("rrule " + text)
		require.NoError(t, err)
		assert.Equal(t, canonical, s.String())
		again, err := punctual.ParseSchedule(s.String())
		require.NoError(t, err)
		assert.Equal(t, s, again)
		require.NoError(t, punctual.Task{ID: "t", Schedule: s}.Validate())
		combined := punctual.Limit(s, 2)
		again, err = punctual.ParseSchedule(combined.String())
		require.NoError(t, err)
		assert.Len(t, punctual.Upcoming(again, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), 9), 2)
	}
	assert.Equal(t, "by the rule FREQ=DAILY from 2027-01-04 09:00:00, Europe/Berlin",
		punctual.Explain(parse(t, "DTSTART;TZID=Europe/Berlin:20270104T090000 RRULE:FREQ=DAILY")))
	_, err := punctual.ParseSchedule(rrule.Schedule{}.String())
	require.Error(t, err)
	assert.Zero(t, rrule.Schedule{}.Next(time.Unix(0, 0)))
}

func TestWhatIsNotARuleIsAnError(t *testing.T) {
	const start = "DTSTART:20270104T090000Z RRULE:"
	for text, want := range map[string]string{
		"":                         "DTSTART is missing",
		"RRULE:FREQ=DAILY":         "DTSTART is missing",
		"DTSTART:20270104T090000Z": "RRULE is missing",
		"DTSTART:20270104T090000 RRULE:FREQ=DAILY":                           "has no zone",
		"DTSTART;VALUE=DATE:20270104 RRULE:FREQ=DAILY":                       "not supported",
		"DTSTART;TZID=Mars/Base:20270104T090000 RRULE:FREQ=DAILY":            "unknown time zone",
		"DTSTART;TZID=Local:20270104T090000 RRULE:FREQ=DAILY":                "unknown time zone",
		"DTSTART;TZID=Europe/Berlin:20270104T090000Z RRULE:FREQ=DAILY":       "two zones",
		"DTSTART:20270104T090000Z,20270105T090000Z RRULE:FREQ=DAILY":         "one time",
		"DTSTART:20270104T090000Z DTSTART:20270104T090000Z RRULE:FREQ=DAILY": "more than one DTSTART",
		"DTSTART:18991231T090000Z RRULE:FREQ=DAILY":                          "in the years",
		"DTSTART:20270104T250000Z RRULE:FREQ=DAILY":                          "not a time",
		"DTSTART:20270104T090000Z RDATE:20270104T090000Z,20270105T090000":    "has no zone",
		start + "FREQ=DAILY RRULE:FREQ=WEEKLY":                               "more than one RRULE",
		start + "FREQ=DAILY SUMMARY:x":                                       "not one of",
		start + "FREQ=FORTNIGHTLY":                                           "FORTNIGHTLY",
		start + "INTERVAL=2":                                                 "FREQ is required",
		start + "FREQ=DAILY;":                                                "not one part",
		start + "FREQ=DAILY;FREQ=WEEKLY":                                     "not one part",
		start + "FREQ=DAILY;BYHOUR=24":                                       "byhour",
		start + "FREQ=DAILY;INTERVAL=0":                                      "INTERVAL",
		start + "FREQ=DAILY;INTERVAL=1000001":                                "INTERVAL",
		start + "FREQ=DAILY;COUNT=0":                                         "COUNT",
		start + "FREQ=DAILY;COUNT=100001":                                    "COUNT",
		start + "FREQ=DAILY;COUNT=2;UNTIL=20270201T000000Z":                  "exclude each other",
		start + "FREQ=DAILY;UNTIL=20270201T000000Z,20270301T000000":          "UNTIL is one time",
		start + "FREQ=DAILY;UNTIL=soon":                                      "UNTIL",
		start + "FREQ=YEARLY;BYEASTER=0":                                     "not a part of a rule",
		start + "FREQ=MONTHLY;BYWEEKNO=20":                                   "BYWEEKNO",
		start + "FREQ=MONTHLY;BYYEARDAY=20":                                  "BYYEARDAY",
		start + "FREQ=WEEKLY;BYMONTHDAY=20":                                  "BYMONTHDAY",
		start + "FREQ=WEEKLY;BYDAY=1MO":                                      "BYDAY",
		start + "FREQ=MONTHLY;BYDAY=9MO":                                     "five",
		start + "FREQ=YEARLY;BYMONTH=12;BYDAY=-6MO":                          "five",
		start + "FREQ=DAILY;BYSETPOS=1":                                      "BYSETPOS",
		start + "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30":                        "never occurs",
		start + "FREQ=DAILY;UNTIL=20260101T000000Z":                          "never occurs",
		start + "FREQ=HOURLY;INTERVAL=24;BYHOUR=8":                           "never occurs",
		start + "FREQ=MINUTELY;INTERVAL=60;BYMINUTE=30":                      "never occurs",
		start + "FREQ=SECONDLY;INTERVAL=2;BYSECOND=1":                        "never occurs",
		start + "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30":                      "never occurs",
		start + "FREQ=HOURLY;BYMINUTE=1,2;BYSETPOS=3":                        "never occurs",
		start + "FREQ=DAILY;COUNT=1 EXDATE:20270104T090000Z":                 "never occurs",
	} {
		_, err := rrule.Parse(text)
		require.ErrorIs(t, err, punctual.ErrInvalidSchedule, text)
		assert.ErrorContains(t, err, want, text)
	}
}

// A rule that leaves out most of the year must not visit each second of it.
func TestSparseRulesAreDecidedQuickly(t *testing.T) {
	s := parse(t, "DTSTART:20200101T000000Z RRULE:FREQ=SECONDLY;BYMONTH=1;BYMONTHDAY=1;BYHOUR=0;BYMINUTE=0;BYSECOND=7")
	assert.Equal(t, time.Date(2031, 1, 1, 0, 0, 7, 0, time.UTC), s.Next(time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC)))
	assert.Equal(t, time.Date(2030, 1, 1, 0, 0, 7, 0, time.UTC), s.Prev(time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)))
	assert.EqualValues(t, 10, s.Count(time.Date(2021, 6, 1, 0, 0, 0, 0, time.UTC), time.Date(2031, 6, 1, 0, 0, 0, 0, time.UTC)))
}

func FuzzParse(f *testing.F) {
	f.Add("DTSTART;TZID=Europe/Berlin:20270104T090000 RRULE:FREQ=WEEKLY;BYDAY=MO,WE;INTERVAL=2")
	f.Add("DTSTART:20270104T090000Z RRULE:FREQ=MONTHLY;BYDAY=-1FR;COUNT=10 EXDATE:20270129T090000Z")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := rrule.Parse(text)
		if err != nil {
			return
		}
		again, err := punctual.ParseSchedule(s.String())
		require.NoError(t, err, "%s", s)
		require.Equal(t, s.String(), again.String())
		first := s.Next(time.Unix(-100_000, 0))
		require.False(t, first.IsZero())
		require.EqualValues(t, 1, s.Count(first.Add(-time.Second), first))
	})
}

func BenchmarkNext(b *testing.B) {
	at := time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC)
	for _, rule := range []string{"FREQ=DAILY", "FREQ=WEEKLY;BYDAY=MO,WE", "FREQ=MONTHLY;BYDAY=-1FR", "FREQ=MINUTELY;INTERVAL=5", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29"} {
		b.Run(rule, func(b *testing.B) {
			s := parse(b, "DTSTART;TZID=Europe/Berlin:20200104T090000 RRULE:"+rule)
			for b.Loop() {
				_ = s.Next(at)
			}
		})
	}
}
