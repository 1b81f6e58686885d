package river

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/outbound"
)

// ErrInvalidJob is wrapped by errors about a payload that is no valid Job.
var ErrInvalidJob = errors.New("river: invalid job")

// ArgRunID is the argument of a job that holds the id of its run. A worker may ignore it, as encoding/json does.
const ArgRunID = "punctual_run_id"

// Job is a task's payload: what each run inserts. Zero values leave a field to the defaults of River's client.
type Job struct {
	// Kind is River's kind of job, which says which worker it is for. Required.
	Kind string `json:"kind"`
	// Args are the job's arguments, a JSON object without a member ArgRunID. Default an empty one.
	Args json.RawMessage `json:"args,omitempty"`
	// Queue is the name of the queue.
	Queue string `json:"queue,omitempty"`
	// Priority is River's, from 1, the highest, to 4.
	Priority int `json:"priority,omitempty"`
	// MaxAttempts is how often River tries before it gives the job up.
	MaxAttempts int `json:"max_attempts,omitempty"`
	// Tags are River's.
	Tags []string `json:"tags,omitempty"`
	// Wait lets the run end with the job and not with its insertion. It holds one of the Scheduler's slots until then.
	Wait bool `json:"wait,omitempty"`
}

// NewPayload returns a valid job as a payload. Its errors wrap ErrInvalidJob.
func NewPayload(j Job) (json.RawMessage, error) { return outbound.Encode(j, ErrInvalidJob) }

// Validate says what is wrong with a job. What only River knows, such as the form of names and whether a worker has this kind, it says when the job is
// inserted. Errors wrap ErrInvalidJob.
func (j Job) Validate() error {
	var members map[string]json.RawMessage
	var bad error
	if len(j.Args) > 0 {
		bad = json.Unmarshal(j.Args, &members)
	}
	_, reserved := members[ArgRunID]
	switch {
	case j.Kind == "":
		return fmt.Errorf("%w: kind is required", ErrInvalidJob)
	case bad != nil:
		return fmt.Errorf("%w: args must be a JSON object", ErrInvalidJob)
	case reserved:
		return fmt.Errorf("%w: args must not have a member %s, which is set by the executor", ErrInvalidJob, ArgRunID)
	case j.Priority < 0 || j.Priority > 4:
		return fmt.Errorf("%w: priority must be from 1 to 4", ErrInvalidJob)
	case j.MaxAttempts < 0:
		return fmt.Errorf("%w: max_attempts must not be negative", ErrInvalidJob)
	}
	return nil
}

// args are the arguments of the job of one run, as River wants them: it reads from the tag what makes a job unique.
type args struct {
	RunID string `json:"punctual_run_id" river:"unique"`
	job   *Job
}

// Kind implements river.JobArgs.
func (a args) Kind() string { return a.job.Kind }

// MarshalJSON writes the job's own arguments and the run's id.
func (a args) MarshalJSON() ([]byte, error) {
	id, err := json.Marshal(map[string]string{ArgRunID: a.RunID})
	if err != nil {
		return nil, err
	}
	own, closed := bytes.CutSuffix(bytes.TrimSpace(a.job.Args), []byte("}"))
	if own = bytes.TrimSpace(own); !closed || len(own) == 1 { // there are none
		return id, nil
	}
	return append(append(bytes.Clone(own), ','), id[1:]...), nil
}

// RunInfo says which run a job was inserted for.
type RunInfo struct {
	// RunID is the run's id, the same for all attempts.
	RunID string `json:"run_id"`
	// TaskID is the task's id.
	TaskID string `json:"task_id"`
	// Trigger is why the run exists, in the words of punctual.Trigger.
	Trigger string `json:"trigger"`
	// ScheduledAt is the instant that the run is for.
	ScheduledAt time.Time `json:"scheduled_at"`
}

// metadata is what the executor adds to a job's metadata.
type metadata struct {
	Punctual RunInfo `json:"punctual"`
}

// RunOf returns which run a job was inserted for; false for a job that this package did not insert. It is for workers, which want to know for which
// instant they work.
func RunOf(job *rivertype.JobRow) (RunInfo, bool) {
	var m metadata
	if json.Unmarshal(job.Metadata, &m) != nil || m.Punctual.RunID == "" {
		return RunInfo{}, false
	}
	return m.Punctual, true
}

// options are those of the job of one run.
func (j *Job) options(run *punctual.Run) (*river.InsertOpts, error) {
	about, err := json.Marshal(metadata{RunInfo{run.ID, run.TaskID, run.Trigger.String(), run.ScheduledAt.UTC()}})
	if err != nil {
		return nil, err
	}
	return &river.InsertOpts{
		Queue: j.Queue, Priority: j.Priority, MaxAttempts: j.MaxAttempts, Tags: j.Tags, Metadata: about, UniqueOpts: river.UniqueOpts{ByArgs: true},
	}, nil
}
