package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/punctual-go/punctual"
)

// The statements about what is due look at each priority by itself, along its partial index. Their parameters: 1 is now, 2 the format
// that the library knows, 3 and 4 the kinds that are asked for (all of them if 3 is true), 5 the kinds that are left out, 6 the limit.
var (
	// selectDueTasks and selectDueRuns find what is due, the first of each priority.
	selectDueTasks = byPriority(`SELECT id, kind, next_us AS due, next_us - %d AS rank FROM tasks
		WHERE priority = %d AND next_us <= (SELECT ?1) AND next_us IS NOT NULL AND fault = '' AND format <= (SELECT ?2)` + wantedKind + `
		ORDER BY next_us, id LIMIT ?6`)
	selectDueRuns = byPriority(`SELECT task_id AS id, kind, due_us AS due, due_us - %d AS rank FROM runs
		WHERE priority = %d AND due_us <= (SELECT ?1) AND due_us IS NOT NULL AND state = 'pending'` + wantedKind + knownTask + `
		ORDER BY due_us, runs.id LIMIT ?6`)

	// selectNextTask and selectNextRun find when something is due next. They have no use for 1.
	selectNextTask = byPriority(`SELECT id, kind, next_us AS due, next_us + 0 * %d AS rank FROM tasks
		WHERE priority = %d AND next_us IS NOT NULL AND fault = '' AND format <= (SELECT ?2)` + wantedKind + `
		ORDER BY next_us, id LIMIT ?6`)
	selectNextRun = byPriority(`SELECT task_id AS id, kind, due_us AS due, due_us + 0 * %d AS rank FROM runs
		WHERE priority = %d AND due_us IS NOT NULL AND state = 'pending'` + wantedKind + knownTask + `
		ORDER BY due_us, runs.id LIMIT ?6`)
)

const (
	wantedKind = ` AND ((SELECT ?3) OR kind IN (SELECT value FROM json_each(?4))) AND kind NOT IN (SELECT value FROM json_each(?5))`
	knownTask  = ` AND EXISTS (SELECT 1 FROM tasks WHERE tasks.id = task_id AND fault = '' AND format <= (SELECT ?2))`
)

// byPriority makes a statement of one for each priority, whose two verbs are the head start in microseconds and the priority.
func byPriority(one string) string {
	var parts []string
	for p := punctual.MinPriority; p <= punctual.MaxPriority; p++ {
		parts = append(parts, `SELECT * FROM (`+fmt.Sprintf(one, int64(p)*punctual.PriorityStep.Microseconds(), p)+`)`)
	}
	return strings.Join(parts, ` UNION ALL `)
}

const (
	selectTasks = `SELECT ` + taskColumns + ` FROM tasks WHERE id IN (SELECT value FROM json_each(?))`

	selectPendingDue = `SELECT ` + runColumns + ` FROM runs
		WHERE task_id IN (SELECT value FROM json_each(?))` + live + ` AND state = 'pending' AND due_us <= ? AND (? OR kind IN (SELECT value FROM json_each(?)))
		ORDER BY due_us, id`

	selectSession = `SELECT id FROM sessions WHERE id = ? AND dead = 0`

	setFault = `UPDATE tasks SET fault = ? WHERE id = ?`
)

// candidate is a task for which something is due.
type candidate struct {
	id, kind  string
	due, rank int64
}

func scanCandidate(rows *sql.Rows) (c candidate, err error) {
	return c, rows.Scan(&c.id, &c.kind, &c.due, &c.rank)
}

// claim is one call of Claim while it is carried out.
type claim struct {
	*Store
	ctx   context.Context
	tx    *txn
	req   punctual.ClaimRequest
	reply punctual.ClaimReply
	left  map[string]int // what may still be started of kinds that have a limit of their own
}

// Claim implements punctual.Store.
func (s *Store) Claim(ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
	var reply punctual.ClaimReply
	err := s.tx(ctx, func(tx *txn) error {
		c := claim{Store: s, ctx: ctx, tx: tx, req: req, left: maps.Clone(req.KindLimits)}
		c.reply.Now = s.now(req.Now)
		if err := aliveSession(ctx, tx, req.Session); err != nil {
			return err
		}
		due, err := c.find(selectDueTasks, selectDueRuns, req.Limit)
		if err != nil {
			return err
		}
		if len(due) > 0 {
			if err := c.decideAll(due); err != nil {
				return err
			}
		}
		next, err := c.find(selectNextTask, selectNextRun, 1)
		if len(next) > 0 {
			c.reply.NextDue = fromMicros(next[0].due)
		}
		reply = c.reply
		return err
	})
	if err != nil {
		return punctual.ClaimReply{}, err
	}
	return reply, nil
}

// find returns up to limit tasks for which something is due, in due order, each once.
func (c *claim) find(tasks, runs string, limit int) ([]candidate, error) {
	var without []string
	for kind, n := range c.left {
		if n <= 0 {
			without = append(without, kind)
		}
	}
	var found []candidate
	for _, query := range []string{tasks, runs} {
		some, err := collect(c.ctx, c.tx, scanCandidate, query, c.reply.Now.UnixMicro(), punctual.TaskFormat, c.req.Kinds == nil,
			jsonList(c.req.Kinds), jsonList(without), limit)
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
	}
	slices.SortFunc(found, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.id, b.id)) })
	seen := make(map[string]bool, len(found))
	found = slices.DeleteFunc(found, func(c candidate) bool {
		again := seen[c.id]
		seen[c.id] = true
		return again
	})
	return found[:min(limit, len(found))], nil
}

// decideAll shows each due task to decide and applies the changes, until the limit of starts is reached.
func (c *claim) decideAll(due []candidate) error {
	ids := make([]string, len(due))
	for i := range due {
		ids[i] = due[i].id
	}
	list := jsonList(ids)
	rows, err := collect(c.ctx, c.tx, scanTask, selectTasks, list)
	if err != nil {
		return err
	}
	tasks := make(map[string]*taskRow, len(rows))
	undecoded := make(map[string]error)
	var keyNames []string
	for _, t := range rows {
		tasks[t.id] = t
		if err := c.decode(t); err != nil {
			undecoded[t.id] = err
		}
		keyNames = append(keyNames, t.Task.ConcurrencyKey)
	}
	lives, err := loadLive(c.ctx, c.tx, ids)
	if err != nil {
		return err
	}
	keys, err := loadKeys(c.ctx, c.tx, keyNames)
	if err != nil {
		return err
	}
	pending := make(map[string][]punctual.Run)
	runs, err := collect(c.ctx, c.tx, scanRun, selectPendingDue, list, c.reply.Now.UnixMicro(), c.req.Kinds == nil, jsonList(c.req.Kinds))
	if err != nil {
		return err
	}
	for _, run := range runs {
		pending[run.TaskID] = append(pending[run.TaskID], run)
	}
	for _, d := range due {
		if n, limited := c.left[d.kind]; limited && n <= 0 {
			continue
		}
		t := tasks[d.id]
		key := t.Task.ConcurrencyKey
		v := punctual.View{Now: c.reply.Now, Record: &t.Record, Pending: pending[d.id], Slots: c.slots(t.Task.Kind, pending[d.id])}
		lives[d.id].show(&v)
		keys.show(key, &v)
		var change punctual.Change
		err := undecoded[d.id]
		if err == nil {
			change, err = c.req.Decide(v)
		}
		if err != nil {
			if _, failed := c.tx.exec(setFault, err.Error(), d.id); failed != nil {
				return failed
			}
			c.reply.SetAside = append(c.reply.SetAside, punctual.Fault{TaskID: d.id, Err: err})
			continue
		}
		started, _, err := c.apply(c.tx, d.id, &v, &change)
		if err != nil {
			return err
		}
		bounded := v.Slots < c.req.Limit-len(c.reply.Started)
		c.begin(t, started, keys)
		if change.Status != nil || len(change.Insert) > 0 || len(change.Update) > 0 || len(change.Cancel) > 0 {
			c.reply.Decided++
		}
		if change.Deferred && !bounded || len(c.reply.Started) >= c.req.Limit {
			return nil
		}
	}
	return nil
}

// begin counts what was started and adds it to the answer.
func (c *claim) begin(t *taskRow, started []punctual.Run, keys keys) {
	for _, run := range started {
		task := cloneTask(t.Task)
		run.Payload, run.Labels, run.History = task.Payload, task.Labels, cutHistory(run.History)
		c.reply.Started = append(c.reply.Started, run)
		if n, limited := c.left[run.Kind]; limited {
			c.left[run.Kind] = n - 1
		}
		keys.start(&run)
	}
}

// slots is how many runs may be started for a task of a kind with some pending runs.
func (c *claim) slots(kind string, pending []punctual.Run) int {
	slots := c.req.Limit - len(c.reply.Started)
	if n, limited := c.left[kind]; limited {
		slots = min(slots, n)
	}
	for i := range pending {
		if n, limited := c.left[pending[i].Kind]; limited {
			slots = min(slots, n)
		}
	}
	return max(slots, 0)
}

// aliveSession refuses a session that is dead or unknown.
func aliveSession(ctx context.Context, tx *txn, id string) error {
	if id == "" {
		return nil
	}
	alive, err := collect(ctx, tx, scanText, selectSession, id)
	if err == nil && len(alive) == 0 {
		return fmt.Errorf("%w: session %s is not alive", punctual.ErrLeaseLost, id)
	}
	return err
}
