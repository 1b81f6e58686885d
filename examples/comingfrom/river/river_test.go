package river

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/examples/comingfrom/work"
	"github.com/punctual-go/punctual/store/memory"
	"github.com/punctual-go/punctual/store/postgres"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheScheduleSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		work.Monday()
		d, store := new(work.Diary), memory.New() // handed on, as a durable store would be
		for range 3 {
			s, err := after(t.Context(), store, d)
			require.NoError(t, err)
			time.Sleep(29 * time.Minute)
			require.NoError(t, s.Shutdown(t.Context()))
		}
		assert.Equal(t, []string{"Mon 06:45 sync crm", "Mon 07:15 sync crm", "Mon 07:45 sync crm", "Mon 08:00 report"}, d.Lines())
	})
}

func TestRiverRunsAtOnceWithEachStart(t *testing.T) {
	pool := database(t)
	d := new(work.Diary)
	for n := range 2 {
		client, err := before(t.Context(), pool, d)
		require.NoError(t, err)
		eventually(t, func() bool { return len(syncs(d)) > n })
		require.NoError(t, client.Stop(t.Context()))
	}
	assert.Equal(t, []string{"crm", "crm"}, syncs(d))
}

// A transaction that is rolled back has asked for nothing, there and here.
func TestBothTakePartInTheTransaction(t *testing.T) {
	pool := database(t)
	there, here := new(work.Diary), new(work.Diary)
	client, err := before(t.Context(), pool, there)
	require.NoError(t, err)
	store, err := postgres.New(t.Context(), pool, postgres.WithSchema(pool.Config().ConnConfig.RuntimeParams["search_path"]+"_punctual"))
	require.NoError(t, err)
	s, err := after(t.Context(), store, here)
	require.NoError(t, err)
	at := time.Now().Add(200 * time.Millisecond)
	for account, commits := range map[string]bool{"lost": false, "kept": true} {
		tx, err := pool.Begin(t.Context())
		require.NoError(t, err)
		require.NoError(t, enqueue(t.Context(), client, tx, account, at))
		require.NoError(t, ask(t.Context(), s, store, tx, account, at))
		if commits {
			require.NoError(t, tx.Commit(t.Context()))
		} else {
			require.NoError(t, tx.Rollback(t.Context()))
		}
	}
	eventually(t, func() bool { return len(syncs(there)) > 1 && len(syncs(here)) > 1 })
	require.NoError(t, client.Stop(t.Context()))
	require.NoError(t, s.Shutdown(t.Context()))
	require.NoError(t, store.Close())
	for _, d := range []*work.Diary{there, here} {
		assert.ElementsMatch(t, []string{"crm", "kept"}, syncs(d))
	}
}

func TestARunThatIsRepeatedInsertsOneJob(t *testing.T) {
	pool := database(t)
	d := new(work.Diary)
	client, err := before(t.Context(), pool, d)
	require.NoError(t, err)
	insert := both(client)
	run := punctual.Run{ID: "a run", Payload: []byte(`{"account":"crm"}`)}
	first, err := insert.Execute(t.Context(), run)
	require.NoError(t, err)
	again, err := insert.Execute(t.Context(), run)
	require.NoError(t, err)
	assert.Equal(t, first, again)
	run.ID = "another"
	next, err := insert.Execute(t.Context(), run)
	require.NoError(t, err)
	assert.NotEqual(t, first, next)
	require.NoError(t, client.Stop(t.Context()))
}

// syncs returns the accounts that were synced. A report may be among the lines, on a Monday at nine.
func syncs(d *work.Diary) []string {
	var accounts []string
	for _, line := range d.Lines() {
		if _, account, found := strings.Cut(line, "sync "); found {
			accounts = append(accounts, account)
		}
	}
	return accounts
}

// eventually waits for what another goroutine does in real time.
func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	require.Eventually(t, holds, time.Minute, 20*time.Millisecond)
}

// database makes a schema with River's tables, which is gone after the test, and returns a pool that looks there.
func database(t *testing.T) *pgxpool.Pool {
	t.Helper()
	dsn := cmp.Or(os.Getenv("PUNCTUAL_POSTGRES_DSN"), "postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable")
	admin, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		if os.Getenv("PUNCTUAL_REQUIRE_SERVICES") == "1" {
			t.Fatalf("PostgreSQL is missing, and PUNCTUAL_REQUIRE_SERVICES is set: %v", err)
		}
		t.Skipf("needs PostgreSQL (PUNCTUAL_POSTGRES_DSN): %v", err)
	}
	schema := fmt.Sprintf("punctual_river_%d_%d", os.Getpid(), time.Now().UnixNano())
	_, err = admin.Exec(context.Background(), "CREATE SCHEMA "+pgx.Identifier{schema}.Sanitize())
	require.NoError(t, err)
	t.Cleanup(func() {
		for _, name := range []string{schema, schema + "_punctual"} {
			_, err := admin.Exec(context.Background(), "DROP SCHEMA IF EXISTS "+pgx.Identifier{name}.Sanitize()+" CASCADE")
			require.NoError(t, err)
		}
		require.NoError(t, admin.Close(context.Background()))
	})
	config, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	config.ConnConfig.RuntimeParams["search_path"] = schema
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	require.NoError(t, err)
	_, err = migrator.Migrate(context.Background(), rivermigrate.DirectionUp, nil)
	require.NoError(t, err)
	return pool
}
