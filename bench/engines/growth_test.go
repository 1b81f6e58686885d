package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheGrowthMeasuresEveryLibrary(t *testing.T) {
	for _, lib := range libraries {
		t.Run(lib.key, func(t *testing.T) {
			t.Parallel()
			v, err := grow(lib, 100, tinySize)
			require.NoError(t, err)
			for _, f := range growthFigures {
				require.Contains(t, v, f.key)
				if !mayBeZero[f.key] {
					assert.Positive(t, v[f.key], f.key)
				}
			}
		})
	}
}

func TestALibraryIsNotAskedForWhatItCannotTakeByWhatLessHasTaken(t *testing.T) {
	s := fullSize
	quick := outcome{Values: values{"register": 1e-6, "bytes": 300}}
	assert.Empty(t, forecast(quick, 1_000_000, 10_000_000, s, 24e9))
	assert.Empty(t, forecast(quick, 1_000_000, 10_000_000, s, 0), "how much memory there is may not be known")
	assert.Equal(t, "10,000,000 would take up to 6.0 GB, as large as 1,000,000", forecast(quick, 1_000_000, 10_000_000, s, 10e9))
	slow := outcome{Values: values{"register": 2e-5, "bytes": 300}}
	assert.Equal(t, "10,000,000 would take 3 min 20 s to register, as fast as 1,000,000", forecast(slow, 1_000_000, 10_000_000, s, 24e9))
	sorts := outcome{Values: values{"register": 1e-7, "bytes": 200, "start": 0.3}}
	assert.Equal(t, "one start among 10,000,000 would take 3 s, if it grew with their number as it did before", forecast(sorts, 1_000_000, 10_000_000, s, 24e9))
	assert.Equal(t, "no", forecast(outcome{Reason: "no"}, 1, 10, s, 0), "once is enough")
}
