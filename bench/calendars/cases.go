package main

import (
	"fmt"
	"time"
)

// group is a set of cases with something in common; each becomes a table.
type group struct {
	title string
	about string
	cases []example
}

// example is an expression and what the written rule says about it. Nothing here is computed: the expected instants are typed in, so
// that neither our code nor a peer's decides what is right.
type example struct {
	name  string
	expr  string // of five fields, or six with seconds first
	zone  string
	after string   // the instant from which the schedule is asked, in layout
	want  []string // the next instants, in layout
	never bool     // no instant ever matches, so the expression is to be refused
}

// layout is how cases write instants. The offset tells the two hours of a fold apart.
const layout = "2006-01-02 15:04:05 -07:00"

const newYork = "America/New_York" // 2026: gap on 03-08 from 02:00 to 03:00, fold on 11-01 from 02:00 back to 01:00

var groups = []group{
	{
		title: "Gaps: the clock goes forward",
		about: "New York has no 02:00 to 02:59 on Sunday, 2026-03-08.",
		cases: []example{
			{
				name: "a time in the gap", // robfig/cron#541
				expr: "30 2 * * *", zone: newYork, after: "2026-03-07 12:00:00 -05:00",
				want: []string{"2026-03-08 03:00:00 -04:00", "2026-03-09 02:30:00 -04:00"},
			},
			{
				name: "weekdays only: nothing is owed for the Sunday",
				expr: "30 2 * * 1-5", zone: newYork, after: "2026-03-07 12:00:00 -05:00",
				want: []string{"2026-03-09 02:30:00 -04:00", "2026-03-10 02:30:00 -04:00"},
			},
			{
				name: "a time in the gap and one at its end are one",
				expr: "0 2,3 * * *", zone: newYork, after: "2026-03-07 12:00:00 -05:00",
				want: []string{"2026-03-08 03:00:00 -04:00", "2026-03-09 02:00:00 -04:00", "2026-03-09 03:00:00 -04:00"},
			},
			{
				name: "two times in the gap are one",
				expr: "15,45 2 * * *", zone: newYork, after: "2026-03-07 12:00:00 -05:00",
				want: []string{"2026-03-08 03:00:00 -04:00", "2026-03-09 02:15:00 -04:00", "2026-03-09 02:45:00 -04:00"},
			},
			{
				name: "a range of hours is fixed times",
				expr: "30 2-4 * * *", zone: newYork, after: "2026-03-08 00:00:00 -05:00",
				want: []string{"2026-03-08 03:00:00 -04:00", "2026-03-08 03:30:00 -04:00", "2026-03-08 04:30:00 -04:00"},
			},
			{
				name: "a date in the gap",
				expr: "30 2 8 3 *", zone: newYork, after: "2026-01-01 00:00:00 -05:00",
				want: []string{"2026-03-08 03:00:00 -04:00", "2027-03-08 02:30:00 -05:00"},
			},
			{
				name: "asked shortly before the gap",
				expr: "30 2 * * *", zone: newYork, after: "2026-03-08 01:59:59 -05:00",
				want: []string{"2026-03-08 03:00:00 -04:00", "2026-03-09 02:30:00 -04:00"},
			},
			{
				name: "every hour",
				expr: "30 * * * *", zone: newYork, after: "2026-03-08 00:00:00 -05:00",
				want: []string{"2026-03-08 00:30:00 -05:00", "2026-03-08 01:30:00 -05:00", "2026-03-08 03:30:00 -04:00"},
			},
			{
				name: "every other hour",
				expr: "0 */2 * * *", zone: newYork, after: "2026-03-07 23:00:00 -05:00",
				want: []string{"2026-03-08 00:00:00 -05:00", "2026-03-08 04:00:00 -04:00", "2026-03-08 06:00:00 -04:00"},
			},
			{
				name: "every 15 minutes",
				expr: "*/15 * * * *", zone: newYork, after: "2026-03-08 01:30:00 -05:00",
				want: []string{"2026-03-08 01:45:00 -05:00", "2026-03-08 03:00:00 -04:00", "2026-03-08 03:15:00 -04:00"},
			},
			{
				name: "every 15 minutes of the hour that is left out",
				expr: "*/15 2 * * *", zone: newYork, after: "2026-03-07 12:00:00 -05:00",
				want: []string{"2026-03-09 02:00:00 -04:00", "2026-03-09 02:15:00 -04:00", "2026-03-09 02:30:00 -04:00"},
			},
			{
				name: "every minute",
				expr: "* * * * *", zone: newYork, after: "2026-03-08 01:58:00 -05:00",
				want: []string{"2026-03-08 01:59:00 -05:00", "2026-03-08 03:00:00 -04:00", "2026-03-08 03:01:00 -04:00"},
			},
			{
				name: "every 20 seconds",
				expr: "*/20 * * * * *", zone: newYork, after: "2026-03-08 01:59:20 -05:00",
				want: []string{"2026-03-08 01:59:40 -05:00", "2026-03-08 03:00:00 -04:00", "2026-03-08 03:00:20 -04:00"},
			},
		},
	},
	{
		title: "Folds: the clock goes back",
		about: "New York has 01:00 to 01:59 twice on 2026-11-01, first in EDT, then in EST.",
		cases: []example{
			{
				name: "a time in the fold",
				expr: "30 1 * * *", zone: newYork, after: "2026-10-31 12:00:00 -04:00",
				want: []string{"2026-11-01 01:30:00 -04:00", "2026-11-02 01:30:00 -05:00"},
			},
			{
				name: "two times in the fold",
				expr: "0,30 1 * * *", zone: newYork, after: "2026-10-31 12:00:00 -04:00",
				want: []string{"2026-11-01 01:00:00 -04:00", "2026-11-01 01:30:00 -04:00", "2026-11-02 01:00:00 -05:00", "2026-11-02 01:30:00 -05:00"},
			},
			{
				name: "a time at the end of the fold",
				expr: "0 2 * * *", zone: newYork, after: "2026-10-31 12:00:00 -04:00",
				want: []string{"2026-11-01 02:00:00 -05:00", "2026-11-02 02:00:00 -05:00"},
			},
			{
				name: "asked in the second hour, as after a restart",
				expr: "30 1 * * *", zone: newYork, after: "2026-11-01 01:15:00 -05:00",
				want: []string{"2026-11-02 01:30:00 -05:00", "2026-11-03 01:30:00 -05:00"},
			},
			{
				name: "every hour",
				expr: "30 * * * *", zone: newYork, after: "2026-11-01 00:00:00 -04:00",
				want: []string{"2026-11-01 00:30:00 -04:00", "2026-11-01 01:30:00 -04:00", "2026-11-01 01:30:00 -05:00", "2026-11-01 02:30:00 -05:00"},
			},
			{
				name: "every 15 minutes",
				expr: "*/15 * * * *", zone: newYork, after: "2026-11-01 01:30:00 -04:00",
				want: []string{
					"2026-11-01 01:45:00 -04:00", "2026-11-01 01:00:00 -05:00", "2026-11-01 01:15:00 -05:00",
					"2026-11-01 01:30:00 -05:00", "2026-11-01 01:45:00 -05:00", "2026-11-01 02:00:00 -05:00",
				},
			},
			{
				name: "every 30 minutes of the hour that comes twice",
				expr: "*/30 1 * * *", zone: newYork, after: "2026-11-01 00:00:00 -04:00",
				want: []string{
					"2026-11-01 01:00:00 -04:00", "2026-11-01 01:30:00 -04:00", "2026-11-01 01:00:00 -05:00",
					"2026-11-01 01:30:00 -05:00", "2026-11-02 01:00:00 -05:00",
				},
			},
			{
				name: "every minute",
				expr: "* * * * *", zone: newYork, after: "2026-11-01 01:58:00 -04:00",
				want: []string{"2026-11-01 01:59:00 -04:00", "2026-11-01 01:00:00 -05:00", "2026-11-01 01:01:00 -05:00"},
			},
		},
	},
	{
		title: "Other changes of the clock",
		about: "At midnight, by half an hour or two, over a date, to the next date.",
		cases: []example{
			{
				name: "midnight in a gap from 00:00 to 01:00",
				expr: "0 0 * * *", zone: "America/Santiago", after: "2025-09-06 12:00:00 -04:00",
				want: []string{"2025-09-07 01:00:00 -03:00", "2025-09-08 00:00:00 -03:00"},
			},
			{
				name: "Sundays, of which one begins with the gap",
				expr: "30 0 * * 0", zone: "America/Santiago", after: "2025-09-02 12:00:00 -04:00",
				want: []string{"2025-09-07 01:00:00 -03:00", "2025-09-14 00:30:00 -03:00"},
			},
			{
				name: "noon on a Sunday that begins with the gap",
				expr: "0 12 * * 0", zone: "America/Santiago", after: "2025-09-02 12:00:00 -04:00",
				want: []string{"2025-09-07 12:00:00 -03:00", "2025-09-14 12:00:00 -03:00"},
			},
			{
				name: "Fridays, of which one begins with the gap",
				expr: "0 0 * * 5", zone: "Africa/Cairo", after: "2025-04-24 12:00:00 +02:00",
				want: []string{"2025-04-25 01:00:00 +03:00", "2025-05-02 00:00:00 +03:00"},
			},
			{
				name: "the first of a month that begins with the gap",
				expr: "0 0 1 * *", zone: "America/Asuncion", after: "2023-09-15 12:00:00 -04:00",
				want: []string{"2023-10-01 01:00:00 -03:00", "2023-11-01 00:00:00 -03:00"},
			},
			{
				name: "23:30 in a fold from 24:00 back to 23:00",
				expr: "30 23 * * *", zone: "America/Santiago", after: "2025-04-05 12:00:00 -03:00",
				want: []string{"2025-04-05 23:30:00 -03:00", "2025-04-06 23:30:00 -04:00"},
			},
			{
				name: "midnight behind that fold",
				expr: "0 0 * * *", zone: "America/Santiago", after: "2025-04-05 12:00:00 -03:00",
				want: []string{"2025-04-06 00:00:00 -04:00", "2025-04-07 00:00:00 -04:00"},
			},
			{
				name: "02:15 in a gap from 02:00 to 02:30",
				expr: "15 2 * * *", zone: "Australia/Lord_Howe", after: "2025-10-04 12:00:00 +10:30",
				want: []string{"2025-10-05 02:30:00 +11:00", "2025-10-06 02:15:00 +11:00"},
			},
			{
				name: "every hour through it",
				expr: "0 * * * *", zone: "Australia/Lord_Howe", after: "2025-10-05 00:30:00 +10:30",
				want: []string{"2025-10-05 01:00:00 +10:30", "2025-10-05 03:00:00 +11:00", "2025-10-05 04:00:00 +11:00"},
			},
			{
				name: "01:45 in a fold from 02:00 back to 01:30",
				expr: "45 1 * * *", zone: "Australia/Lord_Howe", after: "2025-04-05 12:00:00 +11:00",
				want: []string{"2025-04-06 01:45:00 +11:00", "2025-04-07 01:45:00 +10:30"},
			},
			{
				name: "every 15 minutes through it",
				expr: "*/15 * * * *", zone: "Australia/Lord_Howe", after: "2025-04-06 01:30:00 +11:00",
				want: []string{"2025-04-06 01:45:00 +11:00", "2025-04-06 01:30:00 +10:30", "2025-04-06 01:45:00 +10:30", "2025-04-06 02:00:00 +10:30"},
			},
			{
				name: "every hour through it",
				expr: "0 * * * *", zone: "Australia/Lord_Howe", after: "2025-04-06 00:30:00 +11:00",
				want: []string{"2025-04-06 01:00:00 +11:00", "2025-04-06 02:00:00 +10:30", "2025-04-06 03:00:00 +10:30"},
			},
			{
				name: "01:30 in a gap from 01:00 to 03:00",
				expr: "30 1 * * *", zone: "Antarctica/Troll", after: "2025-03-29 12:00:00 +00:00",
				want: []string{"2025-03-30 03:00:00 +02:00", "2025-03-31 01:30:00 +02:00"},
			},
			{
				name: "noon, through a date that does not exist",
				expr: "0 12 * * *", zone: "Pacific/Apia", after: "2011-12-29 00:00:00 -10:00",
				want: []string{"2011-12-29 12:00:00 -10:00", "2011-12-31 12:00:00 +14:00", "2012-01-01 12:00:00 +14:00"},
			},
			{
				name: "midnight, through it",
				expr: "0 0 * * *", zone: "Pacific/Apia", after: "2011-12-28 12:00:00 -10:00",
				want: []string{"2011-12-29 00:00:00 -10:00", "2011-12-31 00:00:00 +14:00", "2012-01-01 00:00:00 +14:00"},
			},
			{
				name: "on that date",
				expr: "0 12 30 12 *", zone: "Pacific/Apia", after: "2011-01-01 00:00:00 -10:00",
				want: []string{"2012-12-30 12:00:00 +14:00", "2013-12-30 12:00:00 +14:00"},
			},
			{
				name: "23:45 in a gap from 23:30 to midnight: the date is over",
				expr: "45 23 * * *", zone: "Asia/Pyongyang", after: "2018-05-04 12:00:00 +08:30",
				want: []string{"2018-05-05 23:45:00 +09:00", "2018-05-06 23:45:00 +09:00"},
			},
		},
	},
	{
		title: "Days",
		about: "No change of the clock here: which days an expression means, and which expressions are read.",
		cases: []example{
			{
				name: "29 February",
				expr: "0 0 29 2 *", zone: "UTC", after: "2026-01-01 00:00:00 +00:00",
				want: []string{"2028-02-29 00:00:00 +00:00", "2032-02-29 00:00:00 +00:00"},
			},
			{
				name: "29 February over 2100, which is no leap year",
				expr: "0 0 29 2 *", zone: "UTC", after: "2096-03-01 00:00:00 +00:00",
				want: []string{"2104-02-29 00:00:00 +00:00", "2108-02-29 00:00:00 +00:00"},
			},
			{
				name: "30 February",
				expr: "0 0 30 2 *", zone: "UTC", after: "2026-01-01 00:00:00 +00:00", never: true,
			},
			{
				name: "the 31st",
				expr: "0 0 31 * *", zone: "UTC", after: "2026-01-01 00:00:00 +00:00",
				want: []string{"2026-01-31 00:00:00 +00:00", "2026-03-31 00:00:00 +00:00", "2026-05-31 00:00:00 +00:00"},
			},
			{
				name: "the 13th or a Friday",
				expr: "0 9 13 * 5", zone: "UTC", after: "2026-04-01 00:00:00 +00:00",
				want: []string{"2026-04-03 09:00:00 +00:00", "2026-04-10 09:00:00 +00:00", "2026-04-13 09:00:00 +00:00", "2026-04-17 09:00:00 +00:00"},
			},
			{
				name: "the last day of the month",
				expr: "0 0 L * *", zone: "UTC", after: "2026-01-15 00:00:00 +00:00",
				want: []string{"2026-01-31 00:00:00 +00:00", "2026-02-28 00:00:00 +00:00", "2026-03-31 00:00:00 +00:00"},
			},
			{
				name: "the last Friday",
				expr: "0 9 * * 5L", zone: "UTC", after: "2026-01-01 00:00:00 +00:00",
				want: []string{"2026-01-30 09:00:00 +00:00", "2026-02-27 09:00:00 +00:00", "2026-03-27 09:00:00 +00:00"},
			},
			{
				name: "the second Friday",
				expr: "0 9 * * 5#2", zone: "UTC", after: "2026-01-01 00:00:00 +00:00",
				want: []string{"2026-01-09 09:00:00 +00:00", "2026-02-13 09:00:00 +00:00", "2026-03-13 09:00:00 +00:00"},
			},
			{
				name: "the weekday nearest to the 15th",
				expr: "0 9 15W * *", zone: "UTC", after: "2026-01-01 00:00:00 +00:00",
				want: []string{"2026-01-15 09:00:00 +00:00", "2026-02-16 09:00:00 +00:00", "2026-03-16 09:00:00 +00:00"},
			},
			{
				name: "7 is Sunday",
				expr: "0 9 * * 7", zone: "UTC", after: "2026-01-01 00:00:00 +00:00",
				want: []string{"2026-01-04 09:00:00 +00:00", "2026-01-11 09:00:00 +00:00"},
			},
			{
				name: "a range over midnight",
				expr: "0 22-1 * * *", zone: "UTC", after: "2026-01-01 12:00:00 +00:00",
				want: []string{"2026-01-01 22:00:00 +00:00", "2026-01-01 23:00:00 +00:00", "2026-01-02 00:00:00 +00:00", "2026-01-02 01:00:00 +00:00"},
			},
		},
	},
}

// question is an example as a library is asked.
type question struct {
	Library string
	Expr    string
	Zone    string
	After   time.Time
	Count   int // how many instants are asked for
}

// ask turns the example into the question for a library.
func (e example) ask(lib library) (question, error) {
	after, err := time.Parse(layout, e.after)
	if err != nil {
		return question{}, fmt.Errorf("%s: %w", e.name, err)
	}
	return question{Library: lib.key, Expr: e.expr, Zone: e.zone, After: after, Count: max(1, len(e.want))}, nil
}

// expected is the answer that the rule asks for.
func (e example) expected() (answer, error) {
	if e.never {
		return answer{End: endRefused}, nil
	}
	a := answer{End: endDone}
	for _, text := range e.want {
		at, err := time.Parse(layout, text)
		if err != nil {
			return answer{}, fmt.Errorf("%s: %w", e.name, err)
		}
		a.Instants = append(a.Instants, at)
	}
	return a, nil
}
