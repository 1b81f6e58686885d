package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/punctual-go/punctual"
)

// reporter is what a case needs of a *testing.T. The suite's own tests put another in its place, to see broken stores fail.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	FailNow()
	Failed() bool
}

// fixture is a store with one instance at work on it, and what cases do with them.
type fixture struct {
	reporter
	ctx      context.Context
	store    punctual.Store
	leaser   punctual.Leaser   // nil when the store is none
	watcher  punctual.Watcher  // nil when the store is none
	preparer punctual.Preparer // nil when the store is none
	second   func() punctual.Store
	reopen   func() punctual.Store // nil when the caller did not say how
	rounds   int

	now     time.Time // the Now of requests
	session string    // the instance's session; empty when the store is no Leaser
	serial  *atomic.Int64
}

// instance and lease are those of the fixture's own session. The lease outlasts every case.
const (
	instance = "instance-a"
	lease    = 1000 * time.Hour
)

// endless is how often a case repeats a call that should come to an end by itself.
const endless = 1000

// noon is when cases begin: a time with microseconds.
var noon = time.Date(2027, time.March, 1, 12, 0, 0, 123456000, time.UTC)

func newFixture(r reporter, store punctual.Store, rounds int) *fixture {
	f := &fixture{reporter: r, ctx: context.Background(), store: store, rounds: rounds, now: noon, serial: new(atomic.Int64)}
	f.leaser, _ = store.(punctual.Leaser)
	f.watcher, _ = store.(punctual.Watcher)
	f.preparer, _ = store.(punctual.Preparer)
	f.second = func() punctual.Store { return store }
	return f
}

// lacks says what the store misses for a case; empty when nothing.
func (f *fixture) lacks(n need) string {
	switch {
	case n&needLeaser != 0 && f.leaser == nil:
		return "the store is no punctual.Leaser"
	case n&needWatcher != 0 && f.watcher == nil:
		return "the store is no punctual.Watcher"
	case n&needPreparer != 0 && f.preparer == nil:
		return "the store is no punctual.Preparer"
	case n&needReopen != 0 && f.reopen == nil:
		return "no WithReopen"
	}
	return ""
}

// begin opens the instance's session.
func (f *fixture) begin() {
	f.Helper()
	if f.leaser != nil {
		f.session = "session-a"
		f.beat(f.session, lease)
	}
}

// peer returns another instance over the same data, with a session of its own.
func (f *fixture) peer(session string) *fixture {
	f.Helper()
	p := newFixture(f.reporter, f.second(), f.rounds)
	p.ctx, p.now, p.serial = f.ctx, f.now, f.serial
	if p.leaser != nil {
		p.session = session
		p.beat(session, lease)
	}
	return p
}

// Judging.

// failf ends the case.
func (f *fixture) failf(format string, args ...any) {
	f.Helper()
	f.Errorf(format, args...)
	f.FailNow()
}

// must ends the case when a call has failed.
func (f *fixture) must(err error, call string) {
	f.Helper()
	if err != nil {
		f.failf("%s: %v", call, err)
	}
}

// wraps checks that an error wraps the one that the contract names.
func (f *fixture) wraps(err, target error, call string) {
	f.Helper()
	if !errors.Is(err, target) {
		f.Errorf("%s: want an error that wraps %q, got %v", call, target, err)
	}
}

// same compares two values of one type.
func (f *fixture) same(want, got any, what string, args ...any) {
	f.Helper()
	for _, d := range differences(want, got) {
		f.Errorf("%s: %s", fmt.Sprintf(what, args...), d)
	}
}

// check checks a condition.
func (f *fixture) check(ok bool, format string, args ...any) {
	f.Helper()
	if !ok {
		f.Errorf(format, args...)
	}
}

// Making.

// name returns a name that no other call returned; later ones are greater.
func (f *fixture) name(prefix string) string { return fmt.Sprintf("%s-%08d", prefix, f.serial.Add(1)) }

func at(d time.Duration) time.Time { return noon.Add(d) }

// shape adjusts a task that a case makes.
type shape func(*punctual.Task, *punctual.Status)

func owed(at time.Time) shape {
	return func(_ *punctual.Task, s *punctual.Status) { s.NextRunAt = at }
}

func kind(k string) shape {
	return func(t *punctual.Task, _ *punctual.Status) { t.Kind = k }
}

func delayed(d time.Duration) shape {
	return func(_ *punctual.Task, s *punctual.Status) { s.Delay = d }
}

func labeled(labels map[string]string) shape {
	return func(t *punctual.Task, _ *punctual.Status) { t.Labels = labels }
}

func named(name string) shape {
	return func(t *punctual.Task, _ *punctual.Status) { t.Name = name }
}

// add makes a task, which owes nothing unless a shape says otherwise.
func (f *fixture) add(id string, shapes ...shape) {
	f.Helper()
	task := punctual.Task{ID: id, Schedule: punctual.Every(time.Minute), Payload: json.RawMessage(`{"of":1}`), Revision: 1}
	status := punctual.Status{Anchor: f.now}
	for _, shape := range shapes {
		shape(&task, &status)
	}
	f.change(id, punctual.Change{Task: &task, Status: &status})
}

// update replaces the state of a task by what modify makes of it.
func (f *fixture) update(id string, modify func(*punctual.Status)) {
	f.Helper()
	f.edit(id, func(v punctual.View) (punctual.Change, error) {
		if v.Record == nil {
			return punctual.Change{}, punctual.ErrTaskNotFound
		}
		status := v.Record.Status
		modify(&status)
		return punctual.Change{Status: &status}, nil
	})
}

// pending makes a manual run that is due at the given time, or waits for the gate when that is zero.
func (f *fixture) pending(taskID string, due time.Time) punctual.Run {
	return punctual.Run{
		ID: f.name("run"), TaskID: taskID, TaskName: taskID, Trigger: punctual.TriggerManual, ScheduledAt: f.now, Count: 1,
		State: punctual.StatePending, DueAt: due, Revision: 1, CreatedAt: f.now,
	}
}

// running makes a manual run whose first attempt the instance has just started.
func (f *fixture) running(taskID string) punctual.Run {
	r := f.pending(taskID, time.Time{})
	start(&r, f.now, f.session)
	return r
}

// ended makes a manual run in a final state.
func (f *fixture) ended(taskID string, state punctual.State, finished time.Time) punctual.Run {
	r := f.running(taskID)
	r.State, r.FinishedAt, r.Session = state, finished, ""
	return r
}

// start is what starts a run, in the words of a change.
func start(r *punctual.Run, now time.Time, session string) {
	r.State, r.StartedAt, r.DueAt, r.Instance, r.Session = punctual.StateRunning, now, time.Time{}, instance, session
	r.Attempt++
}

// put inserts runs and returns them as they were handed in.
func (f *fixture) put(runs ...punctual.Run) []punctual.Run {
	f.Helper()
	if reply := f.change(runs[0].TaskID, punctual.Change{Insert: runs}); len(reply.Dropped) > 0 {
		f.failf("Edit dropped inserted runs without cause: %v", reply.Dropped)
	}
	return runs
}

// Calling the store.

func (f *fixture) request(taskID string, decide punctual.DecideFunc) punctual.EditRequest {
	return punctual.EditRequest{TaskID: taskID, Now: f.now, Session: f.session, Slots: 1000, Decide: decide}
}

func (f *fixture) edit(taskID string, decide punctual.DecideFunc) punctual.EditReply {
	f.Helper()
	reply, err := f.store.Edit(f.ctx, f.request(taskID, decide))
	f.must(err, "Edit")
	return reply
}

// change makes one change of one task, whatever the view.
func (f *fixture) change(taskID string, c punctual.Change) punctual.EditReply {
	f.Helper()
	return f.edit(taskID, func(punctual.View) (punctual.Change, error) { return c, nil })
}

// see returns what a decide function sees of a task.
func (f *fixture) see(taskID string) punctual.View {
	f.Helper()
	var seen punctual.View
	f.edit(taskID, func(v punctual.View) (punctual.Change, error) {
		seen = v
		return punctual.Change{}, nil
	})
	return seen
}

// startDue starts what a View shows as due, as far as there are slots. A due occurrence becomes a scheduled run, and what is owed next
// is the first one after now, a whole number of minutes after it.
func (f *fixture) startDue(v punctual.View) (punctual.Change, error) {
	return f.startUnder(f.session, v)
}

func (f *fixture) startUnder(session string, v punctual.View) (punctual.Change, error) {
	var c punctual.Change
	slots := v.Slots
	for _, run := range v.Pending {
		if slots == 0 {
			c.Deferred = true
			return c, nil
		}
		slots--
		start(&run, v.Now, session)
		c.Update = append(c.Update, run)
	}
	status := v.Record.Status
	if status.NextRunAt.IsZero() || status.NextRunAt.After(v.Now) {
		return c, nil
	}
	if slots == 0 {
		c.Deferred = true
		return c, nil
	}
	task := &v.Record.Task
	run := punctual.Run{
		ID: f.name("run"), TaskID: task.ID, TaskName: task.Name, Kind: task.Kind, Trigger: punctual.TriggerSchedule,
		ScheduledAt: status.NextRunAt, Count: 1, Revision: task.Revision, CreatedAt: v.Now,
	}
	start(&run, v.Now, session)
	c.Insert = append(c.Insert, run)
	late := v.Now.Sub(status.NextRunAt).Truncate(time.Minute)
	status.LastOccurrence, status.NextRunAt = status.NextRunAt, status.NextRunAt.Add(late+time.Minute)
	c.Status = &status
	return c, nil
}

// claim takes up to limit due runs. A store may stop a call early, so it calls until there is nothing more to take.
func (f *fixture) claim(limit int) punctual.ClaimReply {
	f.Helper()
	return f.claimAs(punctual.ClaimRequest{Limit: limit, Decide: f.startDue})
}

func (f *fixture) claimAs(req punctual.ClaimRequest) punctual.ClaimReply {
	f.Helper()
	req.Now, req.Session = f.now, f.session
	limit := req.Limit
	var all punctual.ClaimReply
	for calls := 0; ; calls++ {
		if calls > endless {
			f.failf("Claim says for ever that more is due")
		}
		req.Limit = limit - len(all.Started)
		reply, err := f.store.Claim(f.ctx, req)
		f.must(err, "Claim")
		if len(reply.Started) > req.Limit {
			f.failf("Claim with limit %d started %d runs", req.Limit, len(reply.Started))
		}
		all.Started = append(all.Started, reply.Started...)
		all.SetAside = append(all.SetAside, reply.SetAside...)
		all.Decided += reply.Decided
		all.Now, all.NextDue = reply.Now, reply.NextDue
		progress := len(reply.Started)+len(reply.SetAside)+reply.Decided > 0
		if len(all.Started) == limit || reply.NextDue.IsZero() || reply.NextDue.After(f.now) || !progress {
			return all
		}
	}
}

// finish hands in outcomes and returns the verdicts.
func (f *fixture) finish(items ...punctual.Finish) []punctual.Verdict {
	f.Helper()
	return f.finishAll(items...).Verdicts
}

func (f *fixture) finishAll(items ...punctual.Finish) punctual.FinishReply {
	f.Helper()
	reply, err := f.store.Finish(f.ctx, punctual.FinishRequest{Now: f.now, Session: f.session, Items: items})
	f.must(err, "Finish")
	if len(reply.Verdicts) != len(items) {
		f.failf("Finish of %d items answered %d verdicts", len(items), len(reply.Verdicts))
	}
	return reply
}

// outcome is what came of the current attempt of a run, at the fixture's time.
func (f *fixture) outcome(r punctual.Run, state punctual.State) punctual.Finish {
	return punctual.Finish{
		RunID: r.ID, TaskID: r.TaskID, Attempt: r.Attempt, State: state, StartedAt: r.StartedAt, FinishedAt: f.now,
	}
}

func (f *fixture) run(id string) punctual.Run {
	f.Helper()
	r, err := f.store.Run(f.ctx, id)
	f.must(err, "Run")
	return r
}

func (f *fixture) task(id string) punctual.Snapshot {
	f.Helper()
	s, err := f.store.Task(f.ctx, id)
	f.must(err, "Task")
	return s
}

func (f *fixture) tasks(q punctual.TaskQuery) []string {
	f.Helper()
	page, err := f.store.Tasks(f.ctx, q)
	f.must(err, "Tasks")
	ids := make([]string, len(page))
	for i := range page {
		ids[i] = page[i].Task.ID
	}
	return ids
}

func (f *fixture) runs(q punctual.RunQuery) []string {
	f.Helper()
	page, err := f.store.Runs(f.ctx, q)
	f.must(err, "Runs")
	return runIDs(page)
}

func (f *fixture) beat(session string, lease time.Duration) punctual.BeatReply {
	f.Helper()
	reply, err := f.leaser.Beat(f.ctx, f.beatRequest(session, lease))
	f.must(err, "Beat")
	return reply
}

func (f *fixture) beatRequest(session string, lease time.Duration) punctual.BeatRequest {
	return punctual.BeatRequest{Now: f.now, Session: session, Instance: instance, Version: "v1", Lease: lease, Clock: f.now}
}

func (f *fixture) reclaim(limit int) punctual.ReclaimReply {
	f.Helper()
	reply, err := f.leaser.Reclaim(f.ctx, punctual.ReclaimRequest{Now: f.now, Session: f.session, Limit: limit})
	f.must(err, "Reclaim")
	return reply
}

// Small matters.

func runIDs(runs []punctual.Run) []string {
	ids := make([]string, len(runs))
	for i := range runs {
		ids[i] = runs[i].ID
	}
	return ids
}

// taskIDs returns the tasks of runs, in their order.
func taskIDs(runs []punctual.Run) []string {
	ids := make([]string, len(runs))
	for i := range runs {
		ids[i] = runs[i].TaskID
	}
	return ids
}

func reversed(s []string) []string {
	s = slices.Clone(s)
	slices.Reverse(s)
	return s
}

// orders are orders to cancel runs.
func orders(runs ...string) []punctual.CancelOrder {
	list := make([]punctual.CancelOrder, len(runs))
	for i, id := range runs {
		list[i] = punctual.CancelOrder{RunID: id, Reason: punctual.ReasonCanceled}
	}
	return list
}

// bare is a run as the ledger answers it: without payload and labels.
func bare(r punctual.Run) punctual.Run {
	r.Payload, r.Labels = nil, nil
	return r
}

// clean reports whether a time is as stores hand them out: in UTC, in whole microseconds, without monotonic reading.
func clean(t time.Time) bool {
	return t.IsZero() || t.Equal(t.Truncate(time.Microsecond)) && t.Location() == time.UTC && t == t.Round(0)
}

// together calls n functions at the same moment and waits for all. Their errors fail the case.
func (f *fixture) together(n int, call func(i int) error) {
	f.Helper()
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	errs := make([]error, n)
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			<-begin
			errs[i] = call(i)
		})
	}
	ready.Wait()
	close(begin)
	done.Wait()
	f.must(errors.Join(errs...), "concurrent calls")
}
