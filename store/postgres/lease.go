package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

const (
	// renewSession opens a session or renews it, unless it is dead. The time is taken inside: a beat that had to wait for a lock is as
	// fresh as its commit. It answers with that time.
	renewSession = `INSERT INTO {schema}.sessions AS s (id, instance, version, started_us, seen_us, expires_us, offset_us, in_flight, kinds, dead)
		SELECT $1, $2, $3, now_us, now_us, now_us + $4::bigint, CASE WHEN $5::bigint IS NULL THEN 0 ELSE $5::bigint - now_us END, $6, $8, false
		FROM (SELECT coalesce($7::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us) AS clock
		ON CONFLICT (id) DO UPDATE SET instance = excluded.instance, version = excluded.version, seen_us = excluded.seen_us,
			expires_us = excluded.expires_us, offset_us = excluded.offset_us, in_flight = excluded.in_flight, kinds = excluded.kinds
		WHERE NOT s.dead
		RETURNING s.seen_us`

	selectOrders = `SELECT r.id, r.reason, r.blocked_by FROM {schema}.live_runs r WHERE r.state = 'running' AND r.cancel AND r.session = $1 ORDER BY r.id`
	selectHeld   = `SELECT ` + runNames + ` FROM {schema}.live_runs r WHERE r.state = 'running' AND r.session = $1 ORDER BY r.id`

	// expireSessions marks sessions dead whose lease has lapsed. A beat that is under way wins, and so does a claim.
	expireSessions = `UPDATE {schema}.sessions SET dead = true WHERE id IN (
		SELECT s.id FROM {schema}.sessions s WHERE NOT s.dead AND s.expires_us <= $1 AND s.id <> $2 FOR UPDATE SKIP LOCKED)`

	// orphaned says of a running run that its session is dead or gone. A store that is shared by nobody has runs without session.
	orphaned = `r.state = 'running' AND r.session <> '' AND r.session <> $1
		AND NOT EXISTS (SELECT 1 FROM {schema}.sessions s WHERE s.id = r.session AND NOT s.dead)`

	selectOrphans = `SELECT r.id, r.task_id FROM {schema}.live_runs r WHERE ` + orphaned + ` ORDER BY r.session, r.id LIMIT $2`

	// lockOrphans passes over rows that somebody else has locked: a result that is being recorded, or another's Reclaim.
	lockOrphans = `SELECT ` + runNames + ` FROM {schema}.live_runs r WHERE r.id = ANY ($2::text[]) AND ` + orphaned + ` ORDER BY r.id FOR UPDATE SKIP LOCKED`

	// burySessions forgets dead sessions after a day: until then a beat that comes late learns that its session is dead.
	burySessions = `DELETE FROM {schema}.sessions s WHERE s.dead AND s.expires_us < $1
		AND NOT EXISTS (SELECT 1 FROM {schema}.live_runs r WHERE r.state = 'running' AND r.session = s.id)`

	nothingToReclaim = `SELECT NOT EXISTS (SELECT 1 FROM {schema}.sessions s WHERE NOT s.dead AND s.expires_us <= $2 AND s.id <> $1 OR s.dead AND s.expires_us < $3)
		AND NOT EXISTS (SELECT 1 FROM {schema}.live_runs r WHERE ` + orphaned + `)`

	endSession = `UPDATE {schema}.sessions SET dead = true WHERE id IN (SELECT s.id FROM {schema}.sessions s WHERE s.id = $1 FOR UPDATE)`

	selectSessions = `SELECT id, instance, version, started_us, seen_us, expires_us, offset_us, in_flight, kinds FROM {schema}.sessions
		WHERE NOT dead ORDER BY instance, id`
)

// remembered is how long a dead session is kept after its lease lapsed.
const remembered = 24 * time.Hour

// Beat implements punctual.Leaser. It goes over a connection that no other call can keep it waiting for.
func (s *Store) Beat(ctx context.Context, req punctual.BeatRequest) (punctual.BeatReply, error) {
	var reply punctual.BeatReply
	err := s.tx(ctx, s.own, func(t *txn) error {
		reply = punctual.BeatReply{}
		var seen []int64
		ask(t, &seen, func(rows pgx.Rows) (us int64, err error) { return us, rows.Scan(&us) }, renewSession, req.Session, req.Instance, req.Version,
			req.Lease.Microseconds(), toMicros(req.Clock), req.InFlight, toMicros(req.Now), ledger.KindsText(req.Kinds))
		t.time(req.Now, &reply.Now)
		ask(t, &reply.Cancel, func(rows pgx.Rows) (o punctual.CancelOrder, err error) {
			return o, rows.Scan(&o.RunID, &o.Reason, &o.BlockedBy)
		}, selectOrders, req.Session)
		if err := t.commit(); err != nil {
			return err
		}
		if len(seen) == 0 {
			reply.Lost, reply.Cancel = true, nil
		} else {
			reply.Now = fromMicros(seen[0])
		}
		return nil
	})
	return reply, err
}

// Reclaim implements punctual.Leaser. Most calls find nothing, so they look first and write only if there is something to do.
func (s *Store) Reclaim(ctx context.Context, req punctual.ReclaimRequest) (punctual.ReclaimReply, error) {
	var reply punctual.ReclaimReply
	due := false
	err := s.tx(ctx, s.pool, func(t *txn) error {
		reply, due = punctual.ReclaimReply{}, false
		idle := false
		var at time.Time
		t.time(req.Now, &at)
		if err := t.send(); err != nil {
			return err
		}
		t.queue(nothingToReclaim, req.Session, at.UnixMicro(), at.Add(-remembered).UnixMicro()).QueryRow(func(row pgx.Row) error {
			return row.Scan(&idle)
		})
		if err := t.send(); err != nil || idle {
			return err
		}
		var ids, tasks []string
		t.queue(expireSessions, at.UnixMicro(), req.Session)
		t.queue(selectOrphans, req.Session, req.Limit).Query(func(rows pgx.Rows) error {
			var id, task string
			_, err := pgx.ForEachRow(rows, []any{&id, &task}, func() error {
				ids, tasks = append(ids, id), append(tasks, task)
				return nil
			})
			return err
		})
		if err := t.send(); err != nil {
			return err
		}
		t.queue(lockDelayed, distinct(tasks))
		ask(t, &reply.Runs, scanRun, lockOrphans, req.Session, ids)
		there := tasksThere(t, tasks)
		t.queue(burySessions, at.Add(-remembered).UnixMicro())
		if err := t.send(); err != nil {
			return err
		}
		var next time.Time
		e := ends{t: t, now: at, next: &next, delays: true, waits: true}
		for i := range reply.Runs {
			run := &reply.Runs[i]
			ledger.TakeAway(run, !there[run.TaskID], at)
			e.rewrite(run)
		}
		reply.More = len(ids) == req.Limit
		if err := e.commit(); err != nil {
			return err
		}
		due = !next.IsZero()
		return nil
	})
	if err != nil {
		return punctual.ReclaimReply{}, err
	}
	if due {
		s.tell(ctx)
	}
	return reply, nil
}

// Held implements punctual.Leaser.
func (s *Store) Held(ctx context.Context, session string) ([]punctual.Run, error) {
	return query(ctx, s.own, scanRun, s.text(selectHeld), session)
}

// EndSession implements punctual.Leaser.
func (s *Store) EndSession(ctx context.Context, session string) error {
	return s.tx(ctx, s.own, func(t *txn) error {
		t.queue(endSession, session)
		return t.commit()
	})
}

// Instances implements punctual.Leaser.
func (s *Store) Instances(ctx context.Context) ([]punctual.Instance, error) {
	return query(ctx, s.pool, func(rows pgx.Rows) (punctual.Instance, error) {
		var i punctual.Instance
		var started, seen, expires, offset int64
		var kinds *string
		err := rows.Scan(&i.Session, &i.Name, &i.Version, &started, &seen, &expires, &offset, &i.InFlight, &kinds)
		i.Kinds = ledger.KindsOf(kinds)
		i.StartedAt, i.LastSeenAt, i.ExpiresAt = fromMicros(started), fromMicros(seen), fromMicros(expires)
		i.ClockOffset = time.Duration(offset) * time.Microsecond
		return i, err
	}, s.text(selectSessions))
}
