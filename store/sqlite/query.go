package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/punctual-go/punctual"
)

const (
	selectLastRuns = `SELECT ` + runColumns + ` FROM runs
		WHERE id IN (SELECT (SELECT id FROM runs WHERE task_id = value ORDER BY id DESC LIMIT 1) FROM json_each(?))`

	selectActive = `SELECT task_id, count(*) FROM runs
		WHERE task_id IN (SELECT value FROM json_each(?))` + live + ` AND state = 'running' GROUP BY task_id`

	// hasLabels compares each wanted label with the task's.
	hasLabels = `(SELECT count(*) FROM json_each(?) AS want JOIN json_each(tasks.labels) AS have
		ON want.key = have.key AND want.value = have.value) = ?`

	// nextPage goes through the runs in the order of their ids: it says where the next so many of them end, and when the first of them was created.
	nextPage = `SELECT max(id), min(created_us) FROM (SELECT id, created_us FROM runs WHERE id > ? ORDER BY id LIMIT ?)`

	// trimOld removes final runs between two ids by age, and trimMany those beyond the number to keep of each task, oldest first.
	trimOld = `DELETE FROM runs WHERE id IN (
		SELECT id FROM runs WHERE id > ? AND id <= ? AND state NOT IN ('pending', 'running') AND finished_us < ?` + complete + ` ORDER BY id LIMIT ?)`
	trimMany = `DELETE FROM runs WHERE id IN (
		SELECT id FROM (SELECT id, task_id, row_number() OVER (PARTITION BY task_id ORDER BY id DESC) AS age FROM runs
			WHERE state NOT IN ('pending', 'running')) AS runs WHERE age > ?` + complete + ` ORDER BY id LIMIT ?)`

	// complete leaves out the rows that their tasks add further skips to.
	complete = ` AND NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.id = runs.task_id AND tasks.skip_run = runs.id)`
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
	if q.Search != "" {
		where.add("(instr(lower(id), lower(?)) > 0 OR instr(lower(name), lower(?)) > 0)", q.Search, q.Search)
	}
	if len(q.Labels) > 0 {
		labels, err := json.Marshal(q.Labels)
		if err != nil {
			return nil, fmt.Errorf("%w: labels: %w", punctual.ErrInvalidQuery, err)
		}
		where.add(hasLabels, string(labels), len(q.Labels))
	}
	return s.snapshots(ctx, `SELECT `+taskColumns+` FROM tasks`+where.text()+` ORDER BY id LIMIT ?`, append(where.args, limit)...)
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

// snapshots reads tasks together with their last runs, in one read transaction so that they fit together.
func (s *Store) snapshots(ctx context.Context, query string, args ...any) ([]punctual.Snapshot, error) {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fault(ctx, err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	found, err := collect(ctx, reading{tx}, scanTask, query, args...)
	if err != nil || len(found) == 0 {
		return nil, fault(ctx, err)
	}
	ids := make([]string, len(found))
	for i, row := range found {
		ids[i] = row.id
	}
	list := jsonList(ids)
	runs, err := collect(ctx, reading{tx}, scanRun, selectLastRuns, list)
	if err != nil {
		return nil, fault(ctx, err)
	}
	last := make(map[string]*punctual.Run, len(runs))
	for i := range runs {
		last[runs[i].TaskID] = &runs[i]
	}
	active := make(map[string]int)
	_, err = collect(ctx, reading{tx}, func(r rows) (struct{}, error) {
		var id string
		var n int
		err := r.Scan(&id, &n)
		active[id] = n
		return struct{}{}, err
	}, selectActive, list)
	if err != nil {
		return nil, fault(ctx, err)
	}
	out := make([]punctual.Snapshot, len(found))
	for i, row := range found {
		if err := s.decode(row); err != nil && row.Fault == "" {
			row.Fault = err.Error()
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
	runs, err := collect(ctx, reading{s.read}, scanRun, selectRun, id)
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
		names := make([]string, len(q.States))
		for i, state := range q.States {
			names[i] = state.String()
		}
		where.add("state IN (SELECT value FROM json_each(?))", jsonList(names))
	}
	if !q.Since.IsZero() {
		where.add("scheduled_us >= ?", ceilMicros(q.Since))
	}
	if !q.Until.IsZero() {
		where.add("scheduled_us < ?", ceilMicros(q.Until))
	}
	runs, err := collect(ctx, reading{s.read}, scanRun, `SELECT `+runColumns+` FROM runs`+where.text()+` ORDER BY id DESC LIMIT ?`, append(where.args, limit)...)
	return runs, fault(ctx, err)
}

// ceilMicros rounds a bound up, so that comparing whole microseconds with it is exact.
func ceilMicros(t time.Time) int64 { return t.Add(time.Microsecond - time.Nanosecond).UnixMicro() }

// trimPage is how many runs Trim looks at with one statement.
const trimPage = 500

// Trim implements punctual.Store.
func (s *Store) Trim(ctx context.Context, req punctual.TrimRequest) (removed int, err error) {
	err = s.tx(ctx, func(tx *txn) (err error) {
		removed = 0
		if !req.Before.IsZero() {
			if removed, err = trimByAge(tx, ceilMicros(req.Before), req.Limit); err != nil {
				return err
			}
		}
		if req.Keep > 0 && removed < req.Limit {
			n, err := tx.sweep(trimMany, req.Keep, req.Limit-removed)
			removed += int(n)
			return err
		}
		return nil
	})
	return removed, err
}

// trimByAge removes what ended before a time. Ids sort by creation, and nothing ends before it is created: the way along the ids leads from
// the oldest runs on, and is over with a page of which all were created later. So no result has to enter its end in an index.
func trimByAge(tx *txn, before int64, limit int) (removed int, err error) {
	type page struct {
		last    sql.NullString
		created sql.NullInt64
	}
	for after := ""; removed < limit; {
		found, err := collect(tx.ctx, tx, func(rows rows) (p page, err error) {
			return p, rows.Scan(&p.last, &p.created)
		}, nextPage, after, trimPage)
		if err != nil {
			return removed, err
		}
		p := found[0]
		if !p.last.Valid || p.created.Int64 >= before {
			break
		}
		n, err := tx.sweep(trimOld, after, p.last.String, before, limit-removed)
		if err != nil {
			return removed, err
		}
		removed, after = removed+int(n), p.last.String
	}
	return removed, nil
}
