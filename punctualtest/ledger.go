package punctualtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/punctual-go/punctual"
)

// Ledger returns all runs of a task, oldest first; of all tasks when the id is empty.
func (h *Harness) Ledger(taskID string) []punctual.Run {
	h.t.Helper()
	var all []punctual.Run
	q := punctual.RunQuery{TaskID: taskID, Limit: punctual.MaxLimit}
	for {
		page, err := h.Runs(context.Background(), q)
		if err != nil {
			h.t.Fatalf("punctualtest: the ledger cannot be read: %v", err)
		}
		all = append(all, page...)
		if len(page) < q.Limit {
			break
		}
		q.Before = page[len(page)-1].ID
	}
	slices.Reverse(all)
	return all
}

// Facts tells the ledger of a task in lines, oldest first: trigger, time since the Harness began, state, and where it applies the number
// of attempts, of occurrences, and the reason. For example:
//
//	register +0s succeeded
//	schedule +1h failed after 3 attempts (timeout)
//	schedule +2h..+5h skipped x4 (overlap)
//
// With an empty id it tells of all tasks, and each line begins with the id of its task.
func (h *Harness) Facts(taskID string) []string {
	h.t.Helper()
	var facts []string
	for _, run := range h.Ledger(taskID) {
		fact := h.fact(run)
		if taskID == "" {
			fact = run.TaskID + " " + fact
		}
		facts = append(facts, fact)
	}
	return facts
}

func (h *Harness) fact(run punctual.Run) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %s", run.Trigger, h.stamp(run.ScheduledAt))
	if !run.Until.IsZero() {
		fmt.Fprintf(&b, "..%s", h.stamp(run.Until))
	}
	fmt.Fprintf(&b, " %v", run.State)
	if run.Count > 1 {
		fmt.Fprintf(&b, " x%d", run.Count)
	}
	if run.Attempt > 1 {
		fmt.Fprintf(&b, " after %d attempts", run.Attempt)
	}
	if run.Reason != "" {
		fmt.Fprintf(&b, " (%s)", run.Reason)
	}
	return b.String()
}

// stamp is a time as facts tell it.
func (h *Harness) stamp(t time.Time) string { return signed(t.Sub(h.start)) }

// signed writes a duration with its sign and without zeros at its end: +90m is +1h30m.
func signed(d time.Duration) string {
	text := d.String()
	if d >= 0 {
		text = "+" + text
	}
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// AssertLedger fails the test unless the ledger of a task holds exactly these facts, oldest first, in the form of Facts. Durations may be
// written in any way that time.ParseDuration reads. It returns whether all is well, like all assertions.
func (h *Harness) AssertLedger(taskID string, want ...string) bool {
	h.t.Helper()
	got := h.Facts(taskID)
	wanted := make([]string, len(want))
	for i, line := range want {
		wanted[i] = canonical(line)
	}
	if slices.Equal(got, wanted) {
		return true
	}
	h.t.Errorf("the ledger of task %q is not as wanted (- wanted, + is):\n%s", taskID, compare(wanted, got))
	return false
}

// canonical writes a wanted fact as Facts does.
func canonical(line string) string {
	fields := strings.Fields(line)
	for i, field := range fields {
		if field[0] != '+' && field[0] != '-' {
			continue
		}
		from, to, ranged := strings.Cut(field, "..")
		fields[i] = canonicalTime(from)
		if ranged {
			fields[i] += ".." + canonicalTime(to)
		}
	}
	return strings.Join(fields, " ")
}

func canonicalTime(text string) string {
	if d, err := time.ParseDuration(text); err == nil {
		return signed(d)
	}
	return text
}

// AssertCount fails the test unless that many occurrences, registrations and requests of a task are in the given state. A ledger row that
// stands for several counts as many. An empty id counts those of all tasks.
func (h *Harness) AssertCount(taskID string, state punctual.State, want int) bool {
	h.t.Helper()
	got := 0
	for _, run := range h.Ledger(taskID) {
		if run.State == state {
			got += int(run.Count)
		}
	}
	if got == want {
		return true
	}
	h.t.Errorf("task %q has %d %v, not %d; its ledger:\n%s", taskID, got, state, want, h.printed(taskID))
	return false
}

// AssertRun fails the test unless a run is in the given state, and, if a reason is given, for that reason.
func (h *Harness) AssertRun(runID string, state punctual.State, reason ...string) bool {
	h.t.Helper()
	run, err := h.Run(context.Background(), runID)
	if err != nil {
		h.t.Errorf("run %s: %v", runID, err)
		return false
	}
	if run.State == state && (len(reason) == 0 || slices.Contains(reason, run.Reason)) {
		return true
	}
	want := state.String()
	if len(reason) > 0 {
		want += " (" + strings.Join(reason, " or ") + ")"
	}
	h.t.Errorf("run %s is not %s but: %s\nthe ledger of its task %q:\n%s", runID, want, h.fact(run), run.TaskID, h.printed(run.TaskID))
	return false
}

// AssertNext fails the test unless the next occurrence of a task is at the given time; the zero time means that none is owed.
func (h *Harness) AssertNext(taskID string, want time.Time) bool {
	h.t.Helper()
	task, err := h.Task(context.Background(), taskID)
	if err != nil {
		h.t.Errorf("task %q: %v", taskID, err)
		return false
	}
	if task.NextRunAt.Equal(want) {
		return true
	}
	told := func(t time.Time) string {
		if t.IsZero() {
			return "never"
		}
		return fmt.Sprintf("%s (%s)", h.stamp(t), t.In(h.start.Location()).Format(time.RFC3339))
	}
	h.t.Errorf("task %q is next due at %s, not %s; it is %s, and its ledger:\n%s",
		taskID, told(task.NextRunAt), told(want), told(h.Now()), h.printed(taskID))
	return false
}

// shown is how many lines of a ledger a failure prints.
const shown = 40

func (h *Harness) printed(taskID string) string {
	h.t.Helper()
	facts := h.Facts(taskID)
	if len(facts) == 0 {
		return "  (empty)\n"
	}
	var b strings.Builder
	if cut := len(facts) - shown; cut > 0 {
		fmt.Fprintf(&b, "  ... %d earlier\n", cut)
		facts = facts[cut:]
	}
	for _, fact := range facts {
		fmt.Fprintf(&b, "  %s\n", fact)
	}
	return b.String()
}

// compare prints two ledgers around the first line in which they differ.
func compare(want, got []string) string {
	same := 0
	for same < len(want) && same < len(got) && want[same] == got[same] {
		same++
	}
	tail := 0
	for tail < len(want)-same && tail < len(got)-same && want[len(want)-1-tail] == got[len(got)-1-tail] {
		tail++
	}
	var b strings.Builder
	lines := func(mark string, facts []string) {
		cut := len(facts) - shown/2
		if cut > 0 {
			facts = facts[:shown/2]
		}
		for _, fact := range facts {
			fmt.Fprintf(&b, "%s %s\n", mark, fact)
		}
		if cut > 0 {
			fmt.Fprintf(&b, "%s ... %d more\n", mark, cut)
		}
	}
	if cut := same - shown/4; cut > 0 {
		fmt.Fprintf(&b, "  ... %d earlier\n", cut)
		lines(" ", got[cut:same])
	} else {
		lines(" ", got[:same])
	}
	lines("-", want[same:len(want)-tail])
	lines("+", got[same:len(got)-tail])
	lines(" ", got[len(got)-tail:])
	return b.String()
}
