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
		old := s.endedBefore(before.UnixMicro(), req.Limit)
		for _, n := range old {
			s.forget(s.rows.at(n))
		}
		removed = len(old)
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

// endedBefore lists final rows that may be removed and ended before a time, oldest first.
func (s *Store) endedBefore(before int64, limit int) (old []ref) {
	for n := range s.ended.ascend(position{}) {
		r := s.rows.at(n)
		if len(old) == limit || r.finished >= before {
			break
		}
		if !s.growing(r) {
			old = append(old, n)
		}
	}
	return old
}

// growing reports whether a row is the one that its task adds further skips to.
func (s *Store) growing(r *row) bool {
	open := s.taskOf(r).seldom().skipping.RunID
	if open == "" {
		return false
	}
	id := seekID(open)
	return s.compareTo(r, &id) == 0
}

// trim removes the oldest final runs of a task beyond the number to keep, at most limit of them.
func (s *Store) trim(t *task, keep, limit int) int {
	removed, beyond := 0, int(t.final)-keep
	for n := t.oldest; n != 0 && removed < limit && beyond > 0; {
		r := s.rows.at(n)
		n = r.newer
		if !r.state.Final() {
			continue
		}
		if beyond--; !s.growing(r) {
			s.forget(r)
			removed++
		}
	}
	return removed
}
