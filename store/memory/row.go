package memory

import (
	"slices"
	"strings"
	"time"

	"github.com/punctual-go/punctual"
)

// row is one entry of the ledger: a punctual.Run in a third of the space. Times are numbers, what the runs of a task have in common is
// shared, and what most runs never have lies behind a pointer. Whatever changes its state or its place among others takes it out of the
// indexes first: see Store.rewrite.
type row struct {
	id           string
	task         *task
	older, newer *row     // its neighbours in the task's ledger, by id
	traits       *traits  // shared
	instance     *string  // shared; nil for none
	owner        *session // the session that its run names; nil for none. While the run is running it is one of the store's
	extra        *extra   // nil while all of it is zero

	scheduled int64
	due       int64
	started   int64
	finished  int64
	created   int64

	attempt     int32
	place       int32 // its index in owner.runs while it is running
	state       punctual.State
	trigger     punctual.Trigger
	waitsForKey bool
}

// traits are what a run has from its task; all runs of one definition have the same, and so have those of many tasks.
type traits struct {
	named      bool // by its own name and not by the task's id, as most
	name       string
	kind       string
	key        string
	revision   int64
	atMostOnce bool
}

// extra is what most runs never have.
type extra struct {
	until           time.Time
	more            int64 // how many occurrences the row stands for besides the first
	result          punctual.Result
	err             string
	stack           string
	reason          string
	blockedBy       string
	cancelRequested bool
	history         []punctual.Attempt
}

func (x *extra) empty() bool {
	return x.until.IsZero() && x.more == 0 && x.result.Output == "" && x.result.Facts == nil && x.err == "" && x.stack == "" &&
		x.reason == "" && x.blockedBy == "" && !x.cancelRequested && len(x.history) == 0
}

// seldom returns what most runs never have; the answer is a copy.
func (r *row) seldom() extra {
	if r.extra == nil {
		return extra{}
	}
	return *r.extra
}

// setSeldom replaces it, and spends no memory when there is nothing to keep.
func (r *row) setSeldom(x extra) {
	switch {
	case x.empty():
		r.extra = nil
	case r.extra == nil:
		kept := x
		r.extra = &kept
	default:
		*r.extra = x
	}
}

func (r *row) cancelRequested() bool { return r.extra != nil && r.extra.cancelRequested }

func (r *row) running() bool { return r.state == punctual.StateRunning }

// session is the id of the session that the run names.
func (r *row) session() string {
	if r.owner == nil {
		return ""
	}
	return r.owner.info.Session
}

// dueAt is when a pending run may start; never when it waits for the gate.
func (r *row) dueAt() int64 {
	if r.due == noTime {
		return never
	}
	return r.due
}

// fill writes the run as it goes out: it shares nothing that can be changed, and has neither payload nor labels.
func (r *row) fill(run *punctual.Run) {
	*run = punctual.Run{
		ID: r.id, TaskID: r.task.id, TaskName: r.taskName(), Kind: r.traits.kind, Trigger: r.trigger, ScheduledAt: instant(r.scheduled),
		Count: 1, Attempt: int(r.attempt), State: r.state, DueAt: instant(r.due), ConcurrencyKey: r.traits.key, WaitsForKey: r.waitsForKey,
		StartedAt: instant(r.started), FinishedAt: instant(r.finished), Session: r.session(), Revision: r.traits.revision,
		AtMostOnce: r.traits.atMostOnce, CreatedAt: instant(r.created),
	}
	if r.instance != nil {
		run.Instance = *r.instance
	}
	if x := r.extra; x != nil {
		run.Until, run.Count = x.until, 1+x.more
		run.Result = punctual.Result{Output: x.result.Output, Facts: slices.Clone(x.result.Facts)}
		run.Error, run.Stack, run.Reason, run.BlockedBy = x.err, x.stack, x.reason, x.blockedBy
		run.CancelRequested, run.History = x.cancelRequested, slices.Clone(x.history)
	}
}

// copy returns the run as it goes out.
func (r *row) copy() (run punctual.Run) {
	r.fill(&run)
	return run
}

// newRow makes a row of a copy of the run, in no index yet.
func (s *Store) newRow(t *task, run *punctual.Run) *row {
	r := &row{
		id: run.ID, task: t, scheduled: run.ScheduledAt.UnixMicro(), created: run.CreatedAt.UnixMicro(), trigger: run.Trigger,
		traits: s.share(t.ledger, traitsOf(t, run)),
	}
	if run.Result.Output != "" || run.Result.Facts != nil || run.Stack != "" || run.CancelRequested {
		r.setSeldom(extra{
			result: punctual.Result{Output: run.Result.Output, Facts: slices.Clone(run.Result.Facts)}, stack: run.Stack,
			cancelRequested: run.CancelRequested,
		})
	}
	for _, a := range run.History {
		r.note(a)
	}
	s.overwrite(r, run)
	return r
}

func traitsOf(t *task, run *punctual.Run) traits {
	all := traits{kind: run.Kind, key: run.ConcurrencyKey, revision: run.Revision, atMostOnce: run.AtMostOnce}
	if run.TaskName != t.id {
		all.named, all.name = true, run.TaskName
	}
	return all
}

func (r *row) taskName() string {
	if r.traits.named {
		return r.traits.name
	}
	return r.task.id
}

// overwrite writes the fields that an update may change.
func (s *Store) overwrite(r *row, run *punctual.Run) {
	r.state, r.attempt, r.waitsForKey = run.State, int32(run.Attempt), run.WaitsForKey
	r.due, r.started, r.finished = run.DueAt.UnixMicro(), run.StartedAt.UnixMicro(), run.FinishedAt.UnixMicro()
	r.instance = s.shareInstance(run.Instance)
	r.owner = s.sessionNamed(run.Session)
	if r.traits.key != run.ConcurrencyKey {
		other := *r.traits
		other.key = run.ConcurrencyKey
		r.traits = s.share(r.task.ledger, other)
	}
	if r.extra == nil && run.Until.IsZero() && run.Count == 1 && run.Error == "" && run.Reason == "" && run.BlockedBy == "" {
		return
	}
	x := r.seldom()
	x.until, x.more = clean(run.Until), run.Count-1
	x.err, x.reason, x.blockedBy = run.Error, run.Reason, run.BlockedBy
	r.setSeldom(x)
}

// note appends to the history of attempts, which keeps the newest punctual.MaxHistory.
func (r *row) note(a punctual.Attempt) {
	a.StartedAt, a.FinishedAt = clean(a.StartedAt), clean(a.FinishedAt)
	x := r.seldom()
	x.history = append(x.history, a)
	if more := len(x.history) - punctual.MaxHistory; more > 0 {
		x.history = slices.Delete(x.history, 0, more)
	}
	r.setSeldom(x)
}

// shareInstance returns a pointer to the name, which the rows of one instance share.
func (s *Store) shareInstance(name string) *string {
	switch {
	case name == "":
		return nil
	case s.instance == nil || *s.instance != name:
		other := name
		s.instance = &other
	}
	return s.instance
}

func compareRows(a, b *row) int { return strings.Compare(a.id, b.id) }

// comparePending is due order: by due time and then id, those without one last, and of them those that wait for their key.
func comparePending(a, b *row) int {
	if x, y := a.waitsForKey, b.waitsForKey; x != y {
		if x {
			return 1
		}
		return -1
	}
	if x, y := a.dueAt(), b.dueAt(); x != y {
		if x < y {
			return -1
		}
		return 1
	}
	return compareRows(a, b)
}

func compareEnded(a, b *row) int {
	if a.finished != b.finished {
		if a.finished < b.finished {
			return -1
		}
		return 1
	}
	return compareRows(a, b)
}
