package punctual

import (
	"context"
	"fmt"
	"time"
)

// MaxBackfill is how many occurrences one call of Backfill may cover.
const MaxBackfill = 1000

// Backfill asks for the occurrences of a past range that never ran: those that were missed or skipped, and those from before the task was
// registered, as far as its schedule has any. The range begins with from and ends before to; what is still to come is left to the
// schedule, which does not move. The runs have the trigger backfill and begin oldest first, as the overlap policy's MaxActive and the
// concurrency key allow; none is skipped. What they make up for stays in the ledger beside them. Asking again makes none twice, not even of
// an occurrence whose backfill was skipped, since a pause or a registration came before it began. It works for disabled and paused
// tasks too. The answer is how many runs were added.
//
// Errors: ErrInvalidQuery when the range is empty, covers more than MaxBackfill occurrences or the schedule is a fixed delay, which has
// no past occurrences; ErrTaskNotFound, ErrClosed, or an error of the store.
func (s *Scheduler) Backfill(ctx context.Context, id string, from, to time.Time) (int, error) {
	from, to = micros(from), micros(to)
	if from.IsZero() || !from.Before(to) {
		return 0, fmt.Errorf("%w: the range from %v to %v is empty", ErrInvalidQuery, from, to)
	}
	executed, err := s.executed(ctx, id, from, to)
	if err != nil {
		return 0, err
	}
	e := s.newEdit(nil)
	e.taskID = id
	e.decide = func(e *edit) (err error) {
		e.change, err = e.rules.decideBackfill(&e.view, from, to, executed)
		return err
	}
	if err := s.edit(ctx, e); err != nil {
		return 0, err
	}
	defer e.release()
	return len(e.change.Insert), nil
}

// executed returns the occurrences of a range that have run or are going to.
func (s *Scheduler) executed(ctx context.Context, id string, from, to time.Time) (map[time.Time]bool, error) {
	q := RunQuery{
		TaskID: id, Since: from, Until: to, Limit: MaxLimit,
		States: []State{StatePending, StateRunning, StateSucceeded, StateFailed, StateCanceled, StateLost},
	}
	executed := make(map[time.Time]bool)
	for {
		page, err := s.Runs(ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range page {
			run := &page[i]
			own := run.Trigger == TriggerSchedule || run.Trigger == TriggerCatchUp || run.Trigger == TriggerBackfill
			if own && (run.Attempt > 0 || !run.State.Final()) {
				executed[run.ScheduledAt] = true
			}
		}
		if len(page) < q.Limit {
			return executed, nil
		}
		q.Before = page[len(page)-1].ID
	}
}
