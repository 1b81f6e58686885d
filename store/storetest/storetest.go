// Package storetest checks that a punctual.Store keeps its contract. Whoever writes a store calls Run from its tests:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) punctual.Store { return mystore.New() })
//	}
//
// The cases drive the store directly, with decide functions written by hand and with explicit times, so none of them sleeps.
// They check every rule in the comments of punctual.Store, and of punctual.Leaser, punctual.Watcher and punctual.Preparer if the store
// has their methods: what each call does, what it refuses, what it leaves alone, and that it stays so while many goroutines call at once.
// A last group runs whole Schedulers over the store. A failure prints the rule that was broken.
package storetest

import (
	"runtime/debug"
	"slices"
	"testing"

	"github.com/punctual-go/punctual"
)

// Option adjusts Run; see the With functions.
type Option func(*settings)

type settings struct {
	reopen func(*testing.T, punctual.Store) punctual.Store
	peer   func(*testing.T, punctual.Store) punctual.Store
	rounds int
}

// WithReopen adds the cases for durable stores. The function closes the store, or ends it in a ruder way, and opens what it has
// kept.
func WithReopen(reopen func(t *testing.T, store punctual.Store) punctual.Store) Option {
	return func(s *settings) { s.reopen = reopen }
}

// WithPeer makes the cases with several instances use a second handle onto the same data, as another process would have it,
// instead of sharing one. The function registers its own cleanup with t.
func WithPeer(peer func(t *testing.T, store punctual.Store) punctual.Store) Option {
	return func(s *settings) { s.peer = peer }
}

// WithRounds sets how often each race is run. Default 500, and a tenth of it with -short; less than one counts as one.
func WithRounds(n int) Option {
	return func(s *settings) { s.rounds = max(n, 1) }
}

// Run checks a store. open returns an empty store; it is called once for each case and registers its own cleanup with t.
func Run(t *testing.T, open func(t *testing.T) punctual.Store, opts ...Option) {
	t.Helper()
	config := settings{rounds: 500}
	if testing.Short() {
		config.rounds = 50
	}
	for _, opt := range opts {
		opt(&config)
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.cases {
				t.Run(c.name, func(t *testing.T) {
					f := newFixture(t, open(t), config.rounds)
					if config.peer != nil {
						f.second = func() punctual.Store { return config.peer(t, f.store) }
					}
					if config.reopen != nil {
						f.reopen = func() punctual.Store { return config.reopen(t, f.store) }
					}
					if missing := f.lacks(c.needs); missing != "" {
						t.Skip(missing)
					}
					c.run(f)
				})
			}
		})
	}
}

// group is a part of the contract.
type group struct {
	name  string
	cases []testCase
}

var groups = []group{
	{"edit", editCases},
	{"claim", claimCases},
	{"finish", finishCases},
	{"gate", gateCases},
	{"query", queryCases},
	{"values", valueCases},
	{"trim", trimCases},
	{"context", contextCases},
	{"lease", leaseCases},
	{"watch", watchCases},
	{"prepare", prepareCases},
	{"race", slices.Concat(raceCases, readCases)},
	{"durable", durableCases},
	{"engines", engineCases},
	{"cluster", clusterCases},
}

// testCase is one rule of the contract. It is data, so that the suite can be run against broken stores as well.
type testCase struct {
	name    string
	promise string // the rule in one sentence, printed when it is broken
	needs   need
	check   func(f *fixture)
}

// need is what a case asks of a store beyond the methods of punctual.Store.
type need uint8

const (
	needLeaser need = 1 << iota
	needWatcher
	needReopen
	needPreparer
)

// run checks one rule, and names it if it was broken.
func (c *testCase) run(f *fixture) {
	defer func() {
		if p := recover(); p != nil {
			f.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		if f.Failed() {
			f.Errorf("broken promise: %s", c.promise)
		}
	}()
	f.begin()
	c.check(f)
}
