package sqlite

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hot lists the statements that the engine runs again and again.
var hot = []string{
	sources[0].lanes, sources[0].all, sources[0].due, sources[1].lanes, sources[1].all, sources[1].due, selectTasks, selectPendingDue, selectLive, selectKeys, selectSession,
	selectTask, selectPending, selectRun, selectRuns, selectThere, selectLeft, selectWaiting, selectDelayed, selectOrders,
	insertRun, startRun, updateRun, finishRun, endRun, updateStatus, moveTask, moveTasks, startRuns, selectBegun, upsertTask, moveRuns, releaseWaiting, passOnKey, countDelay, renewSession, countNews,
}

// What the engine asks again and again goes along an index, however many tasks and runs there are, and not along a task's history.
func TestHotStatementsUseTheirIndexes(t *testing.T) {
	store, err := Open(t.Context(), filepath.Join(t.TempDir(), "tasks.db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	all := map[string]string{"selectHeld": selectHeld, "selectLastRuns": selectLastRuns, "selectActive": selectActive, "nextPage": nextPage, "trimOld": trimOld}
	for i, statement := range hot {
		all[fmt.Sprintf("hot %d: %.60s", i, statement)] = statement
	}
	lanes := 0
	for name, statement := range all {
		args := make([]any, strings.Count(statement, "?"))
		if strings.Contains(statement, "?1") {
			args = make([]any, 5) // numbered
			for len(args) > 0 && !strings.Contains(statement, fmt.Sprint("?", len(args))) {
				args = args[:len(args)-1]
			}
		}
		rows, err := store.read.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+statement, args...)
		require.NoError(t, err, name)
		for rows.Next() {
			var id, parent, unused int
			var detail string
			require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
			scan := strings.HasPrefix(detail, "SCAN runs") || strings.HasPrefix(detail, "SCAN tasks")
			history := strings.Contains(detail, "runs_task ") && strings.Contains(statement, live)
			sort := strings.Contains(detail, "USE TEMP B-TREE FOR ORDER BY") && strings.Contains(statement, "UNION ALL")
			assert.False(t, scan || history || sort, "%s: %s", name, detail)
			if strings.Contains(detail, "_due ") {
				// What is due of other kinds is not even looked at.
				assert.Regexp(t, `_due \(kind(>\?|=\? AND priority=\?)`, detail, name)
				lanes++
			}
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
	}
	assert.GreaterOrEqual(t, lanes, 2*5, "the two statements that find lanes and the one that reads one, of tasks and of runs")
}
