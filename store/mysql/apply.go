package mysql

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

const (
	insertTask = `INSERT INTO {tasks} (name, search, kind, format, definition, digest, priority, revision, paused, anchor_us, next_us, last_us, delay_us,
			skip_run, skip_reason, skip_by, skip_count, updated_us, created_us, id)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

	updateTask = `UPDATE {tasks} SET name = ?, search = ?, kind = ?, format = ?, definition = ?, digest = ?, priority = ?, revision = ?, paused = ?,
			anchor_us = ?, next_us = ?, last_us = ?, delay_us = ?, skip_run = ?, skip_reason = ?, skip_by = ?, skip_count = ?, updated_us = ?,
			fault = ''
		WHERE id = ?`

	deleteLabels = `DELETE FROM {labels} WHERE task_id = ?`
	insertLabels = `INSERT INTO {labels} (task_id, name, value) VALUES `

	// The head and the tail of writeStatuses. The rows are locked and there, so none of them is inserted: this is how to give each row
	// values of its own in one statement. updated_us stands before paused since assignments are made from left to right.
	statusesHead = `INSERT INTO {tasks} (id, paused, anchor_us, next_us, last_us, delay_us, skip_run, skip_reason, skip_by, skip_count, updated_us)
		VALUES `
	statusesTail = `ON DUPLICATE KEY UPDATE updated_us = IF(paused <> VALUES(paused), VALUES(updated_us), updated_us), paused = VALUES(paused),
		anchor_us = VALUES(anchor_us), next_us = VALUES(next_us), last_us = VALUES(last_us), delay_us = VALUES(delay_us),
		skip_run = VALUES(skip_run), skip_reason = VALUES(skip_reason), skip_by = VALUES(skip_by), skip_count = VALUES(skip_count), fault = ''`

	// The head and the tail of moving tasks on: what a firing changes of most of them. It works like writeStatuses.
	movesHead = `INSERT INTO {tasks} (id, next_us, last_us) VALUES `
	movesTail = `ON DUPLICATE KEY UPDATE next_us = VALUES(next_us), last_us = VALUES(last_us)`

	// lockChangeable locks the runs that an Update may write.
	lockChangeable = `SELECT id, task_id FROM {runs} FORCE INDEX (PRIMARY)
		WHERE id IN (?) AND state IN ('pending', 'skipped') ORDER BY id FOR UPDATE`

	// The head and the tail of writeRuns, which works like writeStatuses.
	updatesHead = `INSERT INTO {runs} (id, state, due_us, attempt, started_us, finished_us, error, reason, blocked_by, instance, session_id, until_us,
			count, concurrency_key, key_wait)
		VALUES `
	updatesTail = `ON DUPLICATE KEY UPDATE state = VALUES(state), due_us = VALUES(due_us), attempt = VALUES(attempt), started_us = VALUES(started_us),
		finished_us = VALUES(finished_us), error = VALUES(error), reason = VALUES(reason), blocked_by = VALUES(blocked_by),
		instance = VALUES(instance), session_id = VALUES(session_id), until_us = VALUES(until_us), count = VALUES(count),
		concurrency_key = VALUES(concurrency_key), key_wait = VALUES(key_wait)`

	// The head and the tail of insertRuns: a row whose occurrence is taken changes nothing. INSERT IGNORE would forgive other errors, too.
	insertsHead = `INSERT INTO {runs} (` + runColumns + `, occurrence_us, backfill, priority)
		VALUES `
	insertsTail = `ON DUPLICATE KEY UPDATE count = count`

	// startsHead is insertsHead for runs that begin now and never waited: what it does not name is as the schema has it by default.
	startsHead = `INSERT INTO {runs} (id, task_id, task_name, kind, trigger_, scheduled_us, attempt, state, started_us, instance, session_id, revision,
			at_most_once, created_us, concurrency_key, occurrence_us, backfill, priority)
		VALUES `

	selectInserted = `SELECT id FROM {runs} FORCE INDEX (PRIMARY) WHERE id IN (?)`

	// moveRuns keeps the priority of live runs in step with their task's.
	moveRuns = `UPDATE {runs} FORCE INDEX (runs_live) SET priority = ? WHERE task_id = ? AND state IN ('pending', 'running')`

	orderCancel = `UPDATE {runs} SET cancel_ordered = 1, reason = ?, blocked_by = ?
		WHERE id = ? AND task_id = ? AND state = 'running' AND cancel_ordered = 0`

	setFault = `UPDATE {tasks} SET fault = ? WHERE id = ?`

	deleteTask = `DELETE FROM {tasks} WHERE id = ?`
	deleteRuns = `DELETE FROM {runs} WHERE task_id = ?`

	insertHint = `INSERT INTO {hints} () VALUES ()`
)

// batch collects what the changes of several tasks do, so that one statement does it for all of them. The tasks are locked.
type batch struct {
	now      time.Time
	statuses [][]any
	moves    [][]any
	updates  []change
	inserts  []change
	cancels  []change
	freed    []string
}

// change is one row of a Change.
type change struct {
	task     string
	priority int
	run      punctual.Run
}

// add takes a change up, where due are the keys of the runs that were due before it; what concerns the task as a whole is carried out at once.
func (b *batch) add(t *txn, id string, v *punctual.View, due map[string]string, c *punctual.Change) error {
	freed, err := freedKeys(t, id, due, c)
	if err != nil {
		return err
	}
	b.freed = append(b.freed, freed...)
	if c.Remove {
		if err := remove(t, id, c.KeepHistory); err != nil || !c.KeepHistory {
			return err
		}
	}
	priority := 0
	switch {
	case c.Task != nil:
		priority = c.Task.Priority
	case v.Record != nil:
		priority = v.Record.Task.Priority
	}
	switch {
	case c.Remove:
	case c.Task != nil:
		if err := define(t, id, v, c, b.now); err != nil {
			return err
		}
	case c.Status != nil && ledger.OnlyMoves(v.Record, c.Status):
		b.moves = append(b.moves, []any{id, toMicros(c.Status.NextRunAt), toMicros(c.Status.LastOccurrence)})
	case c.Status != nil && v.Record != nil:
		b.statuses = append(b.statuses, append(append([]any{id}, statusValues(c.Status)...), b.now.UnixMicro()))
	}
	for i := range c.Update {
		b.updates = append(b.updates, change{id, priority, c.Update[i]})
	}
	for i := range c.Insert {
		b.inserts = append(b.inserts, change{id, priority, c.Insert[i]})
	}
	for _, order := range c.Cancel {
		b.cancels = append(b.cancels, change{task: id, run: punctual.Run{ID: order.RunID, Reason: order.Reason, BlockedBy: order.BlockedBy}})
	}
	return nil
}

func statusValues(s *punctual.Status) []any {
	return []any{
		s.Paused, toMicros(s.Anchor), toMicros(s.NextRunAt), toMicros(s.LastOccurrence), s.Delay.Microseconds(),
		s.Skipping.RunID, s.Skipping.Reason, s.Skipping.BlockedBy, s.Skipping.Count,
	}
}

func remove(t *txn, id string, keepHistory bool) error {
	statements := []string{deleteTask, deleteLabels, deleteRuns}
	if keepHistory {
		statements = statements[:2]
	}
	for _, statement := range statements {
		if _, err := t.exec(statement, id); err != nil {
			return err
		}
	}
	return nil
}

// define writes a definition with its state.
func define(t *txn, id string, v *punctual.View, c *punctual.Change, now time.Time) error {
	definition, err := json.Marshal(c.Task)
	if err != nil {
		return fmt.Errorf("mysql: %w", err)
	}
	name := c.Task.Name
	if name == "" {
		name = id
	}
	args := []any{
		name, lowerASCII(id) + "\n" + lowerASCII(name), c.Task.Kind, punctual.TaskFormat, definition, digestOf(definition), c.Task.Priority,
		c.Task.Revision,
	}
	args = append(append(args, statusValues(c.Status)...), now.UnixMicro())
	if v.Record == nil {
		if _, err = t.exec(insertTask, append(args, now.UnixMicro(), id)...); number(err) == errDuplicate {
			return errAgain // somebody else was first; the decision has to see that
		}
	} else {
		_, err = t.exec(updateTask, append(args, id)...)
	}
	if err != nil {
		return err
	}
	if _, err := t.exec(moveRuns, c.Task.Priority, id); err != nil {
		return err
	}
	if _, err := t.exec(deleteLabels, id); err != nil {
		return err
	}
	var labels [][]any
	for name, value := range c.Task.Labels {
		labels = append(labels, []any{id, name, value})
	}
	_, err = t.execRows(insertLabels, "", labels)
	return err
}

// lowerASCII is what searches compare: letters of ASCII match in either case.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

// flush writes what was collected. It returns the ids of updated rows that were not there to be updated, and of inserted ones that were
// dropped because their occurrence is taken.
func (b *batch) flush(t *txn) (missing map[string]bool, dropped []string, err error) {
	if _, err := t.execRows(statusesHead, statusesTail, b.statuses); err != nil {
		return nil, nil, err
	}
	if _, err := t.execRows(movesHead, movesTail, b.moves); err != nil {
		return nil, nil, err
	}
	if missing, err = b.update(t); err != nil {
		return nil, nil, err
	}
	if dropped, err = b.insert(t); err != nil {
		return nil, nil, err
	}
	for _, c := range b.cancels {
		if _, err := t.exec(orderCancel, c.run.Reason, c.run.BlockedBy, c.run.ID, c.task); err != nil {
			return nil, nil, err
		}
	}
	_, err = passOn(t, b.freed, b.now)
	return missing, dropped, err
}

func (b *batch) update(t *txn) (missing map[string]bool, err error) {
	if len(b.updates) == 0 {
		return nil, nil
	}
	ids := make([]string, len(b.updates))
	missing = make(map[string]bool, len(ids))
	owners := make(map[string]string, len(ids))
	for i, c := range b.updates {
		ids[i] = c.run.ID
	}
	_, err = collect(t, func(rows *sql.Rows) (struct{}, error) {
		var id, task string
		err := rows.Scan(&id, &task)
		owners[id] = task
		return struct{}{}, err
	}, lockChangeable, ids)
	if err != nil {
		return nil, err
	}
	var rows [][]any
	for _, c := range b.updates {
		if owner, ok := owners[c.run.ID]; !ok || owner != c.task {
			missing[c.run.ID] = true
			continue
		}
		r := &c.run
		rows = append(rows, []any{
			r.ID, word(r.State.String()), toMicros(r.DueAt), r.Attempt, toMicros(r.StartedAt), toMicros(r.FinishedAt), r.Error, r.Reason, r.BlockedBy,
			r.Instance, r.Session, toMicros(r.Until), max(r.Count, 1), r.ConcurrencyKey, r.WaitsForKey,
		})
	}
	_, err = t.execRows(updatesHead, updatesTail, rows)
	return missing, err
}

func (b *batch) insert(t *txn) (dropped []string, err error) {
	if len(b.inserts) == 0 {
		return nil, nil
	}
	var starts, others [][]any
	ids := make([]string, len(b.inserts))
	for i := range b.inserts {
		c := &b.inserts[i]
		ids[i] = c.run.ID
		if ledger.Begins(&c.run) {
			starts = append(starts, startValues(&c.run, c.priority))
		} else {
			others = append(others, runValues(&c.run, c.priority))
		}
	}
	started, err := t.execRows(startsHead, insertsTail, starts)
	if err != nil {
		return nil, err
	}
	n, err := t.execRows(insertsHead, insertsTail, others)
	if err != nil || t.exact && started+n == int64(len(ids)) {
		return nil, err
	}
	there, err := collect(t, scanText, selectInserted, ids)
	if err != nil {
		return nil, err
	}
	found := make(map[string]bool, len(there))
	for _, id := range there {
		found[id] = true
	}
	for _, id := range ids {
		if !found[id] {
			dropped = append(dropped, id)
		}
	}
	return dropped, nil
}

// maxFault is how many bytes of an error are kept with a task that was set aside.
const maxFault = 2000

func setAside(t *txn, id string, reason error) error {
	text := reason.Error()
	if len(text) > maxFault {
		text = text[:maxFault]
		for len(text) > 0 && !utf8.ValidString(text) && len(text) > maxFault-utf8.UTFMax {
			text = text[:len(text)-1]
		}
	}
	if text == "" {
		text = "unknown"
	}
	_, err := t.exec(setFault, text, id)
	return err
}
