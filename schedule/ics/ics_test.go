package ics_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	_ "time/tzdata" // the zones of the tests, on machines without a tz database

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/schedule/ics"
)

// file makes a calendar file of events, each a list of lines.
func file(events ...string) string {
	var b strings.Builder
	b.WriteString("BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//punctual//test//EN\n")
	for i, e := range events {
		fmt.Fprintf(&b, "BEGIN:VEVENT\nDTSTAMP:20260101T000000Z\n")
		if !strings.Contains(e, "UID:") {
			fmt.Fprintf(&b, "UID:%d@example.com\n", i)
		}
		b.WriteString(strings.TrimSpace(e) + "\nEND:VEVENT\n")
	}
	return strings.ReplaceAll(b.String()+"END:VCALENDAR\n", "\n", "\r\n")
}

var years = ics.Options{FirstYear: 2027, LastYear: 2028}

func TestDatesOfAllDayEvents(t *testing.T) {
	for name, test := range map[string]struct{ events, want string }{
		"a date":                    {"DTSTART;VALUE=DATE:20271225\nDTEND;VALUE=DATE:20271226", "2027-12-25"},
		"without an end":            {"DTSTART;VALUE=DATE:20271225", "2027-12-25"},
		"several dates":             {"DTSTART;VALUE=DATE:20271224\nDTEND;VALUE=DATE:20271227", "2027-12-24..2027-12-26"},
		"an end that is the start":  {"DTSTART;VALUE=DATE:20271225\nDTEND;VALUE=DATE:20271225", "2027-12-25"},
		"a duration":                {"DTSTART;VALUE=DATE:20271225\nDURATION:P2D", "2027-12-25..2027-12-26"},
		"a week":                    {"DTSTART;VALUE=DATE:20271225\nDURATION:P1W", "2027-12-25..2027-12-31"},
		"the value type left out":   {"DTSTART:20271225", "2027-12-25"},
		"an event with a time":      {"DTSTART;VALUE=DATE:20271225\n---\nDTSTART:20271226T090000Z\nDTEND:20271226T100000Z", "2027-12-25"},
		"a cancelled event":         {"DTSTART;VALUE=DATE:20271225\n---\nDTSTART;VALUE=DATE:20271226\nSTATUS:CANCELLED", "2027-12-25"},
		"outside of the years":      {"DTSTART;VALUE=DATE:20271225\n---\nDTSTART;VALUE=DATE:20261225\n---\nDTSTART;VALUE=DATE:20290101", "2027-12-25"},
		"over the end of the years": {"DTSTART;VALUE=DATE:20281230\nDURATION:P9D\n---\nDTSTART;VALUE=DATE:20261230\nDURATION:P4D", "2027-01-01..2027-01-02,2028-12-30..2028-12-31"},
		"each year":                 {"DTSTART;VALUE=DATE:20001225\nRRULE:FREQ=YEARLY", "2027-12-25,2028-12-25"},
		"the fourth Thursday":       {"DTSTART;VALUE=DATE:19701126\nRRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH", "2027-11-25,2028-11-23"},
		"a rule that ends":          {"DTSTART;VALUE=DATE:20261225\nRRULE:FREQ=YEARLY;UNTIL=20271225", "2027-12-25"},
		"a rule with exceptions":    {"DTSTART;VALUE=DATE:20270101\nRRULE:FREQ=MONTHLY;COUNT=4\nEXDATE;VALUE=DATE:20270201,20270301", "2027-01-01,2027-04-01"},
		"further dates":             {"DTSTART;VALUE=DATE:20270101\nRDATE;VALUE=DATE:20270503,20270601", "2027-01-01,2027-05-03,2027-06-01"},
		"a start beside its rule":   {"DTSTART;VALUE=DATE:20270102\nRRULE:FREQ=MONTHLY;BYMONTHDAY=1;COUNT=2", "2027-01-02,2027-02-01,2027-03-01"},
		"an instance that was moved": {
			"UID:x\nDTSTART;VALUE=DATE:20270101\nRRULE:FREQ=MONTHLY;COUNT=3\n---\nUID:x\nRECURRENCE-ID;VALUE=DATE:20270201\nDTSTART;VALUE=DATE:20270205",
			"2027-01-01,2027-02-05,2027-03-01",
		},
		"an instance that was cancelled": {
			"UID:x\nDTSTART;VALUE=DATE:20270101\nRRULE:FREQ=MONTHLY;COUNT=3\n---\nUID:x\nRECURRENCE-ID;VALUE=DATE:20270201\nDTSTART;VALUE=DATE:20270201\nSTATUS:CANCELLED",
			"2027-01-01,2027-03-01",
		},
		"a long line that is folded": {"SUMMARY:" + strings.Repeat("x", 60) + "\n " + strings.Repeat("y", 60) + "\nDTSTART;VALUE=DATE:20271225", "2027-12-25"},
	} {
		c, err := ics.Dates(strings.NewReader(file(strings.Split(test.events, "---")...)), years)
		require.NoError(t, err, name)
		assert.Equal(t, test.want+" UTC", c.String(), name)
	}
}

func TestKeepChoosesAmongTheEvents(t *testing.T) {
	var seen []ics.Event
	o := years
	o.Keep = func(e ics.Event) bool {
		seen = append(seen, e)
		return strings.Contains(e.Summary, "holiday")
	}
	c, err := ics.Dates(strings.NewReader("\xEF\xBB\xBF"+file(
		"UID:a\nSUMMARY:May Day\\, a holiday\nCATEGORIES:Public,Spring\nDTSTART;VALUE=DATE:20270501\nRRULE:FREQ=YEARLY",
		"UID:b\nSUMMARY:Mother's Day\nDTSTART;VALUE=DATE:20270509\nDURATION:P2D",
	)), o)
	require.NoError(t, err)
	assert.Equal(t, "2027-05-01,2028-05-01 UTC", c.String())
	assert.Equal(t, []ics.Event{
		{UID: "a", Summary: "May Day, a holiday", Categories: []string{"Public", "Spring"}, Date: time.Date(2027, 5, 1, 0, 0, 0, 0, time.UTC), Days: 1, Recurs: true},
		{UID: "b", Summary: "Mother's Day", Date: time.Date(2027, 5, 9, 0, 0, 0, 0, time.UTC), Days: 2},
	}, seen)
}

func TestWhatCannotBeReadIsAnError(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"nothing":          {"", "no all-day event"},
		"not a calendar":   {"hello", "parsing"},
		"no events":        {file(), "no all-day event"},
		"none that counts": {file("DTSTART:20271226T090000Z"), "no all-day event"},
		"no start":         {file("SUMMARY:lost"), `event "lost 0@example.com": DTSTART is missing`},
		"a bad start":      {file("DTSTART;VALUE=DATE:20271325"), "is not a date"},
		"a bad end":        {file("DTSTART;VALUE=DATE:20271225\nDTEND;VALUE=DATE:tomorrow"), "is not a date"},
		"a bad duration":   {file("DTSTART;VALUE=DATE:20271225\nDURATION:PT5M"), "DURATION"},
		"a bad rule":       {file("DTSTART;VALUE=DATE:20271225\nRRULE:FREQ=SOMETIMES"), "SOMETIMES"},
		"a bad exception":  {file("DTSTART;VALUE=DATE:20271225\nRRULE:FREQ=YEARLY\nEXDATE:never"), "is not a date"},
		"a bad instance":   {file("DTSTART;VALUE=DATE:20271225\nRECURRENCE-ID:never"), "is not a date"},
	} {
		_, err := ics.Dates(strings.NewReader(test.text), years)
		assert.ErrorContains(t, err, test.want, name)
	}
	good := file("DTSTART;VALUE=DATE:20271225")
	for _, o := range []ics.Options{{}, {FirstYear: 2028, LastYear: 2027}, {FirstYear: 1800, LastYear: 2027}, {FirstYear: 2027, LastYear: 2500}} {
		_, err := ics.Dates(strings.NewReader(good), o)
		assert.ErrorContains(t, err, "years")
	}
	_, err := ics.Dates(iotest.ErrReader(errors.New("gone")), years)
	assert.ErrorContains(t, err, "gone")
	_, err = ics.Dates(strings.NewReader(good+strings.Repeat(" ", ics.MaxSize)), years)
	assert.ErrorContains(t, err, "larger")
}

func ExampleDates() {
	calendar := strings.NewReader(`BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//example//holidays//EN
BEGIN:VEVENT
UID:christmas@example.com
DTSTAMP:20260101T000000Z
SUMMARY:Christmas
DTSTART;VALUE=DATE:20201225
DTEND;VALUE=DATE:20201227
RRULE:FREQ=YEARLY
END:VEVENT
END:VCALENDAR
`)
	holidays, err := ics.Dates(calendar, ics.Options{FirstYear: 2027, LastYear: 2028})
	if err != nil {
		fmt.Println(err)
		return
	}
	schedule := punctual.Except(punctual.Daily("09:30", time.UTC), holidays)
	fmt.Println(schedule)
	for _, t := range punctual.Upcoming(schedule, time.Date(2027, 12, 24, 0, 0, 0, 0, time.UTC), 2) {
		fmt.Println(t)
	}
	// Output:
	// daily 09:30 UTC | except 2027-12-25..2027-12-26,2028-12-25..2028-12-26 UTC
	// 2027-12-24 09:30:00 +0000 UTC
	// 2027-12-27 09:30:00 +0000 UTC
}
