package report

import (
	"slices"
	"strings"
)

// Spread is a figure over all rounds.
type Spread struct{ Median, Least, Greatest float64 }

// SpreadOf returns the spread of the values of all rounds that have one; false when there is none.
func SpreadOf(found []float64) (Spread, bool) {
	if len(found) == 0 {
		return Spread{}, false
	}
	return Spread{Median(found), slices.Min(found), slices.Max(found)}, true
}

// Write writes the median and, where there is a difference, the least and the greatest in brackets.
func (s Spread) Write(u Unit) string {
	low, high := u.Write(s.Least), u.Write(s.Greatest)
	if low == high {
		return u.Write(s.Median)
	}
	return u.Write(s.Median) + " (" + low + " – " + high + ")"
}

// Capital begins a text with a capital letter.
func Capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
