package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

const (
	selectRuns = `SELECT ` + runColumns + ` FROM runs WHERE id IN (SELECT value FROM json_each(?))`

	finishRun = `UPDATE runs SET state = ?, attempt = ?, due_us = ?, started_us = ?, finished_us = ?, output = ?, facts = ?, error = ?, stack = ?,
			reason = ?, blocked_by = ?, instance = ?, session = '', cancel = 0, history = ?
		WHERE id = ?`

	setHistory = `UPDATE runs SET history = ? WHERE id = ?`

	// releaseWaiting makes the oldest run of a task that waits for the gate due. The plus keeps SQLite from walking the task's history in order.
	releaseWaiting = `UPDATE runs SET due_us = ?
		WHERE id = (SELECT id FROM runs WHERE task_id = ?` + live + ` AND state = 'pending' AND due_us IS NULL AND key_wait = 0 ORDER BY +id LIMIT 1)`

	// countDelay counts the delay of a fixed-delay task from the end of its run.
	countDelay = `UPDATE tasks SET next_us = ? + delay_us
		WHERE id = ? AND delay_us > 0 AND next_us IS NULL AND fault = ''`

	selectWaiting = `SELECT DISTINCT task_id FROM runs
		WHERE task_id IN (SELECT value FROM json_each(?))` + live + ` AND state = 'pending' AND due_us IS NULL AND key_wait = 0`
	selectDelayed = `SELECT id FROM tasks
		WHERE id IN (SELECT value FROM json_each(?)) AND delay_us > 0 AND next_us IS NULL AND fault = ''`
	selectThere = `SELECT id FROM tasks WHERE id IN (SELECT value FROM json_each(?))`

	selectDelayedNext = `SELECT next_us FROM tasks WHERE id = ?`
)

// Finish implements punctual.Store.
func (s *Store) Finish(ctx context.Context, req punctual.FinishRequest) (punctual.FinishReply, error) {
	var reply punctual.FinishReply
	err := s.tx(ctx, func(tx *txn) error {
		reply = punctual.FinishReply{Now: s.now(req.Now), Verdicts: make([]punctual.Verdict, len(req.Items))}
		ids := make([]string, len(req.Items))
		for i, item := range req.Items {
			ids[i] = item.RunID
		}
		found, err := collect(ctx, tx, scanRun, selectRuns, jsonList(ids))
		if err != nil {
			return err
		}
		runs := make(map[string]*punctual.Run, len(found))
		for i := range found {
			runs[found[i].ID] = &found[i]
		}
		gone, err := goneTasks(ctx, tx, found)
		if err != nil {
			return err
		}
		var left []ended
		for i, item := range req.Items {
			run := runs[item.RunID]
			if run == nil {
				reply.Verdicts[i] = punctual.VerdictGone
				continue
			}
			verdict, err := finishOne(tx, run, item, gone[run.TaskID], reply.Now)
			if err != nil {
				return err
			}
			reply.Verdicts[i] = verdict
			if verdict == punctual.VerdictApplied {
				left = append(left, ended{run.TaskID, run.State.Final(), run.FinishedAt, run.ConcurrencyKey})
				note(&reply.NextDue, run.DueAt)
			}
		}
		return leave(ctx, tx, left, reply.Now, &reply.NextDue)
	})
	if err != nil {
		return punctual.FinishReply{}, err
	}
	return reply, nil
}

// note keeps the earlier of two times; zero is none.
func note(earliest *time.Time, t time.Time) {
	if !t.IsZero() && (earliest.IsZero() || t.Before(*earliest)) {
		*earliest = t
	}
}

// goneTasks returns the tasks of running runs that do not exist any more.
func goneTasks(ctx context.Context, tx *txn, runs []punctual.Run) (map[string]bool, error) {
	gone := make(map[string]bool, len(runs))
	ids := make([]string, 0, len(runs))
	for i := range runs {
		if id := runs[i].TaskID; !gone[id] {
			gone[id] = true
			ids = append(ids, id)
		}
	}
	there, err := collect(ctx, tx, scanText, selectThere, jsonList(ids))
	for _, id := range there {
		delete(gone, id)
	}
	return gone, err
}

// finishOne records the outcome of one attempt in run and in the store.
func finishOne(tx *txn, run *punctual.Run, item punctual.Finish, gone bool, now time.Time) (punctual.Verdict, error) {
	verdict, noted := ledger.Finish(run, &item, gone, now)
	switch {
	case verdict == punctual.VerdictApplied:
		return verdict, rewrite(tx, run)
	case noted:
		_, err := tx.exec(setHistory, historyText(run.History), run.ID)
		return verdict, err
	}
	return verdict, nil
}

// rewrite stores a run that has left the running state.
func rewrite(tx *txn, run *punctual.Run) error {
	_, err := tx.exec(finishRun, run.State.String(), run.Attempt, toMicros(run.DueAt), toMicros(run.StartedAt), toMicros(run.FinishedAt),
		run.Result.Output, string(run.Result.Facts), run.Error, run.Stack, run.Reason, run.BlockedBy, run.Instance, historyText(run.History), run.ID)
	return err
}

// ended is a run that has left the running state.
type ended struct {
	task  string
	final bool
	at    time.Time
	key   string
}

// leave does what happens whenever runs leave the running state: waiting runs become due, keys are passed on and fixed delays begin.
func leave(ctx context.Context, tx *txn, left []ended, now time.Time, next *time.Time) error {
	if len(left) == 0 {
		return nil
	}
	ids := make([]string, len(left))
	keys := make([]string, len(left))
	for i, e := range left {
		ids[i], keys[i] = e.task, e.key
	}
	if n, err := passOn(tx, keys, now); err != nil {
		return err
	} else if n > 0 {
		note(next, now)
	}
	waiting, err := set(ctx, tx, selectWaiting, ids)
	if err != nil {
		return err
	}
	delayed, err := set(ctx, tx, selectDelayed, ids)
	if err != nil {
		return err
	}
	for _, e := range left {
		if waiting[e.task] {
			if n, err := tx.exec(releaseWaiting, now.UnixMicro(), e.task); err != nil {
				return err
			} else if n > 0 {
				note(next, now)
			}
		}
		if e.final && delayed[e.task] {
			if _, err := tx.exec(countDelay, e.at.UnixMicro(), e.task); err != nil {
				return err
			}
			var us sql.NullInt64
			if err := tx.QueryRowContext(ctx, selectDelayedNext, e.task).Scan(&us); err != nil {
				return err
			}
			note(next, fromNull(us))
		}
	}
	return nil
}

func set(ctx context.Context, tx *txn, query string, ids []string) (map[string]bool, error) {
	list, err := collect(ctx, tx, scanText, query, jsonList(ids))
	out := make(map[string]bool, len(list))
	for _, id := range list {
		out[id] = true
	}
	return out, err
}

func micros(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return fromMicros(t.UnixMicro())
}
