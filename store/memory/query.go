package memory

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/punctual-go/punctual"
)

// scanBatch is how many tasks or rows a query looks at before it lets others have the store: a search through a million must not hold
// up what is due. Pages are ordered by a unique key, so a query goes on where it stopped.
const scanBatch = 4096

func limitOf(n int) (int, error) {
	if n < 0 {
		return 0, fmt.Errorf("%w: the limit %d is negative", punctual.ErrInvalidQuery, n)
	}
	return min(cmp.Or(n, punctual.DefaultLimit), punctual.MaxLimit), nil
}

// Task implements punctual.Store.
func (s *Store) Task(ctx context.Context, id string) (punctual.Snapshot, error) {
	if err := gate(ctx, "task"); err != nil {
		return punctual.Snapshot{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tasks.get(id)
	if t == nil || !t.exists {
		return punctual.Snapshot{}, noTask(id)
	}
	return s.snapshot(t), nil
}

// Tasks implements punctual.Store.
func (s *Store) Tasks(ctx context.Context, q punctual.TaskQuery) ([]punctual.Snapshot, error) {
	limit, err := limitOf(q.Limit)
	if err != nil {
		return nil, err
	}
	var page []punctual.Snapshot
	for more := true; more && len(page) < limit; {
		if err := gate(ctx, "tasks"); err != nil {
			return nil, err
		}
		page, more = s.scanTasks(&q, page, limit)
	}
	return page, nil
}

// scanTasks appends to a page and moves the query on. It reports whether there is more to look at.
func (s *Store) scanTasks(q *punctual.TaskQuery, page []punctual.Snapshot, limit int) ([]punctual.Snapshot, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := 0
	for n := range s.sorted.ascend(s.sorted.seek(func(n ref) bool { return s.tasks.at(n).id > q.After })) {
		t := s.tasks.at(n)
		if seen == scanBatch || len(page) == limit {
			return page, true
		}
		if s.matches(t, q) {
			page = append(page, s.snapshot(t))
		}
		q.After = t.id
		seen++
	}
	return page, false
}

// Run implements punctual.Store.
func (s *Store) Run(ctx context.Context, id string) (punctual.Run, error) {
	if err := gate(ctx, "run"); err != nil {
		return punctual.Run{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sought := seekID(id)
	r := s.find(&sought)
	if r == nil {
		return punctual.Run{}, noRun(id)
	}
	return s.copy(r), nil
}

// Runs implements punctual.Store.
func (s *Store) Runs(ctx context.Context, q punctual.RunQuery) ([]punctual.Run, error) {
	limit, err := limitOf(q.Limit)
	if err != nil {
		return nil, err
	}
	q.Since, q.Until = clean(q.Since), clean(q.Until)
	var page []punctual.Run
	for more := true; more && len(page) < limit; {
		if err := gate(ctx, "runs"); err != nil {
			return nil, err
		}
		page, more = s.scanRuns(&q, page, limit)
	}
	return page, nil
}

// scanRuns appends to a page and moves the query on. It reports whether there is more to look at.
func (s *Store) scanRuns(q *punctual.RunQuery, page []punctual.Run, limit int) ([]punctual.Run, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := 0
	last := ref(0)
	for n := range s.runsBefore(q.TaskID, q.Before) {
		if seen == scanBatch || len(page) == limit {
			q.Before = s.idOf(s.rows.at(last))
			return page, true
		}
		if r := s.rows.at(n); r.matches(q) {
			page = append(page, s.copy(r))
		}
		last = n
		seen++
	}
	return page, false
}

// runsBefore yields the rows of a task, or of all, newest first, those before an id if one is given.
func (s *Store) runsBefore(taskID, id string) iter.Seq[ref] {
	before := seekID(id)
	if taskID == "" {
		from := s.ledger.end()
		if id != "" {
			from = s.placeOf(&before)
		}
		return s.ledger.descend(from)
	}
	return func(yield func(ref) bool) {
		t := s.tasks.get(taskID)
		if t == nil {
			return
		}
		n := t.newest
		if id != "" {
			if known := s.findOf(t, &before); known != nil {
				n = known.self
			}
			for n != 0 && s.compareTo(s.rows.at(n), &before) >= 0 {
				n = s.rows.at(n).older
			}
		}
		for ; n != 0 && yield(n); n = s.rows.at(n).older {
		}
	}
}

func (r *row) matches(q *punctual.RunQuery) bool {
	at := instant(r.scheduled)
	return (len(q.States) == 0 || slices.Contains(q.States, r.state)) &&
		(q.Since.IsZero() || !at.Before(q.Since)) && (q.Until.IsZero() || at.Before(q.Until))
}
