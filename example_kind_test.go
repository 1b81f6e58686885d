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

func init() { punctual.RegisterSchedule("tides", parseTides) }

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
