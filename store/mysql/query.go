package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/punctual-go/punctual"
)

const (
	selectTask  = `SELECT ` + taskColumns + ` FROM {tasks} WHERE id = ?`
	selectTasks = `SELECT ` + taskColumns + ` FROM {tasks}`

	selectLastRuns = `SELECT ` + runColumns + ` FROM {runs} FORCE INDEX (PRIMARY)
		WHERE id IN (SELECT last_id FROM (SELECT MAX(id) AS last_id FROM {runs} FORCE INDEX (runs_task) WHERE task_id IN (?) GROUP BY task_id) AS l)`

	selectActive = `SELECT task_id, COUNT(*) FROM {runs} FORCE INDEX (runs_live)
		WHERE task_id IN (?) AND state = 'running' GROUP BY task_id`

	selectRunList = `SELECT ` + runColumns + ` FROM {runs}`

	// hasLabel asks for one label of a task.
	hasLabel = `EXISTS (SELECT 1 FROM {labels} AS l WHERE l.task_id = {tasks}.id AND l.name = ? AND l.value = ?)`

	// selectOld and selectMany choose final runs to remove, oldest first.
	selectOld = `SELECT r.id FROM {runs} AS r FORCE INDEX (runs_ended)
		WHERE r.finished_us < ? AND r.state NOT IN ('pending', 'running')` + complete + ` ORDER BY r.finished_us, r.id LIMIT ?`
	selectMany = `SELECT r.id FROM (SELECT id, task_id, ROW_NUMBER() OVER (PARTITION BY task_id ORDER BY id DESC) AS age FROM {runs}
			WHERE state NOT IN ('pending', 'running')) AS r
		WHERE r.age > ?` + complete + ` ORDER BY r.id LIMIT ?`

	// complete leaves out the rows that their tasks add further skips to.
	complete = ` AND NOT EXISTS (SELECT 1 FROM {tasks} AS t WHERE t.id = r.task_id AND t.skip_run = r.id)`

	deleteEnded = `DELETE FROM {runs} WHERE id IN (?) AND state NOT IN ('pending', 'running')`
)

// Task implements punctual.Store.
func (s *Store) Task(ctx context.Context, id string) (punctual.Snapshot, error) {
	list, err := s.snapshots(ctx, selectTask, id)
	if err != nil {
		return punctual.Snapshot{}, err
	}
	if len(list) == 0 {
		return punctual.Snapshot{}, fmt.Errorf("%w: %q", punctual.ErrTaskNotFound, id)
	}
	return list[0], nil
}

// Tasks implements punctual.Store.
func (s *Store) Tasks(ctx context.Context, q punctual.TaskQuery) ([]punctual.Snapshot, error) {
	limit, err := limitOf(q.Limit)
	if err != nil {
		return nil, err
	}
	where := conditions{}
	if q.After != "" {
		where.add("id > ?", q.After)
	}
	if q.Kind != "" {
		where.add("kind = ?", q.Kind)
	}
	switch {
	case strings.Contains(q.Search, "\n"):
		return nil, nil // no id and no name has one
	case q.Search != "":
		where.add("INSTR(search, ?) > 0", lowerASCII(q.Search))
	}
	for _, name := range slices.Sorted(maps.Keys(q.Labels)) {
		where.add(hasLabel, name, q.Labels[name])
	}
	return s.snapshots(ctx, selectTasks+where.text()+` ORDER BY id LIMIT ?`, append(where.args, limit)...)
}

// conditions collects what a WHERE clause asks for.
type conditions struct {
	list []string
	args []any
}

func (c *conditions) add(condition string, args ...any) {
	c.list = append(c.list, condition)
	c.args = append(c.args, args...)
}

func (c *conditions) text() string {
	if len(c.list) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.list, " AND ")
}

func limitOf(n int) (int, error) {
	if n < 0 {
		return 0, fmt.Errorf("%w: the limit %d is negative", punctual.ErrInvalidQuery, n)
	}
	if n == 0 {
		n = punctual.DefaultLimit
	}
	return min(n, punctual.MaxLimit), nil
}

// snapshots reads tasks together with their last runs, in one snapshot of the database so that they fit together.
func (s *Store) snapshots(ctx context.Context, query string, args ...any) ([]punctual.Snapshot, error) {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, fault(ctx, err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	list, err := s.snapshotsIn(ctx, tx, query, args...)
	return list, fault(ctx, err)
}

func (s *Store) snapshotsIn(ctx context.Context, q querier, query string, args ...any) ([]punctual.Snapshot, error) {
	rows, err := read(ctx, s, q, scanTask, query, args...)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	if err := s.decodeAll(ctx, q, rows); err != nil {
		return nil, err
	}
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row.id
	}
	runs, err := read(ctx, s, q, scanRun, selectLastRuns, ids)
	if err != nil {
		return nil, err
	}
	last := make(map[string]*punctual.Run, len(runs))
	for i := range runs {
		last[runs[i].TaskID] = &runs[i]
	}
	active := make(map[string]int)
	_, err = read(ctx, s, q, func(r *sql.Rows) (struct{}, error) {
		var id string
		var n int
		err := r.Scan(&id, &n)
		active[id] = n
		return struct{}{}, err
	}, selectActive, ids)
	if err != nil {
		return nil, err
	}
	out := make([]punctual.Snapshot, len(rows))
	for i, row := range rows {
		if row.bad != nil && row.Fault == "" {
			row.Fault = row.bad.Error()
		}
		row.Task.ID = row.id
		out[i] = punctual.Snapshot{
			Task: row.Task, NextRunAt: row.Status.NextRunAt, Anchor: row.Status.Anchor, LastRun: last[row.id], Active: active[row.id],
			Paused: row.Status.Paused, Fault: row.Fault, Revision: row.Task.Revision, CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
		}
	}
	return out, nil
}

// Run implements punctual.Store.
func (s *Store) Run(ctx context.Context, id string) (punctual.Run, error) {
	runs, err := read(ctx, s, s.db, scanRun, selectRun, id)
	if err != nil {
		return punctual.Run{}, fault(ctx, err)
	}
	if len(runs) == 0 {
		return punctual.Run{}, fmt.Errorf("%w: %q", punctual.ErrRunNotFound, id)
	}
	return runs[0], nil
}

// Runs implements punctual.Store.
func (s *Store) Runs(ctx context.Context, q punctual.RunQuery) ([]punctual.Run, error) {
	limit, err := limitOf(q.Limit)
	if err != nil {
		return nil, err
	}
	where := conditions{}
	if q.TaskID != "" {
		where.add("task_id = ?", q.TaskID)
	}
	if q.Before != "" {
		where.add("id < ?", q.Before)
	}
	if len(q.States) > 0 {
		names := make([]word, len(q.States))
		for i, state := range q.States {
			names[i] = word(state.String())
		}
		where.add("state IN (?)", names)
	}
	if !q.Since.IsZero() {
		where.add("scheduled_us >= ?", ceilMicros(q.Since))
	}
	if !q.Until.IsZero() {
		where.add("scheduled_us < ?", ceilMicros(q.Until))
	}
	runs, err := read(ctx, s, s.db, scanRun, selectRunList+where.text()+` ORDER BY id DESC LIMIT ?`, append(where.args, limit)...)
	return runs, fault(ctx, err)
}

// ceilMicros rounds a bound up, so that comparing whole microseconds with it is exact.
func ceilMicros(t time.Time) int64 { return t.Add(time.Microsecond - time.Nanosecond).UnixMicro() }

// Trim implements punctual.Store.
func (s *Store) Trim(ctx context.Context, req punctual.TrimRequest) (int, error) {
	removed := 0
	err := s.tx(ctx, func(t *txn) error {
		removed = 0
		remove := func(query string, bound any) error {
			if removed >= req.Limit {
				return nil
			}
			ids, err := collect(t, scanText, query, bound, req.Limit-removed)
			if err != nil {
				return err
			}
			slices.Sort(ids)
			for chunk := range slices.Chunk(ids, maxRows) {
				n, err := t.exec(deleteEnded, chunk)
				if err != nil {
					return err
				}
				removed += int(n)
			}
			return nil
		}
		if !req.Before.IsZero() {
			if err := remove(selectOld, ceilMicros(req.Before)); err != nil {
				return err
			}
		}
		if req.Keep > 0 {
			return remove(selectMany, req.Keep)
		}
		return nil
	})
	return removed, err
}
