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
	state  sessionState
	info   punctual.Instance // unless the session is unknown
	runs   []*row            // that are running, in no order
	orders int               // how many of them are ordered to be cancelled
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

// sessionNamed returns the session with the id for a run that only names it; nil for none.
func (s *Store) sessionNamed(id string) *session {
	switch {
	case id == "":
		return nil
	case s.named == nil || s.named.info.Session != id:
		ses := s.sessions[id]
		if ses == nil {
			return &session{info: punctual.Instance{Session: id}}
		}
		s.named = ses
	}
	return s.named
}

// drop forgets a session.
func (s *Store) drop(id string) {
	delete(s.sessions, id)
	s.named = nil
}

// own gives a running run to the session that it names.
func (s *Store) own(r *row) {
	ses := r.owner
	if !ses.open() {
		ses = s.sessionOf(r.session())
	}
	r.owner, r.place = ses, int32(len(ses.runs))
	ses.runs = append(ses.runs, r)
	if r.cancelRequested() {
		ses.orders++
	}
}

// disown takes a run away from its session.
func (s *Store) disown(r *row) {
	ses := r.owner
	r.owner = nil
	last := len(ses.runs) - 1
	ses.runs[last].place = r.place
	ses.runs[r.place] = ses.runs[last]
	ses.runs[last] = nil
	ses.runs = ses.runs[:last]
	if r.cancelRequested() {
		ses.orders--
	}
	if ses.state == sessionUnknown && len(ses.runs) == 0 {
		s.drop(ses.info.Session)
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
	info.Name, info.Version, info.InFlight, info.Kinds = req.Instance, req.Version, req.InFlight, slices.Clone(req.Kinds)
	info.LastSeenAt, info.ExpiresAt = now, clean(now.Add(req.Lease))
	info.ClockOffset = 0
	if !req.Clock.IsZero() {
		info.ClockOffset = clean(req.Clock).Sub(now)
	}
	reply := punctual.BeatReply{Now: now}
	if ses.orders > 0 {
		for _, r := range ses.runs {
			if r.cancelRequested() {
				reply.Cancel = append(reply.Cancel, punctual.CancelOrder{RunID: r.id, Reason: r.extra.reason, BlockedBy: r.extra.blockedBy})
			}
		}
		slices.SortFunc(reply.Cancel, func(a, b punctual.CancelOrder) int { return cmp.Compare(a.RunID, b.RunID) })
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
		ses.sortForReclaim()
		for len(ses.runs) > 0 && len(reply.Runs) < req.Limit {
			r := ses.runs[len(ses.runs)-1]
			due = min(due, s.reclaim(r, now))
			reply.Runs = append(reply.Runs, r.copy())
		}
		if len(ses.runs) == 0 {
			s.drop(id)
		}
	}
	reply.More = len(reply.Runs) >= req.Limit
	return reply, due != never && s.othersThan(req.Session)
}

// sortForReclaim puts the oldest run last, where it is taken from. A dead session gets no further ones, so what is left after a call stays
// sorted.
func (ses *session) sortForReclaim() {
	newestFirst := func(a, b *row) int { return compareRows(b, a) }
	if slices.IsSortedFunc(ses.runs, newestFirst) {
		return
	}
	slices.SortFunc(ses.runs, newestFirst)
	for i, r := range ses.runs {
		r.place = int32(i)
	}
}

// reclaim takes a running run away from its session.
func (s *Store) reclaim(r *row, now time.Time) int64 {
	at := now.UnixMicro()
	s.rewrite(r, func() {
		lost := 0
		for _, a := range r.seldom().history {
			if a.Outcome == outcomeLost {
				lost++
			}
		}
		r.owner = nil
		switch {
		case r.cancelRequested():
			r.end(punctual.StateCanceled, r.extra.reason, at)
		case r.traits.atMostOnce:
			r.end(punctual.StateLost, punctual.ReasonLeaseLost, at)
		case lost >= punctual.MaxLost:
			r.end(punctual.StateFailed, punctual.ReasonLostTooMany, at)
		default:
			r.state, r.due = punctual.StatePending, at
			a := punctual.Attempt{
				Number: int(r.attempt), StartedAt: instant(r.started), FinishedAt: now, Outcome: outcomeLost,
			}
			if r.instance != nil {
				a.Instance = *r.instance
			}
			r.note(a)
			r.endInstead(at)
		}
	})
	next := s.left(r, at)
	if s.passOn(at) {
		next = at
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
	if ses == nil || len(ses.runs) == 0 {
		return nil, nil
	}
	runs := make([]punctual.Run, len(ses.runs))
	for i, r := range ses.runs {
		r.fill(&runs[i])
	}
	slices.SortFunc(runs, func(a, b punctual.Run) int { return cmp.Compare(a.ID, b.ID) })
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
			info := ses.info
			info.Kinds = slices.Clone(info.Kinds)
			open = append(open, info)
		}
	}
	slices.SortFunc(open, func(a, b punctual.Instance) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Session, b.Session))
	})
	return open, nil
}
