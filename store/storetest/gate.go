package storetest

import (
	"errors"
	"slices"
	"time"

	"github.com/punctual-go/punctual"
)

// The cases of what stands between a run and its start: orders to make room, concurrency keys, priorities and limits of kinds.

func keyed(key string) shape {
	return func(t *punctual.Task, _ *punctual.Status) { t.ConcurrencyKey = key }
}

func priority(p int) shape {
	return func(t *punctual.Task, _ *punctual.Status) { t.Priority = p }
}

// under gives a run a concurrency key.
func under(key string, r punctual.Run) punctual.Run {
	r.ConcurrencyKey = key
	return r
}

// queued makes a manual run that waits for a concurrency key.
func (f *fixture) queued(taskID, key, kind string) punctual.Run {
	r := under(key, f.pending(taskID, time.Time{}))
	r.WaitsForKey, r.Kind = true, kind
	return r
}

// waits reports whether a run is pending and waits for its key.
func (f *fixture) waits(id string) bool {
	f.Helper()
	r := f.run(id)
	return r.State == punctual.StatePending && r.WaitsForKey && r.DueAt.IsZero()
}

// isDue reports whether a run is pending and due now.
func (f *fixture) isDue(id string) bool {
	f.Helper()
	r := f.run(id)
	return r.State == punctual.StatePending && !r.WaitsForKey && r.DueAt.Equal(f.now)
}

// keyQueue makes tasks with a key: one that holds it, and two runs of each of two kinds that wait for it, oldest first.
func (f *fixture) keyQueue() (holder punctual.Run, first, second [2]punctual.Run) {
	f.Helper()
	f.add("holder", keyed("k"))
	f.add("x", keyed("k"), kind("x"))
	f.add("y", keyed("k"), kind("y"))
	holder = f.put(under("k", f.running("holder")))[0]
	first[0], second[0], first[1], second[1] = f.queued("x", "k", "x"), f.queued("y", "k", "y"), f.queued("x", "k", "x"), f.queued("y", "k", "y")
	f.put(first[:]...)
	f.put(second[:]...)
	return holder, first, second
}

// passedOn checks that of a keyQueue the oldest run of each kind has become due and the others wait.
func (f *fixture) passedOn(first, second [2]punctual.Run, when string) {
	f.Helper()
	f.check(f.isDue(first[0].ID) && f.isDue(second[0].ID), "%s: the oldest run of each kind that waited for the key is not due", when)
	f.check(f.waits(first[1].ID) && f.waits(second[1].ID), "%s: younger runs do not wait for the key any more", when)
}

var gateCases = []testCase{
	{
		name:    "shows who waits for what",
		promise: "a View tells the runs that wait for the overlap gate, with the newest of them that may be replaced, from those that wait for their key",
		check: func(f *fixture) {
			f.add("task", keyed("k"), owed(f.now))
			waiting := []punctual.Run{f.pending("task", time.Time{}), f.pending("task", time.Time{})}
			forKey := []punctual.Run{f.queued("task", "k", ""), f.queued("task", "k", "")}
			due := f.pending("task", f.now)
			f.put(forKey[0], waiting[0], due, waiting[1], forKey[1])
			v := f.see("task")
			f.same([]punctual.Run{due, waiting[0], waiting[1], forKey[0], forKey[1]}, v.Pending, "View.Pending of an edit")
			judge := func(v punctual.View, call string, n int) {
				f.Helper()
				f.same(n, v.Waiting, "View.Waiting of %s", call)
				f.same(2, v.KeyWaiting, "View.KeyWaiting of %s", call)
				if v.Waiter == nil {
					f.failf("View.Waiter of %s: want %s, got none", call, waiting[1].ID)
				}
				f.same(waiting[1], *v.Waiter, "View.Waiter of %s", call)
			}
			judge(v, "an edit", 2)
			// Newer ones whose place nobody takes.
			retry, catchUp, backfill := f.pending("task", time.Time{}), f.pending("task", time.Time{}), f.pending("task", time.Time{})
			retry.Attempt, catchUp.Trigger, backfill.Trigger = 1, punctual.TriggerCatchUp, punctual.TriggerBackfill
			f.put(retry, catchUp, backfill)
			judge(f.see("task"), "an edit", 5)
			f.claimAs(punctual.ClaimRequest{Limit: 9, Decide: func(v punctual.View) (punctual.Change, error) {
				judge(v, "a claim", 5)
				f.same([]punctual.Run{due}, v.Pending, "View.Pending of a claim")
				return f.startDue(v)
			}})
			f.add("idle")
			v = f.see("idle")
			f.check(v.Waiter == nil && v.Waiting == 0 && v.KeyWaiting == 0, "the View of an idle task shows runs that wait: %+v", v)
		},
	},
	{
		name:    "counts who holds a key",
		promise: "View.KeyActive and KeyOldest are the running runs of all tasks under the task's key, or under the one that an edit asks for",
		check: func(f *fixture) {
			f.add("a", keyed("k"))
			f.add("b", keyed("k"))
			f.add("c", keyed("other"))
			f.add("plain")
			rows := []punctual.Run{f.running("a"), f.running("b"), f.running("a")}
			for _, r := range rows {
				f.put(under("k", r))
			}
			f.put(f.queued("b", "k", ""), under("k", f.pending("b", f.now)), under("k", f.ended("b", punctual.StateSucceeded, f.now)))
			f.put(under("other", f.running("c")))
			f.put(f.running("plain"))
			for _, id := range []string{"a", "b"} {
				v := f.see(id)
				f.same(3, v.KeyActive, "View.KeyActive of task %s", id)
				f.same(rows[0].ID, v.KeyOldest, "View.KeyOldest of task %s", id)
			}
			v := f.see("plain")
			f.check(v.KeyActive == 0 && v.KeyOldest == "", "the View of a task without key: %d active, oldest %q", v.KeyActive, v.KeyOldest)
			asked := f.request("new", func(v punctual.View) (punctual.Change, error) {
				f.same(3, v.KeyActive, "View.KeyActive under the key that was asked for")
				f.same(rows[0].ID, v.KeyOldest, "View.KeyOldest under the key that was asked for")
				return punctual.Change{}, nil
			})
			asked.ConcurrencyKey = "k"
			_, err := f.store.Edit(f.ctx, asked)
			f.must(err, "Edit")
			f.verdict(applied, f.outcome(rows[0], punctual.StateSucceeded), "the oldest holder")
			v = f.see("b")
			f.same(2, v.KeyActive, "View.KeyActive after one has ended")
			f.same(rows[1].ID, v.KeyOldest, "View.KeyOldest after one has ended")
		},
	},
	{
		name:    "counts what the same claim has started",
		promise: "View.KeyActive counts the runs that the same Claim started for other tasks",
		check: func(f *fixture) {
			for _, id := range []string{"a", "b", "c"} {
				f.add(id, keyed("k"), owed(f.now))
			}
			var active []int
			reply := f.claimAs(punctual.ClaimRequest{Limit: 9, Decide: func(v punctual.View) (punctual.Change, error) {
				active = append(active, v.KeyActive)
				c, err := f.startDue(v)
				for i := range c.Insert {
					c.Insert[i].ConcurrencyKey = "k"
				}
				return c, err
			}})
			f.same(3, len(reply.Started), "number of started runs")
			f.same([]int{0, 1, 2}, active, "View.KeyActive from task to task")
		},
	},
	{
		name:    "passes on a key when its run ends",
		promise: "when a run leaves StateRunning, the oldest run of each kind that waits for its key becomes due, and NextDue says so",
		check: func(f *fixture) {
			for _, state := range []punctual.State{punctual.StateSucceeded, punctual.StatePending} {
				holder, first, second := f.keyQueue()
				f.now = f.now.Add(time.Second)
				item := f.outcome(holder, state)
				if state == punctual.StatePending {
					item.RetryAt = f.now.Add(time.Hour)
				}
				reply := f.finishAll(item)
				f.same(f.now, reply.NextDue, "NextDue")
				f.passedOn(first, second, "after a Finish as "+state.String())
				for _, id := range []string{"holder", "x", "y"} {
					f.change(id, punctual.Change{Remove: true})
				}
			}
		},
	},
	{
		name:    "passes on a key as often as it is given up",
		promise: "when several runs under one key leave StateRunning in one call, as many of each kind that wait for it become due",
		check: func(f *fixture) {
			holder, first, second := f.keyQueue()
			others := f.put(under("k", f.running("holder")), under("k", f.running("holder")))
			third := f.put(f.queued("x", "k", "x"))[0]
			fourth := f.put(f.queued("x", "k", "x"))[0]
			f.same([]punctual.Verdict{applied, applied}, f.finish(f.outcome(holder, punctual.StateSucceeded), f.outcome(others[0], punctual.StateFailed)), "verdicts")
			for _, r := range []punctual.Run{first[0], first[1], second[0], second[1]} {
				f.check(f.isDue(r.ID), "run %s of kind %s is not due after two ends", r.ID, r.Kind)
			}
			f.check(f.waits(third.ID) && f.waits(fourth.ID), "more runs have become due than have ended")
			f.verdict(applied, f.outcome(others[1], punctual.StateSucceeded), "the last holder")
			f.check(f.isDue(third.ID) && f.waits(fourth.ID), "after the end of one run not one has become due")
		},
	},
	{
		name:    "passes on a key that a dead instance held",
		promise: "Reclaim passes on the keys of the runs that it takes away",
		needs:   needLeaser,
		check: func(f *fixture) {
			holder, first, second := f.keyQueue()
			f.same(punctual.StateRunning, f.run(holder.ID).State, "State of the holder")
			f.must(f.leaser.EndSession(f.ctx, f.session), "EndSession")
			f.session = "session-b"
			f.beat(f.session, lease)
			f.now = f.now.Add(time.Second)
			f.same(1, len(f.reclaim(10).Runs), "number of reclaimed runs")
			f.passedOn(first, second, "after a Reclaim")
		},
	},
	{
		name:    "passes on a key that nobody took",
		promise: "a key is passed on when a change ends a due pending run with that key, makes it wait for the gate or removes it",
		check: func(f *fixture) {
			for _, c := range []struct {
				name string
				give func(due punctual.Run) punctual.Change
			}{
				{"an end", func(due punctual.Run) punctual.Change {
					due.State, due.DueAt, due.FinishedAt = punctual.StateCanceled, time.Time{}, f.now
					return punctual.Change{Update: []punctual.Run{due}}
				}},
				{"waiting for the gate", func(due punctual.Run) punctual.Change {
					due.DueAt = time.Time{}
					return punctual.Change{Update: []punctual.Run{due}}
				}},
				{"removal", func(punctual.Run) punctual.Change { return punctual.Change{Remove: true} }},
			} {
				holder, first, second := f.keyQueue()
				due := f.put(under("k", f.pending("holder", f.now)))[0]
				f.verdict(applied, f.outcome(holder, punctual.StateSucceeded), "the holder")
				f.passedOn(first, second, "at first")
				// Both find it taken and wait again.
				for _, r := range []punctual.Run{f.run(first[0].ID), f.run(second[0].ID)} {
					r.DueAt, r.WaitsForKey = time.Time{}, true
					f.change(r.TaskID, punctual.Change{Update: []punctual.Run{r}})
				}
				f.check(f.waits(first[0].ID) && f.waits(second[0].ID), "a run that found its key taken does not wait again")
				_, err := f.store.Edit(f.ctx, f.request("holder", func(v punctual.View) (punctual.Change, error) {
					change := c.give(due)
					for _, run := range change.Update { // the decide function may change what it is shown
						v.Pending[slices.IndexFunc(v.Pending, func(p punctual.Run) bool { return p.ID == run.ID })] = run
					}
					return change, nil
				}))
				f.must(err, "Edit")
				f.passedOn(first, second, "after "+c.name)
				for _, id := range []string{"holder", "x", "y"} {
					_, err := f.store.Edit(f.ctx, f.request(id, func(v punctual.View) (punctual.Change, error) {
						return punctual.Change{Remove: v.Record != nil}, nil
					}))
					f.must(err, "Edit")
				}
			}
		},
	},
	{
		name:    "passes a key by tasks that were set aside",
		promise: "a key is passed on to no run whose task is set aside or gone",
		check: func(f *fixture) {
			holder, first, second := f.keyQueue()
			f.put(f.pending("x", f.now))
			f.claimAs(punctual.ClaimRequest{Limit: 9, Decide: func(punctual.View) (punctual.Change, error) {
				return punctual.Change{}, errors.New("set aside by the suite")
			}})
			f.verdict(applied, f.outcome(holder, punctual.StateSucceeded), "the holder")
			f.check(f.waits(first[0].ID), "the run of a task that was set aside has become due")
			f.check(f.isDue(second[0].ID), "the run of another task has not become due")
		},
	},
	{
		name:    "takes what has priority first",
		promise: "each step of priority counts as PriorityStep of due time, and what is not due is not taken however high its priority",
		check: func(f *fixture) {
			step := punctual.PriorityStep
			f.add("normal", owed(at(-step)))
			f.add("high", owed(at(-time.Second)), priority(1))
			f.add("highest", owed(f.now), priority(2))
			f.add("low", owed(at(-step)), priority(-1))
			f.add("starving", owed(at(-4*step-time.Second)), priority(-2))
			f.add("future", owed(at(time.Microsecond)), priority(2))
			f.add("asked", priority(1))
			f.put(f.pending("asked", at(-time.Second-time.Microsecond)))
			want := []string{"starving", "highest", "asked", "high", "normal", "low"}
			reply := f.claim(10)
			f.same(want, taskIDs(reply.Started), "order of the started runs")
			f.same(at(time.Microsecond), reply.NextDue, "NextDue")

			f.add("late", owed(at(-time.Hour)))
			f.add("urgent", owed(at(-time.Second)), priority(2))
			f.add("more urgent", owed(at(-time.Hour+step)), priority(2))
			f.same([]string{"more urgent", "late"}, taskIDs(f.claim(2).Started), "order of the started runs with a limit")
		},
	},
	{
		name:    "keeps the limits of kinds",
		promise: "Claim starts no more runs of a kind than KindLimits says, goes on with other kinds, and NextDue leaves out kinds that are used up",
		check: func(f *fixture) {
			for i, id := range []string{"a1", "a2", "b1", "a3", "b2"} {
				f.add(id, kind(id[:1]), owed(at(time.Duration(i)*time.Microsecond)))
			}
			f.now = at(time.Second)
			var slots []int
			reply, err := f.store.Claim(f.ctx, punctual.ClaimRequest{
				Now: f.now, Session: f.session, Limit: 9, KindLimits: map[string]int{"a": 1, "none": 0},
				Decide: func(v punctual.View) (punctual.Change, error) {
					slots = append(slots, v.Slots)
					return f.startDue(v)
				},
			})
			f.must(err, "Claim")
			f.same([]string{"a1", "b1", "b2"}, taskIDs(reply.Started), "tasks of the started runs")
			f.same([]int{1, 8, 7}, slots, "View.Slots")
			f.same(at(time.Minute+2*time.Microsecond), reply.NextDue, "NextDue of the kinds that are not used up")

			reply = f.claimAs(punctual.ClaimRequest{Limit: 9, KindLimits: map[string]int{"a": 0}, Decide: f.startDue})
			f.same(0, len(reply.Started), "number of runs started of a kind without a slot")
			f.same([]string{"a2", "a3"}, taskIDs(f.claim(9).Started), "tasks of the runs started next")
		},
	},
	{
		name:    "keeps the first order to cancel",
		promise: "an order sets Reason and BlockedBy, a second one changes nothing, and BlockedBy stays only with a run that ends as canceled",
		check: func(f *fixture) {
			f.add("task")
			rows := f.put(f.running("task"), f.running("task"), f.running("task"))
			order := func(id, by string) punctual.CancelOrder {
				return punctual.CancelOrder{RunID: id, Reason: punctual.ReasonReplaced, BlockedBy: by}
			}
			f.change("task", punctual.Change{Cancel: []punctual.CancelOrder{order(rows[0].ID, "by-1"), order(rows[1].ID, "by-1"), order(rows[2].ID, "by-1")}})
			f.change("task", punctual.Change{Cancel: append(orders(rows[0].ID), order(rows[1].ID, "by-2"))})
			for _, row := range rows {
				got := f.run(row.ID)
				f.check(got.CancelRequested, "run %s has no order", row.ID)
				f.same(punctual.ReasonReplaced, got.Reason, "Reason")
				f.same("by-1", got.BlockedBy, "BlockedBy")
			}
			if f.leaser != nil {
				want := []punctual.CancelOrder{order(rows[0].ID, "by-1"), order(rows[1].ID, "by-1"), order(rows[2].ID, "by-1")}
				f.same(want, f.beat(f.session, lease).Cancel, "BeatReply.Cancel")
			}
			f.now = at(time.Second)
			canceled := f.outcome(rows[1], punctual.StateCanceled)
			canceled.Reason = punctual.ReasonReplaced
			f.finish(f.outcome(rows[0], punctual.StateSucceeded), canceled, f.retry(rows[2], at(time.Minute)))
			for i, want := range []punctual.Run{
				{State: punctual.StateSucceeded},
				{State: punctual.StateCanceled, Reason: punctual.ReasonReplaced, BlockedBy: "by-1"},
				{State: punctual.StateCanceled, Reason: punctual.ReasonReplaced, BlockedBy: "by-1"},
			} {
				got := f.run(rows[i].ID)
				f.same(want, punctual.Run{State: got.State, Reason: got.Reason, BlockedBy: got.BlockedBy}, "run %d", i)
				f.check(!got.CancelRequested, "run %d has ended and still has an order", i)
			}
		},
	},
	{
		name:    "cancels what a dead instance leaves under an order",
		promise: "Reclaim ends a run that was ordered to be cancelled, with the reason of the order",
		needs:   needLeaser,
		check: func(f *fixture) {
			rows := f.held("task", "session-b", 2)
			f.change("task", punctual.Change{Cancel: []punctual.CancelOrder{{RunID: rows[0].ID, Reason: punctual.ReasonReplaced, BlockedBy: "by"}}})
			f.must(f.leaser.EndSession(f.ctx, "session-b"), "EndSession")
			f.now = at(time.Second)
			f.same(2, len(f.reclaim(10).Runs), "number of reclaimed runs")
			got := f.run(rows[0].ID)
			f.same(punctual.StateCanceled, got.State, "State")
			f.same(punctual.ReasonReplaced, got.Reason, "Reason")
			f.same("by", got.BlockedBy, "BlockedBy")
			f.same(f.now, got.FinishedAt, "FinishedAt")
			f.same(punctual.StatePending, f.run(rows[1].ID).State, "State of the run without an order")
		},
	},
	{
		name:    "starts nothing again of a task that is gone",
		promise: "of a task that was removed with its history kept, a run that would become pending ends with ReasonRemoved: as failed, or as skipped when it never began",
		check: func(f *fixture) {
			f.add("task")
			rows := f.put(f.running("task"), f.running("task"), f.running("task"))
			f.change("task", punctual.Change{Remove: true, KeepHistory: true})
			f.now = at(time.Second)
			f.finish(f.retry(rows[0], at(time.Minute)), f.release(rows[1]), f.outcome(rows[2], punctual.StateSucceeded))
			for i, want := range []punctual.Run{
				{State: punctual.StateFailed, Reason: punctual.ReasonRemoved},
				{State: punctual.StateSkipped, Reason: punctual.ReasonRemoved},
				{State: punctual.StateSucceeded},
			} {
				got := f.run(rows[i].ID)
				f.same(want, punctual.Run{State: got.State, Reason: got.Reason}, "run %d", i)
				f.same(f.now, got.FinishedAt, "FinishedAt of run %d", i)
			}
		},
	},
	{
		name:    "has one backfill for an occurrence",
		promise: "an occurrence that has a row may have a backfill besides, and only one",
		check: func(f *fixture) {
			f.add("task")
			row := func(trigger punctual.Trigger) punctual.Run {
				r := f.pending("task", f.now)
				r.Trigger, r.ScheduledAt = trigger, at(-time.Hour)
				return r
			}
			missed, filled, again := row(punctual.TriggerSchedule), row(punctual.TriggerBackfill), row(punctual.TriggerBackfill)
			missed.State, missed.DueAt, missed.FinishedAt = punctual.StateMissed, time.Time{}, f.now
			f.same(0, len(f.change("task", punctual.Change{Insert: []punctual.Run{missed, filled}}).Dropped), "number of dropped rows")
			f.same([]string{again.ID}, f.change("task", punctual.Change{Insert: []punctual.Run{again}}).Dropped, "dropped rows")
		},
	},
}
