package punctual

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Task is a named definition: a schedule, a payload and policies. The host writes it and the engine never changes it; what
// becomes of it is in Snapshot and in the ledger. Only ID and Schedule are required.
type Task struct {
	// ID names the task for ever; chosen by the host. 1 to 255 bytes of valid UTF-8 without control characters.
	ID string
	// Name is for people; empty means the ID. At most 255 bytes without control characters.
	Name string
	// Kind selects the handler in a Mux and the instances that may run the task. At most 255 bytes without control
	// characters; the empty kind is a kind like any other.
	Kind string
	// Schedule says when. Required.
	Schedule Schedule
	// Payload is handed to the executor as it is: one JSON value, or nothing. At most MaxPayload bytes.
	Payload json.RawMessage
	// Disabled tasks owe nothing: neither an immediate run nor occurrences. RunNow works.
	Disabled bool
	// OnRegister says whether a registration runs the task at once. The zero value does so for interval schedules.
	OnRegister RegisterPolicy
	// FirstDelay moves the immediate run, and with it the anchor of an interval, to that long after the registration.
	// Without an immediate run it moves the anchor only. Zero or more; zero means no delay.
	FirstDelay time.Duration
	// Overlap says what becomes of a run that is due while MaxActive runs of the task are active. The zero value skips it.
	Overlap Overlap
	// MaxActive is how many runs of the task may be active at a time over all instances. Zero means one; with OverlapAllow
	// zero means no limit.
	MaxActive int
	// ConcurrencyKey names something that several tasks share, such as an account or a device: over all tasks with the same key and
	// all instances, at most ConcurrencyLimit runs are active at a time, and further ones wait for their turn. A run that waits
	// counts as active for the overlap gate of its own task. Empty means no key; at most 255 bytes without control characters.
	ConcurrencyKey string
	// ConcurrencyLimit is how many runs with the ConcurrencyKey may be active when this task's run starts. Zero means one.
	ConcurrencyLimit int
	// Priority orders what is due at the same time when there are fewer free slots than runs: each step counts as if the run had
	// been due PriorityStep earlier. So a low priority waits but never starves. From -2 to 2; zero is normal.
	Priority int
	// MaxQueued is how many runs may wait under OverlapQueue. Zero means one, so that what piles up coalesces into one run.
	MaxQueued int
	// Misfire says what becomes of occurrences that are found later than MisfireGrace, after a downtime or a clock jump. The
	// zero value runs the latest once.
	Misfire Misfire
	// MisfireGrace is how late an occurrence may be found and still count as on time. Zero means DefaultMisfireGrace.
	MisfireGrace time.Duration
	// MisfireLimit is how many of the newest late occurrences MisfireRunAll runs. Zero means DefaultMisfireLimit.
	MisfireLimit int
	// Retry says whether and when a failed attempt is followed by another. The zero value never retries.
	Retry Retry
	// Timeout bounds one attempt through its context. Zero means no bound.
	Timeout time.Duration
	// Lost says what becomes of an attempt whose instance died or was cut off. The zero value runs it again.
	Lost Lost
	// Labels are for the host's own grouping and for queries. Keys and values of at most 255 bytes without control
	// characters, keys not empty, at most 64 of them.
	Labels map[string]string
	// Trace is where the registration comes from, as a W3C traceparent, so that observers can link runs with it. It is no part of
	// the definition: a task that differs in nothing else is the same to Ensure, and keeps the trace that it has. At most 255 bytes
	// without control characters; empty means none.
	Trace string
	// Revision makes Reschedule and Ensure compare-and-set: unless it is zero, the task must still have this revision, else
	// ErrConflict. Snapshot.Task carries the current one.
	Revision int64
}

// Bounds and defaults of definitions.
const (
	MaxPayload          = 1 << 20          // bytes of Task.Payload
	MinInterval         = time.Millisecond // shortest interval of a schedule
	DefaultMisfireGrace = time.Second
	DefaultMisfireLimit = 10

	// MinPriority and MaxPriority bound Task.Priority, and PriorityStep is what one step is worth.
	MinPriority  = -2
	MaxPriority  = 2
	PriorityStep = time.Minute

	maxName     = 255
	maxLabels   = 64
	maxSchedule = 4096
	maxDuration = 100 * 366 * 24 * time.Hour
)

// RegisterPolicy says whether a registration runs the task at once.
type RegisterPolicy uint8

// The register policies.
const (
	// RegisterDefault is the Scheduler's own policy (WithRegisterPolicy) for interval schedules and WaitForSchedule for all
	// others.
	RegisterDefault RegisterPolicy = iota
	// RunImmediatelyOnRegister commits an immediate run together with the definition. It is the Scheduler's default.
	RunImmediatelyOnRegister
	// WaitForSchedule waits for the first occurrence.
	WaitForSchedule
)

// Overlap says what becomes of a run that is due while the task has MaxActive active runs. Immediate, manual and scheduled
// runs all pass this gate; retries and catch-ups, once accepted, wait for it.
type Overlap uint8

// The overlap policies.
const (
	OverlapSkip    Overlap = iota // the run is skipped and the ledger names the run in the way
	OverlapQueue                  // up to MaxQueued runs wait, further ones are skipped
	OverlapAllow                  // runs side by side, up to MaxActive if that is set; beyond it they wait
	OverlapReplace                // the oldest active run is cancelled and the new one starts when it has ended; only the newest waits, and none replaces a newer one
)

// Misfire says what becomes of occurrences that are found later than their grace.
type Misfire uint8

// The misfire policies.
const (
	MisfireRunOnce Misfire = iota // one run for the latest, one missed row for the rest
	MisfireRunAll                 // the newest MisfireLimit run in order, one missed row for the rest
	MisfireSkip                   // one missed row for all
)

// Lost says what becomes of an attempt whose instance died or was cut off.
type Lost uint8

// The policies for lost attempts.
const (
	LostRunAgain Lost = iota // at least once: another attempt of the same run starts
	LostMark                 // at most once: the run ends as lost
)

var (
	registerNames = []string{"default", "immediately", "wait"}
	overlapNames  = []string{"skip", "queue", "allow", "replace"}
	misfireNames  = []string{"run once", "run all", "skip"}
	lostNames     = []string{"run again", "mark"}
)

// String returns the policy's name: "default", "immediately" or "wait".
func (p RegisterPolicy) String() string { return policyName("RegisterPolicy", registerNames, int(p)) }

// String returns the policy's name: "skip", "queue", "allow" or "replace".
func (p Overlap) String() string { return policyName("Overlap", overlapNames, int(p)) }

// String returns the policy's name: "run once", "run all" or "skip".
func (p Misfire) String() string { return policyName("Misfire", misfireNames, int(p)) }

// String returns the policy's name: "run again" or "mark".
func (p Lost) String() string { return policyName("Lost", lostNames, int(p)) }

// MarshalText writes the policy's name.
func (p RegisterPolicy) MarshalText() ([]byte, error) {
	return policyText("RegisterPolicy", registerNames, int(p))
}

// MarshalText writes the policy's name.
func (p Overlap) MarshalText() ([]byte, error) { return policyText("Overlap", overlapNames, int(p)) }

// MarshalText writes the policy's name.
func (p Misfire) MarshalText() ([]byte, error) { return policyText("Misfire", misfireNames, int(p)) }

// MarshalText writes the policy's name.
func (p Lost) MarshalText() ([]byte, error) { return policyText("Lost", lostNames, int(p)) }

// UnmarshalText reads a policy's name.
func (p *RegisterPolicy) UnmarshalText(b []byte) error {
	return parsePolicy("RegisterPolicy", registerNames, b, p)
}

// UnmarshalText reads a policy's name.
func (p *Overlap) UnmarshalText(b []byte) error { return parsePolicy("Overlap", overlapNames, b, p) }

// UnmarshalText reads a policy's name.
func (p *Misfire) UnmarshalText(b []byte) error { return parsePolicy("Misfire", misfireNames, b, p) }

// UnmarshalText reads a policy's name.
func (p *Lost) UnmarshalText(b []byte) error { return parsePolicy("Lost", lostNames, b, p) }

func policyName(what string, names []string, i int) string {
	if i >= len(names) {
		return fmt.Sprintf("%s(%d)", what, i)
	}
	return names[i]
}

func policyText(what string, names []string, i int) ([]byte, error) {
	if i >= len(names) {
		return nil, fmt.Errorf("punctual: unknown %s(%d)", what, i)
	}
	return []byte(names[i]), nil
}

func parsePolicy[E ~uint8](what string, names []string, text []byte, into *E) error {
	i := slices.Index(names, string(text))
	if i < 0 {
		return fmt.Errorf("punctual: unknown %s %q, have %s", what, clip(string(text), 64), strings.Join(names, ", "))
	}
	*into = E(i)
	return nil
}

// Retry says whether and when a failed attempt is followed by another. The wait before attempt n+1 is
// Initial * Multiplier^(n-1), at most Max, then moved by a deterministic share of up to Jitter in either direction.
type Retry struct {
	// MaxAttempts counts all attempts, the first included. Zero and one mean no retry.
	MaxAttempts int `json:"max_attempts,omitempty"`
	// Initial is the wait after the first failure. Zero means 5 s.
	Initial time.Duration `json:"initial,omitempty"`
	// Max caps the wait. Zero means 30 min.
	Max time.Duration `json:"max,omitempty"`
	// Multiplier is the growth from wait to wait, at least 1. Zero means 2.
	Multiplier float64 `json:"multiplier,omitempty"`
	// Jitter is the share by which waits are spread, from 0 (none) to 1. It is derived from the run's id, so every instance
	// and every replay agrees on it.
	Jitter float64 `json:"jitter,omitempty"`
}

// wait returns how long to wait after the given attempt (1, 2, ...) of a run failed.
func (r Retry) wait(runID string, attempt int) time.Duration {
	initial, limit, factor := r.Initial, r.Max, r.Multiplier
	if initial == 0 {
		initial = 5 * time.Second
	}
	if limit == 0 {
		limit = 30 * time.Minute
	}
	if factor == 0 {
		factor = 2
	}
	w := float64(initial) * math.Pow(factor, float64(attempt-1))
	w = min(w, float64(limit))
	if r.Jitter > 0 {
		w *= 1 + r.Jitter*(2*hashFraction(runID, uint64(attempt))-1)
	}
	return time.Duration(w)
}

// effective policies: what zero values mean.

func (t *Task) displayName() string {
	if t.Name == "" {
		return t.ID
	}
	return t.Name
}

// maxActive returns how many runs may be active at once; math.MaxInt when there is no limit.
func (t *Task) maxActive() int {
	switch {
	case t.MaxActive > 0:
		return t.MaxActive
	case t.Overlap == OverlapAllow:
		return math.MaxInt
	default:
		return 1
	}
}

// keyLimit returns how many runs with the task's key may be active at once.
func (t *Task) keyLimit() int { return max(t.ConcurrencyLimit, 1) }

func (t *Task) maxQueued() int { return max(t.MaxQueued, 1) }

func (t *Task) misfireGrace() time.Duration {
	if t.MisfireGrace == 0 {
		return DefaultMisfireGrace
	}
	return t.MisfireGrace
}

func (t *Task) misfireLimit() int {
	if t.MisfireLimit == 0 {
		return DefaultMisfireLimit
	}
	return t.MisfireLimit
}

// delay returns the wait from the end of a run to the next occurrence of a fixed-delay schedule, zero for all others.
func (t *Task) delay() time.Duration {
	switch s := t.Schedule.(type) {
	case IntervalSchedule: // by itself, since it is most common and known without a search for methods
		if s.mode == fixedDelay {
			return s.every
		}
	case Interval:
		if s.Delayed() {
			return s.Interval()
		}
	}
	return 0
}

// runsAtOnce reports whether a registration of t comes with an immediate run.
func (t *Task) runsAtOnce(byDefault RegisterPolicy) bool {
	switch t.OnRegister {
	case RunImmediatelyOnRegister:
		return true
	case WaitForSchedule:
		return false
	default:
		_, interval := t.Schedule.(Interval)
		return interval && byDefault != WaitForSchedule
	}
}

// unshare makes t share nothing mutable with what it was copied from.
func (t *Task) unshare() {
	t.Payload = slices.Clone(t.Payload)
	t.Labels = maps.Clone(t.Labels)
}

// sameDefinition reports whether two tasks would do the same: everything but the revision is compared.
func (t Task) sameDefinition(u Task) bool {
	if t.Schedule.String() != u.Schedule.String() || !sameJSON(t.Payload, u.Payload) || !maps.Equal(t.Labels, u.Labels) {
		return false
	}
	t.Schedule, u.Schedule = nil, nil
	t.Payload, u.Payload = nil, nil
	t.Labels, u.Labels = nil, nil
	return t.ID == u.ID && t.displayName() == u.displayName() && t.Kind == u.Kind && t.Disabled == u.Disabled &&
		t.OnRegister == u.OnRegister && t.FirstDelay == u.FirstDelay && t.Overlap == u.Overlap &&
		t.MaxActive == u.MaxActive && t.MaxQueued == u.MaxQueued && t.Misfire == u.Misfire &&
		t.MisfireGrace == u.MisfireGrace && t.MisfireLimit == u.MisfireLimit && t.Retry == u.Retry &&
		t.Timeout == u.Timeout && t.Lost == u.Lost && t.Priority == u.Priority &&
		t.ConcurrencyKey == u.ConcurrencyKey && t.ConcurrencyLimit == u.ConcurrencyLimit
}
