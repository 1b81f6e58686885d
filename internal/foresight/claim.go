package foresight

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/punctual-go/punctual"
)

// patience bounds how long a commit waits for the store's clock.
const patience = 100 * time.Millisecond

// grace is how long after its instant a claim is given up whose instance has vanished.
const grace = time.Second

// claim is one that waits for its instant, or for its commit. Its tasks are held until it is over.
type claim struct {
	s      *Store
	req    punctual.PrepareRequest
	tasks  []prepared
	starts int
	over   chan struct{}
	expiry *clock.Timer // nil when whoever makes the claim ends it
}

// prepared is what was decided about a task.
type prepared struct {
	task   punctual.Task
	change punctual.Change
}

// Extend implements punctual.Prepared.
func (c *claim) Extend(ctx context.Context, limit int) error {
	ids, err := c.s.upcoming(ctx, punctual.UpcomingRequest{At: c.req.At, Limit: 1 << 30, Kinds: c.req.Kinds, Without: c.req.Without})
	if err != nil {
		return err
	}
	before := c.starts
	for _, id := range ids {
		left := limit - (c.starts - before)
		if left == 0 {
			break
		}
		if err := c.take(ctx, id, left); err != nil {
			return err
		}
	}
	c.s.Clock.Sleep(time.Duration(c.starts-before) * c.s.Each)
	return nil
}

// take holds a task and decides about it, unless it is somebody else's or has a run or a key.
func (c *claim) take(ctx context.Context, id string, slots int) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if err := c.gone(); err != nil || c.s.held[id] != nil {
		return err
	}
	_, err := c.s.Shared.Edit(ctx, punctual.EditRequest{TaskID: id, Decide: func(v punctual.View) (punctual.Change, error) {
		if v.Record == nil || !v.Record.Status.NextRunAt.Equal(c.req.At) || v.Active > 0 || len(v.Pending) > 0 || v.Record.Task.ConcurrencyKey != "" {
			return punctual.Change{}, nil
		}
		change, err := c.req.Decide(punctual.View{Now: c.req.At, Record: v.Record, Slots: slots})
		if err != nil || change.Starts() == 0 {
			return punctual.Change{}, nil
		}
		status := *change.Status
		change.Status, change.Insert = &status, slices.Clone(change.Insert)
		c.starts += change.Starts()
		c.tasks = append(c.tasks, prepared{v.Record.Task, change})
		c.s.held[id] = c
		return punctual.Change{}, nil
	}})
	return err
}

// Commit implements punctual.Prepared.
func (c *claim) Commit(ctx context.Context, now time.Time) (punctual.ClaimReply, error) {
	defer c.end()
	if err := c.s.called("commit"); err != nil {
		return punctual.ClaimReply{}, err
	}
	if now.IsZero() {
		c.s.Clock.Sleep(min(c.req.At.Sub(c.s.Clock.Now()), patience))
		now = c.s.Clock.Now()
	}
	if now.Before(c.req.At) {
		return punctual.ClaimReply{}, fmt.Errorf("%w: it is %v before %v", punctual.ErrUnavailable, c.req.At.Sub(now), c.req.At)
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if err := c.gone(); err != nil {
		return punctual.ClaimReply{}, err
	}
	if err := c.s.alive(ctx, c.req.Session); err != nil {
		return punctual.ClaimReply{}, err
	}
	reply := punctual.ClaimReply{Now: c.req.At, NextDue: c.req.At, Decided: len(c.tasks)}
	for _, p := range c.tasks {
		done, err := c.s.Shared.Edit(ctx, punctual.EditRequest{
			TaskID: p.task.ID, Now: now, Session: c.req.Session,
			Decide: func(punctual.View) (punctual.Change, error) { return p.change, nil },
		})
		if err != nil {
			return reply, err
		}
		for _, run := range p.change.Insert {
			if run.State == punctual.StateRunning && !slices.Contains(done.Dropped, run.ID) {
				run.Payload, run.Labels = slices.Clone(p.task.Payload), maps.Clone(p.task.Labels)
				reply.Started = append(reply.Started, run)
			}
		}
	}
	return reply, nil
}

// gone says that the claim was given up, if it was. The store is locked.
func (c *claim) gone() error {
	select {
	case <-c.over:
		return fmt.Errorf("%w: the claim for %v was given up", punctual.ErrUnavailable, c.req.At)
	default:
		return nil
	}
}

// Cancel implements punctual.Prepared.
func (c *claim) Cancel(context.Context) {
	_ = c.s.called("cancel")
	c.end()
}

// end gives the tasks up.
func (c *claim) end() {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.endLocked()
}

func (c *claim) endLocked() {
	if c.gone() != nil {
		return
	}
	for _, p := range c.tasks {
		delete(c.s.held, p.task.ID)
	}
	if c.expiry != nil {
		c.expiry.Stop()
	}
	close(c.over)
}
