// Package trial is how the programs of this module measure: in processes of their own, and over many samples.
package trial

import (
	"slices"
	"sync/atomic"
	"time"
)

// Samples collects durations from many goroutines. Those beyond its length are only counted.
type Samples struct {
	all []atomic.Int64
	n   atomic.Int64
}

// NewSamples has room for so many.
func NewSamples(length int) *Samples { return &Samples{all: make([]atomic.Int64, length)} }

// Add keeps one.
func (s *Samples) Add(d time.Duration) {
	if i := s.n.Add(1) - 1; int(i) < len(s.all) {
		s.all[i].Store(int64(d))
	}
}

// Sorted returns what was collected.
func (s *Samples) Sorted() []time.Duration {
	sorted := make([]time.Duration, min(int(s.n.Load()), len(s.all)))
	for i := range sorted {
		sorted[i] = time.Duration(s.all[i].Load())
	}
	slices.Sort(sorted)
	return sorted
}

// Quantile returns the value in seconds below which the share q of the sorted values lies.
func Quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)].Seconds()
}
