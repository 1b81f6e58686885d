package apscheduler

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/examples/comingfrom/work"
	"github.com/punctual-go/punctual/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// From 07:00 to 08:20 UTC the process is down: two syncs and the report go by.
func TestWhatWasMissedIsCaughtUpOrLeftOutAsTheTaskSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		work.Monday()
		d, store := new(work.Diary), memory.New() // handed on, as a durable store would be
		s, err := after(t.Context(), store, d)
		require.NoError(t, err)
		time.Sleep(15 * time.Minute)
		require.NoError(t, s.Shutdown(t.Context()))
		time.Sleep(80 * time.Minute)
		s, err = after(t.Context(), store, d)
		require.NoError(t, err)
		time.Sleep(30 * time.Minute)
		require.NoError(t, s.Shutdown(t.Context()))
		assert.Equal(t, []string{"Mon 08:20 sync crm", "Mon 08:45 sync crm"}, d.Lines())
		missed, err := s.Runs(t.Context(), punctual.RunQuery{States: []punctual.State{punctual.StateMissed}})
		require.NoError(t, err)
		counts := make(map[string]int64)
		for _, run := range missed {
			counts[run.TaskID] = run.Count
		}
		assert.Equal(t, map[string]int64{"sync": 2, "report": 1}, counts)
	})
}
