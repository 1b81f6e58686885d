package cronexpr

import "fmt"

// Gap says what becomes of a fixed local time that the wall clock jumps over. It does not concern wildcard expressions.
type Gap uint8

const (
	// GapAtTransition, the default, lets it occur at the instant of the jump if that is still on the same local date: 02:30 becomes
	// 03:00. All times in one gap, and a regular one at its end, are one occurrence.
	GapAtTransition Gap = iota
	// GapSkip drops it.
	GapSkip
	// GapShift moves it by the length of the gap if that stays on the same local date: 02:30 becomes 03:30.
	GapShift
)

// String returns "transition", "skip" or "shift".
func (g Gap) String() string {
	switch g {
	case GapAtTransition:
		return "transition"
	case GapSkip:
		return "skip"
	case GapShift:
		return "shift"
	}
	return fmt.Sprintf("Gap(%d)", uint8(g))
}

// Fold says at which of the two passes of a repeated hour a fixed local time occurs. It does not concern wildcard expressions.
type Fold uint8

const (
	// FoldFirst, the default, takes the first.
	FoldFirst Fold = iota
	// FoldSecond takes the second (the last, where transitions follow each other so closely that there are more).
	FoldSecond
	// FoldBoth takes both.
	FoldBoth
)

// String returns "first", "second" or "both".
func (f Fold) String() string {
	switch f {
	case FoldFirst:
		return "first"
	case FoldSecond:
		return "second"
	case FoldBoth:
		return "both"
	}
	return fmt.Sprintf("Fold(%d)", uint8(f))
}
