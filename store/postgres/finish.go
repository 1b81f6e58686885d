package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

var (
	// lockDelayed locks, before the runs, the tasks whose next occurrence is counted from the end of a run. Where there was no such task at
	// all the last time, Finish does not ask for it.
	lockDelayed = `SELECT t.id FROM {schema}.tasks t WHERE ` + anyDelayed + ` AND t.id = ANY ($1::text[]) AND t.delay_us > 0 ORDER BY t.id FOR NO KEY UPDATE`

	// lockLive and lockEnded lock the rows of some runs, in this order: who has ended meanwhile is found by the second.
	lockLive  = `SELECT ` + runNames + ` FROM {schema}.live_runs WHERE id = ANY ($1::text[]) ORDER BY id FOR UPDATE`
	lockEnded = `SELECT ` + runNames + ` FROM {schema}.ended_runs WHERE id = ANY ($1::text[]) ORDER BY id FOR UPDATE`

	// endRuns records final outcomes of attempts that are the current ones and were not ordered to be cancelled, which is what most
	// outcomes are: no row has to be read for that. What it does not answer with is looked at one by one.
	endRuns = inBatches(
		`id text, attempt integer once, state text once, started_us bigint null, finished_us bigint null, output text once, facts text once,
			error text once, stack text once, reason text once`,
		`WITH gone AS (
			DELETE FROM {schema}.live_runs r USING {lists}
			WHERE r.id = u.id AND r.state = 'running' AND r.attempt = u.attempt AND NOT r.cancel
			RETURNING r.id, r.task_id, r.task_name, r.kind, r.trigger_, r.scheduled_us, r.until_us, r.count, r.attempt, u.state, r.due_us, u.started_us,
				u.finished_us, u.output, u.facts, u.error, u.stack, u.reason, r.blocked_by, r.instance, '', r.revision, r.at_most_once, r.cancel,
				r.created_us, r.history, r.key, r.key_wait)
		INSERT INTO {schema}.ended_runs (`+runNames+`) SELECT * FROM gone RETURNING id, task_id, key`,
	)

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

	// lookAround tells the time, whether there are delays to count, and whether a run waits for the gate.
	lookAround = clockNow + `, ` + anyDelayed + `, ` + anyWaiting
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
	ordered  bool // tasks with delays were locked before runs
}

// final lists the items whose attempts are followed by no other, by their places, in the order of locks; each run once.
func (f *finish) final() []int {
	final := make([]int, 0, len(f.items))
	for i := range f.items {
		if f.items[i].State.Final() {
			final = append(final, i)
		}
	}
	run := func(i int) string { return f.items[i].RunID }
	slices.SortStableFunc(final, func(a, b int) int { return cmp.Compare(run(a), run(b)) })
	return slices.CompactFunc(final, func(a, b int) bool { return run(a) == run(b) })
}

// most records the outcomes that need no look at their rows.
func (f *finish) most(now time.Time) error {
	t := f.t
	if f.ordered = t.s.delays.Load(); f.ordered {
		tasks := make([]string, len(f.items))
		for i := range f.items {
			tasks[i] = f.items[i].TaskID
		}
		t.queue(lockDelayed, distinct(tasks))
	}
	if final := f.final(); len(final) > 0 {
		f.left = make([]ended, 0, len(final))
		item := func(i *int) *punctual.Finish { return &f.items[*i] }
		t.queueBatch(
			&endRuns, "",
			whole(final, func(i *int) string { return item(i).RunID }),
			list(final, func(i *int) int64 { return int64(item(i).Attempt) }),
			list(final, func(i *int) string { return item(i).State.String() }),
			times(final, func(i *int) time.Time { return item(i).StartedAt }),
			times(final, func(i *int) time.Time { return item(i).FinishedAt }),
			list(final, func(i *int) string { return clean(item(i).Result.Output) }),
			list(final, func(i *int) string { return string(item(i).Result.Facts) }),
			list(final, func(i *int) string { return clean(item(i).Error) }),
			list(final, func(i *int) string { return clean(item(i).Stack) }),
			list(final, func(i *int) string { return item(i).Reason }),
		).Query(func(rows pgx.Rows) error {
			var id, task pgtype.DriverBytes
			var key name
			next := 0 // the server mostly answers in the order of the list
			_, err := pgx.ForEachRow(rows, []any{&id, &task, &key}, func() error {
				if next >= len(final) || item(&final[next]).RunID != string(id) {
					next, _ = slices.BinarySearchFunc(final, string(id), func(i int, id string) int { return cmp.Compare(f.items[i].RunID, id) })
				}
				i := final[next]
				next++
				f.reply.Verdicts[i] = punctual.VerdictApplied
				left := ended{f.items[i].TaskID, true, micros(f.items[i].FinishedAt), string(key)}
				if left.task != string(task) {
					left.task = string(task)
				}
				f.left = append(f.left, left)
				return nil
			})
			return err
		})
	}
	f.lookAround(now)
	if err := t.send(); err != nil {
		return err
	}
	f.now = f.reply.Now
	return f.inOrder()
}

// inOrder makes the transaction start over that has found delays to count and has not locked the tasks first.
func (f *finish) inOrder() error {
	f.t.s.delays.Store(f.delays)
	if f.delays && !f.ordered {
		return fmt.Errorf("%w: delays are counted from the ends of runs, and the tasks were not locked first", errAgain)
	}
	return nil
}

// lookAround asks for the time, and whether there are delays to count and runs that wait. It comes behind the statements that end or lock runs: who
// gives a task a delay, or lets a run wait for another, locks the task's running rows first. So where there are none then, none of these runs is
// followed by anything at the commit.
func (f *finish) lookAround(now time.Time) {
	f.t.queue(lookAround, toMicros(now)).QueryRow(func(row pgx.Row) error {
		var us int64
		err := row.Scan(&us, &f.delays, &f.waits)
		f.reply.Now = fromMicros(us)
		return err
	})
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
	f.lookAround(f.now) // again, now that more is locked
	there := tasksThere(t, mayGo)
	if err := t.send(); err != nil {
		return err
	}
	if err := f.inOrder(); err != nil {
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
	// Whether there may be delays to count, and runs that wait for the gate.
	delays, waits bool
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
		t.queueBatch(&insertEnded, "", insertLists(final)...)
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
	if e.delays {
		e.countDelays()
	}
	var keys []string
	for i := range e.left {
		if key := e.left[i].key; key != "" {
			keys = append(keys, key)
		}
	}
	if names := distinct(keys); len(names) > 0 {
		e.t.queue(lockSlots, names, []string{})
	}
	if e.waits {
		tasks := make([]string, len(e.left))
		for i := range e.left {
			tasks[i] = e.left[i].task
		}
		names, times := ledger.Tally(tasks)
		e.t.count(released, releaseWaiting, e.now.UnixMicro(), names, times)
	}
	passOn(e.t, keys, e.now, passed)
}

// countDelays counts delays from the ends of runs that are over, of each task from that of the first.
func (e *ends) countDelays() {
	var tasks []string
	var ends []int64
	over := make(map[string]bool, len(e.left))
	for _, l := range e.left {
		if l.final && !over[l.task] {
			over[l.task] = true
			tasks, ends = append(tasks, l.task), append(ends, l.at.UnixMicro())
		}
	}
	if len(tasks) == 0 {
		return
	}
	e.t.queue(countDelays, tasks, ends).Query(func(rows pgx.Rows) error {
		var us int64
		_, err := pgx.ForEachRow(rows, []any{&us}, func() error {
			note(e.next, fromMicros(us))
			return nil
		})
		return err
	})
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
