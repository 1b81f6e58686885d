package punctual_test

import (
	"fmt"
	"time"

	"github.com/punctual-go/punctual"
)

// tides is a schedule of the host's own: every 12 h 25 min 12 s, the time between two high tides, from a known one on.
type tides struct{ punctual.IntervalSchedule }

func (tides) String() string { return "tides" }

func parseTides(args string) (punctual.Schedule, error) {
	if args != "" {
		return nil, fmt.Errorf("tides take no arguments, not %q", args)
	}
	high := time.Date(2027, 3, 1, 4, 12, 0, 0, time.UTC)
	return tides{punctual.Every(12*time.Hour + 25*time.Minute + 12*time.Second).From(high)}, nil
}

// spring is a calendar of the host's own: the days around new and full moon, when tides are highest, here of one month.
type spring struct{ punctual.DateCalendar }

func (spring) String() string { return "spring" }

func parseSpring(string) (punctual.Calendar, error) {
	return spring{punctual.Dates(time.UTC, "2027-03-07..2027-03-10", "2027-03-21..2027-03-24")}, nil
}

// Each kind is registered once, in an init function of every process that shares the store.
func init() {
	punctual.RegisterSchedule("tides", parseTides)
	punctual.RegisterCalendar("spring", parseSpring)
}

// A kind of calendar of the host's own is read back by its name.
func ExampleRegisterCalendar() {
	schedule, err := punctual.ParseSchedule("daily 06:00 UTC | except spring")
	check(err)
	for _, t := range punctual.Upcoming(schedule, time.Date(2027, 3, 6, 12, 0, 0, 0, time.UTC), 2) {
		fmt.Println(t.Format("Mon 2 Jan 15:04"))
	}
	// Output:
	// Thu 11 Mar 06:00
	// Fri 12 Mar 06:00
}

// A kind of the host's own is read back by the first word of its text, and takes modifiers like any other.
func ExampleRegisterSchedule() {
	schedule, err := punctual.ParseSchedule("tides | except sun UTC")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, t := range punctual.Upcoming(schedule, time.Date(2027, 3, 6, 0, 0, 0, 0, time.UTC), 3) {
		fmt.Println(t.Format("Mon 15:04"))
	}
	_, err = punctual.ParseSchedule("tides of March")
	fmt.Println(err)
	// Output:
	// Sat 08:24
	// Sat 20:49
	// Mon 10:04
	// punctual: invalid schedule: tides take no arguments, not "of March"
}
