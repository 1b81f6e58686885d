package rrule_test

import (
	"fmt"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/schedule/rrule"
)

// Importing the package, also as _, is enough for ParseSchedule to read rules.
func Example() {
	schedule, err := punctual.ParseSchedule("rrule DTSTART;TZID=Europe/Berlin:20270104T090000 RRULE:FREQ=MONTHLY;BYDAY=-1FR")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, t := range punctual.Upcoming(schedule, time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC), 2) {
		fmt.Println(t)
	}
	// Output:
	// 2027-03-26 09:00:00 +0100 CET
	// 2027-04-30 09:00:00 +0200 CEST
}

// Every other Monday, but for a holiday, as it stands in a calendar file.
func ExampleParse() {
	schedule, err := rrule.Parse("DTSTART;TZID=Europe/Berlin:20270104T090000\nRRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO\nEXDATE;TZID=Europe/Berlin:20270118T090000")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, t := range punctual.Upcoming(schedule, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), 2) {
		fmt.Println(t)
	}
	_, err = rrule.Parse("DTSTART:20270104T090000 RRULE:FREQ=WEEKLY")
	fmt.Println(err)
	// Output:
	// 2027-01-04 09:00:00 +0100 CET
	// 2027-02-01 09:00:00 +0100 CET
	// punctual: invalid schedule: recurrence rule: "20270104T090000" has no zone; write TZID=Europe/Berlin before it or a Z behind it
}
