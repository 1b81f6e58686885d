package memory

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/punctual-go/punctual"
)

// row is one entry of the ledger: a punctual.Run in a quarter of the space. It has no pointers, so that the garbage collector does not look at
// the rows: times are numbers, all else that is not in the row is known by its number in a slab. Whatever changes its state or its place
// among others takes it out of the indexes first: see Store.rewrite.
type row struct {
	id          runID
	state       punctual.State
	trigger     punctual.Trigger
	waitsForKey bool

	attempt      int32
	self         ref // its own number
	task         ref
	older, newer ref   // its neighbours in the task's ledger, by id
	traits       ref   // shared
	extra        ref   // none while all of it is zero
	owner        ref   // while the run is running: its session
	place        int32 // while the run is running: its index in the runs of the session

	scheduled int64
	due       int64
	started   int64
	finished  int64
	created   int64
}

// runID is the id of a run, as far as there is room for it. Ids that the engine makes fit; of others the rest is in the row's extra.
type runID struct {
	text   [runIDRoom]byte
	length uint8 // more than runIDRoom when there is a rest
}

const runIDRoom = 26

// sought is an id that rows are compared with.
type sought struct {
	runID
	rest string
}

func seekID(id string) (s sought) {
	n := copy(s.text[:], id)
	s.length = uint8(n)
	if s.rest = id[n:]; s.rest != "" {
		s.length++
	}
	return s
}

// rest is what an id has more than there is room for in the row.
func (s *Store) rest(r *row) string {
	if r.id.length <= runIDRoom {
		return ""
	}
	return s.extras.at(r.extra).rest
}

// idOf returns the id of a row.
func (s *Store) idOf(r *row) string {
	if rest := s.rest(r); rest != "" {
		return string(r.id.text[:]) + rest
	}
	return string(r.id.text[:r.id.length])
}

// compare is the order of ids, as far as there is room for them. Where an id ends there are zeros, so that what is less as a text is less as a
// whole.
func (a *runID) compare(b *runID) int {
	if c := bytes.Compare(a.text[:], b.text[:]); c != 0 {
		return c
	}
	return cmp.Compare(a.length, b.length)
}

// compareTo is the order of a row's id and another.
func (s *Store) compareTo(r *row, id *sought) int {
	if c := r.id.compare(&id.runID); c != 0 {
		return c
	}
	return strings.Compare(s.rest(r), id.rest)
}

func (s *Store) compareRows(a, b *row) int {
	if c := a.id.compare(&b.id); c != 0 {
		return c
	}
	return strings.Compare(s.rest(a), s.rest(b))
}

// comparePending is due order: by due time and then id, those without one last, and of them those that wait for their key.
func (s *Store) comparePending(a, b *row) int {
	if x, y := a.waitsForKey, b.waitsForKey; x != y {
		if x {
			return 1
		}
		return -1
	}
	if c := cmp.Compare(a.dueAt(), b.dueAt()); c != 0 {
		return c
	}
	return s.compareRows(a, b)
}

// byID and byEnd are the orders of the lists of all rows.
func (s *Store) byID(a, b ref) int { return s.compareRows(s.rows.at(a), s.rows.at(b)) }

func (s *Store) byEnd(a, b ref) int {
	x, y := s.rows.at(a), s.rows.at(b)
	if c := cmp.Compare(x.finished, y.finished); c != 0 {
		return c
	}
	return s.compareRows(x, y)
}

// traits are what a run has in common with others: all runs of one definition have the same, and so have those of many tasks.
type traits struct {
	named      bool // by its own name and not by the task's id, as most
	name       string
	kind       string
	key        string
	instance   string
	revision   int64
	atMostOnce bool
}

func traitsOf(t *task, run *punctual.Run) traits {
	all := traits{kind: run.Kind, key: run.ConcurrencyKey, instance: run.Instance, revision: run.Revision, atMostOnce: run.AtMostOnce}
	if run.TaskName != t.id {
		all.named, all.name = true, run.TaskName
	}
	return all
}

func (s *Store) traitsOf(r *row) *traits { return s.traits.at(r.traits) }

func (s *Store) kindOf(n ref) string { return s.traitsOf(s.rows.at(n)).kind }

// setTraits replaces what the row has in common with others.
func (s *Store) setTraits(r *row, t traits) {
	before := r.traits
	likely := ref(0)
	if newest := s.taskOf(r).newest; newest != 0 {
		likely = s.rows.at(newest).traits
	}
	r.traits = s.traits.hold(&t, likely)
	if before != 0 {
		s.traits.release(before)
	}
}

// retrait writes those that change in the life of a run.
func (s *Store) retrait(r *row, key, instance string) {
	if t := s.traitsOf(r); t.key != key || t.instance != instance {
		other := *t
		other.key, other.instance = key, instance
		s.setTraits(r, other)
	}
}

// extra is what most runs never have.
type extra struct {
	rest            string // of the id
	until           int64  // noTime for none
	more            int64  // how many occurrences the row stands for besides the first
	result          punctual.Result
	err             string
	stack           string
	reason          string
	blockedBy       string
	session         string // that the run names while it is not running
	cancelRequested bool
	history         []punctual.Attempt
}

func (x *extra) empty() bool {
	return x.rest == "" && x.until == noTime && x.more == 0 && x.result.Output == "" && x.result.Facts == nil && x.err == "" && x.stack == "" &&
		x.reason == "" && x.blockedBy == "" && x.session == "" && !x.cancelRequested && len(x.history) == 0
}

// seldom returns what most runs never have; the answer is a copy.
func (s *Store) seldom(r *row) extra {
	if r.extra == 0 {
		return extra{until: noTime}
	}
	return *s.extras.at(r.extra)
}

// setSeldom replaces it, and spends no memory when there is nothing to keep.
func (s *Store) setSeldom(r *row, x extra) {
	switch {
	case x.empty():
		s.dropSeldom(r)
		return
	case r.extra == 0:
		r.extra = s.extras.take()
	}
	*s.extras.at(r.extra) = x
}

func (s *Store) dropSeldom(r *row) {
	if r.extra != 0 {
		s.extras.give(r.extra)
		r.extra = 0
	}
}

// order returns what a run has that is ordered to be cancelled; nil for any other.
func (s *Store) order(r *row) *extra {
	if r.extra == 0 {
		return nil
	}
	if x := s.extras.at(r.extra); x.cancelRequested {
		return x
	}
	return nil
}

func (r *row) running() bool { return r.state == punctual.StateRunning }

// dueAt is when a pending run may start; never when it waits for the gate.
func (r *row) dueAt() int64 {
	if r.due == noTime {
		return never
	}
	return r.due
}

func (s *Store) taskOf(r *row) *task { return s.tasks.at(r.task) }

// fill writes the run as it goes out, under its id: it shares nothing that can be changed, and has neither payload nor labels.
func (s *Store) fill(r *row, id string, run *punctual.Run) {
	t, traits := s.taskOf(r), s.traitsOf(r)
	*run = punctual.Run{
		ID: id, TaskID: t.id, TaskName: t.id, Kind: traits.kind, Trigger: r.trigger, ScheduledAt: instant(r.scheduled),
		Count: 1, Attempt: int(r.attempt), State: r.state, DueAt: instant(r.due), ConcurrencyKey: traits.key, WaitsForKey: r.waitsForKey,
		StartedAt: instant(r.started), FinishedAt: instant(r.finished), Instance: traits.instance, Revision: traits.revision,
		AtMostOnce: traits.atMostOnce, CreatedAt: instant(r.created),
	}
	if traits.named {
		run.TaskName = traits.name
	}
	if r.owner != 0 {
		run.Session = s.owners.at(r.owner).info.Session
	}
	if r.extra == 0 {
		return
	}
	x := s.extras.at(r.extra)
	run.Until, run.Count = instant(x.until), 1+x.more
	run.Result = punctual.Result{Output: x.result.Output, Facts: slices.Clone(x.result.Facts)}
	run.Error, run.Stack, run.Reason, run.BlockedBy = x.err, x.stack, x.reason, x.blockedBy
	run.CancelRequested, run.History = x.cancelRequested, slices.Clone(x.history)
	if r.owner == 0 {
		run.Session = x.session
	}
}

// copy returns the run as it goes out.
func (s *Store) copy(r *row) (run punctual.Run) {
	s.fill(r, s.idOf(r), &run)
	return run
}

// newRow makes a row of a copy of the run, in no index yet.
func (s *Store) newRow(t *task, id *sought, run *punctual.Run) *row {
	n := s.rows.take()
	r := s.rows.at(n)
	r.self, r.task, r.id = n, t.self, id.runID
	r.scheduled, r.created, r.trigger = run.ScheduledAt.UnixMicro(), run.CreatedAt.UnixMicro(), run.Trigger
	s.setTraits(r, traitsOf(t, run))
	if id.rest != "" || run.Result.Output != "" || run.Result.Facts != nil || run.Stack != "" || run.CancelRequested {
		s.setSeldom(r, extra{
			rest: id.rest, until: noTime, result: punctual.Result{Output: run.Result.Output, Facts: slices.Clone(run.Result.Facts)},
			stack: run.Stack, cancelRequested: run.CancelRequested,
		})
	}
	for _, a := range run.History {
		s.note(r, a)
	}
	s.overwrite(r, run)
	return r
}

// overwrite writes the fields that an update may change.
func (s *Store) overwrite(r *row, run *punctual.Run) {
	r.state, r.attempt, r.waitsForKey = run.State, int32(run.Attempt), run.WaitsForKey
	r.due, r.started, r.finished = run.DueAt.UnixMicro(), run.StartedAt.UnixMicro(), run.FinishedAt.UnixMicro()
	s.retrait(r, run.ConcurrencyKey, run.Instance)
	session := run.Session
	if r.running() {
		r.owner, session = s.sessionOf(session).self, ""
	}
	if r.extra == 0 && run.Until.IsZero() && run.Count == 1 && run.Error == "" && run.Reason == "" && run.BlockedBy == "" && session == "" {
		return
	}
	x := s.seldom(r)
	x.until, x.more, x.session = run.Until.UnixMicro(), run.Count-1, session
	x.err, x.reason, x.blockedBy = run.Error, run.Reason, run.BlockedBy
	s.setSeldom(r, x)
}

// note appends to the history of attempts, which keeps the newest punctual.MaxHistory.
func (s *Store) note(r *row, a punctual.Attempt) {
	a.StartedAt, a.FinishedAt = clean(a.StartedAt), clean(a.FinishedAt)
	x := s.seldom(r)
	x.history = append(x.history, a)
	if more := len(x.history) - punctual.MaxHistory; more > 0 {
		x.history = slices.Delete(x.history, 0, more)
	}
	s.setSeldom(r, x)
}
