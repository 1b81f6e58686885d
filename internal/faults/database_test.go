//go:build linux

package faults

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // database/sql's driver "pgx"
	"github.com/stretchr/testify/require"
)

// server makes databases.
type server struct {
	name string
	// database makes an empty database and returns its data source name.
	database func(t *testing.T) string
}

var (
	postgreSQL = server{"PostgreSQL", func(t *testing.T) string {
		return postgresDatabase(t, cmp.Or(os.Getenv("PUNCTUAL_POSTGRES_DSN"), "postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable"))
	}}
	mariaDB = server{"MariaDB", func(t *testing.T) string {
		return mysqlDatabase(t, cmp.Or(os.Getenv("PUNCTUAL_MYSQL_DSN"), "root@tcp(127.0.0.1:3306)/"))
	}}
	sqliteFile = server{"SQLite", func(t *testing.T) string { return filepath.Join(t.TempDir(), "tasks.db") }}
)

// on runs a case on some servers, beside other tests: most of the time it waits.
func on(t *testing.T, servers []server, play func(t *testing.T, dsn string)) {
	alone(t)
	t.Parallel()
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			play(t, s.database(t))
		})
	}
}

var (
	all       = []server{postgreSQL, mariaDB, sqliteFile}
	servers   = []server{postgreSQL, mariaDB} // those with a network
	few       = []server{postgreSQL, sqliteFile}
	underRace bool
)

// alone skips a case that starts processes unless such cases are asked for. Their leases last a few seconds, and a machine that does other work meanwhile
// may keep a process from renewing in time, which would be one more fault than the case is about.
func alone(t *testing.T) {
	t.Helper()
	if !*long && os.Getenv("PUNCTUAL_FAULTS") == "" {
		t.Skip("kills and stops processes, for which it needs the machine for itself: set PUNCTUAL_FAULTS=1")
	}
}

// slow marks a case that waits for long, and in which goroutines meet in no other way than in the others.
func slow(t *testing.T) {
	t.Helper()
	if underRace {
		t.Skip("runs without the race detector")
	}
}

// some are all servers in the long version, and else a few.
func some() []server {
	if *long {
		return all
	}
	return few
}

// missing skips a test that lacks something outside of this process, or fails it where everything has to be there.
func missing(t *testing.T, what string, err error) {
	t.Helper()
	if os.Getenv("PUNCTUAL_REQUIRE_SERVICES") != "" {
		t.Fatalf("%s is missing, and PUNCTUAL_REQUIRE_SERVICES is set: %v", what, err)
	}
	t.Skipf("needs %s: %v", what, err)
}

func newName() string { return fmt.Sprintf("punctual_faults_%d_%x", os.Getpid(), rand.Uint32()) }

// postgresDatabase makes a database on a server, and drops it after the test.
func postgresDatabase(t *testing.T, server string) string {
	at, err := url.Parse(server)
	require.NoError(t, err)
	conn, err := pgx.Connect(t.Context(), server)
	if err != nil {
		missing(t, "PostgreSQL (PUNCTUAL_POSTGRES_DSN)", err)
	}
	defer conn.Close(context.Background())
	name := newName()
	_, err = conn.Exec(t.Context(), "CREATE DATABASE "+name)
	require.NoError(t, err)
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), server)
		require.NoError(t, err)
		defer conn.Close(context.Background())
		_, err = conn.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)")
		require.NoError(t, err)
	})
	at.Path = "/" + name
	query := at.Query()
	query.Set("pool_max_conns", "3") // many instances share one server that others use, too
	at.RawQuery = query.Encode()
	return at.String()
}

// mysqlDatabase does the same on MariaDB or MySQL.
func mysqlDatabase(t *testing.T, server string) string {
	cfg, err := mysql.ParseDSN(server)
	require.NoError(t, err)
	cfg.DBName = ""
	name := newName()
	if err := execute(t, cfg.FormatDSN(), "CREATE DATABASE "+name); err != nil {
		missing(t, "MariaDB or MySQL (PUNCTUAL_MYSQL_DSN)", err)
	}
	root := cfg.FormatDSN()
	t.Cleanup(func() { require.NoError(t, execute(t, root, "DROP DATABASE "+name)) })
	cfg.DBName = name
	return cfg.FormatDSN()
}

// bare leaves out of a data source name what only a pool understands.
func bare(t *testing.T, dsn string) string {
	if !strings.HasPrefix(dsn, "postgres://") {
		return dsn
	}
	at, err := url.Parse(dsn)
	require.NoError(t, err)
	query := at.Query()
	query.Del("pool_max_conns")
	at.RawQuery = query.Encode()
	return at.String()
}

// raw opens a store's database without the store.
func raw(t *testing.T, dsn string) *sql.DB {
	driver := "sqlite"
	switch {
	case strings.HasPrefix(dsn, "postgres://"):
		driver, dsn = "pgx", bare(t, dsn)
	case strings.Contains(dsn, "@tcp("):
		driver = "mysql"
	default: // instances write to the file, too
		dsn += fmt.Sprintf("?_pragma=busy_timeout(%d)", patience.Milliseconds())
	}
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	return db
}

// execute runs statements on a connection of their own.
func execute(t *testing.T, dsn string, statements ...string) error {
	db := raw(t, dsn)
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.ExecContext(context.Background(), statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// table is the name of a store's table.
func table(dsn, name string) string {
	switch {
	case strings.HasPrefix(dsn, "postgres://"):
		return "punctual." + name
	case strings.Contains(dsn, "@tcp("):
		return "punctual_" + name
	}
	return name
}

// leases reads until when each session had the right to its attempts, as the store has it: also of a beat whose answer was lost.
func (c *crew) leases() map[string]time.Time {
	c.t.Helper()
	db := raw(c.t, c.dsn)
	defer db.Close()
	rows, err := db.QueryContext(c.t.Context(), "SELECT id, expires_us FROM "+table(c.dsn, "sessions"))
	require.NoError(c.t, err)
	defer rows.Close()
	found := make(map[string]time.Time)
	for rows.Next() {
		var id string
		var us int64
		require.NoError(c.t, rows.Scan(&id, &us))
		found[id] = time.UnixMicro(us)
	}
	require.NoError(c.t, rows.Err())
	return found
}
