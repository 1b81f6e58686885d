// Package postgres is a store in a PostgreSQL database (14 or later), for any number of instances that share it.
//
//	store, err := postgres.Open(ctx, "postgres://app@db.internal/app")
//	s, err := punctual.New(store, executor)
//
// A host that has a pool already hands it over with New. Tasks and ledger live in a schema of their own.
package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

var (
	_ punctual.Store      = (*Store)(nil)
	_ punctual.Leaser     = (*Store)(nil)
	_ punctual.Watcher    = (*Store)(nil)
	_ punctual.Overlapper = (*Store)(nil)
)

// Defaults of the options.
const (
	DefaultSchema       = "punctual"
	DefaultPollInterval = time.Second
)

// Store is a punctual.Store, punctual.Leaser and punctual.Watcher in a PostgreSQL schema. Make it with Open or New and close it after the
// Scheduler's Shutdown.
type Store struct {
	pool     *pgxpool.Pool
	own      *pgxpool.Pool // for beats, so that they never wait behind other calls for a connection, and for listening
	foreign  bool          // pool is the host's, who closes it
	schema   string
	id       string // tells our own hints from those of others
	pooled   bool   // connections may change their server between transactions
	poll     time.Duration
	logger   *slog.Logger
	clock    clock.Clock
	hints    hints
	underWay underWay

	definitions ledger.Definitions
	delays      atomic.Bool // there were fixed delays when results were last stored

	mu    sync.Mutex // guards all below
	texts map[string]string
}

// Option configures Open and New.
type Option func(*options)

type options struct {
	schema string
	pooler *bool
	poll   time.Duration
	logger *slog.Logger
}

// WithSchema sets the name of the schema that tasks and ledger live in. Any name that PostgreSQL allows is fine, whatever characters it has.
// Default DefaultSchema. Stores with different schemas have nothing to do with each other.
func WithSchema(name string) Option { return func(o *options) { o.schema = name } }

// WithPooler says whether a transaction pooler (PgBouncer in transaction mode and the like) stands between this store and the server. Then
// nothing is used that belongs to a session: no named statements and no notifications. By default the store finds out by itself.
func WithPooler(yes bool) Option { return func(o *options) { o.pooler = &yes } }

// WithPollInterval sets how often the store gives a hint to look when it cannot listen for notifications, because of a pooler for one. Default
// DefaultPollInterval; anything under a millisecond counts as one.
func WithPollInterval(d time.Duration) Option {
	return func(o *options) { o.poll = max(d, time.Millisecond) }
}

// WithLogger sets where the store says, once, that it has to poll. The default discards.
func WithLogger(l *slog.Logger) Option {
	return func(o *options) {
		if l != nil {
			o.logger = l
		}
	}
}

// Open connects to a database, by a URL or a list of key=value as psql takes them, and brings the schema up to date. Parameters of pgxpool
// (pool_max_conns and others) may be part of it; besides that pool the store holds up to two connections of its own.
//
// Errors: punctual.ErrStoreSchema when the schema belongs to something else, was written by a newer version, or when rights are missing; it
// is left untouched then. punctual.ErrUnavailable when the server cannot be reached.
func Open(ctx context.Context, dsn string, opts ...Option) (*Store, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err) // the driver leaves out the password
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	return open(ctx, pool, false, opts)
}

// New makes a store on a pool of the host, which stays the host's: close it after the store. Otherwise it is like Open.
func New(ctx context.Context, pool *pgxpool.Pool, opts ...Option) (*Store, error) {
	return open(ctx, pool, true, opts)
}

func open(ctx context.Context, pool *pgxpool.Pool, foreign bool, opts []Option) (*Store, error) {
	o := options{schema: DefaultSchema, poll: DefaultPollInterval, logger: slog.New(slog.DiscardHandler)}
	for _, opt := range opts {
		opt(&o)
	}
	if o.schema == "" || len(o.schema) > 63 || strings.ContainsRune(o.schema, 0) {
		if !foreign {
			pool.Close()
		}
		return nil, fmt.Errorf("postgres: %q is no name of a schema: it has 1 to 63 bytes", o.schema)
	}
	s := &Store{
		pool: pool, foreign: foreign, schema: o.schema, id: rand.Text(), poll: o.poll, logger: o.logger, clock: clock.New(),
		hints: hints{sending: make(chan struct{}, 1)}, underWay: underWay{turn: make(chan struct{}, 1)}, texts: make(map[string]string),
	}
	if err := s.connect(ctx, o.pooler); err != nil {
		return nil, errors.Join(fault(ctx, err), s.Close())
	}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(fault(ctx, err), s.Close())
	}
	return s, nil
}

// connect makes the pools that the store needs besides the one that it was given.
func (s *Store) connect(ctx context.Context, pooler *bool) (err error) {
	if pooler != nil {
		s.pooled = *pooler
	} else if s.pooled, err = behindPooler(ctx, s.pool); err != nil {
		return err
	}
	config := s.pool.Config().Copy()
	lasting := context.WithoutCancel(ctx) // the pools outlive this call
	if s.pooled && config.ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
		// The next transaction may be on a server that does not know the name of a statement, or knows it for something else.
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
		nameless, err := pgxpool.NewWithConfig(lasting, config.Copy())
		if err != nil {
			return err
		}
		if !s.foreign {
			s.pool.Close()
		}
		s.pool, s.foreign = nameless, false
	}
	config.MaxConns, config.MinConns, config.MinIdleConns = 2, 0, 0
	s.own, err = pgxpool.NewWithConfig(lasting, config)
	return err
}

// behindPooler finds out whether connections may change their server. A pooler that hands out servers by the transaction cannot tell a
// client its server's process id when it connects, so what the client was told differs from what the server says of itself.
func behindPooler(ctx context.Context, pool *pgxpool.Pool) (bool, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Release()
	var pid uint32
	err = conn.QueryRow(ctx, `SELECT pg_backend_pid()`, pgx.QueryExecModeExec).Scan(&pid)
	return pid != conn.Conn().PgConn().PID(), err
}

// Close closes the store's connections. The engine must have stopped using it.
func (s *Store) Close() error {
	if s.own != nil {
		s.own.Close()
	}
	if !s.foreign {
		s.pool.Close()
	}
	return nil
}

// text puts the schema's name into a statement.
func (s *Store) text(query string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, known := s.texts[query]
	if !known {
		text = strings.ReplaceAll(query, "{schema}", pgx.Identifier{s.schema}.Sanitize())
		s.texts[query] = text // as many as there are statements in this package
	}
	return text
}

func toMicros(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	us := t.UnixMicro()
	return &us
}

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

func fromNull(us *int64) time.Time {
	if us == nil {
		return time.Time{}
	}
	return fromMicros(*us)
}

func micros(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return fromMicros(t.UnixMicro())
}

// clean makes a text fit for the server, which stores any character but NUL.
func clean(text string) string { return strings.ReplaceAll(text, "\x00", "\uFFFD") }

// joined adds what happened on the way out.
func joined(err, more error) error {
	if more == nil {
		return err
	}
	return errors.Join(err, more)
}
