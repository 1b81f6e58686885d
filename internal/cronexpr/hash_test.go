package cronexpr

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Stored tasks rely on these choices: a change of this table moves the tasks of every host.
func TestHashChoosesTheSameForEver(t *testing.T) {
	for _, test := range []struct{ text, key, want string }{
		{"H H H H H", "", "2026-03-07 15:04:00"},
		{"H H * * *", "report", "2026-01-01 17:47:00"},
		{"H H * * *", "nightly-backup", "2026-01-01 06:01:00"},
		{"H H H * * *", "report", "2026-01-01 17:47:36"},
		{"H(0-29) H(22-2) * * *", "report", "2026-01-01 02:17:00"},
		{"H(0-29)/10 * * * *", "report", "2026-01-01 00:07:00"},
		{"H/15 * * * *", "report", "2026-01-01 00:02:00"},
		{"0 0 H * *", "report", "2026-01-05 00:00:00"},
		{"0 0 * * H(1-5)", "report", "2026-01-05 00:00:00"},
	} {
		e := mustParse(t, test.text, Options{HashKey: test.key})
		assert.True(t, e.HasHash())
		assert.Equal(t, test.want, e.Next(time.Date(2025, 12, 31, 23, 59, 59, 0, time.UTC)).Format("2006-01-02 15:04:05"), "%s for %q", test.text, test.key)
	}
}

func TestHashSpreadsOverItsRange(t *testing.T) {
	const keys = 6000
	e := mustParse(t, "H * * * *", Options{})
	var minutes [60]int
	for i := range keys {
		with, err := e.WithHash(fmt.Sprintf("task-%d", i))
		require.NoError(t, err)
		minutes[with.Next(time.Unix(1e9, 0)).Minute()]++
	}
	for m, n := range minutes {
		assert.InDelta(t, keys/60, n, 50, "minute %d", m) // five standard deviations
	}
}

func TestHashOfAWrappingRangeStaysInIt(t *testing.T) {
	seen := map[int]bool{}
	e := mustParse(t, "0 H(22-2) 5 * *", Options{})
	for i := range 100 {
		with, err := e.WithHash(fmt.Sprint(i))
		require.NoError(t, err)
		at := with.Next(time.Unix(0, 0))
		require.Equal(t, 5, at.Day())
		seen[at.Hour()] = true
	}
	assert.Equal(t, map[int]bool{22: true, 23: true, 0: true, 1: true, 2: true}, seen)
}

func TestHashOfDaysChoosesOnlyWhatEveryMonthHas(t *testing.T) {
	e := mustParse(t, "0 0 H 2 *", Options{})
	for i := range 300 {
		with, err := e.WithHash(fmt.Sprint(i))
		require.NoError(t, err)
		assert.Equal(t, 1970, with.Next(time.Time{}).Year())
	}
	for _, text := range []string{"0 0 H(29-31) 2 *", "0 0 31 H *", "0 0 H(30-31) H *"} {
		for i := range 20 { // whichever the key
			_, err := Parse(text, Options{HashKey: fmt.Sprint(i)})
			assert.ErrorContains(t, err, "never matches", text)
		}
	}
	mustParse(t, "0 0 H(30-31),1 2 *", Options{})
	mustParse(t, "0 0 30 H(3-6) *", Options{})
}

func TestWithHashKeepsEverythingElse(t *testing.T) {
	o := Options{Location: location(t, newYork), HashKey: "a", Gap: GapShift, Fold: FoldBoth}
	e := mustParse(t, "CRON_TZ=Europe/Berlin H(30-30) 2 * * *", o)
	with, err := e.WithHash("b")
	require.NoError(t, err)
	assert.Equal(t, e.String(), with.String())
	assert.Equal(t, "Europe/Berlin", with.Location().String())
	assert.Same(t, e.line, with.line)
	same, err := e.WithHash("a")
	require.NoError(t, err)
	assert.Same(t, e, same)

	plain := mustParse(t, "0 9 * * *", o)
	assert.False(t, plain.HasHash())
	with, err = plain.WithHash("b")
	require.NoError(t, err)
	assert.Same(t, plain, with)
}
