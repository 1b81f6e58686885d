package sqlite

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the engine asks again and again goes along an index, however many tasks and runs there are.
func TestHotStatementsUseTheirIndexes(t *testing.T) {
	store, err := Open(t.Context(), filepath.Join(t.TempDir(), "tasks.db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	for name, statement := range map[string]string{
		"selectDueTasks": selectDueTasks, "selectDueRuns": selectDueRuns, "selectNextTask": selectNextTask, "selectNextRun": selectNextRun,
		"selectTasks": selectTasks, "selectPendingDue": selectPendingDue, "selectLive": selectLive, "selectPending": selectPending,
		"updateRun": updateRun, "finishRun": finishRun, "releaseWaiting": releaseWaiting, "selectWaiting": selectWaiting,
		"selectDelayed": selectDelayed, "selectOrders": selectOrders, "selectHeld": selectHeld, "selectLastRuns": selectLastRuns,
		"selectActive": selectActive, "trimOld": trimOld,
	} {
		args := make([]any, strings.Count(statement, "?"))
		if strings.Contains(statement, "?6") {
			args = args[:6] // numbered
		}
		rows, err := store.read.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+statement, args...)
		require.NoError(t, err, name)
		for rows.Next() {
			var id, parent, unused int
			var detail string
			require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
			scan := strings.HasPrefix(detail, "SCAN") && !strings.Contains(detail, "USING INDEX") && !strings.Contains(detail, "VIRTUAL TABLE") &&
				!strings.HasPrefix(detail, "SCAN (subquery")
			assert.False(t, scan || strings.Contains(detail, "USE TEMP B-TREE FOR ORDER BY") && strings.HasPrefix(name, "selectDue"), "%s: %s", name, detail)
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
	}
}
