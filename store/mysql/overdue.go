package mysql

import (
	"context"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

// Overdue implements punctual.Store. It reads the first item of each lane.
func (s *Store) Overdue(ctx context.Context, req punctual.OverdueRequest) ([]punctual.Overdue, error) {
	now, err := s.now(ctx, s.db, req.Now)
	if err != nil {
		return nil, fault(ctx, err)
	}
	all := func(string) bool { return true }
	first, err := s.find(ctx, s.db, nil, all, now.Add(-req.For).UnixMicro(), 1, nil, tasksAndRuns)
	if err != nil {
		return nil, fault(ctx, err)
	}
	overdue := ledger.Overdue{}
	for i := range first {
		overdue.Note(first[i].kind, first[i].due)
	}
	return overdue.List(), nil
}
