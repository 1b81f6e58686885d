package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tinySize is enough to see that something is measured.
var tinySize = size{
	Register: 200, Slow: 20, Fast: 100, Warm: 100 * time.Millisecond, Long: 400 * time.Millisecond, Burst: 200, Registered: 50, Calls: 10,
	Idle: 20 * time.Millisecond, Drain: 20, Work: 20 * time.Millisecond, Rounds: 2,
	Growth: []int{100, 1000}, GrowthSetup: 5 * time.Second, GrowthRounds: 1,
	Setup: 9 * time.Second, Cap: 5 * time.Second, Repeat: time.Second,
}

// mayBeZero are the figures that can be nothing at that size, or where the measurements of one process weigh each other.
var mayBeZero = map[string]bool{"cpu": true, "goroutines": true, "bytes": true}

func TestEveryScenarioMeasuresEveryLibraryAndMissesNoStart(t *testing.T) {
	for _, sc := range scenarios {
		for _, lib := range libraries {
			t.Run(sc.key+"/"+lib.key, func(t *testing.T) {
				t.Parallel()
				v, err := sc.measure(lib, tinySize)
				require.NoError(t, err)
				for _, f := range sc.figures {
					require.Contains(t, v, f.key)
					if !mayBeZero[f.key] {
						assert.Positive(t, v[f.key], f.key)
					}
				}
				if fired, counted := v["fired"]; counted {
					assert.InDelta(t, 1, fired, 1e-9, "of all that was due")
				}
				assert.NotContains(t, v, "done", "all of it fits into the cap")
			})
		}
	}
}

func TestALibraryThatIsTooSlowForTheSetupSaysSo(t *testing.T) {
	s := tinySize
	s.Setup = time.Nanosecond
	for _, key := range []string{"fires", "burst", "start", "edit", "idle"} {
		sc, err := scenarioOf(key)
		require.NoError(t, err)
		result, err := answer(sc.measure(libraries[1], s))
		require.NoError(t, err)
		assert.Contains(t, result.Reason, " registered in 1 ns", key)
		assert.NotZero(t, result.Tasks, key)
		assert.LessOrEqual(t, result.Tasks, sc.tasks(s), key)
	}
}

func TestARegistrationThatTheCapCutsShortTellsHowFarItCame(t *testing.T) {
	s := tinySize
	s.Register, s.Cap = 10_000_000, 10*time.Millisecond
	v, err := register(libraries[1], s, false)
	require.NoError(t, err)
	assert.Positive(t, v["done"])
	assert.Less(t, v["done"], float64(s.Register))
	assert.Positive(t, v["rate"])
}

func TestTheGridGoesOnWithoutDriftFromItsFirstInstant(t *testing.T) {
	first := time.Unix(1000, 0)
	for after, want := range map[time.Duration]time.Duration{-time.Hour: 0, -1: 0, 0: time.Minute, 1: time.Minute, time.Minute - 1: time.Minute, time.Minute: 2 * time.Minute} {
		assert.Equal(t, first.Add(want), grid(first, time.Minute, first.Add(after)), fmt.Sprint(after))
	}
}
