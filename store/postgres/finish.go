package postgres

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

var (
	// lockDelayed locks, before the runs, the tasks whose next occurrence is counted from the end of a run. Where there is no such task at
	// all, which one look at an index tells, it asks for none.
	lockDelayed = `SELECT t.id FROM {schema}.tasks t WHERE ` + anyDelayed + ` AND t.id = ANY ($1::text[]) AND t.delay_us > 0 ORDER BY t.id FOR NO KEY UPDATE`

	// lockLive and lockEnded lock the rows of some runs, in this order: who has ended meanwhile is found by the second.
	lockLive  = `SELECT ` + runNames + ` FROM {schema}.live_runs WHERE id = ANY ($1::text[]) ORDER BY id FOR UPDATE`
	lockEnded = `SELECT ` + runNames + ` FROM {schema}.ended_runs WHERE id = ANY ($1::text[]) ORDER BY id FOR UPDATE`

	// endRuns records final outcomes of attempts that are the current ones and were not ordered to be cancelled, which is what most
	// outcomes are: no row has to be read for that. What it does not answer with is looked at one by one.
	endRuns = `WITH gone AS (
			DELETE FROM {schema}.live_runs r
			USING ` + lists(`id text, attempt integer, state text, started_us bigint null, finished_us bigint null, output text, facts text, error text,
				stack text, reason text`) + `
			WHERE r.id = u.id AND r.state = 'running' AND r.attempt = u.attempt AND NOT r.cancel
			RETURNING r.id, r.task_id, r.task_name, r.kind, r.trigger_, r.scheduled_us, r.until_us, r.count, r.attempt, u.state, r.due_us, u.started_us,
				u.finished_us, u.output, u.facts, u.error, u.stack, u.reason, r.blocked_by, r.instance, '', r.revision, r.at_most_once, r.cancel,
				r.created_us, r.history, r.key, r.key_wait)
		INSERT INTO {schema}.ended_runs (` + runNames + `) SELECT * FROM gone RETURNING id, task_id, key`

	selectThere = `SELECT t.id FROM {schema}.tasks t WHERE t.id = ANY ($1::text[])`

	// retryRuns records attempts that will be followed by another. Runs that have ended are removed with removeLive and inserted anew.
	retryRuns = `UPDATE {schema}.live_runs r SET state = u.state, attempt = u.attempt, due_us = u.due_us, started_us = u.started_us,
			finished_us = u.finished_us, output = u.output, facts = u.facts, error = u.error, stack = u.stack, reason = u.reason,
			blocked_by = u.blocked_by, instance = u.instance, session = '', cancel = false, history = u.history
		FROM ` + lists(`id text, state text, attempt integer, due_us bigint null, started_us bigint null, finished_us bigint null, output text, facts text,
			error text, stack text, reason text, blocked_by text, instance text, history text`) + `
		WHERE r.id = u.id`
	removeLive = `DELETE FROM {schema}.live_runs WHERE id = ANY ($1::text[])`

	noteLive  = `UPDATE {schema}.live_runs r SET history = u.history FROM ` + lists(`id text, history text`) + ` WHERE r.id = u.id`
	noteEnded = `UPDATE {schema}.ended_runs r SET history = u.history FROM ` + lists(`id text, history text`) + ` WHERE r.id = u.id`

	// releaseWaiting makes due, for each run of a task that has ended, the oldest of the task's runs that wait for the gate. When two
	// runs of a task end at the same time, each end passes over the waiting run that the other has taken.
	releaseWaiting = `UPDATE {schema}.live_runs SET due_us = $1 WHERE ` + anyWaiting + ` AND id IN (
		SELECT w.id FROM unnest($2::text[], $3::bigint[]) AS ended (task_id, n), LATERAL (
			SELECT r.id FROM {schema}.live_runs r
			WHERE r.task_id = ended.task_id AND r.state = 'pending' AND r.due_us IS NULL AND NOT r.key_wait
			ORDER BY r.id LIMIT ended.n FOR UPDATE SKIP LOCKED) AS w)`
	anyWaiting = `EXISTS (SELECT 1 FROM {schema}.live_runs o WHERE o.state = 'pending' AND o.due_us IS NULL AND NOT o.key_wait)`

	// countDelays counts the delay of fixed-delay tasks from the end of their runs.
	countDelays = `UPDATE {schema}.tasks t SET next_us = u.ended_us + t.delay_us FROM unnest($1::text[], $2::bigint[]) AS u (id, ended_us)
		WHERE ` + anyDelayed + ` AND t.id = u.id AND t.delay_us > 0 AND t.next_us IS NULL AND t.fault = ''
		RETURNING t.next_us`
	anyDelayed = `EXISTS (SELECT 1 FROM {schema}.tasks d WHERE d.delay_us > 0)`
)

// Finish implements punctual.Store.
func (s *Store) Finish(ctx context.Context, req punctual.FinishRequest) (punctual.FinishReply, error) {
	for i := range req.Items {
		if item := &req.Items[i]; item.State != punctual.StatePending && !item.State.Final() {
			return punctual.FinishReply{}, fmt.Errorf("postgres: an attempt of run %q cannot end as %v", item.RunID, item.State)
		}
	}
	var f finish
	err := s.tx(ctx, s.pool, func(t *txn) error {
		f = finish{items: req.Items, reply: punctual.FinishReply{Verdicts: make([]punctual.Verdict, len(req.Items))}}
		f.ends = ends{t: t, next: &f.reply.NextDue}
		if err := f.most(req.Now); err != nil {
			return err
		}
		if err := f.rest(); err != nil {
			return err
		}
		return f.commit()
	})
	if err != nil {
		return punctual.FinishReply{}, err
	}
	if f.released {
		s.tell(ctx) // what this instance gives back, others may start
	}
	return f.reply, nil
}

// finish is one call of Finish while it is carried out.
type finish struct {
	ends
	items    []punctual.Finish
	reply    punctual.FinishReply
	released bool
}

// outcome is an item and where its verdict goes.
type outcome struct {
	*punctual.Finish
	verdict *punctual.Verdict
}

// most records the outcomes that need no look at their rows.
func (f *finish) most(now time.Time) error {
	t := f.t
	final := make(map[string]*outcome, len(f.items)) // what is tried, by run
	tasks := make([]string, len(f.items))
	for i := range f.items {
		item := &f.items[i]
		tasks[i] = item.TaskID
		if final[item.RunID] == nil && item.State.Final() {
			final[item.RunID] = &outcome{item, &f.reply.Verdicts[i]}
		}
	}
	t.queue(lockDelayed, distinct(tasks))
	if len(final) > 0 {
		rows := slices.SortedFunc(maps.Values(final), func(a, b *outcome) int { return cmp.Compare(a.RunID, b.RunID) }) // the order of locks
		f.left = make([]ended, 0, len(rows))
		t.queue(
			endRuns,
			whole(rows, func(o **outcome) string { return (*o).RunID }),
			list(rows, func(o **outcome) int64 { return int64((*o).Attempt) }),
			list(rows, func(o **outcome) string { return (*o).State.String() }),
			times(rows, func(o **outcome) time.Time { return (*o).StartedAt }),
			times(rows, func(o **outcome) time.Time { return (*o).FinishedAt }),
			list(rows, func(o **outcome) string { return clean((*o).Result.Output) }),
			list(rows, func(o **outcome) string { return string((*o).Result.Facts) }),
			list(rows, func(o **outcome) string { return clean((*o).Error) }),
			list(rows, func(o **outcome) string { return clean((*o).Stack) }),
			list(rows, func(o **outcome) string { return (*o).Reason }),
		).Query(func(rows pgx.Rows) error {
			var id, task, key string
			_, err := pgx.ForEachRow(rows, []any{&id, &task, &key}, func() error {
				o := final[id]
				*o.verdict = punctual.VerdictApplied
				f.left = append(f.left, ended{task, true, micros(o.FinishedAt), key})
				return nil
			})
			return err
		})
	}
	t.time(now, &f.reply.Now)
	err := t.send()
	f.now = f.reply.Now
	return err
}

// rest looks at the rows of the other outcomes: of attempts that will be followed by another, were ordered to be cancelled, were taken over
// or recorded before.
func (f *finish) rest() error {
	t := f.t
	var ids, mayGo []string
	for i := range f.items {
		if item := &f.items[i]; f.reply.Verdicts[i] == 0 {
			ids = append(ids, item.RunID)
			if item.State == punctual.StatePending {
				mayGo = append(mayGo, item.TaskID)
			}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	var found []punctual.Run
	ask(t, &found, scanRun, lockLive, ids)
	ask(t, &found, scanRun, lockEnded, ids)
	there := tasksThere(t, mayGo)
	if err := t.send(); err != nil {
		return err
	}
	runs := make(map[string]*punctual.Run, len(found))
	for i := range found {
		runs[found[i].ID] = &found[i]
	}
	for i := range f.items {
		item := &f.items[i]
		run := runs[item.RunID]
		switch {
		case f.reply.Verdicts[i] != 0:
			continue
		case run == nil:
			f.reply.Verdicts[i] = punctual.VerdictGone
			continue
		}
		gone := item.State == punctual.StatePending && item.TaskID == run.TaskID && !there[item.TaskID]
		f.reply.Verdicts[i] = f.finishOne(run, item, gone)
		f.released = f.released || item.Released && f.reply.Verdicts[i] == punctual.VerdictApplied
	}
	return nil
}

// tasksThere asks which of some tasks exist.
func tasksThere(t *txn, ids []string) map[string]bool {
	there := make(map[string]bool)
	if ids = distinct(ids); len(ids) > 0 {
		t.queue(selectThere, ids).Query(func(rows pgx.Rows) error {
			var id string
			_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
				there[id] = true
				return nil
			})
			return err
		})
	}
	return there
}

// note keeps the earlier of two times; zero is none.
func note(earliest *time.Time, t time.Time) {
	if !t.IsZero() && (earliest.IsZero() || t.Before(*earliest)) {
		*earliest = t
	}
}

// ends collects runs that leave the running state, so that they can be written together.
type ends struct {
	t     *txn
	now   time.Time
	next  *time.Time // when the earliest of what becomes due is due
	rows  map[string]*punctual.Run
	order []string
	notes map[string]*punctual.Run // stale results, of which only the history is kept
	left  []ended
}

// ended is a run that has left the running state.
type ended struct {
	task  string
	final bool
	at    time.Time
	key   string
}

// finishOne records the outcome of one attempt.
func (e *ends) finishOne(run *punctual.Run, item *punctual.Finish, gone bool) punctual.Verdict {
	verdict, noted := ledger.Finish(run, item, gone, e.now)
	switch {
	case verdict == punctual.VerdictApplied:
		e.rewrite(run)
	case noted:
		if e.notes == nil {
			e.notes = make(map[string]*punctual.Run)
		}
		e.notes[run.ID] = run
	}
	return verdict
}

// rewrite collects a run that has left the running state.
func (e *ends) rewrite(run *punctual.Run) {
	if e.rows == nil {
		e.rows = make(map[string]*punctual.Run)
	}
	if e.rows[run.ID] == nil {
		e.order = append(e.order, run.ID)
	}
	e.rows[run.ID] = run
	e.left = append(e.left, ended{run.TaskID, run.State.Final(), run.FinishedAt, run.ConcurrencyKey})
	note(e.next, run.DueAt)
}

// commit writes what was collected, with all that follows when runs leave the running state: waiting runs become due, fixed delays begin
// and keys are passed on.
func (e *ends) commit() error {
	t := e.t
	var retried, final, live, done []rowInsert
	for _, id := range e.order {
		if r := e.rows[id]; r.State.Final() {
			r.Session = ""
			final = append(final, rowInsert{Run: r})
		} else {
			retried = append(retried, rowInsert{Run: r})
		}
	}
	for id, r := range e.notes {
		switch {
		case e.rows[id] != nil:
		case r.State.Final():
			done = append(done, rowInsert{Run: r})
		default:
			live = append(live, rowInsert{Run: r})
		}
	}
	if len(retried) > 0 {
		t.queue(retryRuns, retryLists(retried)...)
	}
	if len(final) > 0 {
		t.queue(removeLive, whole(final, func(r *rowInsert) string { return r.ID }))
		t.queue(insertEnded, insertLists(final)...).Exec(all(len(final)))
	}
	for query, rows := range map[string][]rowInsert{noteLive: live, noteEnded: done} {
		if len(rows) > 0 {
			t.queue(query, whole(rows, func(r *rowInsert) string { return r.ID }), list(rows, func(r *rowInsert) string { return historyText(r.History) }))
		}
	}
	var released, passed int64
	if len(e.left) > 0 {
		e.follow(&released, &passed)
	}
	if err := t.commit(); err != nil {
		return err
	}
	if released+passed > 0 {
		note(e.next, e.now)
	}
	return nil
}

// follow queues what happens whenever runs leave the running state.
func (e *ends) follow(released, passed *int64) {
	ended := make(map[string]int64, len(e.left))
	var keyNames, tasks []string
	var counts, final []int64 // how many runs of a task have ended, and when the first of those that are over did
	var overs []string
	over := make(map[string]bool, len(e.left))
	for _, l := range e.left {
		if ended[l.task]++; ended[l.task] == 1 {
			tasks = append(tasks, l.task)
		}
		if l.key != "" {
			keyNames = append(keyNames, l.key)
		}
		if l.final && !over[l.task] {
			over[l.task] = true
			overs, final = append(overs, l.task), append(final, l.at.UnixMicro())
		}
	}
	for _, task := range tasks {
		counts = append(counts, ended[task])
	}
	if len(overs) > 0 {
		e.t.queue(countDelays, overs, final).Query(func(rows pgx.Rows) error {
			var us int64
			_, err := pgx.ForEachRow(rows, []any{&us}, func() error {
				note(e.next, fromMicros(us))
				return nil
			})
			return err
		})
	}
	if names := distinct(keyNames); len(names) > 0 {
		e.t.queue(lockSlots, names, []string{})
	}
	e.t.count(released, releaseWaiting, e.now.UnixMicro(), tasks, counts)
	passOn(e.t, keyNames, e.now, passed)
}

func retryLists(rows []rowInsert) []any {
	return []any{
		whole(rows, func(r *rowInsert) string { return r.ID }),
		list(rows, func(r *rowInsert) string { return r.State.String() }),
		list(rows, func(r *rowInsert) int64 { return int64(r.Attempt) }),
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
		list(rows, func(r *rowInsert) string { return historyText(r.History) }),
	}
}
