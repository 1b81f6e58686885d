package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/punctual-go/punctual"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrations returns the statements of each schema version, the first at index 0.
func migrations() ([]string, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	steps := make([]string, len(names))
	for i, name := range names {
		if !strings.HasPrefix(name, fmt.Sprintf("migrations/%04d_", i+1)) {
			return nil, fmt.Errorf("postgres: migration %s is out of order", name)
		}
		text, err := migrationFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		steps[i] = string(text)
	}
	return steps, nil
}

// The statements of this file run before anything is known of the schema, in the simple protocol or without a name.
const (
	// selectPlace tells what there is under the schema's name, and what our role may do: whether the schema is there, whether our table of
	// versions is, how many other tables it has, whether we may make the schema, and whether we may make something in it.
	selectPlace = `SELECT n.oid IS NOT NULL,
			EXISTS (SELECT 1 FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'punctual_migrations'),
			(SELECT count(*) FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')),
			has_database_privilege(current_database(), 'CREATE'),
			coalesce(has_schema_privilege(n.oid, 'CREATE'), false),
			current_user, current_database()
		FROM (VALUES (1)) AS one LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = $1`

	selectVersion = `SELECT coalesce(max(version), 0) FROM {schema}.punctual_migrations`

	// selectForbidden lists our tables that our role may not read and write.
	selectForbidden = `SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname IN ('tasks', 'live_runs', 'ended_runs', 'runs', 'sessions', 'key_slots')
			AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
				AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))
		ORDER BY 1`

	// lockMigrations makes instances that start at the same time take turns. The lock ends with the transaction, so it needs no session.
	lockMigrations = `SELECT pg_advisory_xact_lock(hashtextextended('punctual migrations of ' || $1, 0))`

	createVersions = `CREATE TABLE {schema}.punctual_migrations (version integer NOT NULL PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())`
	insertVersion  = `INSERT INTO {schema}.punctual_migrations (version) VALUES ($1)`
)

// place is what selectPlace tells.
type place struct {
	schema, versions       bool
	tables                 int
	mayCreate, mayPopulate bool
	role, database         string
}

// queryer is what runs a statement: a connection or a transaction.
type queryer interface {
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
	Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error)
}

// inspect looks at what there is, writes nothing, and returns the version of the schema: 0 when there is none yet.
func (s *Store) inspect(ctx context.Context, q queryer, known int) (version int, p place, err error) {
	err = q.QueryRow(ctx, selectPlace, pgx.QueryExecModeExec, s.schema).Scan(&p.schema, &p.versions, &p.tables, &p.mayCreate, &p.mayPopulate, &p.role, &p.database)
	if err != nil {
		return 0, p, err
	}
	switch {
	case !p.versions && p.tables > 0:
		return 0, p, fmt.Errorf("postgres: %w: the schema %q of database %q holds tables of something else; choose another with WithSchema",
			punctual.ErrStoreSchema, s.schema, p.database)
	case !p.versions:
		return 0, p, nil
	}
	if err := q.QueryRow(ctx, s.text(selectVersion), pgx.QueryExecModeExec).Scan(&version); err != nil {
		return 0, p, s.forbidden(err, p, "USAGE on it and SELECT on all of its tables are missing")
	}
	if version > known {
		return 0, p, fmt.Errorf("postgres: %w: the schema %q has version %d and this library knows %d; upgrade the library",
			punctual.ErrStoreSchema, s.schema, version, known)
	}
	return version, p, nil
}

// forbidden explains an error for want of rights; others stay as they are.
func (s *Store) forbidden(err error, p place, missing string) error {
	var inner *pgconn.PgError
	if !errors.As(err, &inner) || inner.Code != "42501" {
		return err
	}
	return s.noRight(p, missing)
}

func (s *Store) noRight(p place, missing string) error {
	return fmt.Errorf("postgres: %w: role %q may not use the schema %q of database %q: %s", punctual.ErrStoreSchema, p.role, s.schema, p.database, missing)
}

// migrate brings the schema up to date: all steps in one transaction, under a lock that instances which start at the same time take turns
// with. When there is nothing to do it only reads, so that a role without the right to create anything can open a store that somebody else
// has made.
func (s *Store) migrate(ctx context.Context) error {
	steps, err := migrations()
	if err != nil {
		return err
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	version, p, err := s.inspect(ctx, conn, len(steps))
	if err != nil {
		return err
	}
	if version < len(steps) {
		if err := s.upgrade(ctx, conn.Conn(), steps); err != nil {
			return err
		}
	}
	var table string
	err = conn.QueryRow(ctx, selectForbidden, pgx.QueryExecModeExec, s.schema).Scan(&table)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	return s.noRight(p, fmt.Sprintf("SELECT, INSERT, UPDATE and DELETE on table %q are missing", table))
}

func (s *Store) upgrade(ctx context.Context, conn *pgx.Conn, steps []string) error {
	return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockMigrations, pgx.QueryExecModeExec, s.schema); err != nil {
			return err
		}
		version, p, err := s.inspect(ctx, tx, len(steps)) // somebody else may have been here meanwhile
		if err != nil {
			return err
		}
		switch {
		case version == len(steps):
			return nil
		case !p.schema && !p.mayCreate:
			return s.noRight(p, "it does not exist, and CREATE on the database is missing")
		case p.schema && !p.mayPopulate:
			return s.noRight(p, "it has to be brought up to date, and CREATE on it is missing")
		}
		var script strings.Builder
		if !p.schema {
			script.WriteString("CREATE SCHEMA {schema};\n")
		}
		if !p.versions {
			script.WriteString(createVersions + ";\n")
		}
		for i := version; i < len(steps); i++ {
			script.WriteString(steps[i])
			script.WriteString(strings.ReplaceAll(insertVersion, "$1", fmt.Sprint(i+1)) + ";\n")
		}
		// Several statements in one text need the simple protocol.
		_, err = tx.Conn().PgConn().Exec(ctx, s.text(script.String())).ReadAll()
		return s.forbidden(err, p, "its tables belong to another role, which has to bring them up to date")
	})
}
