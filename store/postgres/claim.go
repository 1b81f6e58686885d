package postgres

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

const (
	claimTime = `SELECT coalesce($1::bigint, (extract(epoch FROM now()) * 1000000)::bigint)`

	// lockSession holds off the end of the session until the claim is committed, but not its beat.
	lockSession = `SELECT id FROM {schema}.sessions WHERE id = $1 AND NOT dead FOR KEY SHARE`

	selectPendingDue = `SELECT ` + runNames + ` FROM {schema}.live_runs r
		WHERE r.task_id = ANY ($1::text[]) AND r.state = 'pending' AND r.due_us <= $2 AND ($3::boolean OR r.kind = ANY ($4::text[]))
		ORDER BY r.due_us, r.id`
)

// candidate is a locked task for which something is due.
type candidate struct {
	taskRow
	kind      string
	due, rank int64
	stored    bool // it was found by a run that is due
}

// candidateRoom is room for candidates. They are large, and there is one for each thing that is due, so claims use each other's.
type candidateRoom struct {
	candidates [64]candidate
	used       int
}

var candidateRooms = sync.Pool{New: func() any { return new(candidateRoom) }}

// candidate returns room for one.
func (c *claim) candidate() *candidate {
	last := len(c.rooms) - 1
	if last < 0 || c.rooms[last].used == len(c.rooms[last].candidates) {
		c.rooms = append(c.rooms, candidateRooms.Get().(*candidateRoom))
		last++
	}
	room := c.rooms[last]
	room.used++
	return &room.candidates[room.used-1]
}

// leave gives back the room of the candidates, of which nothing is used any more.
func (c *claim) leave() {
	for _, room := range c.rooms {
		clear(room.candidates[:room.used])
		room.used = 0
		candidateRooms.Put(room)
	}
	c.rooms, c.due, c.started = nil, nil, nil
}

func (c *claim) scanCandidates() func(pgx.Rows) (*candidate, error) {
	var kind name
	var due, rank int64
	task := c.t.s.newTaskScanner(&kind, &due, &rank)
	return func(rows pgx.Rows) (*candidate, error) {
		d := c.candidate()
		if err := task.scan(rows, &d.taskRow); err != nil {
			return nil, err
		}
		d.kind, d.due, d.rank = string(kind), due, rank
		return d, nil
	}
}

// claim is one call of Claim while it is carried out.
type claim struct {
	t       *txn
	req     punctual.ClaimRequest
	reply   punctual.ClaimReply
	last    spot        // of the task that was taken last, when it filled the limit and there are no limits of kinds
	left    ledger.Left // what may still be started of kinds that have a limit of their own
	due     []*candidate
	rooms   []*candidateRoom // of what is due
	live    lives
	keys    ledger.Keys
	pending map[string][]punctual.Run
	writes  writes
	started []started
	taken   *[]stretch // what it has locked, while it is under way
}

// spot is where a task stands among what is due; all are nil when it stands nowhere.
type spot struct{ kind, priority, due, id any }

// inOrder compares by due order.
func inOrder(a, b *candidate) int {
	return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.id, b.id))
}

// started is a run that the claim wants to start.
type started struct {
	task *candidate
	run  *punctual.Run
}

// Claim implements punctual.Store.
func (s *Store) Claim(ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
	var c claim
	err := s.tx(ctx, s.pool, func(t *txn) error {
		c = claim{t: t, req: req, left: maps.Clone(req.KindLimits), live: lives{}, keys: ledger.Keys{}}
		c.reply.Started = req.Started[:0]
		defer func() { s.underWay.remove(c.taken) }() // committed or in vain
		defer c.leave()
		if err := c.lock(); err != nil {
			return err
		}
		if len(c.due) > 0 {
			if err := c.look(); err != nil {
				return err
			}
			c.decideAll()
		}
		return c.finish()
	})
	if err != nil {
		return punctual.ClaimReply{}, err
	}
	return c.reply, nil
}

// without lists the kinds that have used up their limit.
func (c *claim) without() []string {
	without := []string{}
	for kind, n := range c.left {
		if n <= 0 {
			without = append(without, kind)
		}
	}
	return without
}

// lock locks up to Limit tasks for which something is due, in due order, each once.
func (c *claim) lock() error {
	t, req := c.t, &c.req
	select {
	case t.s.underWay.turn <- struct{}{}:
		defer func() { <-t.s.underWay.turn }()
	case <-t.ctx.Done():
		return t.ctx.Err()
	}
	var alive []string
	t.queue(claimTime, toMicros(req.Now)).QueryRow(func(row pgx.Row) error {
		var us int64
		err := row.Scan(&us)
		c.reply.Now = fromMicros(us)
		return err
	})
	if req.Session != "" {
		ask(t, &alive, scanText, lockSession, req.Session)
	}
	var tasks, runs []*candidate
	for _, due := range []struct {
		from  source
		to    *[]*candidate
		taken []any
	}{{dueTasks, &tasks, t.s.underWay.stretches()}, {dueRuns, &runs, stretchLists(nil)}} {
		query, args := due.from.of(req.Kinds, append([]any{punctual.TaskFormat, c.without(), toMicros(req.Now), req.Limit}, due.taken...)...)
		ask(t, due.to, c.scanCandidates(), query, args...)
	}
	if err := t.send(); err != nil {
		return err
	}
	if req.Session != "" && len(alive) == 0 {
		return fmt.Errorf("%w: session %s is not alive", punctual.ErrLeaseLost, req.Session)
	}
	if len(tasks) == req.Limit && len(c.left) == 0 {
		d := tasks[len(tasks)-1]
		c.last = spot{d.kind, d.lane().priority, d.due, d.id}
	}
	c.taken = t.s.underWay.add(tasks)
	for _, d := range runs {
		d.stored = true
	}
	c.due = append(tasks, runs...)
	slices.SortFunc(c.due, inOrder)
	seen := make(map[string]bool, len(c.due))
	c.due = slices.DeleteFunc(c.due, func(d *candidate) bool {
		again := seen[d.id]
		seen[d.id] = true
		return again
	})
	c.due = c.due[:min(req.Limit, len(c.due))]
	return nil
}

// look reads what a View shows of the locked tasks. Most have no live run and no key, and then there is nothing to lock or to read: only
// who holds the task's lock can change that.
func (c *claim) look() error {
	t := c.t
	ids := make([]string, len(c.due))
	var busy, keyNames []string
	for i, d := range c.due {
		ids[i] = d.id
		if key := d.Task.ConcurrencyKey; key != "" || d.stored {
			busy, keyNames = append(busy, d.id), append(keyNames, key)
		}
	}
	if len(busy) < len(ids) {
		c.live.count(t, ids)
		if err := t.send(); err != nil {
			return err
		}
		busy = slices.AppendSeq(busy, maps.Keys(c.live))
		clear(c.live)
	}
	if busy = distinct(busy); len(busy) == 0 {
		return nil
	}
	t.queue(lockRunning, busy)
	t.queue(lockSlots, []string{}, busy)
	c.live.count(t, busy)
	c.live.waiters(t, busy)
	loadKeys(t, c.keys, keyNames)
	var runs []punctual.Run
	ask(t, &runs, scanRun, selectPendingDue, busy, c.reply.Now.UnixMicro(), c.req.Kinds == nil, c.req.Kinds)
	if err := t.send(); err != nil {
		return err
	}
	c.pending = make(map[string][]punctual.Run)
	for _, run := range runs {
		c.pending[run.TaskID] = append(c.pending[run.TaskID], run)
	}
	return nil
}

// decideAll shows each due task to decide and collects the changes, until the limit of starts is reached.
func (c *claim) decideAll() {
	c.writes = writes{t: c.t, now: c.reply.Now}
	for _, d := range c.due {
		if !c.left.Admits(d.kind) {
			continue
		}
		key, pending := d.Task.ConcurrencyKey, c.pending[d.id]
		v := punctual.View{Now: c.reply.Now, Record: &d.Record, Pending: pending, Slots: c.left.Slots(c.req.Limit-len(c.started), d.Task.Kind, pending)}
		c.live[d.id].show(&v)
		c.keys.Show(key, &v)
		var change punctual.Change
		due := ledger.DueKeys(pending)
		err := d.broken
		if err == nil {
			change, err = c.req.Decide(v)
		}
		if err != nil {
			c.writes.setAside(d.id, err)
			c.reply.SetAside = append(c.reply.SetAside, punctual.Fault{TaskID: d.id, Err: err})
			continue
		}
		c.writes.add(d.id, &v, due, &change)
		bounded := v.Slots < c.req.Limit-len(c.started)
		c.begin(d, &change)
		if change.Deferred && !bounded || len(c.started) >= c.req.Limit {
			return
		}
	}
}

// begin counts a change and what it starts.
func (c *claim) begin(d *candidate, change *punctual.Change) {
	if ledger.Decides(change) {
		c.reply.Decided++
	}
	for _, rows := range [][]punctual.Run{change.Update, change.Insert} {
		for i := range rows {
			run := &rows[i]
			if run.State != punctual.StateRunning {
				continue
			}
			c.started = append(c.started, started{d, run})
			c.left.Take(run.Kind)
			c.keys.Start(run)
		}
	}
}

// finish writes, looks for what is due next, and commits.
func (c *claim) finish() error {
	t := c.t
	c.writes.t = t
	c.writes.queue()
	if c.writes.keyed || t.careful {
		// A run that is dropped holds no key after all, for which another may have been told to wait, and no slot of its kind.
		if err := t.send(); err != nil {
			return err
		}
		var freed []string
		var passed int64
		for _, run := range c.writes.dropped() {
			freed = append(freed, run.ConcurrencyKey)
			if run.State == punctual.StateRunning {
				c.left.Return(run.Kind)
			}
		}
		passOn(t, freed, c.reply.Now, &passed)
	}
	next := int64(math.MaxInt64)
	for _, first := range []struct {
		source
		last spot
	}{{nextTask, c.last}, {nextRun, spot{}}} {
		last := first.last
		query, args := first.of(c.req.Kinds, punctual.TaskFormat, c.without(), last.kind, last.priority, last.due, last.id, c.reply.Now.UnixMicro())
		t.queue(query, args...).QueryRow(func(row pgx.Row) error {
			var first *int64
			err := row.Scan(&first)
			if first != nil && *first < next {
				next = *first
				c.reply.NextDue = fromMicros(next)
			}
			return err
		})
	}
	if err := t.commit(); err != nil {
		return err
	}
	c.answer()
	return nil
}

// answer adds the runs that were started, once all is written.
func (c *claim) answer() {
	c.reply.Started = slices.Grow(c.reply.Started, len(c.started))
	for _, s := range c.started {
		if !c.writes.wrote(s.run.ID) {
			continue
		}
		c.reply.Started = append(c.reply.Started, *s.run)
		run := &c.reply.Started[len(c.reply.Started)-1]
		run.Payload, run.Labels, run.History = slices.Clone(s.task.Task.Payload), maps.Clone(s.task.Task.Labels), cutHistory(run.History)
	}
}
