package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// inside opens a store in a database of its own for tests that look behind the interface.
func inside(t *testing.T) (s *Store, dsn string) {
	t.Helper()
	dsn = os.Getenv("PUNCTUAL_MYSQL_DSN")
	if dsn == "" {
		dsn = "root@tcp(127.0.0.1:3306)/"
	}
	cfg, err := driver.ParseDSN(dsn)
	require.NoError(t, err)
	cfg.DBName = ""
	db, err := sql.Open("mysql", cfg.FormatDSN())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	name := fmt.Sprintf("punctual_inside_%d_%x", os.Getpid(), rand.Uint64())
	if _, err := db.Exec("CREATE DATABASE " + name); err != nil {
		if os.Getenv("PUNCTUAL_REQUIRE_SERVICES") != "" {
			t.Fatalf("no MySQL or MariaDB server answers: %v", err)
		}
		t.Skipf("no MySQL or MariaDB server answers: %v", err)
	}
	t.Cleanup(func() {
		_, err := db.Exec("DROP DATABASE " + name)
		require.NoError(t, err)
	})
	cfg.DBName = name
	s, err = Open(t.Context(), cfg.FormatDSN())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s, cfg.FormatDSN()
}

var noon = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

// fill stores many tasks, one of which is due each second from noon on, and for each a run that waits for later and one that has ended.
func fill(t *testing.T, s *Store, thousands int) {
	for _, statement := range []string{
		`INSERT INTO {tasks} (id, format, definition, digest, next_us)
			SELECT CONCAT('t', a.slot, '-', b.slot), 1, '{"schedule":"every 1h"}', UNHEX(SHA2('{"schedule":"every 1h"}', 256)), ? + 1000000 * (a.slot + 1000 * b.slot)
			FROM {locks} AS a, {locks} AS b WHERE a.slot < 1000 AND b.slot < ?`,
		`INSERT INTO {runs} (id, task_id, state, trigger_, due_us, output, error, stack) SELECT CONCAT('p', id), id, 'pending', 'manual', next_us, '', '', '' FROM {tasks} WHERE next_us >= ? AND ? > 0`,
		`INSERT INTO {runs} (id, task_id, state, trigger_, finished_us) SELECT CONCAT('f', id), id, 'failed', 'manual', next_us FROM {tasks} WHERE next_us >= ? AND ? > 0`,
	} {
		query, args := s.bind(statement, []any{noon.UnixMicro(), thousands})
		_, err := s.db.ExecContext(t.Context(), query, args...)
		require.NoError(t, err)
	}
}

// plan returns what the server says that it will do, a map of columns for each table.
func plan(t *testing.T, s *Store, statement string, args []any) (steps []map[string]string) {
	query, args := s.bind(statement, args)
	rows, err := s.db.QueryContext(t.Context(), "EXPLAIN FORMAT=TRADITIONAL "+query, args...)
	require.NoError(t, err, statement)
	defer rows.Close()
	names, err := rows.Columns()
	require.NoError(t, err)
	for rows.Next() {
		values := make([]sql.NullString, len(names))
		into := make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		require.NoError(t, rows.Scan(into...))
		step := map[string]string{}
		for i, name := range names {
			step[name] = values[i].String
		}
		steps = append(steps, step)
	}
	require.NoError(t, rows.Err())
	return steps
}

// What the engine asks again and again goes along an index, however many tasks and runs there are, and the claim is in order without sorting.
func TestHotStatementsUseTheirIndexes(t *testing.T) {
	s, _ := inside(t)
	fill(t, s, 5)
	now, ids := noon.UnixMicro(), []string{"t1-1", "t2-1", "t3-1"}
	runs := []string{"pt1-1", "ft2-1"}
	tests := []struct {
		name, statement, index string
		args                   []any
	}{
		{"dueTasks", dueTasks + dueTasksOrder, "tasks_due", []any{0, "", 0, now, 1, 10}},
		{"dueRuns", dueRuns + dueRunsOrder, "runs_due", []any{0, "", 0, now, 1, 10}},
		{"dueTasks without a bound", dueTasks + dueTasksOrder, "tasks_due", []any{0, "", 0, forever, 1, 1}},
		{"dueRuns without a bound", dueRuns + dueRunsOrder, "runs_due", []any{0, "", 0, forever, 1, 1}},
		{"newTasks in a kind", newTasks + inKind, "tasks_due", []any{"", -3, 0}},
		{"newTasks between kinds", newTasks + fromKind, "tasks_due", []any{"", "k"}},
		{"newTasks after all kinds", newTasks + afterKind, "tasks_due", []any{""}},
		{"newRuns in a kind", newRuns + inKind, "runs_due", []any{"", 0, 3}},
		{"newRuns between kinds", newRuns + fromKind, "runs_due", []any{"", "k"}},
		{"newRuns after all kinds", newRuns + afterKind, "runs_due", []any{""}},
		{"lockDueTasks", lockDueTasks, "tasks_due", []any{"", 0, now, 1, 10}},
		{"countAt", countAt, "tasks_due", []any{"", 0, now, 10}},
		{"selectAt", selectAt, "tasks_due", []any{"", 0, now, "t", 1, 10}},
		{"lockFreeTasks", lockFreeTasks, "PRIMARY", []any{ids, 1}},
		{"lockTask", lockTask, "PRIMARY", []any{"t1-1"}},
		{"lockTasks", lockTasks, "PRIMARY", []any{ids}},
		{"lockUnlockedTasks", lockUnlockedTasks, "PRIMARY", []any{ids}},
		{"lockRuns", lockRuns, "PRIMARY", []any{runs}},
		{"lockBriefly", lockBriefly, "PRIMARY", []any{runs}},
		{"lockSlots", lockSlots, "PRIMARY", []any{[]int{1, 5, 900}}},
		{"lockChangeable", lockChangeable, "PRIMARY", []any{runs}},
		{"lockRunsOf", lockRunsOf, "runs_live", []any{"t1-1", "t1-1"}},
		{"selectDefinitions", selectDefinitions, "PRIMARY", []any{ids}},
		{"selectPendingDue", selectPendingDue, "runs_live", []any{ids, now}},
		{"selectPending", selectPending, "runs_live", []any{"t1-1"}},
		{"selectLive", selectLive, "runs_live", []any{ids}},
		{"selectKeys", selectKeys, "runs_key", []any{[]string{"k"}}},
		{"selectWaiters", selectWaiters, "runs_key", []any{[]string{"k"}, 1, 1}},
		{"selectWaiting", selectWaiting, "runs_live", []any{ids}},
		{"selectOrders", selectOrders, "runs_session", []any{"s"}},
		{"selectHeld", selectHeld, "runs_session", []any{"s"}},
		{"selectOrphans", selectOrphans, "runs_session", []any{"s", 10}},
		{"selectActive", selectActive, "runs_live", []any{ids}},
		{"selectOld", selectOld, "runs_ended", []any{now, 10}},
	}
	for _, test := range tests {
		steps := plan(t, s, test.statement, test.args)
		steps = slices.DeleteFunc(steps, func(step map[string]string) bool { return strings.HasPrefix(step["table"], "<") }) // what other steps have found
		require.NotEmpty(t, steps, test.name)
		first := steps[0]
		if strings.Contains(first["Extra"], "no matching row") || strings.Contains(first["Extra"], "Impossible") {
			continue // the server has looked already, and there is nothing
		}
		assert.Equal(t, test.index, first["key"], "%s: %v", test.name, first)
		assert.NotContains(t, []string{"ALL", "index"}, first["type"], "%s: %v", test.name, first)
		if strings.Contains(test.statement, "LIMIT") {
			assert.NotContains(t, first["Extra"], "filesort", "%s: %v", test.name, first)
		}
		for _, step := range steps[1:] {
			if strings.Contains(step["table"], "tasks") || strings.Contains(step["table"], "runs") {
				assert.NotContains(t, []string{"ALL", "index"}, step["type"], "%s: %v", test.name, step)
			}
		}
	}
}

// A claim reads as many rows from a store of many thousand tasks as from one of a thousand, and so does one of other kinds than theirs.
func TestClaimReadsNoMoreRowsFromALargerStore(t *testing.T) {
	reads := map[string][]int{}
	for _, thousands := range []int{1, 30} {
		s, _ := inside(t)
		s.db.SetMaxOpenConns(1) // the counters are the session's
		fill(t, s, thousands)
		rowsRead := func() (total int) {
			found, err := read(t.Context(), s, s.db, func(rows *sql.Rows) (n int, err error) {
				var name string
				return n, rows.Scan(&name, &n)
			}, `SHOW SESSION STATUS LIKE 'Handler_read%'`)
			require.NoError(t, err)
			for _, n := range found {
				total += n
			}
			return total
		}
		claim := func(kinds []string) {
			reply, err := s.Claim(t.Context(), punctual.ClaimRequest{
				Now: noon.Add(24 * time.Hour), Limit: 10, Kinds: kinds, Decide: func(v punctual.View) (punctual.Change, error) {
					return punctual.Change{}, nil
				},
			})
			require.NoError(t, err)
			require.Equal(t, kinds != nil, reply.NextDue.IsZero())
		}
		for name, kinds := range map[string][]string{"all kinds": nil, "others": {"a", "b", "c"}} {
			claim(kinds) // reads the definitions, which are kept
			before := rowsRead()
			claim(kinds)
			reads[name] = append(reads[name], rowsRead()-before)
		}
	}
	for name, n := range reads {
		assert.InDelta(t, n[0], n[1], 60, "rows read for %s: %v", name, n)
	}
	assert.Less(t, reads["others"][1], 60)
}

// Two transactions that lock two tasks in opposite order are in a deadlock, which the server ends by giving one of them up.
func TestDeadlockIsRepeatedAndDoesNotSurface(t *testing.T) {
	s, _ := inside(t)
	fill(t, s, 1)
	var met, all sync.WaitGroup
	met.Add(2)
	var mu sync.Mutex
	tries := 0
	for _, order := range [][]string{{"t1-0", "t2-0"}, {"t2-0", "t1-0"}} {
		all.Go(func() {
			assert.NoError(t, s.tx(t.Context(), func(tx *txn) error {
				mu.Lock()
				tries++
				mu.Unlock()
				for i, id := range order {
					if i == 1 && tx.try == 0 {
						met.Done()
						met.Wait()
					}
					if _, err := tx.exec(`UPDATE {tasks} SET revision = revision + 1 WHERE id = ?`, id); err != nil {
						return err
					}
				}
				return nil
			}))
		})
	}
	all.Wait()
	assert.Equal(t, 3, tries, "one was given up and repeated")
	found, err := read(t.Context(), s, s.db, scanInt, `SELECT revision FROM {tasks} WHERE id IN (?)`, []string{"t1-0", "t2-0"})
	require.NoError(t, err)
	assert.Equal(t, []int{2, 2}, found)
}

// A stranger's session that keeps a task locked holds up nothing but that task: claims pass over it, and its result is asked for again.
func TestLockedTaskHoldsUpNoOther(t *testing.T) {
	s, dsn := inside(t)
	db, err := sql.Open("mysql", dsn)
	require.NoError(t, err)
	defer db.Close()
	start := func(v punctual.View) (punctual.Change, error) {
		status := v.Record.Status
		run := punctual.Run{
			ID: "r" + v.Record.Task.ID, TaskID: v.Record.Task.ID, Trigger: punctual.TriggerSchedule, ScheduledAt: status.NextRunAt, Count: 1, Attempt: 1,
			State: punctual.StateRunning, StartedAt: v.Now, CreatedAt: v.Now,
		}
		status.LastOccurrence, status.NextRunAt = status.NextRunAt, status.NextRunAt.Add(time.Hour)
		return punctual.Change{Status: &status, Insert: []punctual.Run{run}}, nil
	}
	for _, id := range []string{"a", "b"} {
		_, err := s.Edit(t.Context(), punctual.EditRequest{TaskID: id, Now: noon, Decide: func(punctual.View) (punctual.Change, error) {
			task := punctual.Task{ID: id, Schedule: punctual.Every(time.Hour), Revision: 1}
			return punctual.Change{Task: &task, Status: &punctual.Status{NextRunAt: noon}}, nil
		}})
		require.NoError(t, err)
	}
	lock := func() *sql.Tx {
		stranger, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = stranger.Exec("SELECT * FROM punctual_tasks WHERE id = 'a' FOR UPDATE")
		require.NoError(t, err)
		return stranger
	}
	stranger := lock()
	reply, err := s.Claim(t.Context(), punctual.ClaimRequest{Now: noon, Limit: 5, Decide: start})
	require.NoError(t, err)
	require.Len(t, reply.Started, 1)
	assert.Equal(t, "b", reply.Started[0].TaskID)
	assert.Equal(t, noon, reply.NextDue, "the other is still due")
	require.NoError(t, stranger.Rollback())

	more, err := s.Claim(t.Context(), punctual.ClaimRequest{Now: noon, Limit: 5, Decide: start})
	require.NoError(t, err)
	require.Len(t, more.Started, 1)
	stranger = lock()
	var items []punctual.Finish
	for _, run := range append(reply.Started, more.Started...) {
		items = append(items, punctual.Finish{
			RunID: run.ID, TaskID: run.TaskID, Attempt: 1, State: punctual.StateSucceeded, StartedAt: noon, FinishedAt: noon,
		})
	}
	finished, err := s.Finish(t.Context(), punctual.FinishRequest{Now: noon, Items: items})
	require.NoError(t, err)
	assert.Equal(t, []punctual.Verdict{punctual.VerdictApplied, punctual.VerdictRetryable}, finished.Verdicts)
	require.NoError(t, stranger.Rollback())
	finished, err = s.Finish(t.Context(), punctual.FinishRequest{Now: noon, Items: items})
	require.NoError(t, err)
	assert.Equal(t, []punctual.Verdict{punctual.VerdictAlready, punctual.VerdictApplied}, finished.Verdicts)
}

// Statements are cut so that no packet grows beyond the smallest usual max_allowed_packet.
func TestLargeBatchesAreCut(t *testing.T) {
	s, _ := inside(t)
	output := strings.Repeat("\x00'\\\"", 16<<10)
	const runs = 60
	_, err := s.Edit(t.Context(), punctual.EditRequest{TaskID: "a", Now: noon, Decide: func(punctual.View) (punctual.Change, error) {
		task := punctual.Task{ID: "a", Schedule: punctual.Every(time.Hour), Revision: 1}
		change := punctual.Change{Task: &task, Status: &punctual.Status{}}
		for i := range runs {
			change.Insert = append(change.Insert, punctual.Run{
				ID: fmt.Sprint("r", i), TaskID: "a", Trigger: punctual.TriggerManual, State: punctual.StateRunning, Attempt: 1, ScheduledAt: noon, CreatedAt: noon,
				Result: punctual.Result{Output: output},
			})
		}
		return change, nil
	}})
	require.NoError(t, err)
	largest := 0
	err = s.tx(t.Context(), func(tx *txn) error {
		tx.querier = measured{tx.querier.(*sql.Tx), &largest}
		var items []punctual.Finish
		for i := range runs {
			items = append(items, punctual.Finish{
				RunID: fmt.Sprint("r", i), TaskID: "a", Attempt: 1, State: punctual.StateSucceeded, FinishedAt: noon, Result: punctual.Result{Output: output},
			})
		}
		_, err := finish(tx, punctual.FinishRequest{Now: noon, Items: items})
		return err
	})
	require.NoError(t, err)
	assert.Less(t, largest, 1<<20)
	run, err := s.Run(t.Context(), "r59")
	require.NoError(t, err)
	assert.Equal(t, output, run.Result.Output)
}

// measured notes the size of the largest statement.
type measured struct {
	*sql.Tx
	largest *int
}

func (m measured) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	size := len(query)
	for _, arg := range args {
		if b, ok := arg.([]byte); ok {
			size += 2 * len(b)
		}
	}
	*m.largest = max(*m.largest, size)
	return m.Tx.ExecContext(ctx, query, args...)
}

func TestServersThatAreTooOldAreRefused(t *testing.T) {
	for version, ok := range map[string]bool{
		"8.0.36": true, "8.0.1-dmr": true, "9.1.0": true, "8.4.3-0ubuntu1": true, "10.6.0-MariaDB": true, "11.4.2-MariaDB-ubu2404": true,
		"5.5.5-10.11.6-MariaDB-1": true, "10.11.19-MariaDB-0+deb12u1": true, "8.0.35-27-Percona": true,
		"5.7.44": false, "8.0.0-dmr": false, "10.5.23-MariaDB": false, "5.5.5-10.4.1-MariaDB": false, "5.6": false, "": false,
	} {
		err := checkVersion(version)
		if ok {
			require.NoError(t, err, version)
		} else {
			require.ErrorIs(t, err, punctual.ErrStoreSchema, version)
		}
	}
}

// addsColumn matches what the server refuses the second time because the column is there, which ddl takes for done.
var addsColumn = regexp.MustCompile(`^ALTER TABLE \{\w+\} ADD COLUMN \w+ \w+$`)

func TestMigrationsAreCutIntoStatements(t *testing.T) {
	assert.Equal(t, []string{"CREATE TABLE {a} (\n    id INT\n)", "INSERT INTO {a} VALUES (1)"},
		statements("-- about; this\n--\n\nCREATE TABLE {a} (\n    id INT -- a; b\n);\n\nINSERT INTO {a} VALUES (1);\n"))
	steps, err := migrations()
	require.NoError(t, err)
	for _, step := range steps {
		for _, statement := range step {
			repeatable := strings.HasPrefix(statement, "CREATE TABLE IF NOT EXISTS {") || strings.HasPrefix(statement, "INSERT IGNORE INTO {") ||
				addsColumn.MatchString(statement)
			assert.True(t, repeatable, "may be carried out twice: %.60s", statement)
		}
	}
}
