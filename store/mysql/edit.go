package mysql

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

const (
	lockTask = `SELECT ` + taskColumns + ` FROM {tasks} WHERE id = ? FOR UPDATE`

	selectRun     = `SELECT ` + runColumns + ` FROM {runs} WHERE id = ?`
	selectRunTask = `SELECT task_id FROM {runs} WHERE id = ?`

	// lockRunsOf stands for the lock on a task that is gone and has left runs. It looks for each state by itself, since MySQL may walk through all
	// of a small table for a list of two, and so wait for the runs of other tasks.
	lockRunsOf = `(SELECT id FROM {runs} FORCE INDEX (runs_live) WHERE task_id = ? AND state = 'pending' FOR UPDATE)
		UNION ALL (SELECT id FROM {runs} FORCE INDEX (runs_live) WHERE task_id = ? AND state = 'running' FOR UPDATE)`

	selectPending = `SELECT ` + runColumns + ` FROM {runs} FORCE INDEX (runs_live)
		WHERE task_id = ? AND state = 'pending' ORDER BY key_wait, due_us IS NULL, due_us, id`

	selectLive = `SELECT task_id, SUM(state = 'running'), MIN(IF(state = 'running', id, NULL)),
			SUM(state = 'pending' AND due_us IS NULL AND key_wait = 0),
			MAX(IF(state = 'pending' AND due_us IS NULL AND key_wait = 0 AND attempt = 0 AND trigger_ NOT IN ('catch-up', 'backfill'), id, NULL)),
			SUM(state = 'pending' AND key_wait = 1)
		FROM {runs} FORCE INDEX (runs_live) WHERE task_id IN (?) AND state IN ('pending', 'running') GROUP BY task_id`

	selectRuns = `SELECT ` + runColumns + ` FROM {runs} FORCE INDEX (PRIMARY) WHERE id IN (?)`
)

// liveRuns is what a View tells about a task's running and waiting runs.
type liveRuns struct {
	active, waiting, keyWaiting int
	oldest                      string // running
	waiter                      *punctual.Run
}

// show enters it into a View.
func (l liveRuns) show(v *punctual.View) {
	v.Active, v.OldestActive, v.Waiting, v.Waiter, v.KeyWaiting = l.active, l.oldest, l.waiting, l.waiter, l.keyWaiting
}

// loadLive counts the live runs of tasks that are locked.
func loadLive(t *txn, ids []string) (map[string]liveRuns, error) {
	out := make(map[string]liveRuns)
	var waiters []string
	_, err := collect(t, func(rows *sql.Rows) (struct{}, error) {
		var id string
		var l liveRuns
		var oldest, newest sql.NullString
		err := rows.Scan(&id, &l.active, &oldest, &l.waiting, &newest, &l.keyWaiting)
		l.oldest = oldest.String
		if newest.Valid {
			waiters = append(waiters, newest.String)
		}
		out[id] = l
		return struct{}{}, err
	}, selectLive, ids)
	if err != nil || len(waiters) == 0 {
		return out, err
	}
	runs, err := collect(t, scanRun, selectRuns, waiters)
	for i := range runs {
		l := out[runs[i].TaskID]
		l.waiter = &runs[i]
		out[runs[i].TaskID] = l
	}
	return out, err
}

// Edit implements punctual.Store.
func (s *Store) Edit(ctx context.Context, req punctual.EditRequest) (punctual.EditReply, error) {
	var reply punctual.EditReply
	err := s.tx(ctx, func(t *txn) (err error) {
		reply, err = edit(t, req)
		return err
	})
	if err != nil {
		return punctual.EditReply{}, err
	}
	return reply, nil
}

// edit carries out an Edit in a transaction.
func edit(t *txn, req punctual.EditRequest) (reply punctual.EditReply, err error) {
	v := punctual.View{Slots: req.Slots}
	id := req.TaskID
	if req.RunID != "" {
		owners, err := collect(t, scanText, selectRunTask, req.RunID)
		if err != nil {
			return reply, err
		}
		if len(owners) == 0 {
			return reply, &refusal{fmt.Errorf("%w: %q", punctual.ErrRunNotFound, req.RunID)}
		}
		id = owners[0]
	}
	if err := lockForEdit(t, id, req.ConcurrencyKey, &v); err != nil {
		return reply, err
	}
	// After the wait for the lock: what this edit finds done was done before.
	if v.Now, err = t.now(req.Now); err != nil {
		return reply, err
	}
	reply.Now = v.Now
	if req.RunID != "" {
		runs, err := collect(t, scanRun, selectRun, req.RunID)
		if err != nil {
			return reply, err
		}
		if len(runs) == 0 {
			return reply, &refusal{fmt.Errorf("%w: %q", punctual.ErrRunNotFound, req.RunID)}
		}
		v.Run = &runs[0]
	}
	if v.Pending, err = collect(t, scanRun, selectPending, id); err != nil {
		return reply, err
	}
	lives, err := loadLive(t, []string{id})
	if err != nil {
		return reply, err
	}
	lives[id].show(&v)
	key := req.ConcurrencyKey
	if key == "" && v.Record != nil {
		key = v.Record.Task.ConcurrencyKey
	}
	keys, err := loadKeys(t, []string{key})
	if err != nil {
		return reply, err
	}
	keys.Show(key, &v)
	due := ledger.DueKeys(v.Pending)
	c, err := req.Decide(v)
	if err != nil {
		return reply, &refusal{err}
	}
	b := batch{now: v.Now}
	if err := b.add(t, id, &v, due, &c); err != nil {
		return reply, err
	}
	if _, reply.Dropped, err = b.flush(t); err != nil {
		return reply, err
	}
	if ledger.News(&c) {
		_, err = t.exec(insertHint)
	}
	return reply, err
}

// lockForEdit locks a task and the keys of its runs, and puts its record into the View.
func lockForEdit(t *txn, id, key string, v *punctual.View) error {
	tasks, err := collect(t, scanTask, lockTask, id)
	if err != nil {
		return err
	}
	keys := []string{key}
	if len(tasks) > 0 {
		row := tasks[0]
		if err := t.store.decodeAll(t.ctx, t.querier, tasks); err != nil {
			return err
		}
		if row.bad != nil && row.format > punctual.TaskFormat {
			return row.bad
		} else if row.bad != nil {
			row.Task = punctual.Task{ID: id, Revision: row.Task.Revision} // it may be replaced or removed
			row.Fault = row.bad.Error()
		}
		v.Record = &row.Record
		keys = append(keys, row.Task.ConcurrencyKey)
	} else if _, err := collect(t, scanText, lockRunsOf, id, id); err != nil {
		return err
	}
	more, err := collect(t, scanText, selectKeysOfTask, id)
	if err != nil {
		return err
	}
	return lockKeys(t, append(keys, more...))
}
