package mysql

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

const (
	// lockFreeTasks locks given tasks, those that somebody else has locked excepted.
	lockFreeTasks = `SELECT ` + taskColumns + ` FROM {tasks} FORCE INDEX (PRIMARY)
		WHERE id IN (?) AND fault = '' AND format <= ? ORDER BY id FOR UPDATE SKIP LOCKED`

	selectPendingDue = `SELECT ` + runColumns + ` FROM {runs} FORCE INDEX (runs_live)
		WHERE task_id IN (?) AND state = 'pending' AND due_us <= ?`

	selectSession = `SELECT id FROM {sessions} WHERE id = ? AND dead = 0`
)

// claim is one call of Claim while it is carried out.
type claim struct {
	t     *txn
	req   punctual.ClaimRequest
	reply punctual.ClaimReply
	left  ledger.Left // what may still be started of kinds that have a limit of their own
}

// Claim implements punctual.Store.
func (s *Store) Claim(ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
	var reply punctual.ClaimReply
	err := s.tx(ctx, func(t *txn) (err error) {
		c := claim{t: t, req: req, left: maps.Clone(req.KindLimits)}
		if c.reply.Now, err = t.now(req.Now); err != nil {
			return err
		}
		if err := aliveSession(t, req.Session); err != nil {
			return err
		}
		tasks, err := c.lock()
		if err != nil {
			return err
		}
		if len(tasks) > 0 {
			if err := c.decideAll(tasks); err != nil {
				return err
			}
		}
		c.reply.NextDue, err = c.next()
		reply = c.reply
		return err
	})
	if err != nil {
		return punctual.ClaimReply{}, err
	}
	return reply, nil
}

// aliveSession refuses a session that is dead or unknown.
func aliveSession(t *txn, id string) error {
	if id == "" {
		return nil
	}
	alive, err := collect(t, scanText, selectSession, id)
	if err == nil && len(alive) == 0 {
		return &refusal{fmt.Errorf("%w: session %s is not alive", punctual.ErrLeaseLost, id)}
	}
	return err
}

// maxRounds is how often a claim looks behind what others have locked, before it leaves that to the next one.
const maxRounds = 4

// lock locks the tasks that come first in due order, at most as many as runs may be started. Tasks that are due by themselves are taken
// along their index, so that it does not matter who has the first ones. Those with due runs are looked up without a lock, and if others
// have all of them, those behind them are looked up.
func (c *claim) lock() ([]*taskRow, error) {
	if tasks, done, err := c.lockLane(); done || err != nil {
		return tasks, err
	}
	var passed []string
	for range maxRounds {
		found, err := c.find(c.req.Limit, passed, tasksAndRuns)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, nil
		}
		own := make(map[lane]int) // how many tasks of a lane are due by themselves
		for _, f := range found {
			if f.what == dueTask {
				own[f.lane]++
			}
		}
		tasks, err := c.lockFound(own, found)
		if err != nil || len(tasks) > 0 {
			return tasks, err
		}
		for _, f := range found {
			passed = append(passed, f.id)
		}
	}
	return nil, nil
}

// lockLane is lock for what is the rule, tasks of one kind and priority: those need not be looked up before they are locked.
func (c *claim) lockLane() (tasks []*taskRow, done bool, err error) {
	if _, one := c.onlyLane(); !one {
		return nil, false, nil
	}
	found, err := c.find(c.req.Limit, nil, []what{dueRun})
	if err != nil {
		return nil, false, err
	}
	l, one := c.onlyLane() // there may be new ones by now
	if !one {
		return nil, false, nil
	}
	tasks, err = c.lockFound(map[lane]int{l: c.req.Limit}, found)
	return tasks, len(tasks) > 0 || len(found) == 0, err
}

// onlyLane returns the lane of tasks in which something may be due, if there is just one.
func (c *claim) onlyLane() (only lane, one bool) {
	n := 0
	for _, l := range c.t.store.lanes.of(dueTask) {
		if c.wants(l.kind) {
			only = l
			n++
		}
	}
	return only, n == 1
}

// lockFound locks so many tasks of each lane that are due by themselves, and those of due runs that were found.
func (c *claim) lockFound(own map[lane]int, found []candidate) ([]*taskRow, error) {
	var tasks []*taskRow
	locked := make(map[string]bool)
	keep := func(rows []*taskRow) {
		for _, t := range rows {
			if !locked[t.id] {
				locked[t.id] = true
				tasks = append(tasks, t)
			}
		}
	}
	for _, l := range slices.SortedFunc(maps.Keys(own), lane.compare) {
		rows, err := collect(c.t, scanTask, lockDueTasks, l.kind, l.priority, c.reply.Now.UnixMicro(), punctual.TaskFormat, own[l])
		if err != nil {
			return nil, err
		}
		keep(rows)
	}
	var others []string
	for _, f := range found {
		if f.what == dueRun && !locked[f.id] {
			others = append(others, f.id)
		}
	}
	if len(others) > 0 {
		rows, err := collect(c.t, scanTask, lockFreeTasks, others, punctual.TaskFormat)
		if err != nil {
			return nil, err
		}
		keep(rows)
	}
	return tasks, nil
}

// due returns for each locked task what of it is due first, now that it cannot change any more, in due order.
func (c *claim) due(tasks map[string]*taskRow, pending map[string][]punctual.Run) []candidate {
	now := c.reply.Now
	var found []candidate
	for id, t := range tasks {
		head := int64(t.priority) * punctual.PriorityStep.Microseconds()
		if next := t.Status.NextRunAt; !next.IsZero() && !next.After(now) && c.wants(t.kind) {
			found = append(found, candidate{id: id, lane: lane{kind: t.kind}, rank: next.UnixMicro() - head})
		}
		for i := range pending[id] {
			if r := &pending[id][i]; c.wants(r.Kind) {
				found = append(found, candidate{id: id, lane: lane{kind: r.Kind}, rank: r.DueAt.UnixMicro() - head})
			}
		}
	}
	return ledger.FirstDue(found, c.req.Limit)
}

// decideAll shows each due task to decide, until the limit of starts is reached, and then applies the changes of all of them together.
func (c *claim) decideAll(rows []*taskRow) error {
	if err := c.t.store.decodeAll(c.t.ctx, c.t.querier, rows); err != nil {
		return err
	}
	tasks := make(map[string]*taskRow, len(rows))
	ids := make([]string, len(rows))
	var keyNames []string
	for i, t := range rows {
		tasks[t.id], ids[i] = t, t.id
		keyNames = append(keyNames, t.Task.ConcurrencyKey)
	}
	pending, err := c.pending(ids)
	if err != nil {
		return err
	}
	for _, runs := range pending {
		for i := range runs {
			keyNames = append(keyNames, runs[i].ConcurrencyKey)
		}
	}
	held, err := lockFreeKeys(c.t, keyNames)
	if err != nil {
		return err
	}
	passOver(tasks, pending, held)
	lives, err := loadLive(c.t, ids)
	if err != nil {
		return err
	}
	keys, err := loadKeys(c.t, keyNames)
	if err != nil {
		return err
	}
	b := batch{now: c.reply.Now}
	for _, d := range c.due(tasks, pending) {
		if !c.left.Admits(d.kind) {
			continue
		}
		t := tasks[d.id]
		key := t.Task.ConcurrencyKey
		v := punctual.View{Now: c.reply.Now, Record: &t.Record, Pending: pending[d.id], Slots: c.left.Slots(c.req.Limit-len(c.reply.Started), t.kind, pending[d.id])}
		lives[d.id].show(&v)
		keys.Show(key, &v)
		var change punctual.Change
		due := ledger.DueKeys(v.Pending)
		err := t.bad
		if err == nil {
			change, err = c.req.Decide(v)
		}
		if err != nil {
			if failed := setAside(c.t, d.id, err); failed != nil {
				return failed
			}
			c.reply.SetAside = append(c.reply.SetAside, punctual.Fault{TaskID: d.id, Err: err})
			continue
		}
		if err := b.add(c.t, d.id, &v, due, &change); err != nil {
			return err
		}
		bounded := v.Slots < c.req.Limit-len(c.reply.Started)
		c.begin(t, &change, keys)
		if change.Deferred && !bounded || len(c.reply.Started) >= c.req.Limit {
			break
		}
	}
	return c.apply(&b)
}

// pending reads the due runs of tasks, in due order.
func (c *claim) pending(ids []string) (map[string][]punctual.Run, error) {
	query, args := selectPendingDue, []any{ids, c.reply.Now.UnixMicro()}
	if c.req.Kinds != nil {
		query, args = query+" AND kind IN (?)", append(args, c.req.Kinds)
	}
	runs, err := collect(c.t, scanRun, query, args...)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(runs, func(a, b punctual.Run) int { return cmp.Or(a.DueAt.Compare(b.DueAt), cmp.Compare(a.ID, b.ID)) })
	pending := make(map[string][]punctual.Run)
	for _, run := range runs {
		pending[run.TaskID] = append(pending[run.TaskID], run)
	}
	return pending, nil
}

// passOver leaves out the tasks with a key whose lock somebody else holds, as if they were locked themselves: an edit in a long transaction
// of a host must not hold up the others.
func passOver(tasks map[string]*taskRow, pending map[string][]punctual.Run, held func(key string) bool) {
	for id, t := range tasks {
		free := held(t.Task.ConcurrencyKey)
		for i := range pending[id] {
			free = free && held(pending[id][i].ConcurrencyKey)
		}
		if !free {
			delete(tasks, id)
			delete(pending, id)
		}
	}
}

// begin counts a change and what it starts, and adds it to the answer.
func (c *claim) begin(t *taskRow, change *punctual.Change, keys ledger.Keys) {
	if ledger.Decides(change) {
		c.reply.Decided++
	}
	for _, rows := range [][]punctual.Run{change.Update, change.Insert} {
		for _, run := range rows {
			if run.State != punctual.StateRunning {
				continue
			}
			task := ledger.CloneTask(t.Task)
			run.Payload, run.Labels, run.History = task.Payload, task.Labels, cutHistory(run.History)
			c.reply.Started = append(c.reply.Started, run)
			c.left.Take(run.Kind)
			keys.Start(&run)
		}
	}
}

// apply writes the changes, and takes back from the answer what could not be started after all.
func (c *claim) apply(b *batch) error {
	missing, dropped, err := b.flush(c.t)
	if err != nil {
		return err
	}
	if len(missing)+len(dropped) == 0 {
		return nil
	}
	if missing == nil {
		missing = make(map[string]bool, len(dropped))
	}
	for _, id := range dropped {
		missing[id] = true
	}
	var freed []string // others may wait for a key because of a start that was none
	c.reply.Started = slices.DeleteFunc(c.reply.Started, func(run punctual.Run) bool {
		if missing[run.ID] {
			freed = append(freed, run.ConcurrencyKey)
			c.left.Return(run.Kind)
		}
		return missing[run.ID]
	})
	_, err = passOn(c.t, freed, c.reply.Now)
	return err
}
