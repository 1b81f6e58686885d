package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// endedRuns makes final runs of one task with ids that sort by their number, all created and all finished at one time.
func endedRuns(t *testing.T, s *Store, from, to int, created, finished int64) {
	t.Helper()
	require.NoError(t, s.tx(t.Context(), func(tx *txn) error {
		_, err := tx.exec(`WITH RECURSIVE made (n) AS (SELECT ? UNION ALL SELECT n + 1 FROM made WHERE n < ?)
			INSERT INTO runs (id, task_id, task_name, kind, trigger_, scheduled_us, attempt, state, key, priority, finished_us, instance, session, revision,
				at_most_once, created_us)
			SELECT format('%08d', n), 'task', '', '', 'schedule', n, 1, 'succeeded', '', 0, ?, '', '', 1, 0, ? FROM made`, from, to, finished, created)
		return err
	}))
}

func trimBefore(t *testing.T, s *Store, us int64) int {
	t.Helper()
	n, err := s.Trim(t.Context(), punctual.TrimRequest{Before: time.UnixMicro(us), Limit: 10 * trimPage})
	require.NoError(t, err)
	return n
}

// Retention has no index of its own. What it costs must not grow with the history that is kept, and nothing old may escape it.
func TestTrimWalksFromTheOldestRunsToTheFirstThatAreTooYoung(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "tasks.db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	endedRuns(t, s, 1, 2*trimPage, 10, 90)               // these took long
	endedRuns(t, s, 2*trimPage+1, 2*trimPage+3, 10, 20)  // behind them stands what did not
	endedRuns(t, s, 2*trimPage+4, 4*trimPage+4, 60, 60)  // more than a page
	endedRuns(t, s, 4*trimPage+5, 4*trimPage+10, 10, 20) // out of order, to see who comes so far
	assert.Equal(t, 3, trimBefore(t, s, 50), "what ended early is found behind what ended late")
	assert.Equal(t, 0, trimBefore(t, s, 50), "nobody looks behind a page of which nothing was created early enough")
	assert.Equal(t, 2*trimPage+7, trimBefore(t, s, 61), "they are found when their time has come")
	assert.Equal(t, 2*trimPage, trimBefore(t, s, 91))
	assert.Equal(t, 0, trimBefore(t, s, 1000))
}
