package mysql

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/punctual-go/punctual"
)

// Tx makes the changes of a Scheduler part of a transaction of the host, which keeps its own tables in the same database:
//
//	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
//	in := s.In(store.Tx(tx))
//	err = in.Add(ctx, task)
//
// The transaction comes from a pool of the host's own. At any isolation it sees what it has to, since it reads with locks; at REPEATABLE READ,
// the server's default, it also locks the gaps between rows, and so holds up changes of other tasks until it ends. READ COMMITTED does not.
//
// The server ends the whole transaction when it is in a deadlock. When a call fails with anything but an error of package punctual about a
// task, roll back, and repeat the transaction if the error wraps punctual.ErrUnavailable.
func (s *Store) Tx(tx *sql.Tx) punctual.Editor { return &hostTx{s, tx} }

type hostTx struct {
	store *Store
	tx    *sql.Tx
}

// Edit implements punctual.Editor.
func (h *hostTx) Edit(ctx context.Context, req punctual.EditRequest) (punctual.EditReply, error) {
	t := &txn{querier: current{h.tx}, store: h.store, ctx: ctx}
	for {
		reply, err := edit(t, req)
		if errors.Is(err, errAgain) && t.try < 10 {
			t.try++ // the row that was in the way is committed, so the next look sees it
			continue
		}
		return reply, fault(ctx, err)
	}
}

// current reads what is committed, whatever the isolation of the transaction: where a plain read may see the database as it was when the
// transaction began, a read that locks sees it as it is.
type current struct{ *sql.Tx }

// reading stands in statements where such a read has to be told to lock, besides at the end.
const reading = `/* reading */`

// QueryContext implements querier.
func (c current) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	query = strings.Replace(query, reading, "LOCK IN SHARE MODE", 1)
	if strings.Contains(query, "FROM ") && !strings.Contains(query, "FOR UPDATE") {
		query += " LOCK IN SHARE MODE"
	}
	return c.Tx.QueryContext(ctx, query, args...)
}
