package mysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/punctual-go/punctual/store/mysql"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// defaultDSN is the server that tests use unless PUNCTUAL_MYSQL_DSN names another. The user has to be allowed to make databases.
const defaultDSN = "root@tcp(127.0.0.1:3306)/"

var reach = sync.OnceValues(func() (*driver.Config, error) {
	dsn := os.Getenv("PUNCTUAL_MYSQL_DSN")
	if dsn == "" {
		dsn = defaultDSN
	}
	cfg, err := driver.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return cfg, db.PingContext(ctx)
})

// server returns how to reach the test server. Without one the test is skipped, or fails where CI has to have one.
func server(t testing.TB) *driver.Config {
	t.Helper()
	cfg, err := reach()
	if err == nil {
		return cfg.Clone()
	}
	const word = "no MySQL or MariaDB server answers (set PUNCTUAL_MYSQL_DSN): %v"
	if os.Getenv("PUNCTUAL_REQUIRE_SERVICES") != "" {
		t.Fatalf(word, err)
	}
	t.Skipf(word, err)
	return nil
}

// database makes a database that is dropped after the test, and returns its data source name.
func database(t testing.TB) string {
	t.Helper()
	cfg := server(t)
	name := fmt.Sprintf("punctual_test_%d_%x", os.Getpid(), rand.Uint64())
	cfg.DBName = ""
	execute(t, cfg.FormatDSN(), "CREATE DATABASE "+name)
	root := cfg.FormatDSN()
	t.Cleanup(func() { execute(t, root, "DROP DATABASE "+name) })
	cfg.DBName = name
	return cfg.FormatDSN()
}

// execute runs statements on a connection of their own.
func execute(t testing.TB, dsn string, statements ...string) {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	require.NoError(t, err)
	defer db.Close()
	for _, statement := range statements {
		_, err := db.Exec(statement)
		require.NoError(t, err, statement)
	}
}

func open(t testing.TB, dsn string, opts ...mysql.Option) *mysql.Store {
	t.Helper()
	s, err := mysql.Open(t.Context(), dsn, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}
