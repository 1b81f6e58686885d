package ledger

import (
	"cmp"
	"slices"

	"github.com/punctual-go/punctual"
)

// FirstDue sorts candidates into due order, which is by rank and then id, and returns the first limit tasks, each once: a task is found by
// its next occurrence and by each of its pending runs. The given slice is used for the answer.
func FirstDue[C interface {
	Place() (rank int64, id string)
}](found []C, limit int) []C {
	slices.SortFunc(found, func(a, b C) int {
		rank, id := a.Place()
		other, otherID := b.Place()
		return cmp.Or(cmp.Compare(rank, other), cmp.Compare(id, otherID))
	})
	seen := make(map[string]bool, len(found))
	found = slices.DeleteFunc(found, func(c C) bool {
		_, id := c.Place()
		again := seen[id]
		seen[id] = true
		return again
	})
	return found[:min(limit, len(found))]
}

// Decides reports whether a claim's change of a task counts as a decision: whether it does anything.
func Decides(c *punctual.Change) bool {
	return c.Status != nil || len(c.Insert) > 0 || len(c.Update) > 0 || len(c.Cancel) > 0
}
