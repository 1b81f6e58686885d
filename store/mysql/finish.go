package mysql

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

const (
	// lockTasks waits for the locks of tasks, lockUnlockedTasks takes those that are free. They read what the end of a run needs to know.
	lockTasks         = `SELECT id, delay_us, next_us IS NULL AND fault = '' FROM {tasks} FORCE INDEX (PRIMARY) WHERE id IN (?) ORDER BY id FOR UPDATE`
	lockUnlockedTasks = lockTasks + ` SKIP LOCKED`

	selectThere = `SELECT id FROM {tasks} FORCE INDEX (PRIMARY) WHERE id IN (?)`

	lockRuns = `SELECT ` + runColumns + ` FROM {runs} FORCE INDEX (PRIMARY) WHERE id IN (?) ORDER BY id FOR UPDATE`

	// The head and the tail of rewriting runs that have left the running state; the rows are locked and there, see writeStatuses.
	finishHead = `INSERT INTO {runs} (id, state, attempt, due_us, started_us, finished_us, output, facts, error, stack, reason, blocked_by, instance,
			history)
		VALUES `
	finishTail = `ON DUPLICATE KEY UPDATE state = VALUES(state), attempt = VALUES(attempt), due_us = VALUES(due_us), started_us = VALUES(started_us),
		finished_us = VALUES(finished_us), output = VALUES(output), facts = VALUES(facts), error = VALUES(error), stack = VALUES(stack),
		reason = VALUES(reason), blocked_by = VALUES(blocked_by), instance = VALUES(instance), session_id = '', cancel_ordered = 0,
		history = VALUES(history)`

	setHistory = `UPDATE {runs} SET history = ? WHERE id = ?`

	selectWaiting = `SELECT DISTINCT task_id FROM {runs} FORCE INDEX (runs_live)
		WHERE task_id IN (?) AND state = 'pending' AND due_us IS NULL AND key_wait = 0`

	// selectOldest finds the run of a task that waits for the gate and has waited for longest.
	selectOldest = `SELECT MIN(id) FROM {runs} FORCE INDEX (runs_live)
		WHERE task_id = ? AND state = 'pending' AND due_us IS NULL AND key_wait = 0`
	setDue = `UPDATE {runs} SET due_us = ? WHERE id = ?`

	setNext = `UPDATE {tasks} SET next_us = ? WHERE id = ?`
)

// Finish implements punctual.Store.
func (s *Store) Finish(ctx context.Context, req punctual.FinishRequest) (punctual.FinishReply, error) {
	var reply punctual.FinishReply
	err := s.tx(ctx, func(t *txn) (err error) {
		reply, err = finish(t, req)
		return err
	})
	if err != nil {
		return punctual.FinishReply{}, err
	}
	return reply, nil
}

func finish(t *txn, req punctual.FinishRequest) (reply punctual.FinishReply, err error) {
	if reply.Now, err = t.now(req.Now); err != nil {
		return reply, err
	}
	reply.Verdicts = make([]punctual.Verdict, len(req.Items))
	ids := make([]string, len(req.Items))
	tasks := make([]string, len(req.Items))
	for i, item := range req.Items {
		ids[i], tasks[i] = item.RunID, item.TaskID
	}
	owners := owners{}
	if err := owners.lock(t, tasks, t.try > 0); err != nil {
		return reply, err
	}
	found, err := collect(t, scanRun, lockRuns, ids)
	if err != nil {
		return reply, err
	}
	runs := make(map[string]*punctual.Run, len(found))
	keys := make([]string, len(found))
	tasks = tasks[:0]
	for i := range found {
		runs[found[i].ID], keys[i] = &found[i], found[i].ConcurrencyKey
		tasks = append(tasks, found[i].TaskID)
	}
	if err := owners.lock(t, tasks, true); err != nil { // those that an item did not name, or named wrongly
		return reply, err
	}
	if err := lockKeys(t, keys); err != nil {
		return reply, err
	}
	e := ending{t: t, now: reply.Now, owners: owners}
	for i, item := range req.Items {
		run := runs[item.RunID]
		switch {
		case run == nil:
			reply.Verdicts[i] = punctual.VerdictGone
			continue
		case owners[run.TaskID].busy:
			reply.Verdicts[i] = punctual.VerdictRetryable
			continue
		}
		if reply.Verdicts[i], err = e.finish(run, item); err != nil {
			return reply, err
		}
	}
	reply.NextDue, err = e.leave()
	return reply, err
}

// owners are the tasks of the runs that a transaction is about.
type owners map[string]*owner

type owner struct {
	gone  bool
	busy  bool          // somebody else has locked it, and this transaction did not wait
	delay time.Duration // begins when a run ends; zero for none
}

// lock locks tasks that are not locked yet. A transaction that has waited in vain before does not wait again: it leaves the tasks that others
// hold, so that one that is locked for long holds up the results of no other.
func (o owners) lock(t *txn, tasks []string, impatient bool) error {
	var ids []string
	for _, id := range named(slices.Clone(tasks)) {
		if o[id] == nil {
			o[id] = &owner{gone: true}
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	statement := lockTasks
	if impatient {
		statement = lockUnlockedTasks
	}
	got, err := collect(t, func(rows *sql.Rows) (struct{}, error) {
		var id string
		var delay int64
		var waits bool
		if err := rows.Scan(&id, &delay, &waits); err != nil {
			return struct{}{}, err
		}
		o[id].gone = false
		if waits {
			o[id].delay = time.Duration(delay) * time.Microsecond
		}
		return struct{}{}, nil
	}, statement, ids)
	if err != nil || !impatient || len(got) == len(ids) {
		return err
	}
	there, err := collect(t, scanText, selectThere, ids)
	for _, id := range there {
		o[id].busy = o[id].gone
		o[id].gone = false
	}
	return err
}

// ending is what a transaction does to runs that leave the running state.
type ending struct {
	t      *txn
	now    time.Time
	owners owners
	rows   [][]any
	left   []*punctual.Run
}

// finish records the outcome of one attempt in run.
func (e *ending) finish(run *punctual.Run, item punctual.Finish) (punctual.Verdict, error) {
	verdict, noted := ledger.Finish(run, &item, e.owners[run.TaskID].gone, e.now)
	switch {
	case verdict == punctual.VerdictApplied:
		e.rewrite(run)
	case noted:
		_, err := e.t.exec(setHistory, historyText(run.History), run.ID)
		return verdict, err
	}
	return verdict, nil
}

// rewrite takes up a run that has left the running state.
func (e *ending) rewrite(run *punctual.Run) {
	e.rows = append(e.rows, []any{
		run.ID, word(run.State.String()), run.Attempt, toMicros(run.DueAt), toMicros(run.StartedAt), toMicros(run.FinishedAt), run.Result.Output,
		string(run.Result.Facts), run.Error, run.Stack, run.Reason, run.BlockedBy, run.Instance, historyText(run.History),
	})
	e.left = append(e.left, run)
}

// leave writes the runs and does what happens whenever runs leave the running state: keys are passed on, waiting runs become due and fixed
// delays begin. It returns when something of all this is due; zero when nothing is.
func (e *ending) leave() (next time.Time, err error) {
	if len(e.left) == 0 {
		return next, nil
	}
	if _, err := e.t.execRows(finishHead, finishTail, e.rows); err != nil {
		return next, err
	}
	ids := make([]string, len(e.left))
	keys := make([]string, len(e.left))
	for i, run := range e.left {
		ids[i], keys[i] = run.TaskID, run.ConcurrencyKey
		note(&next, run.DueAt)
	}
	if n, err := passOn(e.t, keys, e.now); err != nil {
		return next, err
	} else if n > 0 {
		note(&next, e.now)
	}
	waiting, err := collect(e.t, scanText, selectWaiting, named(ids))
	if err != nil {
		return next, err
	}
	for _, run := range e.left {
		if slices.Contains(waiting, run.TaskID) {
			if err := e.open(run.TaskID, &next); err != nil {
				return next, err
			}
		}
		if o := e.owners[run.TaskID]; o.delay > 0 && run.State.Final() {
			due := run.FinishedAt.Add(o.delay)
			o.delay = 0
			if _, err := e.t.exec(setNext, due.UnixMicro(), run.TaskID); err != nil {
				return next, err
			}
			note(&next, due)
		}
	}
	return next, nil
}

// open makes the oldest run of a task that waits for the gate due.
func (e *ending) open(task string, next *time.Time) error {
	oldest, err := collect(e.t, func(rows *sql.Rows) (id sql.NullString, err error) { return id, rows.Scan(&id) }, selectOldest, task)
	if err != nil || !oldest[0].Valid {
		return err
	}
	note(next, e.now)
	_, err = e.t.exec(setDue, e.now.UnixMicro(), oldest[0].String)
	return err
}

// note keeps the earlier of two times; zero is none.
func note(earliest *time.Time, t time.Time) {
	if !t.IsZero() && (earliest.IsZero() || t.Before(*earliest)) {
		*earliest = t
	}
}
