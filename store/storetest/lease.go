package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/punctual-go/punctual"
)

// held adds a task with n runs that are running under a session whose lease is a minute.
func (f *fixture) held(taskID, session string, n int) []punctual.Run {
	f.Helper()
	f.beat(session, time.Minute)
	f.add(taskID)
	rows := make([]punctual.Run, n)
	for i := range rows {
		rows[i] = f.running(taskID)
		rows[i].Session, rows[i].Instance = session, "instance-of-"+session
	}
	return f.put(rows...)
}

// heldBy returns the ids of the runs that the store has on record for a session, in order.
func (f *fixture) heldBy(session string) []string {
	f.Helper()
	runs, err := f.leaser.Held(f.ctx, session)
	f.must(err, "Held")
	ids := runIDs(runs)
	slices.Sort(ids)
	return ids
}

func (f *fixture) instances() []punctual.Instance {
	f.Helper()
	list, err := f.leaser.Instances(f.ctx)
	f.must(err, "Instances")
	return list
}

// lost is the History entry of an attempt that was taken away.
func lost(r punctual.Run, at time.Time) punctual.Attempt {
	return punctual.Attempt{Number: r.Attempt, Instance: r.Instance, StartedAt: r.StartedAt, FinishedAt: at, Outcome: "lost"}
}

var leaseCases = []testCase{
	{
		name:    "announces instances",
		promise: "the first Beat opens a session and later ones renew it; Instances lists those that are not dead by name and then id, in every field",
		needs:   needLeaser,
		check: func(f *fixture) {
			f.must(f.leaser.EndSession(f.ctx, f.session), "EndSession")
			beat := func(session, name string, clock time.Time, inFlight int) {
				reply, err := f.leaser.Beat(f.ctx, punctual.BeatRequest{
					Now: f.now, Session: session, Instance: name, Version: "v-" + name, Lease: time.Minute, InFlight: inFlight, Clock: clock,
				})
				f.must(err, "Beat")
				f.same(punctual.BeatReply{Now: f.now}, reply, "BeatReply")
			}
			beat("s3", "b", f.now, 0)
			beat("s2", "b", at(-90*time.Second), 1)
			beat("s4", "a", at(time.Hour), 2)
			want := []punctual.Instance{
				{Session: "s4", Name: "a", Version: "v-a", StartedAt: noon, LastSeenAt: noon, ExpiresAt: at(time.Minute), ClockOffset: time.Hour, InFlight: 2},
				{Session: "s2", Name: "b", Version: "v-b", StartedAt: noon, LastSeenAt: noon, ExpiresAt: at(time.Minute), ClockOffset: -90 * time.Second, InFlight: 1},
				{Session: "s3", Name: "b", Version: "v-b", StartedAt: noon, LastSeenAt: noon, ExpiresAt: at(time.Minute)},
			}
			f.same(want, f.instances(), "Instances")
			f.now = at(30 * time.Second)
			beat("s2", "b", f.now, 7)
			want[1].LastSeenAt, want[1].ExpiresAt, want[1].ClockOffset, want[1].InFlight = f.now, at(90*time.Second), 0, 7
			f.same(want, f.instances(), "Instances after a renewal")
			for _, i := range f.instances() {
				f.clean("Instance", i.StartedAt, i.LastSeenAt, i.ExpiresAt)
			}
			f.must(f.leaser.EndSession(f.ctx, "s4"), "EndSession")
			f.same(want[1:], f.instances(), "Instances after one has ended")
			f.now = at(time.Hour)
			f.reclaim(10)
			f.same(0, len(f.instances()), "number of instances whose lease has not lapsed")
		},
	},
	{
		name:    "tells which kinds an instance claims",
		promise: "Instances tells the kinds of the last Beat in their order, no kinds apart from all kinds, and keeps none of what it was given",
		needs:   needLeaser,
		check: func(f *fixture) {
			f.must(f.leaser.EndSession(f.ctx, f.session), "EndSession")
			given := []string{"report", "", "a \"b\", c", "mail"}
			for _, kinds := range [][]string{given, nil, {}, {"mail"}} {
				want := slices.Clone(kinds)
				req := f.beatRequest("session-b", time.Minute)
				req.Kinds = kinds
				_, err := f.leaser.Beat(f.ctx, req)
				f.must(err, "Beat")
				if len(kinds) > 0 {
					kinds[0] = "changed"
				}
				for range 2 {
					list := f.instances()
					f.same(1, len(list), "number of instances")
					got := list[0].Kinds
					f.same(want, got, "Kinds")
					f.check(want == nil == (got == nil), "Kinds: want nil %t, got nil %t", want == nil, got == nil)
					if len(got) > 0 {
						got[0] = "changed"
					}
				}
			}
		},
	},
	{
		name:    "takes the runs of a session whose lease has lapsed",
		promise: "Reclaim makes runs of dead sessions pending and due at once with the attempt in History as lost, and returns them; the next attempt has the next number",
		needs:   needLeaser,
		check: func(f *fixture) {
			rows := f.held("task", "session-b", 2)
			f.now = at(time.Minute - time.Millisecond)
			f.same(0, len(f.reclaim(10).Runs), "runs taken before the lease has lapsed")
			f.same(runIDs(rows), f.heldBy("session-b"), "Held")
			f.now = at(time.Minute + time.Millisecond)
			reply := f.reclaim(10)
			f.same(false, reply.More, "ReclaimReply.More")
			for _, row := range rows {
				want := row
				want.State, want.DueAt, want.Session, want.History = punctual.StatePending, f.now, "", []punctual.Attempt{lost(row, f.now)}
				f.same(want, f.run(row.ID), "the run that was taken")
				i := slices.IndexFunc(reply.Runs, func(r punctual.Run) bool { return r.ID == row.ID })
				if i < 0 {
					f.failf("Reclaim did not return run %s", row.ID)
				}
				f.same(want, reply.Runs[i], "the run that Reclaim returned")
			}
			f.same(2, len(reply.Runs), "number of runs that Reclaim returned")
			f.same(0, len(f.heldBy("session-b")), "number of runs on record for the dead session")
			f.same(0, len(f.reclaim(10).Runs), "number of runs that a second Reclaim took")
			started := f.claim(10).Started
			f.same(2, len(started), "number of runs started again")
			for _, run := range started {
				f.same(2, run.Attempt, "Attempt")
				f.same(f.session, run.Session, "Session")
			}
			f.same(runIDs(started), f.heldBy(f.session), "Held of the session that took over")
		},
	},
	{
		name:    "leaves the runs of live sessions",
		promise: "a session that is renewed in time keeps its runs, and so does the caller's own whatever its lease",
		needs:   needLeaser,
		check: func(f *fixture) {
			rows := f.held("task", "session-b", 1)
			own := f.held("own", "session-c", 1)
			f.now = at(50 * time.Second)
			f.check(!f.beat("session-b", time.Minute).Lost, "a beat in time lost its session")
			f.now = at(100 * time.Second)
			f.session = "session-c"
			f.same(0, len(f.reclaim(10).Runs), "number of runs taken")
			f.same(rows[0], f.run(rows[0].ID), "the run of the renewed session")
			f.same(own[0], f.run(own[0].ID), "the run of the caller")
			f.check(!f.beat("session-c", time.Minute).Lost, "the caller's own session was lost")
			f.check(!f.beat("session-b", time.Minute).Lost, "the renewed session was lost")
		},
	},
	{
		name:    "renews a lease that has lapsed but was not taken",
		promise: "a beat that comes before any Reclaim wins, however late it is",
		needs:   needLeaser,
		check: func(f *fixture) {
			rows := f.held("task", "session-b", 1)
			f.now = at(time.Hour)
			f.check(!f.beat("session-b", time.Minute).Lost, "the beat lost the session")
			f.same(0, len(f.reclaim(10).Runs), "number of runs taken")
			f.same(runIDs(rows), f.heldBy("session-b"), "Held")
		},
	},
	{
		name:    "keeps a dead session dead",
		promise: "a session that was marked dead stays dead: its beat answers Lost and renews nothing, its claim is ErrLeaseLost and changes nothing",
		needs:   needLeaser,
		check: func(f *fixture) {
			rows := f.held("task", "session-b", 2)
			f.add("due", owed(f.now))
			f.now = at(2 * time.Minute)
			reply := f.reclaim(1)
			f.same(1, len(reply.Runs), "number of runs taken")
			f.same(true, reply.More, "ReclaimReply.More")
			for range 2 {
				f.same(punctual.BeatReply{Now: f.now, Lost: true}, f.beat("session-b", lease), "BeatReply")
			}
			claim := func(session string) {
				f.Helper()
				got, err := f.store.Claim(f.ctx, punctual.ClaimRequest{
					Now: f.now, Session: session, Limit: 5, Decide: func(v punctual.View) (punctual.Change, error) {
						f.Errorf("Claim under a dead session decided task %q", v.Record.Task.ID)
						return f.startUnder(session, v)
					},
				})
				f.wraps(err, punctual.ErrLeaseLost, "Claim under a dead session")
				f.same(0, len(got.Started), "number of runs started under a dead session")
			}
			claim("session-b")
			f.same(1, len(f.reclaim(5).Runs), "number of runs taken by the second Reclaim")
			claim("session-b")
			f.same(noon, f.task("due").NextRunAt, "NextRunAt")
			f.same(3, len(f.claim(10).Started), "number of runs started by the live session")
			for _, row := range rows {
				f.same(2, f.run(row.ID).Attempt, "Attempt")
			}

			f.beat("session-c", lease)
			f.must(f.leaser.EndSession(f.ctx, "session-c"), "EndSession")
			claim("session-c")
			f.check(f.beat("session-c", lease).Lost, "a beat after EndSession is not lost")
		},
	},
	{
		name:    "ends a session at once",
		promise: "EndSession gives the session's runs free at once and is no error for an unknown session",
		needs:   needLeaser,
		check: func(f *fixture) {
			rows := f.held("task", "session-b", 1)
			f.same(0, len(f.reclaim(10).Runs), "number of runs taken while the session lives")
			for range 2 {
				f.must(f.leaser.EndSession(f.ctx, "session-b"), "EndSession")
			}
			f.must(f.leaser.EndSession(f.ctx, "session-none"), "EndSession of an unknown session")
			f.same(runIDs(rows), f.heldBy("session-b"), "Held of the ended session")
			f.same(runIDs(rows), runIDs(f.reclaim(10).Runs), "runs taken")
			f.same(punctual.StateRunning, f.run(f.begun("mine").ID).State, "state of a run of the live session")
		},
	},
	{
		name:    "takes runs of sessions that were never opened",
		promise: "runs of unknown sessions are taken like those of dead ones",
		needs:   needLeaser,
		check: func(f *fixture) {
			f.add("task")
			row := f.running("task")
			row.Session = "session-unknown"
			f.put(row)
			mine := f.put(f.running("task"))[0]
			f.same([]string{row.ID}, runIDs(f.reclaim(10).Runs), "runs taken")
			f.same(punctual.StatePending, f.run(row.ID).State, "State")
			f.same(mine, f.run(mine.ID), "the run of the live session")
		},
	},
	{
		name:    "takes a bounded number at a time",
		promise: "Reclaim takes up to Limit runs and says whether the limit was reached, so that repeated calls take them all",
		needs:   needLeaser,
		check: func(f *fixture) {
			want := append(runIDs(f.held("b", "session-b", 4)), runIDs(f.held("c", "session-c", 3))...)
			f.now = at(time.Hour)
			var taken []string
			for calls := 0; ; calls++ {
				reply := f.reclaim(3)
				taken = append(taken, runIDs(reply.Runs)...)
				f.check(len(reply.Runs) <= 3, "Reclaim with limit 3 took %d runs", len(reply.Runs))
				if !reply.More {
					break
				}
				f.same(3, len(reply.Runs), "number of runs taken by a call that reached its limit")
				if calls > 10 {
					f.failf("Reclaim says More for ever")
				}
			}
			slices.Sort(taken)
			f.same(want, taken, "runs taken by all calls")
		},
	},
	{
		name:    "marks what may run at most once",
		promise: "a lost run that is AtMostOnce ends as lost",
		needs:   needLeaser,
		check: func(f *fixture) {
			f.add("task", delayed(time.Minute))
			row := f.running("task")
			row.Session, row.AtMostOnce = "session-unknown", true
			f.put(row, f.pending("task", time.Time{}))
			f.now = at(time.Hour)
			reply := f.reclaim(10)
			want := row
			want.State, want.Session, want.FinishedAt, want.Reason = punctual.StateLost, "", f.now, punctual.ReasonLeaseLost
			f.same([]punctual.Run{want}, reply.Runs, "the run that Reclaim returned")
			f.same(want, f.run(row.ID), "the run")
			f.same(0, f.see("task").Waiting, "View.Waiting: the gate opens for the next")
			f.same(at(time.Hour+time.Minute), f.task("task").NextRunAt, "NextRunAt, a Delay after the end of the run")
			f.same(1, len(f.claim(10).Started), "number of started runs")
			f.same([]punctual.Verdict{stale}, f.finish(f.outcome(row, punctual.StateSucceeded)), "verdict on the result that came too late")
			f.same(punctual.StateLost, f.run(row.ID).State, "State after the result that came too late")
		},
	},
	{
		name:    "gives up a run that is lost again and again",
		promise: "a run that was lost MaxLost times before ends as failed with ReasonLostTooMany when it is lost once more",
		needs:   needLeaser,
		check: func(f *fixture) {
			f.add("task")
			row := f.pending("task", f.now)
			f.put(row)
			for n := range punctual.MaxLost + 1 {
				session := fmt.Sprintf("session-%d", n)
				f.now = f.now.Add(time.Hour)
				f.beat(session, time.Minute)
				f.session, session = session, f.session
				f.same(n+1, f.restart("the run that was lost").Attempt, "Attempt")
				f.session = session
				f.now = f.now.Add(time.Hour)
				f.beat(f.session, lease)
				reply := f.reclaim(10)
				f.same([]string{row.ID}, runIDs(reply.Runs), "runs taken")
				if n < punctual.MaxLost {
					f.same(punctual.StatePending, reply.Runs[0].State, "State after it was lost %d times", n+1)
				}
			}
			got := f.run(row.ID)
			f.same(punctual.StateFailed, got.State, "State")
			f.same(punctual.ReasonLostTooMany, got.Reason, "Reason")
			f.same(f.now, got.FinishedAt, "FinishedAt")
			f.same(0, len(f.claim(10).Started), "number of started runs")
		},
	},
	{
		name:    "does not count other attempts as lost",
		promise: "only lost attempts count towards MaxLost",
		needs:   needLeaser,
		check: func(f *fixture) {
			f.add("task")
			row := f.running("task")
			row.Session, row.Attempt = "session-unknown", 15
			for n := range 14 {
				row.History = append(row.History, punctual.Attempt{Number: n + 1, Outcome: []string{"failed", "lost", "stale"}[n%3]})
			}
			f.put(row)
			f.same(punctual.StatePending, f.reclaim(10).Runs[0].State, "State")
		},
	},
	{
		name:    "opens the gate for lost runs too",
		promise: "whenever Reclaim takes a run, the oldest run of its task that waits for the gate becomes due",
		needs:   needLeaser,
		check: func(f *fixture) {
			f.held("task", "session-b", 1)
			waiting := f.put(f.pending("task", time.Time{}), f.pending("task", time.Time{}))
			f.now = at(time.Hour)
			f.reclaim(10)
			f.same(f.now, f.run(waiting[0].ID).DueAt, "DueAt of the oldest that waits")
			f.same(1, f.see("task").Waiting, "View.Waiting")
			f.same(2, len(f.claim(10).Started), "number of started runs")
		},
	},
	{
		name:    "leaves delays alone while a run goes on",
		promise: "a run that is taken to be run again does not end, so NextRunAt of a fixed delay stays unset",
		needs:   needLeaser,
		check: func(f *fixture) {
			f.held("task", "session-b", 1)
			f.update("task", func(s *punctual.Status) { s.Delay = time.Minute })
			f.now = at(time.Hour)
			f.same(1, len(f.reclaim(10).Runs), "number of runs taken")
			f.check(f.task("task").NextRunAt.IsZero(), "NextRunAt: %v", f.task("task").NextRunAt)
		},
	},
	{
		name:    "refuses the result of an attempt that was taken",
		promise: "after a Reclaim the old attempt's result is stale, before and after the next attempt has ended, and the next attempt's result stands",
		needs:   needLeaser,
		check: func(f *fixture) {
			for _, lateFirst := range []bool{true, false} {
				id := fmt.Sprintf("task-%v", lateFirst)
				session := "session-" + id
				old := f.held(id, session, 1)[0]
				f.now = f.now.Add(time.Hour)
				f.same(1, len(f.reclaim(10).Runs), "number of runs taken")
				late, fresh := f.outcome(old, punctual.StateFailed), punctual.Finish{}
				f.verdict(stale, late, "the old attempt before the next has begun")
				next := f.restart("the run that was taken")
				f.now = f.now.Add(time.Second)
				late.FinishedAt, fresh = f.now, f.outcome(next, punctual.StateSucceeded)
				if lateFirst {
					f.verdict(stale, late, "the old attempt while the next runs")
					f.same(punctual.StateRunning, f.run(old.ID).State, "State")
					f.verdict(applied, fresh, "the next attempt")
				} else {
					f.verdict(applied, fresh, "the next attempt")
					f.verdict(stale, late, "the old attempt after the next has ended")
				}
				f.verdict(already, fresh, "the repeat of the next attempt")
				f.verdict(stale, late, "the repeat of the old attempt")
				got := f.run(old.ID)
				f.same(punctual.StateSucceeded, got.State, "State")
				f.same(2, got.Attempt, "Attempt")
				f.same(f.now, got.FinishedAt, "FinishedAt")
				var outcomes []string
				for _, a := range got.History {
					outcomes = append(outcomes, fmt.Sprintf("%s %d", a.Outcome, a.Number))
				}
				f.same("lost 1, stale 1, stale 1", strings.Join(outcomes, ", "), "History")
			}
		},
	},
	{
		name:    "brings orders to cancel",
		promise: "Beat lists the session's running runs that were ordered to be cancelled, until they have ended",
		needs:   needLeaser,
		check: func(f *fixture) {
			rows := f.held("task", "session-b", 3)
			mine := f.put(f.running("task"))[0]
			ordered := func(session string, lease time.Duration) []string {
				f.Helper()
				var ids []string
				for _, order := range f.beat(session, lease).Cancel {
					ids = append(ids, order.RunID)
					f.same(punctual.ReasonCanceled, order.Reason, "Reason of the order")
				}
				return ids
			}
			f.same(0, len(ordered("session-b", time.Minute)), "number of orders before any was given")
			f.change("task", punctual.Change{Cancel: orders(rows[0].ID, rows[2].ID, mine.ID)})
			for range 2 {
				f.same([]string{rows[0].ID, rows[2].ID}, ordered("session-b", time.Minute), "BeatReply.Cancel")
			}
			f.same([]string{mine.ID}, ordered(f.session, lease), "BeatReply.Cancel of the other session")
			f.verdict(applied, f.outcome(rows[0], punctual.StateCanceled), "the canceled run")
			f.same([]string{rows[2].ID}, ordered("session-b", time.Minute), "BeatReply.Cancel after one has ended")
		},
	},
	{
		name:    "knows what a session holds",
		promise: "Held returns the running runs of the session in every field, whether Claim or Edit started them",
		needs:   needLeaser,
		check: func(f *fixture) {
			f.same(0, len(f.heldBy("session-none")), "number of runs held by an unknown session")
			f.held("theirs", "session-b", 1)
			f.add("task", owed(f.now))
			edited := f.fullRun("task", punctual.StateRunning)
			f.put(edited, f.pending("task", at(time.Hour)), f.ended("task", punctual.StateFailed, f.now))
			claimed := f.claim(10).Started[0]
			runs, err := f.leaser.Held(f.ctx, f.session)
			f.must(err, "Held")
			slices.SortFunc(runs, func(a, b punctual.Run) int { return strings.Compare(a.ID, b.ID) })
			f.same([]punctual.Run{edited, bare(claimed)}, runs, "Held")
			f.verdict(applied, f.retry(claimed, at(time.Hour)), "one of them")
			f.same([]string{edited.ID}, f.heldBy(f.session), "Held after one has left")
			f.change("task", punctual.Change{Remove: true})
			f.same(0, len(f.heldBy(f.session)), "number of runs held after the task was removed")
		},
	},
}
