package punctual

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhereARunThatIsNoOccurrenceIsAdmitted(t *testing.T) {
	at := time.Date(2027, 3, 6, 12, 0, 0, 0, time.UTC) // a Saturday
	for text, want := range map[string]bool{
		"every 1h": true,
		"every 1h | starting 2027-03-06T12:00:00Z":                                  true,
		"every 1h | starting 2027-03-06T12:00:00.000001Z":                           false,
		"every 1h | until 2027-03-06T12:00:00Z":                                     false,
		"every 1h | until 2027-03-06T12:00:00.000001Z":                              true,
		"every 1h | except sun UTC":                                                 true,
		"every 1h | except sat UTC":                                                 false,
		"every 1h | except sat UTC | jitter 5m | limit 3":                           false,
		"every 1h | except sun UTC | jitter 5m | limit 3":                           true,
		"every 1h from 2027-03-06T00:00:00Z | limit 12":                             false,
		"every 1h from 2027-03-06T00:00:00Z | limit 13":                             true,
		"union (every 1h | except sat UTC) (every 2h)":                              true,
		"union (every 1h | except sat UTC) (every 2h | until 2027-03-06T12:00:00Z)": false,
	} {
		s, err := ParseSchedule(text)
		require.NoError(t, err)
		assert.Equal(t, want, admits(s, at), text)
	}
}
