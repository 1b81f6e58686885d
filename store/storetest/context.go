package storetest

import (
	"context"
	"errors"

	"github.com/punctual-go/punctual"
)

var contextCases = []testCase{
	{
		name:    "gives up with the context",
		promise: "a cancelled context makes every call return with an error that wraps the context's",
		check: func(f *fixture) {
			run := f.begun("task", owed(f.now))
			ctx, cancel := context.WithCancel(f.ctx)
			cancel()
			calls := map[string]func() error{
				"Edit": func() error {
					_, err := f.store.Edit(ctx, f.request("task", func(punctual.View) (punctual.Change, error) { return punctual.Change{}, nil }))
					return err
				},
				"Claim": func() error {
					_, err := f.store.Claim(ctx, punctual.ClaimRequest{Now: f.now, Session: f.session, Limit: 1, Decide: f.startDue})
					return err
				},
				"Finish": func() error {
					_, err := f.store.Finish(ctx, punctual.FinishRequest{Now: f.now, Items: []punctual.Finish{f.outcome(run, punctual.StateSucceeded)}})
					return err
				},
				"Task":    func() error { _, err := f.store.Task(ctx, "task"); return err },
				"Tasks":   func() error { _, err := f.store.Tasks(ctx, punctual.TaskQuery{}); return err },
				"Run":     func() error { _, err := f.store.Run(ctx, run.ID); return err },
				"Runs":    func() error { _, err := f.store.Runs(ctx, punctual.RunQuery{}); return err },
				"Overdue": func() error { _, err := f.store.Overdue(ctx, punctual.OverdueRequest{Now: f.now}); return err },
				"Trim":    func() error { _, err := f.store.Trim(ctx, punctual.TrimRequest{Keep: 1, Limit: 1}); return err },
			}
			if f.leaser != nil {
				calls["Beat"] = func() error { _, err := f.leaser.Beat(ctx, f.beatRequest("session-b", lease)); return err }
				calls["Reclaim"] = func() error {
					_, err := f.leaser.Reclaim(ctx, punctual.ReclaimRequest{Now: f.now, Limit: 1})
					return err
				}
				calls["Held"] = func() error { _, err := f.leaser.Held(ctx, f.session); return err }
				calls["EndSession"] = func() error { return f.leaser.EndSession(ctx, "session-b") }
				calls["Instances"] = func() error { _, err := f.leaser.Instances(ctx); return err }
			}
			for name, call := range calls {
				f.wraps(call(), context.Canceled, name+" with a cancelled context")
			}
		},
	},
	{
		name:    "works on after calls that were given up",
		promise: "a call that was cancelled at any moment has taken effect as a whole or not at all, and the store works on",
		check: func(f *fixture) {
			f.add("task")
			for range f.rounds {
				ctx, cancel := context.WithCancel(f.ctx)
				rows := []punctual.Run{f.pending("task", f.now), f.pending("task", f.now)}
				var err error
				f.together(2, func(i int) error {
					if i == 0 {
						cancel()
						return nil
					}
					_, err = f.store.Edit(ctx, f.request("task", func(punctual.View) (punctual.Change, error) {
						return punctual.Change{Insert: rows}, nil
					}))
					return nil
				})
				cancel()
				n := len(f.runs(punctual.RunQuery{}))
				switch {
				case err == nil && n != 2, n == 1:
					f.failf("after a cancelled Edit of two rows with error %v the ledger has %d", err, n)
				case err != nil && !errors.Is(err, context.Canceled):
					f.failf("a cancelled Edit failed with %v", err)
				}
				f.change("task", punctual.Change{Remove: true})
				f.add("task")
			}
		},
	},
}
