package mysql

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

// taskColumns is everything but the definition, which is read only by who does not have it yet.
const taskColumns = `id, format, digest, revision, paused, anchor_us, next_us, last_us, delay_us,
	skip_run, skip_reason, skip_by, skip_count, fault, created_us, updated_us, kind, priority`

const selectDefinitions = `SELECT id, definition FROM {tasks} FORCE INDEX (PRIMARY) WHERE id IN (?)`

// taskRow is a task as it is stored; the definition is decoded when it is needed, since it may be undecodable.
type taskRow struct {
	punctual.Record
	id       string
	kind     string
	format   int
	digest   string
	priority int
	bad      error // why the definition cannot be used
}

func scanTask(rows *sql.Rows) (*taskRow, error) {
	var t taskRow
	var anchor, next, last sql.NullInt64
	var delay, created, updated int64
	s := &t.Status
	err := rows.Scan(&t.id, &t.format, &t.digest, &t.Task.Revision, &s.Paused, &anchor, &next, &last, &delay,
		&s.Skipping.RunID, &s.Skipping.Reason, &s.Skipping.BlockedBy, &s.Skipping.Count, &t.Fault, &created, &updated, &t.kind, &t.priority)
	s.Anchor, s.NextRunAt, s.LastOccurrence = fromNull(anchor), fromNull(next), fromNull(last)
	s.Delay = time.Duration(delay) * time.Microsecond
	t.CreatedAt, t.UpdatedAt = fromMicros(created), fromMicros(updated)
	return &t, err
}

// decoded is a definition and the digest of its text.
type decoded struct {
	digest string
	task   punctual.Task
}

func digestOf(definition []byte) string {
	sum := sha256.Sum256(definition)
	return string(sum[:])
}

// decodeAll fills in the definitions of some tasks; those that cannot be used have their reason in bad. Decoded ones are kept, so that a
// firing neither reads nor parses its definition again.
func (s *Store) decodeAll(ctx context.Context, q querier, tasks []*taskRow) error {
	var missing []string
	unread := make(map[string]*taskRow)
	s.mu.Lock()
	for _, t := range tasks {
		known, ok := s.cache[t.id]
		switch {
		case t.format > punctual.TaskFormat:
			t.bad = fmt.Errorf("mysql: task %q was written by a newer version of the library (format %d)", t.id, t.format)
		case ok && known.digest == t.digest:
			t.fill(known.task)
		default:
			missing = append(missing, t.id)
			unread[t.id] = t
		}
	}
	s.mu.Unlock()
	for chunk := range slices.Chunk(missing, maxRows) {
		_, err := read(ctx, s, q, func(rows *sql.Rows) (struct{}, error) {
			var id string
			var definition []byte
			if err := rows.Scan(&id, &definition); err != nil {
				return struct{}{}, err
			}
			s.decode(unread[id], definition)
			delete(unread, id)
			return struct{}{}, nil
		}, selectDefinitions, chunk)
		if err != nil {
			return err
		}
	}
	for id, t := range unread {
		t.bad = fmt.Errorf("mysql: task %q was removed meanwhile", id)
	}
	return nil
}

func (s *Store) decode(t *taskRow, definition []byte) {
	var task punctual.Task
	if err := task.UnmarshalJSON(definition); err != nil { // json.Unmarshal would read it twice
		t.bad = fmt.Errorf("mysql: definition of task %q cannot be read: %w", t.id, err)
		return
	}
	t.fill(task)
	if digestOf(definition) != t.digest {
		return // somebody has edited one of the two by hand, or it was read without a lock; it is not kept
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.cache[t.id]; known || ledger.Admits(len(s.cache)) {
		ledger.Keep(s.cache, t.id, decoded{t.digest, task})
	}
}

// fill enters a definition, of which it shares nothing.
func (t *taskRow) fill(task punctual.Task) {
	revision := t.Task.Revision
	t.Task = ledger.CloneTask(task)
	t.Task.Revision = revision
}

const runColumns = `id, task_id, task_name, kind, trigger_, scheduled_us, until_us, count, attempt, state, due_us, started_us, finished_us,
	output, facts, error, stack, reason, blocked_by, instance, session_id, revision, at_most_once, cancel_ordered, created_us, history,
	concurrency_key, key_wait`

func scanRun(rows *sql.Rows) (punctual.Run, error) {
	var r punctual.Run
	var trigger, state string
	var output, facts, failure, stack, history []byte // NULL in the row of a run that has none
	var scheduled, created int64
	var until, due, started, finished sql.NullInt64
	err := rows.Scan(&r.ID, &r.TaskID, &r.TaskName, &r.Kind, &trigger, &scheduled, &until, &r.Count, &r.Attempt, &state, &due, &started, &finished,
		&output, &facts, &failure, &stack, &r.Reason, &r.BlockedBy, &r.Instance, &r.Session, &r.Revision, &r.AtMostOnce,
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
	r.Result.Output, r.Error, r.Stack = string(output), string(failure), string(stack)
	if len(facts) > 0 {
		r.Result.Facts = facts
	}
	if len(history) > 0 {
		if err := json.Unmarshal(history, &r.History); err != nil {
			return r, fmt.Errorf("mysql: history of run %s cannot be read: %w", r.ID, err)
		}
	}
	return r, nil
}

// occurrence is what makes a row the only one for its occurrence: its time, and whether it is a backfill. Others are bound to none.
func occurrence(r *punctual.Run) (us any, backfill bool) {
	switch r.Trigger {
	case punctual.TriggerSchedule, punctual.TriggerCatchUp:
		return r.ScheduledAt.UnixMicro(), false
	case punctual.TriggerBackfill:
		return r.ScheduledAt.UnixMicro(), true
	}
	return nil, false
}

// runValues are the values of runColumns, and of occurrence_us, backfill and priority.
func runValues(r *punctual.Run, priority int) []any {
	occurrence, backfill := occurrence(r)
	return []any{
		r.ID, r.TaskID, r.TaskName, r.Kind, word(r.Trigger.String()), r.ScheduledAt.UnixMicro(), toMicros(r.Until), max(r.Count, 1), r.Attempt,
		word(r.State.String()), toMicros(r.DueAt), toMicros(r.StartedAt), toMicros(r.FinishedAt), r.Result.Output, string(r.Result.Facts), r.Error,
		r.Stack, r.Reason, r.BlockedBy, r.Instance, r.Session, r.Revision, r.AtMostOnce, r.CancelRequested, r.CreatedAt.UnixMicro(),
		historyText(r.History), r.ConcurrencyKey, r.WaitsForKey, occurrence, backfill, priority,
	}
}

// startValues are those of startsHead.
func startValues(r *punctual.Run, priority int) []any {
	occurrence, backfill := occurrence(r)
	return []any{
		r.ID, r.TaskID, r.TaskName, r.Kind, word(r.Trigger.String()), r.ScheduledAt.UnixMicro(), r.Attempt, word(r.State.String()), toMicros(r.StartedAt),
		r.Instance, r.Session, r.Revision, r.AtMostOnce, r.CreatedAt.UnixMicro(), r.ConcurrencyKey, occurrence, backfill, priority,
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
	b, _ := json.Marshal(cutHistory(h)) // times, strings and integers always marshal
	return string(b)
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
