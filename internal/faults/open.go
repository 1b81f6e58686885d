package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/mysql"
	"github.com/punctual-go/punctual/store/postgres"
	"github.com/punctual-go/punctual/store/sqlite"
)

// Store is what all stores that can be shared have.
type Store interface {
	punctual.Store
	punctual.Leaser
	io.Closer
}

// Open opens the store that a data source name names: a URL for PostgreSQL, user@tcp(host:port)/database for MariaDB and MySQL, and else a
// file for SQLite.
func Open(ctx context.Context, dsn string) (Store, error) {
	switch {
	case strings.HasPrefix(dsn, "postgres://"):
		return postgres.Open(ctx, dsn)
	case strings.Contains(dsn, "@tcp("):
		return mysql.Open(ctx, dsn)
	}
	return sqlite.Open(ctx, dsn)
}

// Together carries out edits in one transaction, on a connection beside those of the store.
func Together(ctx context.Context, store Store, dsn string, do func(punctual.Editor) error) error {
	switch s := store.(type) {
	case *postgres.Store:
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return err
		}
		err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return do(s.Tx(tx)) })
		return errors.Join(err, conn.Close(ctx))
	case *mysql.Store:
		return together(ctx, "mysql", dsn, func(tx *sql.Tx) error { return do(s.Tx(tx)) })
	case *sqlite.Store:
		dsn = "file:" + dsn + "?_txlock=immediate&_pragma=busy_timeout(10000)"
		return together(ctx, "sqlite", dsn, func(tx *sql.Tx) error { return do(s.Tx(tx)) })
	}
	return fmt.Errorf("faults: %T has no transactions for hosts", store)
}

func together(ctx context.Context, driver, dsn string, do func(*sql.Tx) error) error {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	if err = do(tx); err == nil {
		err = tx.Commit()
	} else {
		err = errors.Join(err, tx.Rollback())
	}
	return errors.Join(err, db.Close())
}
