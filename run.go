package punctual

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// State is where a run stands. The zero value is no state.
type State uint8

// The states of a run. Pending and Running are live, all others are final.
const (
	StatePending   State = iota + 1 // waits: for its time, for a free slot, for the overlap gate or for its next attempt
	StateRunning                    // an attempt is being executed
	StateSucceeded                  // the executor returned without error
	StateFailed                     // the last attempt returned an error or panicked
	StateCanceled                   // ended by Cancel, by the Shutdown deadline or by the end of the Start context
	StateSkipped                    // did no work; Reason says why and BlockedBy names the run in the way
	StateMissed                     // one row for a range of occurrences that were found too late
	StateLost                       // its instance died or was cut off and the task asked not to run it again
)

var stateNames = [...]string{"", "pending", "running", "succeeded", "failed", "canceled", "skipped", "missed", "lost"}

// String returns the state's name as it appears in logs, stores and JSON.
func (s State) String() string { return enumName("state", stateNames[:], int(s)) }

// MarshalText writes the state's name.
func (s State) MarshalText() ([]byte, error) { return enumText("state", stateNames[:], int(s)) }

// UnmarshalText reads a state's name.
func (s *State) UnmarshalText(b []byte) error { return parseEnum("state", stateNames[:], b, s) }

// Final reports whether a run in this state can no longer change.
func (s State) Final() bool { return s > StateRunning && int(s) < len(stateNames) }

// transitions lists what may follow each state. A run starts its life in any state.
//
// Running to pending is a retry, a release or a reclaimed attempt; pending to failed and canceled happen to runs that wait
// for another attempt when their definition is replaced or they are cancelled.
var transitions = map[State][]State{
	StatePending: {StateRunning, StateSkipped, StateCanceled, StateFailed, StateLost},
	StateRunning: {StatePending, StateSucceeded, StateFailed, StateCanceled, StateSkipped, StateLost},
}

// CanBecome reports whether a run may go from state s to state next in one step.
func (s State) CanBecome(next State) bool {
	for _, t := range transitions[s] {
		if t == next {
			return true
		}
	}
	return false
}

// Trigger says why a run exists. The zero value is no trigger.
type Trigger uint8

// The triggers.
const (
	TriggerSchedule Trigger = iota + 1 // an occurrence of the schedule, on time
	TriggerRegister                    // the immediate run of a registration
	TriggerManual                      // RunNow
	TriggerCatchUp                     // an occurrence that was found later than its grace
	TriggerBackfill                    // an occurrence of a past range that somebody asked for
)

var triggerNames = [...]string{"", "schedule", "register", "manual", "catch-up", "backfill"}

// String returns the trigger's name as it appears in logs, stores and JSON.
func (t Trigger) String() string { return enumName("trigger", triggerNames[:], int(t)) }

// MarshalText writes the trigger's name.
func (t Trigger) MarshalText() ([]byte, error) { return enumText("trigger", triggerNames[:], int(t)) }

// UnmarshalText reads a trigger's name.
func (t *Trigger) UnmarshalText(b []byte) error { return parseEnum("trigger", triggerNames[:], b, t) }

// Result is what an executor hands back.
type Result struct {
	// Output is text for people. The Scheduler keeps up to its output limit (64 KiB unless WithOutputLimit says
	// otherwise) of valid UTF-8 and marks what it cut.
	Output string `json:"output,omitempty"`
	// Facts are structured data beside the output, such as token usage or a remote id, as one JSON value of at most
	// 64 KiB. Facts that are not JSON or too large are dropped, and the output says so.
	Facts json.RawMessage `json:"facts,omitempty"`
}

// Attempt is what became of one earlier try of a run, or of a result that arrived too late.
type Attempt struct {
	Number     int       `json:"number"`
	Instance   string    `json:"instance,omitempty"`
	StartedAt  time.Time `json:"started_at,omitzero"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
	// Outcome is "failed" (it will be or was tried again), "lost" (its instance died or was cut off), "released" (handed
	// back before host code began; the number is given out again) or "stale" (its result came after the attempt was taken
	// over and changed nothing).
	Outcome string `json:"outcome"`
	Error   string `json:"error,omitempty"`
}

// Run is one entry of the ledger: what became of an occurrence, of a registration or of a manual request.
type Run struct {
	// ID never changes over the attempts of a run; executors use it as idempotency key. Ids sort by creation.
	ID       string `json:"id"`
	TaskID   string `json:"task_id"`
	TaskName string `json:"task_name"`
	Kind     string `json:"kind,omitempty"`
	// Payload is the task's payload when the attempt starts. It is set for executors and empty in answers from the ledger.
	Payload json.RawMessage `json:"payload,omitempty"`
	// Labels are the task's labels when the attempt starts. Like Payload they are set for executors only.
	Labels  map[string]string `json:"labels,omitempty"`
	Trigger Trigger           `json:"trigger"`
	// ScheduledAt is the nominal instant: the occurrence, the registration or the request. For a row that stands for several
	// occurrences it is the first of them.
	ScheduledAt time.Time `json:"scheduled_at"`
	// Until is the last occurrence of a row that stands for several (missed, or skipped for the same reason behind the same
	// run); zero for a single one.
	Until time.Time `json:"until,omitzero"`
	// Count is how many occurrences the row stands for; 1 for all but ranges.
	Count int64 `json:"count"`
	// Attempt is the number of the current or last try and the fencing token: 0 before the first, then 1, 2, ...
	Attempt int   `json:"attempt"`
	State   State `json:"state"`
	// DueAt is when a pending run may start; zero while it waits for the overlap gate of its task, and for runs that are not
	// pending.
	DueAt time.Time `json:"due_at,omitzero"`
	// ConcurrencyKey is the task's, as it was when the run was last looked at.
	ConcurrencyKey string `json:"concurrency_key,omitempty"`
	// WaitsForKey says that a pending run without DueAt waits for its concurrency key rather than for the overlap gate.
	WaitsForKey bool `json:"waits_for_key,omitempty"`
	// StartedAt is when the current or last attempt began.
	StartedAt time.Time `json:"started_at,omitzero"`
	// FinishedAt is when the run reached its final state.
	FinishedAt time.Time `json:"finished_at,omitzero"`
	Result     Result    `json:"result,omitzero"`
	// Error is the text of the last attempt's error.
	Error string `json:"error,omitempty"`
	// Stack is the goroutine's stack when the executor panicked.
	Stack string `json:"stack,omitempty"`
	// Reason says in a word why a run was skipped, missed, canceled or is about to be: see the Reason constants.
	Reason string `json:"reason,omitempty"`
	// BlockedBy is the id of the run that was in the way of a skipped one, or that replaced this one.
	BlockedBy string `json:"blocked_by,omitempty"`
	// Instance is the name of the scheduler instance that worked on the current or last attempt.
	Instance string `json:"instance,omitempty"`
	// Trace is the task's, as it was when the current attempt started. Executors and observers get it; the ledger does not keep it.
	Trace string `json:"-"`
	// Session is the lease under which the current attempt runs.
	Session string `json:"-"`
	// Revision is the task's revision that the run was created under.
	Revision int64 `json:"revision"`
	// AtMostOnce is the task's Lost policy as it was when the run was created: a lost attempt is not run again.
	AtMostOnce bool `json:"at_most_once,omitempty"`
	// CancelRequested is set between an order to cancel, which also sets Reason, and the end of the attempt.
	CancelRequested bool      `json:"cancel_requested,omitempty"`
	CreatedAt       time.Time `json:"created_at"`
	// History lists the earlier attempts, oldest first, at most the last 20.
	History []Attempt `json:"history,omitempty"`
}

// MaxHistory is how many entries of Run.History a store keeps; the oldest go first.
const MaxHistory = 20

// Reasons that the engine writes into Run.Reason.
const (
	ReasonOverlap     = "overlap"        // skipped: the task had MaxActive runs; BlockedBy is the oldest of them
	ReasonQueueFull   = "queue full"     // skipped: Overlap is Queue and MaxQueued runs waited already
	ReasonSuperseded  = "superseded"     // a newer registration replaced the definition before the run began
	ReasonPaused      = "paused"         // the task was paused before the run began
	ReasonDisabled    = "disabled"       // the task was disabled before the run began
	ReasonRemoved     = "removed"        // the task was removed, keeping its history, before the run began
	ReasonMisfire     = "misfire"        // missed: found later than its grace and not caught up by the Misfire policy
	ReasonCanceled    = "canceled"       // somebody called Cancel
	ReasonShutdown    = "shutdown"       // canceled: the instance stopped before the run had ended
	ReasonLeaseLost   = "lease lost"     // lost: its instance died or was cut off
	ReasonReplaced    = "replaced"       // Overlap is Replace and a newer run, BlockedBy, took its place: canceled if it was active, skipped if it waited, failed between two attempts
	ReasonTimeout     = "timeout"        // failed: the last attempt ran longer than Task.Timeout
	ReasonPanic       = "panic"          // failed: the last attempt panicked
	ReasonLostTooMany = "lost too often" // failed: its attempts were lost more often than MaxLost
)

// MaxLost is how many lost attempts of one run are started again before it ends as failed: a run that takes down each process
// that works on it must not do so for ever.
const MaxLost = 10

// runKey is the key of a run's runContext in the context of its executor.
type runKey struct{}

// RunFromContext returns the run that the current goroutine's context belongs to. Executors get such a context, so code deep
// inside can use the run's id, for example as idempotency key. The answer is false outside a run
// and once its outcome is stored.
func RunFromContext(ctx context.Context) (Run, bool) {
	if c, ok := ctx.Value(runKey{}).(*runContext); ok {
		return c.run()
	}
	return Run{}, false
}

func enumName(what string, names []string, i int) string {
	if i <= 0 || i >= len(names) {
		return fmt.Sprintf("%s(%d)", what, i)
	}
	return names[i]
}

func enumText(what string, names []string, i int) ([]byte, error) {
	if i <= 0 || i >= len(names) {
		return nil, fmt.Errorf("punctual: unknown %s %d", what, i)
	}
	return []byte(names[i]), nil
}

func parseEnum[E ~uint8](what string, names []string, text []byte, into *E) error {
	for i := 1; i < len(names); i++ {
		if names[i] == string(text) {
			*into = E(i)
			return nil
		}
	}
	return fmt.Errorf("punctual: unknown %s %q", what, clip(string(text), 64))
}
