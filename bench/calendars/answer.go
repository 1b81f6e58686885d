package main

import (
	"slices"
	"time"
)

// end says how a list of instants ended.
type end string

const (
	endDone    end = "done"     // there are as many as were asked for
	endNever   end = "never"    // the library says that there are no more
	endRefused end = "refused"  // the expression was not read
	endFailed  end = "failed"   // computing the next one returned an error
	endPanic   end = "panicked" // it panicked
	endHung    end = "hung"     // it took longer than allowed
	endCrashed end = "crashed"  // the process ended by itself
)

// answer is what a library says to a question.
type answer struct {
	Instants []time.Time
	End      end
	Reason   string // for refused, failed and panicked
}

// equal reports whether two answers name the same instants and end in the same way. How a refusal is worded does not matter.
func (a answer) equal(b answer) bool {
	return a.End == b.End && slices.EqualFunc(a.Instants, b.Instants, time.Time.Equal)
}
