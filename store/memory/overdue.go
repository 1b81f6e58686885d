package memory

import (
	"context"
	"maps"
	"slices"

	"github.com/punctual-go/punctual"
)

// Overdue implements punctual.Store.
func (s *Store) Overdue(ctx context.Context, req punctual.OverdueRequest) ([]punctual.Overdue, error) {
	if err := gate(ctx, "overdue"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	until := s.now(req.Now).Add(-req.For).UnixMicro()
	first := make(map[string]int64)
	for _, q := range s.agenda.queues {
		due, kind := q.due(), q.lane.kind
		if earlier, known := first[kind]; due <= until && (!known || due < earlier) {
			first[kind] = due
		}
	}
	var list []punctual.Overdue
	for _, kind := range slices.Sorted(maps.Keys(first)) {
		list = append(list, punctual.Overdue{Kind: kind, Since: instant(first[kind])})
	}
	return list, nil
}
