package storetest

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a reporter that keeps what it is told.
type recorder struct {
	mu       sync.Mutex // guards complaints
	complain []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.complain = append(r.complain, fmt.Sprintf(format, args...))
}

func (r *recorder) FailNow() {
	if !r.Failed() {
		r.Errorf("failed without a word")
	}
	runtime.Goexit()
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.complain) > 0
}

// judge runs one case on a store and returns what it complains of.
func judge(c testCase, store punctual.Store) []string {
	var r recorder
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				r.Errorf("panic: %v", p)
			}
		}()
		f := newFixture(&r, store, 10)
		f.reopen = func() punctual.Store { return store }
		c.run(f)
	}()
	<-done
	return r.complain
}

// direct lists the cases that call the store themselves.
func direct() []testCase {
	var all []testCase
	for _, g := range groups {
		if g.name == "engines" || g.name == "cluster" || g.name == "prepare" {
			continue
		}
		for _, c := range g.cases {
			c.name = g.name + "/" + c.name
			all = append(all, c)
		}
	}
	return all
}

func TestAGoodStorePassesEachCase(t *testing.T) {
	for _, c := range direct() {
		for _, complaint := range judge(c, memory.New()) {
			t.Errorf("%s: %s", c.name, complaint)
		}
	}
}

// Each broken store fails a case, and each case fails for a broken store: a case that nothing breaks would prove nothing.
func TestBrokenStoresFail(t *testing.T) {
	defer func(d time.Duration) { patience = d }(patience)
	patience = 50 * time.Millisecond
	breakable := map[string][]string{}
	for _, m := range mutants {
		var caught []string
		for _, c := range direct() {
			if strings.HasPrefix(c.name, "race/") && slices.Contains(unguarded, m.name) {
				continue
			}
			store := &broken{Store: memory.New()}
			m.spoil(store)
			complaints := judge(c, store)
			if len(complaints) == 0 {
				continue
			}
			caught = append(caught, c.name)
			breakable[c.name] = append(breakable[c.name], m.name)
			if last := complaints[len(complaints)-1]; !strings.Contains(last, c.promise) {
				t.Errorf("%s fails on a store that %s without naming its promise: %q", c.name, m.name, last)
			}
		}
		if len(caught) == 0 {
			t.Errorf("no case fails on a store that %s", m.name)
		}
		t.Logf("a store that %s fails %d cases: %s", m.name, len(caught), strings.Join(caught, ", "))
	}
	for _, c := range direct() {
		if len(breakable[c.name]) == 0 {
			t.Errorf("no broken store fails %s", c.name)
		}
	}
}

// Each case about a cluster fails on a store that has the fault which the case comes from.
func TestBrokenStoresFailTheCasesOfTheCluster(t *testing.T) {
	defer func(d time.Duration) { patience = d }(patience)
	patience = 20 * time.Millisecond
	for _, c := range clusterCases {
		m, ok := clusterMutants[c.name]
		if !ok {
			t.Errorf("no broken store is made for %s", c.name)
			continue
		}
		store := &broken{Store: memory.New()}
		m.spoil(store)
		complaints := judge(c, store)
		if len(complaints) == 0 {
			t.Errorf("%s passes on a store that %s", c.name, m.name)
			continue
		}
		t.Logf("a store that %s fails %s: %s", m.name, c.name, complaints[0])
	}
}

// A store that forgets everything when it is closed fails the cases for durable stores.
func TestAForgetfulStoreIsNotDurable(t *testing.T) {
	for _, c := range durableCases {
		var r recorder
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() { _ = recover() }()
			f := newFixture(&r, memory.New(), 1)
			f.reopen = func() punctual.Store { return memory.New() }
			c.run(f)
		}()
		<-done
		if !r.Failed() {
			t.Errorf("%s passes on a store that forgets", c.name)
		}
	}
}

func TestCasesHaveNamesAndPromisesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range groups {
		for _, c := range g.cases {
			if c.name == "" || len(strings.Fields(c.promise)) < 5 || c.check == nil {
				t.Errorf("case %q of group %s is incomplete", c.name, g.name)
			}
			if seen[c.name] || seen[c.promise] {
				t.Errorf("case %q has a name or a promise that another has", c.name)
			}
			seen[c.name], seen[c.promise] = true, true
		}
	}
}

func TestDifferencesSaysWhereValuesDiffer(t *testing.T) {
	now := time.Unix(1, 0)
	for _, c := range []struct {
		want, got any
		differ    []string
	}{
		{punctual.Run{ID: "a", Payload: []byte(`{"a":1,"b":2}`)}, punctual.Run{ID: "a", Payload: []byte(`{"b":2, "a":1}`)}, nil},
		{punctual.Run{StartedAt: now}, punctual.Run{StartedAt: now.UTC()}, nil},
		{punctual.Run{History: []punctual.Attempt{}}, punctual.Run{}, nil},
		{punctual.Run{ID: "a", Attempt: 1}, punctual.Run{ID: "b", Attempt: 1}, []string{"ID"}},
		{punctual.Run{StartedAt: now}, punctual.Run{}, []string{"StartedAt"}},
		{punctual.Run{Payload: []byte(`1.0`)}, punctual.Run{Payload: []byte(`1`)}, []string{"Payload"}},
		{
			punctual.Run{History: []punctual.Attempt{{Number: 1}, {Number: 2}}},
			punctual.Run{History: []punctual.Attempt{{Number: 1}, {Number: 3}}},
			[]string{"History[1].Number"},
		},
		{punctual.Run{History: []punctual.Attempt{{}}}, punctual.Run{}, []string{"History"}},
		{punctual.Snapshot{LastRun: &punctual.Run{ID: "a"}}, punctual.Snapshot{}, []string{"LastRun"}},
		{punctual.Snapshot{LastRun: &punctual.Run{ID: "a"}}, punctual.Snapshot{LastRun: &punctual.Run{ID: "b"}}, []string{"LastRun.ID"}},
		{punctual.Task{Schedule: punctual.Every(time.Minute)}, punctual.Task{Schedule: punctual.Every(time.Hour)}, []string{"Schedule"}},
		{punctual.Task{Schedule: punctual.Every(time.Minute)}, punctual.Task{}, []string{"Schedule"}},
		{punctual.Task{Labels: map[string]string{}}, punctual.Task{}, nil},
		{punctual.Task{Labels: map[string]string{"a": "b"}}, punctual.Task{Labels: map[string]string{"a": ""}}, []string{"Labels"}},
		{1, int64(1), []string{""}},
	} {
		var paths []string
		for _, d := range differences(c.want, c.got) {
			path, _, _ := strings.Cut(d, ":")
			paths = append(paths, path)
		}
		if !slices.Equal(c.differ, paths) {
			t.Errorf("differences between %+v and %+v: want %q, got %q", c.want, c.got, c.differ, paths)
		}
	}
}
