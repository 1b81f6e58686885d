package punctual

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
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
	return s.register(ctx, nil, task, modeAdd)
}

// Ensure registers a task unless it is registered in just this way: what code calls at each process start. A task that is absent
// is added; one whose definition is the same is left alone, without another immediate run; one that differs is rescheduled.
//
// Errors: ErrInvalidTask, ErrConflict (only with Task.Revision set), ErrClosed, or an error of the store.
func (s *Scheduler) Ensure(ctx context.Context, task Task) error {
	return s.register(ctx, nil, task, modeEnsure)
}

// Reschedule replaces a task's definition and registers it anew: an enabled interval task runs at once again and its interval
// counts from now. Id, history and a run in flight are kept; runs that have not begun end as skipped with ReasonSuperseded. After
// it has returned, no occurrence of the old schedule starts. A paused task stays paused.
//
// With Task.Revision set it is compare-and-set: ErrConflict if the task has changed since. Zero replaces whatever is there.
//
// Errors: ErrInvalidTask (the old definition stays), ErrTaskNotFound, ErrConflict, ErrClosed, or an error of the store.
func (s *Scheduler) Reschedule(ctx context.Context, task Task) error {
	return s.register(ctx, nil, task, modeReschedule)
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
	return s.remove(ctx, nil, id, opts)
}

func (s *Scheduler) remove(ctx context.Context, tx *Tx, id string, opts []RemoveOption) error {
	var how removal
	for _, opt := range opts {
		opt(&how)
	}
	made, err := s.edit(ctx, edit{
		taskID: id, tx: tx, decide: func(e *editing, v View) (Change, error) { return e.rules.decideRemove(v, how.keepHistory) },
		done: func(*Change) {
			s.log(ctx, slog.LevelInfo, "task removed", taskAttr(id))
			s.emit(EventRemoved, id, nil, nil)
			if how.cancelRunning {
				s.cancelFlightsOf(id, ErrCanceled)
			}
		},
	})
	made.release()
	return err
}

// Pause stops a task from running on its schedule until Resume, over restarts and through Ensure. Runs that have not begun end as
// skipped with ReasonPaused; a run in flight finishes; RunNow works. Pausing a paused task does nothing.
//
// Errors: ErrTaskNotFound, ErrClosed, or an error of the store.
func (s *Scheduler) Pause(ctx context.Context, id string) error { return s.pauseTask(ctx, nil, id) }

func (s *Scheduler) pauseTask(ctx context.Context, tx *Tx, id string) error {
	made, err := s.edit(ctx, edit{
		taskID: id, tx: tx, decide: func(e *editing, v View) (Change, error) { return e.rules.decidePause(v) },
		done: func(c *Change) {
			if c.Status != nil {
				s.log(ctx, slog.LevelInfo, "task paused", taskAttr(id))
				s.emit(EventPaused, id, nil, nil)
			}
		},
	})
	made.release()
	return err
}

// Resume ends a pause. The next occurrence after now is the next run: nothing of the pause is owed, and there is no immediate run.
//
// Errors: ErrTaskNotFound, ErrClosed, or an error of the store.
func (s *Scheduler) Resume(ctx context.Context, id string) error { return s.resumeTask(ctx, nil, id) }

func (s *Scheduler) resumeTask(ctx context.Context, tx *Tx, id string) error {
	made, err := s.edit(ctx, edit{
		taskID: id, tx: tx, decide: func(e *editing, v View) (Change, error) { return e.rules.decideResume(v) },
		done: func(c *Change) {
			if c.Status != nil {
				s.log(ctx, slog.LevelInfo, "task resumed", taskAttr(id))
				s.emit(EventResumed, id, nil, nil)
			}
		},
	})
	made.release()
	return err
}

// RunNow asks for a run of a task besides its schedule, which does not move. It works for disabled and paused tasks too. The run
// passes the overlap gate like any other: the answer is running, pending, or skipped with the reason.
//
// Errors: ErrTaskNotFound, ErrClosed, or an error of the store.
func (s *Scheduler) RunNow(ctx context.Context, id string) (Run, error) {
	return s.runNow(ctx, nil, id)
}

func (s *Scheduler) runNow(ctx context.Context, tx *Tx, id string) (Run, error) {
	made, err := s.edit(ctx, edit{taskID: id, tx: tx, mayStart: true, decide: func(e *editing, v View) (Change, error) {
		v.Slots = e.slotsFor(v.Record.Task.Kind, v.Slots)
		return e.rules.decideRunNow(v)
	}})
	if err != nil {
		return Run{}, err
	}
	defer made.release()
	return made.change.Insert[0], nil
}

// Cancel ends a run. One that is pending never begins; one that is running has its context cancelled with cause ErrCanceled, here
// at once and on another instance with its next beat at the latest. It returns without waiting for the run to end.
//
// Errors: ErrRunNotFound, ErrRunFinished, ErrClosed, or an error of the store.
func (s *Scheduler) Cancel(ctx context.Context, runID string) error {
	made, err := s.edit(ctx, edit{runID: runID, decide: func(e *editing, v View) (Change, error) { return e.rules.decideCancel(v) }})
	made.release()
	return err
}

// Task returns a task as it stands. Errors: ErrTaskNotFound, or an error of the store. Queries work after Shutdown too.
func (s *Scheduler) Task(ctx context.Context, id string) (Snapshot, error) {
	return storeCall(ctx, s, "task", func(ctx context.Context) (Snapshot, error) { return s.store.Task(ctx, id) })
}

// Tasks lists tasks in the order of their ids. The next page is asked for with the last id as q.After.
// Errors: ErrInvalidQuery, or an error of the store.
func (s *Scheduler) Tasks(ctx context.Context, q TaskQuery) ([]Snapshot, error) {
	limit, err := queryLimit(q.Limit)
	if err != nil {
		return nil, err
	}
	q.Limit = limit
	return storeCall(ctx, s, "tasks", func(ctx context.Context) ([]Snapshot, error) { return s.store.Tasks(ctx, q) })
}

// Run returns one entry of the ledger. Errors: ErrRunNotFound, or an error of the store.
func (s *Scheduler) Run(ctx context.Context, id string) (Run, error) {
	return storeCall(ctx, s, "run", func(ctx context.Context) (Run, error) { return s.store.Run(ctx, id) })
}

// Runs lists entries of the ledger, newest first. The next page is asked for with the last id as q.Before.
// Errors: ErrInvalidQuery, or an error of the store.
func (s *Scheduler) Runs(ctx context.Context, q RunQuery) ([]Run, error) {
	limit, err := queryLimit(q.Limit)
	if err != nil {
		return nil, err
	}
	q.Limit = limit
	return storeCall(ctx, s, "runs", func(ctx context.Context) ([]Run, error) { return s.store.Runs(ctx, q) })
}

// Instances lists the live instances that share the store; nil when the store is not made for sharing.
func (s *Scheduler) Instances(ctx context.Context) ([]Instance, error) {
	if s.leaser == nil {
		return nil, nil
	}
	return storeCall(ctx, s, "instances", s.leaser.Instances)
}

func queryLimit(n int) (int, error) {
	if n < 0 {
		return 0, fmt.Errorf("%w: the limit %d is negative", ErrInvalidQuery, n)
	}
	return min(cmp.Or(n, DefaultLimit), MaxLimit), nil
}

// register is Add, Ensure and Reschedule.
func (s *Scheduler) register(ctx context.Context, tx *Tx, task Task, mode registerMode) error {
	if err := task.Validate(); err != nil {
		return err
	}
	made, err := s.edit(ctx, edit{
		taskID: task.ID, tx: tx, key: task.ConcurrencyKey, mayCreate: true, mayStart: true,
		task: task.clone(), mode: mode, decide: decideRegistration,
	})
	made.release()
	return err
}

func decideRegistration(e *editing, v View) (Change, error) {
	v.Slots = e.slotsFor(e.task.Kind, v.Slots)
	return e.rules.decideRegister(v, &e.task, e.mode, &e.room)
}

// registered tells of a registration.
func (s *Scheduler) registered(ctx context.Context, c *Change) {
	if s.logger.Enabled(ctx, slog.LevelDebug) {
		s.log(ctx, slog.LevelDebug, "task registered", taskAttr(c.Task.ID), slog.Int64("revision", c.Task.Revision),
			slog.Time("next_run_at", c.Status.NextRunAt))
	}
	var immediate *Run
	for i := range c.Insert {
		if c.Insert[i].Trigger == TriggerRegister {
			immediate = &c.Insert[i]
		}
	}
	s.emit(EventRegistered, c.Task.ID, immediate, nil)
}

// edit is one change of one task that a host asks for.
type edit struct {
	taskID    string
	runID     string // instead of taskID
	tx        *Tx    // the host's transaction that it is part of; nil for one of its own
	key       string // the concurrency key of a new definition
	mayCreate bool
	mayStart  bool // the change may start a run, if this instance has a slot
	task      Task // the new definition of a registration
	mode      registerMode
	decide    func(*editing, View) (Change, error)
	done      func(*Change) // told after all else that follows from the change; nil for nobody
}

// editing is an edit under way: what it was allowed, and what the last call of its decide function saw and said.
type editing struct {
	edit
	scheduler *Scheduler
	rules     rules
	op        op
	change    Change
	conduct   conduct // of the task as the edit leaves it, like the two below
	payload   json.RawMessage
	labels    map[string]string
	now       time.Time
	room      registerRoom
	decideIt  DecideFunc // decideNow
}

// edits are editings that nobody needs any more: one is large, and a host may make a million edits.
var edits = sync.Pool{New: func() any {
	e := &editing{}
	e.decideIt = e.decideNow
	return e
}}

// release says that neither the editing nor its change is needed any more. One in a transaction of the host waits for the commit.
func (e *editing) release() {
	if e != nil && e.tx == nil {
		*e = editing{decideIt: e.decideIt}
		edits.Put(e)
	}
}

func (e *editing) decideNow(v View) (Change, error) {
	if v.Record == nil && !e.mayCreate && e.runID == "" {
		return Change{}, fmt.Errorf("%w: %q", ErrTaskNotFound, e.taskID)
	}
	c, err := e.decide(e, v)
	if err == nil {
		e.change, e.now = c, v.Now
		task := c.Task
		if task == nil && v.Record != nil {
			task = &v.Record.Task
		}
		if task != nil {
			e.conduct, e.payload, e.labels = task.conduct(), task.Payload, task.Labels
		}
	}
	return c, err
}

// slotsFor is how many runs of a kind the edit may start at once.
func (e *editing) slotsFor(kind string, slots int) int {
	return e.scheduler.slotsFor(&e.op, kind, slots)
}

// edit carries out e, starts what the change started and wakes the loop if something is due earlier than it knows. In a transaction of the
// host nothing is started, and all else waits for its commit.
func (s *Scheduler) edit(ctx context.Context, e edit) (*editing, error) {
	var editor Editor = s.store
	if e.tx != nil {
		editor, e.mayStart = e.tx.editor, false
	}
	op, err := s.beginOp(e.mayStart)
	if err != nil {
		return nil, err
	}
	made := edits.Get().(*editing)
	made.edit, made.scheduler, made.rules, made.op = e, s, s.rulesFor(op.session), op
	var started []string
	defer func() { s.endOp(&made.op, started) }()
	req := EditRequest{
		TaskID: e.taskID, RunID: e.runID, Now: s.storeNow(), Session: op.session, Slots: op.slots, ConcurrencyKey: e.key, Decide: made.decideIt,
	}
	reply, err := storeCall(ctx, s, "edit", func(ctx context.Context) (EditReply, error) { return editor.Edit(ctx, req) })
	if err != nil {
		return nil, err
	}
	made.change.Insert = dropRuns(made.change.Insert, reply.Dropped)
	if e.tx != nil {
		at := s.clock.Now()
		e.tx.held = append(e.tx.held, func() { s.follow(ctx, made, nil, made.now.Add(s.clock.Since(at))) })
		return made, nil
	}
	s.follow(ctx, made, &started, made.now)
	return made, nil
}

// follow does what follows from a committed change, at a time of the store: it starts the change's running runs, and adds their kinds to
// started.
func (s *Scheduler) follow(ctx context.Context, e *editing, started *[]string, at time.Time) {
	c := &e.change
	if c.Task != nil {
		s.registered(ctx, c) // before anything of it starts
	}
	s.announce(c)
	for i := range c.Insert {
		if c.Insert[i].State != StateRunning {
			continue
		}
		run := c.Insert[i]
		run.Payload, run.Labels = e.payload, e.labels
		var lone [1]*flight
		flights := s.hangar.take(lone[:0], 1)
		s.prepare(flights[0], new(runContext), &run, &e.conduct)
		s.dispatch(flights...)
		*started = append(*started, run.Kind)
	}
	s.carryOut(c.Cancel)
	s.noteDue(dueOf(c), at)
	if e.done != nil {
		e.done(c)
	}
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
