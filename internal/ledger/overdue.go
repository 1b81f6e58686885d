package ledger

import (
	"maps"
	"slices"
	"time"

	"github.com/punctual-go/punctual"
)

// Overdue gathers when the first of each kind became due, in microseconds.
type Overdue map[string]int64

// Note adds what is first in one lane of a kind.
func (o Overdue) Note(kind string, due int64) {
	if first, known := o[kind]; !known || due < first {
		o[kind] = due
	}
}

// List returns them by kind.
func (o Overdue) List() []punctual.Overdue {
	var list []punctual.Overdue
	for _, kind := range slices.Sorted(maps.Keys(o)) {
		list = append(list, punctual.Overdue{Kind: kind, Since: time.UnixMicro(o[kind]).UTC()})
	}
	return list
}
