package postgres_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/postgres"
	"github.com/punctual-go/punctual/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dsn is where the tests find a server; PUNCTUAL_POSTGRES_DSN says otherwise.
var dsn = cmp.Or(os.Getenv("PUNCTUAL_POSTGRES_DSN"), "postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable")

// missing skips a test that lacks something outside of this process, or fails it where everything has to be there.
func missing(t testing.TB, what string, err error) {
	t.Helper()
	if os.Getenv("PUNCTUAL_REQUIRE_SERVICES") == "1" {
		t.Fatalf("%s is missing, and PUNCTUAL_REQUIRE_SERVICES is set: %v", what, err)
	}
	t.Skipf("needs %s: %v", what, err)
}

// connect returns a connection of the test's own, or skips the test.
func connect(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		missing(t, "PostgreSQL (PUNCTUAL_POSTGRES_DSN)", err)
	}
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	return conn
}

var schemas atomic.Int64

// newSchema returns a name that nobody else uses; the schema is dropped after the test.
func newSchema(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("punctual_test_%d_%d", os.Getpid(), schemas.Add(1))
	conn := connect(t)
	t.Cleanup(func() { execute(t, conn, "DROP SCHEMA IF EXISTS "+quote(name)+" CASCADE") })
	return name
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

func execute(t testing.TB, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		_, err := conn.Exec(context.Background(), statement)
		require.NoError(t, err, statement)
	}
}

// open opens a store in a schema.
func open(t testing.TB, schema string, opts ...postgres.Option) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(context.Background(), dsn, append([]postgres.Option{postgres.WithSchema(schema)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// raceRounds is how often each race of the suite is run, since here each round is some transactions on a disk.
var raceRounds = flag.Int("rounds", 60, "how often each race of the suite is run")

// contract runs the suite with stores of a data source.
func contract(t *testing.T, dsn string, rounds int, opts ...postgres.Option) {
	connect(t)
	names := map[punctual.Store]string{}
	make := func(t *testing.T, schema string) punctual.Store {
		pool, err := pgxpool.New(context.Background(), dsn)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		s, err := postgres.New(context.Background(), pool, append([]postgres.Option{postgres.WithSchema(schema)}, opts...)...)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		names[s] = schema
		return s
	}
	fresh := func(t *testing.T) punctual.Store { return make(t, newSchema(t)) }
	again := func(t *testing.T, store punctual.Store) punctual.Store { return make(t, names[store]) }
	reopen := func(t *testing.T, store punctual.Store) punctual.Store {
		require.NoError(t, store.(*postgres.Store).Close())
		return again(t, store)
	}
	storetest.Run(t, fresh, storetest.WithRounds(rounds), storetest.WithReopen(reopen), storetest.WithPeer(again))
}

func TestStoreContract(t *testing.T) { contract(t, dsn, *raceRounds) }

// The store works in the same way without anything that belongs to a session.
func TestStoreContractWithoutNamedStatements(t *testing.T) {
	contract(t, dsn, *raceRounds/6, postgres.WithPooler(true))
}
