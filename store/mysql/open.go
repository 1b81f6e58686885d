// Package mysql is a durable store in a database of MariaDB (10.6 or later) or MySQL (8.0 or later): for several instances that share one
// server.
//
//	store, err := mysql.Open(ctx, "user:password@tcp(127.0.0.1:3306)/app")
//	s, err := punctual.New(store, executor)
//
// Any number of processes may open the same tables.
package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/benbjohnson/clock"
	driver "github.com/go-sql-driver/mysql"

	"github.com/punctual-go/punctual"
)

var (
	_ punctual.Store    = (*Store)(nil)
	_ punctual.Leaser   = (*Store)(nil)
	_ punctual.Watcher  = (*Store)(nil)
	_ punctual.Preparer = (*Store)(nil)
)

// Defaults of the options.
const (
	DefaultTablePrefix  = "punctual_"
	DefaultPollInterval = 250 * time.Millisecond
)

// Store is a punctual.Store, punctual.Leaser, punctual.Watcher and punctual.Preparer in tables of a MySQL or MariaDB database. Make it with Open or New and
// close it after the Scheduler's Shutdown.
type Store struct {
	db     *sql.DB
	beats  *sql.DB // for Beat, so that a busy pool delays no lease; db itself when the pool is the host's
	owned  bool    // the pools are the store's own, whose sessions are set up as connect.go says
	tables *strings.Replacer
	prefix string
	poll   time.Duration
	clock  clock.Clock
	lanes  lanes

	mu    sync.Mutex // guards cache
	cache map[string]decoded
}

// Option configures Open and New.
type Option func(*options)

type options struct {
	prefix string
	conns  int
	poll   time.Duration
}

// WithTablePrefix sets what the names of all tables begin with, default DefaultTablePrefix. Stores with different prefixes in one database
// know nothing of each other. At most 40 characters, of any kind but NUL and those beyond the basic plane of Unicode.
func WithTablePrefix(prefix string) Option { return func(o *options) { o.prefix = prefix } }

// WithMaxConns bounds the connections that Open's store uses, besides one for beats; default four for each processor and at least 8.
// New ignores it, since the pool is the host's.
func WithMaxConns(n int) Option { return func(o *options) { o.conns = max(n, 1) } }

// WithPollInterval sets how often a started Scheduler asks whether another instance has edited something; default DefaultPollInterval.
// Zero or less turns it off: then such an edit is noticed when the Scheduler looks by itself, within 30 s.
func WithPollInterval(d time.Duration) Option { return func(o *options) { o.poll = d } }

// Open connects to the database that dsn names, in the form of github.com/go-sql-driver/mysql, and brings its tables up to date. How its
// sessions behave (SQL mode, isolation, time zone, what counts as an affected row) is set by the store, whatever dsn and server say.
//
// Errors: punctual.ErrStoreSchema when the server is too old, the tables are not ours or were written by a newer version, or when the user
// lacks the rights to make them; they are left untouched then. punctual.ErrUnavailable when the server cannot be reached.
func Open(ctx context.Context, dsn string, opts ...Option) (*Store, error) {
	o := options{prefix: DefaultTablePrefix, conns: max(8, 4*runtime.GOMAXPROCS(0)), poll: DefaultPollInterval}
	for _, opt := range opts {
		opt(&o)
	}
	connector, err := connect(dsn)
	if err != nil {
		return nil, err
	}
	s, err := newStore(o)
	if err != nil {
		return nil, err
	}
	s.owned = true
	s.db, s.beats = sql.OpenDB(connector), sql.OpenDB(connector)
	for pool, n := range map[*sql.DB]int{s.db: o.conns, s.beats: 1} {
		pool.SetMaxOpenConns(n)
		pool.SetMaxIdleConns(n)
		pool.SetConnMaxIdleTime(idleTime)
	}
	if err := s.setUp(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// New makes a store on a pool of the host, of the driver github.com/go-sql-driver/mysql, and brings its tables up to date. The sessions of
// the pool must be strict (sql_mode with STRICT_TRANS_TABLES, the default of both servers) and should have interpolateParams set, which
// saves a round trip for each statement. Close leaves the pool open.
//
// Errors: those of Open.
func New(ctx context.Context, db *sql.DB, opts ...Option) (*Store, error) {
	o := options{prefix: DefaultTablePrefix, poll: DefaultPollInterval}
	for _, opt := range opts {
		opt(&o)
	}
	if _, ours := db.Driver().(*driver.MySQLDriver); !ours {
		return nil, fmt.Errorf("mysql: %w: the pool is not of github.com/go-sql-driver/mysql", punctual.ErrStoreSchema)
	}
	s, err := newStore(o)
	if err != nil {
		return nil, err
	}
	s.db, s.beats = db, db
	if err := s.setUp(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func newStore(o options) (*Store, error) {
	if err := checkPrefix(o.prefix); err != nil {
		return nil, err
	}
	var names []string
	for _, table := range []string{"migrations", "tasks", "labels", "runs", "sessions", "locks", "hints"} {
		names = append(names, "{"+table+"}", quote(o.prefix+table))
	}
	return &Store{
		tables: strings.NewReplacer(names...), prefix: o.prefix, poll: o.poll, clock: clock.New(), cache: make(map[string]decoded),
	}, nil
}

// setUp looks at the server and brings the tables up to date.
func (s *Store) setUp(ctx context.Context) error {
	if err := s.checkServer(ctx); err != nil {
		return err
	}
	return s.migrate(ctx)
}

// checkPrefix refuses what the server would (https://dev.mysql.com/doc/refman/8.0/en/identifiers.html), before it is asked.
func checkPrefix(prefix string) error {
	switch {
	case len([]rune(prefix)) > 40:
		return fmt.Errorf("mysql: the table prefix %.40q… is longer than 40 characters", prefix)
	case strings.ContainsFunc(prefix, func(r rune) bool { return r == 0 || r > 0xffff || r == '\uFFFD' }):
		return fmt.Errorf("mysql: the table prefix %q has a character that names of tables cannot have", prefix)
	}
	return nil
}

// quote makes a name of a table fit for a statement. A question mark in it would be taken for a parameter by some statements, and braces
// for a name that is to be filled in, so it is made once and never looked at again.
func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// Close closes the connections that Open made. The engine must have stopped using them.
func (s *Store) Close() error {
	if !s.owned {
		return nil
	}
	return errors.Join(s.beats.Close(), s.db.Close())
}

func toMicros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

func fromNull(us sql.NullInt64) time.Time {
	if !us.Valid {
		return time.Time{}
	}
	return fromMicros(us.Int64)
}

func micros(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return fromMicros(t.UnixMicro())
}
