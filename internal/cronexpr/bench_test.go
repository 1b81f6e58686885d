package cronexpr

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// benchmarked are expressions from the most frequent to the rarest.
var benchmarked = []struct{ name, text string }{
	{"every second", "* * * * * *"},
	{"every quarter", "*/15 * * * *"},
	{"daily", "30 2 * * *"},
	{"weekdays", "0 9 * * MON-FRI"},
	{"last weekday", "0 18 LW * *"},
	{"either day", "0 0 L 2 1"},
	{"leap day", "0 0 29 2 *"},
	{"leap day on a Sunday", "0 0 29 2 */7"},
	{"one year", "0 0 0 1 1 ? 2190"},
}

func BenchmarkNext(b *testing.B) {
	for _, bb := range benchmarked {
		b.Run(bb.name, func(b *testing.B) {
			e := mustParse(b, bb.text, Options{Location: location(b, newYork)})
			start := time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC)
			b.ReportAllocs()
			at := start
			for b.Loop() {
				if at = e.Next(at); at.IsZero() || at.Year() > 2090 {
					at = start
				}
			}
		})
	}
}

func BenchmarkPrev(b *testing.B) {
	for _, bb := range benchmarked {
		b.Run(bb.name, func(b *testing.B) {
			e := mustParse(b, bb.text, Options{Location: location(b, newYork)})
			start := time.Date(2090, 3, 8, 0, 0, 0, 0, time.UTC)
			b.ReportAllocs()
			at := start
			for b.Loop() {
				if at = e.Prev(at); at.IsZero() || at.Year() < 2026 {
					at = start
				}
			}
		})
	}
}

func BenchmarkCountYear(b *testing.B) {
	for _, bb := range benchmarked {
		b.Run(bb.name, func(b *testing.B) {
			e := mustParse(b, bb.text, Options{Location: location(b, newYork)})
			from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
			to := from.AddDate(1, 0, 0)
			b.ReportAllocs()
			for b.Loop() {
				e.Count(from, to)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for _, text := range []string{"0 9 * * MON-FRI", "CRON_TZ=America/New_York 0 9 * * MON-FRI", "0 0 29 2 *"} {
		b.Run(text, func(b *testing.B) {
			o := Options{Location: location(b, newYork)}
			keep := mustParse(b, text, o) // as a host that holds its tasks
			b.ReportAllocs()
			for b.Loop() {
				_ = mustParse(b, text, o)
			}
			_ = keep
		})
	}
}

func TestSearchesDoNotAllocate(t *testing.T) {
	for _, bb := range benchmarked {
		e := mustParse(t, bb.text, Options{Location: location(t, newYork)})
		at := time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC)
		assert.Zero(t, testing.AllocsPerRun(100, func() { e.Next(at) }), "Next of %s", bb.text)
		assert.Zero(t, testing.AllocsPerRun(100, func() { e.Prev(at) }), "Prev of %s", bb.text)
		assert.Zero(t, testing.AllocsPerRun(100, func() { e.Count(at, at.AddDate(1, 0, 0)) }), "Count of %s", bb.text)
	}
}
