package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/punctual-go/punctual"
)

const (
	// selectDueTasks and selectDueRuns find what is due, in due order, each along its partial index.
	selectDueTasks = `SELECT id, next_us FROM tasks
		WHERE next_us <= ? AND next_us IS NOT NULL AND fault = '' AND format <= ? AND (? OR kind IN (SELECT value FROM json_each(?)))
		ORDER BY next_us, id LIMIT ?`
	selectDueRuns = `SELECT task_id, due_us FROM runs
		WHERE due_us <= ? AND due_us IS NOT NULL AND state = 'pending' AND (? OR kind IN (SELECT value FROM json_each(?)))
			AND EXISTS (SELECT 1 FROM tasks WHERE tasks.id = task_id AND fault = '' AND format <= ?)
		ORDER BY due_us, id LIMIT ?`

	selectTasks = `SELECT ` + taskColumns + ` FROM tasks WHERE id IN (SELECT value FROM json_each(?))`

	selectPendingDue = `SELECT ` + runColumns + ` FROM runs
		WHERE task_id IN (SELECT value FROM json_each(?)) AND state = 'pending' AND due_us <= ?
		ORDER BY due_us, id`

	// selectNextTask and selectNextRun find when something is due next.
	selectNextTask = `SELECT next_us FROM tasks
		WHERE next_us IS NOT NULL AND fault = '' AND format <= ? AND (? OR kind IN (SELECT value FROM json_each(?)))
		ORDER BY next_us, id LIMIT 1`
	selectNextRun = `SELECT due_us FROM runs
		WHERE due_us IS NOT NULL AND state = 'pending' AND (? OR kind IN (SELECT value FROM json_each(?)))
			AND EXISTS (SELECT 1 FROM tasks WHERE tasks.id = task_id AND fault = '' AND format <= ?)
		ORDER BY due_us, id LIMIT 1`

	setFault = `UPDATE tasks SET fault = ? WHERE id = ?`
)

// candidate is a task for which something is due.
type candidate struct {
	id  string
	due int64
}

func scanCandidate(rows *sql.Rows) (c candidate, err error) { return c, rows.Scan(&c.id, &c.due) }

// Claim implements punctual.Store.
func (s *Store) Claim(ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
	var reply punctual.ClaimReply
	err := s.tx(ctx, func(tx *sql.Tx) error {
		reply = punctual.ClaimReply{Now: s.now(req.Now)}
		if err := aliveSession(ctx, tx, req.Session); err != nil {
			return err
		}
		all, kinds := req.Kinds == nil, jsonList(req.Kinds)
		due, err := dueTasks(ctx, tx, reply.Now, req.Limit, all, kinds)
		if err != nil {
			return err
		}
		if len(due) > 0 {
			if err := s.decideAll(ctx, tx, req, due, &reply); err != nil {
				return err
			}
		}
		reply.NextDue, err = nextDue(ctx, tx, all, kinds)
		return err
	})
	if err != nil {
		return punctual.ClaimReply{}, err
	}
	return reply, nil
}

// dueTasks returns the ids of up to limit tasks for which something is due, by due time and then id.
func dueTasks(ctx context.Context, tx *sql.Tx, now time.Time, limit int, all bool, kinds string) ([]string, error) {
	found, err := collect(ctx, tx, scanCandidate, selectDueTasks, now.UnixMicro(), punctual.TaskFormat, all, kinds, limit)
	if err != nil {
		return nil, err
	}
	runs, err := collect(ctx, tx, scanCandidate, selectDueRuns, now.UnixMicro(), all, kinds, punctual.TaskFormat, limit)
	if err != nil {
		return nil, err
	}
	found = append(found, runs...)
	slices.SortFunc(found, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.id, b.id)) })
	seen := make(map[string]bool, len(found))
	var ids []string
	for _, c := range found {
		if !seen[c.id] && len(ids) < limit {
			seen[c.id] = true
			ids = append(ids, c.id)
		}
	}
	return ids, nil
}

// decideAll shows each due task to decide and applies the changes, until the limit of starts is reached.
func (s *Store) decideAll(ctx context.Context, tx *sql.Tx, req punctual.ClaimRequest, due []string, reply *punctual.ClaimReply) error {
	ids := jsonList(due)
	rows, err := collect(ctx, tx, scanTask, selectTasks, ids)
	if err != nil {
		return err
	}
	tasks := make(map[string]*taskRow, len(rows))
	for _, t := range rows {
		tasks[t.id] = t
	}
	lives, err := loadLive(ctx, tx, due)
	if err != nil {
		return err
	}
	pending := make(map[string][]punctual.Run)
	runs, err := collect(ctx, tx, scanRun, selectPendingDue, ids, reply.Now.UnixMicro())
	if err != nil {
		return err
	}
	for _, run := range runs {
		pending[run.TaskID] = append(pending[run.TaskID], run)
	}
	stmts := newStatements(ctx, tx)
	defer stmts.close()
	for _, id := range due {
		t := tasks[id]
		var c punctual.Change
		err := s.decode(t)
		if err == nil {
			c, err = req.Decide(punctual.View{
				Now: reply.Now, Record: &t.Record, Pending: pending[id], Active: lives[id].active, OldestActive: lives[id].oldest,
				Waiting: lives[id].waiting, Slots: req.Limit - len(reply.Started),
			})
		}
		if err != nil {
			if _, failed := stmts.exec(setFault, err.Error(), id); failed != nil {
				return failed
			}
			reply.SetAside = append(reply.SetAside, punctual.Fault{TaskID: id, Err: err})
			continue
		}
		started, _, err := s.apply(stmts, id, &c, reply.Now)
		if err != nil {
			return err
		}
		for _, run := range started {
			task := cloneTask(t.Task)
			run.Payload, run.Labels, run.History = task.Payload, task.Labels, cutHistory(run.History)
			reply.Started = append(reply.Started, run)
		}
		if c.Status != nil || len(c.Insert) > 0 || len(c.Update) > 0 || len(c.Cancel) > 0 {
			reply.Decided++
		}
		if c.Deferred || len(reply.Started) >= req.Limit {
			return nil
		}
	}
	return nil
}

func nextDue(ctx context.Context, tx *sql.Tx, all bool, kinds string) (time.Time, error) {
	var next time.Time
	for _, q := range []struct {
		query string
		args  []any
	}{
		{selectNextTask, []any{punctual.TaskFormat, all, kinds}},
		{selectNextRun, []any{all, kinds, punctual.TaskFormat}},
	} {
		var us int64
		switch err := tx.QueryRowContext(ctx, q.query, q.args...).Scan(&us); {
		case err == sql.ErrNoRows:
		case err != nil:
			return time.Time{}, err
		case next.IsZero() || us < next.UnixMicro():
			next = fromMicros(us)
		}
	}
	return next, nil
}

// aliveSession refuses a session that is dead or unknown.
func aliveSession(ctx context.Context, tx *sql.Tx, id string) error {
	if id == "" {
		return nil
	}
	var dead bool
	err := tx.QueryRowContext(ctx, `SELECT dead FROM sessions WHERE id = ?`, id).Scan(&dead)
	if err == sql.ErrNoRows || err == nil && dead {
		return fmt.Errorf("%w: session %s is not alive", punctual.ErrLeaseLost, id)
	}
	return err
}
