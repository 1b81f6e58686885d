package storetest

import (
	"fmt"
	"time"

	"github.com/punctual-go/punctual"
)

// restarted puts the reopened store in the place of the old one.
func (f *fixture) restarted() {
	f.Helper()
	store := f.reopen()
	f.store = store
	f.leaser, _ = store.(punctual.Leaser)
	f.watcher, _ = store.(punctual.Watcher)
}

var durableCases = []testCase{
	{
		name:    "keeps everything that was acknowledged",
		promise: "after the store was closed and opened again, tasks, states, faults and ledger are as they were",
		needs:   needReopen,
		check: func(f *fixture) {
			task, status := fullTask("report"), fullStatus()
			f.change("report", punctual.Change{Task: &task, Status: &status})
			for state := punctual.StatePending; state <= punctual.StateLost; state++ {
				f.put(f.fullRun("report", state))
			}
			f.add("poisoned", owed(f.now))
			f.claimAs(punctual.ClaimRequest{Limit: 5, Decide: func(v punctual.View) (punctual.Change, error) {
				return punctual.Change{}, fmt.Errorf("cannot decide %s", v.Record.Task.ID)
			}})
			f.add("removed")
			f.change("removed", punctual.Change{Remove: true})
			f.put(f.pending("report", f.now))
			f.change("report", punctual.Change{Cancel: orders(f.runs(punctual.RunQuery{States: []punctual.State{punctual.StateRunning}})...)})
			view, fault := f.see("report"), f.see("poisoned").Record.Fault
			f.check(fault != "", "the poisoned task has no Fault")
			tasks, err := f.store.Tasks(f.ctx, punctual.TaskQuery{})
			f.must(err, "Tasks")
			runs, err := f.store.Runs(f.ctx, punctual.RunQuery{})
			f.must(err, "Runs")

			f.restarted()
			f.same(view, f.see("report"), "View")
			f.same(fault, f.see("poisoned").Record.Fault, "Fault")
			gotTasks, err := f.store.Tasks(f.ctx, punctual.TaskQuery{})
			f.must(err, "Tasks")
			f.same(tasks, gotTasks, "Tasks")
			gotRuns, err := f.store.Runs(f.ctx, punctual.RunQuery{})
			f.must(err, "Runs")
			f.same(runs, gotRuns, "Runs")
			reply := f.claim(10)
			f.same([]string{"report"}, taskIDs(reply.Started), "tasks of the started runs")
			f.same(at(time.Minute), reply.NextDue, "NextDue")
		},
	},
	{
		name:    "goes on after a restart",
		promise: "due times, uniqueness of occurrences, attempts under way and verdicts outlive the store's end",
		needs:   needReopen,
		check: func(f *fixture) {
			f.add("task", owed(f.now), delayed(0))
			f.add("later", owed(at(time.Hour)))
			run := f.claim(10).Started[0]
			item := f.outcome(run, punctual.StateSucceeded)
			again := run
			again.ID, again.State, again.DueAt, again.Session = f.name("run"), punctual.StatePending, f.now, ""

			f.restarted()
			f.same(1, f.see("task").Active, "View.Active")
			f.same([]string{again.ID}, f.change("task", punctual.Change{Insert: []punctual.Run{again}}).Dropped, "EditReply.Dropped")
			f.verdict(applied, item, "the attempt that outlived the store")
			f.restarted()
			f.verdict(already, item, "its repeat")
			f.same(at(time.Minute), f.claim(10).NextDue, "NextDue")
			f.now = at(2 * time.Hour)
			f.same([]string{"task", "later"}, taskIDs(f.claim(10).Started), "tasks of the started runs")
		},
	},
	{
		name:    "keeps sessions over a restart",
		promise: "leases outlive the store's end: a live session goes on, a dead one stays dead, and a lapsed one is taken",
		needs:   needReopen | needLeaser,
		check: func(f *fixture) {
			rows := f.held("task", "session-b", 2)
			f.held("ended", "session-c", 1)
			f.must(f.leaser.EndSession(f.ctx, "session-c"), "EndSession")
			before := f.instances()
			f.restarted()
			f.same(before, f.instances(), "Instances")
			f.same(runIDs(rows), f.heldBy("session-b"), "Held")
			f.check(f.beat("session-c", time.Minute).Lost, "the dead session came to life")
			f.check(!f.beat("session-b", time.Minute).Lost, "the live session was lost")
			f.now = at(time.Hour)
			f.same(3, len(f.reclaim(10).Runs), "number of runs taken")
			f.restarted()
			f.same(3, len(f.claim(10).Started), "number of runs started again")
		},
	},
}
