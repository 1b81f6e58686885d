package report

import (
	"fmt"
	"strconv"
	"time"
)

// Unit is how a figure is written.
type Unit uint8

const (
	Plain Unit = iota
	PerSecond
	BytesEach
	Duration // in seconds
	Cores
	Share // of one
)

// Write writes a value with at least two digits that mean something.
func (u Unit) Write(v float64) string {
	switch u {
	case PerSecond:
		return Short(v) + "/s"
	case BytesEach:
		return Short(v) + " B"
	case Duration:
		return shortDuration(v)
	case Cores:
		if v < 0.01 {
			return strconv.FormatFloat(v, 'f', 4, 64)
		}
		return strconv.FormatFloat(v, 'f', 3, 64)
	case Share:
		if v > 0.99 && v < 1 { // almost all is not all
			return strconv.FormatFloat(100*v, 'f', 2, 64) + " %"
		}
		return strconv.FormatFloat(100*v, 'f', 0, 64) + " %"
	}
	return Short(v)
}

// WriteTick writes a power of ten.
func (u Unit) WriteTick(v float64) string {
	if u == Cores {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return u.Write(v)
}

// Short writes a number with three digits.
func Short(v float64) string {
	switch {
	case v >= 999_500:
		return digits(v/1e6) + " M"
	case v >= 9_995:
		return digits(v/1e3) + " k"
	}
	return digits(v)
}

func digits(v float64) string {
	switch {
	case v >= 99.95 || v == float64(int64(v)):
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// shortDuration writes seconds.
func shortDuration(v float64) string {
	switch {
	case v >= 1:
		return digits(v) + " s"
	case v >= 1e-3:
		return digits(v*1e3) + " ms"
	case v >= 1e-6:
		return digits(v*1e6) + " µs"
	}
	return digits(v*1e9) + " ns"
}

// Length writes a duration that was chosen or that has been rounded to seconds.
func Length(d time.Duration) string {
	if d < time.Minute {
		return shortDuration(d.Seconds())
	}
	text := strconv.Itoa(int(d.Minutes())) + " min"
	if rest := d % time.Minute; rest >= time.Second {
		text += " " + strconv.Itoa(int(rest.Seconds())) + " s"
	}
	return text
}

// Count writes a whole number with commas.
func Count(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", Count(n/1000), n%1000)
}
