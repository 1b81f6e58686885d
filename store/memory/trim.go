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
		for removed < req.Limit && !s.ended.empty() && s.ended.first().finished < before.UnixMicro() {
			s.forget(s.ended.first())
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
		if seen++; seen%scanBatch == 0 {
			// Others may have the store for a moment: the tasks may change while they are walked.
			s.mu.Unlock()
			err := gate(ctx, "trim")
			s.mu.Lock()
			if err != nil {
				return removed, err
			}
		}
		removed += s.trim(t, req.Keep, req.Limit-removed)
	}
	return removed, nil
}

// trim removes the oldest final runs of a task beyond the number to keep, at most limit of them.
func (s *Store) trim(t *task, keep, limit int) int {
	l := t.ledger
	if l == nil {
		return 0
	}
	var old []*row
	for r := l.oldest; r != nil; r = r.newer {
		if len(old) == min(int(l.final)-keep, limit) || int(l.final) <= keep {
			break
		}
		if r.state.Final() {
			old = append(old, r)
		}
	}
	for _, r := range old {
		s.forget(r)
	}
	return len(old)
}
