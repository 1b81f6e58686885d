package report

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestFiguresAreWrittenWithThreeDigitsAndTheirUnit(t *testing.T) {
	for _, test := range []struct {
		u    Unit
		v    float64
		want string
	}{
		{PerSecond, 5.25, "5.25/s"},
		{PerSecond, 4834, "4834/s"},
		{PerSecond, 20_100, "20.1 k/s"},
		{PerSecond, 1_234_567, "1.23 M/s"},
		{BytesEach, 57.46, "57.5 B"},
		{Duration, 5.91e-7, "591 ns"},
		{Duration, 0.0000141, "14.1 µs"},
		{Duration, 0.301, "301 ms"},
		{Duration, 12.34, "12.3 s"},
		{Cores, 0.00042, "0.0004"},
		{Cores, 0.1234, "0.123"},
		{Share, 1, "100 %"},
		{Share, 0.9995, "99.95 %"},
		{Share, 0.136, "14 %"},
		{Plain, 6, "6"},
	} {
		assert.Equal(t, test.want, test.u.Write(test.v))
	}
	assert.Equal(t, "10,000,000", Count(10_000_000))
	assert.Equal(t, "200 µs", Length(200*time.Microsecond))
	assert.Equal(t, "17 min", Length(17*time.Minute))
}
