package ledger

import "github.com/punctual-go/punctual"

// Left is what a claim may still start of the kinds that have a limit of their own. Nil when none has.
type Left map[string]int

// Admits reports whether anything of a kind may still be started.
func (l Left) Admits(kind string) bool {
	n, limited := l[kind]
	return !limited || n > 0
}

// Take counts a start, and Return one that came to nothing.
func (l Left) Take(kind string)   { l.add(kind, -1) }
func (l Left) Return(kind string) { l.add(kind, 1) }

func (l Left) add(kind string, n int) {
	if _, limited := l[kind]; limited {
		l[kind] += n
	}
}

// Slots is how many runs may be started, of so many at most, for a task of a kind with some pending runs.
func (l Left) Slots(most int, kind string, pending []punctual.Run) int {
	slots := l.bound(most, kind)
	for i := range pending {
		slots = l.bound(slots, pending[i].Kind)
	}
	return max(slots, 0)
}

func (l Left) bound(slots int, kind string) int {
	if n, limited := l[kind]; limited {
		return min(slots, n)
	}
	return slots
}
