package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/punctual-go/punctual"
)

// engine is a Scheduler over the store with a fake clock of its own.
type engine struct {
	*punctual.Scheduler
	f     *fixture
	name  string
	clock *clock.Mock

	mu    sync.Mutex
	calls []call
	work  func(context.Context, punctual.Run) error // what host code does; nil returns at once
}

// call is one execution of host code.
type call struct {
	instance string
	run      punctual.Run
	at       time.Time // on the instance's clock
}

// engine makes and starts an engine whose clock is off by the given time, and waits until it holds its lease: what is added before may
// start on another. The caller defers its stop. The fake clock says nothing about how
// long a real store takes, so moving it must not time out a call that is under way: nobody would move it on for the next try.
func (f *fixture) engine(name string, off time.Duration, opts ...punctual.Option) *engine {
	f.Helper()
	return f.engineOver(f.storeOf(name), nil, name, off, opts...)
}

// storeOf returns the handle of an instance onto the data: the fixture's own for a, another for all others.
func (f *fixture) storeOf(name string) punctual.Store {
	if name == "a" {
		return f.store
	}
	return f.second()
}

// engineOver is engine over a given store, for some kinds only unless there are none.
func (f *fixture) engineOver(store punctual.Store, kinds []string, name string, off time.Duration, opts ...punctual.Option) *engine {
	f.Helper()
	e := &engine{f: f, name: name, clock: clock.NewMock()}
	e.clock.Set(noon.Add(off))
	var executor punctual.Executor = punctual.ExecutorFunc(e.execute)
	if kinds != nil {
		mux := new(punctual.Mux)
		for _, kind := range kinds {
			mux.HandleFunc(kind, e.execute)
		}
		executor = mux
	}
	opts = append([]punctual.Option{punctual.WithClock(e.clock), punctual.WithInstance(name), punctual.WithStoreTimeout(time.Hour)}, opts...)
	s, err := punctual.New(store, executor, opts...)
	f.must(err, "New")
	e.Scheduler = s
	f.must(s.Start(f.ctx), "Start")
	e.idle()
	return e
}

func (e *engine) execute(ctx context.Context, run punctual.Run) (punctual.Result, error) {
	e.mu.Lock()
	e.calls = append(e.calls, call{e.name, run, e.clock.Now()})
	work := e.work
	e.mu.Unlock()
	if work == nil {
		return punctual.Result{Output: "done by " + e.name}, nil
	}
	return punctual.Result{}, work(ctx, run)
}

func (e *engine) executed() []call {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]call(nil), e.calls...)
}

// stop ends an engine and waits until nothing of it is left.
func (e *engine) stop() {
	_ = e.Close()
	_ = e.Shutdown(e.f.ctx)
}

// idle waits until the engine has done all that there is to do at its present time.
func (e *engine) idle() {
	e.f.Helper()
	e.f.must(e.WaitIdle(e.f.ctx), "WaitIdle of "+e.name)
}

// settle waits until an engine whose clock has jumped has done all that there is to do. The jump may have passed the deadline of a call
// that the store was about to answer; then the engine takes the store for unavailable and tries again a little later on its clock.
func (e *engine) settle() {
	e.f.Helper()
	for range endless {
		e.f.must(e.WaitSettled(e.f.ctx, 0), "WaitSettled of "+e.name)
		if e.Health().OK {
			break
		}
		e.clock.Add(time.Second)
	}
	e.idle()
}

// pass moves the clocks of engines on and lets them do what is due then.
func pass(d time.Duration, engines ...*engine) {
	for _, e := range engines {
		e.clock.Add(d)
	}
	for _, e := range engines {
		e.idle()
	}
}

// every is a task that waits for its schedule.
func every(id string, d time.Duration) punctual.Task {
	return punctual.Task{ID: id, Schedule: punctual.Every(d), OnRegister: punctual.WaitForSchedule}
}

// blocked returns host code that says when it begins and then waits for its context to be cancelled, whose cause it passes on.
func blocked() (work func(context.Context, punctual.Run) error, begun chan punctual.Run, cause chan error) {
	begun, cause = make(chan punctual.Run, 1), make(chan error, 1)
	return func(ctx context.Context, run punctual.Run) error {
		begun <- run
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return ctx.Err()
	}, begun, cause
}

var engineCases = []testCase{
	{
		name:    "run each occurrence once",
		promise: "two instances over one store, with clocks that differ, run each occurrence once and tell the same next run",
		check: func(f *fixture) {
			const minutes = 100
			a := f.engine("a", 0, punctual.WithLease(time.Hour))
			defer a.stop()
			b := f.engine("b", 300*time.Millisecond, punctual.WithLease(time.Hour))
			defer b.stop()
			f.must(a.Add(f.ctx, every("minutely", time.Minute)), "Add")
			first := f.task("minutely").NextRunAt
			for range minutes {
				pass(30*time.Second, a, b)
				pass(30*time.Second, b, a)
			}
			runs := map[time.Time]int{}
			attempts := 0
			for _, e := range []*engine{a, b} {
				for _, c := range e.executed() {
					runs[c.run.ScheduledAt.UTC()]++
					attempts += c.run.Attempt
				}
			}
			f.same(minutes, len(runs), "number of occurrences that were executed")
			f.same(minutes, attempts, "sum of attempt numbers")
			for i := range minutes {
				at := first.Add(time.Duration(i) * time.Minute)
				f.check(runs[at] == 1, "the occurrence at %v was executed %d times", at, runs[at])
			}
			ledger, err := a.Runs(f.ctx, punctual.RunQuery{TaskID: "minutely", Limit: punctual.MaxLimit})
			f.must(err, "Runs")
			f.same(minutes, len(ledger), "number of rows in the ledger")
			for _, run := range ledger {
				f.check(run.State == punctual.StateSucceeded && run.Trigger == punctual.TriggerSchedule, "run %s %v is %v", run.ID, run.Trigger, run.State)
			}
			fromA, err := a.Task(f.ctx, "minutely")
			f.must(err, "Task")
			fromB, err := b.Task(f.ctx, "minutely")
			f.must(err, "Task")
			f.same(fromA, fromB, "Snapshot from the two instances")
			f.same(first.Add(minutes*time.Minute), fromA.NextRunAt, "NextRunAt")
		},
	},
	{
		name:    "share what is due at the same instant",
		promise: "two instances start a thousand tasks that are due at the same instant once each, and none is left",
		check: func(f *fixture) {
			const tasks = 1000
			a := f.engine("a", 0, punctual.WithLease(time.Hour), punctual.WithConcurrency(37))
			defer a.stop()
			b := f.engine("b", 0, punctual.WithLease(time.Hour), punctual.WithConcurrency(23))
			defer b.stop()
			for i := range tasks {
				f.must(a.Add(f.ctx, every(fmt.Sprintf("task-%04d", i), time.Minute)), "Add")
			}
			pass(time.Minute, a, b)
			a.idle() // what it has finished may have come after b was idle
			seen := map[string]int{}
			for _, c := range append(a.executed(), b.executed()...) {
				seen[c.run.TaskID]++
			}
			f.same(tasks, len(seen), "number of tasks that were executed")
			for id, n := range seen {
				f.check(n == 1, "%s was executed %d times", id, n)
			}
		},
	},
	{
		name:    "take over from one that stands still",
		promise: "the run of an instance that has stopped beating goes to another once its lease has lapsed, and its late result changes nothing",
		needs:   needLeaser,
		check: func(f *fixture) {
			const lease = 15 * time.Second
			a := f.engine("a", 0, punctual.WithLease(lease))
			defer a.stop()
			work, begun, cause := blocked()
			a.work = work
			f.must(a.Add(f.ctx, punctual.Task{ID: "task", Schedule: punctual.Every(time.Hour)}), "Add")
			first := <-begun
			b := f.engine("b", 0, punctual.WithLease(lease))
			defer b.stop()
			b.idle()
			for waited := time.Duration(0); len(b.executed()) == 0; waited += time.Second {
				if waited > 2*time.Minute {
					f.failf("the run was not taken over in %v", waited)
				}
				pass(time.Second, b)
			}
			second := b.executed()[0]
			f.check(!second.at.Before(at(lease)), "the run was taken over after %v, before the lease of %v had lapsed", second.at.Sub(noon), lease)
			f.same(first.ID, second.run.ID, "id of the second attempt")
			f.same(2, second.run.Attempt, "number of the second attempt")
			pass(time.Second, b)
			done := f.run(first.ID)
			f.same(punctual.StateSucceeded, done.State, "State")

			a.clock.Add(40 * time.Second) // it comes to
			if err := causeOf(f, a, cause); !errors.Is(err, punctual.ErrLeaseLost) {
				f.Errorf("cause with which the first attempt was cancelled: want %v, got %v", punctual.ErrLeaseLost, err)
			}
			a.settle()
			got := f.run(first.ID)
			f.same(punctual.StateSucceeded, got.State, "State after the late result")
			f.same("done by b", got.Result.Output, "output after the late result")
			f.same(done.FinishedAt, got.FinishedAt, "FinishedAt after the late result")
			var outcomes []string
			for _, a := range got.History {
				outcomes = append(outcomes, a.Outcome)
			}
			f.same([]string{"lost", "stale"}, outcomes, "outcomes in the history")
			f.same(1, len(a.executed())+len(b.executed())-1, "number of executions but the first")
		},
	},
	{
		name:    "pass on orders to cancel",
		promise: "a run that one instance works on is cancelled by another at the next beat at the latest",
		needs:   needLeaser,
		check: func(f *fixture) {
			a := f.engine("a", 0)
			defer a.stop()
			b := f.engine("b", 0)
			defer b.stop()
			work, begun, cause := blocked()
			a.work, b.work = work, work
			f.must(a.Add(f.ctx, punctual.Task{ID: "task", Schedule: punctual.Every(time.Hour)}), "Add")
			run := <-begun
			if run.Instance == b.name {
				a, b = b, a // it was faster
			}
			f.must(b.Cancel(f.ctx, run.ID), "Cancel")
			if err := causeOf(f, a, cause); !errors.Is(err, punctual.ErrCanceled) {
				f.Errorf("cause with which the run was cancelled: want %v, got %v", punctual.ErrCanceled, err)
			}
			a.idle()
			got := f.run(run.ID)
			f.same(punctual.StateCanceled, got.State, "State")
			f.same(1, got.Attempt, "Attempt")
		},
	},
	{
		name:    "obey each other's edits",
		promise: "what one instance reschedules, pauses or removes does not start on another afterwards",
		check: func(f *fixture) {
			a := f.engine("a", 0, punctual.WithLease(time.Hour))
			defer a.stop()
			b := f.engine("b", 0, punctual.WithLease(time.Hour))
			defer b.stop()
			for _, id := range []string{"moved", "paused", "removed", "kept"} {
				f.must(a.Add(f.ctx, every(id, time.Minute)), "Add")
			}
			pass(59*time.Second, a, b)
			f.must(b.Reschedule(f.ctx, every("moved", 10*time.Minute)), "Reschedule")
			f.must(b.Pause(f.ctx, "paused"), "Pause")
			f.must(b.Remove(f.ctx, "removed"), "Remove")
			pass(time.Second, a, b)
			f.same([]string{"kept"}, executedTasks(a, b), "tasks executed at the first minute")
			for range 10 {
				pass(time.Minute, a, b)
			}
			f.same(11+1, len(executedTasks(a, b)), "number of executions after eleven minutes")
		},
	},
	{
		name:    "hand over when one stops",
		promise: "an instance that shuts down leaves nothing behind: the other goes on with every occurrence",
		check: func(f *fixture) {
			a := f.engine("a", 0, punctual.WithLease(time.Hour))
			defer a.stop()
			f.must(a.Add(f.ctx, punctual.Task{ID: "task", Schedule: punctual.Every(time.Minute)}), "Add")
			a.idle()
			b := f.engine("b", 0, punctual.WithLease(time.Hour))
			defer b.stop()
			for i := range 10 {
				if i == 5 {
					f.must(a.Shutdown(f.ctx), "Shutdown")
					pass(time.Minute, b)
					continue
				}
				if i < 5 {
					a.clock.Add(time.Minute)
					a.idle()
				}
				pass(time.Minute, b)
			}
			f.must(b.Ensure(f.ctx, punctual.Task{ID: "task", Schedule: punctual.Every(time.Minute)}), "Ensure")
			b.idle()
			f.same(11, len(executedTasks(a, b)), "number of executions: one at once and ten on time")
			f.check(len(b.executed()) >= 5, "the instance that stayed has executed %d runs", len(b.executed()))
		},
	},
}

func executedTasks(engines ...*engine) []string {
	var ids []string
	for _, e := range engines {
		for _, c := range e.executed() {
			ids = append(ids, c.run.TaskID)
		}
	}
	return ids
}

// causeOf lets time pass on one engine until its run is cancelled, and returns the cause. The clock moves only when the engine rests: the store may
// show a beat before the engine has heard its answer, and then the lease that it trusts is still the old one.
func causeOf(f *fixture, e *engine, cause <-chan error) error {
	f.Helper()
	ctx, over := context.WithCancel(f.ctx)
	defer over()
	defer clock.New().AfterFunc(12*patience, over).Stop()
	result := make(chan error, 1)
	go func() {
		defer over()
		select {
		case err := <-cause:
			result <- err
		case <-ctx.Done():
		}
	}()
	for range endless {
		if e.WaitSettled(ctx, 1) != nil {
			break
		}
		e.clock.Add(time.Second)
	}
	over()
	select {
	case err := <-result:
		return err
	default:
		f.failf("the run was not cancelled")
		return nil
	}
}
