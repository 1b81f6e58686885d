package postgres

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

// The statements that write take lists, one for each column, so that a batch of any size is one statement.
var (
	insertTask = `INSERT INTO {schema}.tasks (id, name, kind, format, definition, labels, key, priority, revision, paused, anchor_us, next_us, last_us,
			delay_us, skip_run, skip_reason, skip_by, skip_count, fault, created_us, updated_us)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, '', $19, $19)`

	// addTask is insertTask for a transaction of the host, which a conflict must not break.
	addTask = insertTask + ` ON CONFLICT DO NOTHING`

	replaceTask = `UPDATE {schema}.tasks SET name = $2, kind = $3, format = $4, definition = $5, labels = $6, key = $7, priority = $8, revision = $9,
			paused = $10, anchor_us = $11, next_us = $12, last_us = $13, delay_us = $14, skip_run = $15, skip_reason = $16, skip_by = $17,
			skip_count = $18, fault = '', updated_us = $19
		WHERE id = $1`

	// moveRuns keeps the priority of live runs in step with their task's.
	moveRuns = `UPDATE {schema}.live_runs SET priority = $2 WHERE task_id = $1 AND priority <> $2`

	deleteTask  = `DELETE FROM {schema}.tasks WHERE id = $1`
	deleteLive  = `DELETE FROM {schema}.live_runs WHERE task_id = $1`
	deleteEnded = `DELETE FROM {schema}.ended_runs WHERE task_id = $1`

	updateStatus = inBatches(
		`id text, paused boolean once, anchor_us bigint null, next_us bigint null, last_us bigint null, delay_us bigint once, skip_run text once,
			skip_reason text once, skip_by text once, skip_count bigint once`,
		`UPDATE {schema}.tasks t SET paused = u.paused, anchor_us = u.anchor_us, next_us = u.next_us, last_us = u.last_us,
			delay_us = u.delay_us, skip_run = u.skip_run, skip_reason = u.skip_reason, skip_by = u.skip_by, skip_count = u.skip_count, fault = '',
			updated_us = CASE WHEN t.paused = u.paused THEN t.updated_us ELSE $11 END
		FROM {lists} WHERE t.id = u.id`,
	)

	// updatePending and updateSkipped write the changes of rows that stay where they are; endPending moves those that end.
	updatePending = `UPDATE {schema}.live_runs r SET ` + updated + ` FROM ` + updates + ` WHERE r.id = u.id AND r.task_id = u.task_id AND r.state = 'pending'
		RETURNING r.id`
	updateSkipped = `UPDATE {schema}.ended_runs r SET ` + updated + ` FROM ` + updates + ` WHERE r.id = u.id AND r.task_id = u.task_id AND r.state = 'skipped'
		RETURNING r.id`
	endPending = `WITH gone AS (
			DELETE FROM {schema}.live_runs r USING ` + updates + ` WHERE r.id = u.id AND r.task_id = u.task_id AND r.state = 'pending'
			RETURNING r.id, r.task_id, r.task_name, r.kind, r.trigger_, r.scheduled_us, u.until_us, u.count, u.attempt, u.state, u.due_us, u.started_us,
				u.finished_us, r.output, r.facts, u.error, r.stack, u.reason, u.blocked_by, u.instance, u.session, r.revision, r.at_most_once, r.cancel,
				r.created_us, r.history, u.key, u.key_wait)
		INSERT INTO {schema}.ended_runs (` + runNames + `) SELECT * FROM gone RETURNING id`

	updated = `state = u.state, due_us = u.due_us, attempt = u.attempt, started_us = u.started_us, finished_us = u.finished_us, error = u.error,
			reason = u.reason, blocked_by = u.blocked_by, instance = u.instance, session = u.session, until_us = u.until_us, count = u.count, key = u.key,
			key_wait = u.key_wait`
	updates = lists(`id text, task_id text, state text, due_us bigint null, attempt integer, started_us bigint null, finished_us bigint null, error text,
			reason text, blocked_by text, instance text, session text, until_us bigint null, count bigint, key text, key_wait boolean`)

	// Each insert fails when the occurrence of a row is recorded in the other table already: it makes the id null then. With orDrop it leaves the row out.

	// beginRuns inserts first attempts that begin, which is what most new rows are: all else is as the table has it by default.
	beginRuns = inBatches(
		`id text, task_id text, task_name text null, kind text, trigger_ text once, scheduled_us bigint, started_us bigint null once, key text once,
			priority smallint once, instance text once, session text once, revision bigint, at_most_once boolean once, created_us bigint once`,
		`INSERT INTO {schema}.live_runs (id, task_id, task_name, kind, trigger_, scheduled_us, started_us, key, priority, instance, session, revision,
			at_most_once, created_us, attempt, state)
		SELECT `+newID+`, u.task_id, coalesce(u.task_name, u.task_id), u.kind, u.trigger_, u.scheduled_us, u.started_us, u.key, u.priority, u.instance, u.session,
			u.revision, u.at_most_once, u.created_us, 1, 'running'
		FROM {lists} LEFT JOIN {schema}.ended_runs o ON `+sameFact,
	)

	insertLive  = insertRuns("live_runs", "ended_runs")
	insertEnded = insertRuns("ended_runs", "live_runs")

	inserts = `id text, task_id text, task_name text, kind text, trigger_ text, scheduled_us bigint, until_us bigint null, count bigint,
			attempt integer, state text, due_us bigint null, started_us bigint null, finished_us bigint null, output text, facts text, error text, stack text,
			reason text, blocked_by text, instance text, session text, revision bigint, at_most_once boolean, cancel boolean, created_us bigint, history text,
			key text, key_wait boolean, priority smallint`

	// sameFact says that a row of the other table and a new one are about the same occurrence. The indexes see to it within a table; between
	// the tables nothing can move meanwhile, since whoever inserts holds the task and its running rows.
	sameFact = `o.task_id = u.task_id AND o.scheduled_us = u.scheduled_us
			AND (CASE WHEN o.trigger_ IN ('schedule', 'catch-up') THEN '' WHEN o.trigger_ = 'backfill' THEN 'backfill' ELSE o.id END)
				= (CASE WHEN u.trigger_ IN ('schedule', 'catch-up') THEN '' WHEN u.trigger_ = 'backfill' THEN 'backfill' ELSE u.id END)`

	newID = `CASE WHEN o.id IS NULL THEN u.id END`

	// orDrop leaves out rows whose occurrence is taken, and tells which are left. Making sure of each row before it is inserted costs the
	// server a good part of the time that the insert takes, and a claim hardly ever needs it: it tries without at first.
	orDrop = ` WHERE o.id IS NULL ON CONFLICT DO NOTHING RETURNING id`

	orderCancel = `UPDATE {schema}.live_runs r SET cancel = true, reason = u.reason, blocked_by = u.blocked_by
		FROM ` + lists(`id text, task_id text, reason text, blocked_by text`) + `
		WHERE r.id = u.id AND r.task_id = u.task_id AND r.state = 'running' AND NOT r.cancel`

	setFaults = `UPDATE {schema}.tasks t SET fault = u.fault FROM ` + lists(`id text, fault text`) + ` WHERE t.id = u.id`
)

// insertRuns inserts whole rows into one of the tables of runs.
func insertRuns(table, other string) batch {
	const names = runNames + `, priority`
	return inBatches(inserts, `INSERT INTO {schema}.`+table+` (`+names+`)
		SELECT `+newID+strings.TrimPrefix(of("u", names), "u.id")+` FROM {lists} LEFT JOIN {schema}.`+other+` o ON `+sameFact)
}

// writes collects the changes of any number of tasks, each of which is locked, so that they can be written together.
type writes struct {
	t   *txn
	now time.Time

	statuses []rowStatus
	updates  []rowUpdate
	inserts  []rowInsert
	orders   []rowOrder
	faults   []rowFault
	freed    []string
	keyed    bool // a run with a key is started
	mayDrop  bool // an inserted row may be for an occurrence that is taken

	done map[string]bool // ids of rows that were written; nil when all were
}

type rowStatus struct {
	task string
	*punctual.Status
}

type rowUpdate struct {
	task string
	run  punctual.Run
}

type rowInsert struct {
	*punctual.Run
	priority int
}

type rowOrder struct {
	task string
	punctual.CancelOrder
}

type rowFault struct{ task, fault string }

// add collects the change of one task; due are the keys of its due runs, as they were before the decision.
func (w *writes) add(id string, v *punctual.View, due map[string]string, c *punctual.Change) {
	w.freed = append(w.freed, ledger.FreedKeys(due, c)...)
	if st := c.Status; st != nil && c.Task == nil && !c.Remove {
		w.statuses = append(w.statuses, rowStatus{id, st})
	}
	priority := 0
	switch {
	case c.Task != nil:
		priority = c.Task.Priority
	case v.Record != nil:
		priority = v.Record.Task.Priority
	}
	w.update(id, c.Update)
	for i := range c.Insert {
		r := &c.Insert[i]
		w.inserts = append(w.inserts, rowInsert{r, priority})
		w.keyed = w.keyed || r.ConcurrencyKey != ""
	}
	for _, order := range c.Cancel {
		w.orders = append(w.orders, rowOrder{id, order})
	}
}

// update collects updates. When one row is updated twice, what the second meets is what the first has left.
func (w *writes) update(task string, runs []punctual.Run) {
	first := len(w.updates)
next:
	for _, run := range runs {
		for i := first; i < len(w.updates); i++ {
			if before := &w.updates[i].run; before.ID == run.ID {
				if before.State == punctual.StatePending || before.State == punctual.StateSkipped {
					*before = run
				}
				continue next
			}
		}
		w.updates = append(w.updates, rowUpdate{task, run})
	}
}

// setAside collects a task's fault.
func (w *writes) setAside(id string, err error) {
	w.faults = append(w.faults, rowFault{id, clean(err.Error())})
}

// queue queues the statements for what was collected.
func (w *writes) queue() {
	t := w.t
	if rows := w.statuses; len(rows) > 0 {
		t.queueBatch(
			&updateStatus, "",
			whole(rows, func(r *rowStatus) string { return r.task }),
			list(rows, func(r *rowStatus) bool { return r.Paused }),
			times(rows, func(r *rowStatus) time.Time { return r.Anchor }),
			times(rows, func(r *rowStatus) time.Time { return r.NextRunAt }),
			times(rows, func(r *rowStatus) time.Time { return r.LastOccurrence }),
			list(rows, func(r *rowStatus) int64 { return r.Delay.Microseconds() }),
			list(rows, func(r *rowStatus) string { return r.Skipping.RunID }),
			list(rows, func(r *rowStatus) string { return r.Skipping.Reason }),
			list(rows, func(r *rowStatus) string { return r.Skipping.BlockedBy }),
			list(rows, func(r *rowStatus) int64 { return r.Skipping.Count }),
			w.now.UnixMicro(),
		)
	}
	if rows := w.faults; len(rows) > 0 {
		t.queue(setFaults, whole(rows, func(r *rowFault) string { return r.task }), list(rows, func(r *rowFault) string { return r.fault }))
	}
	if w.mayDrop || t.careful || len(w.updates) > 0 {
		w.done = make(map[string]bool)
	}
	w.queueUpdates()
	w.queueInserts()
	if rows := w.orders; len(rows) > 0 {
		t.queue(
			orderCancel,
			whole(rows, func(r *rowOrder) string { return r.RunID }),
			list(rows, func(r *rowOrder) string { return r.task }),
			list(rows, func(r *rowOrder) string { return r.Reason }),
			list(rows, func(r *rowOrder) string { return r.BlockedBy }),
		)
	}
	var passed int64
	passOn(t, w.freed, w.now, &passed)
}

// note notes the rows that a statement answers with.
func (w *writes) note(rows pgx.Rows) error {
	var id string
	_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
		w.done[id] = true
		return nil
	})
	return err
}

func (w *writes) queueUpdates() {
	var live, final []rowUpdate
	for _, u := range w.updates {
		if u.run.State.Final() {
			final = append(final, u)
		} else {
			live = append(live, u)
		}
	}
	if len(live) > 0 {
		w.t.queue(updatePending, updateLists(live)...).Query(w.note)
	}
	if len(final) > 0 {
		w.t.queue(updateSkipped, updateLists(final)...).Query(w.note)
		w.t.queue(endPending, updateLists(final)...).Query(w.note)
	}
}

func updateLists(rows []rowUpdate) []any {
	return []any{
		whole(rows, func(u *rowUpdate) string { return u.run.ID }),
		list(rows, func(u *rowUpdate) string { return u.task }),
		list(rows, func(u *rowUpdate) string { return u.run.State.String() }),
		times(rows, func(u *rowUpdate) time.Time { return u.run.DueAt }),
		list(rows, func(u *rowUpdate) int64 { return int64(u.run.Attempt) }),
		times(rows, func(u *rowUpdate) time.Time { return u.run.StartedAt }),
		times(rows, func(u *rowUpdate) time.Time { return u.run.FinishedAt }),
		list(rows, func(u *rowUpdate) string { return clean(u.run.Error) }),
		list(rows, func(u *rowUpdate) string { return u.run.Reason }),
		list(rows, func(u *rowUpdate) string { return u.run.BlockedBy }),
		list(rows, func(u *rowUpdate) string { return u.run.Instance }),
		list(rows, func(u *rowUpdate) string { return u.run.Session }),
		times(rows, func(u *rowUpdate) time.Time { return u.run.Until }),
		list(rows, func(u *rowUpdate) int64 { return max(u.run.Count, 1) }),
		list(rows, func(u *rowUpdate) string { return u.run.ConcurrencyKey }),
		list(rows, func(u *rowUpdate) bool { return u.run.WaitsForKey }),
	}
}

func (w *writes) queueInserts() {
	careful := w.mayDrop || w.t.careful
	var first, live, final []rowInsert
	for _, in := range w.inserts {
		switch {
		case in.State.Final():
			final = append(final, in)
		case in.Attempt == 1 && ledger.Begins(in.Run):
			first = append(first, in)
		default:
			live = append(live, in)
		}
		if w.done != nil && !careful {
			w.done[in.ID] = true // or the transaction fails
		}
	}
	insert := func(b *batch, rows []rowInsert, lists func([]rowInsert) []any) {
		switch {
		case len(rows) == 0:
		case careful:
			w.t.queueBatch(b, orDrop, lists(rows)...).Query(w.note)
		default:
			w.t.queueBatch(b, "", lists(rows)...)
		}
	}
	insert(&beginRuns, first, beginLists)
	insert(&insertLive, live, insertLists)
	insert(&insertEnded, final, insertLists)
}

// wrote reports whether the row of a run was written.
func (w *writes) wrote(id string) bool { return w.done == nil || w.done[id] }

// dropped returns the inserted rows that were dropped because their occurrence is taken.
func (w *writes) dropped() (dropped []*punctual.Run) {
	for _, in := range w.inserts {
		if !w.wrote(in.ID) {
			dropped = append(dropped, in.Run)
		}
	}
	return dropped
}

func beginLists(rows []rowInsert) []any {
	return []any{
		whole(rows, func(r *rowInsert) string { return r.ID }),
		list(rows, func(r *rowInsert) string { return r.TaskID }),
		taskNames(rows),
		list(rows, func(r *rowInsert) string { return r.Kind }),
		list(rows, func(r *rowInsert) string { return r.Trigger.String() }),
		list(rows, func(r *rowInsert) int64 { return r.ScheduledAt.UnixMicro() }),
		times(rows, func(r *rowInsert) time.Time { return r.StartedAt }),
		list(rows, func(r *rowInsert) string { return r.ConcurrencyKey }),
		list(rows, func(r *rowInsert) int64 { return int64(r.priority) }),
		list(rows, func(r *rowInsert) string { return r.Instance }),
		list(rows, func(r *rowInsert) string { return r.Session }),
		list(rows, func(r *rowInsert) int64 { return r.Revision }),
		list(rows, func(r *rowInsert) bool { return r.AtMostOnce }),
		list(rows, func(r *rowInsert) int64 { return r.CreatedAt.UnixMicro() }),
	}
}

// taskNames makes the list of the names of tasks, which is of none when each is its task's id.
func taskNames(rows []rowInsert) []*string {
	for i := range rows {
		if rows[i].TaskName != rows[i].TaskID {
			return whole(rows, func(r *rowInsert) *string { return &r.TaskName })
		}
	}
	return []*string{nil}
}

func insertLists(rows []rowInsert) []any {
	return []any{
		whole(rows, func(r *rowInsert) string { return r.ID }),
		list(rows, func(r *rowInsert) string { return r.TaskID }),
		list(rows, func(r *rowInsert) string { return r.TaskName }),
		list(rows, func(r *rowInsert) string { return r.Kind }),
		list(rows, func(r *rowInsert) string { return r.Trigger.String() }),
		list(rows, func(r *rowInsert) int64 { return r.ScheduledAt.UnixMicro() }),
		times(rows, func(r *rowInsert) time.Time { return r.Until }),
		list(rows, func(r *rowInsert) int64 { return max(r.Count, 1) }),
		list(rows, func(r *rowInsert) int64 { return int64(r.Attempt) }),
		list(rows, func(r *rowInsert) string { return r.State.String() }),
		times(rows, func(r *rowInsert) time.Time { return r.DueAt }),
		times(rows, func(r *rowInsert) time.Time { return r.StartedAt }),
		times(rows, func(r *rowInsert) time.Time { return r.FinishedAt }),
		list(rows, func(r *rowInsert) string { return clean(r.Result.Output) }),
		list(rows, func(r *rowInsert) string { return string(r.Result.Facts) }),
		list(rows, func(r *rowInsert) string { return clean(r.Error) }),
		list(rows, func(r *rowInsert) string { return clean(r.Stack) }),
		list(rows, func(r *rowInsert) string { return r.Reason }),
		list(rows, func(r *rowInsert) string { return r.BlockedBy }),
		list(rows, func(r *rowInsert) string { return r.Instance }),
		list(rows, func(r *rowInsert) string { return r.Session }),
		list(rows, func(r *rowInsert) int64 { return r.Revision }),
		list(rows, func(r *rowInsert) bool { return r.AtMostOnce }),
		list(rows, func(r *rowInsert) bool { return r.CancelRequested }),
		list(rows, func(r *rowInsert) int64 { return r.CreatedAt.UnixMicro() }),
		list(rows, func(r *rowInsert) string { return historyText(r.History) }),
		list(rows, func(r *rowInsert) string { return r.ConcurrencyKey }),
		list(rows, func(r *rowInsert) bool { return r.WaitsForKey }),
		list(rows, func(r *rowInsert) int64 { return int64(r.priority) }),
	}
}

// definition returns the values of insertTask and replaceTask.
func definition(task *punctual.Task, st *punctual.Status, now time.Time) ([]any, error) {
	text, err := json.Marshal(task)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errStored, err)
	}
	labels := []byte("{}")
	if len(task.Labels) > 0 {
		if labels, err = json.Marshal(task.Labels); err != nil {
			return nil, fmt.Errorf("%w: %w", errStored, err)
		}
	}
	name := task.Name
	if name == "" {
		name = task.ID
	}
	return []any{
		task.ID, name, task.Kind, punctual.TaskFormat, string(text), string(labels), task.ConcurrencyKey, task.Priority, task.Revision,
		st.Paused, toMicros(st.Anchor), toMicros(st.NextRunAt), toMicros(st.LastOccurrence), st.Delay.Microseconds(),
		st.Skipping.RunID, st.Skipping.Reason, st.Skipping.BlockedBy, st.Skipping.Count, now.UnixMicro(),
	}, nil
}
