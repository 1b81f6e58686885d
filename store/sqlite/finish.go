package sqlite

import (
	"context"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

const (
	selectRuns = `SELECT ` + runColumns + ` FROM runs WHERE id IN (SELECT value FROM json_each(?))`

	finishRun = `UPDATE runs SET state = ?, attempt = ?, due_us = ?, started_us = ?, finished_us = ?, output = ?, facts = ?, error = ?, stack = ?,
			reason = ?, blocked_by = ?, instance = ?, session = '', cancel = 0, history = ?
		WHERE id = ?`

	// endRun is finishRun for the final outcome of an attempt that is the current one, was not ordered to be cancelled and holds no key, which is
	// what most outcomes are: nothing has to be read for that.
	endRun = `UPDATE runs SET state = ?, started_us = ?, finished_us = ?, output = ?, facts = ?, error = ?, stack = ?, reason = ?, session = ''
		WHERE id = ? AND task_id = ? AND attempt = ? AND state = 'running' AND cancel = 0 AND key = ''`

	setHistory = `UPDATE runs SET history = ? WHERE id = ?`

	// releaseWaiting makes the oldest run of a task that waits for the gate due. The plus keeps SQLite from walking the task's history in order.
	releaseWaiting = `UPDATE runs SET due_us = ?
		WHERE id = (SELECT id FROM runs WHERE task_id = ?` + live + ` AND state = 'pending' AND due_us IS NULL AND key_wait = 0 ORDER BY +id LIMIT 1)`

	// countDelay counts the delay of a fixed-delay task from the end of its run.
	countDelay = `UPDATE tasks SET next_us = ? + delay_us
		WHERE id = ? AND delay_us > 0 AND next_us IS NULL AND fault = ''`

	// selectLeft says whether any run is pending, and whether there is any task with a delay: mostly there is none.
	selectLeft = `SELECT EXISTS (SELECT 1 FROM runs WHERE state = 'pending'` + live + `), EXISTS (SELECT 1 FROM tasks WHERE delay_us > 0 AND id >= '')`

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
		tx.harmless = true // the tasks stay as they are, and what it makes due had live runs before
		left, err := finishMost(tx, req.Items, reply.Verdicts)
		if err != nil {
			return err
		}
		rest, err := finishRest(tx, req.Items, &reply)
		if err != nil {
			return err
		}
		left = append(left, rest...)
		return leave(ctx, tx, left, reply.Now, &reply.NextDue)
	})
	if err != nil {
		return punctual.FinishReply{}, err
	}
	return reply, nil
}

// finishMost records the outcomes that need no look at their runs, and returns which of them have ended. The others have no verdict yet.
func finishMost(tx *txn, items []punctual.Finish, verdicts []punctual.Verdict) (left []ended, err error) {
	left = make([]ended, 0, len(items))
	var others map[string]bool // runs that are looked at, with all of their items in order
	for i := range items {
		item := &items[i]
		n := int64(0)
		if item.State.Final() && !others[item.RunID] {
			tx.args = append(tx.args[:0], item.State.String(), toMicros(item.StartedAt), toMicros(item.FinishedAt), item.Result.Output,
				string(item.Result.Facts), item.Error, item.Stack, item.Reason, item.RunID, item.TaskID, item.Attempt)
			if n, err = tx.exec(endRun, tx.args...); err != nil {
				return nil, err
			}
		}
		if n > 0 {
			verdicts[i] = punctual.VerdictApplied
			left = append(left, ended{item.TaskID, true, micros(item.FinishedAt), ""})
			continue
		}
		if others == nil {
			others = make(map[string]bool)
		}
		others[item.RunID] = true
	}
	return left, nil
}

// finishRest looks at the runs of items without verdict, and returns which of them have left the running state.
func finishRest(tx *txn, items []punctual.Finish, reply *punctual.FinishReply) (left []ended, err error) {
	var ids []string
	for i, verdict := range reply.Verdicts {
		if verdict == 0 {
			ids = append(ids, items[i].RunID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	found, err := collect(tx.ctx, tx, scanRun, selectRuns, jsonList(ids))
	if err != nil {
		return nil, err
	}
	runs := make(map[string]*punctual.Run, len(found))
	for i := range found {
		runs[found[i].ID] = &found[i]
	}
	gone, err := goneTasks(tx.ctx, tx, found)
	if err != nil {
		return nil, err
	}
	for i, item := range items {
		if reply.Verdicts[i] != 0 {
			continue
		}
		run := runs[item.RunID]
		if run == nil {
			reply.Verdicts[i] = punctual.VerdictGone
			continue
		}
		verdict, err := finishOne(tx, run, item, gone[run.TaskID], reply.Now)
		if err != nil {
			return nil, err
		}
		reply.Verdicts[i] = verdict
		if verdict == punctual.VerdictApplied {
			left = append(left, ended{run.TaskID, run.State.Final(), run.FinishedAt, run.ConcurrencyKey})
			note(&reply.NextDue, run.DueAt)
		}
	}
	return left, nil
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
	var keys []string
	for _, e := range left {
		if e.key != "" {
			keys = append(keys, e.key)
		}
	}
	if n, err := passOn(tx, keys, now); err != nil {
		return err
	} else if n > 0 {
		note(next, now)
	}
	waiting, delayed, err := inNeed(ctx, tx, left)
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
			tx.harmless = false
			if _, err := tx.exec(countDelay, e.at.UnixMicro(), e.task); err != nil {
				return err
			}
			due, err := collect(ctx, tx, scanTime, selectDelayedNext, e.task)
			if err != nil {
				return err
			}
			note(next, due[0])
		}
	}
	return nil
}

// inNeed returns, of the tasks whose runs have left the running state, those with runs that wait for the gate, and those with a delay that has
// not begun.
func inNeed(ctx context.Context, tx *txn, left []ended) (waiting, delayed map[string]bool, err error) {
	type some struct{ pending, delays bool }
	found, err := collect(ctx, tx, func(rows rows) (s some, err error) {
		err = rows.Scan(&s.pending, &s.delays)
		return s, err
	}, selectLeft)
	if err != nil || found[0] == (some{}) {
		return nil, nil, err
	}
	ids := make([]string, len(left))
	for i, e := range left {
		ids[i] = e.task
	}
	if found[0].pending {
		if waiting, err = set(ctx, tx, selectWaiting, ids); err != nil {
			return nil, nil, err
		}
	}
	if found[0].delays {
		delayed, err = set(ctx, tx, selectDelayed, ids)
	}
	return waiting, delayed, err
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
