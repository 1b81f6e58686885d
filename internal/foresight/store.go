// Package foresight makes claims ahead over a store in memory, and several at a time, for tests of the engine, of the suite that checks stores, and
// for the simulation. The store of the package memory has no use for that: its claims are over before anybody could be late.
package foresight

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

// Shared is a store whose edits are over at once, such as a memory.Store.
type Shared interface {
	punctual.Store
	punctual.Leaser
	punctual.Watcher
}

// Store is another that is a punctual.Preparer as well. Its fields are set before it is used.
type Store struct {
	Shared
	// Clock is the store's own clock.
	Clock clock.Clock
	// Each is what it takes to prepare a task.
	Each time.Duration
	// Called is told of claims, beats and all that has to do with claims made ahead, by name, and may make them fail. Nil for nobody.
	Called func(call string) error
	// Write tells how long it is from when a claim has locked its tasks until it commits, and how it fails instead, if it does. The task is the
	// first of them. Nil for claims that are over at once, and never two at a time.
	Write func(session, task string) (time.Duration, error)

	mu   sync.Mutex        // guards all below; it is held while a call of the Shared store is carried out that must not come in between
	held map[string]*claim // by task
}

// New makes an empty Store on the real clock.
func New() *Store { return Over(memory.New()) }

// Over makes claims ahead for another store.
func Over(store Shared) *Store {
	return &Store{Shared: store, Clock: clock.New(), held: make(map[string]*claim)}
}

func (s *Store) called(call string) error {
	if s.Called == nil {
		return nil
	}
	return s.Called(call)
}

// Beat implements punctual.Leaser.
func (s *Store) Beat(ctx context.Context, req punctual.BeatRequest) (punctual.BeatReply, error) {
	if err := s.called("beat"); err != nil {
		return punctual.BeatReply{}, err
	}
	return s.Shared.Beat(ctx, req)
}

// Reclaim implements punctual.Leaser. It does not come between a commit's look at the session and what is committed.
func (s *Store) Reclaim(ctx context.Context, req punctual.ReclaimRequest) (punctual.ReclaimReply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Shared.Reclaim(ctx, req)
}

// EndSession implements punctual.Leaser, and keeps to the same.
func (s *Store) EndSession(ctx context.Context, session string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Shared.EndSession(ctx, session)
}

// Edit implements punctual.Store. It waits for the end of a claim that holds the task.
func (s *Store) Edit(ctx context.Context, req punctual.EditRequest) (punctual.EditReply, error) {
	id := req.TaskID
	if id == "" {
		run, err := s.Run(ctx, req.RunID)
		if err != nil {
			return punctual.EditReply{}, err
		}
		id = run.TaskID
	}
	for {
		s.mu.Lock()
		holder := s.held[id]
		if holder == nil {
			defer s.mu.Unlock()
			return s.Shared.Edit(ctx, req)
		}
		s.mu.Unlock()
		select {
		case <-holder.over:
		case <-ctx.Done():
			return punctual.EditReply{}, fmt.Errorf("foresight: %w", context.Cause(ctx))
		}
	}
}

// Claim implements punctual.Store. It passes over tasks that another claim holds.
func (s *Store) Claim(ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
	if err := s.called("claim"); err != nil {
		return punctual.ClaimReply{}, err
	}
	if s.Write != nil {
		return s.claimSlowly(ctx, req)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claimOf(ctx, req, nil)
}

// Upcoming implements punctual.Preparer.
func (s *Store) Upcoming(ctx context.Context, req punctual.UpcomingRequest) (int, error) {
	if err := s.called("upcoming"); err != nil {
		return 0, err
	}
	ids, err := s.upcoming(ctx, req)
	return len(ids), err
}

// upcoming lists up to Limit tasks that come due at an instant, by priority and then id.
func (s *Store) upcoming(ctx context.Context, req punctual.UpcomingRequest) ([]string, error) {
	var found []punctual.Task
	for q := (punctual.TaskQuery{Limit: punctual.MaxLimit}); ; {
		page, err := s.Tasks(ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range page {
			t := &page[i]
			wanted := (req.Kinds == nil || slices.Contains(req.Kinds, t.Task.Kind)) && !slices.Contains(req.Without, t.Task.Kind)
			if wanted && t.Fault == "" && t.NextRunAt.Equal(req.At) {
				found = append(found, t.Task)
			}
		}
		if len(page) < q.Limit {
			break
		}
		q.After = page[len(page)-1].Task.ID
	}
	slices.SortStableFunc(found, func(a, b punctual.Task) int { return cmp.Compare(b.Priority, a.Priority) })
	ids := make([]string, min(len(found), req.Limit))
	for i := range ids {
		ids[i] = found[i].ID
	}
	return ids, nil
}

// Prepare implements punctual.Preparer.
func (s *Store) Prepare(ctx context.Context, req punctual.PrepareRequest) (punctual.Prepared, error) {
	if err := s.called("prepare"); err != nil {
		return nil, err
	}
	if err := s.alive(ctx, req.Session); err != nil {
		return nil, err
	}
	c := &claim{s: s, req: req, over: make(chan struct{})}
	c.expiry = s.Clock.AfterFunc(req.Hold+grace, c.end)
	if err := c.Extend(ctx, req.Limit); err != nil || c.starts == 0 {
		c.end()
		return nil, err
	}
	return c, nil
}

// alive says whether a session is.
func (s *Store) alive(ctx context.Context, session string) error {
	instances, err := s.Instances(ctx)
	if err != nil || session == "" || slices.ContainsFunc(instances, func(i punctual.Instance) bool { return i.Session == session }) {
		return err
	}
	return fmt.Errorf("%w: session %s is not alive", punctual.ErrLeaseLost, session)
}
