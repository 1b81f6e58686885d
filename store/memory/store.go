// Package memory is a store that keeps tasks and their ledger in the memory of one process: for tests, for tools that need no
// durability, and as the reference implementation of the store contract.
//
//	s, err := punctual.New(memory.New(), executor)
//
// Several Schedulers of one process may share a Store: it is a punctual.Leaser and a punctual.Watcher like the durable ones, and
// runs the same code path in the engine. Everything is gone when the process ends.
//
// The store is made for a million tasks: an idle task without payload takes about 200 bytes besides its id and its schedule,
// and no call but a search looks at all tasks. The ledger is bounded by number, see WithHistory.
package memory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/punctual-go/punctual"
)

var (
	_ punctual.Store   = (*Store)(nil)
	_ punctual.Leaser  = (*Store)(nil)
	_ punctual.Watcher = (*Store)(nil)
)

// DefaultHistory is how many final runs of each task a Store keeps unless WithHistory says otherwise.
const DefaultHistory = 1000

// Store is a punctual.Store, punctual.Leaser and punctual.Watcher in memory. Make it with New. It needs no closing: it has no
// goroutine and no timer.
//
// One mutex makes each call a transaction. Decide functions are called with it held: they are pure, so they neither wait nor call
// back, and a schedule kind made by the host must be as pure as the contract of punctual.Schedule says.
type Store struct {
	clock   clock.Clock
	history int

	mu       sync.Mutex // guards all below
	tasks    tasks
	sorted   list[ref] // the tasks that exist, by id
	agenda   agenda
	keys     map[string]*key
	policies shared[policies]
	rows     slab[row]
	extras   slab[extra] // of rows
	traits   shared[traits]
	schedule punctual.Schedule // the last interval that a task was given, see Store.sharing
	ledger   list[ref]         // all rows, by id
	ended    list[ref]         // rows in a final state, by their end and then id
	owners   slab[session]
	sessions map[string]*session
	named    *session            // the one that was asked for last; nil for none
	flying   flying              // running rows, to be found by id
	free     []string            // keys that the call under way has freed
	record   punctual.Record     // shown to the decide function under way
	shown    ref                 // the policies that stand in the record; none for none
	room     []started           // empty, for what the next claim starts
	alive    int                 // sessions that are open
	dead     map[string]struct{} // ids of all that are dead: however late an instance comes back, it has to learn of it

	watch watchers
}

// Option configures a Store; see the With functions.
type Option func(*Store)

// WithHistory sets how many final runs of each task are kept: when one more ends, the oldest is removed. Less than one counts
// as one; math.MaxInt keeps all that Scheduler's own retention keeps. Default DefaultHistory.
//
// A run takes about 120 bytes besides its texts, so a hundred thousand busy tasks want a smaller number.
func WithHistory(perTask int) Option {
	return func(s *Store) { s.history = max(perTask, 1) }
}

// WithClock sets the store's own clock, which decides for requests that carry no time. Default: the real clock. A Scheduler with an
// injected clock sends its time with each request, so tests seldom need this.
func WithClock(c clock.Clock) Option {
	return func(s *Store) { s.clock = c }
}

// New makes an empty Store.
func New(opts ...Option) *Store {
	s := &Store{
		clock: clock.New(), history: DefaultHistory,
		tasks: newTasks(), keys: make(map[string]*key),
		sessions: make(map[string]*session), dead: make(map[string]struct{}),
	}
	s.agenda = agenda{tasks: &s.tasks, lanes: make(map[lane]int32)}
	for _, opt := range opts {
		opt(s)
	}
	return s
}

// now is the time that decides a request.
func (s *Store) now(asked time.Time) time.Time {
	if asked.IsZero() {
		asked = s.clock.Now()
	}
	return clean(asked)
}

// gate is what every call passes first.
func gate(ctx context.Context, call string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memory: %s: %w", call, err)
	}
	return nil
}

// clean returns t as the store keeps times: UTC, whole microseconds, no monotonic reading; the zero time stays zero.
func clean(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return instant(t.UnixMicro())
}

// noTime is what UnixMicro answers for the zero time. No other time has this number, so a number is enough to keep a time.
const noTime = -62135596800_000000

func instant(micros int64) time.Time {
	if micros == noTime {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}
