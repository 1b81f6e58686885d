package sqlite

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

const (
	selectTasks = `SELECT ` + taskColumns + ` FROM tasks WHERE id IN (SELECT value FROM json_each(?))`

	selectPendingDue = `SELECT ` + runColumns + ` FROM runs
		WHERE task_id IN (SELECT value FROM json_each(?))` + live + ` AND state = 'pending' AND due_us <= ? AND (? OR kind IN (SELECT value FROM json_each(?)))
		ORDER BY due_us, id`

	selectSession = `SELECT id FROM sessions WHERE id = ? AND dead = 0`

	setFault = `UPDATE tasks SET fault = ? WHERE id = ?`
)

// claim is one call of Claim while it is carried out.
type claim struct {
	*Store
	ctx   context.Context
	tx    *txn
	req   punctual.ClaimRequest
	reply punctual.ClaimReply
	left  ledger.Left         // what may still be started of kinds that have a limit of their own
	tasks map[string]*taskRow // those that were read
	due   *dueRows
}

// dueRows is where a claim keeps the due tasks that it has read. There is one, since there is one claim at a time, and its tasks are nobody's
// once it is over.
type dueRows struct {
	rows  []taskRow
	tasks map[string]*taskRow
	next  taskRow // the row that is being read
	into  []any   // the places of its columns
}

func newDueRows() *dueRows {
	d := &dueRows{tasks: make(map[string]*taskRow)}
	d.into = append(d.next.places(), &d.next.busy)
	return d
}

// begin forgets the tasks of the claim before.
func (d *dueRows) begin(limit int) {
	clear(d.rows)
	clear(d.tasks)
	d.rows = slices.Grow(d.rows[:0], min(limit, maxRoom))
}

// maxRoom bounds the tasks for which room is kept between claims.
const maxRoom = 500

// scan reads a task.
func (d *dueRows) scan(rows rows) (*taskRow, error) {
	if len(d.rows) == cap(d.rows) {
		d.rows = make([]taskRow, 0, maxRoom) // those in the other one stay where they are
	}
	d.next = taskRow{}
	err := rows.Scan(d.into...)
	d.rows = append(d.rows, d.next)
	t := &d.rows[len(d.rows)-1]
	d.tasks[t.id] = t
	return t, err
}

// Claim implements punctual.Store. While somebody else writes, it reads ahead.
func (s *Store) Claim(ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
	c := s.newClaim(ctx, req)
	err := s.ahead.with(ctx, func() error {
		var early *early
		if s.write.taken() {
			early = c.readAhead()
		}
		return s.transact(ctx, func(tx *txn) error { return c.carryOut(tx, early) })
	})
	if err != nil {
		return punctual.ClaimReply{}, fault(ctx, err)
	}
	return c.reply, nil
}

func (s *Store) newClaim(ctx context.Context, req punctual.ClaimRequest) *claim {
	return &claim{Store: s, ctx: ctx, req: req, left: maps.Clone(req.KindLimits), tasks: s.due.tasks, due: s.due}
}

// carryOut is Claim within its transaction.
func (c *claim) carryOut(tx *txn, early *early) error {
	c.tx = tx
	c.reply.Now, c.reply.Started = c.now(c.req.Now), c.req.Started[:0]
	if err := aliveSession(c.ctx, tx, c.req.Session); err != nil {
		return err
	}
	var all []lane
	var due []candidate
	holds, err := c.holds(early)
	switch {
	case err != nil:
	case holds:
		due = early.due
	default:
		if all, err = lanesOf(c.ctx, tx, c.req.Kinds); err == nil {
			due, err = c.read(tx, all, c.reply.Now)
		}
	}
	if err != nil {
		return err
	}
	if len(due) > 0 {
		c.reply.Started = slices.Grow(c.reply.Started, len(due))
		if err := c.decideAll(due); err != nil {
			return err
		}
	}
	if holds || len(due) > 0 {
		if all, err = lanesOf(c.ctx, tx, c.req.Kinds); err != nil {
			return err
		}
	}
	if next, ok := c.next(all); ok {
		c.reply.NextDue = fromMicros(next)
	}
	return nil
}

// decideAll shows each due task to decide and applies the changes, until the limit of starts is reached.
func (c *claim) decideAll(due []candidate) error {
	var keyNames, busy []string
	for _, d := range due {
		t := c.tasks[d.id]
		if key := t.Task.ConcurrencyKey; key != "" {
			keyNames = append(keyNames, key)
		}
		if t.busy {
			busy = append(busy, t.id)
		}
	}
	keys, err := loadKeys(c.ctx, c.tx, keyNames)
	if err != nil {
		return err
	}
	lives, pending, err := c.loadRuns(busy)
	if err != nil {
		return err
	}
	firings := make([]firing, 0, len(due))
	for _, d := range due {
		if !c.left.Admits(d.kind) {
			continue
		}
		t := c.tasks[d.id]
		key := t.Task.ConcurrencyKey
		v := punctual.View{Now: c.reply.Now, Record: &t.Record, Pending: pending[d.id], Slots: c.left.Slots(c.req.Limit-len(c.reply.Started), t.Task.Kind, pending[d.id])}
		lives[d.id].show(&v)
		keys.Show(key, &v)
		var change punctual.Change
		due := ledger.DueKeys(v.Pending)
		err := t.undecoded
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
		bounded, before := v.Slots < c.req.Limit-len(c.reply.Started), len(c.reply.Started)
		if f, ok := firingOf(t, &change); ok {
			firings, c.reply.Started = append(firings, f), append(c.reply.Started, *f.run)
		} else if c.reply.Started, _, err = c.apply(c.tx, d.id, t.row, &v, due, &change, c.reply.Started); err != nil {
			return err
		}
		c.begin(t, c.reply.Started[before:], keys)
		if ledger.Decides(&change) {
			c.reply.Decided++
		}
		if change.Deferred && !bounded || len(c.reply.Started) >= c.req.Limit {
			break
		}
	}
	dropped, err := fire(c.tx, firings)
	if len(dropped) > 0 {
		c.reply.Started = slices.DeleteFunc(c.reply.Started, func(run punctual.Run) bool {
			drop := slices.Contains(dropped, run.ID)
			if drop {
				c.left.Return(run.Kind)
			}
			return drop
		})
	}
	return err
}

// read finds what is due at a time and reads and decodes the tasks.
func (c *claim) read(q querier, all []lane, now time.Time) ([]candidate, error) {
	c.due.begin(c.req.Limit)
	due, err := c.find(q, all, now.UnixMicro())
	if err == nil {
		err = c.loadTasks(q, due)
	}
	if err != nil {
		return nil, err
	}
	for _, d := range due {
		t := c.tasks[d.id]
		t.undecoded = c.decode(t)
	}
	return due, nil
}

// loadTasks reads the tasks that were found by their runs alone.
func (c *claim) loadTasks(q querier, due []candidate) error {
	var ids []string
	for _, d := range due {
		if c.tasks[d.id] == nil {
			ids = append(ids, d.id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	found, err := collect(c.ctx, q, scanTask, selectTasks, jsonList(ids))
	for _, t := range found {
		t.busy = true
		c.tasks[t.id] = t
	}
	return err
}

// loadRuns reads what a View tells about the live runs of tasks that have any.
func (c *claim) loadRuns(busy []string) (lives map[string]liveRuns, pending map[string][]punctual.Run, err error) {
	if len(busy) == 0 {
		return nil, nil, nil
	}
	if lives, err = loadLive(c.ctx, c.tx, busy); err != nil {
		return nil, nil, err
	}
	runs, err := collect(c.ctx, c.tx, scanRun, selectPendingDue, jsonList(busy), c.reply.Now.UnixMicro(), c.req.Kinds == nil, jsonList(c.req.Kinds))
	pending = make(map[string][]punctual.Run)
	for _, run := range runs {
		pending[run.TaskID] = append(pending[run.TaskID], run)
	}
	return lives, pending, err
}

// begin counts what was started and completes it for the answer.
func (c *claim) begin(t *taskRow, started []punctual.Run, keys ledger.Keys) {
	for i := range started {
		run, task := &started[i], ledger.CloneTask(t.Task)
		run.Payload, run.Labels, run.History = task.Payload, task.Labels, cutHistory(run.History)
		c.left.Take(run.Kind)
		keys.Start(run)
	}
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
