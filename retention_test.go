package punctual_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// A process that is started anew each half an hour must not keep its ledger for ever, so it is trimmed soon after each start.
func TestRetentionBoundsTheLedgerSoonAfterTheStartAndEachHour(t *testing.T) {
	for name, test := range map[string]struct {
		retention punctual.Option
		left      int // after a trim at five minutes
	}{
		"by number": {punctual.WithRetention(0, 3), 3},
		"by age":    {punctual.WithRetention(2*time.Minute, 0), 2},
		"no bound":  {punctual.WithRetention(0, 0), 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil, test.retention).start()
				w.wait(30 * time.Second)
				w.add(punctual.Task{ID: "t", Schedule: punctual.Every(time.Minute)})
				w.wait(4*time.Minute + 25*time.Second)
				assert.Len(t, w.ledger("t"), 5, "shortly before")
				w.wait(25 * time.Second)
				assert.Len(t, w.ledger("t"), test.left)
				w.wait(time.Hour)
				want := test.left
				if name == "no bound" {
					want += 60
				}
				assert.Len(t, w.ledger("t"), want, "an hour later")
				w.stop()
			})
		})
	}
}

// The row of the skips was trimmed while it was still open, and the skips after that were added to a row that was not there any more. The
// simulation found it.
func TestSkipsBehindARunThatOutlivesTheRetentionAreNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, busyFor(24*time.Hour), punctual.WithRetention(2*time.Minute, 0)).start()
		w.add(punctual.Task{ID: "t", Schedule: punctual.Every(2 * time.Hour)})
		w.wait(7 * time.Hour)
		assert.Equal(t, []string{"register +0s running", "schedule +2h0m0s skipped x3 overlap"}, w.facts("t"))
		require.Error(t, w.s.Close(), "the run is named")
	})
}
