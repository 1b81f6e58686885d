package sqlite

import (
	"context"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

const (
	renewSession = `INSERT INTO sessions (id, instance, version, started_us, seen_us, expires_us, offset_us, in_flight, kinds, dead)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)
		ON CONFLICT (id) DO UPDATE SET instance = excluded.instance, version = excluded.version, seen_us = excluded.seen_us,
			expires_us = excluded.expires_us, offset_us = excluded.offset_us, in_flight = excluded.in_flight, kinds = excluded.kinds
		WHERE dead = 0`

	selectOrders = `SELECT id, reason, blocked_by FROM runs WHERE session = ?` + live + ` AND state = 'running' AND cancel = 1 ORDER BY id`
	selectHeld   = `SELECT ` + runColumns + ` FROM runs WHERE session = ?` + live + ` AND state = 'running' ORDER BY id`

	expireSessions = `UPDATE sessions SET dead = 1 WHERE dead = 0 AND expires_us <= ? AND id <> ?`

	// selectOrphans finds running runs whose session is dead or gone. A store that is shared by nobody has runs without session.
	selectOrphans = `SELECT ` + runColumns + ` FROM runs
		WHERE state = 'running'` + live + ` AND session <> '' AND session <> ? AND session NOT IN (SELECT id FROM sessions WHERE dead = 0)
		ORDER BY session, id LIMIT ?`

	// burySessions forgets dead sessions after a day: until then a beat that comes late learns that its session is dead.
	burySessions = `DELETE FROM sessions WHERE dead = 1 AND expires_us < ?
		AND NOT EXISTS (SELECT 1 FROM runs WHERE session = sessions.id AND state = 'running'` + live + `)`

	endSession = `UPDATE sessions SET dead = 1 WHERE id = ?`

	selectSessions = `SELECT id, instance, version, started_us, seen_us, expires_us, offset_us, in_flight, kinds FROM sessions
		WHERE dead = 0 ORDER BY instance, id`
)

// remembered is how long a dead session is kept after its lease lapsed.
const remembered = 24 * time.Hour

// Beat implements punctual.Leaser.
func (s *Store) Beat(ctx context.Context, req punctual.BeatRequest) (punctual.BeatReply, error) {
	var reply punctual.BeatReply
	err := s.tx(ctx, func(tx *txn) error {
		reply = punctual.BeatReply{Now: s.now(req.Now)}
		now := reply.Now.UnixMicro()
		offset := int64(0)
		if !req.Clock.IsZero() {
			offset = req.Clock.UnixMicro() - now
		}
		n, err := tx.exec(renewSession, req.Session, req.Instance, req.Version, now, now, now+req.Lease.Microseconds(), offset, req.InFlight,
			ledger.KindsText(req.Kinds))
		if err != nil {
			return err
		}
		if n == 0 {
			reply.Lost = true
			return nil
		}
		reply.Cancel, err = collect(ctx, tx, func(rows rows) (o punctual.CancelOrder, err error) {
			return o, rows.Scan(&o.RunID, &o.Reason, &o.BlockedBy)
		}, selectOrders, req.Session)
		return err
	})
	return reply, err
}

// Reclaim implements punctual.Leaser. Most calls find nothing, so they look first and write only if there is something to do.
func (s *Store) Reclaim(ctx context.Context, req punctual.ReclaimRequest) (punctual.ReclaimReply, error) {
	var reply punctual.ReclaimReply
	now := s.now(req.Now)
	idle, err := s.nothingToReclaim(ctx, now, req.Session)
	if err != nil || idle {
		return reply, fault(ctx, err)
	}
	err = s.tx(ctx, func(tx *txn) error {
		reply = punctual.ReclaimReply{}
		if _, err := tx.exec(expireSessions, now.UnixMicro(), req.Session); err != nil {
			return err
		}
		runs, err := collect(ctx, tx, scanRun, selectOrphans, req.Session, req.Limit)
		if err != nil {
			return err
		}
		gone, err := goneTasks(ctx, tx, runs)
		if err != nil {
			return err
		}
		var left []ended
		for i := range runs {
			run := &runs[i]
			ledger.TakeAway(run, gone[run.TaskID], now)
			if err := rewrite(tx, run); err != nil {
				return err
			}
			left = append(left, ended{run.TaskID, run.State.Final(), run.FinishedAt, run.ConcurrencyKey})
		}
		var next time.Time
		if err := leave(ctx, tx, left, now, &next); err != nil {
			return err
		}
		if _, err := tx.exec(burySessions, now.Add(-remembered).UnixMicro()); err != nil {
			return err
		}
		reply = punctual.ReclaimReply{Runs: runs, More: len(runs) == req.Limit}
		return nil
	})
	return reply, err
}

func (s *Store) nothingToReclaim(ctx context.Context, now time.Time, own string) (bool, error) {
	var sessions, runs bool
	err := s.read.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sessions WHERE dead = 0 AND expires_us <= ? AND id <> ? OR dead = 1 AND expires_us < ?),
		EXISTS (SELECT 1 FROM runs WHERE state = 'running'`+live+` AND session <> '' AND session <> ? AND session NOT IN (SELECT id FROM sessions WHERE dead = 0))`,
		now.UnixMicro(), own, now.Add(-remembered).UnixMicro(), own).Scan(&sessions, &runs)
	return !sessions && !runs, err
}

// Held implements punctual.Leaser.
func (s *Store) Held(ctx context.Context, session string) ([]punctual.Run, error) {
	runs, err := collect(ctx, reading{s.read}, scanRun, selectHeld, session)
	return runs, fault(ctx, err)
}

// EndSession implements punctual.Leaser.
func (s *Store) EndSession(ctx context.Context, session string) error {
	return s.tx(ctx, func(tx *txn) error {
		_, err := tx.exec(endSession, session)
		return err
	})
}

// Instances implements punctual.Leaser.
func (s *Store) Instances(ctx context.Context) ([]punctual.Instance, error) {
	list, err := collect(ctx, reading{s.read}, func(rows rows) (punctual.Instance, error) {
		var i punctual.Instance
		var started, seen, expires, offset int64
		var kinds *string
		err := rows.Scan(&i.Session, &i.Name, &i.Version, &started, &seen, &expires, &offset, &i.InFlight, &kinds)
		i.Kinds = ledger.KindsOf(kinds)
		i.StartedAt, i.LastSeenAt, i.ExpiresAt = fromMicros(started), fromMicros(seen), fromMicros(expires)
		i.ClockOffset = time.Duration(offset) * time.Microsecond
		return i, err
	}, selectSessions)
	return list, fault(ctx, err)
}
