package punctual

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
)

// Many tasks have the same schedule, and schedules are safe to share. So the definitions that are decoded share those that were parsed lately:
// it spares the time to parse them again, and memory that the garbage collector would look through.

// sharedSchedules holds parsed schedules, each at the place that its text leads to, where it stays until another leads there.
var (
	sharedSchedules [256]atomic.Pointer[parsedSchedule]
	sharedSeed      = maphash.MakeSeed()
)

type parsedSchedule struct {
	text     string
	schedule Schedule
}

// sharedSchedule is ParseSchedule for definitions.
func sharedSchedule(text string) (Schedule, error) {
	place := &sharedSchedules[maphash.String(sharedSeed, text)%uint64(len(sharedSchedules))]
	if known := place.Load(); known != nil && known.text == text {
		return known.schedule, nil
	}
	schedule, err := ParseSchedule(text)
	if err == nil {
		place.Store(&parsedSchedule{strings.Clone(text), schedule}) // the text is a part of a definition
	}
	return schedule, err
}
