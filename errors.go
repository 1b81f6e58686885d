package punctual

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Sentinel errors. Every error that this package returns for one of these causes wraps it together with the ids involved,
// so test with errors.Is.
var (
	// ErrTaskExists reports an Add whose id is taken. Use Ensure at process start, Reschedule to replace a definition.
	ErrTaskExists = errors.New("punctual: task exists already")
	// ErrTaskNotFound reports an id that no task has.
	ErrTaskNotFound = errors.New("punctual: task not found")
	// ErrRunNotFound reports an id that no run in the ledger has.
	ErrRunNotFound = errors.New("punctual: run not found")
	// ErrConflict reports a Reschedule that carried a Revision which is no longer the current one.
	ErrConflict = errors.New("punctual: task was changed by somebody else")
	// ErrClosed reports a call on a Scheduler after Shutdown or Close was entered.
	ErrClosed = errors.New("punctual: scheduler is closed")
	// ErrInvalidTask reports a definition that was refused; the error is a *TaskError that names each wrong field.
	ErrInvalidTask = errors.New("punctual: invalid task")
	// ErrInvalidSchedule reports a schedule text or argument that cannot be understood or would never fire.
	ErrInvalidSchedule = errors.New("punctual: invalid schedule")
	// ErrInvalidQuery reports a query with an impossible field, for example a cursor that was never handed out.
	ErrInvalidQuery = errors.New("punctual: invalid query")
	// ErrStaleAttempt reports a result whose attempt number is no longer the run's current one: the attempt was
	// taken over meanwhile and the result changed nothing.
	ErrStaleAttempt = errors.New("punctual: stale attempt")
	// ErrRunFinished reports a Cancel of a run that has ended already.
	ErrRunFinished = errors.New("punctual: run has finished already")
	// ErrNoHandler is what a Mux answers for a run whose kind no handler was registered for. It is permanent.
	ErrNoHandler = errors.New("punctual: no handler for this kind of task")
)

// Causes with which the context of a running attempt is cancelled; read them with context.Cause.
var (
	// ErrTimeout is the cause when the attempt ran longer than Task.Timeout.
	ErrTimeout = errors.New("punctual: attempt timed out")
	// ErrCanceled is the cause when somebody cancelled the run.
	ErrCanceled = errors.New("punctual: run was canceled")
	// ErrReplaced is the cause when a newer run takes the place of this one (OverlapReplace).
	ErrReplaced = errors.New("punctual: run was replaced by a newer one")
	// ErrLeaseLost is the cause when the instance could not renew its lease, so that another may have taken the run over.
	ErrLeaseLost = errors.New("punctual: lease lost")
	// ErrShutdown is the cause when the Shutdown deadline passed, Close was called or the Start context ended.
	ErrShutdown = errors.New("punctual: scheduler is stopping")
)

// Errors that stores answer with.
var (
	// ErrStoreSchema reports a durable store whose schema this version of the library must not touch: newer than it
	// knows, or not one of ours. The store is left as it was found.
	ErrStoreSchema = errors.New("punctual: store schema not usable")
	// ErrUnavailable reports a store that cannot be reached for the moment; the call may be tried again.
	ErrUnavailable = errors.New("punctual: store unavailable")
)

// FieldError says what is wrong with one field of a Task.
type FieldError struct {
	Field  string // name of the Task's field, for example "Schedule" or "Retry.Initial"
	Reason string // what is wrong and what is allowed
}

// TaskError lists everything that is wrong with a definition. It wraps ErrInvalidTask.
type TaskError struct {
	TaskID string
	Fields []FieldError
}

func (e *TaskError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %q", ErrInvalidTask, clip(e.TaskID, 64))
	for i, f := range e.Fields {
		if i == 0 {
			b.WriteString(": ")
		} else {
			b.WriteString("; ")
		}
		b.WriteString(f.Field)
		b.WriteString(": ")
		b.WriteString(f.Reason)
	}
	return b.String()
}

// Unwrap makes errors.Is(err, ErrInvalidTask) true.
func (e *TaskError) Unwrap() error { return ErrInvalidTask }

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent marks an executor's error as final: the run fails at once, whatever its Retry policy says.
// Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// IsPermanent reports whether err, or an error that it wraps, was marked by Permanent.
func IsPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

type skipError struct{ reason string }

func (e *skipError) Error() string { return "skipped: " + e.reason }

// Skip is an executor's word that it did no work and that the run is to end as skipped, with the reason in a word or two: a budget is used
// up, there is nothing to do. No retry follows. The reason becomes Run.Reason, cut to 64 bytes; an empty one reads "executor".
func Skip(reason string) error {
	if reason == "" {
		reason = "executor"
	}
	return &skipError{strings.ToValidUTF8(clip(reason, 64), "\uFFFD")}
}

// SkipOf returns the reason of an error that is or wraps one made by Skip.
func SkipOf(err error) (string, bool) {
	var s *skipError
	if errors.As(err, &s) {
		return s.reason, true
	}
	return "", false
}

type retryAfterError struct {
	err  error
	wait time.Duration
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }

// RetryAfter marks an executor's error with the time to wait before the next attempt, for example what a Retry-After
// header said. It replaces the backoff of the Retry policy but not its number of attempts. A negative wait counts as
// zero. RetryAfter(nil, d) is nil.
func RetryAfter(err error, wait time.Duration) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{err, max(wait, 0)}
}

// RetryAfterOf returns the wait that RetryAfter put on err or on an error that it wraps.
func RetryAfterOf(err error) (time.Duration, bool) {
	var r *retryAfterError
	if errors.As(err, &r) {
		return r.wait, true
	}
	return 0, false
}
