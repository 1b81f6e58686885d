package mysql

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/punctual-go/punctual"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrations returns the statements of each schema version, the first at index 0.
func migrations() ([][]string, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	steps := make([][]string, len(names))
	for i, name := range names {
		if !strings.HasPrefix(name, fmt.Sprintf("migrations/%04d_", i+1)) {
			return nil, fmt.Errorf("mysql: migration %s is out of order", name)
		}
		text, err := migrationFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		steps[i] = statements(string(text))
	}
	return steps, nil
}

// statements cuts a file at the semicolons that end a line. Lines of comment are left out, since they may have anything in them.
func statements(file string) []string {
	var kept []string
	for line := range strings.Lines(file) {
		code, _, _ := strings.Cut(strings.TrimRight(line, "\r\n")+" ", "-- ")
		if code = strings.TrimRight(code, " \t"); code != "" {
			kept = append(kept, code)
		}
	}
	var all []string
	for _, one := range strings.Split(strings.Join(kept, "\n")+"\n", ";\n") {
		if one = strings.TrimSpace(one); one != "" {
			all = append(all, one)
		}
	}
	return all
}

const (
	createMigrations = `CREATE TABLE IF NOT EXISTS {migrations} (
			version     INT    NOT NULL PRIMARY KEY,
			applied_us  BIGINT NOT NULL
		) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4`

	selectVersion = `SELECT COALESCE(MAX(version), 0) FROM {migrations}`

	// insertVersion is repeated when a step was cut short after it.
	insertVersion = `INSERT INTO {migrations} (version, applied_us) VALUES (?, ` + microsecondsNow + `)
		ON DUPLICATE KEY UPDATE version = version`

	// selectForeign finds tables that bear our names though nobody has made them for a store. The names are compared as the server does.
	selectForeign = `SELECT COUNT(*) FROM information_schema.tables
		WHERE table_schema = DATABASE() AND table_name IN (?)`
)

// migrate brings the tables up to date. MySQL ends the transaction at each statement about a table, so a step may stay half done when
// this process or the server dies. Therefore a step counts when its row in the table of migrations is there, until then it is carried out
// from its beginning again, and each of its statements may be repeated: it says IF NOT EXISTS, or fails with an error that says that it
// was carried out before. For the same reason the lock, which a proxy or a cluster may take for granted, only spares work and noise.
func (s *Store) migrate(ctx context.Context) error {
	steps, err := migrations()
	if err != nil {
		return err
	}
	version, err := s.version(ctx, s.db, len(steps))
	if err != nil || version == len(steps) {
		return fault(ctx, err) // who may only read and write rows needs no more rights than that
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return fault(ctx, err)
	}
	defer conn.Close()
	if err := s.locked(ctx, conn, func() error { return s.upgrade(ctx, conn, steps) }); err != nil {
		return fault(ctx, err)
	}
	return nil
}

// version returns the version of the tables, 0 if there are none and -1 if nobody has made the table of migrations either.
func (s *Store) version(ctx context.Context, q querier, known int) (int, error) {
	found, err := read(ctx, s, q, func(rows *sql.Rows) (n int, err error) { return n, rows.Scan(&n) }, selectVersion)
	switch number(err) {
	case errNoTable:
		return -1, nil
	case errNoColumn:
		return 0, fmt.Errorf("mysql: %w: the table %s belongs to something else; choose another prefix", punctual.ErrStoreSchema, quote(s.prefix+"migrations"))
	}
	if err != nil {
		return 0, err
	}
	if found[0] > known {
		return 0, fmt.Errorf("mysql: %w: its schema has version %d and this library knows %d; upgrade the library", punctual.ErrStoreSchema, found[0], known)
	}
	return found[0], nil
}

// locked runs work while no other process does so for the same tables, if the server has such locks.
func (s *Store) locked(ctx context.Context, conn *sql.Conn, work func() error) error {
	const patience = 60 // seconds
	sum := sha256.Sum256([]byte(s.prefix))
	name := fmt.Sprintf("punctual %x", sum[:8])
	var got sql.NullBool
	err := conn.QueryRowContext(ctx, `SELECT GET_LOCK(CONCAT(LEFT(?, 32), MD5(DATABASE())), ?)`, name, patience).Scan(&got)
	switch {
	case err != nil && number(err) == 0:
		return err // no answer
	case err == nil && got.Valid && !got.Bool:
		return fmt.Errorf("mysql: %w: another process has been at the tables for %d s", punctual.ErrUnavailable, patience)
	}
	err = work()
	_, release := conn.ExecContext(ctx, `DO RELEASE_LOCK(CONCAT(LEFT(?, 32), MD5(DATABASE())))`, name)
	if number(release) != 0 {
		release = nil // a server without such locks
	}
	return errors.Join(err, release)
}

// upgrade carries out the steps that are missing.
func (s *Store) upgrade(ctx context.Context, conn *sql.Conn, steps [][]string) error {
	version, err := s.version(ctx, conn, len(steps))
	if err != nil {
		return err
	}
	if version < 0 {
		if err := s.foreign(ctx, conn); err != nil {
			return err
		}
		if err := s.ddl(ctx, conn, createMigrations); err != nil {
			return err
		}
		version = 0
	}
	for ; version < len(steps); version++ {
		for _, statement := range steps[version] {
			if err := s.ddl(ctx, conn, statement); err != nil {
				return fmt.Errorf("migration %d: %w", version+1, err)
			}
		}
		query, args := s.bind(insertVersion, []any{version + 1})
		if _, err := conn.ExecContext(ctx, query, args...); err != nil {
			return err
		}
	}
	return nil
}

// foreign refuses tables that bear our names without being ours.
func (s *Store) foreign(ctx context.Context, conn *sql.Conn) error {
	var names []any
	marks := ""
	for _, table := range []string{"tasks", "labels", "runs", "sessions", "locks", "hints"} {
		names = append(names, s.prefix+table)
		marks += ",?"
	}
	var n int
	query := strings.Replace(selectForeign, "?", marks[1:], 1)
	if err := conn.QueryRowContext(ctx, query, names...).Scan(&n); err != nil {
		return err
	}
	if n > 0 {
		return fmt.Errorf("mysql: %w: the database has tables named like ours that belong to something else; choose another prefix than %q",
			punctual.ErrStoreSchema, s.prefix)
	}
	return nil
}

// ddl carries out a statement of a step, which may have been carried out before.
func (s *Store) ddl(ctx context.Context, conn *sql.Conn, statement string) error {
	query, _ := s.bind(statement, nil)
	_, err := conn.ExecContext(ctx, query)
	switch n := number(err); {
	case n == errTableExists, n == errColumnExists, n == errKeyExists, n == errKeyMissing:
		return nil
	case denied[n]:
		return fmt.Errorf("mysql: %w: the user lacks the right to make the store's tables; grant CREATE, ALTER, INDEX and DROP on the database, "+
			"or open the store once with a user who has them: %w", punctual.ErrStoreSchema, err)
	}
	return err
}
