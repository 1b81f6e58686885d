package memory

import (
	"context"

	"github.com/punctual-go/punctual"
)

// Trim implements punctual.Store.
func (s *Store) Trim(ctx context.Context, req punctual.TrimRequest) (int, error) {
	if err := gate(ctx, "trim"); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	removed := 0
	if before := clean(req.Before); !before.IsZero() {
		for removed < req.Limit && !s.ended.empty() && s.rows.at(s.ended.first()).finished < before.UnixMicro() {
			s.forget(s.rows.at(s.ended.first()))
			removed++
		}
	}
	if req.Keep <= 0 || req.Keep >= s.history {
		return removed, nil // no task has more than the store's own bound
	}
	seen := 0
	for t := range s.tasks.all() {
		if removed >= req.Limit {
			break
		}
		removed += s.trim(t, req.Keep, req.Limit-removed)
		if seen++; seen%scanBatch == 0 {
			// Others may have the store for a moment: the tasks may change while they are walked.
			s.mu.Unlock()
			err := gate(ctx, "trim")
			s.mu.Lock()
			if err != nil {
				return removed, err
			}
		}
	}
	return removed, nil
}

// trim removes the oldest final runs of a task beyond the number to keep, at most limit of them.
func (s *Store) trim(t *task, keep, limit int) int {
	removed := 0
	for n := t.oldest; n != 0 && removed < limit && int(t.final) > keep; {
		r := s.rows.at(n)
		n = r.newer
		if r.state.Final() {
			s.forget(r)
			removed++
		}
	}
	return removed
}
