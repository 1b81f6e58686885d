package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// vanished is how long the server waits inside a transaction for a peer that says nothing, before it takes its locks away.
	vanished = 5 * time.Second

	maxTries   = 30
	firstPause = time.Millisecond
	longPause  = 100 * time.Millisecond
)

const (
	begin    = `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE`
	snapshot = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`
	commit   = `COMMIT`
	rollback = `ROLLBACK`

	// setUp prepares a transaction, for its own length only, and tells the time. A plan is kept from the time when the tables were empty,
	// and their statistics may be wrong for long, so the planner is told what we know: that all statements follow an index.
	setUp = `SELECT set_config('idle_in_transaction_session_timeout', $1, true), set_config('lock_timeout', $2, true),
			set_config('plan_cache_mode', 'force_generic_plan', true), set_config('jit', 'off', true),
			set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
			set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
			set_config('max_parallel_workers_per_gather', '0', true)`

	// clockNow is the store's clock. It stands in a statement of its own where locks were waited for before.
	clockNow = `SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)`
)

// sender is what carries a pipeline of statements: a connection, or a transaction of the host.
type sender interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// txn is a transaction. Statements are collected and go to the server together; what they answer is handled as it comes back.
type txn struct {
	s     *Store
	ctx   context.Context
	link  sender
	batch *pgx.Batch
	// careful is set after a try that failed because an occurrence was taken.
	careful bool
}

// queue adds a statement.
func (t *txn) queue(query string, args ...any) *pgx.QueuedQuery {
	return t.batch.Queue(t.s.text(query), args...)
}

// queueBatch adds a statement about the rows of lists, with something behind it.
func (t *txn) queueBatch(b *batch, end string, lists ...any) *pgx.QueuedQuery {
	statement, args := b.of(lists)
	return t.queue(statement+end, args...)
}

// send carries out what was queued. Each statement sees what was committed before it began, so what follows a lock is fresh.
func (t *txn) send() error {
	b := t.batch
	t.batch = &pgx.Batch{}
	if b.Len() == 0 {
		return nil
	}
	return t.link.SendBatch(t.ctx, b).Close()
}

// commit adds the commit and carries out all.
func (t *txn) commit() error {
	var end string
	t.queue(commit).Exec(func(tag pgconn.CommandTag) error {
		end = tag.String()
		return nil
	})
	if err := t.send(); err != nil {
		return err
	}
	if end != commit {
		return fmt.Errorf("%w: COMMIT ended as %s", errAgain, end)
	}
	return nil
}

// time asks for the time: the given one, or the server's clock when it is zero.
func (t *txn) time(given time.Time, to *time.Time) {
	t.queue(clockNow, toMicros(given)).QueryRow(func(row pgx.Row) error {
		var us int64
		err := row.Scan(&us)
		*to = fromMicros(us)
		return err
	})
}

// ask queues a query whose rows are appended to a list.
func ask[T any](t *txn, list *[]T, scan func(pgx.Rows) (T, error), query string, args ...any) {
	t.queue(query, args...).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			v, err := scan(rows)
			if err != nil {
				rows.Close()
				return err
			}
			*list = append(*list, v)
		}
		return rows.Err()
	})
}

// count queues a statement that adds the number of rows it changes.
func (t *txn) count(n *int64, query string, args ...any) {
	t.queue(query, args...).Exec(func(tag pgconn.CommandTag) error {
		*n += tag.RowsAffected()
		return nil
	})
}

func scanText(rows pgx.Rows) (text string, err error) { return text, rows.Scan(&text) }

// tx runs one transaction, which work has to commit; conflicts with others make it start over. A call of work begins with BEGIN queued.
func (s *Store) tx(ctx context.Context, pool *pgxpool.Pool, work func(*txn) error) error {
	pause, careful := firstPause, false
	for try := 1; ; try++ {
		err := s.once(ctx, pool, begin, func(t *txn) error {
			t.careful = careful
			return work(t)
		})
		if taken(err) && !careful {
			careful = true
			continue
		}
		if err == nil || !conflict(err) || try == maxTries {
			return fault(ctx, err)
		}
		timer := s.clock.Timer(pause/2 + rand.N(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fault(ctx, err)
		}
		pause = min(2*pause, longPause)
	}
}

// once runs one transaction.
func (s *Store) once(ctx context.Context, pool *pgxpool.Pool, beginning string, work func(*txn) error) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	t := s.begin(ctx, conn, beginning, vanished)
	return joined(work(t), abandon(ctx, conn))
}

// begin begins a transaction, together with whatever is queued and sent first. For so long the server waits for somebody who says nothing.
func (s *Store) begin(ctx context.Context, conn *pgxpool.Conn, beginning string, silence time.Duration) *txn {
	t := &txn{s: s, ctx: ctx, link: conn, batch: &pgx.Batch{}}
	t.queue(beginning)
	if beginning == begin {
		t.queue(setUp, fmt.Sprint(silence.Milliseconds()), "0")
	}
	return t
}

// abandon ends a transaction that was not committed, if there is one.
func abandon(ctx context.Context, conn *pgxpool.Conn) error {
	raw := conn.Conn()
	if raw.IsClosed() || raw.PgConn().TxStatus() == 'I' {
		return nil
	}
	_, err := raw.Exec(ctx, rollback, pgx.QueryExecModeExec)
	return err
}
