package storetest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/punctual-go/punctual"
)

const (
	applied = punctual.VerdictApplied
	already = punctual.VerdictAlready
	stale   = punctual.VerdictStale
	gone    = punctual.VerdictGone
)

// verdict hands in one outcome and checks what the store makes of it.
func (f *fixture) verdict(want punctual.Verdict, item punctual.Finish, what string, args ...any) {
	f.Helper()
	f.same(want, f.finish(item)[0], "verdict on %s", fmt.Sprintf(what, args...))
}

// begun adds a task with one running run, which it returns.
func (f *fixture) begun(taskID string, shapes ...shape) punctual.Run {
	f.Helper()
	f.add(taskID, shapes...)
	return f.put(f.running(taskID))[0]
}

// restart claims the one run that is due.
func (f *fixture) restart(what string) punctual.Run {
	f.Helper()
	started := f.claim(10).Started
	if len(started) != 1 {
		f.failf("%s: Claim started %d runs, want 1", what, len(started))
	}
	return started[0]
}

// retry is the outcome of an attempt that is to be followed by another.
func (f *fixture) retry(r punctual.Run, at time.Time) punctual.Finish {
	item := f.outcome(r, punctual.StatePending)
	item.RetryAt, item.Error = at, fmt.Sprintf("attempt %d failed", r.Attempt)
	return item
}

// release is the outcome of an attempt whose host code did not begin.
func (f *fixture) release(r punctual.Run) punctual.Finish {
	item := f.outcome(r, punctual.StatePending)
	item.Released = true
	return item
}

var finishCases = []testCase{
	{
		name:    "records every final state",
		promise: "a Finish of the running attempt is applied and the ledger shows its state, times, result, error, stack and reason",
		check: func(f *fixture) {
			f.add("task")
			for _, state := range []punctual.State{
				punctual.StateSucceeded, punctual.StateFailed, punctual.StateCanceled, punctual.StateLost, punctual.StateSkipped, punctual.StateMissed,
			} {
				run := f.fullRun("task", punctual.StateRunning)
				run.Result, run.Error, run.Stack, run.Reason = punctual.Result{}, "", "", ""
				f.put(run)
				item := punctual.Finish{
					RunID: run.ID, TaskID: "task", Attempt: run.Attempt, State: state, StartedAt: at(time.Minute), FinishedAt: at(2 * time.Minute),
					Result: punctual.Result{Output: "line 1\nline 2 é 🎉", Facts: json.RawMessage(`{"tokens":{"in":12345678901234567890,"out":0.10}}`)},
					Error:  "it broke: \"x\"", Stack: "goroutine 1 [running]:\nmain.main()", Reason: punctual.ReasonTimeout,
				}
				f.verdict(applied, item, "the running attempt")
				want := run
				want.State, want.StartedAt, want.FinishedAt, want.Result = state, item.StartedAt, item.FinishedAt, item.Result
				want.Error, want.Stack, want.Reason, want.Session = item.Error, item.Stack, item.Reason, ""
				f.same(want, f.run(run.ID), "a run that ended as %v", state)
			}
			f.same(0, f.task("task").Active, "Snapshot.Active")
		},
	},
	{
		name:    "answers in the order of the items",
		promise: "Finish answers one verdict per item in the same order, and records all that apply in one call",
		check: func(f *fixture) {
			f.add("a")
			f.add("b")
			rows := f.put(f.running("a"), f.running("a"), f.running("a"))
			other := f.put(f.running("b"))[0]
			f.verdict(applied, f.outcome(rows[1], punctual.StateSucceeded), "the running attempt")
			late := f.outcome(rows[2], punctual.StateSucceeded)
			late.Attempt = 7
			none := f.outcome(other, punctual.StateSucceeded)
			none.RunID = "run-none"
			verdicts := f.finish(
				none, f.outcome(other, punctual.StateFailed), f.outcome(rows[1], punctual.StateSucceeded), late, f.outcome(rows[0], punctual.StateCanceled),
			)
			f.same([]punctual.Verdict{gone, applied, already, stale, applied}, verdicts, "verdicts")
			f.same(punctual.StateFailed, f.run(other.ID).State, "state of the other task's run")
			f.same(punctual.StateCanceled, f.run(rows[0].ID).State, "state of the first run")
			f.same(punctual.StateRunning, f.run(rows[2].ID).State, "state of the run whose item was stale")
			f.same(0, len(f.finish()), "verdicts for no items")
		},
	},
	{
		name:    "takes large batches",
		promise: "Finish records a thousand outcomes in one call",
		check: func(f *fixture) {
			const tasks, each = 10, 100
			var items []punctual.Finish
			for i := range tasks {
				id := fmt.Sprintf("task-%d", i)
				f.add(id)
				rows := make([]punctual.Run, each)
				for j := range rows {
					rows[j] = f.running(id)
					item := f.outcome(rows[j], punctual.StateSucceeded)
					item.Result.Output = rows[j].ID
					items = append(items, item)
				}
				f.put(rows...)
			}
			for i, verdict := range f.finish(items...) {
				if verdict != applied {
					f.failf("verdict %d is %v", i, verdict)
				}
			}
			page, err := f.store.Runs(f.ctx, punctual.RunQuery{States: []punctual.State{punctual.StateSucceeded}, Limit: tasks * each})
			f.must(err, "Runs")
			f.same(tasks*each, len(page), "number of succeeded runs")
			for _, run := range page {
				if run.Result.Output != run.ID {
					f.failf("run %s has the output of %s", run.ID, run.Result.Output)
				}
			}
		},
	},
	{
		name:    "knows a repeat",
		promise: "an outcome that was recorded before answers already and changes nothing, however late it is repeated",
		check: func(f *fixture) {
			f.add("task")
			for _, state := range []punctual.State{punctual.StateSucceeded, punctual.StateFailed, punctual.StateCanceled} {
				run := f.put(f.running("task"))[0]
				item := f.outcome(run, state)
				f.verdict(applied, item, "the running attempt")
				before := f.run(run.ID)
				f.now = f.now.Add(time.Hour)
				f.verdict(already, item, "the repeat of a run that %v", state)
				f.same(before, f.run(run.ID), "the run after the repeat")
				for _, other := range []punctual.State{punctual.StateSucceeded, punctual.StateFailed, punctual.StateCanceled, punctual.StatePending} {
					if item.State = other; other != state {
						f.verdict(stale, item, "the outcome %v of a run that %v at the same instant", other, state)
					}
				}
				f.same(state, f.run(run.ID).State, "State after other outcomes")
			}
		},
	},
	{
		name:    "knows the repeat of a retry",
		promise: "a repeated outcome that made the run pending answers already, before and after the next attempt began",
		check: func(f *fixture) {
			run := f.begun("task")
			item := f.retry(run, at(time.Minute))
			f.verdict(applied, item, "the failed attempt")
			before := f.run(run.ID)
			f.now = at(time.Second)
			f.verdict(already, item, "the repeat before the next attempt")
			f.same(before, f.run(run.ID), "the run after the repeat")
			f.now = at(time.Minute)
			second := f.restart("the retry")
			f.verdict(already, item, "the repeat during the next attempt")
			f.same(bare(second), f.run(run.ID), "the run after the repeat during the next attempt")
			f.verdict(applied, f.outcome(second, punctual.StateSucceeded), "the second attempt")
			before = f.run(run.ID)
			f.verdict(already, item, "the repeat after the run has ended")
			f.same(before, f.run(run.ID), "the run after the repeat after its end")
		},
	},
	{
		name:    "keeps a stale outcome as a note",
		promise: "an outcome of another attempt than the running one overwrites nothing and is noted once in History",
		check: func(f *fixture) {
			run := f.begun("task")
			first := f.retry(run, time.Time{})
			f.verdict(applied, first, "the first attempt")
			run = f.restart("the retry")
			for _, state := range []punctual.State{punctual.StateSucceeded, punctual.StatePending} {
				f.now = f.now.Add(time.Minute)
				for _, attempt := range []int{1, 3} {
					late := f.outcome(run, state)
					late.Attempt, late.StartedAt, late.Error = attempt, at(time.Second), "late"
					before := f.run(run.ID)
					f.verdict(stale, late, "attempt %d while attempt 2 runs", attempt)
					want := before
					want.History = append(want.History, punctual.Attempt{
						Number: attempt, StartedAt: at(time.Second), FinishedAt: f.now, Outcome: "stale", Error: "late",
					})
					f.sameButInstances(want, f.run(run.ID), "the run after a stale outcome")
					want = f.run(run.ID)
					f.verdict(stale, late, "a stale outcome again")
					f.same(want, f.run(run.ID), "the run after a repeated stale outcome")
				}
			}
			f.same(1, f.task("task").Active, "Snapshot.Active")
			f.verdict(applied, f.outcome(run, punctual.StateSucceeded), "the running attempt")
			want := f.run(run.ID)
			f.now = f.now.Add(time.Hour)
			late := f.outcome(run, punctual.StateFailed)
			late.Error = "too late"
			f.verdict(stale, late, "another outcome of the attempt that has ended")
			want.History = append(want.History, punctual.Attempt{Number: 2, StartedAt: run.StartedAt, FinishedAt: f.now, Outcome: "stale", Error: "too late"})
			f.sameButInstances(want, f.run(run.ID), "the ended run after a stale outcome")
		},
	},
	{
		name:    "says that a run is gone",
		promise: "an outcome of a run that the ledger does not have answers gone and makes nothing",
		check: func(f *fixture) {
			f.verdict(gone, punctual.Finish{RunID: "run-none", TaskID: "none", Attempt: 1, State: punctual.StateSucceeded, FinishedAt: f.now}, "a run that never was")
			f.same(0, len(f.runs(punctual.RunQuery{})), "number of runs")
		},
	},
	{
		name:    "lets a failed attempt be followed by another",
		promise: "with StatePending the run may start again at RetryAt, keeps its id and number, and has the failed attempt in History",
		check: func(f *fixture) {
			run := f.begun("task", labeled(map[string]string{"a": "b"}))
			f.now = at(5 * time.Second)
			item := f.retry(run, at(time.Minute))
			item.StartedAt = at(time.Second)
			reply := f.finishAll(item)
			f.same([]punctual.Verdict{applied}, reply.Verdicts, "verdicts")
			f.same(at(time.Minute), reply.NextDue, "FinishReply.NextDue")
			f.same(f.now, reply.Now, "FinishReply.Now")
			want := run
			want.State, want.DueAt, want.Session, want.Error, want.StartedAt = punctual.StatePending, at(time.Minute), "", item.Error, at(time.Second)
			want.History = []punctual.Attempt{{
				Number: 1, Instance: instance, StartedAt: at(time.Second), FinishedAt: f.now, Outcome: "failed", Error: item.Error,
			}}
			f.same(want, f.run(run.ID), "the run that waits for another attempt")
			f.same(0, f.task("task").Active, "Snapshot.Active")
			f.same(at(time.Minute), f.claim(10).NextDue, "NextDue")
			f.now = at(time.Minute)
			again := f.restart("the retry")
			start(&want, f.now, f.session)
			want.Labels, want.Payload = map[string]string{"a": "b"}, json.RawMessage(`{"of":1}`)
			f.same(want, again, "the second attempt")
			f.verdict(applied, f.outcome(again, punctual.StateSucceeded), "the second attempt")
			got := f.run(run.ID)
			f.same(2, got.Attempt, "Attempt")
			f.same("", got.Error, "error of a run that succeeded in the end")
			f.same(want.History, got.History, "History")
		},
	},
	{
		name:    "retries at once without a time",
		promise: "with StatePending and a zero RetryAt the run may start again at once",
		check: func(f *fixture) {
			run := f.begun("task")
			f.now = at(time.Second)
			reply := f.finishAll(f.retry(run, time.Time{}))
			f.same(f.now, reply.NextDue, "FinishReply.NextDue")
			f.same(f.now, f.run(run.ID).DueAt, "DueAt")
			f.same(2, f.restart("the retry").Attempt, "Attempt")
		},
	},
	{
		name:    "takes back the number of a released attempt",
		promise: "a released attempt gives its number back and is in History as released",
		check: func(f *fixture) {
			run := f.begun("task")
			f.now = at(time.Second)
			f.verdict(applied, f.release(run), "the first attempt")
			got := f.run(run.ID)
			f.same(0, got.Attempt, "Attempt")
			f.same(punctual.StatePending, got.State, "State")
			f.same(f.now, got.DueAt, "DueAt")
			f.check(got.StartedAt.IsZero(), "StartedAt of a run that never began: %v", got.StartedAt)
			f.same("", got.Session, "Session")
			released := punctual.Attempt{Number: 1, Instance: instance, StartedAt: run.StartedAt, FinishedAt: f.now, Outcome: "released"}
			f.same([]punctual.Attempt{released}, got.History, "History")

			f.verdict(applied, f.retry(f.restart("the released run"), time.Time{}), "the first attempt, which failed")
			second := f.restart("the retry")
			f.same(2, second.Attempt, "Attempt")
			f.verdict(applied, f.release(second), "the second attempt")
			got = f.run(run.ID)
			f.same(1, got.Attempt, "Attempt after the release of the second")
			f.same("attempt 1 failed", got.Error, "error of the attempt before the released one")
			f.same(2, f.restart("the run that was released again").Attempt, "Attempt")
		},
	},
	{
		name:    "does not release the next attempt of the same number",
		promise: "the repeat of a release answers already and leaves the attempt alone that was started under the number given back",
		check: func(f *fixture) {
			run := f.begun("task")
			f.now = at(time.Second)
			release := f.release(run)
			f.verdict(applied, release, "the released attempt")
			f.verdict(already, release, "the repeat while the run is pending")
			f.now = at(2 * time.Second)
			again := f.restart("the released run")
			f.same(1, again.Attempt, "Attempt")
			f.now = at(3 * time.Second)
			f.verdict(already, release, "the repeat while the next attempt runs")
			f.same(bare(again), f.run(run.ID), "the run whose next attempt runs")
			f.verdict(applied, f.outcome(again, punctual.StateSucceeded), "the next attempt")
			f.verdict(already, release, "the repeat after the end")
			f.same(punctual.StateSucceeded, f.run(run.ID).State, "State")
		},
	},
	{
		name:    "does not lose an order to cancel",
		promise: "a run that was ordered to be cancelled does not start again: it ends as canceled where its attempt asks for another",
		check: func(f *fixture) {
			f.add("task")
			rows := f.put(f.running("task"), f.running("task"), f.running("task"))
			f.change("task", punctual.Change{Cancel: orders(runIDs(rows)...)})
			f.now = at(time.Second)
			items := []punctual.Finish{f.retry(rows[0], at(time.Minute)), f.release(rows[1]), f.outcome(rows[2], punctual.StateSucceeded)}
			f.same([]punctual.Verdict{applied, applied, applied}, f.finish(items...), "verdicts")
			for _, row := range rows[:2] {
				got := f.run(row.ID)
				f.same(punctual.StateCanceled, got.State, "State")
				f.same(punctual.ReasonCanceled, got.Reason, "Reason")
				f.same(f.now, got.FinishedAt, "FinishedAt")
				f.check(got.DueAt.IsZero(), "DueAt of a canceled run: %v", got.DueAt)
			}
			f.same(punctual.StateSucceeded, f.run(rows[2].ID).State, "State of the run that was done before the order came")
			f.same([]punctual.Verdict{already, already, already}, f.finish(items...), "verdicts on the repeats")
			f.now = at(time.Hour)
			f.same(0, len(f.claim(10).Started), "number of started runs")
		},
	},
	{
		name:    "bounds the history of attempts",
		promise: "History keeps the last MaxHistory attempts",
		check: func(f *fixture) {
			run := f.begun("task")
			const tries = punctual.MaxHistory + 5
			for n := range tries {
				f.same(n+1, run.Attempt, "Attempt")
				f.now = f.now.Add(time.Second)
				f.verdict(applied, f.retry(run, time.Time{}), "attempt %d", n+1)
				run = f.restart("the retry")
			}
			history := f.run(run.ID).History
			f.same(punctual.MaxHistory, len(history), "length of History")
			for i, a := range history {
				f.same(tries-punctual.MaxHistory+1+i, a.Number, "Number of entry %d", i)
			}
		},
	},
	{
		name:    "opens the gate for the oldest that waits",
		promise: "whenever a run leaves StateRunning, the oldest run of its task that waits for the gate becomes due, and no other",
		check: func(f *fixture) {
			f.add("other")
			f.put(f.pending("other", time.Time{}))
			f.add("task")
			rows := f.put(f.running("task"), f.running("task"), f.running("task"), f.running("task"))
			waiting := []punctual.Run{
				f.pending("task", time.Time{}), f.pending("task", time.Time{}), f.pending("task", time.Time{}), f.pending("task", time.Time{}),
			}
			f.put(waiting[2], waiting[3], waiting[0])
			f.put(waiting[1])
			due := 0
			leave := func(what string, want int, items ...punctual.Finish) {
				f.now = f.now.Add(time.Second)
				reply := f.finishAll(items...)
				f.same(f.now, reply.NextDue, "FinishReply.NextDue after %s", what)
				for due < want {
					f.same(f.now, f.run(waiting[due].ID).DueAt, "DueAt of run %d in line after %s", due+1, what)
					due++
				}
				f.same(len(waiting)-due, f.see("task").Waiting, "runs that wait after %s", what)
			}
			leave("a success", 1, f.outcome(rows[0], punctual.StateSucceeded))
			leave("a retry", 2, f.retry(rows[1], at(time.Hour)))
			leave("a release and a failure", 4, f.release(rows[2]), f.outcome(rows[3], punctual.StateFailed))
			f.same(1, f.see("other").Waiting, "runs of another task that wait")
			for _, item := range []punctual.Finish{f.outcome(rows[0], punctual.StateSucceeded), f.outcome(rows[3], punctual.StateSucceeded)} {
				f.put(f.pending("task", time.Time{}))
				f.finish(item)
			}
			f.same(2, f.see("task").Waiting, "runs that wait after outcomes that changed nothing")
		},
	},
	{
		name:    "counts a fixed delay from the end of the run",
		promise: "when a run reaches a final state, the task's Delay is set and its NextRunAt is not, NextRunAt becomes the end of the run plus Delay",
		check: func(f *fixture) {
			f.add("fixed", delayed(time.Minute))
			f.add("owing", delayed(time.Minute), owed(at(time.Hour)))
			f.add("plain")
			f.now = at(10 * time.Second)
			end := func(id string, state punctual.State) punctual.FinishReply {
				run := f.put(f.running(id))[0]
				item := f.outcome(run, state)
				item.FinishedAt, item.RetryAt = at(5*time.Second), at(2*time.Hour)
				return f.finishAll(item)
			}
			end("fixed", punctual.StatePending)
			f.check(f.task("fixed").NextRunAt.IsZero(), "NextRunAt after an attempt that another follows")
			reply := end("fixed", punctual.StateFailed)
			f.same(at(65*time.Second), f.task("fixed").NextRunAt, "NextRunAt")
			f.check(!reply.NextDue.IsZero() && !reply.NextDue.After(at(65*time.Second)), "FinishReply.NextDue: the next occurrence is due at %v, got %v", at(65*time.Second), reply.NextDue)
			f.now = at(20 * time.Second)
			end("fixed", punctual.StateSucceeded)
			f.same(at(65*time.Second), f.task("fixed").NextRunAt, "NextRunAt that was set already")
			end("owing", punctual.StateSucceeded)
			f.same(at(time.Hour), f.task("owing").NextRunAt, "NextRunAt of a task that owes an occurrence")
			end("plain", punctual.StateSucceeded)
			f.check(f.task("plain").NextRunAt.IsZero(), "NextRunAt of a task without Delay")
			f.now = at(65 * time.Second)
			f.same([]string{"fixed"}, taskIDs(f.claim(10).Started), "tasks of the started runs")
		},
	},
	{
		name:    "does not mind who finishes",
		promise: "the attempt number alone decides whether an outcome applies, also without a session or under another",
		check: func(f *fixture) {
			f.add("task")
			for _, session := range []string{"", "session-z"} {
				run := f.put(f.running("task"))[0]
				reply, err := f.store.Finish(f.ctx, punctual.FinishRequest{
					Now: f.now, Session: session, Items: []punctual.Finish{f.outcome(run, punctual.StateSucceeded)},
				})
				f.must(err, "Finish")
				f.same([]punctual.Verdict{applied}, reply.Verdicts, "verdicts under session %q", session)
			}
		},
	},
}

// sameButInstances compares two runs; the notes in their histories may name an instance or not.
func (f *fixture) sameButInstances(want, got punctual.Run, what string) {
	f.Helper()
	for _, history := range [][]punctual.Attempt{want.History, got.History} {
		for i := range history {
			if history[i].Outcome == "stale" {
				history[i].Instance = ""
			}
		}
	}
	f.same(want, got, "%s", what)
}
