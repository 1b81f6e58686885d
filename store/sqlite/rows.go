package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

// jsonList is a list as a parameter for json_each.
func jsonList[T any](list []T) string {
	if len(list) == 0 {
		return "[]" // not null, which json_each makes a row of
	}
	b, _ := json.Marshal(list) // strings and integers always marshal
	return string(b)
}

// collect reads all rows of a query.
func collect[T any](ctx context.Context, q querier, scan func(rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.query(ctx, query, args...)
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

func scanText(rows rows) (s string, err error) {
	err = rows.Scan(&s)
	return s, err
}

func scanNumber(rows rows) (n int64, err error) {
	err = rows.Scan(&n)
	return n, err
}

func scanTime(rows rows) (t time.Time, err error) {
	err = rows.Scan((*instant)(&t))
	return t, err
}

// What columns hold is read straight into the fields that it is for, by the types below.
type (
	instant  time.Time          // microseconds; NULL is the zero time
	span     time.Duration      // microseconds
	skipping punctual.Skipping  // JSON array; NULL when there is none
	facts    json.RawMessage    // empty when there are none
	attempts []punctual.Attempt // JSON
	state    punctual.State     // by name
	trigger  punctual.Trigger   // by name
)

// Scan implements sql.Scanner.
func (i *instant) Scan(value any) error {
	*i = instant{}
	if value == nil {
		return nil
	}
	us, ok := value.(int64)
	*i = instant(fromMicros(us))
	return fits(ok, value, "a time")
}

// Scan implements sql.Scanner.
func (s *span) Scan(value any) error {
	us, ok := value.(int64)
	*s = span(time.Duration(us) * time.Microsecond)
	return fits(ok, value, "a duration")
}

// Scan implements sql.Scanner.
func (s *skipping) Scan(value any) error {
	*s = skipping{}
	if value == nil {
		return nil
	}
	text, ok := value.(string)
	if !ok {
		return fits(ok, value, "an open row of skips")
	}
	return json.Unmarshal([]byte(text), &[]any{&s.RunID, &s.Reason, &s.BlockedBy, &s.Count})
}

// Scan implements sql.Scanner.
func (f *facts) Scan(value any) error {
	text, ok := value.(string)
	if text != "" {
		*f = facts(text)
	}
	return fits(ok, value, "facts")
}

// Scan implements sql.Scanner.
func (a *attempts) Scan(value any) error {
	text, ok := value.(string)
	if text == "" {
		return fits(ok, value, "a history")
	}
	if err := json.Unmarshal([]byte(text), (*[]punctual.Attempt)(a)); err != nil {
		return fmt.Errorf("sqlite: a history cannot be read: %w", err)
	}
	return nil
}

// Scan implements sql.Scanner.
func (s *state) Scan(value any) error {
	text, ok := value.(string)
	if !ok {
		return fits(ok, value, "a state")
	}
	return (*punctual.State)(s).UnmarshalText([]byte(text))
}

// Scan implements sql.Scanner.
func (t *trigger) Scan(value any) error {
	text, ok := value.(string)
	if !ok {
		return fits(ok, value, "a trigger")
	}
	return (*punctual.Trigger)(t).UnmarshalText([]byte(text))
}

func fits(ok bool, value any, what string) error {
	if !ok {
		return fmt.Errorf("sqlite: %v is not %s", value, what)
	}
	return nil
}

const taskColumns = `tasks.rowid, tasks.id, format, definition, tasks.revision, paused, anchor_us, next_us, last_us, delay_us,
	iif(skip_run = '', NULL, json_array(skip_run, skip_reason, skip_by, skip_count)), fault, tasks.created_us, updated_us`

// taskRow is a task as it is stored; the definition is decoded when it is needed, since it may be undecodable.
type taskRow struct {
	punctual.Record
	row        int64 // its rowid, which is the same until somebody else writes
	id         string
	format     int
	definition string

	// What only Claim asks for.
	busy      bool  // whether it may have live runs
	undecoded error // why it cannot be decoded
}

// places are where the columns of a task go.
func (t *taskRow) places() []any {
	s := &t.Status
	return []any{
		&t.row, &t.id, &t.format, &t.definition, &t.Task.Revision, &s.Paused, (*instant)(&s.Anchor), (*instant)(&s.NextRunAt), (*instant)(&s.LastOccurrence),
		(*span)(&s.Delay), (*skipping)(&s.Skipping), &t.Fault, (*instant)(&t.CreatedAt),
		(*instant)(&t.UpdatedAt),
	}
}

func scanTask(rows rows) (*taskRow, error) {
	var t taskRow
	return &t, rows.Scan(t.places()...)
}

// decode fills in the definition.
func (s *Store) decode(t *taskRow) error {
	if err := ledger.Decode(&s.definitions, &t.Record, t.id, t.definition, t.format); err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	return nil
}

const runColumns = `id, task_id, task_name, kind, trigger_, scheduled_us, until_us, count, attempt, state, due_us, started_us, finished_us,
	output, facts, error, stack, reason, blocked_by, instance, session, revision, at_most_once, cancel, created_us, history, key, key_wait`

func scanRun(rows rows) (punctual.Run, error) {
	var r punctual.Run
	err := rows.Scan(&r.ID, &r.TaskID, &r.TaskName, &r.Kind, (*trigger)(&r.Trigger), (*instant)(&r.ScheduledAt), (*instant)(&r.Until), &r.Count, &r.Attempt,
		(*state)(&r.State), (*instant)(&r.DueAt), (*instant)(&r.StartedAt), (*instant)(&r.FinishedAt), &r.Result.Output, (*facts)(&r.Result.Facts), &r.Error,
		&r.Stack, &r.Reason, &r.BlockedBy, &r.Instance, &r.Session, &r.Revision, &r.AtMostOnce, &r.CancelRequested, (*instant)(&r.CreatedAt),
		(*attempts)(&r.History), &r.ConcurrencyKey, &r.WaitsForKey)
	if err != nil {
		return r, fmt.Errorf("run %s: %w", r.ID, err)
	}
	return r, nil
}

// live is what a query has to say, word by word, for the partial indexes of live runs to be used
// (https://www.sqlite.org/partialindex.html, 3).
const live = ` AND state IN ('pending', 'running')`

// insertRun adds a run, unless its occurrence is taken. startRun does so for one that begins now and never waited: what it does not name is as
// the schema has it by default.
const (
	insertRun = `INSERT INTO runs (` + runColumns + `, priority)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO NOTHING`
	startRun = `INSERT INTO runs (id, task_id, task_name, kind, trigger_, scheduled_us, attempt, state, started_us, instance, session, revision, at_most_once,
			created_us, key, priority)
		VALUES (?, ?, ?, ?, ?, ?, ?, 'running', ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO NOTHING`
)

// insert adds a run with the priority of its task, and returns 0 when its occurrence is taken.
func insert(tx *txn, r *punctual.Run, priority int) (int64, error) {
	if ledger.Begins(r) {
		tx.args = append(tx.args[:0], r.ID, r.TaskID, r.TaskName, r.Kind, r.Trigger.String(), r.ScheduledAt.UnixMicro(), r.Attempt, toMicros(r.StartedAt),
			r.Instance, r.Session, r.Revision, r.AtMostOnce, r.CreatedAt.UnixMicro(), r.ConcurrencyKey, priority)
		return tx.exec(startRun, tx.args...)
	}
	return tx.exec(insertRun, runValues(r, priority)...)
}

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
