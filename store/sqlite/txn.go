package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// hot lists the statements that are parsed once for the life of the store and not once for each transaction.
var hot = []string{
	sources[0].lanes, sources[0].all, sources[0].due, sources[1].lanes, sources[1].all, sources[1].due, selectTasks, selectPendingDue, selectLive, selectKeys, selectSession,
	selectTask, selectPending, selectRun, selectRuns, selectThere, selectWaiting, selectDelayed, selectOrders,
	insertRun, updateRun, finishRun, updateStatus, upsertTask, moveRuns, releaseWaiting, passOnKey, countDelay, renewSession, countNews,
}

// txn is a write transaction.
type txn struct {
	*sql.Tx
	ctx  context.Context
	hot  map[string]*sql.Stmt // of the store
	made map[string]*sql.Stmt // of this transaction
}

// tx runs one write transaction. Conflicts with other processes are waited for by SQLite (busy timeout); what remains is reported as
// unavailable.
func (s *Store) tx(ctx context.Context, work func(*txn) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fault(ctx, err)
	}
	t := &txn{tx, ctx, s.hot, make(map[string]*sql.Stmt)}
	if err := work(t); err != nil {
		if back := tx.Rollback(); back != nil && !errors.Is(back, sql.ErrTxDone) {
			err = errors.Join(err, back)
		}
		return fault(ctx, err)
	}
	return fault(ctx, tx.Commit())
}

// warm parses the hot statements.
func (s *Store) warm(ctx context.Context) error {
	made := make(map[string]*sql.Stmt, len(hot))
	for _, query := range hot {
		stmt, err := s.write.PrepareContext(ctx, query)
		if err != nil {
			return fault(ctx, fmt.Errorf("sqlite: %w", err))
		}
		made[query] = stmt
	}
	s.hot = made
	return nil
}

// statement returns a statement that is parsed at most once within the transaction, and closed with it.
func (t *txn) statement(query string) (*sql.Stmt, error) {
	if stmt := t.made[query]; stmt != nil {
		return stmt, nil
	}
	var stmt *sql.Stmt
	if ready := t.hot[query]; ready != nil {
		stmt = t.StmtContext(t.ctx, ready)
	} else {
		var err error
		if stmt, err = t.PrepareContext(t.ctx, query); err != nil {
			return nil, err
		}
	}
	t.made[query] = stmt
	return stmt, nil
}

// exec runs a statement and returns how many rows it changed.
func (t *txn) exec(query string, args ...any) (int64, error) {
	stmt, err := t.statement(query)
	if err != nil {
		return 0, err
	}
	result, err := stmt.ExecContext(t.ctx, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// QueryContext implements querier.
func (t *txn) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, err := t.statement(query)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(ctx, args...)
}
