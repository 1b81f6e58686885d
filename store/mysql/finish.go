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

	// lockBriefly is lockRuns for all that the final outcome of a current attempt has to know.
	lockBriefly = `SELECT id, task_id, attempt, state, cancel_ordered, concurrency_key,
			output IS NULL AND facts IS NULL AND error IS NULL AND stack IS NULL AND reason = ''
		FROM {runs} FORCE INDEX (PRIMARY) WHERE id IN (?) ORDER BY id FOR UPDATE`

	// The head and the tail of rewriting runs that have left the running state; the rows are locked and there, see writeStatuses.
	finishHead = `INSERT INTO {runs} (id, state, attempt, due_us, started_us, finished_us, output, facts, error, stack, reason, blocked_by, instance,
			history)
		VALUES `
	finishTail = `ON DUPLICATE KEY UPDATE state = VALUES(state), attempt = VALUES(attempt), due_us = VALUES(due_us), started_us = VALUES(started_us),
		finished_us = VALUES(finished_us), output = VALUES(output), facts = VALUES(facts), error = VALUES(error), stack = VALUES(stack),
		reason = VALUES(reason), blocked_by = VALUES(blocked_by), instance = VALUES(instance), session_id = '', cancel_ordered = 0,
		history = VALUES(history)`

	// The same for what most runs end with: the final outcome of their current attempt, and for those of them that have nothing to tell.
	endHead = `INSERT INTO {runs} (id, state, started_us, finished_us, output, facts, error, stack, reason) VALUES `
	endTail = `ON DUPLICATE KEY UPDATE state = VALUES(state), started_us = VALUES(started_us), finished_us = VALUES(finished_us), output = VALUES(output),
		facts = VALUES(facts), error = VALUES(error), stack = VALUES(stack), reason = VALUES(reason), session_id = ''`
	endMutelyHead = `INSERT INTO {runs} (id, state, started_us, finished_us) VALUES `
	endMutelyTail = `ON DUPLICATE KEY UPDATE state = VALUES(state), started_us = VALUES(started_us), finished_us = VALUES(finished_us), session_id = ''`

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
	runs, err := lockEnding(t, req.Items, ids)
	if err != nil {
		return reply, err
	}
	keys := make([]string, 0, len(runs))
	tasks = tasks[:0]
	for _, run := range runs {
		keys = append(keys, run.ConcurrencyKey)
		tasks = append(tasks, run.TaskID)
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

// endingRun is a run whose attempt has ended. Of most runs only that is read which their outcome depends on.
type endingRun struct {
	punctual.Run
	brief bool // the rest of it was not read, and stays as it is
	mute  bool // it has no result, error or reason
}

func scanBriefly(rows *sql.Rows) (*endingRun, error) {
	r := endingRun{brief: true}
	var state string
	if err := rows.Scan(&r.ID, &r.TaskID, &r.Attempt, &state, &r.CancelRequested, &r.ConcurrencyKey, &r.mute); err != nil {
		return nil, err
	}
	return &r, r.State.UnmarshalText([]byte(state))
}

// lockEnding locks the runs of some outcomes. All of a run is read unless its outcome is final, its only one here, and of the current attempt,
// which was not ordered to be cancelled.
func lockEnding(t *txn, items []punctual.Finish, ids []string) (map[string]*endingRun, error) {
	found, err := collect(t, scanBriefly, lockBriefly, ids)
	if err != nil {
		return nil, err
	}
	runs := make(map[string]*endingRun, len(found))
	for _, run := range found {
		runs[run.ID] = run
	}
	seen := make(map[string]bool, len(items))
	var unclear []string
	for i := range items {
		item, run := &items[i], runs[items[i].RunID]
		if run != nil && (seen[run.ID] || !item.State.Final() || run.State != punctual.StateRunning || run.Attempt != item.Attempt || run.CancelRequested) {
			unclear = append(unclear, run.ID)
		}
		seen[item.RunID] = true
	}
	if len(unclear) == 0 {
		return runs, nil
	}
	whole, err := collect(t, scanRun, lockRuns, named(unclear))
	for _, run := range whole {
		runs[run.ID] = &endingRun{Run: run}
	}
	return runs, err
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
	rows   [][]any // of finishHead
	ends   [][]any // of endHead
	mute   [][]any // of endMutelyHead
	left   []*punctual.Run
}

// finish records the outcome of one attempt in run.
func (e *ending) finish(run *endingRun, item punctual.Finish) (punctual.Verdict, error) {
	verdict, noted := ledger.Finish(&run.Run, &item, e.owners[run.TaskID].gone, e.now)
	switch {
	case verdict == punctual.VerdictApplied && run.brief:
		e.end(run)
	case verdict == punctual.VerdictApplied:
		e.rewrite(&run.Run)
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

// end takes up a run that has ended and of which little was read.
func (e *ending) end(run *endingRun) {
	row := []any{run.ID, word(run.State.String()), toMicros(run.StartedAt), toMicros(run.FinishedAt)}
	if run.mute && run.Result.Output == "" && len(run.Result.Facts) == 0 && run.Error == "" && run.Stack == "" && run.Reason == "" {
		e.mute = append(e.mute, row)
	} else {
		e.ends = append(e.ends, append(row, run.Result.Output, string(run.Result.Facts), run.Error, run.Stack, run.Reason))
	}
	e.left = append(e.left, &run.Run)
}

// leave writes the runs and does what happens whenever runs leave the running state: keys are passed on, waiting runs become due and fixed
// delays begin. It returns when something of all this is due; zero when nothing is.
func (e *ending) leave() (next time.Time, err error) {
	if len(e.left) == 0 {
		return next, nil
	}
	for _, write := range []struct {
		head, tail string
		rows       [][]any
	}{{finishHead, finishTail, e.rows}, {endHead, endTail, e.ends}, {endMutelyHead, endMutelyTail, e.mute}} {
		if _, err := e.t.execRows(write.head, write.tail, write.rows); err != nil {
			return next, err
		}
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
