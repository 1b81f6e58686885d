package sim

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/audit"
)

// witness stands right before the store and notes what was really committed, whatever the callers came to know of it.
type witness struct {
	shared
	note func(format string, args ...any)
	turn chan struct{} // taken by a call and its note, so that no other call comes between them

	mu       sync.Mutex // guards all below
	books    audit.Books
	expiries map[string]time.Time // by session: when its lease lapses
	ended    map[string]time.Time // by session: when its process said that it had stopped
	orders   map[string]bool      // runs that somebody was told to cancel
	commits  map[*Operation]registration
	removed  map[string][]time.Time  // tasks removed with their history: when
	trimmed  map[string]punctual.Run // by id, as they were last
	taken    map[attempt]bool        // away from the process that had started them
}

// attempt names one.
type attempt struct {
	run    string
	number int
}

// operationKey finds the Operation that a context belongs to.
type operationKey struct{}

func operationOf(ctx context.Context) *Operation {
	op, _ := ctx.Value(operationKey{}).(*Operation)
	return op
}

// registration is a committed Add, Ensure or Reschedule.
type registration struct {
	task   punctual.Task
	paused bool
	at     time.Time
	run    *punctual.Run // the immediate run
}

func newWitness(store shared, note func(format string, args ...any)) *witness {
	return &witness{
		shared: store, note: note, expiries: make(map[string]time.Time), ended: make(map[string]time.Time),
		orders: make(map[string]bool), commits: make(map[*Operation]registration), removed: make(map[string][]time.Time),
		trimmed: make(map[string]punctual.Run), taken: make(map[attempt]bool),
		turn: make(chan struct{}, 1),
	}
}

func (w *witness) Edit(ctx context.Context, req punctual.EditRequest) (punctual.EditReply, error) {
	var view punctual.View
	var change punctual.Change
	decide := req.Decide
	req.Decide = func(v punctual.View) (punctual.Change, error) {
		c, err := decide(v)
		view, change = v, c
		return c, err
	}
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	reply, err := w.shared.Edit(ctx, req)
	if err == nil {
		for i := range change.Insert {
			run := &change.Insert[i]
			w.note("store: session %s inserts run %s of task %s, %v %v", req.Session, run.ID, run.TaskID, run.Trigger, run.State)
		}
		w.noteEdit(operationOf(ctx), view, change)
	}
	return reply, err
}

func (w *witness) noteEdit(op *Operation, v punctual.View, c punctual.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, order := range c.Cancel {
		w.orders[order.RunID] = true
	}
	var id string
	switch {
	case v.Record != nil:
		id = v.Record.Task.ID
	case c.Task != nil:
		id = c.Task.ID
	default:
		return
	}
	w.books.Note(v, c)
	switch {
	case c.Remove && !c.KeepHistory:
		w.removed[id] = append(w.removed[id], v.Now)
		maps.DeleteFunc(w.trimmed, func(_ string, run punctual.Run) bool { return run.TaskID == id })
	case c.Task != nil:
		w.commits[op] = noteRegistration(v, c)
	}
}

func noteRegistration(v punctual.View, c punctual.Change) registration {
	r := registration{task: *c.Task, paused: c.Status.Paused, at: v.Now}
	for i := range c.Insert {
		if c.Insert[i].Trigger == punctual.TriggerRegister {
			run := c.Insert[i] // the change is the engine's again once the call has returned
			r.run = &run
		}
	}
	return r
}

// Trim keeps what it removes.
func (w *witness) Trim(ctx context.Context, req punctual.TrimRequest) (int, error) {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	before, err := ledger(ctx, w.shared)
	if err != nil {
		return 0, err
	}
	n, err := w.shared.Trim(ctx, req)
	for i := range before {
		if _, gone := w.shared.Run(ctx, before[i].ID); errors.Is(gone, punctual.ErrRunNotFound) {
			w.note("store: run %s of task %s is trimmed", before[i].ID, before[i].TaskID)
			w.mu.Lock()
			w.trimmed[before[i].ID] = before[i]
			w.mu.Unlock()
		}
	}
	return n, err
}

// ledger reads the whole of it, newest first.
func ledger(ctx context.Context, store punctual.Store) (all []punctual.Run, err error) {
	for q := (punctual.RunQuery{Limit: punctual.MaxLimit}); ; q.Before = all[len(all)-1].ID {
		page, err := store.Runs(ctx, q)
		all = append(all, page...)
		if err != nil || len(page) < q.Limit {
			return all, err
		}
	}
}

func (w *witness) Claim(ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	reply, err := w.shared.Claim(ctx, req)
	for i := range reply.Started {
		w.note("store: session %s claims run %s attempt %d", req.Session, reply.Started[i].ID, reply.Started[i].Attempt)
	}
	return reply, err
}

func (w *witness) Finish(ctx context.Context, req punctual.FinishRequest) (punctual.FinishReply, error) {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	reply, err := w.shared.Finish(ctx, req)
	for i, verdict := range reply.Verdicts {
		f := &req.Items[i]
		w.note("store: session %s ends attempt %d of run %s as %v, released %v: %v", req.Session, f.Attempt, f.RunID, f.State, f.Released, verdict)
	}
	return reply, err
}

func (w *witness) Reclaim(ctx context.Context, req punctual.ReclaimRequest) (punctual.ReclaimReply, error) {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	reply, err := w.shared.Reclaim(ctx, req)
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range reply.Runs {
		w.taken[attempt{reply.Runs[i].ID, reply.Runs[i].Attempt}] = true
		w.note("store: session %s takes run %s attempt %d away, now %v", req.Session, reply.Runs[i].ID, reply.Runs[i].Attempt, reply.Runs[i].State)
	}
	return reply, err
}

func (w *witness) Beat(ctx context.Context, req punctual.BeatRequest) (punctual.BeatReply, error) {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	reply, err := w.shared.Beat(ctx, req)
	w.note("store: session %s of %s beats: lost %v, error %v", req.Session, req.Instance, reply.Lost, err)
	if err == nil && !reply.Lost {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.expiries[req.Session] = reply.Now.Add(req.Lease)
	}
	return reply, err
}

func (w *witness) EndSession(ctx context.Context, session string) error {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	err := w.shared.EndSession(ctx, session)
	if err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ended[session] = bubble.Now()
	}
	return err
}

// gaveUp reports whether a session was ended by its process, and not by the lapse of its lease.
func (w *witness) gaveUp(session string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	at, ok := w.ended[session]
	return ok && at.Before(w.expiries[session])
}

// lapses returns when the session's right to its attempts ends at the earliest.
func (w *witness) lapses(session string) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	lapse := w.expiries[session]
	if at, ok := w.ended[session]; ok && at.Before(lapse) {
		return at
	}
	return lapse
}
