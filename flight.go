package punctual

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

var errStoreTimeout = fmt.Errorf("%w: the call took too long", ErrUnavailable)

// errGoexit fails an attempt whose goroutine was ended by runtime.Goexit, as a failing assertion of a test does.
var errGoexit = errors.New("punctual: executor ended its goroutine without returning")

// flight is one attempt that this instance has started and whose outcome is not stored yet. It is used again after that, so whoever keeps
// something of it keeps its context.
type flight struct {
	ctx     *runContext // of its host code
	owner   *Scheduler
	run     Run
	retry   Retry
	timeout time.Duration

	landed       bool    // host code has returned; guarded by Scheduler.mu like all below
	before, next *flight // its neighbours in Scheduler.flights
	behind       *flight // the one behind it in Scheduler.crew
}

// hangar holds flights that nobody needs any more: one is large, and there may be a hundred thousand a second. They come and go by the batch, from
// the finisher to the loop, which is why they are not left to a sync.Pool alone: that would have each fetched from another processor's part of it.
type hangar struct {
	mu   sync.Mutex // guards all below
	idle []*flight
}

// hangarSize is for a few batches.
const hangarSize = 4 * finishBatch

// apron are those for which a hangar has no room; the garbage collector clears it.
var apron = sync.Pool{New: func() any { return new(flight) }}

// take appends n flights that are nobody's.
func (h *hangar) take(flights []*flight, n int) []*flight {
	h.mu.Lock()
	rest := max(len(h.idle)-n, 0)
	flights = append(flights, h.idle[rest:]...)
	n -= len(h.idle) - rest
	clear(h.idle[rest:])
	h.idle = h.idle[:rest]
	h.mu.Unlock()
	for range n {
		flights = append(flights, apron.Get().(*flight))
	}
	return flights
}

// give makes flights another's. Their outcomes are stored or given up, their contexts have left them, and they are in no list any more.
func (h *hangar) give(flights []*flight) {
	for _, f := range flights {
		*f = flight{}
	}
	h.mu.Lock()
	n := min(len(flights), hangarSize-len(h.idle))
	h.idle = append(h.idle, flights[:n]...)
	h.mu.Unlock()
	for _, f := range flights[n:] {
		apron.Put(f)
	}
}

// flights are the attempts in flight, linked so that they come and go without a map's growth.
type flights struct {
	first *flight
	count int
}

func (l *flights) add(f *flight) {
	f.next = l.first
	if f.next != nil {
		f.next.before = f
	}
	l.first = f
	l.count++
}

func (l *flights) has(f *flight) bool { return f == l.first || f.before != nil }

func (l *flights) remove(f *flight) {
	if !l.has(f) {
		return
	}
	if f.before != nil {
		f.before.next = f.next
	} else {
		l.first = f.next
	}
	if f.next != nil {
		f.next.before = f.before
	}
	f.before, f.next = nil, nil
	l.count--
}

func (l *flights) all() iter.Seq[*flight] {
	return func(yield func(*flight) bool) {
		for f := l.first; f != nil && yield(f); f = f.next {
		}
	}
}

// attemptKey names one attempt. After a lost lease an instance may work on two attempts of one run.
type attemptKey struct {
	runID  string
	number int
}

func (f *flight) key() attemptKey { return attemptKey{f.run.ID, f.run.Attempt} }

// conduct is what an attempt has from its task besides what stands in the run.
type conduct struct {
	retry   Retry
	timeout time.Duration
	trace   string
}

func (t *Task) conduct() conduct { return conduct{t.Retry, t.Timeout, t.Trace} }

// contextBlock is how many contexts of a claim are made at a time. Host code may keep one, and with it the others, but not their flights.
const contextBlock = 16

// prepare makes f, with a new context, the attempt of a run that the store has on record as running.
func (s *Scheduler) prepare(f *flight, ctx *runContext, run *Run, c *conduct) {
	f.owner, f.run, f.retry, f.timeout = s, *run, c.retry, c.timeout
	f.run.Trace = c.trace
	f.ctx = ctx
	ctx.scheduler, ctx.flight = s, f
}

// fly works on one attempt from its start to the hand-over of its outcome. The hand-over is deferred because host code may end the
// goroutine with runtime.Goexit.
func (f *flight) fly() {
	var o outcome
	s, began := f.owner, false
	defer func() { s.land(f, began, o) }()
	s.emit(EventClaimed, f.run.TaskID, &f.run, nil)
	if !s.mayBegin(f) {
		return
	}
	began = true
	s.execute(f, &o)
}

// land frees the slot and hands the outcome to the finisher. An attempt that did not begin is released.
func (s *Scheduler) land(f *flight, began bool, o outcome) {
	// Stored times are the store's, whatever this instance's clock says and wherever it has jumped meanwhile.
	finished := s.clock.Now()
	if began && f.ctx.Err() != nil {
		o.cause = context.Cause(f.ctx)
	}
	f.ctx.end()
	told := s.freeSlot(f)
	o.finished = told.at(finished)
	if began {
		o.started = later(micros(o.finished.Add(o.started.Sub(finished))), f.run.StartedAt)
	}
	o.finished = later(o.finished, later(o.started, f.run.StartedAt))
	finish := Finish{
		RunID: f.run.ID, TaskID: f.run.TaskID, Attempt: f.run.Attempt, State: StatePending, Released: true,
		StartedAt: f.run.StartedAt, FinishedAt: o.finished,
	}
	if began {
		o.result = boundResult(o.result, s.outputLimit)
		finish = decideFinish(&f.run, f.retry, &o)
	}
	s.finisher.add(f, &finish)
}

// freeSlot makes room for another attempt, before the outcome of this one can be stored, and returns what is known of the store's time.
func (s *Scheduler) freeSlot(f *flight) storeClock {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.landed = true
	s.busy--
	hungry := s.loop.starved
	if l := s.limits[f.run.Kind]; l != nil {
		l.active--
		hungry = hungry || l.wanted
	}
	if hungry {
		s.pokeLocked() // before the outcome can be stored, or WaitIdle would find nothing left to do
	}
	return s.told
}

// mayBegin is asked just before host code begins: not once draining has begun, and not when the lease may have lapsed meanwhile,
// as after a freeze of the process.
func (s *Scheduler) mayBegin(f *flight) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase == phaseRunning && f.run.Session == s.session.id && s.leaseHeldLocked() && f.ctx.Err() == nil
}

// execute runs host code for one attempt, so that a panic or the end of its goroutine harms this attempt only.
func (s *Scheduler) execute(f *flight, o *outcome) {
	level, msg := slog.LevelDebug, "executing task"
	if f.run.Trigger == TriggerRegister {
		level, msg = slog.LevelInfo, "[IMMEDIATE] executing interval task"
	}
	if s.logger.Enabled(f.ctx, level) {
		s.log(f.ctx, level, msg, runAttrs(&f.run)...)
	}
	s.emit(EventStarted, f.run.TaskID, &f.run, nil)
	if f.timeout > 0 {
		ctx := f.ctx
		timer := s.clock.AfterFunc(f.timeout, func() { ctx.cancel(ErrTimeout) })
		defer timer.Stop()
	}
	o.started = s.clock.Now()
	o.err = errGoexit
	defer func() {
		if p := recover(); p != nil {
			o.err = fmt.Errorf("panic: %v", p)
			o.stack = clip(string(debug.Stack()), maxStack)
		}
	}()
	o.result, o.err = s.executor.Execute(f.ctx, f.run)
}

// carryOut cancels attempts that this instance works on and that it ordered to be cancelled itself.
func (s *Scheduler) carryOut(orders []CancelOrder) {
	for _, order := range orders {
		cause := ErrCanceled
		if order.Reason == ReasonReplaced {
			cause = ErrReplaced
		}
		s.cancelFlight(order.RunID, cause)
	}
}

// cancelFlight cancels the attempt of a run if this instance works on it.
func (s *Scheduler) cancelFlight(runID string, cause error) {
	s.cancelFlights(cause, func(f *flight) bool { return f.run.ID == runID })
}

// cancelFlightsOf cancels all attempts of a task on this instance.
func (s *Scheduler) cancelFlightsOf(taskID string, cause error) {
	s.cancelFlights(cause, func(f *flight) bool { return f.run.TaskID == taskID })
}

// cancelFlights cancels the attempts that match.
func (s *Scheduler) cancelFlights(cause error, match func(*flight) bool) {
	s.mu.Lock()
	var hit []*runContext
	for f := range s.flights.all() {
		if match(f) {
			hit = append(hit, f.ctx)
		}
	}
	s.mu.Unlock()
	for _, ctx := range hit {
		ctx.cancel(cause)
	}
}
