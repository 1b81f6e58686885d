package mysql

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"time"
)

const (
	// selectHints tells whether rows were added since: a transaction that began early may commit late, so it counts the newest ones as well.
	selectHints = `SELECT COALESCE(MAX(id), 0), COUNT(*) FROM {hints} WHERE id > ?`

	// deleteHints removes rows that every instance has seen.
	deleteHints = `DELETE FROM {hints} WHERE id <= ? LIMIT 1000`
)

// keptHints is how many of the newest rows are looked at.
const keptHints = 200

// Watch implements punctual.Watcher. MySQL notifies nobody, so it asks for new rows in a small table that is only ever added to.
func (s *Store) Watch(ctx context.Context, notify func()) error {
	if s.poll <= 0 {
		<-ctx.Done()
		return nil
	}
	type state struct{ last, count int64 }
	var seen state
	for first := true; ; first = false {
		got, err := read(ctx, s, s.db, func(rows *sql.Rows) (st state, err error) {
			return st, rows.Scan(&st.last, &st.count)
		}, selectHints, seen.last-keptHints)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fault(ctx, err)
		}
		if got[0] != seen && !first {
			notify()
		}
		if got[0] != seen && got[0].count > 2*keptHints {
			query, args := s.bind(deleteHints, []any{got[0].last - keptHints})
			if _, err := s.db.ExecContext(ctx, query, args...); err != nil && ctx.Err() == nil && !isConflict(err) {
				return fault(ctx, err)
			}
		}
		seen = got[0]
		// Instances that were started together shall not ask together.
		timer := s.clock.Timer(s.poll*3/4 + time.Duration(rand.Int64N(int64(s.poll)/2+1)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

func isConflict(err error) bool {
	_, again := conflict(err)
	return again
}
