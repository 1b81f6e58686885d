package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// A member is this program again.
func TestMain(m *testing.M) {
	if os.Getenv(memberVariable) != "" {
		if err := member(); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestAnotherInstanceTakesOverAndTheLedgerIsWhole(t *testing.T) {
	for name, dsn := range map[string]func(*testing.T) string{
		"SQLite":     func(t *testing.T) string { return filepath.Join(t.TempDir(), "tasks.db") },
		"MySQL":      database,
		"PostgreSQL": postgresDatabase,
	} {
		t.Run(name, func(t *testing.T) {
			var words strings.Builder
			p := plan{DSN: dsn(t), Instances: 3, Tasks: 6, Every: 100 * time.Millisecond, Lease: 3 * time.Second, After: time.Second, Out: &words}
			found, err := p.run(t.Context())
			require.NoError(t, err, words.String())
			t.Logf("%s%+v", words.String(), found)
			assert.Zero(t, found.Lost)
			assert.Zero(t, found.Doubled)
			assert.Greater(t, found.Occurrences, int64(6*10))
			assert.Equal(t, 2, found.Attempt)
			assert.Contains(t, words.String(), found.By+" takes over")
			assert.GreaterOrEqual(t, found.After, p.Lease/2, "nobody takes a run before its lease has lapsed")
		})
	}
}

// database makes a database on the server that the tests of store/mysql use, and drops it afterwards.
func database(t *testing.T) string {
	dsn := os.Getenv("PUNCTUAL_MYSQL_DSN")
	if dsn == "" {
		dsn = "root@tcp(127.0.0.1:3306)/"
	}
	cfg, err := mysql.ParseDSN(dsn)
	require.NoError(t, err)
	cfg.DBName = ""
	db, err := sql.Open("mysql", cfg.FormatDSN())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	name := fmt.Sprintf("punctual_cluster_%d", os.Getpid())
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
	return cfg.FormatDSN()
}

// postgresDatabase does the same on the server that the tests of store/postgres use.
func postgresDatabase(t *testing.T) string {
	dsn := os.Getenv("PUNCTUAL_POSTGRES_DSN")
	if dsn == "" {
		dsn = "postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable"
	}
	at, err := url.Parse(dsn)
	require.NoError(t, err)
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		if os.Getenv("PUNCTUAL_REQUIRE_SERVICES") != "" {
			t.Fatalf("no PostgreSQL server answers: %v", err)
		}
		t.Skipf("no PostgreSQL server answers: %v", err)
	}
	name := fmt.Sprintf("punctual_cluster_%d", os.Getpid())
	_, err = conn.Exec(t.Context(), "CREATE DATABASE "+name)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := conn.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)")
		require.NoError(t, errors.Join(err, conn.Close(context.Background())))
	})
	at.Path = "/" + name
	return at.String()
}

func TestCheckFindsWhatIsLostAndWhatIsDoubled(t *testing.T) {
	noon := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	row := func(second int, trigger punctual.Trigger, count int64) punctual.Run {
		return punctual.Run{Trigger: trigger, ScheduledAt: noon.Add(time.Duration(second) * time.Second), Count: count}
	}
	const schedule = punctual.TriggerSchedule
	registered := row(0, punctual.TriggerRegister, 1)
	tests := []struct {
		name string
		runs []punctual.Run
		want findings
	}{
		{"nothing yet", []punctual.Run{registered}, findings{}},
		{"each once", []punctual.Run{registered, row(1, schedule, 1), row(2, punctual.TriggerCatchUp, 1), row(3, schedule, 4)}, findings{Occurrences: 6}},
		{"one is missing", []punctual.Run{registered, row(1, schedule, 1), row(3, schedule, 1)}, findings{Occurrences: 3, Lost: 1}},
		{"the first is missing", []punctual.Run{registered, row(2, schedule, 2)}, findings{Occurrences: 3, Lost: 1}},
		{"one has two facts", []punctual.Run{registered, row(1, schedule, 3), row(2, schedule, 1)}, findings{Occurrences: 3, Doubled: 1}},
	}
	for _, test := range tests {
		var found findings
		snap := punctual.Snapshot{Task: punctual.Task{ID: "t", Schedule: punctual.Every(time.Second).From(noon)}}
		require.NoError(t, checkTask(snap, test.runs, &found), test.name)
		assert.Equal(t, test.want, found, test.name)
	}
	var found findings
	snap := punctual.Snapshot{Task: punctual.Task{ID: "t", Schedule: punctual.Every(time.Second).From(noon)}}
	off := row(1, schedule, 1)
	off.ScheduledAt = off.ScheduledAt.Add(time.Millisecond)
	require.Error(t, checkTask(snap, []punctual.Run{registered, off}, &found), "an instant that is no occurrence")
	require.Error(t, checkTask(snap, nil, &found), "no immediate run")
}
