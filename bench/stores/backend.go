package main

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // for what is done to files beside the store

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/bench/internal/machine"
	"github.com/punctual-go/punctual/store/mysql"
	"github.com/punctual-go/punctual/store/postgres"
	"github.com/punctual-go/punctual/store/sqlite"
)

// durable is a store as the scenarios use it.
type durable interface {
	punctual.Store
	punctual.Leaser
	Close() error
}

// backend is one durable store and the server behind it. Each measurement has a place of its own there, by name: a schema, a database or
// a file, which is removed after it.
type backend struct {
	key, title string
	tasks      string // the name of the table in SQL
	runs       string
	writers    int // how many connections can write at a time
	dialect    dialect
	open       func(ctx context.Context, place string) (durable, error)
	connect    func(place string) (*sql.DB, error) // to what is in the place
	make       func(ctx context.Context, place string) error
	remove     func(ctx context.Context, place string) error
	version    func(ctx context.Context) (string, error)
	// server finds the processes of the server, whose CPU time counts; nil when it is this process.
	server func(ctx context.Context) (machine.Family, error)
	bare   func(ctx context.Context, b backend, place string) (bareLoop, error)
}

// backends are in the order of the tables.
var backends = []backend{
	{
		key: "postgres", title: "PostgreSQL", tasks: "tasks", runs: "runs", writers: 2, dialect: postgresDialect,
		open: func(ctx context.Context, place string) (durable, error) {
			return postgres.Open(ctx, postgresDSN(), postgres.WithSchema(place))
		},
		connect: connectPostgres,
		make:    func(ctx context.Context, place string) error { return onPostgres(ctx, `CREATE SCHEMA `+place) },
		remove: func(ctx context.Context, place string) error {
			return onPostgres(ctx, `DROP SCHEMA IF EXISTS `+place+` CASCADE`)
		},
		version: func(ctx context.Context) (string, error) {
			db, err := connectPostgres("public")
			if err != nil {
				return "", err
			}
			defer db.Close()
			return ask[string](ctx, db, `SELECT split_part(current_setting('server_version'), ' ', 1)`)
		},
		server: func(ctx context.Context) (machine.Family, error) {
			db, err := connectPostgres("public")
			if err != nil {
				return machine.Family{}, err
			}
			defer db.Close()
			pid, err := ask[int](ctx, db, `SELECT pg_backend_pid()`)
			if err != nil {
				return machine.Family{}, err
			}
			return machine.FamilyOfChild(pid, "postgres")
		},
		bare: openBarePostgres,
	},
	{
		key: "mysql", title: "MariaDB", tasks: "punctual_tasks", runs: "punctual_runs", writers: 2, dialect: mysqlDialect,
		open: func(ctx context.Context, place string) (durable, error) {
			dsn, err := mysqlPlace(place)
			if err != nil {
				return nil, err
			}
			return mysql.Open(ctx, dsn)
		},
		connect: connectMySQL,
		make:    func(ctx context.Context, place string) error { return onMySQL(ctx, "CREATE DATABASE "+place) },
		remove:  func(ctx context.Context, place string) error { return onMySQL(ctx, "DROP DATABASE IF EXISTS "+place) },
		version: func(ctx context.Context) (string, error) {
			db, err := sql.Open("mysql", mysqlDSN())
			if err != nil {
				return "", err
			}
			defer db.Close()
			version, err := ask[string](ctx, db, `SELECT VERSION()`)
			version, _, _ = strings.Cut(version, "-")
			return version, err
		},
		server: func(context.Context) (machine.Family, error) { return machine.FamilyNamed("mariadbd", "mysqld") },
		bare:   openBareMySQL,
	},
	{
		key: "sqlite", title: "SQLite", tasks: "tasks", runs: "runs", writers: 1, dialect: sqliteDialect,
		open:    func(ctx context.Context, place string) (durable, error) { return sqlite.Open(ctx, sqliteFile(place)) },
		connect: connectSQLite,
		make: func(_ context.Context, place string) error {
			return os.MkdirAll(filepath.Dir(sqliteFile(place)), 0o700)
		},
		remove: func(_ context.Context, place string) error { return os.RemoveAll(filepath.Dir(sqliteFile(place))) },
		version: func(ctx context.Context) (string, error) {
			db, err := sql.Open("sqlite", ":memory:")
			if err != nil {
				return "", err
			}
			defer db.Close()
			return ask[string](ctx, db, `SELECT sqlite_version()`)
		},
		bare: openBareSQLite,
	},
}

func backendOf(key string) (backend, error) {
	for _, b := range backends {
		if b.key == key {
			return b, nil
		}
	}
	return backend{}, fmt.Errorf("there is no store %q", key)
}

// postgresDSN and mysqlDSN are those of the stores' tests.
func postgresDSN() string {
	return cmp.Or(os.Getenv("PUNCTUAL_POSTGRES_DSN"), "postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable")
}

func mysqlDSN() string {
	return cmp.Or(os.Getenv("PUNCTUAL_MYSQL_DSN"), "root@tcp(127.0.0.1:3306)/")
}

func connectPostgres(schema string) (*sql.DB, error) {
	config, err := pgx.ParseConfig(postgresDSN())
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["search_path"] = schema
	return stdlib.OpenDB(*config), nil
}

func onPostgres(ctx context.Context, statement string) error {
	db, err := connectPostgres("public")
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, statement)
	return err
}

func mysqlPlace(place string) (string, error) {
	config, err := mysqldriver.ParseDSN(mysqlDSN())
	if err != nil {
		return "", err
	}
	config.DBName, config.InterpolateParams = place, true
	return config.FormatDSN(), nil
}

func connectMySQL(place string) (*sql.DB, error) {
	dsn, err := mysqlPlace(place)
	if err != nil {
		return nil, err
	}
	return sql.Open("mysql", dsn)
}

func onMySQL(ctx context.Context, statement string) error {
	db, err := connectMySQL("")
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, statement)
	return err
}

// sqliteFile lies in a folder of its own, beside which SQLite puts its log.
func sqliteFile(place string) string { return filepath.Join(os.TempDir(), place, "tasks.db") }

// connectSQLite sets up a connection as the store does by default.
func connectSQLite(place string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(sqliteFile(place))+
		"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=temp_store(MEMORY)&_pragma=cache_size(-16000)")
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// ask asks for one value.
func ask[T any](ctx context.Context, db *sql.DB, query string, args ...any) (value T, err error) {
	err = db.QueryRowContext(ctx, query, args...).Scan(&value)
	return value, err
}

// execAll carries out statements one after the other.
func execAll(ctx context.Context, db *sql.DB, statements ...string) error {
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%w, of: %s", err, statement)
		}
	}
	return nil
}

// placeName names a place; it needs no quotes.
func placeName(n int) string {
	return "punctual_stores_" + strconv.Itoa(os.Getpid()) + "_" + strconv.Itoa(n)
}
