//go:build linux

package faults

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/audit"
)

// verdict is what a crew's ledger is worth.
type verdict struct {
	Occurrences int // that were owed
	Runs        int // rows of the ledger
	Executions  int // calls of host code
	Lost        int // occurrences without a fact, and facts of executions that never were
	Doubled     int // occurrences with two facts, and executions that the ledger does not explain
	Again       int // executions of a run that had ended in host code before, each marked as lost or stale in the ledger
	Takeovers   takeovers

	problems []string
}

// takeovers are times from the death of an instance until another began what it had been working on.
type takeovers []time.Duration

func (t takeovers) String() string {
	if len(t) == 0 {
		return "none"
	}
	slices.Sort(t)
	return fmt.Sprintf("%d, median %v, longest %v", len(t), t[len(t)/2].Round(time.Millisecond), t[len(t)-1].Round(time.Millisecond))
}

func (v verdict) String() string {
	return fmt.Sprintf("lost %d, doubled %d of %d occurrences, %d runs, %d executions of which %d again and marked so; takeovers: %v",
		v.Lost, v.Doubled, v.Occurrences, v.Runs, v.Executions, v.Again, v.Takeovers)
}

// execution is one call of host code.
type execution struct {
	by                 *member
	run, task, session string
	attempt            int
	output             string
	begun              time.Time
	told               time.Time // when it was told to stop; zero when it was not
	cause              string    // why
	ended              time.Time // zero when it never did
	err                string
	died               time.Time // when its process did, before it had ended; zero when it did not
}

// evidence is what a verdict is founded on.
type evidence struct {
	lease      time.Duration
	settled    time.Time // what was created before has come to its end
	ledger     []punctual.Run
	runs       map[string]*punctual.Run
	executions map[string][]*execution // by run, in the order in which they began
	leases     map[string]time.Time    // by session: when its lease lapses
	stalls     map[*member][]span      // when a process did not get to run
	verdict
}

type span struct{ from, to time.Time }

// finish brings a crew to rest and judges what it did. Every broken promise is an error of the test.
func (c *crew) finish() verdict {
	c.t.Helper()
	settled := c.settle()
	e := evidence{lease: c.lease, settled: settled, ledger: c.ledger(), leases: c.leases(), stalls: make(map[*member][]span)}
	tasks := c.tasks()
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []audit.Finding
	found, e.Occurrences = c.books.Compare(e.ledger, tasks, settled, wallTime)
	for _, f := range found {
		e.problems = append(e.problems, f.Text)
		e.Lost += f.Missing
		e.Doubled += f.Extra
	}
	for _, m := range c.members {
		if m.log.alarming() {
			e.failf("%s: %s", m.Name, m.log.String())
		}
	}
	e.take(c.events)
	e.judge()
	for i, p := range e.problems {
		if i == 20 {
			c.t.Errorf("and %d more", len(e.problems)-i)
			break
		}
		c.t.Error(p)
	}
	c.t.Log(e.verdict.String())
	return e.verdict
}

func wallTime(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("15:04:05.000000")
}

// take reads what the workers have written.
func (e *evidence) take(events []event) {
	type key struct {
		by      *member
		run     string
		attempt int
		output  string
	}
	e.executions = make(map[string][]*execution)
	known := make(map[key]*execution)
	for i := range events {
		n := &events[i]
		k := key{n.by, n.Run, n.Attempt, n.Output}
		switch n.What {
		case isBegun:
			x := &execution{by: n.by, run: n.Run, task: n.Task, session: n.Session, attempt: n.Attempt, output: n.Output, begun: n.time()}
			known[k] = x
			e.executions[n.Run] = append(e.executions[n.Run], x)
			e.Executions++
		case isTold:
			if x := known[k]; x != nil && x.ended.IsZero() {
				x.told, x.cause = n.time(), n.Text
			}
		case isEnded:
			if x := known[k]; x != nil {
				x.ended, x.err = n.time(), n.Text
			}
		case isStalled:
			e.stalls[n.by] = append(e.stalls[n.by], span{time.UnixMicro(n.From), n.time()})
		case isTooMany:
			e.failf("a claim of %s started %d runs, more than it was to", n.by.Name, n.Number)
		}
	}
	for _, x := range known {
		if died := x.by.endedAt(); x.ended.IsZero() {
			x.died = died
		}
	}
	for _, tries := range e.executions {
		slices.SortStableFunc(tries, func(a, b *execution) int { return a.begun.Compare(b.begun) })
	}
}

func (e *evidence) failf(format string, args ...any) {
	e.problems = append(e.problems, fmt.Sprintf(format, args...))
}

// judge compares executions and ledger.
func (e *evidence) judge() {
	e.Runs = len(e.ledger)
	e.runs = make(map[string]*punctual.Run, len(e.ledger))
	for i := range e.ledger {
		e.runs[e.ledger[i].ID] = &e.ledger[i]
		e.judgeResult(&e.ledger[i])
	}
	byTask := make(map[string][]*execution)
	for _, tries := range e.executions {
		e.judgeTries(tries)
		byTask[tries[0].task] = append(byTask[tries[0].task], tries...)
	}
	for task, all := range byTask {
		e.judgeCrowd(task, all)
	}
	slices.Sort(e.problems)
}

// judgeResult checks that the ledger tells what the last attempt came to.
func (e *evidence) judgeResult(run *punctual.Run) {
	row := audit.Describe(run, wallTime)
	tries := e.executions[run.ID]
	var last *execution
	for _, x := range tries {
		if x.attempt == run.Attempt {
			last = x
		}
	}
	switch run.State {
	case punctual.StateSucceeded:
		if last == nil || last.err != "" || last.ended.IsZero() || last.output != run.Result.Output {
			e.Lost++
			e.failf("%s says %q, which attempt %d did not return", row, run.Result.Output, run.Attempt)
		}
	case punctual.StateSkipped, punctual.StateMissed:
		if len(tries) > 0 {
			e.Doubled++
			e.failf("%s was executed on %s", row, tries[0].by.Name)
		}
	case punctual.StateFailed, punctual.StateCanceled, punctual.StateLost:
		if last != nil && !last.ended.IsZero() && last.err == "" && !e.excused(last) {
			e.Lost++
			e.failf("%s, but attempt %d succeeded on %s", row, run.Attempt, last.by.Name)
		}
		if run.State == punctual.StateLost && !run.AtMostOnce {
			e.failf("%s may run again", row)
		}
	default:
		if run.State == punctual.StateRunning || run.CreatedAt.Before(e.settled) {
			e.Lost++
			e.failf("%s has not ended", row)
		}
	}
}

// excused reports whether the result of an execution may be missing.
func (e *evidence) excused(x *execution) bool {
	return e.lost(x) || !x.by.diedAt().IsZero() || strings.Contains(x.cause, punctual.ErrLeaseLost.Error()) || x.ended.After(e.leases[x.session])
}

// lost reports whether the ledger says that an attempt was taken away, or that its result came too late.
func (e *evidence) lost(x *execution) bool {
	run := e.runs[x.run]
	return run != nil && slices.ContainsFunc(run.History, func(a punctual.Attempt) bool {
		return a.Number == x.attempt && (a.Outcome == "lost" || a.Outcome == "stale")
	})
}

// judgeTries checks the executions of one run: an attempt is executed once, and another follows only when the one before had ended or had
// lost its lease, and the ledger says so.
func (e *evidence) judgeTries(tries []*execution) {
	run := e.runs[tries[0].run]
	if run == nil {
		e.Doubled++
		e.failf("run %s of task %s was executed on %s and is not in the ledger", tries[0].run, tries[0].task, tries[0].by.Name)
		return
	}
	row := audit.Describe(run, wallTime)
	if run.Trigger == punctual.TriggerSchedule && tries[0].begun.Before(run.ScheduledAt) {
		e.failf("%s began at %s on %s, before its time", row, wallTime(tries[0].begun), tries[0].by.Name)
	}
	ends := 0
	for i, x := range tries {
		if x.attempt < run.Attempt && len(run.History) < punctual.MaxHistory &&
			!slices.ContainsFunc(run.History, func(a punctual.Attempt) bool { return a.Number == x.attempt && a.Outcome != "released" }) {
			e.Doubled++
			e.failf("%s: nothing tells of attempt %d, which began at %s on %s", row, x.attempt, wallTime(x.begun), x.by.Name)
		}
		if x.attempt > run.Attempt {
			e.Doubled++
			e.failf("%s: attempt %d began at %s on %s", row, x.attempt, wallTime(x.begun), x.by.Name)
		}
		if ends > 0 {
			e.Again++
		}
		if !x.ended.IsZero() && x.err == "" {
			ends++
		}
		if i == 0 {
			e.takeover(x, &execution{})
			continue
		}
		before := tries[i-1]
		e.takeover(x, before)
		switch {
		case x.attempt <= before.attempt:
			e.Doubled++
			e.failf("%s: attempt %d began at %s on %s after attempt %d at %s on %s", row, x.attempt, wallTime(x.begun), x.by.Name, before.attempt,
				wallTime(before.begun), before.by.Name)
			continue
		case run.AtMostOnce && e.lost(before):
			e.Doubled++
			e.failf("%s is to be executed at most once; attempt %d was lost and attempt %d began on %s", row, before.attempt, x.attempt, x.by.Name)
		}
		lapsed, over := e.leases[before.session], e.over(before)
		if !over.IsZero() && !over.After(x.begun) && before.died.IsZero() {
			continue
		}
		switch {
		case x.begun.Before(lapsed):
			e.Doubled++
			e.failf("%s: attempt %d began at %s on %s while attempt %d on %s had a lease until %s", row, x.attempt, wallTime(x.begun), x.by.Name,
				before.attempt, before.by.Name, wallTime(lapsed))
		case !before.died.IsZero(), e.unaware(before, x.begun):
		default:
			e.Doubled++
			e.failf("%s: attempt %d was still executed on %s, until %s, when attempt %d began at %s on %s", row, before.attempt, before.by.Name,
				wallTime(over), x.attempt, wallTime(x.begun), x.by.Name)
		}
	}
}

// takeover measures how long after a death another instance began what the dead one had been working on.
func (e *evidence) takeover(x, before *execution) {
	if !before.died.IsZero() && !before.by.diedAt().IsZero() && x.begun.After(before.died) {
		e.Takeovers = append(e.Takeovers, x.begun.Sub(before.died))
	}
}

// over is when host code stopped to matter for others: it returned, its process died, or it had been told to stop when the lease lapsed,
// after which the library can do no more about it. The zero time means never.
func (e *evidence) over(x *execution) time.Time {
	over := x.ended
	if !x.told.IsZero() {
		over = earlier(over, later(x.told, e.leases[x.session]))
	}
	return earlier(over, x.died)
}

// unaware reports whether a process has had no time until the given instant to notice that the lease of an execution has lapsed: from when it
// trusts its lease no more, it gets to run for the margin. A process that is stopped, or that a busy machine does not let run, cannot know.
func (e *evidence) unaware(x *execution, at time.Time) bool {
	margin := e.lease * 2 / 15
	from := e.leases[x.session].Add(-margin)
	ran := at.Sub(from)
	for _, s := range e.stalls[x.by] {
		if d := earlier(s.to, at).Sub(later(s.from, from)); d > 0 {
			ran -= d
		}
	}
	return ran <= margin
}

// judgeCrowd checks that no task has two executions at a time, which all tasks here are to be kept from.
func (e *evidence) judgeCrowd(task string, all []*execution) {
	slices.SortStableFunc(all, func(a, b *execution) int { return a.begun.Compare(b.begun) })
	for i, x := range all[1:] {
		for _, other := range all[max(0, i-20) : i+1] {
			over := e.over(other)
			if other.run == x.run || !over.IsZero() && !over.After(x.begun) || !x.begun.Before(e.leases[other.session]) && e.unaware(other, x.begun) {
				continue
			}
			e.Doubled++
			e.failf("task %s: run %s began at %s on %s while run %s was executed on %s since %s, until %s", task, x.run, wallTime(x.begun), x.by.Name,
				other.run, other.by.Name, wallTime(other.begun), wallTime(over))
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// earlier is the earlier of two instants, of which zero ones stand for never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// The judge is worth what it finds: each case breaks one thing in a record that is sound.
func TestTheJudgeFindsWhatIsWrong(t *testing.T) {
	noon := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(second float64) time.Time { return noon.Add(time.Duration(second * float64(time.Second))) }
	sound := func() *evidence {
		a, b := &member{orders: orders{Name: "a"}, killedAt: at(1)}, &member{orders: orders{Name: "b"}}
		return &evidence{
			lease:  3 * time.Second,
			leases: map[string]time.Time{"sa": at(3.5), "sb": at(60)},
			ledger: []punctual.Run{
				{ID: "r", TaskID: "t", State: punctual.StateSucceeded, Attempt: 2, Result: punctual.Result{Output: "two"}, History: []punctual.Attempt{{Number: 1, Outcome: "lost"}}},
				{ID: "s", TaskID: "u", State: punctual.StateSucceeded, Attempt: 1, Result: punctual.Result{Output: "other"}},
			},
			executions: map[string][]*execution{
				"r": {
					{by: a, run: "r", task: "t", session: "sa", attempt: 1, output: "one", begun: at(0), died: at(1)},
					{by: b, run: "r", task: "t", session: "sb", attempt: 2, output: "two", begun: at(4), ended: at(5)},
				},
				"s": {{by: b, run: "s", task: "u", session: "sb", attempt: 1, output: "other", begun: at(4), ended: at(5)}},
			},
		}
	}
	tests := []struct {
		name, want string
		spoil      func(e *evidence)
	}{
		{"nothing", "", func(*evidence) {}},
		{"host code ran and the ledger knows nothing of the first time", "nothing tells of attempt 1", func(e *evidence) { e.ledger[0].History = nil }},
		{"the first attempt was handed back and ran all the same", "nothing tells of attempt 1", func(e *evidence) { e.ledger[0].History[0].Outcome = "released" }},
		{"too early", "before its time", func(e *evidence) { e.ledger[1].Trigger, e.ledger[1].ScheduledAt = punctual.TriggerSchedule, at(4.1) }},
		{"an attempt ran twice", "attempt 1 began at 12:00:04", func(e *evidence) { e.executions["r"][1].attempt = 1 }},
		{"an attempt that the ledger does not know", "attempt 3 began", func(e *evidence) { e.executions["r"][1].attempt = 3 }},
		{"taken over too soon", "had a lease until", func(e *evidence) { e.executions["r"][1].begun = at(3) }},
		{"two at a time", "was still executed", func(e *evidence) { e.executions["r"][0].died = time.Time{} }},
		{"told to stop when the lease had lapsed already", "was still executed", func(e *evidence) {
			e.executions["r"][0].died, e.executions["r"][0].told = time.Time{}, at(4.1)
		}},
		{"again though it may run once", "at most once", func(e *evidence) { e.ledger[0].AtMostOnce = true }},
		{"lost though it may run again", "may run again", func(e *evidence) { e.ledger[1].State = punctual.StateLost }},
		{"a result that nobody returned", "did not return", func(e *evidence) { e.ledger[1].Result.Output = "else" }},
		{"a success that never was", "did not return", func(e *evidence) { delete(e.executions, "s") }},
		{"a failure that was none", "succeeded on b", func(e *evidence) { e.ledger[1].State = punctual.StateFailed }},
		{"skipped and executed", "was executed on", func(e *evidence) { e.ledger[1].State = punctual.StateSkipped }},
		{"still running", "has not ended", func(e *evidence) { e.ledger[1].State = punctual.StateRunning }},
		{"waits, though all was to come to rest", "has not ended", func(e *evidence) { e.ledger[1].State, e.settled = punctual.StatePending, at(6) }},
		{"executed and not in the ledger", "is not in the ledger", func(e *evidence) { e.ledger = e.ledger[:1] }},
		{"two runs of a task at a time", "while run", func(e *evidence) { e.executions["s"][0].task = "t" }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := sound()
			test.spoil(e)
			e.judge()
			if test.want == "" {
				assert.Empty(t, e.problems)
				assert.Equal(t, takeovers{3 * time.Second}, e.Takeovers)
				return
			}
			assert.Contains(t, strings.Join(e.problems, "\n"), test.want)
		})
	}
	frozen := sound()
	frozen.executions["r"][0].died = time.Time{}
	frozen.stalls = map[*member][]span{frozen.executions["r"][0].by: {{at(1), at(20)}}}
	frozen.judge()
	assert.Empty(t, frozen.problems, "who is stopped cannot know")
}
