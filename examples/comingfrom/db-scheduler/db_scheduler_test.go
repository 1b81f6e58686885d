package dbscheduler

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/punctual-go/punctual/examples/comingfrom/work"
	"github.com/punctual-go/punctual/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheDelayCountsFromTheEndOfARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &work.Diary{Takes: 10 * time.Minute}
		s, err := after(t.Context(), memory.New(), d)
		require.NoError(t, err)
		time.Sleep(100 * time.Minute)
		require.NoError(t, s.Shutdown(t.Context()))
		assert.Equal(t, []string{"Sat 00:00 sync crm", "Sat 00:40 sync crm", "Sat 01:20 sync crm"}, d.Lines())
	})
}

// Five retries after 10, 15, 22.5, 33.75 and 50.6 seconds are one run; the delay counts from its end.
func TestRetriesAreAttemptsOfOneRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &work.Diary{Fails: errors.New("503")}
		s, err := after(t.Context(), memory.New(), d)
		require.NoError(t, err)
		time.Sleep(30 * time.Minute)
		require.NoError(t, s.Shutdown(t.Context()))
		assert.Len(t, d.Lines(), 6)
		snapshot, err := s.Task(t.Context(), "sync")
		require.NoError(t, err)
		assert.Equal(t, 6, snapshot.LastRun.Attempt)
		assert.Equal(t, snapshot.LastRun.FinishedAt.Add(30*time.Minute), snapshot.NextRunAt)
	})
}
