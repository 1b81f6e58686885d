package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/punctual-go/punctual"
)

// deaf is a store whose notification channel is down: calls work, hints do not come.
type deaf struct {
	punctual.Store
	punctual.Leaser
}

func (deaf) Watch(context.Context, func()) error {
	return errors.New("the notification channel is down")
}

// deafEngine is engine without hints of what others do.
func (f *fixture) deafEngine(name string, off time.Duration, opts ...punctual.Option) *engine {
	f.Helper()
	store := f.storeOf(name)
	leaser, _ := store.(punctual.Leaser)
	return f.engineOver(deaf{store, leaser}, nil, name, off, opts...)
}

// service is an engine that handles some kinds only.
func (f *fixture) service(name string, kinds ...string) *engine {
	f.Helper()
	return f.engineOver(f.storeOf(name), kinds, name, 0)
}

// settled waits until the engine has done all there is to do while some of its runs wait. It fails when fewer or more do, in real time.
func (e *engine) settled(waiting int) {
	e.f.Helper()
	ctx, cancel := context.WithCancelCause(e.f.ctx)
	defer cancel(nil)
	defer clock.New().AfterFunc(12*patience, func() {
		cancel(fmt.Errorf("%d runs are expected to wait: %+v", waiting, e.Health()))
	}).Stop()
	e.f.must(e.WaitSettled(ctx, waiting), "WaitSettled of "+e.name)
}

// clusterCases are cases from the field about instances that come, go and share a store.
var clusterCases = []testCase{
	{
		// river#791: the next run was kept in memory, so a process that restarted more often than the task was due never ran it.
		name:    "rare task and frequent restarts",
		promise: "a task that is due every seven days runs every seven days, to the instant, though its process restarts every day and registers it anew",
		check: func(f *fixture) {
			const week = 7 * 24 * time.Hour
			rare := every("rare", week)
			var ran []time.Time
			for day := range 15 {
				// Each process lives from five o'clock to five o'clock. While nothing is due it has nothing to do.
				begin := time.Duration(day)*24*time.Hour - 7*time.Hour
				if day == 0 {
					begin = 0
				}
				end := time.Duration(day+1)*24*time.Hour - 7*time.Hour
				if f.reopen != nil && day%7 == 6 {
					f.restarted()
				}
				e := f.engine("a", begin, punctual.WithLease(24*time.Hour), punctual.WithMaxSleep(24*time.Hour))
				f.must(e.Ensure(f.ctx, rare), "Ensure")
				e.idle()
				until := func(end time.Duration) {
					for begin < end {
						step := min(50*time.Minute, end-begin) // less than a call to the store may take
						pass(step, e)
						begin += step
					}
				}
				if due := (begin/week + 1) * week; due < end {
					until(due - time.Minute)
					f.same(0, len(e.executed()), "number of executions a minute before it is due, on day %d", day)
					until(due)
				}
				until(end)
				for _, c := range e.executed() {
					f.check(c.run.ScheduledAt.Equal(c.at), "the run that was due at %v began at %v", c.run.ScheduledAt, c.at)
					ran = append(ran, c.at.UTC())
				}
				e.stop()
			}
			f.same([]time.Time{at(week), at(2 * week)}, ran, "when it ran")
			f.same(2, len(f.runs(punctual.RunQuery{TaskID: "rare"})), "number of rows in the ledger")
		},
	},
	{
		// river#1358: a cancel whose notification was lost did not reach the run for an hour.
		name:    "cancel in the dark",
		promise: "while no hint comes through, an order to cancel lies in the store and reaches the run with the next renewal of its lease",
		needs:   needLeaser,
		check: func(f *fixture) {
			const lease = 15 * time.Second
			a := f.deafEngine("a", 0, punctual.WithLease(lease))
			defer a.stop()
			work, begun, cause := blocked()
			a.work = work
			f.must(a.Add(f.ctx, punctual.Task{ID: "task", Schedule: punctual.Every(time.Hour)}), "Add")
			run := <-begun
			b := f.deafEngine("b", 0, punctual.WithLease(lease))
			defer b.stop()
			a.settled(1)
			f.must(b.Cancel(f.ctx, run.ID), "Cancel")
			kept := f.run(run.ID)
			f.same(punctual.StateRunning, kept.State, "State of the run that was ordered to be cancelled")
			f.same(true, kept.CancelRequested, "CancelRequested")
			var seen time.Time
			for _, in := range f.instances() {
				if in.Name == a.name {
					seen = in.LastSeenAt
				}
			}
			a.clock.Set(seen.Add(lease/3 - time.Second))
			a.settled(1) // the run goes on before the lease is renewed
			a.clock.Add(time.Second)
			select {
			case err := <-cause:
				f.check(errors.Is(err, punctual.ErrCanceled), "cause with which the run was cancelled: want %v, got %v", punctual.ErrCanceled, err)
			case <-clock.New().After(12 * patience):
				f.failf("the renewal of the lease did not bring the order")
			}
			a.idle()
			f.same(punctual.StateCanceled, f.run(run.ID).State, "State")
			f.same(1, len(a.executed())+len(b.executed()), "number of executions")
		},
	},
	{
		// db-scheduler#365: an instance that shut down gave up its heartbeat first, so others started what it still worked on.
		name:    "drain for five leases",
		promise: "an instance that drains goes on beating until its last run has ended: no other starts that run, but the others start all that becomes due",
		needs:   needLeaser,
		check: func(f *fixture) {
			const lease = 15 * time.Second
			a := f.engine("a", 0, punctual.WithLease(lease))
			defer a.stop()
			begun, finish := make(chan punctual.Run, 1), make(chan struct{})
			a.work = func(ctx context.Context, run punctual.Run) error {
				begun <- run
				select {
				case <-finish:
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			f.must(a.Add(f.ctx, punctual.Task{ID: "long", Schedule: punctual.Every(24 * time.Hour)}), "Add")
			run := <-begun
			b := f.engine("b", 0, punctual.WithLease(lease))
			defer b.stop()
			f.must(b.Add(f.ctx, every("other", lease)), "Add")
			a.settled(1)
			left := make(chan error, 1)
			go func() { left <- a.Shutdown(f.ctx) }()
			for a.Health().Phase == "running" {
				runtime.Gosched()
			}
			for passed := lease / 3; passed <= 5*lease; passed += lease / 3 {
				a.clock.Add(lease / 3)
				a.settled(1)
				// A late hint may make it beat in between, and then it goes on from there.
				beat := slices.ContainsFunc(f.instances(), func(in punctual.Instance) bool {
					return in.Name == a.name && in.LastSeenAt.After(at(passed-lease/3))
				})
				f.check(beat, "the instance that drains has not renewed its lease in the third of it that ends %v after the drain began", passed)
				pass(lease/3, b)
			}
			f.same([]string{"other", "other", "other", "other", "other"}, executedTasks(b), "what the other instance has started")
			f.same([]string{"long"}, executedTasks(a), "what the instance that drains has started")
			close(finish)
			f.must(<-left, "Shutdown")
			got := f.run(run.ID)
			f.same(punctual.StateSucceeded, got.State, "State")
			f.same(1, got.Attempt, "Attempt")
			f.same(0, len(got.History), "number of earlier attempts")
			f.same(2, len(f.instances()), "number of sessions that are left: the fixture's own and the other instance's")
			for range 12 {
				pass(lease/3, b)
			}
			f.same(1, len(f.runs(punctual.RunQuery{TaskID: "long"})), "number of runs of the task")
		},
	},
	{
		// sidekiq#6804, dkron#1210: who was to run it died just before, and it was lost with the leader.
		name:    "hand over a second before",
		promise: "what an instance would have run a second after it died runs on another: on time if that has looked since, else no later than it looks",
		check: func(f *fixture) {
			const due = 45 * time.Second // who looks every half a minute does not look then
			for i, looked := range []bool{true, false} {
				begin := time.Duration(i) * time.Hour
				task := punctual.Task{ID: fmt.Sprintf("looked-%v", looked), Schedule: punctual.Once(at(begin + due))}
				a, b := f.deafEngine("a", begin, punctual.WithLease(time.Hour)), f.deafEngine("b", begin, punctual.WithLease(time.Hour))
				if looked {
					f.must(a.Add(f.ctx, task), "Add")
				}
				pass(30*time.Second, a, b)
				pass(due-31*time.Second, a, b)
				if !looked {
					f.must(a.Add(f.ctx, task), "Add")
				}
				a.idle() // and then it dies: its clock moves no more
				limit := time.Duration(0)
				if !looked {
					limit = punctual.DefaultMaxSleep
				}
				for len(b.executed()) == 0 && b.clock.Now().Before(at(begin+due+time.Minute)) {
					pass(time.Second, b)
				}
				f.same([]string{task.ID}, executedTasks(b), "what the other instance has executed")
				for _, c := range b.executed() {
					late := c.at.Sub(at(begin + due))
					f.check(late >= 0 && late <= limit, "%s: it ran %v late, and %v is what it may take", task.ID, late, limit)
				}
				f.same(0, len(a.executed()), "number of executions of the instance that died")
				a.stop()
				b.stop()
			}
		},
	},
	{
		// river#342, river#658: jobs of one service failed on the workers of another, or kept them from theirs.
		name:    "two services over one store",
		promise: "each instance starts only the kinds that it handles, however much of others is due, and a kind that nobody handles waits for who does",
		check: func(f *fixture) {
			const foreign = 8
			a, b := f.service("a", "mail", "both"), f.service("b", "report", "both")
			defer a.stop()
			defer b.stop()
			task := func(id, kind string) punctual.Task {
				t := every(id, time.Minute)
				t.Kind = kind
				return t
			}
			for i := range foreign {
				f.must(a.Add(f.ctx, task(fmt.Sprintf("nobody-%d", i), "nobody")), "Add")
			}
			for i, kind := range []string{"mail", "report", "both"} {
				f.must([]*engine{a, b}[i%2].Add(f.ctx, task(kind, kind)), "Add")
			}
			atOnce := task("at once", "report")
			atOnce.Schedule, atOnce.OnRegister = punctual.Every(time.Hour), punctual.RunImmediatelyOnRegister
			f.must(a.Add(f.ctx, atOnce), "Add")
			for range 3 * 6 {
				pass(time.Minute/6, a, b) // less than a lease, since the second may be at what has just been registered
			}
			count := func(e *engine) map[string]int {
				n := map[string]int{}
				for _, c := range e.executed() {
					n[c.run.TaskID]++
				}
				return n
			}
			ofA, ofB := count(a), count(b)
			both := ofA["both"] + ofB["both"]
			delete(ofA, "both")
			delete(ofB, "both")
			f.same(3, both, "number of executions of the task that both handle")
			f.same(map[string]int{"mail": 3}, ofA, "what the first service has executed besides")
			f.same(map[string]int{"report": 3, "at once": 1}, ofB, "what the second service has executed besides")
			f.same(0, len(f.runs(punctual.RunQuery{TaskID: "nobody-0"})), "number of runs of a kind that nobody handles")
			f.same(at(time.Minute), f.task("nobody-0").NextRunAt, "NextRunAt of a task whose kind nobody handles")
			c := f.service("c", "nobody")
			defer c.stop()
			c.clock.Set(a.clock.Now())
			c.idle()
			f.same(foreign, len(count(c)), "number of tasks that the service executed which came for them")
		},
	},
	{
		name:    "a kind that nobody handles shows",
		promise: "work that has been due for over a minute and whose kind no live instance handles is a reason in the Health of the others, until one comes that handles it",
		needs:   needLeaser,
		check: func(f *fixture) {
			a, b := f.service("a", "mail"), f.service("b", "mail", "report")
			defer a.stop()
			defer b.stop()
			f.must(f.leaser.EndSession(f.ctx, f.session), "EndSession") // it does not say what it handles
			// The clocks move in steps, so that housekeeping looks when it should.
			seconds := func(n int) {
				for range n / 10 {
					pass(10*time.Second, a, b)
				}
			}
			task := every("task", time.Minute)
			task.Kind = "nobody"
			f.must(a.Add(f.ctx, task), "Add")
			unhandled := func(e *engine, want bool, when string) {
				var shown []punctual.Overdue
				if want {
					shown = []punctual.Overdue{{Kind: "nobody", Since: f.task("task").NextRunAt}}
				}
				h := e.Health()
				f.same(shown, h.Unhandled, "Health.Unhandled of %s %s", e.name, when)
				f.same(!want, h.OK, "Health.OK of %s %s", e.name, when)
			}
			seconds(110)
			unhandled(a, false, "before the work has been due for a minute")
			seconds(80)
			unhandled(a, true, "while nobody handles the kind")
			unhandled(b, true, "while nobody handles the kind")
			for _, kinds := range [][]string{{"other", "nobody"}, nil} {
				f.now = a.clock.Now()
				_, err := f.leaser.Beat(f.ctx, punctual.BeatRequest{Now: f.now, Session: f.name("session"), Instance: "c", Lease: time.Minute, Kinds: kinds})
				f.must(err, "Beat")
				seconds(50)
				unhandled(a, false, "while another handles the kind, or is of a version that does not tell")
				unhandled(b, false, "while another handles the kind, or is of a version that does not tell")
				seconds(80)
				unhandled(a, true, "after the lease of the other has lapsed")
			}
			d := f.service("d", "nobody")
			defer d.stop()
			d.clock.Set(a.clock.Now())
			d.idle()
			seconds(50)
			unhandled(a, false, "after another has done the work")
		},
	},
}
