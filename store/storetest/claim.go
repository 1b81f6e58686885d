package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/punctual-go/punctual"
)

var claimCases = []testCase{
	{
		name:    "starts what is due and says when to come again",
		promise: "Claim takes what is due at now and not a microsecond before, and NextDue is when the next item is due",
		check: func(f *fixture) {
			reply := f.claim(10)
			f.same(0, len(reply.Started), "runs started in an empty store")
			f.check(reply.NextDue.IsZero(), "NextDue of an empty store: want none, got %v", reply.NextDue)
			f.same(f.now, reply.Now, "ClaimReply.Now")

			f.add("never")
			f.add("later", owed(at(2*time.Minute)))
			f.add("soon", owed(at(time.Second)))
			f.put(f.pending("later", at(3*time.Second)))
			f.same(at(time.Second), f.claim(10).NextDue, "NextDue")
			f.now = at(time.Second - time.Microsecond)
			f.same(0, len(f.claim(10).Started), "runs started a microsecond early")
			f.now = at(time.Second)
			reply = f.claim(10)
			f.same([]string{"soon"}, taskIDs(reply.Started), "tasks of the started runs")
			f.same(at(3*time.Second), reply.NextDue, "NextDue")
			f.now = at(3 * time.Second)
			reply = f.claim(10)
			f.same([]string{"later"}, taskIDs(reply.Started), "tasks of the started runs")
			f.same(at(61*time.Second), reply.NextDue, "NextDue")
			f.same(0, len(f.claim(10).Started), "runs started twice")
		},
	},
	{
		name:    "hands out runs complete",
		promise: "started runs have every field of their ledger row and the task's payload and labels, which the ledger does not show",
		check: func(f *fixture) {
			task, status := fullTask("report"), punctual.Status{NextRunAt: f.now}
			pending := f.fullRun("report", punctual.StatePending)
			pending.DueAt = at(-time.Second)
			f.change("report", punctual.Change{Task: &task, Status: &status, Insert: []punctual.Run{pending}})
			started := f.claim(10).Started
			if len(started) != 2 {
				f.failf("Claim started %d runs, want 2", len(started))
			}
			want := pending
			start(&want, f.now, f.session)
			want.Payload, want.Labels = task.Payload, task.Labels
			f.same(want, started[0], "the run that was pending")
			want = started[1]
			want.TaskID, want.TaskName, want.Kind, want.Trigger = "report", task.Name, task.Kind, punctual.TriggerSchedule
			want.ScheduledAt, want.Attempt, want.State, want.StartedAt = f.now, 1, punctual.StateRunning, f.now
			want.Instance, want.Session, want.Payload, want.Labels = instance, f.session, task.Payload, task.Labels
			f.same(want, started[1], "the run of the occurrence")
			for _, run := range started {
				f.same(bare(run), f.run(run.ID), "ledger row")
			}
			f.same(at(time.Minute), f.task("report").NextRunAt, "NextRunAt")
		},
	},
	{
		name:    "goes by due time and then id",
		promise: "what is due is taken in the order of due time and then id, whether a task is due by itself or by a pending run",
		check: func(f *fixture) {
			f.add("c", owed(at(-2*time.Second)))
			f.add("b", owed(at(-2*time.Second)))
			f.add("e", owed(at(time.Hour)))
			f.add("a", owed(at(-time.Second)))
			f.add("d", owed(f.now))
			f.add("f")
			f.put(f.pending("e", at(-3*time.Second)))
			f.put(f.pending("f", at(-2*time.Second)))
			want := []string{"e", "b", "c", "f", "a", "d"}
			f.same(want, taskIDs(f.claim(10).Started), "order of the started runs")
		},
	},
	{
		name:    "keeps its limit",
		promise: "Claim starts no more than Limit runs, the first in due order, tells decide the rest of it as Slots, and says that more is due",
		check: func(f *fixture) {
			for i := range 5 {
				f.add(fmt.Sprintf("task-%d", i), owed(at(time.Duration(i)*time.Microsecond)))
			}
			f.now = at(time.Second)
			var slots []int
			reply := f.claimAs(punctual.ClaimRequest{Limit: 3, Decide: func(v punctual.View) (punctual.Change, error) {
				slots = append(slots, v.Slots)
				return f.startDue(v)
			}})
			f.same([]string{"task-0", "task-1", "task-2"}, taskIDs(reply.Started), "tasks of the started runs")
			f.same([]int{3, 2, 1}, slots, "View.Slots")
			f.check(!reply.NextDue.IsZero() && !reply.NextDue.After(f.now), "NextDue: more is due, got %v", reply.NextDue)
			f.same([]string{"task-3", "task-4"}, taskIDs(f.claim(3).Started), "tasks of the runs started next")
		},
	},
	{
		name:    "counts each start against the limit",
		promise: "a task that starts several runs in one Change uses that much of the limit",
		check: func(f *fixture) {
			f.add("many")
			f.add("one", owed(f.now))
			f.put(f.pending("many", at(-time.Second)), f.pending("many", at(-time.Second)), f.pending("many", at(-time.Second)))
			reply := f.claim(3)
			f.same([]string{"many", "many", "many"}, taskIDs(reply.Started), "tasks of the started runs")
			f.same([]string{"one"}, taskIDs(f.claim(3).Started), "tasks of the runs started next")
		},
	},
	{
		name:    "shows each task once with its due runs",
		promise: "a due task is shown once in a call, with all of its due runs in order and without those that are not due or wait for the gate",
		check: func(f *fixture) {
			f.add("task", owed(f.now))
			rows := []punctual.Run{
				f.pending("task", f.now), f.pending("task", at(-time.Second)), f.pending("task", at(time.Microsecond)),
				f.pending("task", time.Time{}), f.running("task"), f.pending("task", f.now),
			}
			f.put(rows...)
			for round := range 2 {
				shown := 0
				reply, err := f.store.Claim(f.ctx, punctual.ClaimRequest{
					Now: f.now, Session: f.session, Limit: 9, Decide: func(v punctual.View) (punctual.Change, error) {
						shown++
						f.same([]punctual.Run{rows[1], rows[0], rows[5]}, v.Pending, "View.Pending")
						f.same(1, v.Active, "View.Active")
						f.same(rows[4].ID, v.OldestActive, "View.OldestActive")
						f.same(1, v.Waiting, "View.Waiting")
						f.same(9, v.Slots, "View.Slots")
						f.same(f.now, v.Now, "View.Now")
						f.check(v.Record != nil && v.Record.Task.ID == "task" && v.Record.Status.NextRunAt.Equal(f.now), "View.Record is not the task's")
						return punctual.Change{}, nil
					},
				})
				f.must(err, "Claim")
				f.same(1, shown, "how often the task was shown in call %d", round+1)
				f.same(0, reply.Decided, "ClaimReply.Decided for a Change that does nothing")
				f.check(!reply.NextDue.IsZero() && !reply.NextDue.After(f.now), "NextDue: the task is still due, got %v", reply.NextDue)
			}
		},
	},
	{
		name:    "shows a task once although it stays due",
		promise: "what a Change makes due at once is for the next call",
		check: func(f *fixture) {
			f.add("task", owed(f.now))
			shown := 0
			claim := func() punctual.ClaimReply {
				reply, err := f.store.Claim(f.ctx, punctual.ClaimRequest{
					Now: f.now, Session: f.session, Limit: 9, Decide: func(v punctual.View) (punctual.Change, error) {
						shown++
						return punctual.Change{Status: &punctual.Status{NextRunAt: f.now}, Insert: []punctual.Run{f.pending("task", f.now)}}, nil
					},
				})
				f.must(err, "Claim")
				return reply
			}
			reply := claim()
			f.same(1, shown, "how often the task was shown in the first call")
			f.same(1, reply.Decided, "ClaimReply.Decided")
			f.same(f.now, reply.NextDue, "NextDue")
			claim()
			f.same(2, shown, "how often the task was shown in two calls")
		},
	},
	{
		name:    "minds kinds",
		promise: "Claim takes only what is of the kinds asked for, nil means all and empty none, and NextDue counts only those",
		check: func(f *fixture) {
			f.add("mail", kind("mail"), owed(f.now))
			f.add("web", kind("web"), owed(at(-2*time.Second)))
			f.add("plain", owed(at(-time.Second)))
			f.add("mail-late", kind("mail"), owed(at(time.Hour)))
			claim := func(kinds ...string) punctual.ClaimReply {
				return f.claimAs(punctual.ClaimRequest{Limit: 10, Kinds: kinds, Decide: f.startDue})
			}
			reply := claim([]string{}...)
			f.same(0, len(reply.Started), "runs started of no kinds")
			f.check(reply.NextDue.IsZero(), "NextDue of no kinds: want none, got %v", reply.NextDue)
			reply = claim("other")
			f.same(0, len(reply.Started), "runs started of a kind that no task has")
			f.check(reply.NextDue.IsZero(), "NextDue of a kind that no task has: want none, got %v", reply.NextDue)
			reply = claim("mail", "other")
			f.same([]string{"mail"}, taskIDs(reply.Started), "tasks of the started runs of kind mail")
			f.same(at(time.Minute), reply.NextDue, "NextDue of kind mail")
			f.same([]string{"plain"}, taskIDs(claim("").Started), "tasks of the started runs of the empty kind")
			f.same([]string{"web"}, taskIDs(claim("web", "mail", "").Started), "tasks of the started runs of three kinds")
			f.now = at(2 * time.Hour)
			f.same(4, len(f.claim(10).Started), "number of started runs of all kinds")
		},
	},
	{
		name:    "goes by a run's own kind",
		promise: "a pending run counts as of the kind that it was made with, also when its task has another by now",
		check: func(f *fixture) {
			claim := func(limit int, kind string) punctual.ClaimReply {
				return f.claimAs(punctual.ClaimRequest{Limit: limit, Kinds: []string{kind}, Decide: f.startDue})
			}
			old := func(due time.Time) punctual.Run {
				run := f.pending("task", due)
				run.Kind = "old"
				return f.put(run)[0]
			}
			f.add("task", kind("old"))
			first, second, third := old(f.now), old(at(time.Second)), old(at(2*time.Second))
			task := punctual.Task{ID: "task", Kind: "new", Schedule: punctual.Every(time.Minute), Revision: 2}
			f.change("task", punctual.Change{Task: &task, Status: &punctual.Status{NextRunAt: at(time.Hour)}})
			reply := claim(10, "new")
			f.same(0, len(reply.Started), "runs started of the task's new kind")
			f.same(at(time.Hour), reply.NextDue, "NextDue of the new kind")
			reply = claim(10, "old")
			f.same([]string{first.ID}, runIDs(reply.Started), "runs started of the old kind")
			f.same(at(time.Second), reply.NextDue, "NextDue of the old kind")
			f.same(at(time.Second), f.claim(10).NextDue, "NextDue of all kinds")

			second.State, second.DueAt, second.FinishedAt = punctual.StateCanceled, time.Time{}, f.now
			f.change("task", punctual.Change{Update: []punctual.Run{second}})
			f.same(at(2*time.Second), claim(10, "old").NextDue, "NextDue of the old kind after one was canceled")
			third.State, third.DueAt, third.FinishedAt = punctual.StateCanceled, time.Time{}, f.now
			f.change("task", punctual.Change{Update: []punctual.Run{third}})
			reply = claim(10, "old")
			f.check(reply.NextDue.IsZero(), "NextDue of the old kind after all were canceled: want none, got %v", reply.NextDue)

			fourth := old(at(time.Minute))
			f.same(at(time.Minute), claim(10, "old").NextDue, "NextDue of the old kind")
			task.Kind, task.Revision = "old", 3
			f.change("task", punctual.Change{Task: &task, Status: &punctual.Status{NextRunAt: at(2 * time.Minute)}})
			f.same(at(time.Minute), claim(10, "old").NextDue, "NextDue when the kinds agree again")
			reply = claim(10, "new")
			f.check(reply.NextDue.IsZero(), "NextDue of the kind that was new: want none, got %v", reply.NextDue)
			f.now = at(2 * time.Minute)
			reply = claim(10, "old")
			if len(reply.Started) != 2 || reply.Started[0].ID != fourth.ID {
				f.Errorf("started when the kinds agree again: want %s and an occurrence, got %v", fourth.ID, runIDs(reply.Started))
			}
			f.same(at(3*time.Minute), reply.NextDue, "NextDue when the kinds agree again")
		},
	},
	{
		name:    "goes by a run's own kind when it comes back",
		promise: "a run that becomes pending again, since it failed, was released or was taken away, still is of the kind that it was made with when its task got another meanwhile",
		check: func(f *fixture) {
			claim := func(kind string) punctual.ClaimReply {
				return f.claimAs(punctual.ClaimRequest{Limit: 10, Kinds: []string{kind}, Decide: f.startDue})
			}
			f.add("task", kind("old"))
			run := f.running("task")
			run.Kind = "old"
			run = f.put(run)[0]
			task := punctual.Task{ID: "task", Kind: "new", Schedule: punctual.Every(time.Minute), Revision: 2}
			f.change("task", punctual.Change{Task: &task, Status: &punctual.Status{NextRunAt: at(time.Hour)}})
			f.finish(punctual.Finish{RunID: run.ID, TaskID: "task", Attempt: run.Attempt, State: punctual.StatePending, FinishedAt: f.now})
			f.same(0, len(claim("new").Started), "runs started of the task's new kind")
			f.same([]string{run.ID}, runIDs(claim("old").Started), "runs started of the old kind")
		},
	},
	{
		name:    "counts the tasks that it changed",
		promise: "ClaimReply.Decided counts the tasks whose Change did something, whatever it was",
		check: func(f *fixture) {
			var running []punctual.Run
			changes := map[string]punctual.Change{}
			for _, id := range []string{"cancel", "insert", "nothing", "state", "update"} {
				f.add(id, owed(f.now))
				running = append(running, f.put(f.running(id))...)
			}
			waiting := f.put(f.pending("update", at(time.Hour)))[0]
			waiting.DueAt = at(2 * time.Hour)
			changes["cancel"] = punctual.Change{Cancel: orders(running[0].ID)}
			changes["insert"] = punctual.Change{Insert: []punctual.Run{f.pending("insert", at(time.Hour))}}
			changes["state"] = punctual.Change{Status: &punctual.Status{NextRunAt: at(time.Hour)}}
			changes["update"] = punctual.Change{Update: []punctual.Run{waiting}}
			reply, err := f.store.Claim(f.ctx, punctual.ClaimRequest{
				Now: f.now, Session: f.session, Limit: 10, Decide: func(v punctual.View) (punctual.Change, error) {
					return changes[v.Record.Task.ID], nil
				},
			})
			f.must(err, "Claim")
			f.same(4, reply.Decided, "ClaimReply.Decided")
			f.same(f.now, reply.NextDue, "NextDue")
			f.same(at(2*time.Hour), f.run(waiting.ID).DueAt, "DueAt of the updated run")
			f.check(f.run(running[0].ID).CancelRequested, "the running run has no order to cancel")
		},
	},
	{
		name:    "stops at what has to wait for slots",
		promise: "a Change that says Deferred is applied and ends the call, and what it deferred is still due",
		check: func(f *fixture) {
			f.add("first")
			f.add("second", owed(f.now))
			rows := f.put(f.pending("first", at(-time.Second)), f.pending("first", at(-time.Second)))
			shown := 0
			reply, err := f.store.Claim(f.ctx, punctual.ClaimRequest{
				Now: f.now, Session: f.session, Limit: 5, Decide: func(v punctual.View) (punctual.Change, error) {
					shown++
					v.Slots = 1
					return f.startDue(v)
				},
			})
			f.must(err, "Claim")
			f.same(1, shown, "how many tasks were shown")
			f.same(runIDs(rows[:1]), runIDs(reply.Started), "started runs")
			f.check(!reply.NextDue.IsZero() && !reply.NextDue.After(f.now), "NextDue: more is due, got %v", reply.NextDue)
			f.same([]string{"first", "second"}, taskIDs(f.claim(5).Started), "tasks of the runs started next")
		},
	},
	{
		name:    "sets a task aside that cannot be decided",
		promise: "a task whose decide function fails is set aside with its Fault and nothing else of the change, is not due again, and the rest proceeds",
		check: func(f *fixture) {
			f.add("good-1", owed(at(-2*time.Second)))
			f.add("poisoned", owed(at(-time.Second)), kind("k"))
			f.add("good-2", owed(f.now))
			pending := f.put(f.pending("poisoned", f.now), f.pending("poisoned", at(time.Second)))
			poison := errors.New("poison")
			reply := f.claimAs(punctual.ClaimRequest{Limit: 10, Decide: func(v punctual.View) (punctual.Change, error) {
				c, err := f.startDue(v)
				if v.Record.Task.ID == "poisoned" {
					err = poison
				}
				return c, err
			}})
			f.same([]string{"good-1", "good-2"}, taskIDs(reply.Started), "tasks of the started runs")
			if len(reply.SetAside) != 1 || reply.SetAside[0].TaskID != "poisoned" || !errors.Is(reply.SetAside[0].Err, poison) {
				f.Errorf("ClaimReply.SetAside: want the poisoned task with its error, got %v", reply.SetAside)
			}
			f.same(at(58*time.Second), reply.NextDue, "NextDue")
			snapshot := f.task("poisoned")
			f.check(strings.Contains(snapshot.Fault, "poison"), "Snapshot.Fault does not tell the error: %q", snapshot.Fault)
			f.same(at(-time.Second), snapshot.NextRunAt, "NextRunAt of the task that was set aside")
			f.same(snapshot.Fault, f.see("poisoned").Record.Fault, "Record.Fault")
			for _, run := range pending {
				f.same(run, f.run(run.ID), "pending run of the task that was set aside")
			}
			f.now = at(10 * time.Second)
			reply = f.claim(10)
			f.same(0, len(reply.Started)+len(reply.SetAside)+reply.Decided, "what a second Claim did")
			f.same(at(58*time.Second), reply.NextDue, "NextDue")
			f.put(f.pending("poisoned", f.now))
			f.same(0, len(f.claim(10).Started), "runs started of a task that is still set aside")

			f.update("poisoned", func(s *punctual.Status) {})
			f.same("", f.task("poisoned").Fault, "Snapshot.Fault after an edit")
			f.same(4, len(f.claim(10).Started), "runs started after the edit")
		},
	},
	{
		name:    "drops the start of an occurrence that has a row",
		promise: "a row for an occurrence that has one is dropped with its start, and the rest of the Change is applied",
		check: func(f *fixture) {
			f.add("task", owed(f.now))
			old := f.ended("task", punctual.StateSucceeded, f.now)
			old.Trigger, old.ScheduledAt = punctual.TriggerCatchUp, f.now
			f.put(old)
			reply := f.claim(10)
			f.same(0, len(reply.Started), "number of started runs")
			f.same(at(time.Minute), reply.NextDue, "NextDue")
			f.same([]string{old.ID}, f.runs(punctual.RunQuery{}), "Runs")
			f.same(0, f.task("task").Active, "Snapshot.Active")
		},
	},
	{
		name:    "records what differs among many that start together",
		promise: "each of many runs that one claim starts gets a row of its own, whatever it has in common with others, and one whose occurrence is taken none",
		check: func(f *fixture) {
			const n = 120
			// Of each forty the first twenty are alike, and those behind them differ in more and more.
			shapes := []shape{
				kind("k"), func(t *punctual.Task, _ *punctual.Status) { t.Priority = punctual.MaxPriority }, func(t *punctual.Task, _ *punctual.Status) { t.ConcurrencyKey = "key of " + t.ID },
				func(t *punctual.Task, _ *punctual.Status) { t.Name = "name of " + t.ID }, func(t *punctual.Task, _ *punctual.Status) { t.Revision = 7 },
				owed(at(-time.Second)), func(t *punctual.Task, _ *punctual.Status) { t.Payload = json.RawMessage(`"` + t.ID + `"`) },
			}
			taken := map[string]bool{}
			for i := range n {
				id := fmt.Sprintf("task-%05d", i)
				all := []shape{owed(f.now)}
				if i%40 >= 20 {
					all = append(all, shapes[:1+i%len(shapes)]...)
				}
				f.add(id, all...)
				if i%40 == 7 {
					old := f.ended(id, punctual.StateSucceeded, f.now)
					old.Trigger, old.ScheduledAt = punctual.TriggerSchedule, f.now
					f.put(old)
					taken[id] = true
				}
			}
			reply := f.claim(n)
			f.same(n, reply.Decided, "ClaimReply.Decided")
			f.same(n-len(taken), len(reply.Started), "number of started runs")
			seen := map[string]bool{}
			for _, run := range reply.Started {
				f.check(!taken[run.TaskID] && !seen[run.TaskID], "a run of %s is started that must not be", run.TaskID)
				seen[run.TaskID] = true
				f.same(bare(run), f.run(run.ID), "ledger row")
				task := f.see(run.TaskID).Record.Task
				f.same([]any{task.Kind, task.Name, task.Revision, task.Payload}, []any{run.Kind, run.TaskName, run.Revision, run.Payload}, "the run of %s", run.TaskID)
			}
			for i := range n {
				id := fmt.Sprintf("task-%05d", i)
				st := f.see(id).Record.Status
				f.same(st.LastOccurrence.Add(time.Minute), st.NextRunAt, "NextRunAt of %s", id)
				f.check(st.NextRunAt.After(f.now), "%s is still due", id)
				f.same(1, len(f.runs(punctual.RunQuery{TaskID: id})), "number of runs of %s", id)
			}
		},
	},
	{
		name:    "gives back the slot of a start that is dropped",
		promise: "a start that is dropped since its occurrence has a row takes no slot of its kind, and what else of the kind is due starts",
		check: func(f *fixture) {
			f.add("a", kind("k"), owed(at(-time.Second)))
			f.add("b", kind("k"), owed(f.now))
			f.add("c", owed(at(-time.Second)))
			old := f.ended("a", punctual.StateSucceeded, f.now)
			old.Trigger, old.ScheduledAt = punctual.TriggerSchedule, at(-time.Second)
			f.put(old)
			reply := f.claimAs(punctual.ClaimRequest{Limit: 10, KindLimits: map[string]int{"k": 1}, Decide: f.startDue})
			f.same([]string{"b", "c"}, slices.Sorted(slices.Values(taskIDs(reply.Started))), "tasks of the started runs")
		},
	},
	{
		name:    "leaves policies to decide",
		promise: "a store interprets neither Disabled nor Paused: what is due is shown",
		check: func(f *fixture) {
			f.add("disabled", owed(f.now), func(t *punctual.Task, _ *punctual.Status) { t.Disabled = true })
			f.add("paused", func(_ *punctual.Task, s *punctual.Status) { s.Paused = true })
			f.put(f.pending("paused", f.now))
			f.same([]string{"disabled", "paused"}, taskIDs(f.claim(10).Started), "tasks of the started runs")
		},
	},
	{
		name:    "applies all kinds of change",
		promise: "Claim applies a whole Change: rows that are skipped, missed, pending or waiting, orders to cancel, and the state",
		check: func(f *fixture) {
			f.add("task", owed(f.now))
			rows := f.put(f.running("task"), f.pending("task", f.now), f.pending("task", f.now))
			missed, late := f.fullRun("task", punctual.StateMissed), f.pending("task", at(time.Second))
			status := fullStatus()
			reply := f.claimAs(punctual.ClaimRequest{Limit: 10, Decide: func(v punctual.View) (punctual.Change, error) {
				waiting, skipped := v.Pending[0], v.Pending[1]
				waiting.DueAt = time.Time{}
				skipped.State, skipped.Reason, skipped.BlockedBy, skipped.FinishedAt, skipped.DueAt = punctual.StateSkipped, punctual.ReasonQueueFull, rows[0].ID, v.Now, time.Time{}
				return punctual.Change{
					Status: &status, Insert: []punctual.Run{missed, late}, Update: []punctual.Run{waiting, skipped}, Cancel: orders(rows[0].ID),
				}, nil
			}})
			f.same(0, len(reply.Started), "number of started runs")
			f.same(1, reply.Decided, "ClaimReply.Decided")
			f.same(at(time.Second), reply.NextDue, "NextDue")
			f.same(status, f.see("task").Record.Status, "state")
			f.same(missed, f.run(missed.ID), "the missed row")
			f.same(late, f.run(late.ID), "the pending row")
			f.same(1, f.see("task").Waiting, "View.Waiting")
			f.check(f.run(rows[0].ID).CancelRequested, "the running run has no order to cancel")
			got := f.run(rows[2].ID)
			f.same(punctual.StateSkipped, got.State, "state of the skipped run")
			f.same(rows[0].ID, got.BlockedBy, "BlockedBy of the skipped run")
		},
	},
	{
		name:    "keeps the state of each task",
		promise: "the tasks of one claim each get the state that was decided for them, whatever it has in common with that of others",
		check: func(f *fixture) {
			states := map[string]punctual.Status{
				"a": {Anchor: f.now, NextRunAt: at(time.Hour), LastOccurrence: f.now}, "b": fullStatus(), "c": {Paused: true},
				"d": {NextRunAt: at(2 * time.Hour), Delay: time.Minute}, "e": {NextRunAt: at(time.Hour), Skipping: punctual.Skipping{RunID: "r", Reason: "s", Count: 2}},
			}
			for _, together := range [][]string{{"a", "b", "c", "d", "e"}, {"a", "c"}, {"a", "d"}, {"a", "e"}, {"b"}, {"a", "a2"}} {
				for _, id := range together {
					if _, err := f.store.Task(f.ctx, id); err != nil {
						f.add(id, owed(f.now))
					}
					f.update(id, func(s *punctual.Status) { *s = punctual.Status{NextRunAt: f.now} })
				}
				f.claimAs(punctual.ClaimRequest{Limit: 10, Decide: func(v punctual.View) (punctual.Change, error) {
					status := states[v.Record.Task.ID[:1]]
					return punctual.Change{Status: &status}, nil
				}})
				for _, id := range together {
					f.same(states[id[:1]], f.see(id).Record.Status, "state of %s", id)
				}
			}
		},
	},
	{
		name:    "takes many tasks that are due at the same instant",
		promise: "every due task is taken, in the order of ids, however many there are",
		check: func(f *fixture) {
			const n = 400
			for i := range n {
				f.add(fmt.Sprintf("task-%05d", i*7919%n), owed(f.now), func(t *punctual.Task, _ *punctual.Status) {
					t.Payload = json.RawMessage(fmt.Sprint(i * 7919 % n))
				})
			}
			reply := f.claim(2 * n)
			f.same(n, len(reply.Started), "number of started runs")
			for i, run := range reply.Started {
				if want := fmt.Sprintf("task-%05d", i); run.TaskID != want || string(run.Payload) != fmt.Sprint(i) {
					f.failf("run %d is of task %s with payload %s, want %s", i, run.TaskID, run.Payload, want)
				}
			}
			f.same(at(time.Minute), reply.NextDue, "NextDue")
		},
	},
}
