package memory

import (
	"encoding/json"
	"maps"
	"time"
	"unique"

	"github.com/punctual-go/punctual"
)

// task is a punctual.Record in a third of the space: times are numbers, what is rarely set lies behind a pointer, and the policies
// are shared between all tasks that have the same.
//
// A task that was removed without its history stays as a ghost, with exists false, for as long as rows point to it.
type task struct {
	id       string
	name     string
	schedule punctual.Schedule
	payload  string
	labels   map[string]string
	policies unique.Handle[policies]
	revision int64
	created  int64
	updated  int64

	anchor int64
	next   int64
	last   int64
	delay  time.Duration
	rare   *rare // nil while all of it is zero

	ledger   *ledger // nil while the task has no runs
	entry    entry   // its place among what is due
	paused   bool
	exists   bool
	deciding bool // a Claim has taken it out of the queues and puts it back when it is done
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

// rare is the state that most tasks never have.
type rare struct {
	skipping punctual.Skipping
	fault    string
}

func (t *task) kind() string { return t.policies.Value().kind }

func (t *task) fault() string {
	if t.rare == nil {
		return ""
	}
	return t.rare.fault
}

// define replaces the definition by a copy.
func (t *task) define(d *punctual.Task) {
	t.name, t.schedule, t.payload, t.labels, t.revision = d.Name, d.Schedule, string(d.Payload), maps.Clone(d.Labels), d.Revision
	t.policies = unique.Make(policies{
		kind: d.Kind, disabled: d.Disabled, onRegister: d.OnRegister, firstDelay: d.FirstDelay, overlap: d.Overlap,
		maxActive: d.MaxActive, maxQueued: d.MaxQueued, key: d.ConcurrencyKey, keyLimit: d.ConcurrencyLimit, priority: d.Priority, misfire: d.Misfire, misfireGrace: d.MisfireGrace,
		misfireLimit: d.MisfireLimit, retry: d.Retry, timeout: d.Timeout, lost: d.Lost,
	})
}

// enter replaces the state, which ends a fault.
func (t *task) enter(s *punctual.Status) {
	t.paused, t.delay = s.Paused, s.Delay
	t.anchor, t.next, t.last = s.Anchor.UnixMicro(), s.NextRunAt.UnixMicro(), s.LastOccurrence.UnixMicro()
	t.rare = nil
	if s.Skipping != (punctual.Skipping{}) {
		t.rare = &rare{skipping: s.Skipping}
	}
}

// setAside keeps why the task cannot be decided.
func (t *task) setAside(fault string) {
	if t.rare == nil {
		t.rare = &rare{}
	}
	t.rare.fault = fault
}

// definition returns a copy that shares nothing with the store.
func (t *task) definition() punctual.Task {
	p := t.policies.Value()
	return punctual.Task{
		ID: t.id, Name: t.name, Kind: p.kind, Schedule: t.schedule, Payload: t.payloadCopy(), Disabled: p.disabled,
		OnRegister: p.onRegister, FirstDelay: p.firstDelay, Overlap: p.overlap, MaxActive: p.maxActive,
		MaxQueued: p.maxQueued, ConcurrencyKey: p.key, ConcurrencyLimit: p.keyLimit, Priority: p.priority, Misfire: p.misfire, MisfireGrace: p.misfireGrace, MisfireLimit: p.misfireLimit,
		Retry: p.retry, Timeout: p.timeout, Lost: p.lost, Labels: maps.Clone(t.labels), Revision: t.revision,
	}
}

func (t *task) payloadCopy() json.RawMessage {
	if t.payload == "" {
		return nil
	}
	return json.RawMessage(t.payload)
}

// record returns the task as a decide function sees it.
func (t *task) record() *punctual.Record {
	r := &punctual.Record{
		Task: t.definition(),
		Status: punctual.Status{
			Paused: t.paused, Anchor: instant(t.anchor), NextRunAt: instant(t.next), LastOccurrence: instant(t.last), Delay: t.delay,
		},
		CreatedAt: instant(t.created), UpdatedAt: instant(t.updated),
	}
	if t.rare != nil {
		r.Status.Skipping, r.Fault = t.rare.skipping, t.rare.fault
	}
	return r
}

// snapshot returns the task as hosts see it.
func (t *task) snapshot() punctual.Snapshot {
	s := punctual.Snapshot{
		Task: t.definition(), NextRunAt: instant(t.next), Paused: t.paused, Fault: t.fault(), Revision: t.revision,
		CreatedAt: instant(t.created), UpdatedAt: instant(t.updated),
	}
	if l := t.ledger; l != nil {
		s.Active = len(l.running)
		if !l.rows.empty() {
			last := l.rows.last().copy()
			s.LastRun = &last
		}
	}
	return s
}

// matches reports whether a query selects the task.
func (t *task) matches(q *punctual.TaskQuery) bool {
	if q.Kind != "" && q.Kind != t.kind() {
		return false
	}
	for key, value := range q.Labels {
		if got, ok := t.labels[key]; !ok || got != value {
			return false
		}
	}
	return containsFold(t.id, q.Search) || containsFold(t.name, q.Search)
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
