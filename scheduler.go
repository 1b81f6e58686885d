package punctual

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	return s.register(ctx, nil, &task, modeAdd)
}

// Ensure registers a task unless it is registered in just this way: what code calls at each process start. A task that is absent
// is added; one whose definition is the same is left alone, without another immediate run; one that differs is rescheduled.
//
// Errors: ErrInvalidTask, ErrConflict (only with Task.Revision set), ErrClosed, or an error of the store.
func (s *Scheduler) Ensure(ctx context.Context, task Task) error {
	return s.register(ctx, nil, &task, modeEnsure)
}

// Reschedule replaces a task's definition and registers it anew: an enabled interval task runs at once again and its interval
// counts from now. Id, history and a run in flight are kept; runs that have not begun end as skipped with ReasonSuperseded. After
// it has returned, no occurrence of the old schedule starts. A paused task stays paused.
//
// With Task.Revision set it is compare-and-set: ErrConflict if the task has changed since. Zero replaces whatever is there.
//
// Errors: ErrInvalidTask (the old definition stays), ErrTaskNotFound, ErrConflict, ErrClosed, or an error of the store.
func (s *Scheduler) Reschedule(ctx context.Context, task Task) error {
	return s.register(ctx, nil, &task, modeReschedule)
}

// RemoveOption changes what Remove does.
type RemoveOption func(*removal)

type removal struct{ keepHistory, cancelRunning bool }

// KeepHistory leaves the task's runs in the ledger.
func KeepHistory() RemoveOption { return func(r *removal) { r.keepHistory = true } }

// CancelRunning cancels what is in flight on this instance. Without it, it may finish.
func CancelRunning() RemoveOption { return func(r *removal) { r.cancelRunning = true } }

// Remove deletes a task and, unless KeepHistory is given, its ledger. Runs that have not begun never begin. A run in flight may
// finish, and its result is dropped when its row is gone; its concurrency key is free at once then, while KeepHistory has others wait until it ends.
//
// Errors: ErrTaskNotFound, ErrClosed, or an error of the store.
func (s *Scheduler) Remove(ctx context.Context, id string, opts ...RemoveOption) error {
	return s.remove(ctx, nil, id, opts)
}

func (s *Scheduler) remove(ctx context.Context, tx *Tx, id string, opts []RemoveOption) error {
	e := s.newEdit(tx)
	e.taskID, e.decide, e.done = id, decideRemoval, removed
	for _, opt := range opts {
		opt(&e.removal)
	}
	return s.do(ctx, e)
}

func decideRemoval(e *edit) (err error) {
	e.change, err = e.rules.decideRemove(&e.view, e.removal.keepHistory)
	return err
}

// removed tells of a removal.
func removed(ctx context.Context, e *edit) {
	s := e.scheduler
	s.log(ctx, slog.LevelInfo, "task removed", taskAttr(e.taskID))
	s.emit(EventRemoved, e.taskID, nil, nil)
	if e.removal.cancelRunning {
		s.cancelFlightsOf(e.taskID, ErrCanceled)
	}
}

// Pause stops a task from running on its schedule until Resume, over restarts and through Ensure. Runs that have not begun end as
// skipped with ReasonPaused; a run in flight finishes; RunNow works. Pausing a paused task does nothing.
//
// Errors: ErrTaskNotFound, ErrClosed, or an error of the store.
func (s *Scheduler) Pause(ctx context.Context, id string) error { return s.pauseTask(ctx, nil, id) }

func (s *Scheduler) pauseTask(ctx context.Context, tx *Tx, id string) error {
	e := s.newEdit(tx)
	e.taskID = id
	e.decide = func(e *edit) (err error) {
		e.change, err = e.rules.decidePause(&e.view)
		return err
	}
	e.done = func(ctx context.Context, e *edit) { e.toldOfPause(ctx, "task paused", EventPaused) }
	return s.do(ctx, e)
}

// Resume ends a pause. The next occurrence after now is the next run: nothing of the pause is owed, and there is no immediate run.
//
// Errors: ErrTaskNotFound, ErrClosed, or an error of the store.
func (s *Scheduler) Resume(ctx context.Context, id string) error { return s.resumeTask(ctx, nil, id) }

func (s *Scheduler) resumeTask(ctx context.Context, tx *Tx, id string) error {
	e := s.newEdit(tx)
	e.taskID = id
	e.decide = func(e *edit) (err error) {
		e.change, err = e.rules.decideResume(&e.view)
		return err
	}
	e.done = func(ctx context.Context, e *edit) { e.toldOfPause(ctx, "task resumed", EventResumed) }
	return s.do(ctx, e)
}

// toldOfPause tells of the begin or the end of a pause, if there was any.
func (e *edit) toldOfPause(ctx context.Context, msg string, event EventType) {
	if e.change.Status != nil {
		e.scheduler.log(ctx, slog.LevelInfo, msg, taskAttr(e.taskID))
		e.scheduler.emit(event, e.taskID, nil, nil)
	}
}

// RunNow asks for a run of a task besides its schedule, which does not move. It works for disabled and paused tasks too. The run
// passes the overlap gate like any other: the answer is running, pending, or skipped with the reason.
//
// Errors: ErrTaskNotFound, ErrClosed, or an error of the store.
func (s *Scheduler) RunNow(ctx context.Context, id string) (Run, error) {
	return s.runNow(ctx, nil, id)
}

func (s *Scheduler) runNow(ctx context.Context, tx *Tx, id string) (Run, error) {
	e := s.newEdit(tx)
	e.taskID, e.mayStart = id, true
	e.decide = func(e *edit) (err error) {
		e.view.Slots = e.slotsFor(e.view.Record.Task.Kind)
		e.change, err = e.rules.decideRunNow(&e.view)
		return err
	}
	if err := s.edit(ctx, e); err != nil {
		return Run{}, err
	}
	defer e.release()
	return e.change.Insert[0], nil
}

// Cancel ends a run. One that is pending never begins; one that is running has its context cancelled with cause ErrCanceled, here
// at once and on another instance with its next beat at the latest. It returns without waiting for the run to end.
//
// Errors: ErrRunNotFound, ErrRunFinished, ErrClosed, or an error of the store.
func (s *Scheduler) Cancel(ctx context.Context, runID string) error {
	e := s.newEdit(nil)
	e.runID = runID
	e.decide = func(e *edit) (err error) {
		e.change, err = e.rules.decideCancel(&e.view)
		return err
	}
	return s.do(ctx, e)
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
func (s *Scheduler) register(ctx context.Context, tx *Tx, task *Task, mode registerMode) error {
	if err := task.validate(); err != nil {
		return err
	}
	e := s.newEdit(tx)
	e.taskID, e.mayCreate, e.decide = task.ID, true, decideRegistration
	e.mayStart = !task.Disabled && task.runsAtOnce(s.config.register)
	e.asked.task = *task // by itself, or it would be copied twice
	e.asked.mode, e.asked.revision = mode, task.Revision
	e.asked.task.unshare()
	return s.do(ctx, e)
}

func decideRegistration(e *edit) (err error) {
	e.view.Slots = e.slotsFor(e.asked.task.Kind)
	e.change, err = e.rules.decideRegister(&e.view, &e.asked, &e.room)
	return err
}
