package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"time"
)

// early is what a claim has found before its transaction, while somebody else wrote. It holds as long as no task was changed and no run began
// meanwhile. Runs may end and become due: runs of tasks that had live runs are counted and read again in any case, and what is due now and was
// not found is left to the next claim.
type early struct {
	due     []candidate
	now     time.Time // by which they are due
	changes int64     // what there were before
}

// prepareAhead makes the connection that reads ahead.
func (s *Store) prepareAhead(ctx context.Context, dsn string) error {
	if err := s.ahead.open(s.read.Driver(), dsn); err != nil {
		return err
	}
	return s.write.with(ctx, func() (err error) {
		s.version, err = version(ctx, s.write)
		return err
	})
}

// readAhead finds and reads what is due, beside who writes. What it cannot read is left to the transaction.
func (c *claim) readAhead() *early {
	e := &early{changes: c.changes.Load(), now: c.now(c.req.Now)} // a change is counted once it can be seen
	tx, err := c.ahead.driver.BeginTx(c.ctx, driver.TxOptions{})
	if err != nil {
		return nil
	}
	all, err := lanesOf(c.ctx, c.ahead, c.req.Kinds)
	if err == nil {
		e.due, err = c.read(c.ahead, all, e.now)
	}
	if errors.Join(err, tx.Rollback()) != nil {
		return nil
	}
	return e
}

// holds reports whether what was found early is what would be found now. Changes through other connections, whatever they are, show in the
// version of the file: it was looked at before e came to be.
func (c *claim) holds(e *early) (bool, error) {
	if e == nil || e.now.After(c.reply.Now) {
		return false, nil
	}
	now, err := version(c.ctx, c.tx)
	if err != nil {
		return false, err
	}
	before := c.version
	c.version = now
	return now == before && c.changes.Load() == e.changes, nil
}
