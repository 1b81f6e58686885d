package storetest

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/punctual-go/punctual"
)

// prepare makes a claim of up to limit tasks ahead, for an instant; nil when there is nothing to take.
func (f *fixture) prepare(instant time.Time, limit int, decide punctual.DecideFunc) punctual.Prepared {
	f.Helper()
	p, err := f.preparer.Prepare(f.ctx, punctual.PrepareRequest{At: instant, Hold: time.Minute, Session: f.session, Limit: limit, Decide: decide})
	f.must(err, "Prepare")
	return p
}

// commit commits a prepared claim at the fixture's time.
func (f *fixture) commit(p punctual.Prepared) punctual.ClaimReply {
	f.Helper()
	if p == nil {
		f.failf("Prepare took nothing")
	}
	reply, err := p.Commit(f.ctx, f.now)
	f.must(err, "Commit")
	return reply
}

// upcoming counts what comes due at an instant.
func (f *fixture) upcoming(instant time.Time, limit int) int {
	f.Helper()
	n, err := f.preparer.Upcoming(f.ctx, punctual.UpcomingRequest{At: instant, Limit: limit})
	f.must(err, "Upcoming")
	return n
}

var prepareCases = []testCase{
	{
		name:    "starts at its instant",
		promise: "nobody sees anything of a prepared claim before its commit, and claims pass its tasks over; then its runs have started at the instant, once",
		needs:   needPreparer,
		check: func(f *fixture) {
			task, status := fullTask("a"), punctual.Status{NextRunAt: at(time.Minute)}
			task.ConcurrencyKey = ""
			f.change("a", punctual.Change{Task: &task, Status: &status})
			f.add("b", owed(at(time.Minute)))
			f.add("later", owed(at(time.Minute+time.Microsecond)))
			f.add("sooner", owed(at(30*time.Second)))
			f.same(2, f.upcoming(at(time.Minute), 10), "tasks that come due at the instant")
			f.same(1, f.upcoming(at(time.Minute), 1), "the same, at most one")
			f.same(0, f.upcoming(at(time.Hour), 10), "tasks that come due at another instant")
			p := f.prepare(at(time.Minute), 10, f.startDue)
			f.same(0, len(f.runs(punctual.RunQuery{})), "runs before the commit")
			f.same(at(time.Minute), f.task("a").NextRunAt, "NextRunAt before the commit")
			f.now = at(time.Minute)
			other := f.peer("session-b")
			f.same([]string{"sooner"}, taskIDs(other.claim(10).Started), "tasks of what others claim")
			reply := f.commit(p)
			f.same([]string{"a", "b"}, taskIDs(reply.Started), "tasks of what was prepared")
			f.same(2, reply.Decided, "ClaimReply.Decided")
			f.check(!reply.NextDue.IsZero() && !reply.NextDue.After(at(time.Minute)), "ClaimReply.NextDue: want the instant, got %v", reply.NextDue)
			want := reply.Started[0]
			want.TaskID, want.TaskName, want.Kind, want.Trigger = "a", task.Name, task.Kind, punctual.TriggerSchedule
			want.ScheduledAt, want.Attempt, want.State, want.StartedAt = at(time.Minute), 1, punctual.StateRunning, at(time.Minute)
			want.Instance, want.Session, want.Payload, want.Labels = instance, f.session, task.Payload, task.Labels
			f.same(want, reply.Started[0], "the run")
			for _, run := range reply.Started {
				f.same(bare(run), f.run(run.ID), "ledger row")
				f.same(at(2*time.Minute), f.task(run.TaskID).NextRunAt, "NextRunAt")
			}
			f.now = at(time.Minute + time.Microsecond)
			f.same([]string{"later"}, taskIDs(f.claim(10).Started), "tasks of what is claimed afterwards")
		},
	},
	{
		name:    "takes what is free",
		promise: "Prepare leaves alone what has a live run or a concurrency key, what is due at another time, of other kinds, refused, or held by another",
		needs:   needPreparer,
		check: func(f *fixture) {
			due := owed(at(time.Minute))
			f.add("active", due)
			f.add("waiting", due)
			f.put(f.running("active"))
			f.put(f.pending("waiting", at(time.Hour)))
			f.add("keyed", due, keyed("key"))
			f.add("sooner", owed(at(time.Minute-time.Microsecond)))
			f.add("refused", due)
			f.add("free", due)
			f.add("slow", due, kind("slow"))
			only := func(wanted ...string) punctual.DecideFunc {
				return func(v punctual.View) (punctual.Change, error) {
					f.same(at(time.Minute), v.Now, "View.Now")
					if !slices.Contains(wanted, v.Record.Task.ID) {
						return punctual.Change{}, errors.New("refused by the suite")
					}
					return f.startDue(v)
				}
			}
			all := only("active", "waiting", "keyed", "sooner", "free", "slow")
			req := punctual.PrepareRequest{At: at(time.Minute), Session: f.session, Limit: 10, Without: []string{"slow"}, Decide: all}
			first, err := f.preparer.Prepare(f.ctx, req)
			f.must(err, "Prepare")
			req.Kinds, req.Without = []string{"slow"}, nil
			second, err := f.preparer.Prepare(f.ctx, req)
			f.must(err, "Prepare")
			f.check(f.prepare(at(time.Minute), 10, all) == nil, "Prepare took what others hold")
			f.now = at(time.Minute)
			f.same([]string{"free"}, taskIDs(f.commit(first).Started), "tasks of all kinds but slow")
			f.same([]string{"slow"}, taskIDs(f.commit(second).Started), "tasks of the kind slow")
			f.same(at(time.Minute), f.task("refused").NextRunAt, "NextRunAt of what was refused")
			f.same("", f.task("refused").Fault, "Fault of what was refused")
		},
	},
	{
		name:    "is extended",
		promise: "Prepare and Extend take no more than their limits, those of the highest priority first, and all starts with one commit",
		needs:   needPreparer,
		check: func(f *fixture) {
			for _, id := range []string{"a", "b", "c", "d", "e"} {
				f.add(id, owed(at(time.Minute)))
			}
			f.add("f", owed(at(time.Minute)), func(t *punctual.Task, _ *punctual.Status) { t.Priority = 1 })
			p := f.prepare(at(time.Minute), 2, f.startDue)
			if p == nil {
				f.failf("Prepare took nothing")
			}
			f.must(p.Extend(f.ctx, 3), "Extend")
			f.now = at(time.Minute)
			other := f.peer("session-b")
			f.same(1, len(other.claim(10).Started), "runs that are left for others")
			f.must(p.Extend(f.ctx, 3), "Extend")
			started := f.commit(p).Started
			f.same(5, len(started), "runs that were prepared")
			f.same("f", started[0].TaskID, "the task of the first run")
		},
	},
	{
		name:    "is cancelled",
		promise: "after Cancel it is as if nothing had been prepared",
		needs:   needPreparer,
		check: func(f *fixture) {
			f.add("a", owed(at(time.Minute)))
			before := f.see("a")
			p := f.prepare(at(time.Minute), 10, f.startDue)
			if p == nil {
				f.failf("Prepare took nothing")
			}
			p.Cancel(f.ctx)
			f.same(before.Record, f.see("a").Record, "the task")
			f.same(0, len(f.runs(punctual.RunQuery{})), "runs")
			f.now = at(time.Minute)
			f.same([]string{"a"}, taskIDs(f.claim(10).Started), "tasks of what is claimed")
		},
	},
	{
		name:    "waits for the store's clock",
		promise: "without a time in the request Commit waits until the store's own clock has reached the instant, and fails if that is far off",
		needs:   needPreparer,
		check: func(f *fixture) {
			clock := func() time.Time {
				reply, err := f.store.Claim(f.ctx, punctual.ClaimRequest{Session: f.session, Limit: 1, Kinds: []string{}, Decide: f.startDue})
				f.must(err, "Claim")
				return reply.Now
			}
			soon, far := clock().Add(50*time.Millisecond), clock().Add(time.Hour)
			f.add("soon", owed(soon))
			f.add("far", owed(far))
			for _, instant := range []time.Time{soon, far} {
				p := f.prepare(instant, 10, f.startDue)
				if p == nil {
					f.failf("Prepare took nothing")
				}
				reply, err := p.Commit(f.ctx, time.Time{})
				if instant.Equal(far) {
					f.wraps(err, punctual.ErrUnavailable, "Commit an hour before the instant")
					f.same(far, f.task("far").NextRunAt, "NextRunAt")
					continue
				}
				f.must(err, "Commit")
				f.same([]string{"soon"}, taskIDs(reply.Started), "tasks of what was prepared")
				f.check(!clock().Before(soon), "committed before the instant")
			}
		},
	},
	{
		name:    "lets edits wait",
		promise: "an edit of a task that a prepared claim holds waits for the end of the claim, and sees what came of it",
		needs:   needPreparer,
		check: func(f *fixture) {
			f.add("a", owed(at(time.Minute)))
			p := f.prepare(at(time.Minute), 10, f.startDue)
			f.now = at(time.Minute)
			other := f.peer("session-b")
			asked, seen := make(chan struct{}), make(chan punctual.View, 1)
			go func() {
				close(asked)
				_, _ = other.store.Edit(f.ctx, other.request("a", func(v punctual.View) (punctual.Change, error) {
					seen <- v
					return punctual.Change{}, nil
				}))
				close(seen)
			}()
			<-asked
			f.commit(p)
			v, ok := <-seen
			f.check(ok && v.Active == 1, "the edit saw %d running runs, want the one that was prepared", v.Active)
			for range seen {
			}
		},
	},
	{
		name:    "belongs to a session",
		promise: "Prepare under a session that is not alive answers ErrLeaseLost",
		needs:   needPreparer | needLeaser,
		check: func(f *fixture) {
			f.add("a", owed(at(time.Minute)))
			f.must(f.leaser.EndSession(f.ctx, f.session), "EndSession")
			_, err := f.preparer.Prepare(f.ctx, punctual.PrepareRequest{At: at(time.Minute), Session: f.session, Limit: 10, Decide: f.startDue})
			f.wraps(err, punctual.ErrLeaseLost, "Prepare")
		},
	},
	{
		name:    "meets others",
		promise: "whoever prepares and claims at the same time, each occurrence starts once",
		needs:   needPreparer,
		check: func(f *fixture) {
			const tasks = 20
			var starts atomic.Int64 // as those who asked were told
			rounds := max(f.rounds/20, 2)
			for round := range rounds {
				instant := at(time.Duration(rounds-round) * time.Hour) // what was started before is due after it
				for range tasks {
					f.add(f.name("task"), owed(instant))
				}
				all := f.crowd(4)
				f.together(len(all), func(i int) error {
					one := all[i]
					if i%2 == 0 {
						reply, err := one.store.Claim(f.ctx, punctual.ClaimRequest{Now: instant, Session: one.session, Limit: tasks, Decide: one.startDue})
						starts.Add(int64(len(reply.Started)))
						return err
					}
					p, err := one.preparer.Prepare(f.ctx, punctual.PrepareRequest{At: instant, Session: one.session, Limit: tasks / 2, Decide: one.startDue})
					if err != nil || p == nil {
						return err
					}
					reply, err := p.Commit(f.ctx, instant)
					starts.Add(int64(len(reply.Started)))
					return err
				})
				f.now = instant
				starts.Add(int64(len(f.claim(tasks).Started)))
				f.same(int64((round+1)*tasks), starts.Load(), "starts after round %d", round)
				f.same((round+1)*tasks, len(f.runs(punctual.RunQuery{Limit: punctual.MaxLimit})), "runs after round %d", round)
			}
		},
	},
}
