package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/punctual-go/punctual"
)

const (
	// listTasks, listLast and listActive read a page of tasks, their newest runs and how many of their runs are running. The page is what
	// the conditions choose.
	listTasks = `SELECT ` + taskColumns + ` FROM {schema}.tasks t`
	listLast  = `SELECT ` + runNames + ` FROM (SELECT t.id AS task FROM {schema}.tasks t%s) AS page, LATERAL (
		SELECT * FROM {schema}.runs r WHERE r.task_id = page.task AND r.id > '' ORDER BY r.id DESC LIMIT 1) AS r`
	listActive = `SELECT r.task_id, count(*) FROM {schema}.live_runs r
		WHERE r.task_id IN (SELECT t.id FROM {schema}.tasks t%s) AND r.state = 'running' GROUP BY r.task_id`

	listRuns = `SELECT ` + runNames + ` FROM {schema}.runs r`

	// nextEnded goes through the final runs in the order of their ids, and trimOld removes some of them by age.
	nextEnded = `SELECT r.id, r.created_us, r.finished_us FROM {schema}.ended_runs r WHERE r.id > $1 ORDER BY r.id LIMIT $2`
	trimOld   = `DELETE FROM {schema}.ended_runs WHERE id IN (
		SELECT r.id FROM {schema}.ended_runs r WHERE r.id = ANY ($1::text[]) AND r.finished_us < $2` + complete + ` ORDER BY r.id FOR UPDATE SKIP LOCKED)`
	// complete leaves out the rows that their tasks add further skips to.
	complete = ` AND NOT EXISTS (SELECT 1 FROM {schema}.tasks t WHERE t.id = r.task_id AND t.skip_run = r.id)`

	// nextTaskIDs goes through the tasks that the ledger knows, existing or not, from one to the next along the index.
	nextTaskIDs = `WITH RECURSIVE known AS (
			(SELECT r.task_id, 1 AS n FROM {schema}.ended_runs r WHERE r.task_id > $1 AND r.id > '' ORDER BY r.task_id LIMIT 1)
			UNION ALL
			SELECT following.task_id, known.n + 1 FROM known, LATERAL (
				SELECT r.task_id FROM {schema}.ended_runs r WHERE r.task_id > known.task_id AND r.id > '' ORDER BY r.task_id LIMIT 1) AS following
			WHERE known.n < $2)
		SELECT task_id FROM known`

	// trimMany removes what is beyond the number to keep of each of some tasks, oldest first.
	trimMany = `DELETE FROM {schema}.ended_runs WHERE id IN (
		SELECT r.id FROM unnest($1::text[]) AS of (task_id), LATERAL (
			SELECT r.id, r.task_id FROM {schema}.ended_runs r WHERE r.task_id = of.task_id AND r.id > ''
			ORDER BY r.id DESC OFFSET $2) AS r
		WHERE true` + complete + ` ORDER BY r.id LIMIT $3)`
)

// Pages of Trim: how many runs one statement of nextEnded looks at, and how many tasks one of trimMany.
const (
	endedPage = 500
	trimPage  = 1000
)

// query reads all rows of a query.
func query[T any](ctx context.Context, pool *pgxpool.Pool, scan func(pgx.Rows) (T, error), text string, args ...any) ([]T, error) {
	rows, err := pool.Query(ctx, text, args...)
	if err != nil {
		return nil, fault(ctx, err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, fault(ctx, err)
		}
		all = append(all, v)
	}
	return all, fault(ctx, rows.Err())
}

// Task implements punctual.Store.
func (s *Store) Task(ctx context.Context, id string) (punctual.Snapshot, error) {
	var where conditions
	where.add("t.id = ?", id)
	list, err := s.snapshots(ctx, where.text(), where.args)
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
	var where conditions
	if q.After != "" {
		where.add("t.id > ?", q.After)
	}
	if q.Kind != "" {
		where.add("t.kind = ?", q.Kind)
	}
	if q.Search != "" {
		where.add(`(position(lower(?::text COLLATE "C") IN lower(t.id)) > 0 OR position(lower(?::text COLLATE "C") IN lower(t.name)) > 0)`, q.Search, q.Search)
	}
	if len(q.Labels) > 0 {
		labels, err := json.Marshal(q.Labels)
		if err != nil {
			return nil, fmt.Errorf("%w: labels: %w", punctual.ErrInvalidQuery, err)
		}
		where.add("t.labels @> ?::jsonb", string(labels))
	}
	text := where.text()
	where.args = append(where.args, limit)
	return s.snapshots(ctx, text+fmt.Sprintf(" ORDER BY t.id LIMIT $%d", len(where.args)), where.args)
}

// conditions collects what a WHERE clause asks for.
type conditions struct {
	list []string
	args []any
}

// add adds a condition whose question marks stand for the arguments.
func (c *conditions) add(condition string, args ...any) {
	for _, arg := range args {
		c.args = append(c.args, arg)
		condition = strings.Replace(condition, "?", fmt.Sprintf("$%d", len(c.args)), 1)
	}
	c.list = append(c.list, condition)
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

// snapshots reads tasks together with their last runs, as of one moment so that they fit together.
func (s *Store) snapshots(ctx context.Context, where string, args []any) ([]punctual.Snapshot, error) {
	var rows []*taskRow
	var runs []punctual.Run
	active := make(map[string]int)
	err := s.once(ctx, s.pool, snapshot, func(t *txn) error {
		ask(t, &rows, s.scanTasks(), listTasks+where, args...)
		ask(t, &runs, scanRun, fmt.Sprintf(listLast, where), args...)
		t.queue(fmt.Sprintf(listActive, where), args...).Query(func(rows pgx.Rows) error {
			var id string
			var n int
			_, err := pgx.ForEachRow(rows, []any{&id, &n}, func() error {
				active[id] = n
				return nil
			})
			return err
		})
		return t.commit()
	})
	if err != nil {
		return nil, fault(ctx, err)
	}
	last := make(map[string]*punctual.Run, len(runs))
	for i := range runs {
		last[runs[i].TaskID] = &runs[i]
	}
	out := make([]punctual.Snapshot, len(rows))
	for i, row := range rows {
		if row.broken != nil && row.Fault == "" {
			row.Fault = row.broken.Error()
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
	runs, err := query(ctx, s.pool, scanRun, s.text(selectRun), id)
	if err == nil && len(runs) == 0 {
		err = fmt.Errorf("%w: %q", punctual.ErrRunNotFound, id)
	}
	if err != nil {
		return punctual.Run{}, err
	}
	return runs[0], nil
}

// Runs implements punctual.Store.
func (s *Store) Runs(ctx context.Context, q punctual.RunQuery) ([]punctual.Run, error) {
	limit, err := limitOf(q.Limit)
	if err != nil {
		return nil, err
	}
	var where conditions
	if q.TaskID != "" {
		where.add("r.task_id = ? AND r.id > ''", q.TaskID)
	}
	if q.Before != "" {
		where.add("r.id < ?", q.Before)
	}
	if len(q.States) > 0 {
		names := make([]string, len(q.States))
		for i, state := range q.States {
			names[i] = state.String()
		}
		where.add("r.state = ANY (?::text[])", names)
	}
	if !q.Since.IsZero() {
		where.add("r.scheduled_us >= ?", ceilMicros(q.Since))
	}
	if !q.Until.IsZero() {
		where.add("r.scheduled_us < ?", ceilMicros(q.Until))
	}
	text := s.text(listRuns + where.text())
	where.args = append(where.args, limit)
	return query(ctx, s.pool, scanRun, text+fmt.Sprintf(" ORDER BY r.id DESC LIMIT $%d", len(where.args)), where.args...)
}

// ceilMicros rounds a bound up, so that comparing whole microseconds with it is exact.
func ceilMicros(t time.Time) int64 { return t.Add(time.Microsecond - time.Nanosecond).UnixMicro() }

// Trim implements punctual.Store.
func (s *Store) Trim(ctx context.Context, req punctual.TrimRequest) (int, error) {
	var removed int64
	err := s.tx(ctx, s.pool, func(t *txn) error {
		removed = 0
		limit := int64(req.Limit)
		if !req.Before.IsZero() {
			if err := trimByAge(t, ceilMicros(req.Before), limit, &removed); err != nil {
				return err
			}
		}
		if req.Keep > 0 {
			if err := trimByNumber(t, req.Keep, limit, &removed); err != nil {
				return err
			}
		}
		return t.commit()
	})
	return int(removed), err
}

// trimByAge removes what ended before a time. Ids sort by creation, and nothing ends before it is created: the way along the ids leads from
// the oldest runs on, and is over with a page of which all were created later. So no result has to enter its end in an index.
func trimByAge(t *txn, before, limit int64, removed *int64) error {
	for after := ""; *removed < limit; {
		var old []string
		var last string
		early := false
		t.queue(nextEnded, after, endedPage).Query(func(rows pgx.Rows) error {
			var created int64
			var finished *int64
			_, err := pgx.ForEachRow(rows, []any{&last, &created, &finished}, func() error {
				early = early || created < before
				if finished != nil && *finished < before && *removed+int64(len(old)) < limit {
					old = append(old, last)
				}
				return nil
			})
			return err
		})
		if err := t.send(); err != nil {
			return err
		}
		if !early {
			return nil
		}
		after = last
		if len(old) == 0 {
			continue
		}
		t.count(removed, trimOld, old, before)
		if err := t.send(); err != nil {
			return err
		}
	}
	return nil
}

// trimByNumber removes what is beyond the number to keep of each task.
func trimByNumber(t *txn, keep int, limit int64, removed *int64) error {
	for after := ""; *removed < limit; {
		var ids []string
		ask(t, &ids, scanText, nextTaskIDs, after, trimPage)
		if err := t.send(); err != nil {
			return err
		}
		if len(ids) == 0 {
			return nil
		}
		after = ids[len(ids)-1]
		t.count(removed, trimMany, ids, keep, limit-*removed)
		if err := t.send(); err != nil {
			return err
		}
	}
	return nil
}
