package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/punctual-go/punctual"
)

const (
	// fewConns is how small a pool may be for a claim to keep one of its connections for long.
	fewConns = 4
	// slack is for how long a prepared claim keeps its locks beyond its instant when nobody ends it.
	slack = time.Second
	// patience bounds how long a commit waits for the server's clock. The engine comes at the instant, so a longer wait means that this clock was
	// set back meanwhile.
	patience = 100 * time.Millisecond
)

var (
	// upcomingTasks counts what comes due at the instant 3, at most 4, and preparedTasks locks it. Other parameters are those of dueTasks.
	upcomingTasks = source{ofTasks(countAt, someKinds), ofTasks(countAt, allKinds)}
	preparedTasks = source{ofTasks(lockAt, someKinds), ofTasks(lockAt, allKinds)}
)

const (
	countAt = ` SELECT count(*) FROM (SELECT 1 FROM lanes l CROSS JOIN LATERAL (SELECT 1 FROM {from} WHERE {owed} AND {known}
			AND {x}.kind = l.kind AND {x}.priority = l.priority AND {x}.{due} = $3::bigint LIMIT $4) AS counted LIMIT $4) AS few`

	lockAt = ` SELECT taken.* FROM (SELECT * FROM lanes ORDER BY priority DESC) l CROSS JOIN LATERAL (
			SELECT ` + taskColumns + `, l.kind AS due_kind, {x}.{due} AS due_us, {x}.{due} - l.head AS rank
			FROM {from} WHERE {owed} AND {known} AND {x}.kind = l.kind AND {x}.priority = l.priority AND {x}.{due} = $3::bigint AND t.key = ''
				AND NOT EXISTS (SELECT 1 FROM {schema}.live_runs r WHERE r.task_id = t.id)
			ORDER BY {x}.{due}, {x}.id LIMIT $4 FOR NO KEY UPDATE OF t SKIP LOCKED) AS taken LIMIT $4`

	// awaitTime waits for the server's clock to reach the time in 1, but no longer than the microseconds in 2, and tells what it says then.
	awaitTime = `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
		FROM (SELECT pg_sleep(least($1 - extract(epoch FROM clock_timestamp()) * 1000000, $2) / 1000000)) AS slept`
)

// Upcoming implements punctual.Preparer.
func (s *Store) Upcoming(ctx context.Context, req punctual.UpcomingRequest) (n int, err error) {
	err = s.tx(ctx, s.pool, func(t *txn) error {
		query, args := upcomingTasks.of(req.Kinds, punctual.TaskFormat, named(req.Without), req.At.UnixMicro(), req.Limit)
		t.queue(query, args...).QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
		return t.commit()
	})
	return n, err
}

// prepared is a claim whose transaction is open.
type prepared struct {
	claim
	conn    *pgxpool.Conn
	without []string // kinds
}

// Prepare implements punctual.Preparer.
func (s *Store) Prepare(ctx context.Context, req punctual.PrepareRequest) (punctual.Prepared, error) {
	if s.pool.Config().MaxConns < fewConns {
		return nil, nil // other calls would wait for the instant, too
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, fault(ctx, err)
	}
	p := &prepared{conn: conn, claim: claim{
		t:   s.begin(ctx, conn, begin, req.Hold+slack),
		req: punctual.ClaimRequest{Session: req.Session, Kinds: req.Kinds, Decide: req.Decide},
	}, without: named(req.Without)}
	at := fromMicros(req.At.UnixMicro())
	p.reply.Now, p.reply.NextDue = at, at
	if err = p.take(req.Limit); err == nil && len(p.reply.Started) > 0 {
		return p, nil
	}
	p.Cancel(ctx)
	if conflict(err) || taken(err) {
		return nil, nil
	}
	return nil, fault(ctx, err)
}

// Extend implements punctual.Prepared.
func (p *prepared) Extend(ctx context.Context, limit int) error {
	p.t.ctx = ctx
	return fault(ctx, p.take(limit))
}

// take takes up to limit tasks.
func (p *prepared) take(limit int) error {
	t := p.t
	defer p.leave()
	p.req.Limit = limit
	var alive []string
	if p.req.Session != "" {
		ask(t, &alive, scanText, lockSession, p.req.Session)
	}
	query, args := preparedTasks.of(p.req.Kinds, punctual.TaskFormat, p.without, p.reply.Now.UnixMicro(), limit)
	ask(t, &p.due, p.scanCandidates(), query, args...)
	if err := t.send(); err != nil {
		return err
	}
	switch {
	case p.req.Session != "" && len(alive) == 0:
		return fmt.Errorf("%w: session %s is not alive", punctual.ErrLeaseLost, p.req.Session)
	case len(p.due) == 0:
		return nil
	}
	// Only who holds a task's lock gives it a run, so what is counted now holds until the commit.
	busy := lives{}
	ids := make([]string, len(p.due))
	for i, d := range p.due {
		ids[i] = d.id
	}
	busy.count(t, ids)
	if err := t.send(); err != nil {
		return err
	}
	p.decide(busy)
	p.writes.queue()
	if err := t.send(); err != nil {
		return err
	}
	p.answer()
	return nil
}

// decide shows each task without live runs to decide and collects the changes.
func (p *prepared) decide(busy lives) {
	p.writes = writes{t: p.t, now: p.reply.Now}
	slices.SortFunc(p.due, inOrder)
	for _, d := range p.due {
		if _, live := busy[d.id]; live || d.broken != nil {
			continue
		}
		v := punctual.View{Now: p.reply.Now, Record: &d.Record, Slots: p.req.Limit - len(p.started)}
		change, err := p.req.Decide(v)
		if err != nil {
			continue
		}
		p.writes.add(d.id, &v, nil, &change)
		p.begin(d, &change)
	}
}

// Commit implements punctual.Prepared.
func (p *prepared) Commit(ctx context.Context, now time.Time) (punctual.ClaimReply, error) {
	p.t.ctx = ctx
	err := p.commit(now)
	p.Cancel(ctx)
	if err != nil {
		return punctual.ClaimReply{}, fault(ctx, err)
	}
	return p.reply, nil
}

func (p *prepared) commit(now time.Time) error {
	if now.IsZero() {
		var us int64
		p.t.queue(awaitTime, p.reply.Now.UnixMicro(), patience.Microseconds()).QueryRow(func(row pgx.Row) error { return row.Scan(&us) })
		if err := p.t.send(); err != nil {
			return err
		}
		now = fromMicros(us)
	}
	if now.Before(p.reply.Now) {
		return fmt.Errorf("%w: a claim was prepared for %v, and the clock reads %v", errAgain, p.reply.Now, now)
	}
	return p.t.commit()
}

// Cancel implements punctual.Prepared.
func (p *prepared) Cancel(ctx context.Context) {
	if abandon(ctx, p.conn) != nil {
		_ = p.conn.Conn().Close(ctx) // which ends the transaction as well
	}
	p.conn.Release()
}

// named makes a list of names that is not null.
func named(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}
