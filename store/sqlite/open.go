// Package sqlite is a durable store in one SQLite file, without cgo: for a service on one machine.
//
//	store, err := sqlite.Open(ctx, "tasks.db")
//	s, err := punctual.New(store, executor)
//
// Several processes of one machine may open the same file; writes of all of them take turns.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/benbjohnson/clock"
	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

var (
	_ punctual.Store   = (*Store)(nil)
	_ punctual.Leaser  = (*Store)(nil)
	_ punctual.Watcher = (*Store)(nil)
)

// Defaults of the options.
const (
	DefaultBusyTimeout  = 5 * time.Second
	DefaultPollInterval = 200 * time.Millisecond
)

// Store is a punctual.Store, punctual.Leaser and punctual.Watcher in a SQLite file. Make it with Open and close it after the Scheduler's Shutdown.
type Store struct {
	write *connection // its transactions begin immediate
	read  *sql.DB     // connections that cannot write
	clock clock.Clock
	poll  time.Duration
	log   logKeeper

	// One claim is carried out at a time, by who has the connection that reads ahead.
	ahead   *connection
	due     *dueRows     // what a claim has read
	version int64        // of the file, as the connection that writes saw it at the last look
	changes atomic.Int64 // transactions through this store that were not harmless

	watchers watchers

	definitions ledger.Definitions
}

// Option configures Open.
type Option func(*options)

type options struct {
	synchronous string
	busy        time.Duration
	poll        time.Duration
}

// WithFullSync makes each commit wait until it is on the disk (synchronous FULL). By default (NORMAL) a commit survives the death of
// the process at any time, and the last ones may be lost when the machine loses its power; the file is never damaged.
func WithFullSync() Option { return func(o *options) { o.synchronous = "FULL" } }

// WithBusyTimeout sets how long a write waits for another process's write before it fails with punctual.ErrUnavailable. Default
// DefaultBusyTimeout; anything under a millisecond counts as one.
func WithBusyTimeout(d time.Duration) Option {
	return func(o *options) { o.busy = max(d, time.Millisecond) }
}

// WithPollInterval sets how often a started Scheduler asks whether another process has edited something in the file; default
// DefaultPollInterval. Zero or less turns it off, and then edits of others are noticed when the Scheduler looks by itself. A look that finds
// nothing takes some microseconds.
func WithPollInterval(d time.Duration) Option { return func(o *options) { o.poll = d } }

// Open opens the store in the given file, which is made with mode 0600 when it is not there, and brings its schema up to date.
//
// Errors: punctual.ErrStoreSchema when the file is no database, holds something else or was written by a newer version; it is left
// untouched then. punctual.ErrUnavailable when it cannot be opened or is locked.
func Open(ctx context.Context, path string, opts ...Option) (*Store, error) {
	o := options{synchronous: "NORMAL", busy: DefaultBusyTimeout, poll: DefaultPollInterval}
	for _, opt := range opts {
		opt(&o)
	}
	if path == "" || path == ":memory:" || strings.HasPrefix(path, "file:") {
		return nil, fmt.Errorf("sqlite: %q is not a path of a file; use store/memory for a store without one", path)
	}
	full, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	if err := inspect(ctx, full); err != nil {
		return nil, err
	}
	if f, err := os.OpenFile(full, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, fmt.Errorf("sqlite: %w: %w", punctual.ErrUnavailable, err)
	} else if err := f.Close(); err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	s := &Store{write: newConnection(), ahead: newConnection(), due: newDueRows(), clock: clock.New(), poll: o.poll}
	reading := dsn(full, "rw", o, "_pragma=query_only(1)")
	s.read, err = sql.Open("sqlite", reading)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	s.read.SetMaxOpenConns(max(4, runtime.GOMAXPROCS(0)))
	writing := dsn(full, "rwc", o, "_txlock=immediate", "_pragma=journal_mode(WAL)", fmt.Sprintf("_pragma=wal_autocheckpoint(%d)", logLimit))
	if err := s.prepare(ctx, writing, o.busy); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.prepareAhead(ctx, reading); err != nil {
		return nil, errors.Join(fault(ctx, err), s.Close())
	}
	s.log.start(s)
	return s, nil
}

// prepare makes the first connection and brings the schema up to date. SQLite's own waiting does not cover all of it: two connections
// that turn a fresh file to WAL would wait for each other, so one of them is told at once that the file is busy
// (https://www.sqlite.org/c3ref/busy_handler.html), and tries again here.
func (s *Store) prepare(ctx context.Context, dsn string, patience time.Duration) error {
	for until, pause := s.clock.Now().Add(patience), time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := fault(ctx, s.write.open(s.read.Driver(), dsn))
		if err == nil {
			err = s.migrate(ctx)
		}
		if !busy(err) || s.clock.Now().After(until) {
			return err
		}
		timer := s.clock.Timer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fault(ctx, err)
		}
	}
}

// busy reports whether another connection's lock was in the way.
func busy(err error) bool {
	var inner *driver.Error
	return errors.As(err, &inner) && inner.Code()&0xff == sqlite3.SQLITE_BUSY
}

// dsn makes the data source name for a file.
func dsn(path, mode string, o options, params ...string) string {
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path)}
	params = append(params, "mode="+mode,
		fmt.Sprintf("_pragma=busy_timeout(%d)", o.busy.Milliseconds()),
		"_pragma=synchronous("+o.synchronous+")", "_pragma=temp_store(MEMORY)", "_pragma=cache_size(-16000)")
	u.RawQuery = strings.Join(params, "&")
	return u.String()
}

// Close closes the file. The engine must have stopped using it.
func (s *Store) Close() error {
	s.log.close()
	return errors.Join(s.ahead.close(), s.read.Close(), s.write.close())
}

// now is the request's time, or the machine's when it has none.
func (s *Store) now(given time.Time) time.Time {
	if given.IsZero() {
		given = s.clock.Now()
	}
	return fromMicros(given.UnixMicro())
}

// refusal is an error of a decide function, which is handed on as it is.
type refusal struct{ error }

// fault classifies an error: a decide function's, the context's, the store's that may pass, and all others as they are.
func fault(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var refused *refusal
	if errors.As(err, &refused) {
		return refused.error
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("sqlite: %w", cause) // what the driver says of a call that was given up depends on the moment
	}
	var inner *driver.Error
	coded := errors.As(err, &inner)
	if !coded && !errors.Is(err, sql.ErrConnDone) {
		return err
	}
	if coded {
		switch inner.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
		case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
			return fmt.Errorf("sqlite: %w: %w", punctual.ErrStoreSchema, err)
		default:
			return fmt.Errorf("sqlite: %w", err)
		}
	}
	return fmt.Errorf("sqlite: %w: %w", punctual.ErrUnavailable, err)
}

func toMicros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }
