package punctual

import (
	"errors"
	"time"
)

// outcome is what came of one attempt.
type outcome struct {
	result   Result
	err      error
	cause    error     // why the attempt's context was cancelled; nil when it was not
	stack    string    // of a panic
	started  time.Time // by the store's clock, like finished
	finished time.Time
}

// decideFinish says how an attempt ends: for good, or with another one to come.
func decideFinish(run *Run, retry Retry, o *outcome) Finish {
	f := Finish{
		RunID: run.ID, TaskID: run.TaskID, Attempt: run.Attempt, StartedAt: o.started, FinishedAt: o.finished,
		Result: o.result, Stack: o.stack, State: StateSucceeded,
	}
	if o.err == nil {
		return f
	}
	f.State, f.Error = StateFailed, errorText(o.err)
	switch {
	case errors.Is(o.cause, ErrCanceled):
		f.State, f.Reason = StateCanceled, ReasonCanceled
		return f
	case errors.Is(o.cause, ErrReplaced):
		f.State, f.Reason = StateCanceled, ReasonReplaced
		return f
	case errors.Is(o.cause, ErrShutdown):
		f.State, f.Reason = StateCanceled, ReasonShutdown
		return f
	case errors.Is(o.cause, ErrLeaseLost):
		f.Reason = ReasonLeaseLost
		if run.AtMostOnce {
			f.State = StateLost
		} else {
			f.State, f.RetryAt = StatePending, o.finished
		}
		return f
	}
	if reason, ok := SkipOf(o.err); ok && o.stack == "" {
		f.State, f.Reason, f.Error = StateSkipped, reason, ""
		return f
	}
	switch {
	case o.stack != "":
		f.Reason = ReasonPanic
	case errors.Is(o.cause, ErrTimeout):
		f.Reason = ReasonTimeout
	}
	if run.Attempt >= retry.MaxAttempts || IsPermanent(o.err) {
		return f
	}
	wait, ok := RetryAfterOf(o.err)
	if !ok {
		wait = retry.wait(run.ID, run.Attempt)
	}
	f.State, f.RetryAt = StatePending, micros(o.finished.Add(wait))
	return f
}
