package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/punctual-go/punctual"
)

// session is the lease of one instance and the attempts that run under it.
type session struct {
	state sessionState
	info  punctual.Instance // unless the session is unknown
	runs  list[*row]        // by id
}

type sessionState uint8

const (
	sessionUnknown sessionState = iota // runs name it but it was never opened
	sessionOpen
	sessionDead
)

func (ses *session) open() bool { return ses != nil && ses.state == sessionOpen }

// sessionOf returns the session with the id, for a run that starts under it.
func (s *Store) sessionOf(id string) *session {
	ses := s.sessions[id]
	if ses == nil {
		ses = &session{info: punctual.Instance{Session: id}}
		s.sessions[id] = ses
	}
	return ses
}

// disown takes a run away from its session.
func (s *Store) disown(r *row) {
	ses := r.owner
	r.owner = nil
	ses.runs.remove(r, compareRows)
	if ses.state == sessionUnknown && ses.runs.empty() {
		delete(s.sessions, ses.info.Session)
	}
}

// othersThan reports whether there may be an instance besides the one whose session this is.
func (s *Store) othersThan(session string) bool {
	return s.alive > 1 || !s.sessions[session].open()
}

// Beat implements punctual.Leaser.
func (s *Store) Beat(ctx context.Context, req punctual.BeatRequest) (punctual.BeatReply, error) {
	if err := gate(ctx, "beat"); err != nil {
		return punctual.BeatReply{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now(req.Now)
	if _, dead := s.dead[req.Session]; dead {
		return punctual.BeatReply{Now: now, Lost: true}, nil
	}
	ses := s.sessionOf(req.Session)
	info := &ses.info
	if !ses.open() {
		ses.state = sessionOpen
		info.StartedAt = now
		s.alive++
	}
	info.Name, info.Version, info.InFlight = req.Instance, req.Version, req.InFlight
	info.LastSeenAt, info.ExpiresAt = now, clean(now.Add(req.Lease))
	info.ClockOffset = 0
	if !req.Clock.IsZero() {
		info.ClockOffset = clean(req.Clock).Sub(now)
	}
	reply := punctual.BeatReply{Now: now}
	for r := range ses.runs.ascend(position{}) {
		if r.run.CancelRequested {
			reply.Cancel = append(reply.Cancel, punctual.CancelOrder{RunID: r.run.ID, Reason: r.run.Reason, BlockedBy: r.run.BlockedBy})
		}
	}
	return reply, nil
}

// Reclaim implements punctual.Leaser.
func (s *Store) Reclaim(ctx context.Context, req punctual.ReclaimRequest) (punctual.ReclaimReply, error) {
	if err := gate(ctx, "reclaim"); err != nil {
		return punctual.ReclaimReply{}, err
	}
	reply, tell := s.reclaimAll(&req)
	if tell {
		s.watch.tell()
	}
	return reply, nil
}

func (s *Store) reclaimAll(req *punctual.ReclaimRequest) (reply punctual.ReclaimReply, tell bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now(req.Now)
	due := int64(never)
	for _, id := range slices.Sorted(maps.Keys(s.sessions)) {
		ses := s.sessions[id]
		if id == req.Session {
			continue
		}
		if ses.open() && !now.Before(ses.info.ExpiresAt) {
			s.kill(ses)
		}
		if ses.open() {
			continue
		}
		for !ses.runs.empty() && len(reply.Runs) < req.Limit {
			r := ses.runs.first()
			due = min(due, s.reclaim(r, now))
			reply.Runs = append(reply.Runs, r.copy())
		}
		if ses.runs.empty() {
			delete(s.sessions, id)
		}
	}
	reply.More = len(reply.Runs) >= req.Limit
	return reply, due != never && s.othersThan(req.Session)
}

// reclaim takes a running run away from its session.
func (s *Store) reclaim(r *row, now time.Time) int64 {
	s.rewrite(r, func(run *punctual.Run) {
		lost := 0
		for _, a := range run.History {
			if a.Outcome == outcomeLost {
				lost++
			}
		}
		run.Session = ""
		switch {
		case run.CancelRequested:
			run.State, run.FinishedAt, run.CancelRequested = punctual.StateCanceled, now, false
		case run.AtMostOnce:
			run.State, run.Reason, run.FinishedAt = punctual.StateLost, punctual.ReasonLeaseLost, now
		case lost >= punctual.MaxLost:
			run.State, run.Reason, run.FinishedAt = punctual.StateFailed, punctual.ReasonLostTooMany, now
		default:
			run.State, run.DueAt = punctual.StatePending, now
			r.note(punctual.Attempt{
				Number: run.Attempt, Instance: run.Instance, StartedAt: run.StartedAt, FinishedAt: now, Outcome: outcomeLost,
			})
			r.endInstead(now)
		}
	})
	next := s.left(r, now)
	if s.passOn(now) {
		next = now.UnixMicro()
	}
	return next
}

func (s *Store) kill(ses *session) {
	ses.state = sessionDead
	s.dead[ses.info.Session] = struct{}{}
	s.alive--
}

// Held implements punctual.Leaser.
func (s *Store) Held(ctx context.Context, session string) ([]punctual.Run, error) {
	if err := gate(ctx, "held"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ses := s.sessions[session]
	if ses == nil {
		return nil, nil
	}
	var runs []punctual.Run
	for r := range ses.runs.ascend(position{}) {
		runs = append(runs, r.copy())
	}
	return runs, nil
}

// EndSession implements punctual.Leaser.
func (s *Store) EndSession(ctx context.Context, session string) error {
	if err := gate(ctx, "end session"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ses := s.sessions[session]; ses.open() {
		s.kill(ses)
	}
	return nil
}

// Instances implements punctual.Leaser.
func (s *Store) Instances(ctx context.Context) ([]punctual.Instance, error) {
	if err := gate(ctx, "instances"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var open []punctual.Instance
	for _, ses := range s.sessions {
		if ses.open() {
			open = append(open, ses.info)
		}
	}
	slices.SortFunc(open, func(a, b punctual.Instance) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Session, b.Session))
	})
	return open, nil
}
