package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
)

// rows are the rows that a query has found.
type rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close() error
}

// querier is what reads.
type querier interface {
	query(ctx context.Context, text string, args ...any) (rows, error)
}

// statements is what a transaction runs its statements with: the connection that writes, or a transaction of the host.
type statements interface {
	querier
	// exec runs a statement and returns how many rows it changed.
	exec(ctx context.Context, text string, args ...any) (int64, error)
}

// txn is a write transaction.
type txn struct {
	statements
	ctx  context.Context
	calm context.Context // ctx without its end
	args []any           // room for the arguments of statements that run for each occurrence

	// harmless says that a claim may go on with what it has read before this transaction.
	harmless bool
}

func newTxn(ctx context.Context, with statements) *txn {
	return &txn{statements: with, ctx: ctx, calm: context.WithoutCancel(ctx)}
}

// tx runs one write transaction. Conflicts with other processes are waited for by SQLite (busy timeout); what remains is reported as
// unavailable.
func (s *Store) tx(ctx context.Context, work func(*txn) error) error {
	return fault(ctx, s.transact(ctx, work))
}

// transact is tx, with errors as they are.
func (s *Store) transact(ctx context.Context, work func(*txn) error) error {
	return s.write.with(ctx, func() error {
		tx, err := s.write.driver.BeginTx(ctx, driver.TxOptions{})
		if err != nil {
			return err
		}
		t := newTxn(ctx, s.write)
		defer func() { // when all can see it, and before anybody else writes
			if !t.harmless {
				s.changes.Add(1)
			}
		}()
		if err = work(t); err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return errors.Join(err, tx.Rollback())
		}
		err = tx.Commit()
		s.log.add(s.write.written())
		return err
	})
}

// exec runs a statement about a few rows. It is over before anything could interrupt it, and to be ready for that costs more than most of them.
func (t *txn) exec(text string, args ...any) (int64, error) {
	if err := t.ctx.Err(); err != nil {
		return 0, err
	}
	return t.statements.exec(t.calm, text, args...)
}

// sweep runs a statement about any number of rows, which ends early with the context.
func (t *txn) sweep(text string, args ...any) (int64, error) {
	return t.statements.exec(t.ctx, text, args...)
}

// hostStatements are run within a transaction of the host and parsed once in it.
type hostStatements struct {
	tx   *sql.Tx
	made map[string]*sql.Stmt // by text
}

func (h *hostStatements) statement(ctx context.Context, text string) (*sql.Stmt, error) {
	if stmt := h.made[text]; stmt != nil {
		return stmt, nil
	}
	stmt, err := h.tx.PrepareContext(ctx, text)
	if err == nil {
		h.made[text] = stmt
	}
	return stmt, err
}

// exec implements statements.
func (h *hostStatements) exec(ctx context.Context, text string, args ...any) (int64, error) {
	stmt, err := h.statement(ctx, text)
	if err != nil {
		return 0, err
	}
	result, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// query implements statements.
func (h *hostStatements) query(ctx context.Context, text string, args ...any) (rows, error) {
	stmt, err := h.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	return found(stmt.QueryContext(ctx, args...))
}

// close ends the statements, which would last as long as the transaction.
func (h *hostStatements) close() {
	for _, stmt := range h.made {
		_ = stmt.Close()
	}
}

// reading is what reads through database/sql: a pool or a transaction of it.
type reading struct {
	from interface {
		QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
	}
}

// query implements querier.
func (r reading) query(ctx context.Context, text string, args ...any) (rows, error) {
	return found(r.from.QueryContext(ctx, text, args...))
}

// found keeps rows that are not there from becoming an interface that is.
func found(r *sql.Rows, err error) (rows, error) {
	if err != nil {
		return nil, err
	}
	return r, nil
}
