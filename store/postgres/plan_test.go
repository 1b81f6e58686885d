package postgres

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// stored is how many tasks the plans are asked for; PUNCTUAL_POSTGRES_TASKS says otherwise, a million for one.
func stored(t *testing.T) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("PUNCTUAL_POSTGRES_TASKS"), "50000"))
	require.NoError(t, err)
	return n
}

// ledgerRows makes rows of one table of runs: state, due time and which.
const ledgerRows = `INSERT INTO {schema}.%s (id, task_id, task_name, kind, trigger_, scheduled_us, attempt, state, due_us, key, started_us, finished_us,
		instance, session, revision, at_most_once, created_us)
	SELECT 'run-' || i, 'task-' || i, '', '', 'schedule', i, 1, %s, %s, '', i, i, '', 's', 1, false, i FROM generate_series(1, $1::integer) AS i WHERE %s`

// crowded opens a store in a schema of its own that holds many tasks, half of them due, and a ledger with a few live runs.
func crowded(t *testing.T, tasks int) *Store {
	t.Helper()
	dsn := cmp.Or(os.Getenv("PUNCTUAL_POSTGRES_DSN"), "postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable")
	schema := fmt.Sprintf("punctual_plan_%d_%d", os.Getpid(), tasks)
	config, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	// Large tables tempt the planner to work in parallel; with these so do small ones.
	for _, cost := range []string{"min_parallel_index_scan_size", "min_parallel_table_scan_size", "parallel_setup_cost", "parallel_tuple_cost"} {
		config.ConnConfig.RuntimeParams[cost] = "0"
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	s, err := New(t.Context(), pool, WithSchema(schema))
	if err != nil && os.Getenv("PUNCTUAL_REQUIRE_SERVICES") != "1" {
		t.Skipf("needs PostgreSQL (PUNCTUAL_POSTGRES_DSN): %v", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := s.pool.Exec(context.Background(), `DROP SCHEMA `+pgx.Identifier{schema}.Sanitize()+` CASCADE`)
		require.NoError(t, err)
		require.NoError(t, s.Close())
	})
	for _, statement := range []string{
		`INSERT INTO {schema}.tasks SELECT 'task-' || i, 'task-' || i, '', 1, '{}', '{}', '', 0, 1, false, 0, CASE WHEN i % 2 = 0 THEN i ELSE 9e15 END, NULL, 0,
			'', '', '', 0, '', 0, 0 FROM generate_series(1, $1::integer) AS i`,
		fmt.Sprintf(ledgerRows, "live_runs", "CASE WHEN i % 1000 = 0 THEN 'running' ELSE 'pending' END", "CASE WHEN i % 1000 = 1 THEN i END", "i % 1000 <= 1"),
		fmt.Sprintf(ledgerRows, "ended_runs", "'succeeded'", "NULL", "i % 1000 > 1"),
	} {
		_, err := s.pool.Exec(t.Context(), s.text(statement), tasks)
		require.NoError(t, err)
	}
	return s
}

// plan returns what the server says of a statement that is carried out within a transaction of the store. It is the plan that is kept for
// all parameters, as there, and not one that is made for these.
func plan(t *testing.T, s *Store, statement string, args ...any) string {
	t.Helper()
	var lines []string
	require.NoError(t, s.once(t.Context(), s.pool, begin, func(tx *txn) error {
		tx.queue("PREPARE planned AS " + statement)
		if err := tx.send(); err != nil {
			return err
		}
		values := make([]string, len(args))
		for i, arg := range args {
			values[i] = literal(t, arg)
		}
		ask(tx, &lines, scanText, "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) EXECUTE planned ("+strings.Join(values, ", ")+")")
		if err := tx.send(); err != nil {
			return err
		}
		tx.queue("DEALLOCATE planned")
		return tx.send()
	}))
	text := strings.Join(lines, "\n")
	assert.NotContains(t, text, "Gather", "a process is started for: %s", statement)
	return text
}

// literal writes an argument into a statement.
func literal(t *testing.T, arg any) string {
	t.Helper()
	switch v := arg.(type) {
	case nil:
		return "NULL"
	case string:
		return "'" + v + "'"
	case []string:
		if len(v) == 0 {
			return "'{}'"
		}
		return "'{\"" + strings.Join(v, `","`) + "\"}'"
	case []int64, []bool:
		return "'{" + strings.Trim(strings.ReplaceAll(fmt.Sprint(v), " ", ","), "[]") + "}'"
	case bool, int, int64:
		return fmt.Sprint(v)
	}
	t.Fatalf("no literal for %T", arg)
	return ""
}

// What the engine asks again and again goes along an index, however many tasks and runs there are, and a claim looks at no more of them than
// it takes: when nobody has told the planner of them yet (no statistics), and when it knows them well.
func TestHotStatementsUseTheirIndexes(t *testing.T) {
	s := crowded(t, stored(t))
	t.Run("made while the tables were empty", func(t *testing.T) { checkTightStatements(t, crowded(t, 0)) })
	t.Run("without statistics", func(t *testing.T) { checkHotStatements(t, s) })
	_, err := s.pool.Exec(t.Context(), s.text("ANALYZE {schema}.tasks, {schema}.live_runs, {schema}.ended_runs"))
	require.NoError(t, err)
	t.Run("with statistics", func(t *testing.T) { checkHotStatements(t, s) })
}

// Arguments of statements about a run that is not there.
var (
	beginning = []any{
		[]string{"new-1", "new-2"},
		[]string{"task-2", "task-4"},
		[]string{""},
		[]string{""},
		[]string{"schedule"},
		[]int64{1, 2},
		[]int64{1},
		[]string{""},
		[]int64{0},
		[]string{""},
		[]string{""},
		[]int64{1},
		[]bool{false},
		[]int64{1},
	}
	inserting = []any{
		[]string{"new-3", "new-4"},
		[]string{"task-2", "task-4"},
		[]string{""},
		[]string{""},
		[]string{"schedule"},
		[]int64{3, 5},
		[]int64{1},
		[]int64{1},
		[]int64{1},
		[]string{"pending"},
		[]int64{1},
		[]int64{1},
		[]int64{1},
		[]string{""},
		[]string{""},
		[]string{""},
		[]string{""},
		[]string{""},
		[]string{""},
		[]string{""},
		[]string{""},
		[]int64{1},
		[]bool{false},
		[]bool{false},
		[]int64{1},
		[]string{""},
		[]string{""},
		[]bool{false},
		[]int64{0},
	}
	updating = []any{
		[]string{"new"},
		[]string{"task-2"},
		[]string{"skipped"},
		[]int64{1},
		[]int64{1},
		[]int64{1},
		[]int64{1},
		[]string{""},
		[]string{""},
		[]string{""},
		[]string{""},
		[]string{""},
		[]int64{1},
		[]int64{1},
		[]string{""},
		[]bool{false},
	}
)

// checkTightStatements makes sure that what looks for one thing does so in the one index that leads straight to it, also when the plan is
// older than all rows.
func checkTightStatements(t *testing.T, s *Store) {
	for _, tight := range []struct {
		statement string
		args      []any
		index     string
	}{
		{beginRuns.general, beginning, "using ended_occurrence"},
		{beginRuns.usual, usual(&beginRuns, beginning), "using ended_occurrence"},
		{insertLive.general, inserting, "using ended_occurrence"},
		{insertEnded.general, inserting, "using live_occurrence"},
		{lockDelayed, []any{[]string{"task-2"}}, "using tasks_delayed"},
		{countDelays, []any{[]string{"task-2"}, []int64{1}}, "using tasks_delayed"},
		{releaseWaiting, []any{int64(1), []string{"task-2"}, []int64{1}}, "using live_waiting"},
		{lookAround, []any{nil}, "using tasks_delayed"},
		{lookAround, []any{nil}, "using live_waiting"},
	} {
		assert.Contains(t, plan(t, s, tight.statement, tight.args...), tight.index, "%s", tight.statement)
	}
}

// usual are the arguments of the usual text of a batch.
func usual(b *batch, lists []any) []any {
	_, args := b.of(lists)
	return args
}

// locking are the arguments of dueTasks and dueRuns.
func locking(limit int, taken []stretch, kinds ...any) []any {
	return slices.Concat([]any{punctual.TaskFormat, []string{}, int64(1e15), limit}, stretchLists(taken), kinds)
}

func checkHotStatements(t *testing.T, s *Store) {
	ids := []string{"task-2", "task-4", "task-1000"}
	none, kinds, foreign := []string{}, []string{"", "k"}, []string{"a", "b", "c"}
	us := int64(1e15)
	ending := []any{
		[]string{"run-7"}, []int64{1}, []string{"failed"}, []int64{us}, []int64{us}, []string{""}, []string{""}, []string{""}, []string{""}, []string{""},
	}
	moving := []any{ids, []bool{false}, []int64{us}, []int64{us}, []int64{us}, []int64{0}, []string{""}, []string{""}, []string{""}, []int64{0}, us}
	all := map[string][]any{
		dueTasks.all: locking(100, nil), dueTasks.some: locking(100, nil, kinds), dueRuns.all: locking(100, nil), dueRuns.some: locking(100, nil, kinds),
		nextTask.all: {punctual.TaskFormat, none, "", 0, us, "task-2", us}, nextTask.some: {punctual.TaskFormat, none, "", 0, us, "task-2", us, kinds},
		upcomingTasks.all: {punctual.TaskFormat, none, us, 100}, upcomingTasks.some: {punctual.TaskFormat, none, us, 100, kinds},
		preparedTasks.all: {punctual.TaskFormat, none, us, 100}, preparedTasks.some: {punctual.TaskFormat, none, us, 100, kinds},
		overdueTasks: {punctual.TaskFormat, none, us, us}, overdueRuns: {punctual.TaskFormat, none, us, us},
		nextRun.all: {punctual.TaskFormat, none, nil, nil, nil, nil, us}, nextRun.some: {punctual.TaskFormat, none, nil, nil, nil, nil, us, kinds},
		selectLive: {ids}, lockTask: {"task-2"}, lockRunning: {ids},
		selectPending: {"task-2"}, selectPendingDue: {ids, us, true, []string{}}, selectWaiters: {ids}, selectKeys: {[]string{"k"}},
		selectKeyOf: {"task-2", "k"}, selectKeysOfTask: {"task-2"}, passOnKey: {us, []string{"k"}, []int64{1}, 1}, lockSlots: {[]string{"k"}, ids},
		endRuns.general: ending, endRuns.usual: usual(&endRuns, ending),
		lockDelayed: {ids}, lockLive: {[]string{"run-7", "run-8"}}, lockEnded: {[]string{"run-7", "run-8"}}, selectThere: {ids}, releaseWaiting: {us, ids, []int64{1, 1, 1}},
		countDelays: {ids, []int64{us, us, us}}, selectOrders: {"s"}, selectHeld: {"other"}, moveRuns: {"task-2", 1},
		nextEnded: {"", endedPage}, trimOld: {[]string{"run-7", "run-8"}, int64(50)}, trimMany: {ids, 5, int64(10)}, nextTaskIDs: {"", 10},
		beginRuns.general: beginning, beginRuns.usual: usual(&beginRuns, beginning), insertLive.general: inserting, insertEnded.general: inserting, updatePending: updating, updateSkipped: updating, endPending: updating,
		updateStatus.general: moving, updateStatus.usual: usual(&updateStatus, moving),
		retryRuns: {
			[]string{"run-0"},
			[]string{"pending"},
			[]int64{1},
			[]int64{us},
			[]int64{us},
			[]int64{us},
			[]string{""},
			[]string{""},
			[]string{""},
			[]string{""},
			[]string{""},
			[]string{""},
			[]string{""},
			[]string{""},
		},
		removeLive: {[]string{"run-0"}}, noteLive: {[]string{"run-0"}, []string{""}}, noteEnded: {[]string{"run-7"}, []string{""}},
		listRuns + " WHERE r.task_id = $1 AND r.id > '' ORDER BY r.id DESC LIMIT 10": {"task-2"}, listRuns + " ORDER BY r.id DESC LIMIT $1": {10},
		fmt.Sprintf(listLast, " WHERE t.id > $1 ORDER BY t.id LIMIT 10"): {"task-2"},
	}
	for statement, args := range all {
		text := plan(t, s, statement, args...)
		for _, table := range []string{"tasks", "live_runs", "ended_runs"} {
			assert.NotContains(t, text, "Seq Scan on "+table, "%s", statement)
		}
	}
	for _, end := range []string{endRuns.general, endRuns.usual} {
		assert.Contains(t, plan(t, s, end, all[end]...), "using live_runs_pkey")
	}
	checkTightStatements(t, s)
	pages := func(text string) (pages int) {
		for line := range strings.Lines(text) {
			if _, err := fmt.Sscanf(strings.TrimSpace(line), "Buffers: shared hit=%d", &pages); err == nil {
				break // the first line is the whole
			}
		}
		assert.NotZero(t, pages)
		return pages
	}
	underway := []stretch{{lane{"", 0}, entry{2, "task-2"}, entry{1002, "task-1002"}}}
	for name, due := range map[string]source{"tasks_due": dueTasks, "live_due": dueRuns} {
		for _, text := range []string{
			plan(t, s, due.all, locking(20, nil)...), plan(t, s, due.some, locking(20, nil, kinds)...),
			plan(t, s, due.all, locking(20, underway)...), plan(t, s, due.some, locking(20, underway, kinds)...),
		} {
			assert.Contains(t, text, "using "+name)
			assert.Regexp(t, `Index Cond: .*ROW\([^()]*\) >= ROW\(s\.due, s\.id\)`, text, "a lane is read from its first item on")
			assert.Less(t, pages(text), 400, "pages that a claim of 20 touches among %d tasks: %s", stored(t), text)
		}
		text := plan(t, s, due.some, locking(20, nil, foreign)...)
		assert.Less(t, pages(text), 100, "pages that a claim of other kinds touches among %d tasks: %s", stored(t), text)
	}
	for _, at := range []source{upcomingTasks, preparedTasks} {
		const crowd, nobody = int64(9e15), int64(8e15) // half of all tasks come due at one of these instants, and none at the other
		assert.Contains(t, plan(t, s, at.some, punctual.TaskFormat, none, crowd, 20, kinds), "using tasks_due")
		for instant, most := range map[int64]int{crowd: 400, nobody: 100} {
			for _, text := range []string{
				plan(t, s, at.all, punctual.TaskFormat, none, instant, 20), plan(t, s, at.some, punctual.TaskFormat, none, instant, 20, kinds),
			} {
				assert.Less(t, pages(text), most, "pages that are touched for 20 of the tasks of one instant among %d: %s", stored(t), text)
			}
		}
	}
	for _, next := range []string{nextTask.all, nextTask.some} {
		args := []any{punctual.TaskFormat, none, "", 0, int64(100), "task-100", us, kinds}
		text := plan(t, s, next, args[:7+strings.Count(next, "$8")]...)
		assert.Contains(t, text, "never executed", "more is due behind what was taken last, so nobody has to look from the beginning: %s", text)
		assert.Less(t, pages(text), 10, "%s", text)
	}
	for _, next := range []source{nextTask, nextRun} {
		text := plan(t, s, next.some, punctual.TaskFormat, none, nil, nil, nil, nil, us, foreign)
		assert.Less(t, pages(text), 100, "pages that are touched to find what of other kinds is due next among %d tasks: %s", stored(t), text)
	}
}
