package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/punctual-go/punctual"
)

// querier is what reads: a transaction or the pool of readers.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// jsonList is a list as a parameter for json_each.
func jsonList[T any](list []T) string {
	if len(list) == 0 {
		return "[]" // not null, which json_each makes a row of
	}
	b, _ := json.Marshal(list) // strings and integers always marshal
	return string(b)
}

// collect reads all rows of a query.
func collect[T any](ctx context.Context, q querier, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

func scanText(rows *sql.Rows) (s string, err error) { return s, rows.Scan(&s) }

const taskColumns = `tasks.id, format, definition, tasks.revision, paused, anchor_us, next_us, last_us, delay_us,
	skip_run, skip_reason, skip_by, skip_count, fault, tasks.created_us, updated_us`

// taskRow is a task as it is stored; the definition is decoded when it is needed, since it may be undecodable.
type taskRow struct {
	punctual.Record
	id         string
	format     int
	definition string
}

func scanTask(rows *sql.Rows) (*taskRow, error) {
	var t taskRow
	var anchor, next, last sql.NullInt64
	var delay, created, updated, revision int64
	s := &t.Status
	err := rows.Scan(&t.id, &t.format, &t.definition, &revision, &s.Paused, &anchor, &next, &last, &delay,
		&s.Skipping.RunID, &s.Skipping.Reason, &s.Skipping.BlockedBy, &s.Skipping.Count, &t.Fault, &created, &updated)
	s.Anchor, s.NextRunAt, s.LastOccurrence = fromNull(anchor), fromNull(next), fromNull(last)
	s.Delay = time.Duration(delay) * time.Microsecond
	t.CreatedAt, t.UpdatedAt = fromMicros(created), fromMicros(updated)
	t.Task.Revision = revision
	return &t, err
}

// maxCache bounds the decoded definitions that are kept.
const maxCache = 10_000

// decoded is a definition and the text that it was decoded from.
type decoded struct {
	definition string
	task       punctual.Task
}

// decode fills in the definition. Decoded ones are kept with their text, so that a firing does not parse its schedule again.
func (s *Store) decode(t *taskRow) error {
	revision := t.Task.Revision
	s.mu.Lock()
	known := s.cache[t.id]
	s.mu.Unlock()
	if known.definition == t.definition && t.format <= punctual.TaskFormat {
		t.Task = cloneTask(known.task)
		t.Task.Revision = revision
		return nil
	}
	if t.format > punctual.TaskFormat {
		return fmt.Errorf("sqlite: task %q was written by a newer version of the library (format %d)", t.id, t.format)
	}
	var task punctual.Task
	if err := json.Unmarshal([]byte(t.definition), &task); err != nil {
		return fmt.Errorf("sqlite: definition of task %q cannot be read: %w", t.id, err)
	}
	task.Revision = revision
	t.Task = cloneTask(task)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.cache) >= maxCache {
		clear(s.cache)
	}
	s.cache[t.id] = decoded{t.definition, task}
	return nil
}

const runColumns = `id, task_id, task_name, kind, trigger_, scheduled_us, until_us, count, attempt, state, due_us, started_us, finished_us,
	output, facts, error, stack, reason, blocked_by, instance, session, revision, at_most_once, cancel, created_us, history, key, key_wait`

func scanRun(rows *sql.Rows) (punctual.Run, error) {
	var r punctual.Run
	var trigger, state, facts, history string
	var scheduled, created int64
	var until, due, started, finished sql.NullInt64
	err := rows.Scan(&r.ID, &r.TaskID, &r.TaskName, &r.Kind, &trigger, &scheduled, &until, &r.Count, &r.Attempt, &state, &due, &started, &finished,
		&r.Result.Output, &facts, &r.Error, &r.Stack, &r.Reason, &r.BlockedBy, &r.Instance, &r.Session, &r.Revision, &r.AtMostOnce,
		&r.CancelRequested, &created, &history, &r.ConcurrencyKey, &r.WaitsForKey)
	if err != nil {
		return r, err
	}
	if err := r.Trigger.UnmarshalText([]byte(trigger)); err != nil {
		return r, err
	}
	if err := r.State.UnmarshalText([]byte(state)); err != nil {
		return r, err
	}
	r.ScheduledAt, r.CreatedAt = fromMicros(scheduled), fromMicros(created)
	r.Until, r.DueAt, r.StartedAt, r.FinishedAt = fromNull(until), fromNull(due), fromNull(started), fromNull(finished)
	if facts != "" {
		r.Result.Facts = json.RawMessage(facts)
	}
	if history != "" {
		if err := json.Unmarshal([]byte(history), &r.History); err != nil {
			return r, fmt.Errorf("sqlite: history of run %s cannot be read: %w", r.ID, err)
		}
	}
	return r, nil
}

// live is what a query has to say, word by word, for the partial indexes of live runs to be used
// (https://www.sqlite.org/partialindex.html, 3).
const live = ` AND state IN ('pending', 'running')`

const insertRun = `INSERT INTO runs (` + runColumns + `, priority)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT DO NOTHING`

func runValues(r *punctual.Run, priority int) []any {
	return []any{
		r.ID, r.TaskID, r.TaskName, r.Kind, r.Trigger.String(), r.ScheduledAt.UnixMicro(), toMicros(r.Until), max(r.Count, 1), r.Attempt,
		r.State.String(), toMicros(r.DueAt), toMicros(r.StartedAt), toMicros(r.FinishedAt), r.Result.Output, string(r.Result.Facts), r.Error,
		r.Stack, r.Reason, r.BlockedBy, r.Instance, r.Session, r.Revision, r.AtMostOnce, r.CancelRequested, r.CreatedAt.UnixMicro(),
		historyText(r.History), r.ConcurrencyKey, r.WaitsForKey, priority,
	}
}

// historyText is the JSON of the newest entries; empty when there are none.
func historyText(h []punctual.Attempt) string {
	if len(h) == 0 {
		return ""
	}
	if len(h) > punctual.MaxHistory {
		h = h[len(h)-punctual.MaxHistory:]
	}
	return jsonList(cutHistory(h))
}

// cutHistory returns a copy whose times are as the store keeps them.
func cutHistory(h []punctual.Attempt) []punctual.Attempt {
	if len(h) == 0 {
		return nil
	}
	cut := make([]punctual.Attempt, len(h))
	for i, a := range h {
		a.StartedAt, a.FinishedAt = micros(a.StartedAt), micros(a.FinishedAt)
		cut[i] = a
	}
	return cut
}

// cloneTask makes sure that a value handed out shares nothing with the cache.
func cloneTask(t punctual.Task) punctual.Task {
	if t.Payload != nil {
		t.Payload = append(json.RawMessage(nil), t.Payload...)
	}
	t.Labels = cloneLabels(t.Labels)
	return t
}

func cloneLabels(labels map[string]string) map[string]string {
	if labels == nil {
		return nil
	}
	out := make(map[string]string, len(labels))
	for k, v := range labels {
		out[k] = v
	}
	return out
}
