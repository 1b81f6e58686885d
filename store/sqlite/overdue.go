package sqlite

import (
	"context"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

// Overdue implements punctual.Store. It reads the first item of each lane.
func (s *Store) Overdue(ctx context.Context, req punctual.OverdueRequest) ([]punctual.Overdue, error) {
	until := s.now(req.Now).Add(-req.For).UnixMicro()
	all, err := lanesOf(ctx, reading{s.read}, nil)
	if err != nil {
		return nil, fault(ctx, err)
	}
	overdue := ledger.Overdue{}
	for _, l := range all {
		if l.first <= until {
			overdue.Note(l.kind, l.first)
		}
	}
	return overdue.List(), nil
}
