package punctual_test

import (
	"context"
	"fmt"
	"time"

	"github.com/punctual-go/punctual"
)

// list prints the next occurrences of a schedule for a task that is registered at the given instant.
func list(s punctual.Schedule, registered time.Time, n int) {
	for _, t := range punctual.Upcoming(s, registered, n) {
		fmt.Println(t.Format("Mon 2006-01-02 15:04:05 MST"))
	}
}

func location(name string) *time.Location {
	loc, err := time.LoadLocation(name)
	check(err)
	return loc
}

// The grid of an aligned interval is the same for all tasks, whenever they were registered.
func ExampleIntervalSchedule_Aligned() {
	list(punctual.Every(15*time.Minute).Aligned(), time.Date(2027, 3, 1, 9, 7, 0, 0, time.UTC), 2)
	// Output:
	// Mon 2027-03-01 09:15:00 UTC
	// Mon 2027-03-01 09:30:00 UTC
}

// 02:30 does not exist on the night when the clocks of New York go forward, and 01:30 exists twice when they go back.
func ExampleDaily() {
	newYork := location("America/New_York")
	list(punctual.Daily("02:30", newYork), time.Date(2027, 3, 13, 12, 0, 0, 0, newYork), 2)
	list(punctual.Daily("01:30", newYork), time.Date(2027, 11, 6, 12, 0, 0, 0, newYork), 2)
	// Output:
	// Sun 2027-03-14 03:00:00 EDT
	// Mon 2027-03-15 02:30:00 EDT
	// Sun 2027-11-07 01:30:00 EDT
	// Mon 2027-11-08 01:30:00 EST
}

func ExampleWeekly() {
	list(punctual.Weekly("mon-wed,fri", "09:30", location("Europe/Berlin")), time.Date(2027, 3, 3, 12, 0, 0, 0, time.UTC), 3)
	// Output:
	// Fri 2027-03-05 09:30:00 CET
	// Mon 2027-03-08 09:30:00 CET
	// Tue 2027-03-09 09:30:00 CET
}

func ExampleMonthly() {
	january := time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC)
	list(punctual.Monthly("last", "18:00", time.UTC), january, 2)
	list(punctual.Monthly("2nd tue", "18:00", time.UTC), january, 2)
	// Output:
	// Mon 2028-01-31 18:00:00 UTC
	// Tue 2028-02-29 18:00:00 UTC
	// Tue 2028-01-11 18:00:00 UTC
	// Tue 2028-02-08 18:00:00 UTC
}

// The error says what is wrong where, also when an expression could never match.
func ExampleCron() {
	schedule, err := punctual.Cron("0 9 * * MON-FRI", location("Europe/Berlin"))
	check(err)
	fmt.Println(schedule)
	list(schedule, time.Date(2027, 3, 26, 0, 0, 0, 0, time.UTC), 2)
	_, err = punctual.Cron("0 24 * * *", nil)
	fmt.Println(err)
	// Output:
	// cron 0 9 * * MON-FRI Europe/Berlin
	// Fri 2027-03-26 09:00:00 CET
	// Mon 2027-03-29 09:00:00 CEST
	// punctual: invalid schedule: cron expression "0 24 * * *": hour, column 3: 24 is out of range; allowed are 0-23
}

// A host that wants another rule for the nights when clocks change says so per schedule.
func ExampleCalendarSchedule_WithGap() {
	newYork := location("America/New_York")
	before := time.Date(2027, 3, 13, 12, 0, 0, 0, newYork)
	for _, gap := range []punctual.Gap{punctual.GapAtTransition, punctual.GapSkip, punctual.GapShift} {
		schedule := punctual.Daily("02:30", newYork).WithGap(gap)
		fmt.Println(schedule)
		list(schedule, before, 1)
	}
	// Output:
	// daily 02:30 America/New_York
	// Sun 2027-03-14 03:00:00 EDT
	// daily 02:30 America/New_York gap=skip
	// Mon 2027-03-15 02:30:00 EDT
	// daily 02:30 America/New_York gap=shift
	// Sun 2027-03-14 03:30:00 EDT
}

func ExampleCalendarSchedule_WithFold() {
	newYork := location("America/New_York")
	before := time.Date(2027, 11, 6, 12, 0, 0, 0, newYork)
	list(punctual.Daily("01:30", newYork).WithFold(punctual.FoldFirst), before, 1)
	list(punctual.Daily("01:30", newYork).WithFold(punctual.FoldSecond), before, 1)
	list(punctual.Daily("01:30", newYork).WithFold(punctual.FoldBoth), before, 2)
	// Output:
	// Sun 2027-11-07 01:30:00 EDT
	// Sun 2027-11-07 01:30:00 EST
	// Sun 2027-11-07 01:30:00 EDT
	// Sun 2027-11-07 01:30:00 EST
}

func ExampleOnce() {
	schedule := punctual.Once(time.Date(2027, 1, 1, 0, 0, 0, 0, location("Asia/Tokyo")))
	fmt.Println(schedule)
	list(schedule, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), 3)
	// Output:
	// once 2026-12-31T15:00:00Z
	// Thu 2026-12-31 15:00:00 UTC
}

func ExampleBetween() {
	launch := time.Date(2027, 3, 1, 9, 0, 0, 0, time.UTC)
	schedule := punctual.Between(punctual.Every(20*time.Minute).Aligned(), launch, launch.Add(time.Hour))
	fmt.Println(schedule)
	list(schedule, launch.AddDate(0, 0, -1), 10)
	// Output:
	// every 20m aligned | between 2027-03-01T09:00:00Z and 2027-03-01T10:00:00Z
	// Mon 2027-03-01 09:00:00 UTC
	// Mon 2027-03-01 09:20:00 UTC
	// Mon 2027-03-01 09:40:00 UTC
}

// The occurrences are counted from the registration, unless the schedule has a beginning of its own.
func ExampleLimit() {
	registered := time.Date(2027, 3, 1, 9, 0, 0, 0, time.UTC)
	list(punctual.Limit(punctual.Every(time.Hour), 2), registered, 10)
	list(punctual.Limit(punctual.Every(time.Hour).From(registered.Add(-90*time.Minute)), 2), registered, 10)
	// Output:
	// Mon 2027-03-01 10:00:00 UTC
	// Mon 2027-03-01 11:00:00 UTC
	// Mon 2027-03-01 09:30:00 UTC
}

func ExampleUnion() {
	schedule := punctual.Union(punctual.Weekly("mon-fri", "09:00", nil), punctual.Weekly("sat", "11:00", nil))
	fmt.Println(schedule)
	list(schedule, time.Date(2027, 3, 5, 0, 0, 0, 0, time.UTC), 3)
	// Output:
	// union (weekly mon,tue,wed,thu,fri 09:00 UTC) (weekly sat 11:00 UTC)
	// Fri 2027-03-05 09:00:00 UTC
	// Sat 2027-03-06 11:00:00 UTC
	// Mon 2027-03-08 09:00:00 UTC
}

func ExampleExcept() {
	berlin := location("Europe/Berlin")
	holidays := punctual.Dates(berlin, "sat", "sun", "01-01", "12-24..12-26", "2027-03-26", "2027-03-29")
	schedule := punctual.Except(punctual.Daily("09:30", berlin), holidays)
	fmt.Println(schedule)
	list(schedule, time.Date(2027, 3, 25, 0, 0, 0, 0, berlin), 2)
	// Output:
	// daily 09:30 Europe/Berlin | except sat,sun,01-01,12-24..12-26,2027-03-26,2027-03-29 Europe/Berlin
	// Thu 2027-03-25 09:30:00 CET
	// Tue 2027-03-30 09:30:00 CEST
}

// Two tasks with the same schedule spread; each keeps its share for ever.
func ExampleJitter() {
	schedule := punctual.Jitter(punctual.Daily("09:30", time.UTC), 10*time.Minute)
	fmt.Println(schedule)
	for _, task := range []string{"feed", "mail"} {
		list(schedule.(punctual.PerTask).ForTask(task), time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC), 2)
	}
	// Output:
	// daily 09:30 UTC | jitter 10m
	// Mon 2027-03-01 09:37:42 UTC
	// Tue 2027-03-02 09:37:56 UTC
	// Mon 2027-03-01 09:34:26 UTC
	// Tue 2027-03-02 09:36:21 UTC
}

func ExampleExplain() {
	for _, text := range []string{"*/15 9-17 * * MON-FRI", "monthly 1st,3rd mon 09:30 Europe/Berlin", "every 6h | except sun Europe/Berlin | limit 20"} {
		schedule, err := punctual.ParseSchedule(text)
		check(err)
		fmt.Println(punctual.Explain(schedule))
	}
	// Output:
	// every 15 minutes from 09:00 to 17:59 on Monday to Friday, UTC
	// on the 1st and 3rd Monday of each month at 09:30, Europe/Berlin
	// every 6h, counted from the registration, except Sunday in Europe/Berlin, 20 times
}

func ExampleUpcoming() {
	schedule, err := punctual.ParseSchedule("cron 0 0 29 2 * UTC")
	check(err)
	for _, t := range punctual.Upcoming(schedule, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), 3) {
		fmt.Println(t.Format(time.DateOnly))
	}
	// Output:
	// 2028-02-29
	// 2032-02-29
	// 2036-02-29
}

// A task that is registered knows since when its schedule counts.
func ExampleSnapshot_Upcoming() {
	begin := time.Date(2027, 1, 1, 9, 0, 0, 0, time.UTC)
	snap := punctual.Snapshot{
		Task:   punctual.Task{ID: "remind", Schedule: punctual.Limit(punctual.Every(time.Hour), 3)},
		Anchor: begin, NextRunAt: begin.Add(2 * time.Hour), // one of three has been
	}
	for _, t := range snap.Upcoming(10) {
		fmt.Println(t.Format(time.TimeOnly))
	}
	// Output:
	// 11:00:00
	// 12:00:00
}

// Five minutes of rest after each run, however long it takes.
func ExampleIntervalSchedule_AfterCompletion() {
	ctx := context.Background()
	mock, release := morning(), make(chan struct{})
	s := example(func(context.Context, punctual.Run) (punctual.Result, error) {
		<-release
		return punctual.Result{}, nil
	}, punctual.WithClock(mock))
	check(s.Add(ctx, punctual.Task{ID: "crawl", Schedule: punctual.Every(5 * time.Minute).AfterCompletion()}))
	mock.Add(2 * time.Minute) // the first run takes that long
	close(release)
	pass(s, mock, 5*time.Minute)
	ledger(s, "crawl")
	check(s.Shutdown(ctx))
	// Output:
	// 08:00 register succeeded
	// 08:07 schedule succeeded
}

// For literals in program code: an expression that is wrong there is a mistake in the program.
func ExampleMust() {
	nightly := punctual.Must(punctual.Cron("0 3 * * *", time.UTC))
	list(nightly, time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC), 1)
	// Output:
	// Tue 2027-03-02 03:00:00 UTC
}

// What is left out can be text, too, for forms and files.
func ExampleParseCalendar() {
	holidays, err := punctual.ParseCalendar("12-24..12-26,01-01 Europe/Berlin")
	check(err)
	fmt.Println(holidays)
	list(punctual.Except(punctual.Daily("09:00", location("Europe/Berlin")), holidays), time.Date(2027, 12, 23, 12, 0, 0, 0, time.UTC), 1)
	// Output:
	// 01-01,12-24..12-26 Europe/Berlin
	// Mon 2027-12-27 09:00:00 CET
}
