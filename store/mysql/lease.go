package mysql

import (
	"context"
	"database/sql"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

const (
	// renewSession opens or renews a session. A dead one stays as it is.
	renewSession = `INSERT INTO {sessions} (id, instance, version, started_us, seen_us, expires_us, offset_us, in_flight, kinds, dead)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)
		ON DUPLICATE KEY UPDATE instance = IF(dead, instance, VALUES(instance)), version = IF(dead, version, VALUES(version)),
			seen_us = IF(dead, seen_us, VALUES(seen_us)), expires_us = IF(dead, expires_us, VALUES(expires_us)),
			offset_us = IF(dead, offset_us, VALUES(offset_us)), in_flight = IF(dead, in_flight, VALUES(in_flight)),
			kinds = IF(dead, kinds, VALUES(kinds))`

	selectOrders = `SELECT id, reason, blocked_by FROM {runs} FORCE INDEX (runs_session)
		WHERE session_id = ? AND state = 'running' AND cancel_ordered = 1 ORDER BY id`
	selectHeld = `SELECT ` + runColumns + ` FROM {runs} FORCE INDEX (runs_session) WHERE session_id = ? AND state = 'running' ORDER BY id`

	expireSessions = `UPDATE {sessions} SET dead = 1 WHERE dead = 0 AND expires_us <= ? AND id <> ?`

	// orphaned are running runs whose session is dead or gone. A store that is shared by nobody has runs without session.
	orphaned = `state = 'running' AND session_id > '' AND session_id <> ? AND session_id NOT IN (SELECT id FROM {sessions} WHERE dead = 0)`

	selectOrphans = `SELECT id, task_id FROM {runs} FORCE INDEX (runs_session) WHERE ` + orphaned + ` ORDER BY session_id, id LIMIT ?`
	lockOrphans   = `SELECT ` + runColumns + ` FROM {runs} FORCE INDEX (PRIMARY) WHERE id IN (?) AND ` + orphaned + ` ORDER BY id FOR UPDATE`

	// burySessions forgets dead sessions after a day: until then a beat that comes late learns that its session is dead.
	burySessions = `DELETE FROM {sessions} WHERE dead = 1 AND expires_us < ?
		AND NOT EXISTS (SELECT 1 FROM {runs} WHERE {runs}.session_id = {sessions}.id AND {runs}.state = 'running')`

	endSession = `UPDATE {sessions} SET dead = 1 WHERE id = ?`

	selectSessions = `SELECT id, instance, version, started_us, seen_us, expires_us, offset_us, in_flight, kinds FROM {sessions}
		WHERE dead = 0 ORDER BY instance, id`

	selectReclaimable = `SELECT EXISTS (SELECT 1 FROM {sessions} WHERE dead = 0 AND expires_us <= ? AND id <> ? OR dead = 1 AND expires_us < ?)
		OR EXISTS (SELECT 1 FROM {runs} FORCE INDEX (runs_session) WHERE ` + orphaned + `)`
)

// remembered is how long a dead session is kept after its lease lapsed.
const remembered = 24 * time.Hour

// Beat implements punctual.Leaser.
func (s *Store) Beat(ctx context.Context, req punctual.BeatRequest) (punctual.BeatReply, error) {
	var reply punctual.BeatReply
	err := s.txOn(ctx, s.beats, func(t *txn) error {
		at, err := t.now(req.Now)
		if err != nil {
			return err
		}
		reply = punctual.BeatReply{Now: at}
		now := at.UnixMicro()
		offset := int64(0)
		if !req.Clock.IsZero() {
			offset = req.Clock.UnixMicro() - now
		}
		_, err = t.exec(renewSession, req.Session, req.Instance, req.Version, now, now, now+req.Lease.Microseconds(), offset, req.InFlight,
			ledger.KindsText(req.Kinds))
		if err != nil {
			return err
		}
		alive, err := collect(t, scanText, selectSession, req.Session)
		if err != nil {
			return err
		}
		if len(alive) == 0 {
			reply.Lost = true
			return nil
		}
		reply.Cancel, err = collect(t, func(rows *sql.Rows) (o punctual.CancelOrder, err error) {
			return o, rows.Scan(&o.RunID, &o.Reason, &o.BlockedBy)
		}, selectOrders, req.Session)
		return err
	})
	if err != nil {
		return punctual.BeatReply{}, err
	}
	return reply, nil
}

// Reclaim implements punctual.Leaser. Most calls find nothing, so they look first and write only if there is something to do.
func (s *Store) Reclaim(ctx context.Context, req punctual.ReclaimRequest) (punctual.ReclaimReply, error) {
	var reply punctual.ReclaimReply
	now, err := s.now(ctx, s.db, req.Now)
	if err != nil {
		return reply, fault(ctx, err)
	}
	todo, err := read(ctx, s, s.db, func(rows *sql.Rows) (yes bool, err error) { return yes, rows.Scan(&yes) }, selectReclaimable,
		now.UnixMicro(), req.Session, now.Add(-remembered).UnixMicro(), req.Session)
	if err != nil || !todo[0] {
		return reply, fault(ctx, err)
	}
	err = s.tx(ctx, func(t *txn) (err error) {
		reply, err = reclaim(t, req, now)
		return err
	})
	if err != nil {
		return punctual.ReclaimReply{}, err
	}
	return reply, nil
}

func reclaim(t *txn, req punctual.ReclaimRequest, now time.Time) (reply punctual.ReclaimReply, err error) {
	if _, err := t.exec(expireSessions, now.UnixMicro(), req.Session); err != nil {
		return reply, err
	}
	var ids, tasks []string
	_, err = collect(t, func(rows *sql.Rows) (struct{}, error) {
		var id, task string
		err := rows.Scan(&id, &task)
		ids, tasks = append(ids, id), append(tasks, task)
		return struct{}{}, err
	}, selectOrphans, req.Session, req.Limit)
	if err != nil {
		return reply, err
	}
	if len(ids) > 0 {
		if reply.Runs, err = takeOver(t, ids, tasks, req.Session, now); err != nil {
			return reply, err
		}
	}
	reply.More = len(ids) == req.Limit
	_, err = t.exec(burySessions, now.Add(-remembered).UnixMicro())
	return reply, err
}

// takeOver takes runs of dead sessions away, those excepted whose task somebody else has locked.
func takeOver(t *txn, ids, tasks []string, own string, now time.Time) ([]punctual.Run, error) {
	owners := owners{}
	if err := owners.lock(t, tasks, true); err != nil {
		return nil, err
	}
	var free []string
	for i, id := range ids {
		if !owners[tasks[i]].busy {
			free = append(free, id)
		}
	}
	runs, err := collect(t, scanRun, lockOrphans, free, own)
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(runs))
	for i := range runs {
		keys[i] = runs[i].ConcurrencyKey
	}
	if err := lockKeys(t, keys); err != nil {
		return nil, err
	}
	e := ending{t: t, now: now, owners: owners}
	for i := range runs {
		ledger.TakeAway(&runs[i], owners[runs[i].TaskID].gone, now)
		e.rewrite(&runs[i])
	}
	_, err = e.leave()
	return runs, err
}

// Held implements punctual.Leaser.
func (s *Store) Held(ctx context.Context, session string) ([]punctual.Run, error) {
	runs, err := read(ctx, s, s.db, scanRun, selectHeld, session)
	return runs, fault(ctx, err)
}

// EndSession implements punctual.Leaser.
func (s *Store) EndSession(ctx context.Context, session string) error {
	return s.tx(ctx, func(t *txn) error {
		_, err := t.exec(endSession, session)
		return err
	})
}

// Instances implements punctual.Leaser.
func (s *Store) Instances(ctx context.Context) ([]punctual.Instance, error) {
	list, err := read(ctx, s, s.db, func(rows *sql.Rows) (punctual.Instance, error) {
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
