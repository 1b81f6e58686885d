package memory

import (
	"bytes"
	"encoding/json"
	"maps"
	"time"

	"github.com/punctual-go/punctual"
)

// task is a punctual.Record in a quarter of the space: times are numbers, what is rarely set lies behind a pointer, and the policies
// are shared between all tasks that have the same. It fills two lines of a processor's cache, and what is looked at when it is sought or moved
// stands in the first.
//
// A task that was removed without its history stays as a ghost, with exists false, for as long as rows point to it.
type task struct {
	id       string
	self     ref // its own number
	policies ref // shared; none for a ghost, as its entry
	entry    ref // its place among what is due
	paused   bool
	exists   bool
	mixed    bool // pending runs may have another kind than the task, which was given a new one meanwhile
	deciding bool // a Claim decides about it and puts it in its place among what is due when it is done
	schedule punctual.Schedule
	own      *own // nil while all of it is zero
	next     int64

	ledger
	anchor   int64
	last     int64
	revision int64
	created  int64
	updated  int64
}

// policies are the fields of a definition that a million tasks mostly have in common.
type policies struct {
	kind         string
	disabled     bool
	onRegister   punctual.RegisterPolicy
	firstDelay   time.Duration
	overlap      punctual.Overlap
	maxActive    int
	maxQueued    int
	key          string
	keyLimit     int
	priority     int
	misfire      punctual.Misfire
	misfireGrace time.Duration
	misfireLimit int
	retry        punctual.Retry
	timeout      time.Duration
	lost         punctual.Lost
}

// own is what a task has for itself, if it has it at all: fields of its definition, and what is rarer.
type own struct {
	name    string
	payload json.RawMessage
	labels  map[string]string
	trace   string
	rare    *rare // nil while all of it is zero
}

// What tasks have that have nothing of the kind.
var (
	nothingOwn  own
	nothingRare rare
)

func (o *own) empty() bool {
	return o.name == "" && len(o.payload) == 0 && len(o.labels) == 0 && o.trace == "" && o.rare == nil
}

// rare is what most tasks never have.
type rare struct {
	delay    time.Duration
	skipping punctual.Skipping
	fault    string
}

// lane is where a task belongs among what is due.
func (p *policies) lane() lane { return lane{p.kind, p.priority} }

// policiesOf returns what a task has in common with others; a ghost has the zero value.
func (s *Store) policiesOf(t *task) *policies { return s.policies.at(t.policies) }

func (t *task) fault() string { return t.seldom().fault }

// owned returns what a task has for itself; it is not to be changed.
func (t *task) owned() *own {
	if t.own == nil {
		return &nothingOwn
	}
	return t.own
}

// setOwned replaces it by a copy, and spends no memory when there is nothing to keep.
func (t *task) setOwned(o *own) {
	switch {
	case o.empty():
		t.own = nil
	case t.own != nil:
		*t.own = *o
	default:
		kept := *o // only what is kept goes to the heap
		t.own = &kept
	}
}

// seldom returns what most tasks never have; it is not to be changed.
func (t *task) seldom() *rare {
	if t.own == nil || t.own.rare == nil {
		return &nothingRare
	}
	return t.own.rare
}

// setSeldom replaces it by a copy, and spends no memory when there is nothing to keep.
func (t *task) setSeldom(r *rare) {
	if t.own == nil && *r == (rare{}) {
		return
	}
	o := *t.owned()
	o.rare = nil
	if *r != (rare{}) {
		kept := *r // only what is kept goes to the heap
		o.rare = &kept
	}
	t.setOwned(&o)
}

// define replaces the definition of a task by a copy.
func (s *Store) define(t *task, d *punctual.Task) {
	t.schedule, t.revision = s.sharing(d.Schedule), d.Revision
	t.setOwned(&own{name: d.Name, payload: bytes.Clone(d.Payload), labels: maps.Clone(d.Labels), trace: d.Trace, rare: t.owned().rare})
	p := policies{
		kind: d.Kind, disabled: d.Disabled, onRegister: d.OnRegister, firstDelay: d.FirstDelay, overlap: d.Overlap,
		maxActive: d.MaxActive, maxQueued: d.MaxQueued, key: d.ConcurrencyKey, keyLimit: d.ConcurrencyLimit, priority: d.Priority, misfire: d.Misfire, misfireGrace: d.MisfireGrace,
		misfireLimit: d.MisfireLimit, retry: d.Retry, timeout: d.Timeout, lost: d.Lost,
	}
	before := t.policies
	if before != 0 && *s.policies.at(before) == p {
		return
	}
	t.policies = s.policies.hold(&p, 0)
	if before == 0 {
		t.entry = s.agenda.enter(t, p.lane())
		return
	}
	s.releasePolicies(before)
	s.agenda.move(t.entry, p.lane())
}

// sharing returns a schedule, or the one before if that is the same interval: tasks that are registered in a row mostly have the same, and
// a million copies of it would be a million places for the garbage collector to look at.
func (s *Store) sharing(schedule punctual.Schedule) punctual.Schedule {
	interval, ok := schedule.(punctual.IntervalSchedule)
	if !ok {
		return schedule
	}
	if last, _ := s.schedule.(punctual.IntervalSchedule); last != interval {
		s.schedule = schedule
	}
	return s.schedule
}

// enter replaces the state, which ends a fault.
func (t *task) enter(s *punctual.Status) {
	t.paused = s.Paused
	t.anchor, t.next, t.last = s.Anchor.UnixMicro(), s.NextRunAt.UnixMicro(), s.LastOccurrence.UnixMicro()
	t.setSeldom(&rare{delay: s.Delay, skipping: s.Skipping})
}

// setAside keeps why the task cannot be decided.
func (t *task) setAside(fault string) {
	r := *t.seldom()
	r.fault = fault
	t.setSeldom(&r)
}

// releasePolicies gives up what one task has in common with others, and which may become something else by that.
func (s *Store) releasePolicies(n ref) {
	s.policies.release(n)
	if s.shown == n {
		s.shown = 0
	}
}

// definition writes a copy that shares nothing with the store.
func (s *Store) definition(t *task, d *punctual.Task) {
	s.policiesOf(t).describe(d)
	t.describe(d)
}

// describe writes the fields of a definition that tasks have in common.
func (p *policies) describe(d *punctual.Task) {
	d.Kind, d.Disabled, d.OnRegister, d.FirstDelay = p.kind, p.disabled, p.onRegister, p.firstDelay
	d.Overlap, d.MaxActive, d.MaxQueued, d.ConcurrencyKey, d.ConcurrencyLimit = p.overlap, p.maxActive, p.maxQueued, p.key, p.keyLimit
	d.Priority, d.Misfire, d.MisfireGrace, d.MisfireLimit = p.priority, p.misfire, p.misfireGrace, p.misfireLimit
	d.Retry, d.Timeout, d.Lost = p.retry, p.timeout, p.lost
}

// describe writes the fields that a task has for itself.
func (t *task) describe(d *punctual.Task) {
	d.ID, d.Schedule, d.Revision = t.id, t.schedule, t.revision
	if o := t.own; o != nil {
		d.Name, d.Payload, d.Labels, d.Trace = o.name, bytes.Clone(o.payload), maps.Clone(o.labels), o.trace
	} else {
		d.Name, d.Payload, d.Labels, d.Trace = "", nil, nil, ""
	}
}

// recordOf returns the task as a decide function sees it, until the next one is shown. One has mostly the same policies as the one before.
func (s *Store) recordOf(t *task) *punctual.Record {
	r := &s.record
	if s.shown != t.policies {
		s.policiesOf(t).describe(&r.Task)
		s.shown = t.policies
	}
	t.describe(&r.Task)
	seldom := t.seldom()
	r.Status.Paused, r.Status.Anchor, r.Status.NextRunAt, r.Status.LastOccurrence = t.paused, instant(t.anchor), instant(t.next), instant(t.last)
	r.Status.Delay, r.Status.Skipping = seldom.delay, seldom.skipping
	r.Fault, r.CreatedAt, r.UpdatedAt = seldom.fault, instant(t.created), instant(t.updated)
	return r
}

// snapshot returns the task as hosts see it.
func (s *Store) snapshot(t *task) punctual.Snapshot {
	shown := punctual.Snapshot{
		NextRunAt: instant(t.next), Anchor: instant(t.anchor), Paused: t.paused, Fault: t.fault(), Revision: t.revision,
		CreatedAt: instant(t.created), UpdatedAt: instant(t.updated),
	}
	s.definition(t, &shown.Task)
	if t.newest != 0 {
		shown.Active = len(s.running(&t.ledger))
		last := s.copy(s.rows.at(t.newest))
		shown.LastRun = &last
	}
	return shown
}

// matches reports whether a query selects the task.
func (s *Store) matches(t *task, q *punctual.TaskQuery) bool {
	if q.Kind != "" && q.Kind != s.policiesOf(t).kind {
		return false
	}
	own := t.owned()
	for key, value := range q.Labels {
		if got, ok := own.labels[key]; !ok || got != value {
			return false
		}
	}
	return containsFold(t.id, q.Search) || containsFold(own.name, q.Search)
}

// containsFold reports whether part is in s, where ASCII letters match in either case.
func containsFold(s, part string) bool {
	if part == "" {
		return true
	}
	for ; len(s) >= len(part); s = s[1:] {
		if equalFold(s[:len(part)], part) {
			return true
		}
	}
	return false
}

func equalFold(a, b string) bool {
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
