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
	self   ref // its number
	state  sessionState
	info   punctual.Instance // unless the session is unknown
	runs   []ref             // that are running, in no order
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
	if s.named != nil && s.named.info.Session == id {
		return s.named
	}
	ses := s.sessions[id]
	if ses == nil {
		n := s.owners.take()
		ses = s.owners.at(n)
		ses.self, ses.info.Session = n, id
		s.sessions[id] = ses
	}
	s.named = ses
	return ses
}

// drop forgets a session that has no runs.
func (s *Store) drop(ses *session) {
	delete(s.sessions, ses.info.Session)
	s.owners.give(ses.self)
	s.named = nil
}

// own adds a running run to those of its session.
func (s *Store) own(r *row) {
	ses := s.owners.at(r.owner)
	r.place = int32(len(ses.runs))
	ses.runs = append(ses.runs, r.self)
	if s.order(r) != nil {
		ses.orders++
	}
}

// disown takes a run away from its session.
func (s *Store) disown(r *row) {
	ses := s.owners.at(r.owner)
	r.owner = 0
	last := len(ses.runs) - 1
	s.rows.at(ses.runs[last]).place = r.place
	ses.runs[r.place] = ses.runs[last]
	ses.runs = ses.runs[:last]
	if s.order(r) != nil {
		ses.orders--
	}
	if ses.state == sessionUnknown && len(ses.runs) == 0 {
		s.drop(ses)
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
		for _, n := range ses.runs {
			r := s.rows.at(n)
			if order := s.order(r); order != nil {
				reply.Cancel = append(reply.Cancel, punctual.CancelOrder{RunID: s.idOf(r), Reason: order.reason, BlockedBy: order.blockedBy})
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
		s.sortForReclaim(ses)
		for left := len(ses.runs); left > 0 && len(reply.Runs) < req.Limit; left-- {
			r := s.rows.at(ses.runs[left-1])
			due = min(due, s.reclaim(r, now))
			reply.Runs = append(reply.Runs, s.copy(r))
		}
		if s.sessions[id] == ses && len(ses.runs) == 0 {
			s.drop(ses) // one that was never opened went with its last run
		}
	}
	reply.More = len(reply.Runs) >= req.Limit
	return reply, due != never && s.othersThan(req.Session)
}

// sortForReclaim puts the oldest run last, where it is taken from. A dead session gets no further ones, so what is left after a call stays
// sorted.
func (s *Store) sortForReclaim(ses *session) {
	newestFirst := func(a, b ref) int { return s.byID(b, a) }
	if slices.IsSortedFunc(ses.runs, newestFirst) {
		return
	}
	slices.SortFunc(ses.runs, newestFirst)
	for i, n := range ses.runs {
		s.rows.at(n).place = int32(i)
	}
}

// reclaim takes a running run away from its session.
func (s *Store) reclaim(r *row, now time.Time) int64 {
	at := now.UnixMicro()
	s.rewrite(r, func() {
		lost := 0
		for _, a := range s.seldom(r).history {
			if a.Outcome == outcomeLost {
				lost++
			}
		}
		order, traits := s.order(r), s.traitsOf(r)
		switch {
		case order != nil:
			s.end(r, punctual.StateCanceled, order.reason, at)
		case traits.atMostOnce:
			s.end(r, punctual.StateLost, punctual.ReasonLeaseLost, at)
		case lost >= punctual.MaxLost:
			s.end(r, punctual.StateFailed, punctual.ReasonLostTooMany, at)
		default:
			r.state, r.due = punctual.StatePending, at
			s.note(r, punctual.Attempt{
				Number: int(r.attempt), Instance: traits.instance, StartedAt: instant(r.started), FinishedAt: now, Outcome: outcomeLost,
			})
			s.endInstead(r, at)
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
	for i, n := range ses.runs {
		runs[i] = s.copy(s.rows.at(n))
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
