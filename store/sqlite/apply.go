package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/punctual-go/punctual"
)

const (
	upsertTask = `INSERT INTO tasks (id, name, kind, format, definition, labels, revision, paused, anchor_us, next_us, last_us, delay_us,
			skip_run, skip_reason, skip_by, skip_count, fault, created_us, updated_us)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, kind = excluded.kind, format = excluded.format,
			definition = excluded.definition, labels = excluded.labels, revision = excluded.revision, paused = excluded.paused,
			anchor_us = excluded.anchor_us, next_us = excluded.next_us, last_us = excluded.last_us, delay_us = excluded.delay_us,
			skip_run = excluded.skip_run, skip_reason = excluded.skip_reason, skip_by = excluded.skip_by,
			skip_count = excluded.skip_count, fault = '', updated_us = excluded.updated_us`

	updateStatus = `UPDATE tasks SET paused = ?, anchor_us = ?, next_us = ?, last_us = ?, delay_us = ?, skip_run = ?, skip_reason = ?,
			skip_by = ?, skip_count = ?, fault = '', updated_us = iif(paused <> ?, ?, updated_us)
		WHERE id = ?`

	updateRun = `UPDATE runs SET state = ?, due_us = ?, attempt = ?, started_us = ?, finished_us = ?, error = ?, reason = ?, blocked_by = ?,
			instance = ?, session = ?, until_us = ?, count = ?
		WHERE id = ? AND task_id = ? AND state IN ('pending', 'skipped')`

	orderCancel = `UPDATE runs SET cancel = 1 WHERE id = ? AND task_id = ? AND state = 'running'`

	deleteTask = `DELETE FROM tasks WHERE id = ?`
	deleteRuns = `DELETE FROM runs WHERE task_id = ?`
)

// apply writes a change of one task. It returns the runs that the change started, in order, and the ids of rows that were dropped
// because their occurrence is taken.
func (s *Store) apply(stmts *statements, id string, c *punctual.Change, now time.Time) (started []punctual.Run, dropped []string, err error) {
	if c.Remove {
		if _, err := stmts.exec(deleteTask, id); err != nil {
			return nil, nil, err
		}
		if !c.KeepHistory {
			_, err := stmts.exec(deleteRuns, id)
			return nil, nil, err
		}
	}
	if err := s.applyTask(stmts, id, c, now); err != nil {
		return nil, nil, err
	}
	for i := range c.Update {
		r := &c.Update[i]
		n, err := stmts.exec(updateRun, r.State.String(), toMicros(r.DueAt), r.Attempt, toMicros(r.StartedAt), toMicros(r.FinishedAt), r.Error,
			r.Reason, r.BlockedBy, r.Instance, r.Session, toMicros(r.Until), max(r.Count, 1), r.ID, id)
		if err != nil {
			return nil, nil, err
		}
		if n > 0 && r.State == punctual.StateRunning {
			started = append(started, *r)
		}
	}
	for i := range c.Insert {
		r := &c.Insert[i]
		n, err := stmts.exec(insertRun, runValues(r)...)
		switch {
		case err != nil:
			return nil, nil, err
		case n == 0:
			dropped = append(dropped, r.ID)
		case r.State == punctual.StateRunning:
			started = append(started, *r)
		}
	}
	for _, run := range c.Cancel {
		if _, err := stmts.exec(orderCancel, run, id); err != nil {
			return nil, nil, err
		}
	}
	return started, dropped, nil
}

func (s *Store) applyTask(stmts *statements, id string, c *punctual.Change, now time.Time) error {
	st := c.Status
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
		_, err = stmts.exec(upsertTask, c.Task.ID, name, c.Task.Kind, punctual.TaskFormat, string(definition), string(labels), c.Task.Revision,
			st.Paused, toMicros(st.Anchor), toMicros(st.NextRunAt), toMicros(st.LastOccurrence), st.Delay.Microseconds(),
			st.Skipping.RunID, st.Skipping.Reason, st.Skipping.BlockedBy, st.Skipping.Count, now.UnixMicro(), now.UnixMicro())
		return err
	case st != nil:
		_, err := stmts.exec(updateStatus, st.Paused, toMicros(st.Anchor), toMicros(st.NextRunAt), toMicros(st.LastOccurrence),
			st.Delay.Microseconds(), st.Skipping.RunID, st.Skipping.Reason, st.Skipping.BlockedBy, st.Skipping.Count,
			st.Paused, now.UnixMicro(), id)
		return err
	}
	return nil
}

// live is what a View tells about a task's running and waiting runs.
type live struct {
	active, waiting int
	oldest          string
}

const (
	selectLive = `SELECT task_id, count(*) FILTER (WHERE state = 'running'), min(id) FILTER (WHERE state = 'running'),
			count(*) FILTER (WHERE state = 'pending' AND due_us IS NULL)
		FROM runs WHERE task_id IN (SELECT value FROM json_each(?)) AND state IN ('pending', 'running') GROUP BY task_id`

	selectPending = `SELECT ` + runColumns + ` FROM runs
		WHERE task_id = ? AND state = 'pending' ORDER BY due_us IS NULL, due_us, id`

	selectTask = `SELECT ` + taskColumns + ` FROM tasks WHERE id = ?`
	selectRun  = `SELECT ` + runColumns + ` FROM runs WHERE id = ?`
)

func loadLive(ctx context.Context, q querier, ids []string) (map[string]live, error) {
	out := make(map[string]live)
	_, err := collect(ctx, q, func(rows *sql.Rows) (struct{}, error) {
		var id string
		var l live
		var oldest sql.NullString
		err := rows.Scan(&id, &l.active, &oldest, &l.waiting)
		l.oldest = oldest.String
		out[id] = l
		return struct{}{}, err
	}, selectLive, jsonList(ids))
	return out, err
}

// Edit implements punctual.Store.
func (s *Store) Edit(ctx context.Context, req punctual.EditRequest) (punctual.EditReply, error) {
	reply := punctual.EditReply{Now: s.now(req.Now)}
	err := s.tx(ctx, func(tx *sql.Tx) error {
		v := punctual.View{Now: reply.Now, Slots: req.Slots}
		id := req.TaskID
		if req.RunID != "" {
			runs, err := collect(ctx, tx, scanRun, selectRun, req.RunID)
			if err != nil {
				return err
			}
			if len(runs) == 0 {
				return fmt.Errorf("%w: %q", punctual.ErrRunNotFound, req.RunID)
			}
			v.Run, id = &runs[0], runs[0].TaskID
		}
		tasks, err := collect(ctx, tx, scanTask, selectTask, id)
		if err != nil {
			return err
		}
		if len(tasks) > 0 {
			if err := s.decode(tasks[0]); err != nil && tasks[0].format > punctual.TaskFormat {
				return err
			} else if err != nil {
				tasks[0].Task = punctual.Task{ID: id, Revision: tasks[0].Task.Revision} // it may be replaced or removed
				tasks[0].Fault = err.Error()
			}
			v.Record = &tasks[0].Record
		}
		if v.Pending, err = collect(ctx, tx, scanRun, selectPending, id); err != nil {
			return err
		}
		lives, err := loadLive(ctx, tx, []string{id})
		if err != nil {
			return err
		}
		v.Active, v.OldestActive, v.Waiting = lives[id].active, lives[id].oldest, lives[id].waiting
		c, err := req.Decide(v)
		if err != nil {
			return &refusal{err}
		}
		stmts := newStatements(ctx, tx)
		defer stmts.close()
		_, reply.Dropped, err = s.apply(stmts, id, &c, reply.Now)
		return err
	})
	return reply, err
}
