package punctual_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

var benchSchedules = []string{
	"every 30m",
	"daily 09:30,17:15 Europe/Berlin",
	"cron 0 9 * * 1-5 Europe/Berlin",
	"every 1h | except sat,sun,12-25 Europe/Berlin",
	"daily 09:30 Europe/Berlin | jitter 5m",
	"every 1m | limit 1000000",
	"union (daily 09:30 Europe/Berlin) (every 1h)",
}

func BenchmarkScheduleNext(b *testing.B) {
	at := instant(b, "2026-03-07T12:00:00Z")
	for _, text := range benchSchedules {
		b.Run(text, func(b *testing.B) {
			s, err := punctual.ParseSchedule(text)
			require.NoError(b, err)
			s = bound(s, "task", at)
			b.ReportAllocs()
			for b.Loop() {
				_ = s.Next(at)
			}
		})
	}
}

// A store decodes the schedule of each task that it claims.
func BenchmarkParseSchedule(b *testing.B) {
	for _, text := range benchSchedules {
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = punctual.ParseSchedule(text)
			}
		})
	}
}

func BenchmarkCountAYear(b *testing.B) {
	at := instant(b, "2026-03-07T12:00:00Z")
	for _, text := range append(benchSchedules, "cron * * * * * * Europe/Berlin") {
		b.Run(text, func(b *testing.B) {
			s, err := punctual.ParseSchedule(text)
			require.NoError(b, err)
			r := bound(s, "task", at).(punctual.Ranged)
			b.ReportAllocs()
			for b.Loop() {
				_ = r.Count(at, at.AddDate(1, 0, 0))
			}
		})
	}
}
