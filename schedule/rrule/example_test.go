package rrule_test

import (
	"fmt"
	"time"

	"github.com/punctual-go/punctual"
	_ "github.com/punctual-go/punctual/schedule/rrule"
)

// Importing the package is enough for ParseSchedule to read rules.
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
