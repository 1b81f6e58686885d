package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/postgres"
)

func hourly(id string) punctual.Task {
	return punctual.Task{ID: id, Schedule: punctual.Every(time.Hour)}
}

// add registers tasks through a scheduler that is not started.
func add(t testing.TB, store punctual.Store, ids ...string) {
	t.Helper()
	s, err := punctual.New(store, punctual.ExecutorFunc(nil))
	require.NoError(t, err)
	for _, id := range ids {
		require.NoError(t, s.Add(t.Context(), hourly(id)))
	}
	require.NoError(t, s.Close())
}

// tables describes what is in a schema, so that any touch shows.
func tables(t testing.TB, conn *pgx.Conn, schema string) (list []string) {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT c.relname || ' ' || c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 ORDER BY 1`, schema)
	require.NoError(t, err)
	list, err = pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return list
}

func TestWhatIsNotOursIsRefusedAndLeftUntouched(t *testing.T) {
	conn := connect(t)
	tests := []struct {
		name   string
		make   func(t *testing.T, schema string)
		reason string
	}{
		{"a schema of something else", func(t *testing.T, schema string) {
			execute(t, conn, "CREATE SCHEMA "+quote(schema), "CREATE TABLE "+quote(schema)+".songs (title text)")
		}, "something else"},
		{"a newer schema", func(t *testing.T, schema string) {
			open(t, schema)
			execute(t, conn, "INSERT INTO "+quote(schema)+".punctual_migrations (version) VALUES (1000)")
		}, "upgrade the library"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			schema := newSchema(t)
			test.make(t, schema)
			before := tables(t, conn, schema)
			_, err := postgres.Open(t.Context(), dsn, postgres.WithSchema(schema))
			require.ErrorIs(t, err, punctual.ErrStoreSchema)
			assert.Contains(t, err.Error(), test.reason)
			assert.Equal(t, before, tables(t, conn, schema))
		})
	}
}

// as is the test's data source for another role.
func as(t testing.TB, role string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	u.User = url.UserPassword(role, "secret")
	return u.String()
}

func TestMissingRightsAreNamedAndNothingIsTouched(t *testing.T) {
	conn := connect(t)
	role := newSchema(t) + "_role"
	execute(t, conn, "CREATE ROLE "+quote(role)+" LOGIN PASSWORD 'secret'")
	t.Cleanup(func() { execute(t, conn, "DROP OWNED BY "+quote(role)+" CASCADE", "DROP ROLE "+quote(role)) })

	refused := func(schema, reason string) {
		t.Helper()
		before := tables(t, conn, schema)
		_, err := postgres.Open(t.Context(), as(t, role), postgres.WithSchema(schema))
		require.ErrorIs(t, err, punctual.ErrStoreSchema)
		assert.Contains(t, err.Error(), role)
		assert.Contains(t, err.Error(), reason)
		assert.Equal(t, before, tables(t, conn, schema))
	}
	schema := newSchema(t)
	refused(schema, "CREATE on the database")
	execute(t, conn, "CREATE SCHEMA "+quote(schema))
	refused(schema, "CREATE on it")
	open(t, schema)
	refused(schema, "USAGE")
	execute(t, conn, "GRANT USAGE ON SCHEMA "+quote(schema)+" TO "+quote(role),
		"GRANT SELECT ON ALL TABLES IN SCHEMA "+quote(schema)+" TO "+quote(role))
	refused(schema, "DELETE")

	execute(t, conn, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "+quote(schema)+" TO "+quote(role))
	store, err := postgres.Open(t.Context(), as(t, role), postgres.WithSchema(schema))
	require.NoError(t, err, "a role that may create nothing can use what is there")
	add(t, store, "a")
	require.NoError(t, store.Close())
}

func TestSchemasWithOddNamesAreSeparateStores(t *testing.T) {
	conn := connect(t)
	for i, odd := range []string{`Ünïcode "quoted" '; DROP`, `select`, `{schema}.$1 ? %s`} {
		name := fmt.Sprintf("%s %s", newSchema(t)[len("punctual_test_"):], odd)
		t.Cleanup(func() { execute(t, conn, "DROP SCHEMA IF EXISTS "+quote(name)+" CASCADE") })
		store := open(t, name)
		add(t, store, fmt.Sprint("task-", i))
		tasks, err := store.Tasks(t.Context(), punctual.TaskQuery{})
		require.NoError(t, err)
		assert.Len(t, tasks, 1, name)
	}
	for _, name := range []string{"", strings.Repeat("x", 64), "a\x00b"} {
		_, err := postgres.Open(t.Context(), dsn, postgres.WithSchema(name))
		require.ErrorContains(t, err, "1 to 63 bytes")
	}
}

func TestSeveralMayOpenAFreshSchemaAtOnce(t *testing.T) {
	schema := newSchema(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			store, err := postgres.Open(t.Context(), dsn, postgres.WithSchema(schema))
			if assert.NoError(t, err) {
				add(t, store, fmt.Sprint(i))
				assert.NoError(t, store.Close())
			}
		})
	}
	all.Wait()
	tasks, err := open(t, schema).Tasks(t.Context(), punctual.TaskQuery{})
	require.NoError(t, err)
	assert.Len(t, tasks, 8)
}

func TestServerThatCannotBeReachedIsUnavailable(t *testing.T) {
	_, err := postgres.Open(t.Context(), "postgres://nobody@127.0.0.1:1/none?connect_timeout=2")
	require.ErrorIs(t, err, punctual.ErrUnavailable)
	_, err = postgres.Open(t.Context(), "postgres://nobody:hush@127.0.0.1:1/none?sslmode=sometimes")
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "hush")
}

// One row that cannot be read is set aside; the others of its batch start. Rows of a newer format are left alone.
func TestPoisonedAndNewerRowsHarmNobody(t *testing.T) {
	conn, schema := connect(t), newSchema(t)
	store := open(t, schema)
	var ids []string
	for i := range 20 {
		ids = append(ids, fmt.Sprint("t", i))
	}
	add(t, store, ids...)
	execute(t, conn, `UPDATE `+quote(schema)+`.tasks SET definition = '{"schedule":"every now and then"}' WHERE id = 't7'`,
		`UPDATE `+quote(schema)+`.tasks SET format = 99, definition = 'unreadable' WHERE id = 't8'`)
	var mu sync.Mutex
	ran := map[string]bool{}
	s, err := punctual.New(store, punctual.ExecutorFunc(func(_ context.Context, run punctual.Run) (punctual.Result, error) {
		mu.Lock()
		defer mu.Unlock()
		ran[run.TaskID] = true
		return punctual.Result{}, nil
	}))
	require.NoError(t, err)
	require.NoError(t, s.Start(t.Context()))
	require.NoError(t, s.WaitIdle(t.Context()))
	assert.Len(t, ran, 18)
	snap, err := s.Task(t.Context(), "t7")
	require.NoError(t, err)
	assert.Contains(t, snap.Fault, "cannot be read")
	require.NoError(t, s.Reschedule(t.Context(), hourly("t7")))
	require.NoError(t, s.WaitIdle(t.Context()))
	assert.True(t, ran["t7"], "a new definition brings it back")
	require.Error(t, s.Reschedule(t.Context(), hourly("t8")), "nobody overwrites what a newer version wrote")
	require.NoError(t, s.Shutdown(t.Context()))
}

// A peer that stops inside its claim, as a frozen process does, holds its rows for a few seconds and no longer.
func TestVanishedPeerGivesItsRowsBack(t *testing.T) {
	conn, schema := connect(t), newSchema(t)
	store := open(t, schema)
	add(t, store, "held", "free")
	// What the server sees of it: a transaction with our bound that has locked a due row, and then nothing.
	execute(t, conn, "BEGIN", "SET LOCAL idle_in_transaction_session_timeout = '5s'",
		"SELECT 1 FROM "+quote(schema)+".tasks WHERE id = 'held' FOR NO KEY UPDATE")
	var claimed []string
	deadline := time.Now().Add(20 * time.Second)
	for len(claimed) < 2 && time.Now().Before(deadline) {
		reply, err := store.Claim(t.Context(), punctual.ClaimRequest{Limit: 10, Decide: func(v punctual.View) (punctual.Change, error) {
			run := v.Pending[0]
			run.State, run.DueAt, run.Attempt, run.StartedAt = punctual.StateRunning, time.Time{}, 1, v.Now
			return punctual.Change{Update: []punctual.Run{run}}, nil
		}})
		require.NoError(t, err)
		for _, run := range reply.Started {
			claimed = append(claimed, run.TaskID)
		}
	}
	assert.Equal(t, []string{"free", "held"}, claimed, "the other task is not kept waiting")
}

// begins decides that what is due of a task begins.
func begins(v punctual.View) (punctual.Change, error) {
	status := v.Record.Status
	run := punctual.Run{
		ID: "run of " + v.Record.Task.ID, TaskID: v.Record.Task.ID, Trigger: punctual.TriggerSchedule, ScheduledAt: status.NextRunAt, Count: 1,
		State: punctual.StateRunning, Attempt: 1, StartedAt: v.Now, CreatedAt: v.Now,
	}
	status.LastOccurrence, status.NextRunAt = status.NextRunAt, time.Time{}
	return punctual.Change{Status: &status, Insert: []punctual.Run{run}}, nil
}

// owing adds a task that comes due at an instant.
func owing(t *testing.T, store *postgres.Store, id string, at time.Time) {
	t.Helper()
	_, err := store.Edit(t.Context(), punctual.EditRequest{TaskID: id, Decide: func(punctual.View) (punctual.Change, error) {
		return punctual.Change{Task: &punctual.Task{ID: id, Schedule: punctual.Every(time.Hour), Revision: 1}, Status: &punctual.Status{NextRunAt: at}}, nil
	}})
	require.NoError(t, err)
}

// An instance that vanishes between the preparation of a claim and its commit keeps others from its tasks for a second, and then its commit fails.
func TestPreparedClaimOfAVanishedPeerIsGivenUp(t *testing.T) {
	schema := newSchema(t)
	vanished, store := open(t, schema), open(t, schema)
	at := time.Now().Add(-time.Minute).Truncate(time.Second)
	owing(t, store, "held", at)
	claim, err := vanished.Prepare(t.Context(), punctual.PrepareRequest{At: at, Limit: 10, Decide: begins})
	require.NoError(t, err)
	require.NotNil(t, claim)
	began, looks := time.Now(), 0
	for started := 0; started == 0; looks++ {
		require.Less(t, time.Since(began), 20*time.Second)
		reply, err := store.Claim(t.Context(), punctual.ClaimRequest{Limit: 10, Decide: begins})
		require.NoError(t, err)
		started = len(reply.Started)
	}
	assert.Greater(t, looks, 1, "the task was held")
	_, err = claim.Commit(t.Context(), time.Time{})
	require.ErrorIs(t, err, punctual.ErrUnavailable)
	run, err := store.Run(t.Context(), "run of held")
	require.NoError(t, err)
	assert.True(t, run.StartedAt.After(at), "the run is the other instance's")
}

// A pool of few connections is not made to do without one of them until an instant comes.
func TestSmallPoolsAreNotHeld(t *testing.T) {
	schema := newSchema(t)
	at := time.Now().Add(time.Hour).Truncate(time.Second)
	owing(t, open(t, schema), "task", at)
	for conns, takes := range map[int32]bool{3: false, 4: true} {
		config, err := pgxpool.ParseConfig(dsn)
		require.NoError(t, err)
		config.MaxConns = conns
		pool, err := pgxpool.NewWithConfig(t.Context(), config)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		store, err := postgres.New(t.Context(), pool, postgres.WithSchema(schema))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		claim, err := store.Prepare(t.Context(), punctual.PrepareRequest{At: at, Limit: 10, Decide: begins})
		require.NoError(t, err)
		assert.Equal(t, takes, claim != nil, "of %d connections", conns)
		if claim != nil {
			claim.Cancel(t.Context())
		}
	}
}

func TestEditsWithinATransactionOfTheHost(t *testing.T) {
	conn, schema := connect(t), newSchema(t)
	store := open(t, schema)
	ran := make(chan string, 100)
	s, err := punctual.New(store, punctual.ExecutorFunc(func(_ context.Context, run punctual.Run) (punctual.Result, error) {
		ran <- run.TaskID
		return punctual.Result{}, nil
	}))
	require.NoError(t, err)
	require.NoError(t, s.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	execute(t, conn, "CREATE TEMP TABLE orders (id text)")

	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "INSERT INTO orders VALUES ('dropped')")
	require.NoError(t, err)
	require.NoError(t, s.In(store.Tx(tx)).Add(t.Context(), hourly("dropped")))
	require.NoError(t, tx.Rollback(t.Context()))
	_, err = s.Task(t.Context(), "dropped")
	require.ErrorIs(t, err, punctual.ErrTaskNotFound)

	tx, err = conn.Begin(t.Context())
	require.NoError(t, err)
	in := s.In(store.Tx(tx))
	require.NoError(t, in.Add(t.Context(), hourly("kept")))
	require.ErrorIs(t, in.Add(t.Context(), hourly("kept")), punctual.ErrTaskExists)
	require.NoError(t, in.Reschedule(t.Context(), punctual.Task{ID: "kept", Schedule: punctual.Every(2 * time.Hour)}))
	_, err = tx.Exec(t.Context(), "INSERT INTO orders VALUES ('kept')")
	require.NoError(t, err, "refusals do not break the transaction")
	_, err = s.Task(t.Context(), "kept")
	require.ErrorIs(t, err, punctual.ErrTaskNotFound, "nobody sees it yet")
	assert.Empty(t, ran)
	require.NoError(t, tx.Commit(t.Context()))
	in.Committed()
	assert.Equal(t, "kept", <-ran)
	snap, err := s.Task(t.Context(), "kept")
	require.NoError(t, err)
	assert.Equal(t, "every 2h", snap.Task.Schedule.String())

	tx, err = conn.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.In(store.Tx(tx)).Remove(t.Context(), "kept"))
	require.NoError(t, tx.Commit(t.Context()))
	_, err = s.Task(t.Context(), "kept")
	require.ErrorIs(t, err, punctual.ErrTaskNotFound)
}

// The commit itself carries the hint, so that an instance which nobody told of it looks at once.
func TestCommitOfTheHostWakesOthers(t *testing.T) {
	conn, schema := connect(t), newSchema(t)
	store := open(t, schema)
	hinted := make(chan struct{}, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	watching := make(chan error, 1)
	go func() { watching <- store.Watch(ctx, func() { hinted <- struct{}{} }) }()
	<-hinted // it listens
	s, err := punctual.New(open(t, schema), punctual.ExecutorFunc(nil))
	require.NoError(t, err)
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.In(store.Tx(tx)).Add(t.Context(), hourly("a")))
	assert.Empty(t, hinted)
	require.NoError(t, tx.Commit(t.Context()))
	select {
	case <-hinted:
	case <-time.After(10 * time.Second):
		t.Error("no hint came with the commit")
	}
	cancel()
	require.NoError(t, <-watching)
	require.NoError(t, s.Close())
}

func TestStoreBehindAPoolerSaysOnceThatItPolls(t *testing.T) {
	var mu sync.Mutex
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(writer(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(b)
	}), nil))
	store := open(t, newSchema(t), postgres.WithPooler(true), postgres.WithPollInterval(time.Millisecond), postgres.WithLogger(logger))
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		hints := 0
		require.NoError(t, store.Watch(ctx, func() {
			if hints++; hints == 3 {
				cancel()
			}
		}))
		cancel()
	}
	assert.Equal(t, 1, strings.Count(log.String(), "looking for them instead"))
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

func TestCancelledCallsEndAndTheStoreWorksOn(t *testing.T) {
	store := open(t, newSchema(t))
	ctx, cancel := context.WithCancelCause(t.Context())
	because := errors.New("because")
	cancel(because)
	_, err := store.Trim(ctx, punctual.TrimRequest{Keep: 1, Limit: 1})
	require.ErrorIs(t, err, because)
	_, err = store.Trim(t.Context(), punctual.TrimRequest{Keep: 1, Limit: 1})
	require.NoError(t, err)
}
