package mysql

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"strings"
	"time"
)

// querier is what reads: a transaction or the pool.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// txn is a write transaction.
type txn struct {
	querier interface {
		querier
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	}
	store *Store
	ctx   context.Context
	try   int  // how often it was tried before
	exact bool // an affected row is one that was changed
}

// tx runs one write transaction, and repeats it after a deadlock or the like.
func (s *Store) tx(ctx context.Context, work func(*txn) error) error { return s.txOn(ctx, s.db, work) }

func (s *Store) txOn(ctx context.Context, db *sql.DB, work func(*txn) error) error {
	for try := 0; ; try++ {
		err := s.once(ctx, db, try, work)
		if err == nil {
			return nil
		}
		var refused *refusal
		tries, again := conflict(err)
		if errors.As(err, &refused) || !again || try+1 >= tries || !s.pause(ctx, try) {
			return fault(ctx, err)
		}
	}
}

// once is one try of a transaction.
func (s *Store) once(ctx context.Context, db *sql.DB, try int, work func(*txn) error) error {
	var opts *sql.TxOptions
	if !s.owned {
		opts = &sql.TxOptions{Isolation: sql.LevelReadCommitted} // the sessions of Open's pools have it anyway
	}
	tx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return err
	}
	if err := work(&txn{querier: tx, store: s, ctx: ctx, try: try, exact: s.owned}); err != nil {
		_ = tx.Rollback() // the reason for it says more than how it went, and the server rolls back by itself when the connection ends
		return err
	}
	return tx.Commit()
}

// pause waits a little, so that transactions which met do not meet again, and reports whether there is any use in going on.
func (s *Store) pause(ctx context.Context, try int) bool {
	limit := min(time.Millisecond<<min(try, 10), 100*time.Millisecond)
	timer := s.clock.Timer(time.Millisecond/2 + time.Duration(rand.Int64N(int64(limit))))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// word is a text that stands in a statement as a text, as one does that is compared with an ENUM. All other texts are binary.
type word string

// bind puts the names of the tables into a statement, and makes its arguments fit for the driver: a list becomes as many parameters as it
// has entries, and a text becomes bytes.
func (s *Store) bind(query string, args []any) (string, []any) {
	var b strings.Builder
	room := len(args)
	for _, arg := range args {
		if list, ok := arg.([]string); ok {
			room += len(list)
		}
	}
	out := make([]any, 0, room)
	b.Grow(len(query) + 2*room)
	for _, arg := range args {
		before, after, _ := strings.Cut(query, "?")
		b.WriteString(s.tables.Replace(before))
		query = after
		switch v := arg.(type) {
		case []string:
			if len(v) == 0 {
				b.WriteString("NULL") // is equal to nothing
				continue
			}
			b.WriteString(strings.Repeat("?,", len(v)-1))
			for _, entry := range v {
				out = append(out, []byte(entry))
			}
		case []word:
			b.WriteString(strings.Repeat("?,", len(v)-1))
			for _, entry := range v {
				out = append(out, string(entry))
			}
		case []int:
			b.WriteString(strings.Repeat("?,", len(v)-1))
			for _, entry := range v {
				out = append(out, entry)
			}
		case string:
			out = append(out, []byte(v))
		case word:
			out = append(out, string(v))
		default:
			out = append(out, v)
		}
		b.WriteString("?")
	}
	b.WriteString(s.tables.Replace(query))
	return b.String(), out
}

// exec runs a statement and returns how many rows it affected, which means little unless the transaction is exact.
func (t *txn) exec(query string, args ...any) (int64, error) {
	query, args = t.store.bind(query, args)
	result, err := t.querier.ExecContext(t.ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Statements that write many rows are cut so that each fits into the smallest max_allowed_packet that a server has by default.
const (
	maxRows  = 500
	maxBytes = 512 << 10
)

// execRows runs a statement for many rows: head, then a list of values for each row, then tail. It returns how many rows were affected.
func (t *txn) execRows(head, tail string, rows [][]any) (int64, error) {
	total := int64(0)
	for len(rows) > 0 {
		n, size := 0, 0
		args := make([]any, 0, min(len(rows), maxRows)*len(rows[0]))
		for ; n < len(rows) && n < maxRows; n++ {
			more := 0
			for _, v := range rows[n] {
				more += sizeOf(v)
			}
			if size += more; n > 0 && size > maxBytes {
				break
			}
			args = append(args, rows[n]...)
		}
		one := "(" + strings.Repeat("?, ", len(rows[0])-1) + "?)"
		affected, err := t.exec(head+strings.Repeat(one+",\n\t", n-1)+one+"\n"+tail, args...)
		if err != nil {
			return total, err
		}
		total += affected
		rows = rows[n:]
	}
	return total, nil
}

// sizeOf is what a value takes in a statement, with some room to spare: bytes that have to be escaped count twice.
func sizeOf(v any) int {
	switch v := v.(type) {
	case string:
		return 2*len(v) + 16
	case []byte:
		return 2*len(v) + 16
	}
	return 24
}

// collect reads all rows of a query within the transaction.
func collect[T any](t *txn, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	return read(t.ctx, t.store, t.querier, scan, query, args...)
}

// read reads all rows of a query.
func read[T any](ctx context.Context, s *Store, q querier, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	query, args = s.bind(query, args)
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

func scanText(rows *sql.Rows) (s string, err error) { return s, rows.Scan(&s) }

// microsecondsNow is the server's clock, which no time zone moves.
const microsecondsNow = `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))`

const selectNow = `SELECT ` + microsecondsNow

// now is the request's time, or the server's when it has none.
func (s *Store) now(ctx context.Context, q querier, given time.Time) (time.Time, error) {
	if !given.IsZero() {
		return fromMicros(given.UnixMicro()), nil
	}
	now, err := read(ctx, s, q, func(rows *sql.Rows) (us int64, err error) { return us, rows.Scan(&us) }, selectNow)
	if err != nil {
		return time.Time{}, err
	}
	return fromMicros(now[0]), nil
}

// now is the request's time, or the server's when it has none.
func (t *txn) now(given time.Time) (time.Time, error) { return t.store.now(t.ctx, t.querier, given) }
