package svg

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAScaleEndsAtDecadesAroundItsValues(t *testing.T) {
	s := ScaleFor([]float64{0.02, 3}, 0, 300)
	assert.Equal(t, []float64{0.01, 0.1, 1, 10}, s.Ticks(100))
	assert.Equal(t, []float64{0.01, 1}, s.Ticks(101))
	assert.InDelta(t, 0, s.At(0.01), 1e-9)
	assert.InDelta(t, 200, s.At(1), 1e-9)
	one := ScaleFor([]float64{1}, 0, 100)
	assert.Equal(t, []float64{1, 10}, one.Ticks(50))
}
