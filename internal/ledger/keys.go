package ledger

import (
	"slices"

	"github.com/punctual-go/punctual"
)

// Keys tells of each concurrency key how many runs hold it, and which is the oldest.
type Keys map[string]*Holders

// Holders are the running runs of one concurrency key.
type Holders struct {
	Active int
	Oldest string // the smallest id; empty when there is none
}

// Show enters a key into a View.
func (k Keys) Show(name string, v *punctual.View) {
	if h := k[name]; h != nil {
		v.KeyActive, v.KeyOldest = h.Active, h.Oldest
	}
}

// Start counts a run that holds its key now.
func (k Keys) Start(run *punctual.Run) {
	h := k[run.ConcurrencyKey]
	if h == nil {
		return
	}
	h.Active++
	if h.Oldest == "" || run.ID < h.Oldest {
		h.Oldest = run.ID
	}
}

// DueKeys returns the concurrency keys of the runs that are due, by run. It is asked before the decision, which may change what it was shown.
func DueKeys(pending []punctual.Run) map[string]string {
	var due map[string]string
	for i := range pending {
		if run := &pending[i]; run.ConcurrencyKey != "" && !run.DueAt.IsZero() {
			if due == nil {
				due = make(map[string]string)
			}
			due[run.ID] = run.ConcurrencyKey
		}
	}
	return due
}

// FreedKeys returns the keys that a change frees by ending due pending runs, sending them to the overlap gate or giving them another key.
func FreedKeys(due map[string]string, c *punctual.Change) []string {
	var freed []string
	for i := range c.Update {
		after := &c.Update[i]
		kept := after.State == punctual.StateRunning || after.State == punctual.StatePending && (!after.DueAt.IsZero() || after.WaitsForKey)
		if before, ok := due[after.ID]; ok && (!kept || after.ConcurrencyKey != before) {
			freed = append(freed, before)
		}
	}
	return freed
}

// Tally returns the keys of a list in order, each once and without the empty one, and how often each occurs.
func Tally(keys []string) (names []string, times []int64) {
	for _, key := range slices.Sorted(slices.Values(keys)) {
		switch last := len(names) - 1; {
		case key == "":
		case last >= 0 && names[last] == key:
			times[last]++
		default:
			names, times = append(names, key), append(times, 1)
		}
	}
	return names, times
}
