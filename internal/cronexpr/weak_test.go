package cronexpr

import (
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestExpressionsOfOneZoneShareItsTimeline(t *testing.T) {
	loc := location(t, newYork)
	fixed := mustParse(t, "0 9 * * *", Options{Location: loc})
	assert.Same(t, fixed.line, mustParse(t, "0 10 * * *", Options{Location: loc}).line)
	assert.NotSame(t, fixed.line, mustParse(t, "0 10 * * *", Options{Location: loc, Fold: FoldBoth}).line)
	assert.NotSame(t, fixed.line, mustParse(t, "0 * * * *", Options{Location: loc}).line)

	// Zones of one name may differ.
	a := mustParse(t, "0 9 * * *", Options{Location: time.FixedZone("Home", 3600)})
	b := mustParse(t, "0 9 * * *", Options{Location: time.FixedZone("Home", 7200)})
	assert.Equal(t, time.Hour, a.Next(time.Unix(0, 0)).Sub(b.Next(time.Unix(0, 0))))

	named := mustParse(t, "CRON_TZ=Asia/Tokyo 0 9 * * *", Options{})
	assert.Same(t, named.Location(), mustParse(t, "TZ=Asia/Tokyo 0 10 * * *", Options{}).Location())
}

func TestWeakMapForgetsOnlyWhatIsGone(t *testing.T) {
	var m weakMap[string, [4]int]
	made := 0
	construct := func() (*[4]int, error) {
		made++
		return &[4]int{made}, nil
	}
	first, err := m.get("a", construct)
	require.NoError(t, err)
	m.forget("a") // as after an older value of the same key
	again, err := m.get("a", construct)
	require.NoError(t, err)
	assert.Same(t, first, again)

	m.values["a"] = weak.Pointer[[4]int]{} // what a weak pointer turns into
	m.forget("a")
	assert.Empty(t, m.values)

	inner, err := m.get("c", func() (*[4]int, error) {
		_, err := m.get("c", construct) // as if another goroutine had been faster
		return &[4]int{-1}, err
	})
	require.NoError(t, err)
	assert.NotEqual(t, -1, inner[0])
	delete(m.values, "c")

	_, err = m.get("b", func() (*[4]int, error) { return nil, assert.AnError })
	require.ErrorIs(t, err, assert.AnError)
	assert.Empty(t, m.values)
}
