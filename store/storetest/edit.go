package storetest

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/punctual-go/punctual"
)

// fullTask has a value in every field that a definition has.
func fullTask(id string) punctual.Task {
	return punctual.Task{
		ID: id, Name: "Nightly report", Kind: "mail", Schedule: punctual.Every(90 * time.Second),
		Payload: json.RawMessage(`{"to":["ann","bob"],"retries":3}`), Disabled: true, OnRegister: punctual.WaitForSchedule,
		FirstDelay: 3 * time.Second, Overlap: punctual.OverlapQueue, MaxActive: 2, MaxQueued: 7, Misfire: punctual.MisfireRunAll,
		MisfireGrace: 1500 * time.Millisecond, MisfireLimit: 5,
		Retry:   punctual.Retry{MaxAttempts: 4, Initial: time.Second, Max: time.Hour, Multiplier: 1.5, Jitter: 0.25},
		Timeout: 20 * time.Minute, Lost: punctual.LostMark, Labels: map[string]string{"team": "ops", "env": ""}, Revision: 3,
		Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
}

// fullStatus has a value in every field of a state.
func fullStatus() punctual.Status {
	return punctual.Status{
		Paused: true, Anchor: at(-time.Hour), NextRunAt: at(time.Hour), LastOccurrence: at(-time.Minute), Delay: 42 * time.Second,
		Skipping: punctual.Skipping{RunID: "run-1", Reason: punctual.ReasonOverlap, BlockedBy: "run-0", Count: 12},
	}
}

// fullRun has a value in every field that the ledger keeps of a run in the given state.
func (f *fixture) fullRun(taskID string, state punctual.State) punctual.Run {
	r := punctual.Run{
		ID: f.name("run"), TaskID: taskID, TaskName: "Nightly report", Kind: "mail", Trigger: punctual.TriggerCatchUp,
		ScheduledAt: at(time.Duration(f.serial.Load()) * time.Second), Until: at(time.Hour), Count: 61, Attempt: 3, State: state,
		StartedAt: at(2 * time.Second), FinishedAt: at(3 * time.Second),
		Result: punctual.Result{Output: "done: 3 mails\n", Facts: json.RawMessage(`{"sent":3}`)},
		Error:  "no route", Stack: "goroutine 7", Reason: punctual.ReasonOverlap, BlockedBy: "run-0", Instance: "instance-b",
		Revision: 3, AtMostOnce: true, CreatedAt: at(time.Second),
		History: []punctual.Attempt{
			{Number: 1, Instance: "instance-b", StartedAt: at(0), FinishedAt: at(time.Second), Outcome: "failed", Error: "no route"},
			{Number: 2, Outcome: "lost"},
		},
	}
	switch state {
	case punctual.StatePending:
		r.DueAt, r.FinishedAt = at(time.Minute), time.Time{}
	case punctual.StateRunning:
		r.FinishedAt, r.Session = time.Time{}, f.session
	}
	return r
}

var editCases = []testCase{
	{
		name:    "creates a task with its state and its runs",
		promise: "what a Change holds becomes visible together: definition, state and ledger rows, in every field",
		check: func(f *fixture) {
			task, status := fullTask("report"), fullStatus()
			running, pending := f.fullRun("report", punctual.StateRunning), f.fullRun("report", punctual.StatePending)
			reply := f.change("report", punctual.Change{Task: &task, Status: &status, Insert: []punctual.Run{running, pending}})
			f.same(f.now, reply.Now, "EditReply.Now")
			f.same(0, len(reply.Dropped), "number of dropped rows")

			last := bare(pending)
			f.same(punctual.Snapshot{
				Task: task, NextRunAt: status.NextRunAt, Anchor: status.Anchor, LastRun: &last, Active: 1, Paused: true, Revision: 3, CreatedAt: f.now, UpdatedAt: f.now,
			}, f.task("report"), "Task")
			f.same(running, f.run(running.ID), "the running row")
			f.same(pending, f.run(pending.ID), "the pending row")
			f.same(&punctual.Record{Task: task, Status: status, CreatedAt: f.now, UpdatedAt: f.now}, f.see("report").Record, "Record")
		},
	},
	{
		name:    "shows an absent task as no record",
		promise: "View.Record is nil when there is no such task, and nothing is active, pending or waiting",
		check: func(f *fixture) {
			f.add("other")
			f.put(f.running("other"), f.pending("other", f.now))
			req := f.request("absent", nil)
			req.Slots = 17
			calls := 0
			req.Decide = func(v punctual.View) (punctual.Change, error) {
				calls++
				f.same(punctual.View{Now: f.now, Slots: 17}, v, "View")
				return punctual.Change{}, nil
			}
			_, err := f.store.Edit(f.ctx, req)
			f.must(err, "Edit")
			f.check(calls > 0, "Edit of an absent task did not call decide")
			_, err = f.store.Task(f.ctx, "absent")
			f.wraps(err, punctual.ErrTaskNotFound, "Task after a Change that does nothing")
		},
	},
	{
		name:    "passes on an error from decide and changes nothing",
		promise: "an error from decide is returned as it is and nothing is changed",
		check: func(f *fixture) {
			f.add("task")
			f.put(f.pending("task", at(time.Hour)))
			before := f.see("task")
			refusal := errors.New("refused by the suite")
			for _, id := range []string{"task", "absent"} {
				task, status := fullTask(id), fullStatus()
				_, err := f.store.Edit(f.ctx, f.request(id, func(v punctual.View) (punctual.Change, error) {
					change := punctual.Change{Task: &task, Status: &status, Insert: []punctual.Run{f.pending(id, f.now)}}
					if v.Record != nil {
						change.Update = []punctual.Run{f.ended(id, punctual.StateCanceled, f.now)}
						change.Update[0].ID = v.Pending[0].ID
					}
					return change, refusal
				}))
				if err != refusal { //nolint:errorlint // the very error has to come back
					f.Errorf("Edit of %q: want the error of decide itself, got %v", id, err)
				}
			}
			f.same(before, f.see("task"), "View after the refused change")
			_, err := f.store.Task(f.ctx, "absent")
			f.wraps(err, punctual.ErrTaskNotFound, "Task after the refused creation")
			f.same(1, len(f.runs(punctual.RunQuery{})), "number of runs")
		},
	},
	{
		name:    "does nothing for the zero Change",
		promise: "the zero Change does nothing",
		check: func(f *fixture) {
			f.add("task", owed(at(time.Minute)))
			f.put(f.running("task"), f.pending("task", f.now))
			before, snapshot := f.see("task"), f.task("task")
			f.now = at(time.Second)
			f.change("task", punctual.Change{})
			after := f.see("task")
			after.Now = before.Now
			f.same(before, after, "View")
			f.same(snapshot, f.task("task"), "Task")
		},
	},
	{
		name:    "replaces a definition and keeps the rest",
		promise: "Change.Task replaces the definition in every field, and CreatedAt and the ledger stay",
		check: func(f *fixture) {
			f.add("report", owed(at(time.Minute)), labeled(map[string]string{"old": "1"}))
			kept := f.put(f.running("report"), f.pending("report", at(time.Hour)), f.ended("report", punctual.StateFailed, f.now))
			created := f.now
			f.now = at(time.Hour)
			task, status := fullTask("report"), fullStatus()
			f.change("report", punctual.Change{Task: &task, Status: &status})
			got := f.task("report")
			f.same(task, got.Task, "definition")
			f.same(task.Revision, got.Revision, "Snapshot.Revision")
			f.same(created, got.CreatedAt, "CreatedAt")
			f.same(f.now, got.UpdatedAt, "UpdatedAt")
			f.same(status, f.see("report").Record.Status, "state")
			for _, run := range kept {
				f.same(run, f.run(run.ID), "run %s", run.ID)
			}
			f.now = at(2 * time.Hour)
			plain := punctual.Task{ID: "report", Schedule: punctual.Once(at(3 * time.Hour)), Revision: 4}
			f.change("report", punctual.Change{Task: &plain, Status: &punctual.Status{}})
			f.same(plain, f.task("report").Task, "definition that has only what is required")
			f.same(punctual.Status{}, f.see("report").Record.Status, "zero state")
		},
	},
	{
		name:    "replaces the state alone",
		promise: "Change.Status without Change.Task replaces the whole state and leaves the definition",
		check: func(f *fixture) {
			f.add("task", owed(at(time.Minute)))
			before := f.task("task").Task
			for _, status := range []punctual.Status{fullStatus(), {}} {
				f.change("task", punctual.Change{Status: &status})
				f.same(status, f.see("task").Record.Status, "state")
				f.same(status.NextRunAt, f.task("task").NextRunAt, "Snapshot.NextRunAt")
				f.same(status.Paused, f.task("task").Paused, "Snapshot.Paused")
			}
			f.same(before, f.task("task").Task, "definition")
		},
	},
	{
		name:    "removes a task with its ledger",
		promise: "Change.Remove deletes the task with its whole history, live runs included, and nothing of another task",
		check: func(f *fixture) {
			f.add("gone", owed(f.now))
			f.add("gone-not", owed(at(time.Hour)))
			runs := f.put(f.running("gone"), f.pending("gone", f.now), f.pending("gone", time.Time{}), f.ended("gone", punctual.StateSucceeded, f.now))
			other := f.put(f.running("gone-not"))
			f.change("gone", punctual.Change{Remove: true})
			_, err := f.store.Task(f.ctx, "gone")
			f.wraps(err, punctual.ErrTaskNotFound, "Task")
			for _, run := range runs {
				_, err := f.store.Run(f.ctx, run.ID)
				f.wraps(err, punctual.ErrRunNotFound, "Run")
			}
			f.same([]string{"gone-not"}, f.tasks(punctual.TaskQuery{}), "Tasks")
			f.same(runIDs(other), f.runs(punctual.RunQuery{}), "Runs")
			f.check(f.see("gone").Record == nil, "Edit still shows the removed task")
			reply := f.claim(10)
			f.same(0, len(reply.Started), "runs that Claim started")
			f.same(at(time.Hour), reply.NextDue, "NextDue")
			f.same([]punctual.Verdict{punctual.VerdictGone}, f.finish(f.outcome(runs[0], punctual.StateSucceeded)), "Finish of the removed run")
		},
	},
	{
		name:    "removes a task and keeps its history",
		promise: "with KeepHistory the task goes and its rows stay; live ones finish as ever, and none starts",
		check: func(f *fixture) {
			f.add("gone", owed(f.now), delayed(time.Minute))
			runs := f.put(f.running("gone"), f.pending("gone", f.now), f.ended("gone", punctual.StateSucceeded, f.now))
			last := f.ended("gone", punctual.StateSkipped, f.now)
			f.change("gone", punctual.Change{Remove: true, KeepHistory: true, Insert: []punctual.Run{last}})
			_, err := f.store.Task(f.ctx, "gone")
			f.wraps(err, punctual.ErrTaskNotFound, "Task")
			f.same(reversed(runIDs(append(runs, last))), f.runs(punctual.RunQuery{TaskID: "gone"}), "Runs")
			reply := f.claim(10)
			f.same(0, len(reply.Started), "runs that Claim started")
			f.check(reply.NextDue.IsZero(), "NextDue: want none, got %v", reply.NextDue)
			f.same([]punctual.Verdict{punctual.VerdictApplied}, f.finish(f.outcome(runs[0], punctual.StateSucceeded)), "Finish")
			f.same(punctual.StateSucceeded, f.run(runs[0].ID).State, "state of the finished run")
			_, err = f.store.Task(f.ctx, "gone")
			f.wraps(err, punctual.ErrTaskNotFound, "Task after Finish")
		},
	},
	{
		name:    "makes a task anew under an old id",
		promise: "a task that is created under the id of a removed one has nothing of it but the history that was kept",
		check: func(f *fixture) {
			f.add("task", owed(f.now), labeled(map[string]string{"a": "b"}), kind("k"))
			old := f.put(f.ended("task", punctual.StateSucceeded, f.now))
			f.change("task", punctual.Change{Remove: true, KeepHistory: true})
			f.now = at(time.Hour)
			f.add("task", named("again"))
			want := punctual.Snapshot{
				Task: punctual.Task{
					ID: "task", Name: "again", Schedule: punctual.Every(time.Minute), Payload: json.RawMessage(`{"of":1}`), Revision: 1,
				},
				Anchor: f.now, Revision: 1, LastRun: &old[0], CreatedAt: f.now, UpdatedAt: f.now,
			}
			f.same(want, f.task("task"), "Task")
			f.same(punctual.Status{Anchor: f.now}, f.see("task").Record.Status, "state")
			f.same([]string{"task"}, f.tasks(punctual.TaskQuery{}), "Tasks")
		},
	},
	{
		name:    "finds the task by a run",
		promise: "with RunID the task of that run is taken and View.Run is the run; ErrRunNotFound when there is none",
		check: func(f *fixture) {
			f.add("one")
			f.add("two")
			f.put(f.pending("one", f.now))
			runs := f.put(f.running("two"), f.pending("two", at(time.Minute)), f.ended("two", punctual.StateFailed, f.now))
			edit := func(id string, decide punctual.DecideFunc) error {
				_, err := f.store.Edit(f.ctx, punctual.EditRequest{RunID: id, Now: f.now, Session: f.session, Decide: decide})
				return err
			}
			for _, run := range runs {
				f.must(edit(run.ID, func(v punctual.View) (punctual.Change, error) {
					f.same(&run, v.Run, "View.Run")
					f.check(v.Record != nil && v.Record.Task.ID == "two", "View.Record is not the run's task")
					f.same(1, v.Active, "View.Active")
					f.same(runs[1:2], v.Pending, "View.Pending")
					return punctual.Change{}, nil
				}), "Edit")
			}
			err := edit("run-none", func(punctual.View) (punctual.Change, error) { return punctual.Change{}, nil })
			f.wraps(err, punctual.ErrRunNotFound, "Edit of an absent run")

			f.change("two", punctual.Change{Remove: true, KeepHistory: true})
			canceled := runs[1]
			canceled.State, canceled.Reason, canceled.FinishedAt, canceled.DueAt = punctual.StateCanceled, punctual.ReasonCanceled, f.now, time.Time{}
			f.must(edit(canceled.ID, func(v punctual.View) (punctual.Change, error) {
				f.check(v.Record == nil, "View.Record of a removed task is not nil")
				return punctual.Change{Update: []punctual.Run{canceled}}, nil
			}), "Edit of a run whose task was removed")
			f.same(canceled, f.run(canceled.ID), "the canceled run")
		},
	},
	{
		name:    "shows what is active, pending and waiting",
		promise: "View counts the running runs and names the oldest, and lists pending runs by DueAt and then id, waiting ones last",
		check: func(f *fixture) {
			f.add("task")
			f.add("other")
			f.put(f.running("other"), f.pending("other", f.now))
			rows := []punctual.Run{
				f.pending("task", time.Time{}),
				f.pending("task", at(time.Hour)),
				f.running("task"),
				f.pending("task", at(time.Minute)),
				f.ended("task", punctual.StateSucceeded, f.now),
				f.pending("task", time.Time{}),
				f.pending("task", at(time.Minute)),
				f.running("task"),
				f.pending("task", at(-time.Hour)),
			}
			f.put(rows[7], rows[6], rows[8], rows[5]) // ids do not arrive in order
			f.put(rows[0], rows[1], rows[2], rows[3], rows[4])
			v := f.see("task")
			f.same(2, v.Active, "View.Active")
			f.same(rows[2].ID, v.OldestActive, "View.OldestActive")
			f.same(2, v.Waiting, "View.Waiting")
			f.same([]punctual.Run{rows[8], rows[3], rows[6], rows[1], rows[0], rows[5]}, v.Pending, "View.Pending")
			f.check(v.Run == nil, "View.Run of an Edit by task is not nil")
			f.same(2, f.task("task").Active, "Snapshot.Active")
		},
	},
	{
		name:    "inserts rows in any state",
		promise: "an inserted row keeps every field but payload and labels",
		check: func(f *fixture) {
			f.add("task")
			for state := punctual.StatePending; state <= punctual.StateLost; state++ {
				run := f.fullRun("task", state)
				run.Payload, run.Labels = json.RawMessage(`{"not":"kept"}`), map[string]string{"not": "kept"}
				f.put(run)
				f.same(bare(run), f.run(run.ID), "a row that is %v", state)
			}
		},
	},
	{
		name:    "updates pending rows",
		promise: "an update writes State, DueAt, Attempt, StartedAt, FinishedAt, Error, Reason, BlockedBy, Instance, Session, Until and Count, and no other field",
		check: func(f *fixture) {
			f.add("task")
			for state := punctual.StatePending; state <= punctual.StateLost; state++ {
				before := f.fullRun("task", punctual.StatePending)
				f.put(before)
				update := punctual.Run{
					ID: before.ID, TaskID: "task", State: state, Attempt: 9, StartedAt: at(time.Hour), FinishedAt: at(2 * time.Hour),
					Error: "new error", Reason: "new reason", BlockedBy: "new", Instance: "instance-c", Until: at(3 * time.Hour), Count: 99,
				}
				switch state {
				case punctual.StatePending:
					update.DueAt, update.FinishedAt = at(4*time.Hour), time.Time{}
				case punctual.StateRunning:
					update.FinishedAt, update.Session = time.Time{}, f.session
				}
				want := before
				want.State, want.DueAt, want.Attempt, want.StartedAt, want.FinishedAt = update.State, update.DueAt, 9, update.StartedAt, update.FinishedAt
				want.Error, want.Reason, want.BlockedBy, want.Instance = update.Error, update.Reason, update.BlockedBy, update.Instance
				want.Session, want.Until, want.Count = update.Session, update.Until, 99
				update.Kind, update.Trigger, update.ScheduledAt = "other", punctual.TriggerManual, at(-time.Hour)
				update.Revision, update.CreatedAt, update.TaskName = 77, at(-time.Hour), "other"
				f.change("task", punctual.Change{Update: []punctual.Run{update}})
				f.same(want, f.run(before.ID), "a row that became %v", state)
			}
		},
	},
	{
		name:    "passes over rows that an update may not change",
		promise: "a row that is gone, running, final and not skipped, or of another task is passed over by an update, and the rest of the Change is applied",
		check: func(f *fixture) {
			f.add("task")
			f.add("other")
			guarded := f.put(f.running("task"))
			for state := punctual.StateSucceeded; state <= punctual.StateLost; state++ {
				if state != punctual.StateSkipped {
					guarded = append(guarded, f.put(f.ended("task", state, f.now))...)
				}
			}
			guarded = append(guarded, f.put(f.pending("other", at(time.Hour)))...)
			free := f.put(f.pending("task", at(time.Hour)))[0]
			var updates []punctual.Run
			for _, run := range append(append([]punctual.Run{{ID: "run-none"}}, guarded...), free) {
				run.State, run.DueAt, run.Reason, run.FinishedAt, run.Session = punctual.StateSkipped, time.Time{}, "changed", f.now, ""
				updates = append(updates, run)
			}
			f.change("task", punctual.Change{Update: updates})
			for _, run := range guarded {
				f.same(run, f.run(run.ID), "row %s, which is %v", run.ID, run.State)
			}
			f.same("changed", f.run(free.ID).Reason, "reason of the pending row")
			_, err := f.store.Run(f.ctx, "run-none")
			f.wraps(err, punctual.ErrRunNotFound, "Run of the row that is gone")
			v := f.see("task")
			f.same(1, v.Active, "View.Active")
			f.same(0, len(v.Pending), "number of pending runs")
		},
	},
	{
		name:    "lets the open row of skips grow",
		promise: "a skipped row takes updates of Until and Count, so that consecutive skips are one row",
		check: func(f *fixture) {
			f.add("task")
			row := f.ended("task", punctual.StateSkipped, f.now)
			row.Trigger, row.ScheduledAt = punctual.TriggerSchedule, f.now
			f.put(row)
			for n := int64(2); n < 5; n++ {
				row.Count, row.Until, row.FinishedAt = n, at(time.Duration(n)*time.Minute), at(time.Duration(n)*time.Minute)
				f.change("task", punctual.Change{Update: []punctual.Run{row}})
				f.same(row, f.run(row.ID), "the row after %d skips", n)
			}
		},
	},
	{
		name:    "keeps orders to cancel",
		promise: "Change.Cancel sets CancelRequested on running runs of the task and leaves all others",
		check: func(f *fixture) {
			f.add("task")
			f.add("other")
			rows := f.put(f.running("task"), f.running("task"), f.pending("task", at(time.Hour)), f.ended("task", punctual.StateSucceeded, f.now))
			other := f.put(f.running("other"))
			f.change("task", punctual.Change{Cancel: orders(rows[0].ID, rows[2].ID, rows[3].ID, other[0].ID, "run-none")})
			f.check(f.run(rows[0].ID).CancelRequested, "the running run has no order to cancel")
			for _, run := range append(rows[1:], other...) {
				f.check(!f.run(run.ID).CancelRequested, "run %s, which is %v, has an order to cancel", run.ID, run.State)
			}
			f.same(punctual.StateRunning, f.run(rows[0].ID).State, "state of the run that was ordered to be cancelled")
		},
	},
	{
		name:    "has one row for an occurrence",
		promise: "an inserted row for an occurrence that has one is dropped and named in Dropped, and the rest of the Change is applied; register and manual runs are free",
		check: func(f *fixture) {
			f.add("task")
			f.add("other")
			row := func(task string, trigger punctual.Trigger, at time.Time) punctual.Run {
				r := f.pending(task, f.now)
				r.Trigger, r.ScheduledAt = trigger, at
				return r
			}
			rows := []punctual.Run{
				row("task", punctual.TriggerSchedule, at(0)),
				row("task", punctual.TriggerCatchUp, at(time.Minute)),
				row("task", punctual.TriggerBackfill, at(2*time.Minute)),
				row("task", punctual.TriggerSchedule, at(time.Microsecond)),
				row("task", punctual.TriggerRegister, at(0)),
				row("task", punctual.TriggerManual, at(0)),
				row("task", punctual.TriggerManual, at(0)),
				row("task", punctual.TriggerRegister, at(0)),
			}
			f.put(rows...)
			f.put(row("other", punctual.TriggerSchedule, at(0)))
			again := []punctual.Run{
				row("task", punctual.TriggerBackfill, at(2*time.Minute)),
				row("task", punctual.TriggerSchedule, at(time.Minute)),
				row("task", punctual.TriggerCatchUp, at(0)),
				row("task", punctual.TriggerSchedule, at(3*time.Minute)),
				row("task", punctual.TriggerCatchUp, at(3*time.Minute)),
			}
			start(&again[0], f.now, f.session)
			status := punctual.Status{NextRunAt: at(time.Hour)}
			reply := f.change("task", punctual.Change{Insert: again, Status: &status})
			f.same([]string{again[0].ID, again[1].ID, again[2].ID, again[4].ID}, reply.Dropped, "EditReply.Dropped")
			want := append(runIDs(rows), again[3].ID)
			f.same(reversed(want), f.runs(punctual.RunQuery{TaskID: "task"}), "Runs")
			f.same(0, f.see("task").Active, "View.Active")
			f.same(at(time.Hour), f.task("task").NextRunAt, "NextRunAt")
		},
	},
}
