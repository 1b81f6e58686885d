package postgres

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// endedRuns makes final runs of one task with ids that sort by their number, all created and all finished at one time.
func endedRuns(t *testing.T, s *Store, from, to int, created, finished int64) {
	t.Helper()
	_, err := s.pool.Exec(t.Context(), s.text(`INSERT INTO {schema}.ended_runs (id, task_id, task_name, kind, trigger_, scheduled_us, attempt, state, key, finished_us,
			instance, session, revision, at_most_once, created_us)
		SELECT lpad(i::text, 8, '0'), 'task', '', '', 'schedule', i, 1, 'succeeded', '', $4::bigint, '', '', 1, false, $3::bigint
		FROM generate_series($1::integer, $2::integer) AS i`), from, to, created, finished)
	require.NoError(t, err)
}

func trimBefore(t *testing.T, s *Store, us int64) int {
	t.Helper()
	n, err := s.Trim(t.Context(), punctual.TrimRequest{Before: time.UnixMicro(us), Limit: 10 * endedPage})
	require.NoError(t, err)
	return n
}

// Retention has no index of its own. What it costs must not grow with the history that is kept, and nothing old may escape it.
func TestTrimWalksFromTheOldestRunsToTheFirstThatAreTooYoung(t *testing.T) {
	s := crowded(t, 0)
	endedRuns(t, s, 1, 2*endedPage, 10, 90)                // these took long
	endedRuns(t, s, 2*endedPage+1, 2*endedPage+3, 10, 20)  // behind them stands what did not
	endedRuns(t, s, 2*endedPage+4, 4*endedPage+4, 60, 60)  // more than a page
	endedRuns(t, s, 4*endedPage+5, 4*endedPage+10, 10, 20) // out of order, to see who comes so far
	assert.Equal(t, 3, trimBefore(t, s, 50), "what ended early is found behind what ended late")
	assert.Equal(t, 0, trimBefore(t, s, 50), "nobody looks behind a page of which nothing was created early enough")
	assert.Equal(t, 2*endedPage+7, trimBefore(t, s, 61), "they are found when their time has come")
	assert.Equal(t, 2*endedPage, trimBefore(t, s, 91))
	assert.Equal(t, 0, trimBefore(t, s, 1000))
}
