package punctual

import (
	"context"
	"time"
)

// Store keeps tasks and their ledger. It is the only state that instances share.
//
// What should happen is decided by this package's pure functions; a Store carries it out. Its two writing methods, Claim and
// Edit, follow one pattern: lock tasks, show each to a decide function as a View, apply the Change that comes back. Nothing in
// a Store knows a policy.
//
// Rules for all methods:
//
//   - Safe for concurrent use by any number of goroutines and, for stores with a Leaser, of instances.
//   - Each call is one transaction: its effects become visible together or not at all, except where a method says that it is all
//     or nothing per task. A call that has returned without error is durable, as far as the store is durable at all.
//   - A cancelled context makes the call return soon with an error that wraps the context's; whether it took effect is then
//     unknown, and the engine asks (Leaser.Held) instead of guessing.
//   - A store that cannot be reached answers with an error that wraps ErrUnavailable. Conflicts between transactions
//     (deadlocks, serialisation failures, busy databases) are retried inside the store and do not surface.
//   - Now in a request is zero in production, and the store's own clock decides; it is set when a clock was injected, and then
//     the store uses it for everything in that call.
//   - Times are kept as UTC microseconds. Values handed in are copied, values handed out belong to the caller.
//   - The decide function may be called more than once for the same task (when a transaction is retried); only the last answer
//     counts. It does no I/O, and it must not be called while a lock is held that Execute or a query could need.
//
// The package store/storetest checks all of this for any Store.
type Store interface {
	// Edit shows one task to decide under its lock and applies the Change. A nil error means the change is committed.
	// An error from decide is returned as it is and nothing is changed. With RunID instead of TaskID the task of that run is
	// taken; ErrRunNotFound when there is no such run.
	Edit(ctx context.Context, req EditRequest) (EditReply, error)

	// Claim takes what is due: tasks whose NextRunAt is not after now, and pending runs whose DueAt is not after now, of the
	// kinds asked for, in due order: by due time less Priority times PriorityStep, and then id. Each such task is locked (a task
	// that somebody else holds locked is passed over), shown to decide once with all of its due runs, and the Change applied, all
	// or nothing per task. Live counts in the View are read after the lock was taken. It stops when Limit runs have been started
	// or nothing more is due; it may stop earlier after a fair batch, since NextDue says whether to come again. When a kind has
	// used up its own limit (KindLimits), whatever is of that kind is passed over, by NextDue too.
	//
	// A task that cannot be decoded, or whose decide function answers with an error, is set aside: its Fault is kept with the
	// task, it is not due again before it is edited, and the rest proceeds.
	//
	// With a Session that is not alive any more, Claim changes nothing and answers ErrLeaseLost.
	Claim(ctx context.Context, req ClaimRequest) (ClaimReply, error)

	// Finish records what became of attempts, all in one transaction, and answers one Verdict per item in the same order.
	//
	// An item applies when its run is running with that attempt number. Then the run goes to the item's State, and if that is
	// StatePending it may start again at RetryAt (at once when zero). A released attempt gives its number back, so
	// that a repeated release must not touch the next attempt of the same number: it is known by its StartedAt or by its entry in
	// History. The earlier attempt goes to History when the run stays live.
	//
	// Two things may turn an item into another end. A run that was ordered to be cancelled and would become pending ends as
	// canceled with the order's Reason instead. A run whose task is gone, removed with its history kept, and that would become
	// pending ends with ReasonRemoved: as skipped when it never began, else as failed. BlockedBy of an order stays only with a
	// run that ends as canceled.
	//
	// Whenever a run leaves StateRunning, here or in Reclaim, three things happen in the same transaction: the oldest run of the
	// task that waits for the overlap gate (pending without DueAt or WaitsForKey) becomes due; its concurrency key is passed on;
	// and if the run reached a final state, the task's Delay is set and its NextRunAt is not, NextRunAt becomes the end of the
	// run plus Delay.
	//
	// Passing on a concurrency key means: of the runs that wait for it (pending with WaitsForKey), the oldest of each kind whose
	// task is not set aside becomes due and waits no more. It happens, too, when an Edit or a Claim ends a due pending run with
	// that key, makes it wait for the overlap gate, or removes it with its task. When several runs give a key up in one call it is
	// passed on as often, so that no place stays empty. Who finds the key taken waits again, so passing it on too often does no harm.
	Finish(ctx context.Context, req FinishRequest) (FinishReply, error)

	// Task returns one task, or ErrTaskNotFound.
	Task(ctx context.Context, id string) (Snapshot, error)
	// Tasks lists tasks by id, at most q.Limit, those after q.After.
	Tasks(ctx context.Context, q TaskQuery) ([]Snapshot, error)
	// Run returns one run without payload and labels, or ErrRunNotFound.
	Run(ctx context.Context, id string) (Run, error)
	// Runs lists runs, newest id first, at most q.Limit, those before q.Before.
	Runs(ctx context.Context, q RunQuery) ([]Run, error)

	// Trim removes final runs that ended before the given time or exceed the number to keep per task, oldest first, at most
	// req.Limit of them, and returns how many it removed. Live runs stay, and so does the row that a task adds further skips to
	// (Status.Skipping): what is added to a row that is gone would have no fact.
	Trim(ctx context.Context, req TrimRequest) (int, error)

	// Overdue lists the kinds of which something has been due for at least req.For, each with the time at which the first of it became
	// due, by kind. Due is what a Claim of all kinds would show to decide. It locks and changes nothing, and its cost grows with the
	// number of kinds, not with that of tasks and runs.
	Overdue(ctx context.Context, req OverdueRequest) ([]Overdue, error)
}

// Leaser is implemented by stores that several instances, or several lives of one instance, may share. Each Scheduler holds a
// session there, and the session is its right to all attempts that it has started: who stops renewing it loses them.
type Leaser interface {
	// Beat opens the session at its first call and renews it until now + Lease. A session that was marked dead stays dead:
	// Lost is true and nothing is renewed. A committed beat wins over a Reclaim that has not committed.
	Beat(ctx context.Context, req BeatRequest) (BeatReply, error)
	// Reclaim marks sessions dead whose lease has lapsed, req.Session excepted, and then takes up to Limit running runs away
	// from dead or unknown sessions: one that was ordered to be cancelled ends as canceled with the order's Reason, a run that is
	// AtMostOnce ends as lost, one that was lost MaxLost times before ends as failed with ReasonLostTooMany, one whose task is
	// gone as failed with ReasonRemoved, and all others become pending and due at once, with the attempt kept in History as
	// lost. The runs are returned as they are now. A dead session is remembered for at least an hour after its lease lapsed, so
	// that a beat that comes late learns that it is dead.
	Reclaim(ctx context.Context, req ReclaimRequest) (ReclaimReply, error)
	// Held returns the running runs that the store has on record for the session: what an instance compares with what it knows
	// after a commit whose answer was lost.
	Held(ctx context.Context, session string) ([]Run, error)
	// EndSession marks the session dead at once: its instance has stopped. An unknown session is no error.
	EndSession(ctx context.Context, session string) error
	// Instances lists the sessions that are not dead, by name and then id.
	Instances(ctx context.Context) ([]Instance, error)
}

// Watcher is implemented by stores that can tell one instance about another's edits. It is only a hint: correctness and
// liveness never depend on it, since a Scheduler looks at its store at least every 30 s, or what WithMaxSleep says.
type Watcher interface {
	// Watch calls notify soon after another instance may have made something due or ordered a cancel, until ctx is done. Hints
	// may be lost, repeated and false. It returns nil when ctx is done and an error when it cannot go on; the engine then
	// calls it again after a while. notify is quick and safe for concurrent use.
	Watch(ctx context.Context, notify func()) error
}

// Record is a task as a store keeps it: the host's definition and the engine's state.
type Record struct {
	Task      Task // with its current Revision
	Status    Status
	Fault     string // why the task was set aside; empty when it was not
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Status is the engine's state of a task. Stores keep it with the task; only NextRunAt and Delay mean something to them.
type Status struct {
	Paused bool
	// Anchor is the instant that an interval counts from.
	Anchor time.Time
	// NextRunAt is the next occurrence that is owed; zero when there is none. It makes the task due.
	NextRunAt time.Time
	// LastOccurrence is the newest occurrence that has a ledger fact. No fact is ever written again for it or an earlier one.
	LastOccurrence time.Time
	// Delay is the wait between the end of a run and the next occurrence for fixed-delay schedules, zero for all others and
	// while nothing is owed.
	Delay time.Duration
	// Skipping is the ledger row that consecutive skips for the same reason behind the same run are added to.
	Skipping Skipping
}

// Skipping names the open row of consecutive skips; the zero value means there is none.
type Skipping struct {
	RunID     string
	Reason    string
	BlockedBy string
	Count     int64
}

// View is what a decide function sees of one task, read under the task's lock.
type View struct {
	Now time.Time // the time that decides, in UTC microseconds without monotonic reading
	// Record is nil when there is no such task. It is not to be changed, and the store may use it for another task once the decide function
	// has returned.
	Record *Record
	// Pending are the task's pending runs, by DueAt and then id, after them those that wait for the gate, last those that wait for
	// their key: all of them in Edit, only those that are due in Claim. The decide function may change them.
	Pending []Run
	// Active counts the task's running runs; OldestActive is the smallest id among them.
	Active       int
	OldestActive string
	// Waiting counts the pending runs that wait for the overlap gate. Waiter is the newest of them whose place a newer run may take: it
	// has no attempt behind it and is neither catch-up nor backfill; nil when there is none.
	Waiting int
	Waiter  *Run
	// KeyWaiting counts the task's pending runs that wait for their concurrency key.
	KeyWaiting int
	// KeyActive counts the running runs of all tasks under one concurrency key, and KeyOldest is the smallest id among them: the
	// key of the task, or EditRequest.ConcurrencyKey. Zero without a key.
	KeyActive int
	KeyOldest string
	// Slots is how many runs this call may still start: in Claim the rest of Limit, or of the kind's own limit if that is
	// less; in Edit EditRequest.Slots.
	Slots int
	// Run is the run that an Edit by RunID named; nil otherwise.
	Run *Run
}

// Change is what a decide function wants done to one task. The zero Change does nothing. The engine uses its memory again once the call that
// asked has returned without error, so a store keeps copies.
type Change struct {
	// Task replaces the definition, or creates the task (Edit only). Its Revision is already the new one.
	Task *Task
	// Status replaces the state; always set when Task is. It clears Fault.
	Status *Status
	// Remove deletes the task: with its whole history, live runs included, unless KeepHistory (Edit only). With KeepHistory, Insert
	// and Update apply.
	Remove      bool
	KeepHistory bool
	// Insert adds ledger rows in any state; a running one was started for the requesting session. A row for an occurrence
	// (triggers schedule and catch-up) whose (task, ScheduledAt) is taken by one is dropped with its start; so is a second
	// backfill of one occurrence.
	Insert []Run
	// Update changes ledger rows of this task by id: pending runs of the View that start, wait or end, and the open row of
	// skips, in this order and before Insert. Only State, DueAt, Attempt, StartedAt, FinishedAt, Error, Reason, BlockedBy,
	// Instance, Session, Until, Count, ConcurrencyKey and WaitsForKey are written. A row that is gone, running, or final and not
	// skipped is passed over.
	Update []Run
	// Cancel orders the attempts of running runs of this task to be cancelled, after Update and Insert: it sets CancelRequested,
	// Reason and BlockedBy, and Beat tells the instance. A run that has an order keeps it.
	Cancel []CancelOrder
	// Deferred says that something of this task could not start for want of slots and remains due.
	Deferred bool
}

// Starts counts the runs that the change starts.
func (c *Change) Starts() int {
	n := 0
	for i := range c.Insert {
		if c.Insert[i].State == StateRunning {
			n++
		}
	}
	for i := range c.Update {
		if c.Update[i].State == StateRunning {
			n++
		}
	}
	return n
}

// CancelOrder is the order to cancel the attempt of one running run.
type CancelOrder struct {
	RunID     string
	Reason    string // ReasonCanceled or ReasonReplaced
	BlockedBy string // the run that takes its place
}

// DecideFunc looks at one task and says what to do with it. It is pure but for the ids that it gives to new runs.
type DecideFunc func(View) (Change, error)

// EditRequest asks for one change of one task.
type EditRequest struct {
	TaskID  string
	RunID   string // instead of TaskID
	Now     time.Time
	Session string // owner of runs that the change starts
	Slots   int    // how many runs the change may start
	// ConcurrencyKey is the key that View.KeyActive is about; empty means that of the task as it is stored.
	ConcurrencyKey string
	Decide         DecideFunc
}

// EditReply is the answer to Edit.
type EditReply struct {
	Now     time.Time
	Dropped []string // ids of Insert rows whose occurrence was taken
}

// ClaimRequest asks for what is due.
type ClaimRequest struct {
	Now     time.Time
	Session string   // owner of the started runs; empty for stores that are no Leaser
	Limit   int      // how many runs may be started, at least 1
	Kinds   []string // kinds that this instance handles; nil means all, empty none
	// KindLimits bounds how many runs of some kinds may be started, zero for none; other kinds are bounded by Limit alone.
	KindLimits map[string]int
	// Started is an empty slice whose room a store may use for ClaimReply.Started.
	Started []Run
	Decide  DecideFunc
}

// ClaimReply is the answer to Claim.
type ClaimReply struct {
	// Started are the runs that now run under the request's session, in due order, with the task's payload and labels.
	Started []Run
	// Now is the time that decided. The engine sleeps NextDue - Now, so its own clock may be wrong.
	Now time.Time
	// NextDue is when the next item of these kinds is due, those that have used up their limit excepted; not after Now when more
	// is due already; zero when nothing is.
	NextDue time.Time
	// Decided counts the tasks that were shown to decide and changed.
	Decided int
	// SetAside lists the tasks that this call set aside.
	SetAside []Fault
}

// Fault names a task that was set aside and why.
type Fault struct {
	TaskID string
	Err    error
}

// FinishRequest hands in the outcomes of attempts.
type FinishRequest struct {
	Now     time.Time
	Session string
	Items   []Finish
}

// Finish is the outcome of one attempt.
type Finish struct {
	RunID      string
	TaskID     string
	Attempt    int
	State      State // final, or StatePending for another attempt
	Released   bool  // with StatePending: host code did not begin, so the attempt number is given back
	StartedAt  time.Time
	FinishedAt time.Time
	RetryAt    time.Time // with StatePending: when the run may start again
	Result     Result
	Error      string
	Stack      string
	Reason     string
}

// Verdict is what a store did with one Finish.
type Verdict uint8

// The verdicts.
const (
	VerdictApplied   Verdict = iota + 1 // the outcome is recorded
	VerdictAlready                      // this very outcome was recorded before: a repeat after a lost answer; nothing changed
	VerdictStale                        // the attempt was taken over; kept as a note in History, overwrites nothing
	VerdictGone                         // there is no such run any more
	VerdictRetryable                    // not recorded this time; hand it in again
)

var verdictNames = [...]string{"", "applied", "already", "stale", "gone", "retryable"}

// String returns the verdict's name.
func (v Verdict) String() string { return enumName("verdict", verdictNames[:], int(v)) }

// FinishReply is the answer to Finish.
type FinishReply struct {
	Verdicts []Verdict
	Now      time.Time
	// NextDue is the earliest time at which something that this call made pending, or a delay that it began, is due; zero when
	// nothing is.
	NextDue time.Time
}

// BeatRequest renews a session.
type BeatRequest struct {
	Now      time.Time
	Session  string
	Instance string
	Version  string
	Lease    time.Duration
	InFlight int
	// Kinds are those that the instance claims; nil means all, empty none, as while it drains.
	Kinds []string
	// Clock is the instance's own time, from which the store derives the clock offset that operators see.
	Clock time.Time
}

// BeatReply is the answer to Beat.
type BeatReply struct {
	Now    time.Time
	Lost   bool          // the session is dead; open another
	Cancel []CancelOrder // for running runs of this session, by run id
}

// ReclaimRequest asks for the runs of dead sessions.
type ReclaimRequest struct {
	Now     time.Time
	Session string // the caller's own, never reclaimed
	Limit   int
}

// ReclaimReply is the answer to Reclaim.
type ReclaimReply struct {
	Runs []Run
	More bool // the limit was reached
}

// Instance is one live session, as operators see it.
type Instance struct {
	Session     string        `json:"session"`
	Name        string        `json:"name"`
	Version     string        `json:"version"`
	StartedAt   time.Time     `json:"started_at"`
	LastSeenAt  time.Time     `json:"last_seen_at"`
	ExpiresAt   time.Time     `json:"expires_at"`
	ClockOffset time.Duration `json:"clock_offset"` // the instance's clock minus the store's
	InFlight    int           `json:"in_flight"`
	// Kinds are those that the instance claims, in the order of the last beat; nil means all of them, or that it is of a version that
	// does not tell. An instance that drains claims none.
	Kinds []string `json:"kinds"`
}

// TrimRequest bounds the ledger.
type TrimRequest struct {
	Before time.Time // remove final runs that ended before; zero for no bound by age
	Keep   int       // final runs to keep per task; zero for no bound by number
	Limit  int       // at most so many in one call
}

// OverdueRequest asks what has been due for long.
type OverdueRequest struct {
	Now time.Time
	For time.Duration // zero for all that is due
}

// Overdue is a kind of which something is due and has not started.
type Overdue struct {
	Kind  string    `json:"kind"`
	Since time.Time `json:"since"` // when the first of it became due
}

// Snapshot is a task as it stands: the definition, and what the engine knows about it.
type Snapshot struct {
	// Task is the definition; its Revision is the current one.
	Task Task
	// NextRunAt is the next occurrence; zero when none is owed (disabled, paused, used up, or a fixed delay whose run is still
	// busy).
	NextRunAt time.Time
	// Anchor is the instant that the schedule counts from: that of the registration, or of its delayed first run.
	Anchor time.Time
	// LastRun is the run created last; nil when the ledger has none.
	LastRun *Run
	// Active counts the running runs.
	Active int
	// Paused is set between Pause and Resume.
	Paused bool
	// Fault says why the task was set aside; empty when all is well.
	Fault string
	// Revision grows by one with each change of the definition.
	Revision  int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Bounds of the queries.
const (
	DefaultLimit = 100  // what a zero Limit in a query means
	MaxLimit     = 1000 // larger limits are cut to this
)

// TaskQuery selects tasks. The zero value lists the first DefaultLimit of all.
type TaskQuery struct {
	Labels map[string]string // tasks that have all of these
	Kind   string            // empty for all kinds
	Search string            // part of the id or name; ASCII letters match in either case
	Limit  int               // zero means DefaultLimit
	After  string            // id of the last task of the page before
}

// RunQuery selects runs, newest first. The zero value lists the newest DefaultLimit of all.
type RunQuery struct {
	TaskID string
	States []State   // empty for all
	Since  time.Time // runs scheduled at or after; zero for no bound
	Until  time.Time // runs scheduled before; zero for no bound
	Limit  int       // zero means DefaultLimit
	Before string    // id of the last run of the page before
}
