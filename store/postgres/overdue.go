package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

// Overdue implements punctual.Store. It reads the first item of each lane.
func (s *Store) Overdue(ctx context.Context, req punctual.OverdueRequest) ([]punctual.Overdue, error) {
	overdue := ledger.Overdue{}
	for _, statement := range []string{overdueTasks, overdueRuns} {
		_, err := query(ctx, s.pool, func(rows pgx.Rows) (struct{}, error) {
			var kind string
			var due int64
			err := rows.Scan(&kind, &due)
			overdue.Note(kind, due)
			return struct{}{}, err
		}, s.text(statement), punctual.TaskFormat, []string{}, toMicros(req.Now), req.For.Microseconds())
		if err != nil {
			return nil, err
		}
	}
	return overdue.List(), nil
}
