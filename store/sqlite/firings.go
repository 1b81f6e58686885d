package sqlite

import (
	"slices"
	"strings"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

// Most of what a claim decides is a firing: the task moves on, and a run begins. Firings are written a few at a time, since a good part of the time
// that a row takes is the statement's: to begin and to end it, and to hand over what is the same in all of them.

// together is how many rows are written by one statement. The driver looks for each argument of a statement among all, so many more cost more.
const together = 16

var (
	// moveTasks is moveTask for tasks of which all have the same two occurrences, as those have that are due at one instant again and again.
	moveTasks = `UPDATE tasks SET next_us = ?, last_us = ? WHERE rowid IN (?` + strings.Repeat(`, ?`, together-1) + `)`

	// startRuns is startRun for runs without keys that have much in common.
	startRuns = `INSERT INTO runs (kind, trigger_, attempt, state, started_us, instance, session, at_most_once, created_us, key, priority,
			id, task_id, task_name, scheduled_us, revision)
		SELECT same.*, each.* FROM (SELECT ?, ?, ?, 'running', ?, ?, ?, ?, ?, '', ?) AS same
		CROSS JOIN (VALUES (?, ?, ?, ?, ?)` + strings.Repeat(`, (?, ?, ?, ?, ?)`, together-1) + `) AS each WHERE true
		ON CONFLICT DO NOTHING`

	selectBegun = `SELECT id FROM runs WHERE id IN (SELECT value FROM json_each(?)) AND state = 'running' AND session = ?`
)

// firing is a task that moves on and a run of it that begins.
type firing struct {
	row      int64 // of the task
	status   *punctual.Status
	run      *punctual.Run
	priority int
}

// firingOf returns what a change comes to if it is a firing that holds no key.
func firingOf(t *taskRow, c *punctual.Change) (f firing, ok bool) {
	if c.Status == nil || c.Task != nil || c.Remove || len(c.Insert) != 1 || len(c.Update)+len(c.Cancel) > 0 {
		return firing{}, false
	}
	run := &c.Insert[0]
	return firing{t.row, c.Status, run, t.Task.Priority}, run.ConcurrencyKey == "" && ledger.OnlyMoves(&t.Record, c.Status) && ledger.Begins(run)
}

// moveAlike reports whether the tasks of two firings get the same occurrences.
func moveAlike(a, b *firing) bool {
	return a.status.NextRunAt.Equal(b.status.NextRunAt) && a.status.LastOccurrence.Equal(b.status.LastOccurrence)
}

// beginAlike reports whether the runs of two firings have in common what startRuns asks for.
func beginAlike(a, b *firing) bool {
	r, o := a.run, b.run
	return r.Kind == o.Kind && r.Trigger == o.Trigger && r.Attempt == o.Attempt && r.StartedAt.Equal(o.StartedAt) && r.Instance == o.Instance &&
		r.Session == o.Session && r.AtMostOnce == o.AtMostOnce && r.CreatedAt.Equal(o.CreatedAt) && a.priority == b.priority
}

// eachTogether hands as many neighbours as are written together, if they are alike, to many, and all others to one.
func eachTogether(firings []firing, alike func(a, b *firing) bool, many func([]firing) error, one func(*firing) error) error {
	for len(firings) > 0 {
		n := 1
		for n < min(together, len(firings)) && alike(&firings[0], &firings[n]) {
			n++
		}
		if n == together {
			if err := many(firings[:n]); err != nil {
				return err
			}
		} else {
			for i := range n {
				if err := one(&firings[i]); err != nil {
					return err
				}
			}
		}
		firings = firings[n:]
	}
	return nil
}

// fire writes firings, and returns the ids of runs that were dropped because their occurrence is taken.
func fire(tx *txn, firings []firing) (dropped []string, err error) {
	err = eachTogether(firings, moveAlike, func(firings []firing) error {
		st := firings[0].status
		tx.args = append(tx.args[:0], toMicros(st.NextRunAt), toMicros(st.LastOccurrence))
		for i := range firings {
			tx.args = append(tx.args, firings[i].row)
		}
		_, err := tx.exec(moveTasks, tx.args...)
		return err
	}, func(f *firing) error { return move(tx, f.row, f.status) })
	if err != nil {
		return nil, err
	}
	err = eachTogether(firings, beginAlike, func(firings []firing) error {
		r := firings[0].run
		tx.args = append(tx.args[:0], r.Kind, r.Trigger.String(), r.Attempt, toMicros(r.StartedAt), r.Instance, r.Session, r.AtMostOnce, r.CreatedAt.UnixMicro(),
			firings[0].priority)
		for i := range firings {
			r := firings[i].run
			tx.args = append(tx.args, r.ID, r.TaskID, r.TaskName, r.ScheduledAt.UnixMicro(), r.Revision)
		}
		n, err := tx.exec(startRuns, tx.args...)
		if err == nil && n < together {
			var some []string
			some, err = missing(tx, firings)
			dropped = append(dropped, some...)
		}
		return err
	}, func(f *firing) error {
		n, err := insert(tx, f.run, f.priority)
		if n == 0 {
			dropped = append(dropped, f.run.ID)
		}
		return err
	})
	return dropped, err
}

// missing returns the ids of runs that do not run, of those that were to begin under one session.
func missing(tx *txn, firings []firing) (ids []string, err error) {
	for i := range firings {
		ids = append(ids, firings[i].run.ID)
	}
	begun, err := collect(tx.ctx, tx, scanText, selectBegun, jsonList(ids), firings[0].run.Session)
	return slices.DeleteFunc(ids, func(id string) bool { return slices.Contains(begun, id) }), err
}
