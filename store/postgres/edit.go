package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

const (
	selectTaskOfRun = `SELECT task_id FROM {schema}.runs WHERE id = $1`

	lockTask = `SELECT ` + taskColumns + ` FROM {schema}.tasks t WHERE t.id = $1 FOR UPDATE`

	// lockRunning locks the running rows of some tasks. Their ends wait for us then, or have come before what we read next: so nobody
	// comes to wait for the end of a run that has ended already, and Finish needs no lock of a task.
	lockRunning = `SELECT r.id FROM {schema}.live_runs r WHERE r.task_id = ANY ($1::text[]) AND r.state = 'running' ORDER BY r.id FOR UPDATE`

	selectRun = `SELECT ` + runNames + ` FROM {schema}.runs r WHERE r.id = $1`

	selectPending = `SELECT ` + runNames + ` FROM {schema}.live_runs r
		WHERE r.task_id = $1 AND r.state = 'pending' ORDER BY r.key_wait, r.due_us NULLS LAST, r.id`

	// selectLive counts the live runs of some tasks.
	selectLive = `SELECT r.task_id, count(*) FILTER (WHERE r.state = 'running'), min(r.id) FILTER (WHERE r.state = 'running'),
			count(*) FILTER (WHERE r.state = 'pending' AND r.due_us IS NULL AND NOT r.key_wait),
			count(*) FILTER (WHERE r.state = 'pending' AND r.key_wait)
		FROM {schema}.live_runs r WHERE r.task_id = ANY ($1::text[]) GROUP BY r.task_id`

	// selectWaiters reads the newest run of each task that waits for the gate and may be replaced.
	selectWaiters = `SELECT ` + runNames + ` FROM unnest($1::text[]) AS want (task), LATERAL (
			SELECT * FROM {schema}.live_runs r WHERE r.task_id = want.task AND r.state = 'pending' AND r.due_us IS NULL AND NOT r.key_wait
				AND r.attempt = 0 AND r.trigger_ NOT IN ('catch-up', 'backfill')
			ORDER BY r.id DESC LIMIT 1) r`

	// selectKeysOfTask names a key once for each run that holds it or is about to try.
	selectKeysOfTask = `SELECT r.key FROM {schema}.live_runs r
		WHERE r.task_id = $1 AND r.key <> '' AND (r.state = 'running' OR r.due_us IS NOT NULL)`

	// selectKeyOf counts who holds the key that is asked for, or else the task's.
	selectKeyOf = `SELECT count(*), coalesce(min(r.id), '') FROM {schema}.live_runs r
		WHERE r.key = coalesce(nullif($2, ''), (SELECT t.key FROM {schema}.tasks t WHERE t.id = $1)) AND r.key <> ''
			AND r.state = 'running'`
)

// liveRuns is what a View tells about a task's running and waiting runs.
type liveRuns struct {
	active, waiting, keyWaiting int
	oldest                      string // running
	waiter                      *punctual.Run
}

// show enters it into a View.
func (l liveRuns) show(v *punctual.View) {
	v.Active, v.OldestActive, v.Waiting, v.Waiter, v.KeyWaiting = l.active, l.oldest, l.waiting, l.waiter, l.keyWaiting
}

// lives tells of each task that has live runs.
type lives map[string]liveRuns

// count asks for the counts of some tasks.
func (l lives) count(t *txn, ids []string) {
	t.queue(selectLive, ids).Query(func(rows pgx.Rows) error {
		var id string
		var oldest *string
		var found liveRuns
		_, err := pgx.ForEachRow(rows, []any{&id, &found.active, &oldest, &found.waiting, &found.keyWaiting}, func() error {
			one := found
			if oldest != nil {
				one.oldest = *oldest
			}
			l[id] = one
			return nil
		})
		return err
	})
}

// waiters asks for the rows that wait, after count.
func (l lives) waiters(t *txn, ids []string) {
	t.queue(selectWaiters, ids).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			run, err := scanRun(rows)
			if err != nil {
				rows.Close()
				return err
			}
			one := l[run.TaskID]
			one.waiter = &run
			l[run.TaskID] = one
		}
		return rows.Err()
	})
}

// Edit implements punctual.Store.
func (s *Store) Edit(ctx context.Context, req punctual.EditRequest) (punctual.EditReply, error) {
	var e edit
	err := s.tx(ctx, s.pool, func(t *txn) error {
		e = edit{t: t, req: req}
		if err := e.prepare(); err != nil {
			return err
		}
		if err := t.commit(); err != nil {
			return err
		}
		e.settle()
		return nil
	})
	if err == nil && e.telling {
		s.tell(ctx)
	}
	return e.reply, err
}

// edit is one call of Edit while it is carried out.
type edit struct {
	t       *txn
	req     punctual.EditRequest
	hosted  bool // in a transaction of the host
	id      string
	view    punctual.View
	keys    []string // of live runs that hold them or are about to try
	writes  writes
	reply   punctual.EditReply
	telling bool // others may want to know
}

// prepare does all but to carry out what it has queued.
func (e *edit) prepare() error {
	if err := e.read(); err != nil {
		return err
	}
	due := ledger.DueKeys(e.view.Pending)
	c, err := e.req.Decide(e.view)
	if err != nil {
		return &refusal{err}
	}
	return e.write(&c, due)
}

// read locks the task and makes the View.
func (e *edit) read() error {
	t, req, v := e.t, &e.req, &e.view
	e.id = req.TaskID
	if req.RunID != "" {
		var ids []string
		ask(t, &ids, scanText, selectTaskOfRun, req.RunID) // a run never changes its task
		if err := t.send(); err != nil {
			return err
		}
		if len(ids) == 0 {
			return fmt.Errorf("%w: %q", punctual.ErrRunNotFound, req.RunID)
		}
		e.id = ids[0]
	}
	var named []punctual.Run
	var tasks []*taskRow
	one := []string{e.id}
	found := lives{}
	ask(t, &tasks, t.s.scanTasks(), lockTask, e.id)
	t.queue(lockRunning, one)
	t.queue(lockSlots, []string{req.ConcurrencyKey}, one)
	t.time(req.Now, &v.Now)
	if req.RunID != "" {
		ask(t, &named, scanRun, selectRun, req.RunID)
	}
	ask(t, &v.Pending, scanRun, selectPending, e.id)
	found.count(t, one)
	found.waiters(t, one)
	ask(t, &e.keys, scanText, selectKeysOfTask, e.id)
	t.queue(selectKeyOf, e.id, req.ConcurrencyKey).QueryRow(func(row pgx.Row) error { return row.Scan(&v.KeyActive, &v.KeyOldest) })
	if err := t.send(); err != nil {
		return err
	}
	e.reply.Now, v.Slots = v.Now, req.Slots
	found[e.id].show(v)
	if req.RunID != "" {
		if len(named) == 0 {
			return fmt.Errorf("%w: %q", punctual.ErrRunNotFound, req.RunID)
		}
		v.Run = &named[0]
	}
	if len(tasks) == 0 {
		return nil
	}
	row := tasks[0]
	if row.broken != nil && row.format > punctual.TaskFormat {
		return row.broken
	} else if row.broken != nil {
		row.Task = punctual.Task{ID: e.id, Revision: row.Task.Revision} // it may be replaced or removed
		row.Fault = row.broken.Error()
	}
	v.Record = &row.Record
	return nil
}

// soon is how far ahead others look by themselves; what is due later needs no hint.
const soon = 30 * time.Second

// write queues what the change says, and in part carries it out.
func (e *edit) write(c *punctual.Change, due map[string]string) error {
	t, v := e.t, &e.view
	e.writes = writes{t: t, now: v.Now, mayDrop: true}
	if c.Remove {
		t.queue(deleteTask, e.id)
		if !c.KeepHistory {
			t.queue(deleteLive, e.id)
			t.queue(deleteEnded, e.id)
			var passed int64
			passOn(t, e.keys, v.Now, &passed)
			return nil
		}
	}
	if c.Task != nil && !c.Remove {
		if err := e.define(c); err != nil {
			return err
		}
	}
	e.writes.add(e.id, v, due, c)
	e.writes.queue()
	e.telling = worthAHint(c, v.Now)
	if e.telling && e.hosted {
		t.queue(notify, t.s.channel(), "")
	}
	return nil
}

// settle notes what became of the change, once it has been carried out.
func (e *edit) settle() {
	for _, run := range e.writes.dropped() {
		e.reply.Dropped = append(e.reply.Dropped, run.ID)
	}
}

// errTaken says that somebody else has made the task meanwhile.
var errTaken = errors.New("postgres: the task was made by somebody else")

// define writes the definition.
func (e *edit) define(c *punctual.Change) error {
	values, err := definition(c.Task, c.Status, e.view.Now)
	if err != nil {
		return err
	}
	switch {
	case e.view.Record != nil:
		e.t.queue(replaceTask, values...)
		e.t.queue(moveRuns, e.id, c.Task.Priority)
	case e.hosted:
		taken := false
		e.t.queue(addTask, values...).Exec(func(tag pgconn.CommandTag) error {
			taken = tag.RowsAffected() == 0
			return nil
		})
		if err := e.t.send(); err != nil {
			return err
		}
		if taken {
			return errTaken
		}
	default:
		e.t.queue(insertTask, values...)
	}
	return nil
}

// worthAHint reports whether a change makes something due that others may start before they look by themselves, or cancels what they do.
func worthAHint(c *punctual.Change, now time.Time) bool {
	if len(c.Cancel) > 0 {
		return true
	}
	near := func(t time.Time) bool { return !t.IsZero() && t.Before(now.Add(soon)) }
	if c.Status != nil && near(c.Status.NextRunAt) {
		return true
	}
	for _, rows := range [][]punctual.Run{c.Insert, c.Update} {
		for i := range rows {
			if rows[i].State == punctual.StatePending && near(rows[i].DueAt) {
				return true
			}
		}
	}
	return false
}
