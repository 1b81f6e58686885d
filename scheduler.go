package punctual

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// New makes a Scheduler over a store and an executor. Tasks can be registered at once; nothing runs before Start. The store stays
// the host's: close it after Shutdown. New starts no goroutine.
func New(store Store, executor Executor, opts ...Option) (*Scheduler, error) {
	if store == nil {
		return nil, errors.New("punctual: New: the store is nil")
	}
	if executor == nil {
		return nil, errors.New("punctual: New: the executor is nil")
	}
	c := defaultConfig()
	var errs []error
	for _, opt := range opts {
		if opt != nil {
			errs = append(errs, opt(&c))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return newScheduler(store, executor, c), nil
}

// Add registers a new task. An enabled interval task is stored together with its immediate run in one transaction and Add
// returns without waiting for the run: neither can be lost, and a failing run does not fail Add. Fixed-time tasks wait for their
// time. Before Start the run waits in the store.
//
// Errors: ErrInvalidTask (a *TaskError that names each wrong field; nothing is stored), ErrTaskExists, ErrClosed, or an error of
// the store.
func (s *Scheduler) Add(ctx context.Context, task Task) error {
	return s.register(ctx, task, modeAdd)
}

// Ensure registers a task unless it is registered in just this way: what code calls at each process start. A task that is absent
// is added; one whose definition is the same is left alone, without another immediate run; one that differs is rescheduled.
//
// Errors: ErrInvalidTask, ErrConflict (only with Task.Revision set), ErrClosed, or an error of the store.
func (s *Scheduler) Ensure(ctx context.Context, task Task) error {
	return s.register(ctx, task, modeEnsure)
}

// Reschedule replaces a task's definition and registers it anew: an enabled interval task runs at once again and its interval
// counts from now. Id, history and a run in flight are kept; runs that have not begun end as skipped with ReasonSuperseded. After
// it has returned, no occurrence of the old schedule starts. A paused task stays paused.
//
// With Task.Revision set it is compare-and-set: ErrConflict if the task has changed since. Zero replaces whatever is there.
//
// Errors: ErrInvalidTask (the old definition stays), ErrTaskNotFound, ErrConflict, ErrClosed, or an error of the store.
func (s *Scheduler) Reschedule(ctx context.Context, task Task) error {
	return s.register(ctx, task, modeReschedule)
}

// RemoveOption changes what Remove does.
type RemoveOption func(*removal)

type removal struct{ keepHistory, cancelRunning bool }

// KeepHistory leaves the task's runs in the ledger.
func KeepHistory() RemoveOption { return func(r *removal) { r.keepHistory = true } }

// CancelRunning cancels what is in flight on this instance. Without it, it may finish.
func CancelRunning() RemoveOption { return func(r *removal) { r.cancelRunning = true } }

// Remove deletes a task and, unless KeepHistory is given, its ledger. Runs that have not begun never begin. A run in flight may
// finish, and its result is dropped when its row is gone.
//
// Errors: ErrTaskNotFound, ErrClosed, or an error of the store.
func (s *Scheduler) Remove(ctx context.Context, id string, opts ...RemoveOption) error {
	var how removal
	for _, opt := range opts {
		opt(&how)
	}
	_, err := s.edit(ctx, edit{taskID: id, decide: func(r *rules, v View, _ *op) (Change, error) {
		return r.decideRemove(v, how.keepHistory)
	}})
	if err != nil {
		return err
	}
	s.log(ctx, slog.LevelInfo, "task removed", taskAttr(id))
	s.emit(EventRemoved, id, Run{}, nil)
	if how.cancelRunning {
		s.cancelFlightsOf(id, ErrCanceled)
	}
	return nil
}

// Pause stops a task from running on its schedule until Resume, over restarts and through Ensure. Runs that have not begun end as
// skipped with ReasonPaused; a run in flight finishes; RunNow works. Pausing a paused task does nothing.
//
// Errors: ErrTaskNotFound, ErrClosed, or an error of the store.
func (s *Scheduler) Pause(ctx context.Context, id string) error {
	changed, err := s.edit(ctx, edit{taskID: id, decide: func(r *rules, v View, _ *op) (Change, error) { return r.decidePause(v) }})
	if err == nil && changed.Status != nil {
		s.log(ctx, slog.LevelInfo, "task paused", taskAttr(id))
		s.emit(EventPaused, id, Run{}, nil)
	}
	return err
}

// Resume ends a pause. The next occurrence after now is the next run: nothing of the pause is owed, and there is no immediate run.
//
// Errors: ErrTaskNotFound, ErrClosed, or an error of the store.
func (s *Scheduler) Resume(ctx context.Context, id string) error {
	changed, err := s.edit(ctx, edit{taskID: id, decide: func(r *rules, v View, _ *op) (Change, error) { return r.decideResume(v) }})
	if err == nil && changed.Status != nil {
		s.log(ctx, slog.LevelInfo, "task resumed", taskAttr(id))
		s.emit(EventResumed, id, Run{}, nil)
	}
	return err
}

// RunNow asks for a run of a task besides its schedule, which does not move. It works for disabled and paused tasks too. The run
// passes the overlap gate like any other: the answer is running, pending, or skipped with the reason.
//
// Errors: ErrTaskNotFound, ErrClosed, or an error of the store.
func (s *Scheduler) RunNow(ctx context.Context, id string) (Run, error) {
	changed, err := s.edit(ctx, edit{taskID: id, mayStart: true, decide: func(r *rules, v View, o *op) (Change, error) {
		v.Slots = s.slotsFor(o, v.Record.Task.Kind, v.Slots)
		return r.decideRunNow(v)
	}})
	if err != nil {
		return Run{}, err
	}
	return changed.Insert[0], nil
}

// Cancel ends a run. One that is pending never begins; one that is running has its context cancelled with cause ErrCanceled, here
// at once and on another instance with its next beat at the latest. It returns without waiting for the run to end.
//
// Errors: ErrRunNotFound, ErrRunFinished, ErrClosed, or an error of the store.
func (s *Scheduler) Cancel(ctx context.Context, runID string) error {
	_, err := s.edit(ctx, edit{runID: runID, decide: func(r *rules, v View, _ *op) (Change, error) { return r.decideCancel(v) }})
	return err
}

// Task returns a task as it stands. Errors: ErrTaskNotFound, or an error of the store. Queries work after Shutdown too.
func (s *Scheduler) Task(ctx context.Context, id string) (Snapshot, error) {
	return storeCall(ctx, s, func(ctx context.Context) (Snapshot, error) { return s.store.Task(ctx, id) })
}

// Tasks lists tasks in the order of their ids. The next page is asked for with the last id as q.After.
// Errors: ErrInvalidQuery, or an error of the store.
func (s *Scheduler) Tasks(ctx context.Context, q TaskQuery) ([]Snapshot, error) {
	limit, err := queryLimit(q.Limit)
	if err != nil {
		return nil, err
	}
	q.Limit = limit
	return storeCall(ctx, s, func(ctx context.Context) ([]Snapshot, error) { return s.store.Tasks(ctx, q) })
}

// Run returns one entry of the ledger. Errors: ErrRunNotFound, or an error of the store.
func (s *Scheduler) Run(ctx context.Context, id string) (Run, error) {
	return storeCall(ctx, s, func(ctx context.Context) (Run, error) { return s.store.Run(ctx, id) })
}

// Runs lists entries of the ledger, newest first. The next page is asked for with the last id as q.Before.
// Errors: ErrInvalidQuery, or an error of the store.
func (s *Scheduler) Runs(ctx context.Context, q RunQuery) ([]Run, error) {
	limit, err := queryLimit(q.Limit)
	if err != nil {
		return nil, err
	}
	q.Limit = limit
	return storeCall(ctx, s, func(ctx context.Context) ([]Run, error) { return s.store.Runs(ctx, q) })
}

// Instances lists the live instances that share the store; nil when the store is not made for sharing.
func (s *Scheduler) Instances(ctx context.Context) ([]Instance, error) {
	if s.leaser == nil {
		return nil, nil
	}
	return storeCall(ctx, s, s.leaser.Instances)
}

func queryLimit(n int) (int, error) {
	if n < 0 {
		return 0, fmt.Errorf("%w: the limit %d is negative", ErrInvalidQuery, n)
	}
	return min(cmp.Or(n, DefaultLimit), MaxLimit), nil
}

// register is Add, Ensure and Reschedule.
func (s *Scheduler) register(ctx context.Context, task Task, mode registerMode) error {
	if err := task.Validate(); err != nil {
		return err
	}
	task = task.clone()
	_, err := s.edit(ctx, edit{
		taskID: task.ID, key: task.ConcurrencyKey, mayCreate: true, mayStart: true,
		decide: func(r *rules, v View, o *op) (Change, error) {
			v.Slots = s.slotsFor(o, task.Kind, v.Slots)
			return r.decideRegister(v, task, mode)
		},
		committed: func(c *Change) { s.registered(ctx, c) },
	})
	return err
}

// registered tells of a registration, if it was one.
func (s *Scheduler) registered(ctx context.Context, c *Change) {
	if c.Task == nil {
		return
	}
	var immediate Run
	for _, run := range c.Insert {
		if run.Trigger == TriggerRegister {
			immediate = run
		}
	}
	s.log(ctx, slog.LevelDebug, "task registered", taskAttr(c.Task.ID), slog.Int64("revision", c.Task.Revision),
		slog.Time("next_run_at", c.Status.NextRunAt))
	s.emit(EventRegistered, c.Task.ID, immediate, nil)
}

// edit is one change of one task that a host asks for.
type edit struct {
	taskID    string
	runID     string
	key       string // the concurrency key of a new definition
	mayCreate bool
	mayStart  bool // the change may start a run, if this instance has a slot
	decide    func(*rules, View, *op) (Change, error)
	committed func(*Change) // told before anything of the change starts; nil for nobody
}

// edit carries out e, starts what the change started and wakes the loop if something is due earlier than it knows.
func (s *Scheduler) edit(ctx context.Context, e edit) (Change, error) {
	op, err := s.beginOp(e.mayStart)
	if err != nil {
		return Change{}, err
	}
	var started []string
	defer func() { s.endOp(op, started) }()
	rules := s.rules(op.session)
	var changed Change
	var task Task
	var at time.Time
	req := EditRequest{TaskID: e.taskID, RunID: e.runID, Now: s.storeNow(), Session: op.session, Slots: op.slots, ConcurrencyKey: e.key}
	req.Decide = func(v View) (Change, error) {
		if v.Record == nil && !e.mayCreate && e.runID == "" {
			return Change{}, fmt.Errorf("%w: %q", ErrTaskNotFound, e.taskID)
		}
		c, err := e.decide(rules, v, &op)
		if err != nil {
			return Change{}, err
		}
		changed, at = c, v.Now
		switch {
		case c.Task != nil:
			task = *c.Task
		case v.Record != nil:
			task = v.Record.Task
		}
		return c, nil
	}
	reply, err := storeCall(ctx, s, func(ctx context.Context) (EditReply, error) { return s.store.Edit(ctx, req) })
	if err != nil {
		return Change{}, err
	}
	changed.Insert = dropRuns(changed.Insert, reply.Dropped)
	if e.committed != nil {
		e.committed(&changed)
	}
	s.announce(&changed)
	for i := range changed.Insert {
		if run := changed.Insert[i]; run.State == StateRunning {
			run.Payload, run.Labels = task.Payload, task.Labels
			s.dispatch(run, &task)
			started = append(started, run.Kind)
		}
	}
	s.carryOut(changed.Cancel)
	s.noteDue(dueOf(&changed), at)
	return changed, nil
}

// dueOf returns the earliest time at which something of the change is due; zero when nothing is.
func dueOf(c *Change) time.Time {
	var due time.Time
	note := func(t time.Time) {
		if !t.IsZero() && (due.IsZero() || t.Before(due)) {
			due = t
		}
	}
	if c.Status != nil {
		note(c.Status.NextRunAt)
	}
	for _, rows := range [][]Run{c.Insert, c.Update} {
		for i := range rows {
			if rows[i].State == StatePending {
				note(rows[i].DueAt)
			}
		}
	}
	return due
}

func dropRuns(runs []Run, dropped []string) []Run {
	if len(dropped) == 0 {
		return runs
	}
	gone := make(map[string]bool, len(dropped))
	for _, id := range dropped {
		gone[id] = true
	}
	kept := runs[:0]
	for _, run := range runs {
		if !gone[run.ID] {
			kept = append(kept, run)
		}
	}
	return kept
}
