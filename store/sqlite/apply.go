package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

const (
	upsertTask = `INSERT INTO tasks (id, name, kind, format, definition, labels, priority, revision, paused, anchor_us, next_us, last_us, delay_us,
			skip_run, skip_reason, skip_by, skip_count, fault, created_us, updated_us)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, kind = excluded.kind, format = excluded.format,
			definition = excluded.definition, labels = excluded.labels, priority = excluded.priority, revision = excluded.revision, paused = excluded.paused,
			anchor_us = excluded.anchor_us, next_us = excluded.next_us, last_us = excluded.last_us, delay_us = excluded.delay_us,
			skip_run = excluded.skip_run, skip_reason = excluded.skip_reason, skip_by = excluded.skip_by,
			skip_count = excluded.skip_count, fault = '', updated_us = excluded.updated_us`

	updateStatus = `UPDATE tasks SET paused = ?, anchor_us = ?, next_us = ?, last_us = ?, delay_us = ?, skip_run = ?, skip_reason = ?,
			skip_by = ?, skip_count = ?, fault = '', updated_us = iif(paused <> ?, ?, updated_us)
		WHERE id = ?`

	// moveTask is updateStatus for what a firing changes of most tasks.
	moveTask = `UPDATE tasks SET next_us = ?, last_us = ? WHERE rowid = ?`

	updateRun = `UPDATE runs SET state = ?, due_us = ?, attempt = ?, started_us = ?, finished_us = ?, error = ?, reason = ?, blocked_by = ?,
			instance = ?, session = ?, until_us = ?, count = ?, key = ?, key_wait = ?
		WHERE id = ? AND task_id = ? AND state IN ('pending', 'skipped')`

	// moveRuns keeps the priority of live runs in step with their task's.
	moveRuns = `UPDATE runs SET priority = ? WHERE task_id = ?` + live + ` AND priority <> ?`

	orderCancel = `UPDATE runs SET cancel = 1, reason = ?, blocked_by = ? WHERE id = ? AND task_id = ? AND state = 'running' AND cancel = 0`

	deleteTask = `DELETE FROM tasks WHERE id = ?`
	deleteRuns = `DELETE FROM runs WHERE task_id = ?`
)

// apply writes a change of one task in some row, where due are the keys of the runs that were due before it. It adds the runs that the change started to
// started, in order, and returns the ids of rows that were dropped because their occurrence is taken.
func (s *Store) apply(tx *txn, id string, row int64, v *punctual.View, due map[string]string, c *punctual.Change, started []punctual.Run) (_ []punctual.Run, dropped []string, err error) {
	freed, err := freedKeys(tx, id, due, c)
	if err != nil {
		return nil, nil, err
	}
	if c.Remove {
		if _, err := tx.exec(deleteTask, id); err != nil {
			return nil, nil, err
		}
		if !c.KeepHistory {
			if _, err := tx.sweep(deleteRuns, id); err != nil {
				return nil, nil, err
			}
			_, err := passOn(tx, freed, v.Now)
			return started, nil, err
		}
	}
	priority := 0
	switch {
	case c.Task != nil:
		priority = c.Task.Priority
	case v.Record != nil:
		priority = v.Record.Task.Priority
	}
	if err := s.applyTask(tx, id, row, v, c); err != nil {
		return nil, nil, err
	}
	for i := range c.Update {
		r := &c.Update[i]
		n, err := tx.exec(updateRun, r.State.String(), toMicros(r.DueAt), r.Attempt, toMicros(r.StartedAt), toMicros(r.FinishedAt), r.Error,
			r.Reason, r.BlockedBy, r.Instance, r.Session, toMicros(r.Until), max(r.Count, 1), r.ConcurrencyKey, r.WaitsForKey, r.ID, id)
		if err != nil {
			return nil, nil, err
		}
		if n > 0 && r.State == punctual.StateRunning {
			started = append(started, *r)
		}
	}
	for i := range c.Insert {
		r := &c.Insert[i]
		n, err := insert(tx, r, priority)
		switch {
		case err != nil:
			return nil, nil, err
		case n == 0:
			dropped = append(dropped, r.ID)
		case r.State == punctual.StateRunning:
			started = append(started, *r)
		}
	}
	for _, order := range c.Cancel {
		if _, err := tx.exec(orderCancel, order.Reason, order.BlockedBy, order.RunID, id); err != nil {
			return nil, nil, err
		}
	}
	_, err = passOn(tx, freed, v.Now)
	return started, dropped, err
}

func (s *Store) applyTask(tx *txn, id string, row int64, v *punctual.View, c *punctual.Change) error {
	st, now := c.Status, v.Now
	switch {
	case c.Task != nil:
		definition, err := json.Marshal(c.Task)
		if err != nil {
			return fmt.Errorf("sqlite: %w", err)
		}
		labels, err := json.Marshal(c.Task.Labels)
		if err != nil {
			return fmt.Errorf("sqlite: %w", err)
		}
		name := c.Task.Name
		if name == "" {
			name = c.Task.ID
		}
		_, err = tx.exec(upsertTask, c.Task.ID, name, c.Task.Kind, punctual.TaskFormat, string(definition), string(labels), c.Task.Priority, c.Task.Revision,
			st.Paused, toMicros(st.Anchor), toMicros(st.NextRunAt), toMicros(st.LastOccurrence), st.Delay.Microseconds(),
			st.Skipping.RunID, st.Skipping.Reason, st.Skipping.BlockedBy, st.Skipping.Count, now.UnixMicro(), now.UnixMicro())
		if err != nil {
			return err
		}
		_, err = tx.exec(moveRuns, c.Task.Priority, id, c.Task.Priority)
		return err
	case st != nil && ledger.OnlyMoves(v.Record, st):
		return move(tx, row, st)
	case st != nil:
		_, err := tx.exec(updateStatus, st.Paused, toMicros(st.Anchor), toMicros(st.NextRunAt), toMicros(st.LastOccurrence),
			st.Delay.Microseconds(), st.Skipping.RunID, st.Skipping.Reason, st.Skipping.BlockedBy, st.Skipping.Count,
			st.Paused, now.UnixMicro(), id)
		return err
	}
	return nil
}

// move moves the task in a row on.
func move(tx *txn, row int64, st *punctual.Status) error {
	tx.args = append(tx.args[:0], toMicros(st.NextRunAt), toMicros(st.LastOccurrence), row)
	_, err := tx.exec(moveTask, tx.args...)
	return err
}

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

const (
	selectLive = `SELECT task_id, count(*) FILTER (WHERE state = 'running'), min(id) FILTER (WHERE state = 'running'),
			count(*) FILTER (WHERE state = 'pending' AND due_us IS NULL AND key_wait = 0),
			max(id) FILTER (WHERE state = 'pending' AND due_us IS NULL AND key_wait = 0
				AND attempt = 0 AND trigger_ NOT IN ('catch-up', 'backfill')),
			count(*) FILTER (WHERE state = 'pending' AND key_wait = 1)
		FROM runs WHERE task_id IN (SELECT value FROM json_each(?))` + live + ` GROUP BY task_id`

	selectPending = `SELECT ` + runColumns + ` FROM runs
		WHERE task_id = ?` + live + ` AND state = 'pending' ORDER BY key_wait, due_us IS NULL, due_us, id`

	selectTask = `SELECT ` + taskColumns + ` FROM tasks WHERE id = ?`
	selectRun  = `SELECT ` + runColumns + ` FROM runs WHERE id = ?`
)

func loadLive(ctx context.Context, q querier, ids []string) (map[string]liveRuns, error) {
	out := make(map[string]liveRuns)
	var waiters []string
	_, err := collect(ctx, q, func(rows rows) (struct{}, error) {
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
	}, selectLive, jsonList(ids))
	if err != nil || len(waiters) == 0 {
		return out, err
	}
	runs, err := collect(ctx, q, scanRun, selectRuns, jsonList(waiters))
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
	news := false
	err := s.tx(ctx, func(tx *txn) (err error) {
		reply, news, err = s.edit(tx, req)
		return err
	})
	if err == nil && news {
		s.watchers.edits.Add(1)
	}
	return reply, err
}

// edit is Edit within a transaction. It says whether others may want to know of it.
func (s *Store) edit(tx *txn, req punctual.EditRequest) (reply punctual.EditReply, news bool, err error) {
	reply.Now = s.now(req.Now)
	v := punctual.View{Now: reply.Now, Slots: req.Slots}
	id, row := req.TaskID, int64(0)
	if req.RunID != "" {
		runs, err := collect(tx.ctx, tx, scanRun, selectRun, req.RunID)
		if err != nil {
			return reply, false, err
		}
		if len(runs) == 0 {
			return reply, false, fmt.Errorf("%w: %q", punctual.ErrRunNotFound, req.RunID)
		}
		v.Run, id = &runs[0], runs[0].TaskID
	}
	tasks, err := collect(tx.ctx, tx, scanTask, selectTask, id)
	if err != nil {
		return reply, false, err
	}
	if len(tasks) > 0 {
		if err := s.decode(tasks[0]); err != nil && tasks[0].format > punctual.TaskFormat {
			return reply, false, err
		} else if err != nil {
			tasks[0].Task = punctual.Task{ID: id, Revision: tasks[0].Task.Revision} // it may be replaced or removed
			tasks[0].Fault = err.Error()
		}
		v.Record, row = &tasks[0].Record, tasks[0].row
	}
	if v.Pending, err = collect(tx.ctx, tx, scanRun, selectPending, id); err != nil {
		return reply, false, err
	}
	lives, err := loadLive(tx.ctx, tx, []string{id})
	if err != nil {
		return reply, false, err
	}
	lives[id].show(&v)
	key := req.ConcurrencyKey
	if key == "" && v.Record != nil {
		key = v.Record.Task.ConcurrencyKey
	}
	keys, err := loadKeys(tx.ctx, tx, []string{key})
	if err != nil {
		return reply, false, err
	}
	keys.Show(key, &v)
	due := ledger.DueKeys(v.Pending)
	c, err := req.Decide(v)
	if err != nil {
		return reply, false, &refusal{err}
	}
	if _, reply.Dropped, err = s.apply(tx, id, row, &v, due, &c, nil); err != nil {
		return reply, false, err
	}
	if news = ledger.News(&c); news {
		_, err = tx.exec(countNews)
	}
	return reply, news, err
}
