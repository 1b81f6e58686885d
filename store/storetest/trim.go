package storetest

import (
	"time"

	"github.com/punctual-go/punctual"
)

func (f *fixture) trim(want int, req punctual.TrimRequest, what string) {
	f.Helper()
	n, err := f.store.Trim(f.ctx, req)
	f.must(err, "Trim")
	f.same(want, n, "number of rows that Trim removed %s", what)
}

// endedHourly inserts n final runs of a task, one that ended each hour from noon on.
func (f *fixture) endedHourly(taskID string, n int) []string {
	f.Helper()
	rows := make([]punctual.Run, n)
	for i := range rows {
		rows[i] = f.ended(taskID, punctual.StateSucceeded+punctual.State(i%6), at(time.Duration(i)*time.Hour))
	}
	return runIDs(f.put(rows...))
}

var trimCases = []testCase{
	{
		name:    "removes by age",
		promise: "Trim removes final runs that ended before the given time, and live runs stay however old they are",
		check: func(f *fixture) {
			f.add("task")
			live := runIDs(f.put(f.running("task"), f.pending("task", at(-time.Hour)), f.pending("task", time.Time{})))
			old := f.endedHourly("task", 6)
			f.trim(0, punctual.TrimRequest{Before: noon, Limit: 100}, "before any has ended")
			f.trim(2, punctual.TrimRequest{Before: at(2 * time.Hour), Limit: 100}, "before the third has ended")
			f.same(reversed(append(live, old[2:]...)), f.runs(punctual.RunQuery{}), "Runs")
			_, err := f.store.Run(f.ctx, old[0])
			f.wraps(err, punctual.ErrRunNotFound, "Run of a trimmed row")
			f.trim(4, punctual.TrimRequest{Before: at(1000 * time.Hour), Limit: 100}, "that ended in a thousand hours")
			f.same(reversed(live), f.runs(punctual.RunQuery{TaskID: "task"}), "Runs")
			f.same(1, f.task("task").Active, "Snapshot.Active")
			f.same(live[2], f.task("task").LastRun.ID, "Snapshot.LastRun")
		},
	},
	{
		name:    "removes by number",
		promise: "Trim keeps the newest final runs of each task up to the number, and counts no live ones",
		check: func(f *fixture) {
			f.add("many")
			f.add("few")
			f.add("none")
			live := runIDs(f.put(f.running("many"), f.pending("many", at(time.Hour))))
			many, few := f.endedHourly("many", 7), f.endedHourly("few", 3)
			live = append(live, runIDs(f.put(f.running("many")))...)
			f.trim(0, punctual.TrimRequest{Keep: 7, Limit: 100}, "when no task has too many")
			f.trim(4, punctual.TrimRequest{Keep: 3, Limit: 100}, "when one task has four too many")
			want := append(append([]string{live[0], live[1]}, many[4:]...), live[2])
			f.same(reversed(want), f.runs(punctual.RunQuery{TaskID: "many"}), "runs of the task that had too many")
			f.same(reversed(few), f.runs(punctual.RunQuery{TaskID: "few"}), "runs of the task that had not")
			f.trim(4, punctual.TrimRequest{Keep: 1, Limit: 100}, "when two tasks have two too many")
		},
	},
	{
		name:    "keeps its own limit",
		promise: "Trim removes at most Limit rows, oldest first, and as many as that while there are more",
		check: func(f *fixture) {
			f.add("task")
			rows := f.endedHourly("task", 9)
			f.trim(4, punctual.TrimRequest{Before: at(7 * time.Hour), Limit: 4}, "by age")
			f.same(reversed(rows[4:]), f.runs(punctual.RunQuery{}), "Runs")
			f.trim(3, punctual.TrimRequest{Before: at(7 * time.Hour), Limit: 4}, "by age the second time")
			f.trim(0, punctual.TrimRequest{Before: at(7 * time.Hour), Limit: 4}, "by age the third time")
			more := f.endedHourly("task", 4)
			f.trim(2, punctual.TrimRequest{Keep: 3, Limit: 2}, "by number")
			f.same(reversed(more), f.runs(punctual.RunQuery{}), "Runs")
			f.trim(1, punctual.TrimRequest{Keep: 3, Limit: 2}, "by number the second time")
		},
	},
	{
		name:    "does without bounds",
		promise: "a zero Before is no bound by age and a zero Keep none by number",
		check: func(f *fixture) {
			f.add("task")
			rows := f.endedHourly("task", 5)
			f.trim(0, punctual.TrimRequest{Limit: 100}, "without any bound")
			f.same(reversed(rows), f.runs(punctual.RunQuery{}), "Runs")
			f.trim(4, punctual.TrimRequest{Before: at(2 * time.Hour), Keep: 1, Limit: 100}, "by age and by number")
			f.same(rows[4:], f.runs(punctual.RunQuery{}), "Runs")
		},
	},
	{
		name:    "keeps the open row of skips",
		promise: "Trim leaves the row that a task adds further skips to, however old it is and however many came after it, and removes it when it is closed",
		check: func(f *fixture) {
			status := punctual.Status{}
			f.add("task")
			rows := f.endedHourly("task", 5)
			status.Skipping = punctual.Skipping{RunID: rows[0], Reason: punctual.ReasonOverlap, BlockedBy: "run-0", Count: 3}
			f.change("task", punctual.Change{Status: &status})
			f.trim(1, punctual.TrimRequest{Before: at(2 * time.Hour), Limit: 100}, "by age")
			f.trim(2, punctual.TrimRequest{Keep: 1, Limit: 100}, "by number")
			f.same([]string{rows[4], rows[0]}, f.runs(punctual.RunQuery{}), "Runs")
			f.change("task", punctual.Change{Status: &punctual.Status{}})
			f.trim(1, punctual.TrimRequest{Keep: 1, Limit: 100}, "by number when the row is closed")
		},
	},
	{
		name:    "trims what removed tasks have left",
		promise: "rows of a task that was removed with its history kept are trimmed like all others",
		check: func(f *fixture) {
			f.add("task")
			f.endedHourly("task", 3)
			f.change("task", punctual.Change{Remove: true, KeepHistory: true})
			f.trim(1, punctual.TrimRequest{Keep: 2, Limit: 100}, "by number")
			f.trim(2, punctual.TrimRequest{Before: at(time.Hour * 10), Limit: 100}, "by age")
			f.same(0, len(f.runs(punctual.RunQuery{})), "number of runs")
			f.add("task")
			f.check(f.task("task").LastRun == nil, "LastRun of the task made anew is not nil")
		},
	},
}
