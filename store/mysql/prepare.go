package mysql

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"slices"
	"time"

	"github.com/punctual-go/punctual"
)

const (
	// fewConns is how small a pool may be for a claim to keep one of its connections for long.
	fewConns = 4
	// slack is for how long a prepared claim keeps its locks beyond its instant when nobody ends it, give or take half a second.
	slack = time.Second
	// patience bounds how long a commit waits for the server's clock. The engine comes at the instant, so a longer wait means that this clock was
	// set back meanwhile.
	patience = 100 * time.Millisecond
)

const (
	// countAt counts what of a lane comes due at an instant. It reads the index only.
	countAt = `SELECT COUNT(*) FROM (SELECT 1 FROM {tasks} FORCE INDEX (tasks_due)
		WHERE kind = ? AND priority = ? AND next_us = ? LIMIT ?) AS few`

	// selectAt finds tasks of a lane that come due at an instant, have no live run and stand behind an id. It locks nothing: a walk with locks would
	// also keep the row behind the last one. The subqueries are such that no optimizer makes a join of them.
	selectAt = `SELECT id FROM {tasks} AS t FORCE INDEX (tasks_due)
		WHERE kind = ? AND priority = ? AND next_us = ? AND id > ? AND fault = '' AND format <= ?
			AND (SELECT r.id FROM {runs} AS r FORCE INDEX (runs_live) WHERE r.task_id = t.id AND r.state = 'running' LIMIT 1) IS NULL
			AND (SELECT r.id FROM {runs} AS r FORCE INDEX (runs_live) WHERE r.task_id = t.id AND r.state = 'pending' LIMIT 1) IS NULL
		ORDER BY id LIMIT ?`

	// holdFor makes the server end the session, and give up its locks, when nothing was heard of it for so many seconds. MariaDB has limits of
	// their own for transactions. While it prepares it waits for nobody's locks for long.
	holdFor = `SET SESSION wait_timeout = %[1]d, net_read_timeout = %[1]d, net_write_timeout = %[1]d, innodb_lock_wait_timeout = 1
		/*M!100300 , idle_transaction_timeout = %[1]d, idle_write_transaction_timeout = %[1]d */`

	start    = `START TRANSACTION`
	commit   = `COMMIT`
	rollback = `ROLLBACK`

	// awaitTime tells the time, and waits until the first parameter, but no longer than the microseconds in the second. The server does not
	// wait at all for less than ten microseconds, so there are ten more.
	awaitTime = `SELECT ` + microsecondsNow + `, SLEEP(LEAST(GREATEST(? - ` + microsecondsNow + ` + 10, 0), ?) / 1000000)`
)

// Upcoming implements punctual.Preparer.
func (s *Store) Upcoming(ctx context.Context, req punctual.UpcomingRequest) (int, error) {
	lanes, err := s.lanesAt(ctx, s.db, req.At, req.Kinds, req.Without)
	if err != nil {
		return 0, fault(ctx, err)
	}
	total := 0
	for _, l := range lanes {
		n, err := read(ctx, s, s.db, scanInt, countAt, l.kind, l.priority, req.At.UnixMicro(), req.Limit)
		if err != nil {
			return 0, fault(ctx, err)
		}
		total += n[0]
	}
	return min(total, req.Limit), nil
}

// lanesAt returns the lanes in which something may come due at an instant, those of the highest priority first.
func (s *Store) lanesAt(ctx context.Context, q querier, at time.Time, kinds, without []string) ([]lane, error) {
	admits := func(kind string) bool { return !slices.Contains(without, kind) }
	first, err := s.find(ctx, q, kinds, admits, at.UnixMicro(), 1, nil, []what{dueTask})
	lanes := make([]lane, len(first))
	for i := range first {
		lanes[i] = first[i].lane
	}
	slices.SortFunc(lanes, func(a, b lane) int { return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.kind, b.kind)) })
	return lanes, err
}

// prepared is a claim whose transaction is open, on a connection that nobody uses afterwards: its session is set up for this.
type prepared struct {
	claim
	conn  *sql.Conn
	lanes []lane // with tasks that were not looked at
	last  string // that was, of the first of them
}

// Prepare implements punctual.Preparer.
func (s *Store) Prepare(ctx context.Context, req punctual.PrepareRequest) (punctual.Prepared, error) {
	if n := s.db.Stats().MaxOpenConnections; n > 0 && n < fewConns {
		return nil, nil // other calls would wait for the instant, too
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, fault(ctx, err)
	}
	p := &prepared{conn: conn, claim: claim{t: &txn{querier: conn, store: s, ctx: ctx, exact: s.owned}, req: punctual.ClaimRequest{Kinds: req.Kinds, Decide: req.Decide}}}
	p.left = make(map[string]int, len(req.Without))
	for _, kind := range req.Without {
		p.left[kind] = 0
	}
	at := fromMicros(req.At.UnixMicro())
	p.reply.Now, p.reply.NextDue = at, at
	if err = p.open(&req); err == nil && len(p.reply.Started) > 0 {
		return p, nil
	}
	p.Cancel(ctx)
	if _, again := conflict(err); again {
		return nil, nil
	}
	return nil, fault(ctx, err)
}

// open begins the transaction and takes the first tasks.
func (p *prepared) open(req *punctual.PrepareRequest) error {
	t := p.t
	seconds := max((req.Hold+slack).Round(time.Second)/time.Second, 1)
	for _, statement := range []string{setIsolation, fmt.Sprintf(holdFor, seconds), start} {
		if _, err := t.exec(statement); err != nil {
			return err
		}
	}
	if err := aliveSession(t, req.Session); err != nil {
		return err
	}
	var err error
	if p.lanes, err = t.store.lanesAt(t.ctx, t.querier, req.At, req.Kinds, req.Without); err != nil {
		return err
	}
	return p.take(req.Limit)
}

// Extend implements punctual.Prepared.
func (p *prepared) Extend(ctx context.Context, limit int) error {
	p.t.ctx = ctx
	return fault(ctx, p.take(limit))
}

// take takes up to limit tasks, those that it locks and has to leave alone included.
func (p *prepared) take(limit int) error {
	for limit > 0 && len(p.lanes) > 0 {
		ids, err := p.look(min(limit, maxRows))
		if err != nil || len(ids) == 0 {
			return err
		}
		rows, err := collect(p.t, scanTask, lockFreeTasks, ids, punctual.TaskFormat)
		if err != nil {
			return err
		}
		limit -= len(rows)
		if err := p.decide(rows); err != nil {
			return err
		}
	}
	return nil
}

// look returns the next tasks that might be taken, up to a number.
func (p *prepared) look(most int) (ids []string, err error) {
	for most > len(ids) && len(p.lanes) > 0 {
		l, n := p.lanes[0], most-len(ids)
		found, err := collect(p.t, scanText, selectAt, l.kind, l.priority, p.reply.Now.UnixMicro(), p.last, punctual.TaskFormat, n)
		if err != nil {
			return nil, err
		}
		if ids = append(ids, found...); len(found) == n {
			p.last = found[n-1]
		} else {
			p.lanes, p.last = p.lanes[1:], ""
		}
	}
	return ids, nil
}

// decide shows the locked tasks that may be taken to decide, in due order, and applies the changes.
func (p *prepared) decide(rows []*taskRow) error {
	if len(rows) == 0 {
		return nil
	}
	t := p.t
	if err := t.store.decodeAll(t.ctx, t.querier, rows); err != nil {
		return err
	}
	slices.SortFunc(rows, func(a, b *taskRow) int { return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.id, b.id)) })
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row.id
	}
	// Only who holds a task's lock gives it a run, so what is counted now holds until the commit.
	lives, err := loadLive(t, ids)
	if err != nil {
		return err
	}
	b := batch{now: p.reply.Now}
	for i, row := range rows {
		_, live := lives[row.id]
		if live || row.bad != nil || row.Task.ConcurrencyKey != "" || !row.Status.NextRunAt.Equal(p.reply.Now) || !p.wants(row.kind) {
			continue
		}
		v := punctual.View{Now: p.reply.Now, Record: &row.Record, Slots: len(rows) - i}
		change, err := p.req.Decide(v)
		if err != nil {
			continue
		}
		if err := b.add(t, row.id, &v, nil, &change); err != nil {
			return err
		}
		p.begin(row, &change, nil)
	}
	return p.apply(&b)
}

// Commit implements punctual.Prepared.
func (p *prepared) Commit(ctx context.Context, now time.Time) (punctual.ClaimReply, error) {
	p.t.ctx = ctx
	if err := p.commit(now); err != nil {
		p.Cancel(ctx)
		return punctual.ClaimReply{}, fault(ctx, err)
	}
	p.leave()
	return p.reply, nil
}

func (p *prepared) commit(now time.Time) error {
	reached := !now.Before(p.reply.Now)
	if now.IsZero() {
		at := p.reply.Now.UnixMicro()
		_, err := collect(p.t, func(rows *sql.Rows) (struct{}, error) {
			var interrupted bool
			var us int64
			err := rows.Scan(&us, &interrupted)
			now = fromMicros(us)
			reached = !interrupted && at-us <= patience.Microseconds()
			return struct{}{}, err
		}, awaitTime, at, patience.Microseconds())
		if err != nil {
			return err
		}
	}
	if !reached {
		return fmt.Errorf("%w: a claim was prepared for %v, and the clock reads %v", errAgain, p.reply.Now, now)
	}
	_, err := p.t.exec(commit)
	return err
}

// Cancel implements punctual.Prepared.
func (p *prepared) Cancel(ctx context.Context) {
	_, _ = p.conn.ExecContext(ctx, rollback) // or else the server does it when the connection ends
	p.leave()
}

// leave closes the connection.
func (p *prepared) leave() {
	_ = p.conn.Raw(func(any) error { return driver.ErrBadConn })
}
