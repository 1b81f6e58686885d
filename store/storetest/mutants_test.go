package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

// broken is a good store with one rule broken: a hook that is set stands between the caller and the store.
type broken struct {
	*memory.Store

	editReq    func(*punctual.EditRequest)
	editReply  func(punctual.EditRequest, *punctual.EditReply, error) error
	view       func(*punctual.View)
	change     func(punctual.View, *punctual.Change, error) error
	claimReq   func(*punctual.ClaimRequest)
	claimReply func(punctual.ClaimRequest, *punctual.ClaimReply, error) error
	finishReq  func(*punctual.FinishRequest)
	finished   func(punctual.FinishRequest, *punctual.FinishReply)
	snapshot   func(*punctual.Snapshot)
	run        func(*punctual.Run)
	taskQuery  func(*punctual.TaskQuery)
	tasks      func([]punctual.Snapshot) []punctual.Snapshot
	runQuery   func(*punctual.RunQuery)
	runs       func([]punctual.Run) []punctual.Run
	queryError func(error) error
	trimReq    func(*punctual.TrimRequest)
	trimmed    func(int) int
	overdueReq func(*punctual.OverdueRequest)
	overdue    func([]punctual.Overdue) []punctual.Overdue
	context    func(context.Context) context.Context
	beatReq    func(*punctual.BeatRequest)
	beatReply  func(*punctual.BeatReply)
	reclaimReq func(*punctual.ReclaimRequest)
	reclaimed  func(*punctual.ReclaimReply)
	held       func([]punctual.Run) []punctual.Run
	ended      func(string) bool // whether EndSession does anything
	instances  func([]punctual.Instance)
	watch      func(context.Context, func()) error
	torn       bool          // an Edit decides on what it saw before it took the lock
	halved     chan struct{} // an Edit inserts the first row, and the others when somebody has looked
}

func (b *broken) ctx(ctx context.Context) context.Context {
	if b.context != nil {
		return b.context(ctx)
	}
	return ctx
}

func (b *broken) decide(decide punctual.DecideFunc) punctual.DecideFunc {
	return func(v punctual.View) (punctual.Change, error) {
		if b.view != nil {
			b.view(&v)
		}
		c, err := decide(v)
		if b.change != nil {
			err = b.change(v, &c, err)
		}
		return c, err
	}
}

func (b *broken) Edit(ctx context.Context, req punctual.EditRequest) (punctual.EditReply, error) {
	asked := req
	if b.editReq != nil {
		b.editReq(&req)
	}
	req.Decide = b.decide(req.Decide)
	if b.torn {
		var seen punctual.View
		look := req
		look.Decide = func(v punctual.View) (punctual.Change, error) {
			if seen = v; v.Record != nil {
				kept := *v.Record
				seen.Record = &kept
			}
			return punctual.Change{}, nil
		}
		if _, err := b.Store.Edit(b.ctx(ctx), look); err != nil {
			return punctual.EditReply{}, err
		}
		change, err := req.Decide(seen)
		moment()
		req.Decide = func(punctual.View) (punctual.Change, error) { return change, err }
	}
	var others []punctual.Run
	if b.halved != nil {
		decide := req.Decide
		req.Decide = func(v punctual.View) (punctual.Change, error) {
			c, err := decide(v)
			if len(c.Insert) > 1 {
				c.Insert, others = c.Insert[:1], c.Insert[1:]
			}
			return c, err
		}
	}
	reply, err := b.Store.Edit(b.ctx(ctx), req)
	if len(others) > 0 && err == nil {
		b.untilLooked()
		b.after(req.TaskID, req.Now, func(punctual.View) (punctual.Change, error) { return punctual.Change{Insert: others}, nil })
	}
	if b.editReply != nil {
		err = b.editReply(asked, &reply, err)
	}
	return reply, err
}

func (b *broken) Claim(ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
	asked := req
	if b.claimReq != nil {
		b.claimReq(&req)
	}
	req.Decide = b.decide(req.Decide)
	reply, err := b.Store.Claim(b.ctx(ctx), req)
	if b.claimReply != nil {
		err = b.claimReply(asked, &reply, err)
	}
	return reply, err
}

func (b *broken) Finish(ctx context.Context, req punctual.FinishRequest) (punctual.FinishReply, error) {
	if b.finishReq != nil {
		req.Items = slices.Clone(req.Items)
		b.finishReq(&req)
	}
	reply, err := b.Store.Finish(b.ctx(ctx), req)
	if err == nil && b.finished != nil {
		b.finished(req, &reply)
	}
	return reply, err
}

func (b *broken) out(s *punctual.Snapshot) {
	if b.run != nil && s.LastRun != nil {
		b.run(s.LastRun)
	}
	if b.snapshot != nil {
		b.snapshot(s)
	}
}

func (b *broken) err(err error) error {
	if b.queryError != nil {
		return b.queryError(err)
	}
	return err
}

func (b *broken) Task(ctx context.Context, id string) (punctual.Snapshot, error) {
	s, err := b.Store.Task(b.ctx(ctx), id)
	b.out(&s)
	return s, b.err(err)
}

func (b *broken) Tasks(ctx context.Context, q punctual.TaskQuery) ([]punctual.Snapshot, error) {
	if b.taskQuery != nil {
		b.taskQuery(&q)
	}
	page, err := b.Store.Tasks(b.ctx(ctx), q)
	for i := range page {
		b.out(&page[i])
	}
	if b.tasks != nil {
		page = b.tasks(page)
	}
	return page, b.err(err)
}

func (b *broken) Run(ctx context.Context, id string) (punctual.Run, error) {
	r, err := b.Store.Run(b.ctx(ctx), id)
	if b.run != nil && err == nil {
		b.run(&r)
	}
	return r, b.err(err)
}

func (b *broken) Runs(ctx context.Context, q punctual.RunQuery) ([]punctual.Run, error) {
	if b.runQuery != nil {
		b.runQuery(&q)
	}
	page, err := b.Store.Runs(b.ctx(ctx), q)
	for i := range page {
		if b.run != nil {
			b.run(&page[i])
		}
	}
	if b.runs != nil {
		page = b.runs(page)
	}
	select {
	case b.halved <- struct{}{}:
	default:
	}
	return page, b.err(err)
}

func (b *broken) Trim(ctx context.Context, req punctual.TrimRequest) (int, error) {
	if b.trimReq != nil {
		b.trimReq(&req)
	}
	n, err := b.Store.Trim(b.ctx(ctx), req)
	if b.trimmed != nil {
		n = b.trimmed(n)
	}
	return n, err
}

func (b *broken) Overdue(ctx context.Context, req punctual.OverdueRequest) ([]punctual.Overdue, error) {
	if b.overdueReq != nil {
		b.overdueReq(&req)
	}
	list, err := b.Store.Overdue(b.ctx(ctx), req)
	if b.overdue != nil {
		list = b.overdue(list)
	}
	return list, err
}

func (b *broken) Beat(ctx context.Context, req punctual.BeatRequest) (punctual.BeatReply, error) {
	if b.beatReq != nil {
		b.beatReq(&req)
	}
	reply, err := b.Store.Beat(b.ctx(ctx), req)
	if b.beatReply != nil {
		b.beatReply(&reply)
	}
	return reply, err
}

func (b *broken) Reclaim(ctx context.Context, req punctual.ReclaimRequest) (punctual.ReclaimReply, error) {
	if b.reclaimReq != nil {
		b.reclaimReq(&req)
	}
	reply, err := b.Store.Reclaim(b.ctx(ctx), req)
	if b.reclaimed != nil {
		b.reclaimed(&reply)
	}
	return reply, err
}

func (b *broken) Held(ctx context.Context, session string) ([]punctual.Run, error) {
	runs, err := b.Store.Held(b.ctx(ctx), session)
	if b.held != nil {
		runs = b.held(runs)
	}
	return runs, err
}

func (b *broken) EndSession(ctx context.Context, session string) error {
	if b.ended != nil && !b.ended(session) {
		return nil
	}
	return b.Store.EndSession(b.ctx(ctx), session)
}

func (b *broken) Instances(ctx context.Context) ([]punctual.Instance, error) {
	list, err := b.Store.Instances(b.ctx(ctx))
	if b.instances != nil {
		b.instances(list)
	}
	return list, err
}

func (b *broken) Watch(ctx context.Context, notify func()) error {
	if b.watch != nil {
		return b.watch(ctx, notify)
	}
	return b.Store.Watch(ctx, notify)
}

// moment is the gap in which a broken store can be caught by whoever calls it at the same time.
func moment() { time.Sleep(200 * time.Microsecond) }

// untilLooked waits until a reader has looked from beginning to end, if there is one.
func (b *broken) untilLooked() {
	for range 2 {
		select {
		case <-b.halved:
		case <-time.After(20 * time.Millisecond):
			return
		}
	}
}

// after makes one more change of a task behind the caller's back.
func (b *broken) after(taskID string, now time.Time, decide punctual.DecideFunc) {
	_, _ = b.Store.Edit(context.Background(), punctual.EditRequest{TaskID: taskID, Now: now, Decide: decide})
}

// mutant is one way in which a store can be wrong.
type mutant struct {
	name  string
	spoil func(b *broken)
}

// unguarded are the mutants that remember calls without a lock of their own, so that they cannot take part in races.
var unguarded = []string{
	"applies a change that came with an error", "counts what it has shown", "pages by number", "keeps what was handed in",
	"hands out what it keeps",
}

// eachInsert makes a mutant that spoils the rows that a Change inserts.
func eachInsert(spoil func(*punctual.Run)) func(*broken) {
	return func(b *broken) {
		b.change = func(_ punctual.View, c *punctual.Change, err error) error {
			c.Insert = slices.Clone(c.Insert)
			for i := range c.Insert {
				spoil(&c.Insert[i])
			}
			return err
		}
	}
}

func eachUpdate(spoil func(*punctual.Run)) func(*broken) {
	return func(b *broken) {
		b.change = func(_ punctual.View, c *punctual.Change, err error) error {
			c.Update = slices.Clone(c.Update)
			for i := range c.Update {
				spoil(&c.Update[i])
			}
			return err
		}
	}
}

func eachChange(spoil func(*punctual.Change)) func(*broken) {
	return func(b *broken) {
		b.change = func(_ punctual.View, c *punctual.Change, err error) error {
			spoil(c)
			return err
		}
	}
}

// eachTask spoils the definitions that come in.
func eachTask(spoil func(*punctual.Task)) func(*broken) {
	return eachChange(func(c *punctual.Change) {
		if c.Task != nil {
			task := *c.Task
			spoil(&task)
			c.Task = &task
		}
	})
}

func eachStatus(spoil func(*punctual.Status)) func(*broken) {
	return eachChange(func(c *punctual.Change) {
		if c.Status != nil {
			status := *c.Status
			spoil(&status)
			c.Status = &status
		}
	})
}

func eachItem(spoil func(*punctual.Finish)) func(*broken) {
	return func(b *broken) {
		b.finishReq = func(req *punctual.FinishRequest) {
			for i := range req.Items {
				spoil(&req.Items[i])
			}
		}
	}
}

func eachVerdict(from, to punctual.Verdict) func(*broken) {
	return func(b *broken) {
		b.finished = func(_ punctual.FinishRequest, reply *punctual.FinishReply) {
			for i, v := range reply.Verdicts {
				if v == from {
					reply.Verdicts[i] = to
				}
			}
		}
	}
}

func claimReply(spoil func(*punctual.ClaimReply)) func(*broken) {
	return func(b *broken) {
		b.claimReply = func(_ punctual.ClaimRequest, reply *punctual.ClaimReply, err error) error {
			spoil(reply)
			return err
		}
	}
}

// waiter makes the last run that waits for the gate and is taken the one that a View shows, where it shows who waits.
func waiter(takes func(found, r *punctual.Run) bool) func(*punctual.View) {
	return func(v *punctual.View) {
		var found *punctual.Run
		for i := range v.Pending {
			if r := v.Pending[i]; r.DueAt.IsZero() && !r.WaitsForKey && takes(found, &r) {
				found = &r
			}
		}
		if found != nil {
			v.Waiter = found
		}
	}
}

func eachView(spoil func(*punctual.View)) func(*broken) { return func(b *broken) { b.view = spoil } }
func eachRun(spoil func(*punctual.Run)) func(*broken)   { return func(b *broken) { b.run = spoil } }

func eachSnapshot(spoil func(*punctual.Snapshot)) func(*broken) {
	return func(b *broken) { b.snapshot = spoil }
}

func taskQuery(spoil func(*punctual.TaskQuery)) func(*broken) {
	return func(b *broken) { b.taskQuery = spoil }
}

func runQuery(spoil func(*punctual.RunQuery)) func(*broken) {
	return func(b *broken) { b.runQuery = spoil }
}

var elsewhere = time.FixedZone("elsewhere", 3600)

var mutants = []mutant{
	// Edit.
	{"wraps the error of decide", func(b *broken) {
		b.editReply = func(_ punctual.EditRequest, _ *punctual.EditReply, err error) error {
			if err != nil {
				return fmt.Errorf("edit: %w", err)
			}
			return nil
		}
	}},
	{"applies a change that came with an error", func(b *broken) {
		var refused error
		b.change = func(_ punctual.View, _ *punctual.Change, err error) error {
			refused = err
			return nil
		}
		b.editReply = func(_ punctual.EditRequest, _ *punctual.EditReply, err error) error {
			if refused != nil {
				return refused
			}
			return err
		}
	}},
	{"forgets the runs of a new task", eachChange(func(c *punctual.Change) {
		if c.Task != nil {
			c.Insert = nil
		}
	})},
	{"ignores a state without definition", eachChange(func(c *punctual.Change) {
		if c.Task == nil {
			c.Status = nil
		}
	})},
	{"changes the state for the zero Change", func(b *broken) {
		b.change = func(v punctual.View, c *punctual.Change, err error) error {
			if c.Status == nil && c.Insert == nil && c.Update == nil && c.Cancel == nil && !c.Remove && v.Record != nil {
				status := v.Record.Status
				status.NextRunAt = status.NextRunAt.Add(time.Second)
				c.Status = &status
			}
			return err
		}
	}},
	{"does not call decide for an absent task", func(b *broken) {
		b.change = func(v punctual.View, c *punctual.Change, err error) error {
			if v.Record == nil && v.Run == nil && c.Task == nil {
				return punctual.ErrTaskNotFound
			}
			return err
		}
	}},
	{"keeps history always", eachChange(func(c *punctual.Change) { c.KeepHistory = true })},
	{"keeps history never", eachChange(func(c *punctual.Change) { c.KeepHistory = false })},
	{"drops what a removal inserts", eachChange(func(c *punctual.Change) {
		if c.Remove {
			c.Insert = nil
		}
	})},
	{"does not remove", eachChange(func(c *punctual.Change) { c.Remove = false })},
	{"forgets labels", eachTask(func(t *punctual.Task) { t.Labels = nil })},
	{"forgets the retry policy", eachTask(func(t *punctual.Task) { t.Retry.Jitter = 0 })},
	{"forgets Disabled", eachTask(func(t *punctual.Task) { t.Disabled = false })},
	{"counts revisions itself", eachTask(func(t *punctual.Task) { t.Revision = 1 })},
	{"gives every task a name", eachTask(func(t *punctual.Task) {
		if t.Name == "" {
			t.Name = t.ID
		}
	})},
	{"rounds the delay to minutes", eachStatus(func(s *punctual.Status) { s.Delay = s.Delay.Truncate(time.Minute) })},
	{"forgets the open row of skips", eachStatus(func(s *punctual.Status) { s.Skipping = punctual.Skipping{} })},
	{"interprets Paused", eachStatus(func(s *punctual.Status) {
		if s.Paused {
			s.NextRunAt = time.Time{}
		}
	})},
	{"forgets CreatedAt when a task is replaced", eachSnapshot(func(s *punctual.Snapshot) { s.CreatedAt = s.UpdatedAt })},
	{"does not touch UpdatedAt", eachSnapshot(func(s *punctual.Snapshot) { s.UpdatedAt = s.CreatedAt })},
	{"has no time in replies", func(b *broken) {
		b.editReply = func(_ punctual.EditRequest, reply *punctual.EditReply, err error) error {
			reply.Now = time.Time{}
			return err
		}
	}},
	{"says task instead of run not found", func(b *broken) {
		b.editReply = func(_ punctual.EditRequest, _ *punctual.EditReply, err error) error {
			if errors.Is(err, punctual.ErrRunNotFound) {
				return punctual.ErrTaskNotFound
			}
			return err
		}
	}},
	{"does not show the named run", eachView(func(v *punctual.View) { v.Run = nil })},
	{"shows pending runs by id", eachView(func(v *punctual.View) {
		slices.SortFunc(v.Pending, func(a, b punctual.Run) int { return strings.Compare(a.ID, b.ID) })
	})},
	{"counts pending as active", eachView(func(v *punctual.View) { v.Active += len(v.Pending) })},
	{"does not see active runs", eachView(func(v *punctual.View) { v.Active = 0 })},
	{"does not name the oldest", eachView(func(v *punctual.View) { v.OldestActive = "" })},
	{"passes a key on once a call", func(b *broken) {
		b.finished = func(req punctual.FinishRequest, _ *punctual.FinishReply) {
			if len(req.Items) < 2 {
				return
			}
			runs, _ := b.Store.Runs(context.Background(), punctual.RunQuery{States: []punctual.State{punctual.StatePending}, Limit: 100})
			passed := map[string]bool{}
			for _, r := range slices.Backward(runs) { // the oldest first
				switch {
				case r.ConcurrencyKey == "" || r.DueAt.IsZero():
				case passed[r.Kind]:
					r.DueAt, r.WaitsForKey = time.Time{}, true
					_, _ = b.Store.Edit(context.Background(), punctual.EditRequest{TaskID: r.TaskID, Now: req.Now, Decide: func(punctual.View) (punctual.Change, error) {
						return punctual.Change{Update: []punctual.Run{r}}, nil
					}})
				default:
					passed[r.Kind] = true
				}
			}
		}
	}},
	{"does not count who waits", eachView(func(v *punctual.View) { v.Waiting = 0 })},
	{"shows the oldest that waits", eachView(waiter(func(found, _ *punctual.Run) bool { return found == nil }))},
	{"shows a retry for one that may be replaced", eachView(waiter(func(_, r *punctual.Run) bool { return r.Trigger == punctual.TriggerManual }))},
	{"shows a catch-up for one that may be replaced", eachView(waiter(func(_, r *punctual.Run) bool {
		return r.Attempt == 0 && r.Trigger != punctual.TriggerBackfill
	}))},
	{"shows a backfill for one that may be replaced", eachView(waiter(func(_, r *punctual.Run) bool {
		return r.Attempt == 0 && r.Trigger != punctual.TriggerCatchUp
	}))},
	{"does not pass slots on", eachView(func(v *punctual.View) { v.Slots = 1 })},
	{"drops inserted rows of final state", eachChange(func(c *punctual.Change) {
		c.Insert = slices.DeleteFunc(slices.Clone(c.Insert), func(r punctual.Run) bool { return r.State == punctual.StateMissed })
	})},
	{"forgets the history of inserted rows", eachInsert(func(r *punctual.Run) { r.History = nil })},
	{"forgets Until", eachInsert(func(r *punctual.Run) { r.Until = time.Time{} })},
	{"gives rows a count of one", eachInsert(func(r *punctual.Run) { r.Count = 1 })},
	{"forgets at most once", eachInsert(func(r *punctual.Run) { r.AtMostOnce = false })},
	{"takes catch-ups for manual runs", eachInsert(func(r *punctual.Run) {
		if r.Trigger == punctual.TriggerCatchUp {
			r.Trigger = punctual.TriggerManual
		}
	})},
	{"takes manual runs for occurrences", eachInsert(func(r *punctual.Run) {
		if r.Trigger == punctual.TriggerManual {
			r.Trigger = punctual.TriggerSchedule
		}
	})},
	{"does not update counts", eachUpdate(func(r *punctual.Run) { r.Count = 1 })},
	{"does not update errors", eachUpdate(func(r *punctual.Run) { r.Error = "" })},
	{"does not make runs wait", eachUpdate(func(r *punctual.Run) {
		if r.State == punctual.StatePending && r.DueAt.IsZero() {
			r.DueAt = r.CreatedAt
		}
	})},
	{"ignores orders to cancel", eachChange(func(c *punctual.Change) { c.Cancel = nil })},
	{"does not say what it dropped", func(b *broken) {
		b.editReply = func(_ punctual.EditRequest, reply *punctual.EditReply, err error) error {
			reply.Dropped = nil
			return err
		}
	}},
	{"fails for an occurrence that is taken", func(b *broken) {
		b.editReply = func(_ punctual.EditRequest, reply *punctual.EditReply, err error) error {
			if len(reply.Dropped) > 0 {
				return errors.New("duplicate key")
			}
			return err
		}
	}},

	// Claim.
	{"exceeds the limit", func(b *broken) { b.claimReq = func(req *punctual.ClaimRequest) { req.Limit += 2 } }},
	{"ignores kinds", func(b *broken) { b.claimReq = func(req *punctual.ClaimRequest) { req.Kinds = nil } }},
	{"takes no kinds for all", func(b *broken) {
		b.claimReq = func(req *punctual.ClaimRequest) {
			if len(req.Kinds) == 0 {
				req.Kinds = nil
			}
		}
	}},
	{"is a second early", func(b *broken) {
		b.claimReq = func(req *punctual.ClaimRequest) { req.Now = req.Now.Add(time.Second) }
	}},
	{"is a microsecond late", func(b *broken) {
		b.claimReq = func(req *punctual.ClaimRequest) { req.Now = req.Now.Add(-time.Microsecond) }
	}},
	{"never says what is due next", claimReply(func(r *punctual.ClaimReply) { r.NextDue = time.Time{} })},
	{"says that nothing more is due now", claimReply(func(r *punctual.ClaimReply) {
		if !r.NextDue.After(r.Now) {
			r.NextDue = r.Now.Add(time.Second)
		}
	})},
	{"starts in the wrong order", claimReply(func(r *punctual.ClaimReply) { slices.Reverse(r.Started) })},
	{"starts without payload", claimReply(func(r *punctual.ClaimReply) {
		for i := range r.Started {
			r.Started[i].Payload = nil
		}
	})},
	{"starts without labels", claimReply(func(r *punctual.ClaimReply) {
		for i := range r.Started {
			r.Started[i].Labels = nil
		}
	})},
	{"counts no decisions", claimReply(func(r *punctual.ClaimReply) { r.Decided = 0 })},
	{"counts what it has shown", func(b *broken) {
		shown := 0
		b.view = func(*punctual.View) { shown++ }
		b.claimReply = func(_ punctual.ClaimRequest, reply *punctual.ClaimReply, err error) error {
			reply.Decided = shown
			shown = 0
			return err
		}
	}},
	{"does not stop at what is deferred", eachChange(func(c *punctual.Change) { c.Deferred = false })},
	{"does not say what it set aside", claimReply(func(r *punctual.ClaimReply) { r.SetAside = nil })},
	{"lets a poisoned task pass", func(b *broken) {
		b.change = func(v punctual.View, c *punctual.Change, err error) error {
			if err != nil && v.Record != nil && v.Record.Task.ID == "poisoned" {
				*c = punctual.Change{}
				return nil
			}
			return err
		}
	}},
	{"fails for a poisoned task", claimFails},
	{"clears faults with each edit", eachSnapshot(func(s *punctual.Snapshot) { s.Fault = "" })},
	{"shows everything twice", func(b *broken) {
		b.claimReq = func(req *punctual.ClaimRequest) {
			decide := req.Decide
			req.Decide = func(v punctual.View) (punctual.Change, error) {
				_, _ = decide(v)
				return decide(v)
			}
		}
	}},
	{"stops after one task", func(b *broken) {
		b.claimReq = func(req *punctual.ClaimRequest) {
			decide, shown := req.Decide, 0
			req.Decide = func(v punctual.View) (punctual.Change, error) {
				if shown++; shown > 1 {
					return punctual.Change{}, nil
				}
				return decide(v)
			}
		}
		claimReply(func(r *punctual.ClaimReply) { r.NextDue = r.Now.Add(time.Hour) })(b)
	}},
	{"hands out a run twice", func(b *broken) {
		var mu sync.Mutex
		var last punctual.Run
		b.claimReply = func(req punctual.ClaimRequest, reply *punctual.ClaimReply, err error) error {
			mu.Lock()
			defer mu.Unlock()
			if n := len(reply.Started); n > 0 && n < req.Limit && last.ID != "" {
				reply.Started = append(reply.Started, last)
			}
			if len(reply.Started) > 0 {
				last = reply.Started[0]
			}
			return err
		}
	}},

	// Finish.
	{"takes stale for applied", eachVerdict(stale, applied)},
	{"takes repeats for applied", eachVerdict(already, applied)},
	{"takes repeats for stale", eachVerdict(already, stale)},
	{"takes stale for repeats", eachVerdict(stale, already)},
	{"takes gone for stale", eachVerdict(gone, stale)},
	{"takes gone for applied", eachVerdict(gone, applied)},
	{"answers verdicts in the wrong order", func(b *broken) {
		b.finished = func(_ punctual.FinishRequest, reply *punctual.FinishReply) { slices.Reverse(reply.Verdicts) }
	}},
	{"bounds a batch", func(b *broken) {
		b.finishReq = func(req *punctual.FinishRequest) { req.Items = req.Items[:min(len(req.Items), 500)] }
	}},
	{"ignores the time of the retry", eachItem(func(f *punctual.Finish) { f.RetryAt = time.Time{} })},
	{"retries a moment later", eachItem(func(f *punctual.Finish) {
		if f.State == punctual.StatePending && f.RetryAt.IsZero() {
			f.RetryAt = f.FinishedAt.Add(time.Millisecond)
		}
	})},
	{"takes a release for a retry", eachItem(func(f *punctual.Finish) { f.Released = false })},
	{"takes a retry for a release", eachItem(func(f *punctual.Finish) { f.Released = f.State == punctual.StatePending })},
	{"forgets when the attempt started", eachItem(func(f *punctual.Finish) {
		if !f.Released {
			f.StartedAt = time.Time{}
		}
	})},
	{"releases by number alone", eachItem(func(f *punctual.Finish) { f.StartedAt = time.Time{} })},
	{"forgets the error", eachItem(func(f *punctual.Finish) { f.Error = "" })},
	{"forgets the stack", eachItem(func(f *punctual.Finish) { f.Stack = "" })},
	{"forgets the facts", eachItem(func(f *punctual.Finish) { f.Result.Facts = nil })},
	{"cuts output", eachItem(func(f *punctual.Finish) { f.Result.Output = f.Result.Output[:min(len(f.Result.Output), 1000)] })},
	{"ends everything as succeeded", eachItem(func(f *punctual.Finish) {
		if f.State.Final() {
			f.State = punctual.StateSucceeded
		}
	})},
	{"ends runs by its own clock", func(b *broken) {
		b.finishReq = func(req *punctual.FinishRequest) {
			for i := range req.Items {
				req.Items[i].FinishedAt = req.Now
			}
		}
	}},
	{"does not say what became due", func(b *broken) {
		b.finished = func(_ punctual.FinishRequest, reply *punctual.FinishReply) { reply.NextDue = time.Time{} }
	}},
	{"keeps the gate shut", func(b *broken) {
		b.finished = func(req punctual.FinishRequest, _ *punctual.FinishReply) {
			for _, item := range req.Items {
				b.after(item.TaskID, req.Now, func(v punctual.View) (punctual.Change, error) {
					var c punctual.Change
					for _, run := range v.Pending {
						if run.DueAt.Equal(req.Now) {
							run.DueAt = time.Time{}
							c.Update = append(c.Update, run)
						}
					}
					return c, nil
				})
			}
		}
	}},
	{"opens the gate wide", func(b *broken) {
		b.finished = func(req punctual.FinishRequest, _ *punctual.FinishReply) {
			for _, item := range req.Items {
				b.after(item.TaskID, req.Now, func(v punctual.View) (punctual.Change, error) {
					var c punctual.Change
					for _, run := range v.Pending {
						if run.DueAt.IsZero() {
							run.DueAt = req.Now
							c.Update = append(c.Update, run)
						}
					}
					return c, nil
				})
			}
		}
	}},
	{"does not count the delay", func(b *broken) {
		b.finished = func(req punctual.FinishRequest, _ *punctual.FinishReply) {
			for _, item := range req.Items {
				b.after(item.TaskID, req.Now, func(v punctual.View) (punctual.Change, error) {
					if v.Record == nil || v.Record.Status.Delay == 0 {
						return punctual.Change{}, nil
					}
					status := v.Record.Status
					status.NextRunAt = time.Time{}
					return punctual.Change{Status: &status}, nil
				})
			}
		}
	}},
	{"makes a row for what is gone", func(b *broken) {
		b.finished = func(req punctual.FinishRequest, reply *punctual.FinishReply) {
			if reply.Verdicts[0] == gone {
				b.after(req.Items[0].TaskID, req.Now, func(punctual.View) (punctual.Change, error) {
					task := punctual.Task{ID: req.Items[0].TaskID, Schedule: punctual.Every(time.Hour)}
					return punctual.Change{Task: &task, Insert: []punctual.Run{{ID: req.Items[0].RunID, State: punctual.StateSucceeded}}}, nil
				})
			}
		}
	}},
	{"minds the session", func(b *broken) {
		b.finished = func(req punctual.FinishRequest, reply *punctual.FinishReply) {
			if req.Session == "session-z" {
				reply.Verdicts[0] = stale
			}
		}
	}},

	// Queries.
	{"finds what is not there", func(b *broken) { b.queryError = func(error) error { return nil } }},
	{"ignores the limit of tasks", taskQuery(func(q *punctual.TaskQuery) { q.Limit = max(q.Limit, 0) + 1 })},
	{"ignores the limit of runs", runQuery(func(q *punctual.RunQuery) { q.Limit = max(q.Limit, 0) + 1 })},
	{"lists tasks after ignoring case", taskQuery(func(q *punctual.TaskQuery) { q.After = strings.ToLower(q.After) })},
	{"lists tasks by name of the locale", func(b *broken) {
		b.tasks = func(page []punctual.Snapshot) []punctual.Snapshot {
			slices.SortFunc(page, func(a, b punctual.Snapshot) int {
				return strings.Compare(strings.ToLower(a.Task.ID), strings.ToLower(b.Task.ID))
			})
			return page
		}
	}},
	{"ignores the cursor of runs", runQuery(func(q *punctual.RunQuery) { q.Before = "" })},
	{"pages by number", func(b *broken) {
		// The cursor's place is counted when the page before was made, as OFFSET does.
		offset := 0
		b.taskQuery = func(q *punctual.TaskQuery) {
			if q.After == "" {
				offset = 0
			}
			offset += q.Limit
			q.After, q.Limit = "", offset
		}
		b.tasks = func(page []punctual.Snapshot) []punctual.Snapshot {
			if len(page) > 4 {
				return page[len(page)-4:]
			}
			return page
		}
	}},
	{"ignores labels in queries", taskQuery(func(q *punctual.TaskQuery) { q.Labels = nil })},
	{"ignores kind in queries", taskQuery(func(q *punctual.TaskQuery) { q.Kind = "" })},
	{"ignores search", taskQuery(func(q *punctual.TaskQuery) { q.Search = "" })},
	{"searches with wildcards", taskQuery(func(q *punctual.TaskQuery) { q.Search = strings.NewReplacer("%", "", "_", "").Replace(q.Search) })},
	{"ignores states", runQuery(func(q *punctual.RunQuery) { q.States = nil })},
	{"ignores since", runQuery(func(q *punctual.RunQuery) { q.Since = time.Time{} })},
	{"includes until", runQuery(func(q *punctual.RunQuery) {
		if !q.Until.IsZero() {
			q.Until = q.Until.Add(time.Microsecond)
		}
	})},
	{"ignores the task of runs", runQuery(func(q *punctual.RunQuery) { q.TaskID = "" })},
	{"lists runs oldest first", func(b *broken) {
		b.runs = func(page []punctual.Run) []punctual.Run {
			slices.Reverse(page)
			return page
		}
	}},
	{"does not show the last run", eachSnapshot(func(s *punctual.Snapshot) { s.LastRun = nil })},
	{"does not show active runs", eachSnapshot(func(s *punctual.Snapshot) { s.Active = 0 })},
	{"does not show the next occurrence", eachSnapshot(func(s *punctual.Snapshot) { s.NextRunAt = time.Time{} })},
	{"does not show orders to cancel", eachRun(func(r *punctual.Run) { r.CancelRequested = false })},

	// Values.
	{"hands out local time", eachRun(func(r *punctual.Run) { r.CreatedAt = r.CreatedAt.In(elsewhere) })},
	{"hands out snapshots in local time", eachSnapshot(func(s *punctual.Snapshot) { s.CreatedAt = s.CreatedAt.In(elsewhere) })},
	{"keeps milliseconds", eachInsert(func(r *punctual.Run) { r.ScheduledAt = r.ScheduledAt.Truncate(time.Millisecond) })},
	{"takes the epoch for no time", eachInsert(func(r *punctual.Run) {
		if r.DueAt.Equal(time.Unix(0, 0)) {
			r.DueAt = time.Time{}
		}
	})},
	{"keeps what was handed in", keepsWhatCameIn},
	{"hands out what it keeps", handsOutWhatItKeeps},
	{"folds the case of ids", func(b *broken) {
		b.editReq = func(req *punctual.EditRequest) { req.TaskID = strings.ToLower(req.TaskID) }
		eachTask(func(t *punctual.Task) { t.ID = strings.ToLower(t.ID) })(b)
	}},
	{"trims ids", func(b *broken) {
		b.editReq = func(req *punctual.EditRequest) { req.TaskID = strings.TrimSpace(req.TaskID) }
		eachTask(func(t *punctual.Task) { t.ID = strings.TrimSpace(t.ID) })(b)
	}},
	{"cuts ids", func(b *broken) {
		cut := func(id string) string { return id[:min(len(id), 191)] }
		b.editReq = func(req *punctual.EditRequest) { req.TaskID = cut(req.TaskID) }
		eachTask(func(t *punctual.Task) { t.ID = cut(t.ID) })(b)
	}},
	{"reads numbers as floats", eachTask(func(t *punctual.Task) {
		var v any
		if json.Unmarshal(t.Payload, &v) == nil {
			t.Payload, _ = json.Marshal(v)
		}
	})},
	{"cuts payloads", eachTask(func(t *punctual.Task) {
		if len(t.Payload) > 1<<16 {
			t.Payload = json.RawMessage(`"cut"`)
		}
	})},
	{"replaces control characters", eachItem(func(f *punctual.Finish) { f.Result.Output = strings.ReplaceAll(f.Result.Output, "\x1b", "?") })},
	{"has a clock that stands still", func(b *broken) {
		b.editReq = func(req *punctual.EditRequest) {
			if req.Now.IsZero() {
				req.Now = time.Unix(1, 0)
			}
		}
	}},
	{"has two clocks", func(b *broken) {
		b.claimReq = func(req *punctual.ClaimRequest) {
			if req.Now.IsZero() {
				req.Now = time.Unix(1e9, 0)
			}
		}
	}},

	// Trim.
	{"trims without limit", func(b *broken) { b.trimReq = func(req *punctual.TrimRequest) { req.Limit = 1000 } }},
	{"trims half of its limit", func(b *broken) { b.trimReq = func(req *punctual.TrimRequest) { req.Limit /= 2 } }},
	{"does not trim by number", func(b *broken) { b.trimReq = func(req *punctual.TrimRequest) { req.Keep = 0 } }},
	{"does not trim by age", func(b *broken) { b.trimReq = func(req *punctual.TrimRequest) { req.Before = time.Time{} } }},
	{"trims all without bounds", func(b *broken) {
		b.trimReq = func(req *punctual.TrimRequest) {
			if req.Keep == 0 && req.Before.IsZero() {
				req.Before = at(1000 * time.Hour)
			}
		}
	}},
	{"trims one too many", func(b *broken) {
		b.trimReq = func(req *punctual.TrimRequest) {
			if req.Keep > 1 {
				req.Keep--
			}
		}
	}},
	{"does not count what it trims", func(b *broken) { b.trimmed = func(int) int { return 0 } }},

	// Overdue.
	{"finds nothing overdue", func(b *broken) { b.overdue = func([]punctual.Overdue) []punctual.Overdue { return nil } }},
	{"takes all that is due for overdue", func(b *broken) { b.overdueReq = func(req *punctual.OverdueRequest) { req.For = 0 } }},
	{"takes what is just overdue for fresh", func(b *broken) { b.overdueReq = func(req *punctual.OverdueRequest) { req.For++ } }},
	{"lists overdue kinds in no order", func(b *broken) {
		b.overdue = func(list []punctual.Overdue) []punctual.Overdue {
			slices.Reverse(list)
			return list
		}
	}},
	{"knows only overdue tasks", func(b *broken) {
		b.overdue = func(list []punctual.Overdue) []punctual.Overdue {
			return slices.DeleteFunc(list, func(o punctual.Overdue) bool { return o.Kind == "old" })
		}
	}},

	// Context.
	{"ignores the context", func(b *broken) {
		b.context = func(context.Context) context.Context { return context.Background() }
	}},
	{"commits half of what was cancelled", func(b *broken) {
		b.editReq = func(req *punctual.EditRequest) {
			if req.TaskID != "task" {
				return
			}
			decide := req.Decide
			req.Decide = func(v punctual.View) (punctual.Change, error) {
				c, err := decide(v)
				if len(c.Insert) == 2 {
					c.Insert = c.Insert[:1]
				}
				return c, err
			}
		}
	}},

	// Leaser.
	{"never loses a session", func(b *broken) { b.beatReply = func(r *punctual.BeatReply) { r.Lost = false } }},
	{"loses every session", func(b *broken) {
		b.beatReq = func(req *punctual.BeatRequest) { req.Lease = 0 }
	}},
	{"renews for twice as long", func(b *broken) { b.beatReq = func(req *punctual.BeatRequest) { req.Lease *= 2 } }},
	{"does not bring orders", func(b *broken) { b.beatReply = func(r *punctual.BeatReply) { r.Cancel = nil } }},
	{"does not keep the clock offset", func(b *broken) { b.beatReq = func(req *punctual.BeatRequest) { req.Clock = req.Now } }},
	{"does not keep the kinds of instances", func(b *broken) { b.beatReq = func(req *punctual.BeatRequest) { req.Kinds = nil } }},
	{"takes no kinds for all", func(b *broken) {
		b.instances = func(list []punctual.Instance) {
			for i := range list {
				if len(list[i].Kinds) == 0 {
					list[i].Kinds = nil
				}
			}
		}
	}},
	{"claims under a dead session", func(b *broken) {
		b.claimReq = func(req *punctual.ClaimRequest) { req.Session = "" }
	}},
	{"takes the caller's own runs", func(b *broken) {
		b.reclaimReq = func(req *punctual.ReclaimRequest) { req.Session = "" }
	}},
	{"takes without limit", func(b *broken) { b.reclaimReq = func(req *punctual.ReclaimRequest) { req.Limit = 1000 } }},
	{"takes nothing", func(b *broken) { b.reclaimReq = func(req *punctual.ReclaimRequest) { req.Limit = 0 } }},
	{"does not say that there is more", func(b *broken) { b.reclaimed = func(r *punctual.ReclaimReply) { r.More = false } }},
	{"always says that there is more", func(b *broken) { b.reclaimed = func(r *punctual.ReclaimReply) { r.More = true } }},
	{"does not return what it took", func(b *broken) { b.reclaimed = func(r *punctual.ReclaimReply) { r.Runs = nil } }},
	{"returns runs twice", func(b *broken) {
		b.reclaimed = func(r *punctual.ReclaimReply) { r.Runs = append(r.Runs, r.Runs...) }
	}},
	{"returns what it did not take", func(b *broken) {
		b.reclaimed = func(r *punctual.ReclaimReply) { r.Runs = append(r.Runs, punctual.Run{ID: "run-none"}) }
	}},
	{"knows no lost attempts", eachRun(func(r *punctual.Run) {
		r.History = slices.DeleteFunc(r.History, func(a punctual.Attempt) bool { return a.Outcome == "lost" })
	})},
	{"takes failures for losses", eachInsert(func(r *punctual.Run) {
		r.History = slices.Clone(r.History)
		for i := range r.History {
			r.History[i].Outcome = "lost"
		}
	})},
	{"never gives a run up", func(b *broken) {
		b.reclaimed = func(r *punctual.ReclaimReply) {
			for i := range r.Runs {
				if r.Runs[i].State == punctual.StateFailed {
					r.Runs[i].State = punctual.StatePending
				}
			}
		}
		b.run = func(r *punctual.Run) {
			if r.Reason == punctual.ReasonLostTooMany {
				r.State, r.Reason = punctual.StatePending, ""
			}
		}
	}},
	{"counts the delay of lost runs", func(b *broken) {
		b.reclaimed = func(r *punctual.ReclaimReply) {
			for _, run := range r.Runs {
				b.after(run.TaskID, run.DueAt, func(v punctual.View) (punctual.Change, error) {
					status := v.Record.Status
					if status.Delay == 0 {
						return punctual.Change{}, nil
					}
					status.NextRunAt = v.Now.Add(status.Delay)
					return punctual.Change{Status: &status}, nil
				})
			}
		}
	}},
	{"keeps the gate shut for lost runs", func(b *broken) {
		b.reclaimed = func(r *punctual.ReclaimReply) {
			for _, run := range r.Runs {
				b.after(run.TaskID, noon, func(v punctual.View) (punctual.Change, error) {
					var c punctual.Change
					for _, other := range v.Pending {
						if other.ID != run.ID {
							other.DueAt = time.Time{}
							c.Update = append(c.Update, other)
						}
					}
					return c, nil
				})
			}
		}
	}},
	{"holds nothing", func(b *broken) { b.held = func([]punctual.Run) []punctual.Run { return nil } }},
	{"holds incomplete runs", func(b *broken) {
		b.held = func(runs []punctual.Run) []punctual.Run {
			for i := range runs {
				runs[i].History = nil
			}
			return runs
		}
	}},
	{"does not end sessions", func(b *broken) { b.ended = func(string) bool { return false } }},
	{"lists instances in any order", func(b *broken) { b.instances = slices.Reverse[[]punctual.Instance] }},
	{"trusts unknown sessions", func(b *broken) {
		b.editReq = func(req *punctual.EditRequest) {
			_, _ = b.Store.Beat(context.Background(), punctual.BeatRequest{Now: req.Now, Session: "session-unknown", Lease: lease})
		}
	}},

	// Watcher.
	{"gives no hints", func(b *broken) {
		b.watch = func(ctx context.Context, _ func()) error {
			<-ctx.Done()
			return nil
		}
	}},
	{"fails when its context is done", func(b *broken) {
		b.watch = func(ctx context.Context, notify func()) error {
			_ = b.Store.Watch(ctx, notify)
			return ctx.Err()
		}
	}},

	// Concurrency.
	{"inserts rows one by one", func(b *broken) { b.halved = make(chan struct{}) }},
	{"decides before it locks", func(b *broken) { b.torn = true }},
}

// clusterMutants are the faults that the cases about clusters come from, by case.
var clusterMutants = map[string]mutant{
	"rare task and frequent restarts": {"keeps the next run with the process", func(b *broken) {
		var mu sync.Mutex // guards processes and fresh
		processes, fresh := map[string]bool{}, false
		b.beatReq = func(req *punctual.BeatRequest) {
			mu.Lock()
			defer mu.Unlock()
			fresh = fresh || !processes[req.Session]
			processes[req.Session] = true
		}
		b.view = func(v *punctual.View) {
			mu.Lock()
			defer mu.Unlock()
			if fresh {
				v.Record, fresh = nil, false
			}
		}
	}},
	"cancel in the dark": {"brings no orders with a beat", func(b *broken) {
		b.beatReply = func(reply *punctual.BeatReply) { reply.Cancel = nil }
	}},
	"drain for five leases": {"renews no lease of the first instance", func(b *broken) {
		var beats atomic.Int64
		b.beatReq = func(req *punctual.BeatRequest) {
			if req.Instance == "a" && beats.Add(1) > 1 {
				req.Lease = -time.Minute
			}
		}
	}},
	"hand over a second before": {"lets none but the first instance claim", func(b *broken) {
		var mu sync.Mutex // guards leader
		leader := ""
		b.claimReq = func(req *punctual.ClaimRequest) {
			mu.Lock()
			defer mu.Unlock()
			if leader == "" {
				leader = req.Session
			}
			if req.Session != leader {
				req.Kinds = []string{}
			}
		}
	}},
	"a kind that nobody handles shows": {"takes instances of unknown kinds for ones that handle none", func(b *broken) {
		b.instances = func(list []punctual.Instance) {
			for i := range list {
				if list[i].Kinds == nil {
					list[i].Kinds = []string{}
				}
			}
		}
	}},
	"two services over one store": {"starves a kind for what is due of others", func(b *broken) {
		b.claimReq = func(req *punctual.ClaimRequest) {
			req.Kinds = slices.DeleteFunc(slices.Clone(req.Kinds), func(kind string) bool { return kind == "report" })
		}
	}},
}

func claimFails(b *broken) {
	b.claimReply = func(_ punctual.ClaimRequest, reply *punctual.ClaimReply, err error) error {
		if err == nil && len(reply.SetAside) > 0 {
			return reply.SetAside[0].Err
		}
		return err
	}
}

// keepsWhatCameIn hands out the very slices and maps that it was given.
func keepsWhatCameIn(b *broken) {
	labels := map[string]map[string]string{}
	b.change = func(_ punctual.View, c *punctual.Change, err error) error {
		if c.Task != nil {
			labels[c.Task.ID] = c.Task.Labels
		}
		return err
	}
	b.snapshot = func(s *punctual.Snapshot) {
		if l, ok := labels[s.Task.ID]; ok {
			s.Task.Labels = maps.Clone(l)
		}
	}
}

// handsOutWhatItKeeps answers later queries with what it has answered before.
func handsOutWhatItKeeps(b *broken) {
	kept := map[string]json.RawMessage{}
	b.view = func(v *punctual.View) {
		if v.Record == nil {
			return
		}
		payload := &v.Record.Task.Payload
		if old := kept[v.Record.Task.ID]; old != nil {
			*payload = old
		} else {
			kept[v.Record.Task.ID] = bytes.Clone(*payload)
			*payload = kept[v.Record.Task.ID]
		}
	}
}
