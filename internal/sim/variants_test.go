package sim

import (
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// broken is a store as a process sees it, with some calls replaced: by a mistake that the library is to make, or by a fault.
type broken struct {
	shared
	process *Process

	edit   func(b *broken, ctx context.Context, req punctual.EditRequest) (punctual.EditReply, error)
	claim  func(b *broken, ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error)
	finish func(b *broken, ctx context.Context, req punctual.FinishRequest) (punctual.FinishReply, error)
	beat   func(b *broken, ctx context.Context, req punctual.BeatRequest) (punctual.BeatReply, error)
	held   func(b *broken, ctx context.Context, session string) ([]punctual.Run, error)
}

func (b *broken) Edit(ctx context.Context, req punctual.EditRequest) (punctual.EditReply, error) {
	if b.edit != nil {
		return b.edit(b, ctx, req)
	}
	return b.shared.Edit(ctx, req)
}

func (b *broken) Claim(ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
	if b.claim != nil {
		return b.claim(b, ctx, req)
	}
	return b.shared.Claim(ctx, req)
}

func (b *broken) Finish(ctx context.Context, req punctual.FinishRequest) (punctual.FinishReply, error) {
	if b.finish != nil {
		return b.finish(b, ctx, req)
	}
	return b.shared.Finish(ctx, req)
}

func (b *broken) Beat(ctx context.Context, req punctual.BeatRequest) (punctual.BeatReply, error) {
	if b.beat != nil {
		return b.beat(b, ctx, req)
	}
	return b.shared.Beat(ctx, req)
}

func (b *broken) Held(ctx context.Context, session string) ([]punctual.Run, error) {
	if b.held != nil {
		return b.held(b, ctx, session)
	}
	return b.shared.Held(ctx, session)
}

// deciding makes a variant of how tasks are decided in edits and claims, with spoil around the real decision.
func deciding(edits, claims bool, spoil func(decide punctual.DecideFunc, v punctual.View) (punctual.Change, error)) broken {
	var b broken
	if edits {
		b.edit = func(b *broken, ctx context.Context, req punctual.EditRequest) (punctual.EditReply, error) {
			decide := req.Decide
			req.Decide = func(v punctual.View) (punctual.Change, error) { return spoil(decide, v) }
			return b.shared.Edit(ctx, req)
		}
	}
	if claims {
		b.claim = func(b *broken, ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
			decide := req.Decide
			req.Decide = func(v punctual.View) (punctual.Change, error) { return spoil(decide, v) }
			return b.shared.Claim(ctx, req)
		}
	}
	return b
}

// sometimes is true for one in n of what it is asked about, and for the same in each replay.
func sometimes(n uint64, what ...string) bool {
	h := fnv.New64a()
	for _, w := range what {
		_, _ = h.Write([]byte(w))
	}
	return h.Sum64()%n == 0
}

// mistakes are broken variants of the library, each with the promise that it breaks.
var mistakes = []struct {
	name    string
	promise string // how the checker begins what it finds
	library broken
}{
	{
		name: "the next run is advanced in one transaction, and the row inserted in another that may not come", promise: "P1",
		library: deciding(false, true, func(decide punctual.DecideFunc, v punctual.View) (punctual.Change, error) {
			c, err := decide(v)
			if sometimes(20, v.Record.Task.ID, v.Record.Status.NextRunAt.String()) {
				c.Insert = nil
			}
			return c, err
		}),
	},
	{
		name: "a missed row counts one too few", promise: "P1",
		library: deciding(true, true, func(decide punctual.DecideFunc, v punctual.View) (punctual.Change, error) {
			c, err := decide(v)
			for i := range c.Insert {
				if run := &c.Insert[i]; run.State == punctual.StateMissed && run.Count > 1 {
					run.Count--
				}
			}
			return c, err
		}),
	},
	{
		name: "a change of the definition forgets what was due before it", promise: "P1",
		library: deciding(true, false, func(decide punctual.DecideFunc, v punctual.View) (punctual.Change, error) {
			c, err := decide(v)
			c.Insert = slices.DeleteFunc(c.Insert, func(run punctual.Run) bool {
				return run.Trigger == punctual.TriggerSchedule && run.State == punctual.StateSkipped
			})
			return c, err
		}),
	},
	{
		name: "runs start a second before their time", promise: "P1",
		library: broken{claim: func(b *broken, ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
			req.Now = bubble.Now().Add(time.Second)
			return b.shared.Claim(ctx, req)
		}},
	},
	{
		name: "a registration is acknowledged before it is committed", promise: "P2",
		library: broken{edit: func(b *broken, ctx context.Context, req punctual.EditRequest) (punctual.EditReply, error) {
			errCrash := errors.New("crash")
			decide := req.Decide
			req.Decide = func(v punctual.View) (punctual.Change, error) {
				c, err := decide(v)
				if err == nil && c.Task != nil && sometimes(10, req.TaskID, v.Now.String()) {
					err = errCrash
				}
				return c, err
			}
			reply, err := b.shared.Edit(ctx, req)
			if errors.Is(err, errCrash) {
				return punctual.EditReply{Now: bubble.Now()}, nil
			}
			return reply, err
		}},
	},
	{
		name: "the immediate run is stored in a second transaction, which may not come", promise: "P2",
		library: deciding(true, false, func(decide punctual.DecideFunc, v punctual.View) (punctual.Change, error) {
			c, err := decide(v)
			c.Insert = slices.DeleteFunc(c.Insert, func(run punctual.Run) bool {
				return run.Trigger == punctual.TriggerRegister && sometimes(10, run.TaskID, v.Now.String())
			})
			return c, err
		}),
	},
	{
		name: "no fencing: a result counts whatever its attempt", promise: "P3",
		library: broken{finish: func(b *broken, ctx context.Context, req punctual.FinishRequest) (punctual.FinishReply, error) {
			req.Items = slices.Clone(req.Items)
			for i := range req.Items {
				if run, err := b.shared.Run(ctx, req.Items[i].RunID); err == nil && run.State == punctual.StateRunning {
					req.Items[i].Attempt = run.Attempt
				}
			}
			return b.shared.Finish(ctx, req)
		}},
	},
	{
		name: "an attempt that is started again keeps its number", promise: "P3",
		library: deciding(false, true, func(decide punctual.DecideFunc, v punctual.View) (punctual.Change, error) {
			c, err := decide(v)
			for i := range c.Update {
				if run := &c.Update[i]; run.State == punctual.StateRunning && run.Attempt > 1 {
					run.Attempt--
				}
			}
			return c, err
		}),
	},
	{
		name: "the lease in the store is shorter than the instance believes", promise: "P3",
		library: broken{beat: func(b *broken, ctx context.Context, req punctual.BeatRequest) (punctual.BeatReply, error) {
			req.Lease /= 3
			return b.shared.Beat(ctx, req)
		}},
	},
	{
		name: "an instance does not hear that its lease was lost", promise: "P3",
		library: broken{beat: func(b *broken, ctx context.Context, req punctual.BeatRequest) (punctual.BeatReply, error) {
			reply, err := b.shared.Beat(ctx, req)
			reply.Lost = false
			return reply, err
		}},
	},
	{
		name: "what is executed at most once is executed again", promise: "P3",
		library: deciding(true, true, func(decide punctual.DecideFunc, v punctual.View) (punctual.Change, error) {
			c, err := decide(v)
			for i := range c.Insert {
				c.Insert[i].AtMostOnce = false
			}
			return c, err
		}),
	},
	{
		name: "results are acknowledged and now and then forgotten", promise: "P3",
		library: broken{finish: func(b *broken, ctx context.Context, req punctual.FinishRequest) (punctual.FinishReply, error) {
			if !sometimes(20, req.Items[0].RunID, req.Items[0].FinishedAt.String()) {
				return b.shared.Finish(ctx, req)
			}
			return forgotten(req), nil
		}},
	},
	{
		name: "manual runs do not ask the gate", promise: "P4",
		library: broken{edit: func(b *broken, ctx context.Context, req punctual.EditRequest) (punctual.EditReply, error) {
			decide := req.Decide
			req.Decide = func(v punctual.View) (punctual.Change, error) {
				if op := operationOf(ctx); op != nil && op.Call == "RunNow" {
					v.Active, v.OldestActive, v.Waiting, v.KeyWaiting, v.KeyActive, v.KeyOldest = 0, "", 0, 0, 0, ""
				}
				return decide(v)
			}
			return b.shared.Edit(ctx, req)
		}},
	},
	{
		name: "the gate knows only what this claim has started", promise: "P4",
		library: deciding(false, true, func(decide punctual.DecideFunc, v punctual.View) (punctual.Change, error) {
			v.Active, v.OldestActive = 0, ""
			return decide(v)
		}),
	},
	{
		name: "the key of a task is not looked at", promise: "P4",
		library: deciding(true, true, func(decide punctual.DecideFunc, v punctual.View) (punctual.Change, error) {
			v.KeyActive, v.KeyOldest = 0, ""
			return decide(v)
		}),
	},
	{
		name: "an instance claims what it does not handle", promise: "C24",
		library: broken{claim: func(b *broken, ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
			req.Kinds = nil
			return b.shared.Claim(ctx, req)
		}},
	},
	{
		name: "the limits of kinds are not looked at", promise: "P4",
		library: broken{claim: func(b *broken, ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
			req.KindLimits = nil
			return b.shared.Claim(ctx, req)
		}},
	},
	{
		name: "a shutdown does not store the last results", promise: "P5",
		library: broken{finish: func(b *broken, ctx context.Context, req punctual.FinishRequest) (punctual.FinishReply, error) {
			if b.process.usable() {
				return b.shared.Finish(ctx, req)
			}
			return forgotten(req), nil
		}},
	},
}

// forgotten is an answer that says that everything was stored.
func forgotten(req punctual.FinishRequest) punctual.FinishReply {
	reply := punctual.FinishReply{Now: bubble.Now(), Verdicts: make([]punctual.Verdict, len(req.Items))}
	for i := range reply.Verdicts {
		reply.Verdicts[i] = punctual.VerdictApplied
	}
	return reply
}

func TestTheCheckerCatchesEachMistake(t *testing.T) {
	const patience = 60
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			spoil := func(p *Process, store shared) shared {
				b := m.library
				b.shared, b.process = store, p
				return &b
			}
			for seed := uint64(1); seed <= patience; seed++ {
				problems, _ := simulate(t, seed, usual, stores["memory"], spoil)
				i := slices.IndexFunc(problems, func(p string) bool { return strings.HasPrefix(p, m.promise) })
				if i >= 0 {
					t.Logf("seed %d: %s", seed, problems[i])
					return
				}
			}
			require.Failf(t, "not caught", "%d seeds pass, though %s is broken", patience, m.promise)
		})
	}
}
