package river

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/outbound"
)

// DefaultPollInterval is the default of WithPollInterval.
const DefaultPollInterval = time.Second

const (
	// patience is how long an attempt that waits bears it that River's tables cannot be read, and that a job which is to end does not.
	patience = time.Minute
	// maxMessage is how much of a worker's error is kept.
	maxMessage = 300
)

// Client is what the executor needs of River. A *river.Client has it, with any driver.
type Client interface {
	// Insert inserts a job, or finds the one that is there already.
	Insert(ctx context.Context, args river.JobArgs, opts *river.InsertOpts) (*rivertype.JobInsertResult, error)
	// JobGet reads a job.
	JobGet(ctx context.Context, id int64) (*rivertype.JobRow, error)
	// JobCancel has a job cancelled: at once, or by its worker if one is at it.
	JobCancel(ctx context.Context, id int64) (*rivertype.JobRow, error)
}

// Executor inserts the Job in a task's payload. It is safe for concurrent use; make it with New.
type Executor struct {
	client Client
	clock  clock.Clock
	poll   time.Duration
}

var _ punctual.Executor = (*Executor)(nil)

// Option configures an Executor; see the With functions.
type Option func(*Executor)

// WithClock injects the clock for the waits between two looks at a job. Default the real one.
func WithClock(c clock.Clock) Option { return func(e *Executor) { e.clock = c } }

// WithPollInterval sets how often an attempt that waits looks at its job; at least a millisecond. Default a second.
func WithPollInterval(d time.Duration) Option {
	return func(e *Executor) { e.poll = max(d, time.Millisecond) }
}

// New returns an Executor that inserts with a client of the host, whose workers may be elsewhere.
func New(client Client, opts ...Option) *Executor {
	e := &Executor{client: client, poll: DefaultPollInterval}
	for _, opt := range opts {
		opt(e)
	}
	if e.clock == nil {
		e.clock = clock.New()
	}
	return e
}

// Facts are what Result.Facts holds as JSON.
type Facts struct {
	// JobID is River's id of the job.
	JobID int64 `json:"job_id"`
	// Kind is the kind of job.
	Kind string `json:"kind"`
	// Queue is where it was put.
	Queue string `json:"queue"`
	// State is River's state of the job when it was seen last.
	State string `json:"state"`
	// Attempts is how often River has tried by then.
	Attempts int `json:"attempts"`
	// Found says that an attempt before had inserted the job.
	Found bool `json:"found,omitempty"`
}

// JobError is a job that ended without success.
type JobError struct {
	JobID    int64
	State    rivertype.JobState // cancelled or discarded
	Attempts int                // how often River has tried
	Message  string             // the worker's last error as one line, cleaned of what looks like a secret; may be empty
}

func (e *JobError) Error() string {
	text := fmt.Sprintf("river: job %d was %s after %d attempts", e.JobID, e.State, e.Attempts)
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// Execute inserts the job of the run, unless an attempt before has done so, and waits for its end if the payload says so. The result's Output is
// what the worker has recorded as the job's output, and its Facts are Facts as JSON.
//
// A job that River gave up (discarded) fails the attempt with a *JobError, and a further attempt inserts a new one. An error is permanent
// (punctual.IsPermanent) when the payload is not valid (ErrInvalidJob), when no worker of the client has the job's kind, and when the job was cancelled or
// removed by somebody.
//
// When an attempt that waits reaches its Timeout, is canceled or replaced, its job is cancelled, and the attempt is in flight until the job has ended,
// for a minute at most. When the Scheduler stops or loses its lease the job goes on, and the next attempt waits for the same one.
func (e *Executor) Execute(ctx context.Context, run punctual.Run) (punctual.Result, error) {
	job, err := outbound.Decode[Job](run.Payload, ErrInvalidJob)
	if err != nil {
		return punctual.Result{}, punctual.Permanent(err)
	}
	options, err := job.options(&run)
	if err != nil {
		return punctual.Result{}, punctual.Permanent(err)
	}
	inserted, err := e.client.Insert(ctx, args{run.ID, &job}, options)
	if err != nil {
		err = fmt.Errorf("river: insert a job of kind %q: %w", job.Kind, err)
		if unknown := (*river.UnknownJobKindError)(nil); errors.As(err, &unknown) {
			err = punctual.Permanent(err)
		}
		return punctual.Result{}, err
	}
	row := inserted.Job
	if job.Wait {
		row, err = e.wait(ctx, row)
	}
	return result(row, inserted.UniqueSkippedAsDuplicate), err
}

// wait returns a job that has ended, or as it was seen last and an error.
func (e *Executor) wait(ctx context.Context, row *rivertype.JobRow) (*rivertype.JobRow, error) {
	seen := e.clock.Now()
	for !isFinal(row.State) {
		if !e.pause(ctx) {
			return e.stop(ctx, row)
		}
		now, err := e.client.JobGet(ctx, row.ID)
		switch {
		case err == nil:
			row, seen = now, e.clock.Now()
		case errors.Is(err, rivertype.ErrNotFound):
			return row, punctual.Permanent(fmt.Errorf("river: job %d: %w", row.ID, err))
		case ctx.Err() == nil && e.clock.Since(seen) >= patience:
			return row, fmt.Errorf("river: look at job %d: %w", row.ID, err)
		}
	}
	return row, verdict(row)
}

// stop ends an attempt whose context has ended, and its job with it unless somebody else will wait for that.
func (e *Executor) stop(ctx context.Context, row *rivertype.JobRow) (*rivertype.JobRow, error) {
	stopped := outbound.Stopped(ctx, fmt.Sprintf("river: job %d", row.ID))
	cause := context.Cause(ctx)
	if !errors.Is(cause, punctual.ErrTimeout) && !errors.Is(cause, punctual.ErrCanceled) && !errors.Is(cause, punctual.ErrReplaced) {
		return row, stopped
	}
	later, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	timer := e.clock.AfterFunc(patience, func() { end(context.DeadlineExceeded) })
	defer timer.Stop()
	asked := false
	for {
		var now *rivertype.JobRow
		var err error
		if asked {
			now, err = e.client.JobGet(later, row.ID)
		} else {
			now, err = e.client.JobCancel(later, row.ID)
			asked = err == nil
		}
		switch {
		case err == nil:
			row = now
		case errors.Is(err, rivertype.ErrNotFound):
			return row, stopped
		}
		if isFinal(row.State) {
			return row, stopped
		}
		if !e.pause(later) {
			return row, fmt.Errorf("%w; the job goes on", stopped)
		}
	}
}

// pause waits for the time of the next look; false when the context ended first.
func (e *Executor) pause(ctx context.Context) bool {
	timer := e.clock.Timer(e.poll)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func isFinal(state rivertype.JobState) bool {
	return state == rivertype.JobStateCompleted || state == rivertype.JobStateCancelled || state == rivertype.JobStateDiscarded
}

// verdict is what a job that has ended means for the attempt.
func verdict(row *rivertype.JobRow) error {
	if row.State == rivertype.JobStateCompleted {
		return nil
	}
	failed := &JobError{JobID: row.ID, State: row.State, Attempts: row.Attempt}
	if n := len(row.Errors); n > 0 {
		failed.Message = outbound.Clean(row.Errors[n-1].Error, maxMessage)
	}
	if row.State == rivertype.JobStateCancelled {
		return punctual.Permanent(failed)
	}
	return failed
}

// result is what the ledger keeps of a job.
func result(row *rivertype.JobRow, found bool) punctual.Result {
	facts, err := json.Marshal(Facts{row.ID, row.Kind, row.Queue, string(row.State), row.Attempt, found})
	if err != nil {
		facts = nil // numbers and strings: it does not happen
	}
	recorded := row.Output()
	var text string
	if json.Unmarshal(recorded, &text) != nil {
		text = string(recorded)
	}
	return punctual.Result{Output: text, Facts: facts}
}
