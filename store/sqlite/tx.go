package sqlite

import (
	"context"
	"database/sql"

	"github.com/punctual-go/punctual"
)

// Tx makes the changes of a Scheduler part of a transaction of the host, which keeps its own tables in the same file:
//
//	in := s.In(store.Tx(tx))
//	err := in.Add(ctx, task)
//
// The transaction comes from a handle of the host's own, of any driver for SQLite. It has to be one that writes from its beginning
// (BEGIN IMMEDIATE), since SQLite refuses a transaction that has read and then finds that another has written. Until it ends all other
// writes to the file wait, this store's as well, so do not call the Scheduler itself meanwhile.
//
// When a call fails with anything but an error of package punctual, roll the transaction back.
func (s *Store) Tx(tx *sql.Tx) punctual.Editor { return &hostTx{s, tx} }

type hostTx struct {
	store *Store
	tx    *sql.Tx
}

// Edit implements punctual.Editor.
func (h *hostTx) Edit(ctx context.Context, req punctual.EditRequest) (punctual.EditReply, error) {
	with := &hostStatements{h.tx, make(map[string]*sql.Stmt)}
	defer with.close()
	reply, _, err := h.store.edit(newTxn(ctx, with), req) // the host's connection is another one, which Watch notices
	return reply, fault(ctx, err)
}
