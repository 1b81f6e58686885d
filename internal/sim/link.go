package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/punctual-go/punctual"
)

var (
	errReset = fmt.Errorf("%w: connection reset", punctual.ErrUnavailable)
	errDead  = errors.New("the process is dead")
	// errAtOnce stands for all that is not waited for when a process is closed at once.
	errAtOnce = errors.New("closed at once")
)

// weather is how calls between processes and the store fare: each number is the share of calls that it befalls.
type weather struct {
	latency time.Duration // a call takes up to so long on the way there, and again on the way back
	slow    float64       // takes up to slowFor each way
	slowFor time.Duration
	refused float64 // an error at once, nothing is done
	reset   float64 // it is done, and answered with an error
	vanish  float64 // it never arrives, and there is no answer
	mute    float64 // it is done, and there is no answer
}

// fate is what becomes of one call.
type fate struct {
	there, back                  time.Duration
	refused, reset, vanish, mute bool
}

// link is the store as one process sees it: calls take time, fail before or after they were carried out, and get no further than the
// process's power or its connection lets them. What a process has sent arrives even if the process gives up waiting, or dies.
type link struct {
	world   *World
	process *Process
	store   shared
}

// shared is what the simulation asks of a store.
type shared interface {
	punctual.Store
	punctual.Leaser
	punctual.Watcher
}

// over makes a call from the process to the store.
func over[T any](ctx context.Context, l *link, name string, do func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	p := l.process
	if !p.power.on() {
		return none, errDead
	}
	if op := operationOf(ctx); op != nil {
		name = fmt.Sprintf("%s of operation %d", name, op.number) // many of them may be made at once, in any order
	}
	fate := l.world.fate(p, name)
	if fate.refused {
		return none, fmt.Errorf("%w: refused", punctual.ErrUnavailable)
	}
	answers := make(chan answer, 1)
	l.world.background.Go(func() {
		forever := context.Background()
		sleep(forever, fate.there)
		if fate.vanish || p.cutOff() {
			return
		}
		value, err := do(context.WithoutCancel(ctx))
		sleep(forever, fate.back)
		switch {
		case fate.mute || p.cutOff():
		case fate.reset:
			answers <- answer{none, errReset}
		default:
			answers <- answer{value, err}
		}
	})
	var a answer
	select {
	case a = <-answers:
	case <-ctx.Done():
		a.err = fmt.Errorf("%w: %w", punctual.ErrUnavailable, context.Cause(ctx))
	case <-p.power.dead:
	}
	if !p.power.on() {
		return none, errDead
	}
	return a.value, a.err
}

// ClaimsOverlap passes the question on.
func (l *link) ClaimsOverlap() bool {
	o, ok := l.store.(punctual.Overlapper)
	return ok && o.ClaimsOverlap()
}

// seen is the store with the capabilities that the process makes use of.
func (l *link) seen() punctual.Store {
	preparer, prepares := l.store.(punctual.Preparer)
	hints := l.process.Hinted
	switch {
	case hints && prepares:
		return struct {
			*link
			hintsOf
			claimsAhead
		}{l, hintsOf{l}, claimsAhead{l, preparer}}
	case prepares:
		return struct {
			*link
			claimsAhead
		}{l, claimsAhead{l, preparer}}
	case hints:
		return struct {
			*link
			hintsOf
		}{l, hintsOf{l}}
	}
	return l
}

// hintsOf are the hints of the store: they come at once or never.
type hintsOf struct{ l *link }

func (h hintsOf) Watch(ctx context.Context, notify func()) error {
	return h.l.store.Watch(ctx, func() {
		if p := h.l.process; !p.frozen() && !p.cutOff() && !closed(p.power.dead) && !h.l.world.fate(p, "hint").refused {
			notify()
		}
	})
}

// claimsAhead are the calls about claims that are made before their time.
type claimsAhead struct {
	l        *link
	preparer punctual.Preparer
}

func (a claimsAhead) Upcoming(ctx context.Context, r punctual.UpcomingRequest) (int, error) {
	return over(ctx, a.l, "upcoming", func(ctx context.Context) (int, error) { return a.preparer.Upcoming(ctx, r) })
}

func (a claimsAhead) Prepare(ctx context.Context, r punctual.PrepareRequest) (punctual.Prepared, error) {
	return over(ctx, a.l, "prepare", func(ctx context.Context) (punctual.Prepared, error) {
		p, err := a.preparer.Prepare(ctx, r)
		if p == nil || err != nil {
			return nil, err
		}
		return preparedClaim{a.l, p}, nil
	})
}

type preparedClaim struct {
	l *link
	p punctual.Prepared
}

func (c preparedClaim) Extend(ctx context.Context, limit int) error {
	_, err := over(ctx, c.l, "extend", func(ctx context.Context) (struct{}, error) { return struct{}{}, c.p.Extend(ctx, limit) })
	return err
}

func (c preparedClaim) Commit(ctx context.Context, now time.Time) (punctual.ClaimReply, error) {
	return over(ctx, c.l, "commit", func(ctx context.Context) (punctual.ClaimReply, error) { return c.p.Commit(ctx, c.l.now(now)) })
}

func (c preparedClaim) Cancel(ctx context.Context) {
	_, _ = over(ctx, c.l, "cancel", func(ctx context.Context) (struct{}, error) {
		c.p.Cancel(ctx)
		return struct{}{}, nil
	})
}

// now is the time that a request reaches the store with. It carries that of the process, since its clock was injected; as in production
// the store gets none, and its own clock decides.
func (l *link) now(t time.Time) time.Time {
	if l.world.embedded {
		return t
	}
	return time.Time{}
}

func (l *link) Edit(ctx context.Context, r punctual.EditRequest) (punctual.EditReply, error) {
	r.Now = l.now(r.Now)
	return over(ctx, l, "edit", func(ctx context.Context) (punctual.EditReply, error) { return l.store.Edit(ctx, r) })
}

func (l *link) Claim(ctx context.Context, r punctual.ClaimRequest) (punctual.ClaimReply, error) {
	r.Now = l.now(r.Now)
	return over(ctx, l, "claim", func(ctx context.Context) (punctual.ClaimReply, error) { return l.store.Claim(ctx, r) })
}

func (l *link) Finish(ctx context.Context, r punctual.FinishRequest) (punctual.FinishReply, error) {
	r.Now = l.now(r.Now)
	return over(ctx, l, "finish", func(ctx context.Context) (punctual.FinishReply, error) { return l.store.Finish(ctx, r) })
}

func (l *link) Task(ctx context.Context, id string) (punctual.Snapshot, error) {
	return over(ctx, l, "task", func(ctx context.Context) (punctual.Snapshot, error) { return l.store.Task(ctx, id) })
}

func (l *link) Tasks(ctx context.Context, q punctual.TaskQuery) ([]punctual.Snapshot, error) {
	return over(ctx, l, "tasks", func(ctx context.Context) ([]punctual.Snapshot, error) { return l.store.Tasks(ctx, q) })
}

func (l *link) Run(ctx context.Context, id string) (punctual.Run, error) {
	return over(ctx, l, "run", func(ctx context.Context) (punctual.Run, error) { return l.store.Run(ctx, id) })
}

func (l *link) Runs(ctx context.Context, q punctual.RunQuery) ([]punctual.Run, error) {
	return over(ctx, l, "runs", func(ctx context.Context) ([]punctual.Run, error) { return l.store.Runs(ctx, q) })
}

func (l *link) Trim(ctx context.Context, r punctual.TrimRequest) (int, error) {
	return over(ctx, l, "trim", func(ctx context.Context) (int, error) { return l.store.Trim(ctx, r) })
}

func (l *link) Overdue(ctx context.Context, r punctual.OverdueRequest) ([]punctual.Overdue, error) {
	r.Now = l.now(r.Now)
	return over(ctx, l, "overdue", func(ctx context.Context) ([]punctual.Overdue, error) { return l.store.Overdue(ctx, r) })
}

func (l *link) Beat(ctx context.Context, r punctual.BeatRequest) (punctual.BeatReply, error) {
	r.Now = l.now(r.Now)
	return over(ctx, l, "beat", func(ctx context.Context) (punctual.BeatReply, error) { return l.store.Beat(ctx, r) })
}

func (l *link) Reclaim(ctx context.Context, r punctual.ReclaimRequest) (punctual.ReclaimReply, error) {
	r.Now = l.now(r.Now)
	return over(ctx, l, "reclaim", func(ctx context.Context) (punctual.ReclaimReply, error) { return l.store.Reclaim(ctx, r) })
}

func (l *link) Held(ctx context.Context, session string) ([]punctual.Run, error) {
	return over(ctx, l, "held", func(ctx context.Context) ([]punctual.Run, error) { return l.store.Held(ctx, session) })
}

func (l *link) EndSession(ctx context.Context, session string) error {
	_, err := over(ctx, l, "end session", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, l.store.EndSession(ctx, session)
	})
	return err
}

func (l *link) Instances(ctx context.Context) ([]punctual.Instance, error) {
	return over(ctx, l, "instances", l.store.Instances)
}
