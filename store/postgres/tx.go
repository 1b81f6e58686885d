package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/punctual-go/punctual"
)

// Tx makes the changes of a Scheduler part of a transaction of the host on the same database:
//
//	in := s.In(store.Tx(tx))
//	err := in.Add(ctx, task)
//
// The task is there with the commit, which also wakes the instances that listen. Any isolation level will do; under REPEATABLE READ and
// SERIALIZABLE a task that somebody else has changed meanwhile fails the transaction, as a row of the host's own would.
//
// When a call fails with anything but an error of package punctual, roll the transaction back.
func (s *Store) Tx(tx pgx.Tx) punctual.Editor { return &hostTx{s, tx} }

type hostTx struct {
	store *Store
	tx    pgx.Tx
}

// Edit implements punctual.Editor.
func (h *hostTx) Edit(ctx context.Context, req punctual.EditRequest) (punctual.EditReply, error) {
	for {
		e := edit{t: &txn{s: h.store, ctx: ctx, link: h.tx, batch: &pgx.Batch{}}, req: req, hosted: true}
		err := e.prepare()
		if err == nil {
			err = e.t.send()
		}
		if err == nil {
			e.settle()
		}
		if !errors.Is(err, errTaken) {
			return e.reply, fault(ctx, err)
		}
		// The winner has committed, so the next look finds its task. A transaction whose snapshot is older has failed instead.
	}
}
