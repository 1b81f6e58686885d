package punctual

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// edit is one change of one task that a host asks for. It is made with newEdit.
type edit struct {
	editing
	room     room
	decideIt DecideFunc    // what the store calls
	bounds   []lazyTimeout // for the calls to come
}

// editing is first what is asked, then, once the edit is under way, what it was allowed and what the last call of its decide function saw
// and said.
type editing struct {
	scheduler *Scheduler
	tx        *Tx // the host's transaction that it is part of; nil for one of its own
	taskID    string
	runID     string // instead of taskID
	mayCreate bool
	mayStart  bool // the change may start a run, if this instance has a slot
	asked     registration
	removal   removal
	decide    func(*edit) error            // called with the view set, sets the change where it is kept: it is a hundred bytes long
	done      func(context.Context, *edit) // told after all else that follows from the change; nil for nobody

	op      op
	rules   rules
	view    View // its parts belong to the store
	change  Change
	conduct conduct // of the task as the edit leaves it, like the two below, if the change inserts runs
	payload json.RawMessage
	labels  map[string]string
}

// edits are those that nobody needs any more: one is large, and a host may make a million.
var edits = sync.Pool{New: func() any {
	e := &edit{}
	e.decideIt = func(v View) (Change, error) {
		e.view = v
		err := e.decideNow()
		return e.change, err
	}
	return e
}}

func (s *Scheduler) newEdit(tx *Tx) *edit {
	e := edits.Get().(*edit)
	e.scheduler, e.tx = s, tx
	return e
}

// release says that neither the edit nor its change is needed any more. One in a transaction of the host waits for the commit.
func (e *edit) release() {
	if e.tx != nil {
		return
	}
	e.editing = editing{}
	if e.room.run[0].ID != "" { // it is seldom used, and takes as long to clear as the rest
		e.room = room{}
	}
	edits.Put(e)
}

// boundsBlock is how many contexts of edits are made at a time. A store may keep one, and with it the others.
const boundsBlock = 16

// bound returns the context of the edit's call to the store.
func (e *edit) bound(ctx context.Context) *lazyTimeout {
	if len(e.bounds) == 0 {
		e.bounds = make([]lazyTimeout, boundsBlock)
	}
	bound := &e.bounds[0]
	e.bounds = e.bounds[1:]
	bound.Context, bound.scheduler = ctx, e.scheduler
	return bound
}

// decideNow decides about the view. What it says may be asked for more than once.
func (e *edit) decideNow() error {
	e.change = Change{}
	if e.view.Record == nil && !e.mayCreate && e.runID == "" {
		return fmt.Errorf("%w: %q", ErrTaskNotFound, e.taskID)
	}
	if err := e.decide(e); err != nil {
		return err
	}
	task := e.change.Task
	if task == nil && e.view.Record != nil {
		task = &e.view.Record.Task
	}
	if task != nil && len(e.change.Insert) > 0 {
		e.conduct, e.payload, e.labels = task.conduct(), task.Payload, task.Labels
	}
	return nil
}

// slotsFor is how many runs of a kind the edit may start at once, of those that the view allows.
func (e *edit) slotsFor(kind string) int {
	return e.scheduler.slotsFor(&e.op, kind, e.view.Slots)
}

// do carries out an edit of which only the error is asked for.
func (s *Scheduler) do(ctx context.Context, e *edit) error {
	if err := s.edit(ctx, e); err != nil {
		return err
	}
	e.release()
	return nil
}

// edit carries out e, starts what the change started and wakes the loop if something is due earlier than it knows. In a transaction of the
// host nothing is started, and all else waits for its commit. After an error e is not used again, since who gave the call up may still be at it.
func (s *Scheduler) edit(ctx context.Context, e *edit) error {
	var editor Editor = s.store
	if e.tx != nil {
		editor, e.mayStart = e.tx.editor, false
	}
	var err error
	if e.op, err = s.beginOp(e.mayStart); err != nil {
		return err
	}
	e.rules = s.rulesFor(e.op.session)
	var started []string
	defer func() { s.endOp(&e.op, started) }()
	reply, err := e.ask(ctx, editor)
	if err != nil {
		return err
	}
	e.change.Insert = dropRuns(e.change.Insert, reply.Dropped)
	if e.tx != nil {
		at := s.clock.Now()
		e.tx.held = append(e.tx.held, func() { s.follow(ctx, e, nil, e.view.Now.Add(s.clock.Since(at))) })
		return nil
	}
	s.follow(ctx, e, &started, e.view.Now)
	return nil
}

// ask makes the edit's call to the store.
func (e *edit) ask(ctx context.Context, editor Editor) (EditReply, error) {
	bound := e.bound(ctx)
	defer bound.end()
	return timed(bound, e.scheduler, "edit", func() (EditReply, error) {
		return editor.Edit(bound, EditRequest{
			TaskID: e.taskID, RunID: e.runID, Now: e.scheduler.storeNow(), Session: e.op.session, Slots: e.op.slots,
			ConcurrencyKey: e.asked.task.ConcurrencyKey, Decide: e.decideIt,
		})
	})
}

// follow does what follows from a committed change, at a time of the store: it starts the change's running runs, and adds their kinds to
// started.
func (s *Scheduler) follow(ctx context.Context, e *edit, started *[]string, at time.Time) {
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
		s.dispatchOne(&run, &e.conduct)
		*started = append(*started, run.Kind)
	}
	s.carryOut(c.Cancel)
	s.noteDue(dueOf(c), at)
	if passesOn(&e.view, c) {
		s.noteDue(at, at)
	}
	if e.done != nil {
		e.done(ctx, e)
	}
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

// passesOn reports whether a change may give up a concurrency key: with a run that held it, or that was to be the next to try. What becomes
// due by that belongs to other tasks, so the change does not tell.
func passesOn(v *View, c *Change) bool {
	if c.Remove && !c.KeepHistory {
		return v.Active+len(v.Pending) > 0
	}
	return slices.ContainsFunc(c.Update, func(run Run) bool { return run.ConcurrencyKey != "" && run.State.Final() })
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
