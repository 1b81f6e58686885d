package punctualtest

import (
	"context"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"

	"github.com/punctual-go/punctual"
)

type harnessKey struct{}

// flights are the attempts that are in the executor, by run.
type flights struct {
	mu sync.Mutex // guards in
	in map[string]flight
}

type flight struct {
	task    string
	attempt int
}

func (f *flights) enter(run *punctual.Run) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.in == nil {
		f.in = make(map[string]flight)
	}
	f.in[run.ID] = flight{run.TaskID, run.Attempt}
}

func (f *flights) leave(run *punctual.Run) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.in, run.ID)
}

// list tells the attempts in lines, ordered by run.
func (f *flights) list() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lines []string
	for run, in := range f.in {
		lines = append(lines, fmt.Sprintf("  run %s: attempt %d of task %q is in the executor\n", run, in.attempt, in.task))
	}
	sort.Strings(lines)
	return lines
}

// wrap makes attempts known to the Harness, and the Harness to them.
func (h *Harness) wrap(executor punctual.Executor) punctual.Executor {
	return punctual.Chain(executor, func(next punctual.Executor) punctual.Executor {
		return punctual.ExecutorFunc(func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
			h.flights.enter(&run)
			defer h.flights.leave(&run)
			return next.Execute(context.WithValue(ctx, harnessKey{}, h), run)
		})
	})
}

// unsettled says what Settle waits for.
func (h *Harness) unsettled() string {
	var b strings.Builder
	for _, line := range h.flights.list() {
		b.WriteString(line)
	}
	if b.Len() > 0 {
		b.WriteString("Outside of a synctest bubble an executor that waits for time or for the test does so with punctualtest.Sleep, a Gate or the steps of a Script;\n" +
			"for one that cannot, run the test in a bubble. One that is only slow needs more Patience.\n")
	}
	if health := h.Health(); !health.OK {
		fmt.Fprintf(&b, "  the Scheduler is not well: %s\n", strings.Join(health.Reasons, "; "))
	}
	if b.Len() == 0 {
		b.WriteString("  a call to the store, or a function of AfterFunc, does not return\n")
	}
	return b.String()
}

// testLog writes to the log of a test until that has ended.
type testLog struct {
	mu sync.Mutex // guards to
	to io.Writer  // nil once the test has ended
}

func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to == nil {
		return len(p), nil
	}
	return l.to.Write(p)
}

func (l *testLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to = nil
}
