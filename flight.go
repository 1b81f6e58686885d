package punctual

import (
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

// idleFlights is how many flights are kept for others: a few batches. One is large, and there may be a hundred thousand a second. They come and go
// by the batch, from the finisher to the crew, which is why they are not left to a sync.Pool alone: that would have each fetched from another
// processor's part of it.
const idleFlights = 4 * finishBatch

// apron are those for which there is no room; the garbage collector clears it.
var apron = sync.Pool{New: func() any { return new(flight) }}

// takeFlight returns a flight that is nobody's.
func (c *crew) takeFlight() *flight {
	last := len(c.idle) - 1
	if last < 0 {
		return apron.Get().(*flight)
	}
	f := c.idle[last]
	c.idle[last] = nil
	c.idle = c.idle[:last]
	return f
}

// giveFlights makes flights another's. Their outcomes are stored or given up, their contexts have left them, and they are in no list any more.
func (s *Scheduler) giveFlights(flights []*flight) {
	for _, f := range flights {
		*f = flight{}
	}
	s.mu.Lock()
	n := min(len(flights), idleFlights-len(s.crew.idle))
	s.crew.idle = append(s.crew.idle, flights[:n]...)
	s.mu.Unlock()
	for _, f := range flights[n:] {
		apron.Put(f)
	}
}

// flights are the attempts in flight, linked so that they come and go without a map's growth.
type flights struct {
	first *flight
	count int // with those of the crew's groups, which are not linked yet
}

// add links a flight that counts already.
func (l *flights) add(f *flight) {
	f.next = l.first
	if f.next != nil {
		f.next.before = f
	}
	l.first = f
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

// linked yields those that are linked; all are Scheduler.allFlightsLocked.
func (l *flights) linked() iter.Seq[*flight] {
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

// contextBlock is how many contexts are made at a time. Host code may keep one, and with it the others, but not their flights.
const contextBlock = 16

// prepareLocked makes a flight, with a new context, of a run that the store has on record as running.
func (s *Scheduler) prepareLocked(run *Run, c *conduct) *flight {
	f := s.crew.takeFlight()
	f.run = *run // by itself, or it would be copied twice
	f.owner, f.run.Trace, f.timeout = s, c.trace, c.timeout
	f.retry = c.retry
	if len(s.crew.contexts) == 0 {
		s.crew.contexts = make([]runContext, contextBlock)
	}
	f.ctx, s.crew.contexts = &s.crew.contexts[0], s.crew.contexts[1:]
	f.ctx.scheduler, f.ctx.flight = s, f
	s.flights.add(f)
	return f
}

// fly lets host code work on an attempt, if it may.
func (s *Scheduler) fly(t *turn) {
	f := t.flight
	s.emit(EventClaimed, f.run.TaskID, &f.run, nil)
	if t.may {
		t.began, t.outcome.started = true, t.taken
		s.execute(f, &t.outcome)
	}
}

// land frees the slot, takes the next attempt if it should, and hands the outcome to the finisher. An attempt that did not begin is released.
func (s *Scheduler) land(t *turn, goOn bool) {
	o := t.outcome
	f, began := t.flight, t.began
	// Stored times are the store's, whatever this instance's clock says and wherever it has jumped meanwhile.
	finished := s.clock.Now()
	o.cause = f.ctx.end()
	s.mu.Lock()
	s.freeSlotLocked(f) // before the outcome can be stored
	s.extendLastLocked()
	told := s.told
	if *t = (turn{}); goOn {
		s.takeLocked(t, finished)
	}
	s.callCrewUnlock()
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

// freeSlotLocked makes room for another attempt.
func (s *Scheduler) freeSlotLocked(f *flight) {
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
}

// mayBeginLocked is asked just before host code begins: not once draining has begun, and not when the lease may have lapsed meanwhile,
// as after a freeze of the process.
func (s *Scheduler) mayBeginLocked(f *flight, now time.Time) bool {
	return s.phase == phaseRunning && f.run.Session == s.session.id && s.leaseHeldLocked(now) && f.ctx.Err() == nil
}

// execute runs host code for one attempt, so that a panic or the end of its goroutine harms this attempt only. It has just started; the clock is
// looked at anew only if somebody is told of it, which may take a while.
func (s *Scheduler) execute(f *flight, o *outcome) {
	level, msg := slog.LevelDebug, "executing task"
	if f.run.Trigger == TriggerRegister {
		level, msg = slog.LevelInfo, "[IMMEDIATE] executing interval task"
	}
	if logged := s.logger.Enabled(f.ctx, level); logged || s.observer != nil {
		s.log(f.ctx, level, msg, runAttrs(&f.run)...)
		s.emit(EventStarted, f.run.TaskID, &f.run, nil)
		o.started = s.clock.Now()
	}
	if f.timeout > 0 {
		ctx := f.ctx
		timer := s.clock.AfterFunc(f.timeout, func() { ctx.cancel(ErrTimeout) })
		defer timer.Stop()
	}
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
	for f := range s.allFlightsLocked() {
		if match(f) {
			hit = append(hit, f.ctx)
		}
	}
	s.mu.Unlock()
	for _, ctx := range hit {
		ctx.cancel(cause)
	}
}
