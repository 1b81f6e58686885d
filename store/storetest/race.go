package storetest

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/punctual-go/punctual"
)

// racers is how many goroutines take part in the larger races.
const racers = 8

// crowd returns n instances over the same data, f first.
func (f *fixture) crowd(n int) []*fixture {
	f.Helper()
	all := []*fixture{f}
	for i := 1; i < n; i++ {
		all = append(all, f.peer(fmt.Sprintf("session-%d", i)))
	}
	return all
}

// claimOnce is one call of Claim, for goroutines that must not end the case.
func (f *fixture) claimOnce(limit int) (punctual.ClaimReply, error) {
	return f.store.Claim(f.ctx, punctual.ClaimRequest{Now: f.now, Session: f.session, Limit: limit, Decide: f.startDue})
}

var raceCases = []testCase{
	{
		name:    "edits of one task go one after the other",
		promise: "a decide function sees everything that edits before it have done to the task: no update is lost",
		check: func(f *fixture) {
			f.add("task")
			all := f.crowd(4)
			each := max(f.rounds/len(all), 1)
			f.together(len(all), func(i int) error {
				for range each {
					_, err := all[i].store.Edit(f.ctx, all[i].request("task", func(v punctual.View) (punctual.Change, error) {
						task, status := v.Record.Task, v.Record.Status
						task.Revision++
						status.Skipping.Count++
						status.Skipping.RunID = "run"
						return punctual.Change{Task: &task, Status: &status}, nil
					}))
					if err != nil {
						return err
					}
				}
				return nil
			})
			f.same(int64(1+len(all)*each), f.task("task").Revision, "Revision")
			f.same(int64(len(all)*each), f.see("task").Record.Status.Skipping.Count, "counter in the state")
		},
	},
	{
		name:    "an edit that had to wait decides with the time after it",
		promise: "the time that decides is taken under the task's lock, so nothing that an edit finds done is later than the edit",
		check: func(f *fixture) {
			const hold = 100 * time.Millisecond
			f.add("task")
			other := f.peer("other")
			locked := make(chan struct{})
			lock := sync.OnceFunc(func() { close(locked) })
			var times [2]time.Time
			look := func(i int, then func()) punctual.EditRequest {
				return punctual.EditRequest{TaskID: "task", Decide: func(v punctual.View) (punctual.Change, error) {
					times[i] = v.Now
					then()
					return punctual.Change{}, nil
				}}
			}
			f.together(2, func(i int) (err error) {
				if i == 0 {
					_, err = f.store.Edit(f.ctx, look(0, func() {
						lock()
						clock.New().Sleep(hold)
					}))
					return err
				}
				<-locked
				_, err = other.store.Edit(f.ctx, look(1, func() {}))
				return err
			})
			f.check(times[1].Sub(times[0]) >= hold*9/10, "the second edit came %v after the first, which had the task for %v", times[1].Sub(times[0]), hold)
		},
	},
	{
		name:    "one of many creates a task",
		promise: "of concurrent edits that create the same task one sees that there is none, and the others see the task",
		check: func(f *fixture) {
			all := f.crowd(4)
			for round := range f.rounds {
				id := fmt.Sprintf("task-%d", round)
				var created atomic.Int64
				f.together(len(all), func(i int) error {
					_, err := all[i].store.Edit(f.ctx, all[i].request(id, func(v punctual.View) (punctual.Change, error) {
						if v.Record != nil {
							return punctual.Change{}, punctual.ErrTaskExists
						}
						task := punctual.Task{ID: id, Schedule: punctual.Every(time.Minute), Revision: int64(i + 1)}
						return punctual.Change{Task: &task, Status: &punctual.Status{}, Insert: []punctual.Run{all[i].pending(id, f.now)}}, nil
					}))
					if errors.Is(err, punctual.ErrTaskExists) {
						return nil
					}
					created.Add(1)
					return err
				})
				if n := created.Load(); n != 1 {
					f.failf("%d of %d created task %s", n, len(all), id)
				}
				f.same(1, len(f.runs(punctual.RunQuery{TaskID: id})), "number of immediate runs")
			}
		},
	},
	{
		name:    "one of many gets an occurrence",
		promise: "of concurrent changes that insert a row for the same occurrence one does, and the others are told that it was dropped",
		check: func(f *fixture) {
			f.add("task")
			all := f.crowd(4)
			for round := range f.rounds {
				var kept atomic.Int64
				f.together(len(all), func(i int) error {
					run := all[i].pending("task", time.Time{})
					run.Trigger, run.ScheduledAt = punctual.TriggerSchedule, at(time.Duration(round)*time.Second)
					reply, err := all[i].store.Edit(f.ctx, all[i].request("task", func(punctual.View) (punctual.Change, error) {
						return punctual.Change{Insert: []punctual.Run{run}}, nil
					}))
					if err == nil && len(reply.Dropped) == 0 {
						kept.Add(1)
					}
					return err
				})
				if n := kept.Load(); n != 1 {
					f.failf("%d of %d rows for one occurrence were kept", n, len(all))
				}
				if n := len(f.runs(punctual.RunQuery{TaskID: "task"})); n != 1 {
					f.failf("the ledger has %d rows for one occurrence", n)
				}
				f.change("task", punctual.Change{Remove: true})
				f.add("task")
			}
		},
	},
	{
		name:    "many claim what is due at the same instant",
		promise: "concurrent claims hand out each run once, none over its limit, and all of them in the end",
		check: func(f *fixture) {
			tasks, limit := max(f.rounds, racers), 7
			for i := range tasks {
				f.add(fmt.Sprintf("task-%05d", i), owed(f.now))
			}
			all := f.crowd(racers)
			var mu sync.Mutex
			started := map[string]int{}
			f.together(racers, func(i int) error {
				for calls := 0; ; calls++ {
					reply, err := all[i].claimOnce(limit)
					switch {
					case err != nil:
						return err
					case len(reply.Started) > limit:
						return fmt.Errorf("claim with limit %d started %d runs", limit, len(reply.Started))
					case calls > 100*tasks:
						return errors.New("claim says for ever that more is due")
					}
					mu.Lock()
					for _, run := range reply.Started {
						started[run.TaskID]++
						if run.Session != all[i].session {
							err = fmt.Errorf("run %s belongs to session %q, not %q", run.ID, run.Session, all[i].session)
						}
					}
					mu.Unlock()
					if err != nil || reply.NextDue.IsZero() || reply.NextDue.After(f.now) {
						return err
					}
					if len(reply.Started) == 0 {
						runtime.Gosched() // what is due is held by others
					}
				}
			})
			f.same(tasks, len(started), "number of tasks that were started")
			for id, n := range started {
				f.check(n == 1, "task %s was started %d times", id, n)
			}
			rows := f.pageThrough(punctual.MaxLimit, func(cursor string) []string {
				return f.runs(punctual.RunQuery{States: []punctual.State{punctual.StateRunning}, Before: cursor, Limit: punctual.MaxLimit})
			})
			f.same(tasks, len(rows), "number of running rows")
		},
	},
	{
		name:    "the gate holds over all instances",
		promise: "live counts in a View are as of after the task was locked, so that a task with room for one run never has two",
		check: func(f *fixture) {
			f.add("task")
			runs := make([]punctual.Run, f.rounds)
			for i := range runs {
				runs[i] = f.pending("task", f.now)
			}
			f.put(runs...)
			all := f.crowd(4)
			gated := func(f *fixture) punctual.DecideFunc {
				return func(v punctual.View) (punctual.Change, error) {
					var c punctual.Change
					active := v.Active
					for _, run := range v.Pending {
						if active == 0 && v.Slots > 0 {
							start(&run, v.Now, f.session)
							active++
						} else {
							run.DueAt = time.Time{}
						}
						c.Update = append(c.Update, run)
					}
					return c, nil
				}
			}
			var active, done atomic.Int64
			f.together(len(all), func(i int) error {
				own := all[i]
				for calls := 0; done.Load() < int64(len(runs)); calls++ {
					if calls > 1000*len(runs) {
						return fmt.Errorf("%d of %d runs have run, and no more is due", done.Load(), len(runs))
					}
					reply, err := own.store.Claim(f.ctx, punctual.ClaimRequest{Now: f.now, Session: own.session, Limit: 3, Decide: gated(own)})
					if err != nil {
						return err
					}
					for _, run := range reply.Started {
						if n := active.Add(1); n > 1 {
							return fmt.Errorf("%d runs are active at once", n)
						}
						runtime.Gosched()
						active.Add(-1)
						finished, err := own.store.Finish(f.ctx, punctual.FinishRequest{
							Now: f.now, Session: own.session, Items: []punctual.Finish{own.outcome(run, punctual.StateSucceeded)},
						})
						if err != nil {
							return err
						}
						if finished.Verdicts[0] != applied {
							return fmt.Errorf("verdict on run %s: %v", run.ID, finished.Verdicts[0])
						}
						done.Add(1)
					}
					if len(reply.Started) == 0 {
						runtime.Gosched()
					}
				}
				return nil
			})
		},
	},
	{
		name:    "an edit against a due instant",
		promise: "an occurrence starts only if its claim committed before the edit that replaced it, and the edit then sees the run",
		check: func(f *fixture) {
			other := f.peer("session-b")
			for round := range f.rounds {
				id := fmt.Sprintf("task-%d", round)
				f.add(id, owed(f.now))
				var seen punctual.View
				var claimed punctual.ClaimReply
				f.together(2, func(i int) (err error) {
					if i == 0 {
						claimed, err = other.claimOnce(5)
						return err
					}
					_, err = f.store.Edit(f.ctx, f.request(id, func(v punctual.View) (punctual.Change, error) {
						seen = v
						task := punctual.Task{ID: id, Schedule: punctual.Every(time.Hour), Revision: 2}
						return punctual.Change{Task: &task, Status: &punctual.Status{NextRunAt: at(time.Hour)}}, nil
					}))
					return err
				})
				started := len(claimed.Started)
				f.same(started, seen.Active, "runs that the edit saw and that the claim started in round %d", round)
				if started == 1 {
					f.same(int64(1), claimed.Started[0].Revision, "Revision of the run that was started first")
				}
				f.same(0, len(f.claim(5).Started), "runs of the old definition that were started after the edit")
				f.same(started, len(f.runs(punctual.RunQuery{TaskID: id})), "number of runs in round %d", round)
				f.same(at(time.Hour), f.task(id).NextRunAt, "NextRunAt")
				f.change(id, punctual.Change{Remove: true})
				if f.Failed() {
					return
				}
			}
		},
	},
	{
		name:    "a removal against a due instant",
		promise: "a run starts only if its claim committed before the removal, which then takes its row along; after it nothing starts",
		check: func(f *fixture) {
			other := f.peer("session-b")
			for round := range f.rounds {
				f.add("task", owed(f.now))
				pending := f.put(f.pending("task", f.now))[0]
				active := 0
				var claimed punctual.ClaimReply
				f.together(2, func(i int) (err error) {
					if i == 0 {
						claimed, err = other.claimOnce(5)
						return err
					}
					_, err = f.store.Edit(f.ctx, f.request("task", func(v punctual.View) (punctual.Change, error) {
						active = v.Active
						return punctual.Change{Remove: true}, nil
					}))
					return err
				})
				f.same(len(claimed.Started), active, "runs that the removal saw and that the claim started in round %d", round)
				f.same(0, len(f.claim(5).Started), "runs that were started after the removal")
				f.same(0, len(f.runs(punctual.RunQuery{})), "rows that are left after the removal")
				for _, run := range claimed.Started {
					f.verdict(gone, f.outcome(run, punctual.StateSucceeded), "a run whose task was removed")
				}
				_, err := f.store.Run(f.ctx, pending.ID)
				f.wraps(err, punctual.ErrRunNotFound, "Run")
				if f.Failed() {
					return
				}
			}
		},
	},
	{
		name:    "one outcome handed in twice at a time",
		promise: "of concurrent repeats of one outcome one is applied, and the others answer already",
		check: func(f *fixture) {
			f.add("task")
			all := f.crowd(3)
			for range f.rounds {
				run := f.put(f.running("task"))[0]
				verdicts := make([]punctual.Verdict, len(all))
				f.together(len(all), func(i int) error {
					reply, err := all[i].store.Finish(f.ctx, punctual.FinishRequest{Now: f.now, Items: []punctual.Finish{f.outcome(run, punctual.StateFailed)}})
					if err == nil {
						verdicts[i] = reply.Verdicts[0]
					}
					return err
				})
				slices.Sort(verdicts)
				f.same([]punctual.Verdict{applied, already, already}, verdicts, "verdicts")
				f.change("task", punctual.Change{Remove: true})
				f.add("task")
				if f.Failed() {
					return
				}
			}
		},
	},
	{
		name:    "a result against a reclaim",
		promise: "either the result stands and Reclaim gets nothing, or the run is taken and the result is stale; never both",
		needs:   needLeaser,
		check: func(f *fixture) {
			other := f.peer("session-b")
			for round := range f.rounds {
				id, session := fmt.Sprintf("task-%d", round), fmt.Sprintf("session-%d", round)
				run := f.held(id, session, 1)[0]
				f.now = f.now.Add(time.Hour)
				var reply punctual.FinishReply
				var taken punctual.ReclaimReply
				f.together(2, func(i int) (err error) {
					if i == 0 {
						taken, err = other.leaser.Reclaim(f.ctx, punctual.ReclaimRequest{Now: f.now, Session: other.session, Limit: 5})
						return err
					}
					reply, err = f.store.Finish(f.ctx, punctual.FinishRequest{
						Now: f.now, Session: session, Items: []punctual.Finish{f.outcome(run, punctual.StateSucceeded)},
					})
					return err
				})
				got := f.run(run.ID)
				switch reply.Verdicts[0] {
				case applied:
					f.same(0, len(taken.Runs), "runs taken although the result stands")
					f.same(punctual.StateSucceeded, got.State, "State although the result stands")
					f.same(0, len(got.History), "length of History although the result stands")
				case stale:
					f.same([]string{run.ID}, runIDs(taken.Runs), "runs taken when the result is stale")
					f.same(punctual.StatePending, got.State, "State when the result is stale")
					f.same(2, len(got.History), "length of History when the result is stale")
				default:
					f.Errorf("verdict %v", reply.Verdicts[0])
				}
				f.change(id, punctual.Change{Remove: true})
				if f.Failed() {
					return
				}
			}
		},
	},
	{
		name:    "a late result against the one that counts",
		promise: "when a run was taken over, the result of the attempt that runs stands and its repeat is answered already, and that of the attempt before is stale and a note, in whichever order they come",
		needs:   needLeaser,
		check: func(f *fixture) {
			f.add("task")
			other := f.peer("session-b")
			for round := range f.rounds {
				session := fmt.Sprintf("session-%d", round)
				f.beat(session, time.Minute)
				first := f.running("task")
				first.Session = session
				f.put(first)
				f.now = f.now.Add(time.Hour)
				other.now = f.now
				other.reclaim(5)
				second := other.claim(5).Started[0]
				f.now = f.now.Add(time.Second)
				other.now = f.now
				late, counts := f.outcome(first, punctual.StateSucceeded), other.outcome(second, punctual.StateFailed)
				var verdicts [2]punctual.Verdict
				f.together(2, func(i int) error {
					own, item := f, late
					if i == 1 {
						own, item = other, counts
					}
					reply, err := own.store.Finish(f.ctx, punctual.FinishRequest{Now: f.now, Session: own.session, Items: []punctual.Finish{item}})
					if err == nil {
						verdicts[i] = reply.Verdicts[0]
					}
					return err
				})
				f.same([2]punctual.Verdict{stale, applied}, verdicts, "verdicts on the late result and on the one that counts")
				f.same([]punctual.Verdict{already, stale}, other.finish(counts, late), "verdicts on their repeats")
				got := f.run(first.ID)
				f.same(punctual.StateFailed, got.State, "State")
				f.same(2, got.Attempt, "Attempt")
				f.same(2, len(got.History), "length of History: the attempt that was lost, and its result")
				f.change("task", punctual.Change{Remove: true})
				f.add("task")
				if f.Failed() {
					return
				}
			}
		},
	},
	{
		name:    "a beat against a reclaim",
		promise: "either the lease stands and Reclaim gets nothing, or the session is lost and its runs are taken; never both",
		needs:   needLeaser,
		check: func(f *fixture) {
			other := f.peer("session-b")
			for round := range f.rounds {
				id, session := fmt.Sprintf("task-%d", round), fmt.Sprintf("session-%d", round)
				runs := f.held(id, session, 2)
				f.now = f.now.Add(time.Hour)
				var beat punctual.BeatReply
				var taken punctual.ReclaimReply
				f.together(2, func(i int) (err error) {
					if i == 0 {
						// One run stays, so that the session is not forgotten before the beat comes.
						taken, err = other.leaser.Reclaim(f.ctx, punctual.ReclaimRequest{Now: f.now, Session: other.session, Limit: 1})
						return err
					}
					beat, err = f.leaser.Beat(f.ctx, f.beatRequest(session, time.Minute))
					return err
				})
				if beat.Lost {
					f.same(1, len(taken.Runs), "runs taken when the session is lost")
				} else {
					f.same(0, len(taken.Runs), "runs taken although the lease stands")
					f.same(runIDs(runs), f.heldBy(session), "Held although the lease stands")
					f.now = f.now.Add(time.Second)
					f.same(0, len(f.reclaim(5).Runs), "runs taken a second after the beat")
				}
				f.change(id, punctual.Change{Remove: true})
				f.must(f.leaser.EndSession(f.ctx, session), "EndSession")
				if f.Failed() {
					return
				}
			}
		},
	},
	{
		name:    "two reclaims of one dead session",
		promise: "concurrent reclaims take each run once",
		needs:   needLeaser,
		check: func(f *fixture) {
			all := f.crowd(3)
			for round := range max(f.rounds/5, 1) {
				id, session := fmt.Sprintf("task-%d", round), fmt.Sprintf("session-dead-%d", round)
				want := runIDs(f.held(id, session, 6))
				f.now = f.now.Add(time.Hour)
				replies := make([]punctual.ReclaimReply, len(all))
				f.together(len(all), func(i int) (err error) {
					replies[i], err = all[i].leaser.Reclaim(f.ctx, punctual.ReclaimRequest{Now: f.now, Session: all[i].session, Limit: 4})
					return err
				})
				var taken []string
				for _, reply := range replies {
					taken = append(taken, runIDs(reply.Runs)...)
				}
				taken = append(taken, runIDs(f.reclaim(10).Runs)...)
				slices.Sort(taken)
				f.same(want, taken, "runs taken by all")
				for _, id := range want {
					f.same(1, len(f.run(id).History), "length of History")
				}
				f.change(id, punctual.Change{Remove: true})
				if f.Failed() {
					return
				}
			}
		},
	},
}
