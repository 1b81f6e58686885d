package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/punctual-go/punctual"
)

// applicationID marks our databases in the header of the file ("Punc").
const applicationID = 0x50756e63

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
			return nil, fmt.Errorf("sqlite: migration %s is out of order", name)
		}
		text, err := migrationFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		steps[i] = string(text)
	}
	return steps, nil
}

// header is what the file says of itself.
type header struct {
	application, version, tables int
}

func (h header) check(known int) error {
	switch {
	case h.application == 0 && h.version == 0 && h.tables == 0:
		return nil // new
	case h.application != applicationID:
		return fmt.Errorf("sqlite: %w: the database belongs to something else", punctual.ErrStoreSchema)
	case h.version > known:
		return fmt.Errorf("sqlite: %w: its schema has version %d and this library knows %d; upgrade the library", punctual.ErrStoreSchema, h.version, known)
	}
	return nil
}

const selectHeader = `SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)`

// inspect looks at a file that is there already, without writing to it or beside it.
func inspect(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("sqlite: %w: %w", punctual.ErrUnavailable, err)
	case info.IsDir():
		return fmt.Errorf("sqlite: %w: %s is a directory", punctual.ErrStoreSchema, path)
	case info.Size() == 0:
		return nil
	}
	if err := checkMagic(path); err != nil {
		return err
	}
	steps, err := migrations()
	if err != nil {
		return err
	}
	// A log beside the file may hold newer pages, and reading it writes to the index of the log: then the check happens within
	// the first transaction instead.
	if _, err := os.Stat(path + "-wal"); err == nil {
		return nil
	}
	db, err := sql.Open("sqlite", dsn(path, "ro", options{synchronous: "NORMAL", busy: DefaultBusyTimeout}, "immutable=1"))
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	defer db.Close()
	var h header
	if err := db.QueryRowContext(ctx, selectHeader).Scan(&h.application, &h.version, &h.tables); err != nil {
		return fault(ctx, err)
	}
	return h.check(len(steps))
}

// checkMagic tells a database from any other file by its first bytes (https://www.sqlite.org/fileformat.html, 1.3.1).
func checkMagic(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sqlite: %w: %w", punctual.ErrUnavailable, err)
	}
	defer f.Close()
	const magic = "SQLite format 3\x00"
	begin := make([]byte, len(magic))
	if n, _ := f.Read(begin); string(begin[:n]) != magic {
		return fmt.Errorf("sqlite: %w: %s is not a SQLite database", punctual.ErrStoreSchema, path)
	}
	return nil
}

// migrate brings the schema up to date, one transaction for all steps. The check is repeated inside, since another process may have
// been here meanwhile.
func (s *Store) migrate(ctx context.Context) error {
	steps, err := migrations()
	if err != nil {
		return err
	}
	return s.tx(ctx, func(tx *txn) error {
		found, err := collect(ctx, tx, func(rows rows) (h header, err error) {
			return h, rows.Scan(&h.application, &h.version, &h.tables)
		}, selectHeader)
		if err != nil {
			return err
		}
		h := found[0]
		if err := h.check(len(steps)); err != nil {
			return err
		}
		if h.version == len(steps) {
			return nil
		}
		for i := h.version; i < len(steps); i++ {
			if _, err := s.write.driver.ExecContext(ctx, steps[i], nil); err != nil {
				return fmt.Errorf("migration %d: %w", i+1, err)
			}
		}
		_, err = s.write.driver.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, len(steps)), nil)
		return err
	})
}
