package postgres

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

const taskColumns = `t.id, t.format, t.definition, t.revision, t.paused, t.anchor_us, t.next_us, t.last_us, t.delay_us,
	t.skip_run, t.skip_reason, t.skip_by, t.skip_count, t.fault, t.created_us, t.updated_us`

// taskRow is a task as it is stored.
type taskRow struct {
	punctual.Record
	id     string
	format int
	broken error // why the definition cannot be decoded
}

// taskScanner reads rows of taskColumns one after another, and what comes after these columns. Each definition is decoded as it arrives, while the
// server is still at the rows behind it.
type taskScanner struct {
	definitions             *ledger.Definitions
	row                     taskRow
	definition              pgtype.DriverBytes
	anchor, next, last      pgtype.Int8
	delay, created, updated int64
	into                    []any
}

func (s *Store) newTaskScanner(more ...any) *taskScanner {
	t := &taskScanner{definitions: &s.definitions}
	r, st := &t.row, &t.row.Status
	t.into = append([]any{
		&r.id, &r.format, &t.definition, &r.Task.Revision, &st.Paused, &t.anchor, &t.next, &t.last, &t.delay, &st.Skipping.RunID, &st.Skipping.Reason,
		&st.Skipping.BlockedBy, &st.Skipping.Count, &r.Fault, &t.created, &t.updated,
	}, more...)
	return t
}

func (s *taskScanner) scan(rows pgx.Rows, to *taskRow) error {
	if err := rows.Scan(s.into...); err != nil {
		return err
	}
	at := func(us pgtype.Int8) time.Time {
		if !us.Valid {
			return time.Time{}
		}
		return fromMicros(us.Int64)
	}
	*to = s.row
	to.Status.Anchor, to.Status.NextRunAt, to.Status.LastOccurrence = at(s.anchor), at(s.next), at(s.last)
	to.Status.Delay = time.Duration(s.delay) * time.Microsecond
	to.CreatedAt, to.UpdatedAt = fromMicros(s.created), fromMicros(s.updated)
	if err := ledger.Decode(s.definitions, &to.Record, to.id, []byte(s.definition), to.format); err != nil {
		to.broken = fmt.Errorf("%w: %w", errStored, err)
	}
	return nil
}

// scanTasks reads rows of taskColumns.
func (s *Store) scanTasks() func(pgx.Rows) (*taskRow, error) {
	scanner := s.newTaskScanner()
	return func(rows pgx.Rows) (*taskRow, error) {
		t := new(taskRow)
		return t, scanner.scan(rows, t)
	}
}

// name is a text that is mostly the same from row to row.
type name string

// ScanBytes implements pgtype.BytesScanner.
func (n *name) ScanBytes(text []byte) error {
	if string(text) != string(*n) {
		*n = name(text)
	}
	return nil
}

// runNames are the columns of a run, in the order of scanRun; live_runs has the priority besides.
const runNames = `id, task_id, task_name, kind, trigger_, scheduled_us, until_us, count, attempt, state, due_us, started_us, finished_us, output,
	facts, error, stack, reason, blocked_by, instance, session, revision, at_most_once, cancel, created_us, history, key, key_wait`

// of says of which table columns are.
func of(table, columns string) string {
	names := strings.FieldsFunc(columns, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
	return table + "." + strings.Join(names, ", "+table+".")
}

func scanRun(rows pgx.Rows) (punctual.Run, error) {
	var r punctual.Run
	var trigger, state, facts, history string
	var scheduled, created int64
	var until, due, started, finished *int64
	err := rows.Scan(&r.ID, &r.TaskID, &r.TaskName, &r.Kind, &trigger, &scheduled, &until, &r.Count, &r.Attempt, &state, &due, &started, &finished,
		&r.Result.Output, &facts, &r.Error, &r.Stack, &r.Reason, &r.BlockedBy, &r.Instance, &r.Session, &r.Revision, &r.AtMostOnce,
		&r.CancelRequested, &created, &history, &r.ConcurrencyKey, &r.WaitsForKey)
	if err != nil {
		return r, err
	}
	if err := r.Trigger.UnmarshalText([]byte(trigger)); err != nil {
		return r, fmt.Errorf("%w: run %s: %w", errStored, r.ID, err)
	}
	if err := r.State.UnmarshalText([]byte(state)); err != nil {
		return r, fmt.Errorf("%w: run %s: %w", errStored, r.ID, err)
	}
	r.ScheduledAt, r.CreatedAt = fromMicros(scheduled), fromMicros(created)
	r.Until, r.DueAt, r.StartedAt, r.FinishedAt = fromNull(until), fromNull(due), fromNull(started), fromNull(finished)
	if facts != "" {
		r.Result.Facts = json.RawMessage(facts)
	}
	if history != "" {
		if err := json.Unmarshal([]byte(history), &r.History); err != nil {
			return r, fmt.Errorf("%w: history of run %s cannot be read: %w", errStored, r.ID, err)
		}
	}
	return r, nil
}

// historyText is the JSON of the newest entries; empty when there are none.
func historyText(h []punctual.Attempt) string {
	if len(h) == 0 {
		return ""
	}
	if len(h) > punctual.MaxHistory {
		h = h[len(h)-punctual.MaxHistory:]
	}
	text, _ := json.Marshal(cutHistory(h)) // times, numbers and strings always marshal; NUL becomes an escape
	return string(text)
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
