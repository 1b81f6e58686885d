package foresight

import (
	"context"

	"github.com/punctual-go/punctual"
)

// ClaimsOverlap implements punctual.Overlapper.
func (s *Store) ClaimsOverlap() bool { return s.Write != nil }

// claimSlowly makes a claim that locks what it takes, passing over what others hold, and commits it later: others may come in between, which pass
// over what it holds, and may commit before it.
func (s *Store) claimSlowly(ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
	c, err := s.lock(ctx, req)
	if err != nil {
		return punctual.ClaimReply{}, err
	}
	defer c.end()
	if len(c.tasks) > 0 {
		takes, err := s.Write(req.Session, c.tasks[0].task.ID)
		s.Clock.Sleep(takes)
		if err != nil {
			return punctual.ClaimReply{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claimOf(ctx, req, c)
}

// lock holds what a claim takes. It decides about each, and what it decides is thrown away: the claim decides again when it commits, as one does
// whose transaction is repeated.
func (s *Store) lock(ctx context.Context, req punctual.ClaimRequest) (*claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &claim{s: s, over: make(chan struct{})}
	decide := req.Decide
	req.Decide = func(v punctual.View) (punctual.Change, error) {
		id := v.Record.Task.ID
		left := req.Limit - c.starts
		if s.held[id] != nil || left <= 0 || len(c.tasks) >= req.Limit {
			return punctual.Change{}, nil
		}
		v.Slots = min(v.Slots, left)
		change, err := decide(v)
		if err == nil { // else it is found again, and set aside
			c.starts += change.Starts()
		}
		c.tasks = append(c.tasks, prepared{task: v.Record.Task})
		s.held[id] = c
		return punctual.Change{}, nil
	}
	_, err := s.Shared.Claim(ctx, req)
	if err != nil {
		c.endLocked()
	}
	return c, err
}

// claimOf makes a claim that passes over what others hold, and, when it comes from a claim that has locked what it takes, over all else. The store
// is locked.
func (s *Store) claimOf(ctx context.Context, req punctual.ClaimRequest, own *claim) (punctual.ClaimReply, error) {
	decide := req.Decide
	req.Decide = func(v punctual.View) (punctual.Change, error) {
		if s.held[v.Record.Task.ID] != own {
			return punctual.Change{}, nil
		}
		return decide(v)
	}
	return s.Shared.Claim(ctx, req)
}
