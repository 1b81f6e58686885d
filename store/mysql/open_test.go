package mysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/mysql"
)

// add registers an hourly task through a scheduler that is not started.
func add(t testing.TB, store punctual.Store, id string) {
	t.Helper()
	s, err := punctual.New(store, punctual.ExecutorFunc(nil))
	require.NoError(t, err)
	require.NoError(t, s.Add(t.Context(), punctual.Task{ID: id, Schedule: punctual.Every(time.Hour)}))
	require.NoError(t, s.Close())
}

// tables lists the tables of a database with their columns, so that any touch shows.
func tables(t testing.TB, dsn string) (found []string) {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	require.NoError(t, err)
	defer db.Close()
	rows, err := db.Query(`SELECT CONCAT(table_name, '.', column_name) FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY 1`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		found = append(found, name)
	}
	require.NoError(t, rows.Err())
	return found
}

func TestWhatIsNotOursIsRefusedAndLeftUntouched(t *testing.T) {
	tests := []struct {
		name   string
		make   func(t *testing.T, dsn string)
		reason string
	}{
		{"a newer schema", func(t *testing.T, dsn string) {
			open(t, dsn)
			execute(t, dsn, "INSERT INTO punctual_migrations VALUES (1000, 0)")
		}, "upgrade the library"},
		{"a table of something else", func(t *testing.T, dsn string) {
			execute(t, dsn, "CREATE TABLE punctual_tasks (title TEXT)")
		}, "another prefix"},
		{"a table of migrations of something else", func(t *testing.T, dsn string) {
			execute(t, dsn, "CREATE TABLE punctual_migrations (name TEXT)")
		}, "another prefix"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dsn := database(t)
			test.make(t, dsn)
			before := tables(t, dsn)
			_, err := mysql.Open(t.Context(), dsn)
			require.ErrorIs(t, err, punctual.ErrStoreSchema)
			assert.Contains(t, err.Error(), test.reason)
			assert.Equal(t, before, tables(t, dsn))
		})
	}
}

// A statement about a table ends the transaction in MySQL, so whoever dies in the middle of a migration leaves a part of it.
func TestMigrationThatWasCutShortIsCarriedOutAgain(t *testing.T) {
	dsn := database(t)
	store := open(t, dsn)
	whole := tables(t, dsn)
	add(t, store, "kept")
	execute(t, dsn, "DELETE FROM punctual_migrations", "DROP TABLE punctual_hints", "DELETE FROM punctual_locks WHERE slot > 7")
	store = open(t, dsn)
	assert.Equal(t, whole, tables(t, dsn))
	_, err := store.Task(t.Context(), "kept")
	require.NoError(t, err)
	add(t, store, "new")
}

func TestSeveralMayOpenAnEmptyDatabaseAtOnce(t *testing.T) {
	dsn := database(t)
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			store, err := mysql.Open(t.Context(), dsn)
			if assert.NoError(t, err) {
				s, err := punctual.New(store, punctual.ExecutorFunc(nil))
				assert.NoError(t, err)
				assert.NoError(t, s.Add(t.Context(), punctual.Task{ID: fmt.Sprint(i), Schedule: punctual.Every(time.Hour)}))
				assert.NoError(t, s.Close())
				assert.NoError(t, store.Close())
			}
		})
	}
	all.Wait()
	tasks, err := open(t, dsn).Tasks(t.Context(), punctual.TaskQuery{})
	require.NoError(t, err)
	assert.Len(t, tasks, 6)
}

func TestStoresWithDifferentPrefixesKnowNothingOfEachOther(t *testing.T) {
	dsn := database(t)
	prefixes := []string{"", "a_", "a b-", "it's ?", "`{tasks}`", "größe.", `back\slash"%`, "-- "}
	for _, prefix := range prefixes {
		store := open(t, dsn, mysql.WithTablePrefix(prefix))
		add(t, store, "task")
		reply, err := store.Claim(t.Context(), punctual.ClaimRequest{Limit: 1, Decide: func(punctual.View) (punctual.Change, error) {
			return punctual.Change{}, nil
		}})
		require.NoError(t, err, prefix)
		assert.False(t, reply.NextDue.IsZero(), prefix)
		tasks, err := store.Tasks(t.Context(), punctual.TaskQuery{Search: "TASK"})
		require.NoError(t, err, prefix)
		assert.Len(t, tasks, 1, prefix)
	}
	for _, prefix := range []string{"a\x00b", "😀", "this prefix is so long that no table could have it"} {
		_, err := mysql.Open(t.Context(), dsn, mysql.WithTablePrefix(prefix))
		require.Error(t, err, prefix)
	}
}

// The server's collations take some of these for the same text.
func TestIDsThatDifferInCaseSpacesOrAccentsAreDifferent(t *testing.T) {
	store := open(t, database(t))
	ids := []string{"Job", "job", "JOB", "job ", "job  ", " job", "jöb", "jo\u0308b", "ｊob", "job\u00a0", "straße", "strasse", "😀", "😁"}
	for _, id := range ids {
		add(t, store, id)
	}
	for _, id := range ids {
		snap, err := store.Task(t.Context(), id)
		require.NoError(t, err, "%q", id)
		assert.Equal(t, id, snap.Task.ID)
		runs, err := store.Runs(t.Context(), punctual.RunQuery{TaskID: id})
		require.NoError(t, err)
		assert.Len(t, runs, 1, "%q", id)
	}
	tasks, err := store.Tasks(t.Context(), punctual.TaskQuery{})
	require.NoError(t, err)
	assert.Len(t, tasks, len(ids))
}

func TestUserWithoutTheRightToMakeTablesIsTold(t *testing.T) {
	dsn := database(t)
	cfg, err := driver.ParseDSN(dsn)
	require.NoError(t, err)
	user := fmt.Sprintf("p%.20s", cfg.DBName[len(cfg.DBName)-16:])
	execute(t, dsn, fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY 'secret'", user),
		fmt.Sprintf("GRANT SELECT, INSERT, UPDATE, DELETE ON %s.* TO '%s'@'%%'", cfg.DBName, user))
	t.Cleanup(func() { execute(t, dsn, fmt.Sprintf("DROP USER '%s'@'%%'", user)) })
	limited := cfg.Clone()
	limited.User, limited.Passwd = user, "secret"
	_, err = mysql.Open(t.Context(), limited.FormatDSN())
	require.ErrorIs(t, err, punctual.ErrStoreSchema)
	assert.Contains(t, err.Error(), "lacks the right")

	open(t, dsn)
	add(t, open(t, limited.FormatDSN()), "task") // no more than these rights once the tables are there

	limited.Passwd = "wrong"
	_, err = mysql.Open(t.Context(), limited.FormatDSN())
	require.Error(t, err)
	assert.NotErrorIs(t, err, punctual.ErrUnavailable, "waiting does not help")
	assert.Contains(t, err.Error(), "lacks a right")
}

func TestServerThatDoesNotAnswerIsUnavailable(t *testing.T) {
	_, err := mysql.Open(t.Context(), "root@tcp(127.0.0.1:1)/test?timeout=1s")
	require.ErrorIs(t, err, punctual.ErrUnavailable)
	_, err = mysql.Open(t.Context(), "root@tcp(127.0.0.1:3306)/")
	require.ErrorContains(t, err, "no database")
	_, err = mysql.Open(t.Context(), "nonsense")
	require.Error(t, err)
}

// The server's clock decides, and no time zone moves it: not the server's, not the session's, not this process's.
func TestStoreTellsTheServersTimeInEveryZone(t *testing.T) {
	dsn := database(t)
	cfg, err := driver.ParseDSN(dsn)
	require.NoError(t, err)
	for _, zone := range []string{"'+00:00'", "'-11:30'", "'+05:45'"} {
		cfg.Params = map[string]string{"time_zone": zone}
		db, err := sql.Open("mysql", cfg.FormatDSN())
		require.NoError(t, err)
		store, err := mysql.New(t.Context(), db)
		require.NoError(t, err)
		reply, err := store.Beat(t.Context(), punctual.BeatRequest{Session: "s" + zone, Lease: time.Minute, Clock: time.Now()})
		require.NoError(t, err)
		assert.WithinDuration(t, time.Now(), reply.Now, 5*time.Second, zone)
		require.NoError(t, store.Close())
		require.NoError(t, db.PingContext(t.Context()), "the pool stays the host's")
		require.NoError(t, db.Close())
	}
}

func TestPoolThatCutsValuesIsRefused(t *testing.T) {
	cfg, err := driver.ParseDSN(database(t))
	require.NoError(t, err)
	cfg.Params = map[string]string{"sql_mode": "''"}
	db, err := sql.Open("mysql", cfg.FormatDSN())
	require.NoError(t, err)
	defer db.Close()
	_, err = mysql.New(t.Context(), db)
	require.ErrorIs(t, err, punctual.ErrStoreSchema)
	open(t, cfg.FormatDSN()) // a session of its own is set up properly
}

// One row that cannot be read is set aside; the others of its batch start. Rows of a newer format are left alone.
func TestPoisonedAndNewerRowsHarmNobody(t *testing.T) {
	dsn := database(t)
	maker := open(t, dsn)
	for i := range 20 {
		add(t, maker, fmt.Sprint("t", i))
	}
	execute(t, dsn, `UPDATE punctual_tasks SET definition = '{"schedule":"every now and then"}' WHERE id = 't7'`,
		`UPDATE punctual_tasks SET format = 99, definition = 'unreadable' WHERE id = 't8'`)
	var mu sync.Mutex
	ran := map[string]bool{}
	s, err := punctual.New(open(t, dsn), punctual.ExecutorFunc(func(_ context.Context, run punctual.Run) (punctual.Result, error) {
		mu.Lock()
		defer mu.Unlock()
		ran[run.TaskID] = true
		return punctual.Result{}, nil
	}))
	require.NoError(t, err)
	require.NoError(t, s.Start(t.Context()))
	require.NoError(t, s.WaitIdle(t.Context()))
	assert.Len(t, ran, 18)
	assert.Equal(t, 1, s.Health().SetAside)
	snap, err := s.Task(t.Context(), "t7")
	require.NoError(t, err)
	assert.Contains(t, snap.Fault, "cannot be read")
	require.NoError(t, s.Reschedule(t.Context(), punctual.Task{ID: "t7", Schedule: punctual.Every(time.Hour)}))
	require.NoError(t, s.WaitIdle(t.Context()))
	assert.True(t, ran["t7"], "a new definition brings it back")
	require.Error(t, s.Reschedule(t.Context(), punctual.Task{ID: "t8", Schedule: punctual.Every(time.Hour)}), "nobody overwrites what a newer version wrote")
	require.NoError(t, s.Shutdown(t.Context()))
}
