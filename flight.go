package punctual

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

var errStoreTimeout = fmt.Errorf("%w: the call took too long", ErrUnavailable)

// errGoexit fails an attempt whose goroutine was ended by runtime.Goexit, as a failing assertion of a test does.
var errGoexit = errors.New("punctual: executor ended its goroutine without returning")

// flight is one attempt that this instance has started and whose outcome is not stored yet.
type flight struct {
	run     Run
	retry   Retry
	timeout time.Duration
	ctx     context.Context
	cancel  context.CancelCauseFunc
	landed  bool // host code has returned; guarded by Scheduler.mu
}

// attemptKey names one attempt. After a lost lease an instance may work on two attempts of one run.
type attemptKey struct {
	runID  string
	number int
}

func (f *flight) key() attemptKey { return attemptKey{f.run.ID, f.run.Attempt} }

// dispatch hands a run that the store has on record as running to a goroutine of its own. This is the one place that says go for
// host code.
func (s *Scheduler) dispatch(run Run, task *Task) {
	f := &flight{run: run, retry: task.Retry, timeout: task.Timeout}
	s.mu.Lock()
	ctx, cancel := context.WithCancelCause(s.base)
	f.ctx, f.cancel = contextWithRun(ctx, s, run), cancel
	s.flights[f.key()] = f
	s.busy++
	s.mu.Unlock()
	go s.fly(f)
}

// fly works on one attempt from its start to the hand-over of its outcome. The hand-over is deferred because host code may end the
// goroutine with runtime.Goexit.
func (s *Scheduler) fly(f *flight) {
	var o outcome
	began := false
	defer func() { s.land(f, began, o) }()
	s.emit(EventClaimed, f.run.TaskID, f.run, nil)
	if !s.mayBegin(f) {
		return
	}
	began = true
	s.execute(f, &o)
}

// land frees the slot and hands the outcome to the finisher. An attempt that did not begin is released.
func (s *Scheduler) land(f *flight, began bool, o outcome) {
	o.finished = micros(s.clock.Now())
	finish := Finish{
		RunID: f.run.ID, TaskID: f.run.TaskID, Attempt: f.run.Attempt, State: StatePending, Released: true,
		StartedAt: f.run.StartedAt, FinishedAt: o.finished,
	}
	if began {
		if f.ctx.Err() != nil {
			o.cause = context.Cause(f.ctx)
		}
		o.result = boundResult(o.result, s.outputLimit)
		finish = decideFinish(f.run, f.retry, o)
	}
	f.cancel(context.Canceled)
	s.mu.Lock()
	f.landed = true
	s.busy--
	hungry := s.loop.starved
	if l := s.limits[f.run.Kind]; l != nil {
		l.active--
		hungry = hungry || l.wanted
	}
	s.mu.Unlock()
	s.finisher.add(f, finish)
	if hungry {
		s.poke()
	}
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
	if f.run.Trigger == TriggerRegister {
		s.log(f.ctx, slog.LevelInfo, "[IMMEDIATE] executing interval task", runAttrs(f.run)...)
	} else {
		s.log(f.ctx, slog.LevelDebug, "executing task", runAttrs(f.run)...)
	}
	s.emit(EventStarted, f.run.TaskID, f.run, nil)
	if f.timeout > 0 {
		timer := s.clock.AfterFunc(f.timeout, func() { f.cancel(ErrTimeout) })
		defer timer.Stop()
	}
	o.started = micros(s.clock.Now())
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
	var hit []*flight
	for _, f := range s.flights {
		if match(f) {
			hit = append(hit, f)
		}
	}
	s.mu.Unlock()
	for _, f := range hit {
		f.cancel(cause)
	}
}
