package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/punctual-go/punctual"
)

// pageThrough lists ids page by page until one is not full.
func (f *fixture) pageThrough(limit int, page func(cursor string) []string) []string {
	f.Helper()
	var all []string
	cursor := ""
	for calls := 0; ; calls++ {
		if calls > endless {
			f.failf("pages do not come to an end")
		}
		ids := page(cursor)
		if len(ids) > limit {
			f.failf("a page of at most %d has %d entries", limit, len(ids))
		}
		all = append(all, ids...)
		if len(ids) < limit {
			return all
		}
		cursor = ids[len(ids)-1]
	}
}

var queryCases = []testCase{
	{
		name:    "lists the kinds of what is overdue",
		promise: "Overdue lists each kind of which something that Claim would show has been due for at least so long, with the time at which the first of it became due, by kind, and changes nothing",
		check: func(f *fixture) {
			late := func(d time.Duration) shape { return owed(at(-d)) }
			priority := func(p int) shape { return func(t *punctual.Task, _ *punctual.Status) { t.Priority = p } }
			f.add("t1", kind("late"), late(time.Minute))
			f.add("t2", kind("late"), late(3*time.Minute), priority(punctual.MinPriority))
			f.add("t3", kind("late"), late(2*time.Minute), priority(punctual.MaxPriority))
			f.add("t4", kind("fresh"), late(time.Minute-time.Microsecond))
			f.add("t5", kind("later"), owed(at(time.Minute)))
			f.add("t6", kind("never"))
			f.add("t7")
			f.put(f.pending("t7", at(-time.Hour)), f.pending("t7", at(-time.Minute)), f.ended("t7", punctual.StateFailed, at(-time.Hour)))
			f.add("t8", kind("new"), late(4*time.Minute))
			old := f.pending("t8", at(-5*time.Minute))
			old.Kind = "old"
			f.put(old)
			f.add("t9", kind("waits"))
			f.put(f.pending("t9", time.Time{}), f.running("t9"))
			f.add("broken", kind("broken"), late(time.Hour))
			f.claimAs(punctual.ClaimRequest{Limit: 9, Kinds: []string{"broken"}, Decide: func(punctual.View) (punctual.Change, error) {
				return punctual.Change{}, errors.New("broken")
			}})
			overdue := func(d time.Duration) []punctual.Overdue {
				list, err := f.store.Overdue(f.ctx, punctual.OverdueRequest{Now: f.now, For: d})
				f.must(err, "Overdue")
				for _, o := range list {
					f.clean("Overdue", o.Since)
				}
				return list
			}
			since := func(kind string, d time.Duration) punctual.Overdue {
				return punctual.Overdue{Kind: kind, Since: at(-d)}
			}
			byMinute := []punctual.Overdue{
				since("", time.Hour), since("late", 3*time.Minute), since("new", 4*time.Minute), since("old", 5*time.Minute),
			}
			f.same(byMinute, overdue(time.Minute), "what has been due for a minute")
			f.same(slices.Insert(slices.Clone(byMinute), 1, since("fresh", time.Minute-time.Microsecond)), overdue(0), "what is due")
			f.same(byMinute[:1], overdue(time.Hour), "what has been due for an hour")
			f.same(0, len(overdue(2*time.Hour)), "number of kinds of which something has been due for two hours")
			f.same(8, len(f.claim(100).Started), "number of runs that a claim starts afterwards")
			f.same(0, len(overdue(0)), "number of kinds of which something is due after all of it was claimed")
			f.now = at(2 * time.Minute)
			f.check(slices.ContainsFunc(overdue(time.Minute), func(o punctual.Overdue) bool { return o.Kind == "later" }), "what became due a minute ago is not listed")
		},
	},
	{
		name:    "does not find what is not there",
		promise: "Task answers ErrTaskNotFound and Run ErrRunNotFound for ids that nothing has, and lists are empty",
		check: func(f *fixture) {
			f.add("task")
			run := f.put(f.pending("task", at(time.Hour)))[0]
			for _, id := range []string{"", "tas", "task ", "TASK", "%", "task%", run.ID} {
				_, err := f.store.Task(f.ctx, id)
				f.wraps(err, punctual.ErrTaskNotFound, fmt.Sprintf("Task(%q)", id))
			}
			for _, id := range []string{"", "%", run.ID[1:], run.ID + "0", "task"} {
				_, err := f.store.Run(f.ctx, id)
				f.wraps(err, punctual.ErrRunNotFound, fmt.Sprintf("Run(%q)", id))
			}
			f.same(0, len(f.tasks(punctual.TaskQuery{After: "task"})), "tasks after the last")
			f.same(0, len(f.runs(punctual.RunQuery{Before: run.ID})), "runs before the oldest")
			f.same(0, len(f.runs(punctual.RunQuery{TaskID: "none"})), "runs of a task that is not there")
		},
	},
	{
		name:    "shows a task as it stands",
		promise: "a Snapshot has the run created last, the number of active runs and the next occurrence, the same in Task and Tasks",
		check: func(f *fixture) {
			f.add("task", owed(at(time.Minute)))
			f.check(f.task("task").LastRun == nil, "LastRun of a task without runs is not nil")
			rows := f.put(f.running("task"), f.ended("task", punctual.StateSucceeded, at(time.Hour)), f.fullRun("task", punctual.StateRunning), f.pending("task", at(time.Hour)))
			want := punctual.Snapshot{
				Task: f.see("task").Record.Task, NextRunAt: at(time.Minute), Anchor: noon, LastRun: &rows[3], Active: 2, Revision: 1, CreatedAt: noon, UpdatedAt: noon,
			}
			f.same(want, f.task("task"), "Task")
			f.add("plain")
			page, err := f.store.Tasks(f.ctx, punctual.TaskQuery{})
			f.must(err, "Tasks")
			f.same([]punctual.Snapshot{f.task("plain"), want}, page, "Tasks")
			f.verdict(applied, f.outcome(rows[0], punctual.StateFailed), "a run")
			f.same(1, f.task("task").Active, "Active after one has ended")
		},
	},
	{
		name:    "lists tasks by the bytes of their ids",
		promise: "Tasks are ordered by id, byte by byte, whatever the language of the ids",
		check: func(f *fixture) {
			ids := []string{"a", "B", "b", "A", "a b", "ab", "a-b", "a_b", "ä", "z", "Z", "10", "9", "é", "e", "日本", "🎉", "~", "a\u0301", "á"}
			for _, id := range ids {
				f.add(id)
			}
			slices.Sort(ids)
			f.same(ids, f.tasks(punctual.TaskQuery{}), "Tasks")
			for i, id := range ids {
				f.same(ids[i+1:], f.tasks(punctual.TaskQuery{After: id}), "Tasks after %q", id)
			}
			f.same(ids[2:5], f.tasks(punctual.TaskQuery{After: ids[1], Limit: 3}), "a page of three")
			f.same(ids[slices.Index(ids, "a\u0301"):], f.tasks(punctual.TaskQuery{After: "azzz"}), "Tasks after an id that is not there")
		},
	},
	{
		name:    "bounds its answers",
		promise: "a zero Limit means DefaultLimit, one above MaxLimit is cut to it, and a negative one is ErrInvalidQuery",
		check: func(f *fixture) {
			for i := range punctual.MaxLimit + 5 {
				f.add(fmt.Sprintf("task-%05d", i))
			}
			rows := make([]punctual.Run, punctual.MaxLimit+5)
			for i := range rows {
				id := fmt.Sprintf("task-%05d", i%10)
				rows[i] = f.pending(id, at(time.Hour))
			}
			for i := range 10 {
				var own []punctual.Run
				for j := i; j < len(rows); j += 10 {
					own = append(own, rows[j])
				}
				f.put(own...)
			}
			for _, c := range []struct{ limit, want int }{
				{0, punctual.DefaultLimit},
				{1, 1},
				{punctual.DefaultLimit + 1, punctual.DefaultLimit + 1},
				{punctual.MaxLimit, punctual.MaxLimit},
				{punctual.MaxLimit + 1, punctual.MaxLimit},
				{1 << 30, punctual.MaxLimit},
			} {
				f.same(c.want, len(f.tasks(punctual.TaskQuery{Limit: c.limit})), "number of tasks with limit %d", c.limit)
				f.same(c.want, len(f.runs(punctual.RunQuery{Limit: c.limit})), "number of runs with limit %d", c.limit)
			}
			_, err := f.store.Tasks(f.ctx, punctual.TaskQuery{Limit: -1})
			f.wraps(err, punctual.ErrInvalidQuery, "Tasks with limit -1")
			_, err = f.store.Runs(f.ctx, punctual.RunQuery{Limit: -1})
			f.wraps(err, punctual.ErrInvalidQuery, "Runs with limit -1")
		},
	},
	{
		name:    "selects tasks",
		promise: "Tasks have all the labels, the kind, and the text in id or name, where ASCII letters match in either case and nothing is a wildcard",
		check: func(f *fixture) {
			f.add("a", kind("mail"), labeled(map[string]string{"env": "prod", "team": "ops"}), named("Nightly Report"))
			f.add("b", kind("Mail"), labeled(map[string]string{"env": "prod"}), named("50% done_now"))
			f.add("c", labeled(map[string]string{"env": ""}), named("C:\\path 'x' \"y\""))
			f.add("report-d", kind("mail"), named("ÄÖÜ"))
			f.add("e", labeled(map[string]string{"en\"v'": "pr\\od", "$.env": "a.b"}), named("[set] *?"))
			for _, c := range []struct {
				query punctual.TaskQuery
				want  string
			}{
				{punctual.TaskQuery{Kind: "mail"}, "a report-d"},
				{punctual.TaskQuery{Kind: "Mail"}, "b"},
				{punctual.TaskQuery{Kind: "m%"}, ""},
				{punctual.TaskQuery{Labels: map[string]string{"env": "prod"}}, "a b"},
				{punctual.TaskQuery{Labels: map[string]string{"env": "prod", "team": "ops"}}, "a"},
				{punctual.TaskQuery{Labels: map[string]string{"env": ""}}, "c"},
				{punctual.TaskQuery{Labels: map[string]string{"team": ""}}, ""},
				{punctual.TaskQuery{Labels: map[string]string{"Env": "prod"}}, ""},
				{punctual.TaskQuery{Labels: map[string]string{"en\"v'": "pr\\od"}}, "e"},
				{punctual.TaskQuery{Labels: map[string]string{"$.env": "a.b"}}, "e"},
				{punctual.TaskQuery{Labels: map[string]string{}}, "a b c e report-d"},
				{punctual.TaskQuery{Search: "report"}, "a report-d"},
				{punctual.TaskQuery{Search: "REPORT"}, "a report-d"},
				{punctual.TaskQuery{Search: "y R"}, "a"},
				{punctual.TaskQuery{Search: "%"}, "b"},
				{punctual.TaskQuery{Search: "_"}, "b"},
				{punctual.TaskQuery{Search: "\\"}, "c"},
				{punctual.TaskQuery{Search: "'x'"}, "c"},
				{punctual.TaskQuery{Search: "*"}, "e"},
				{punctual.TaskQuery{Search: "[s"}, "e"},
				{punctual.TaskQuery{Search: "ÖÜ"}, "report-d"},
				{punctual.TaskQuery{Search: "t-d"}, "report-d"},
				{punctual.TaskQuery{Search: "no such"}, ""},
				{punctual.TaskQuery{Search: "report", Kind: "mail", Labels: map[string]string{"env": "prod"}}, "a"},
				{punctual.TaskQuery{Kind: "mail", After: "a"}, "report-d"},
				{punctual.TaskQuery{Labels: map[string]string{"env": "prod"}, Limit: 1}, "a"},
			} {
				f.same(c.want, strings.Join(f.tasks(c.query), " "), "tasks selected by %+v", c.query)
			}
		},
	},
	{
		name:    "lists runs newest first",
		promise: "Runs are ordered by id, newest first, over all tasks or of one, and Before is exclusive",
		check: func(f *fixture) {
			f.add("a")
			f.add("b")
			rows := []punctual.Run{
				f.pending("a", at(time.Hour)), f.running("b"), f.ended("a", punctual.StateFailed, f.now), f.pending("b", time.Time{}), f.running("a"),
			}
			f.put(rows[4], rows[0]) // not in the order of ids
			f.put(rows[3], rows[1])
			f.put(rows[2])
			want := reversed(runIDs(rows))
			f.same(want, f.runs(punctual.RunQuery{}), "Runs")
			for i, id := range want {
				f.same(want[i+1:], f.runs(punctual.RunQuery{Before: id}), "Runs before %s", id)
			}
			f.same(want[1:3], f.runs(punctual.RunQuery{Before: want[0], Limit: 2}), "a page of two")
			f.same([]string{rows[4].ID, rows[2].ID, rows[0].ID}, f.runs(punctual.RunQuery{TaskID: "a"}), "Runs of one task")
			f.same([]string{rows[2].ID, rows[0].ID}, f.runs(punctual.RunQuery{TaskID: "a", Before: rows[3].ID}), "Runs of one task before another's")
			page, err := f.store.Runs(f.ctx, punctual.RunQuery{})
			f.must(err, "Runs")
			for _, run := range page {
				f.same(f.run(run.ID), run, "run %s in Runs and in Run", run.ID)
			}
		},
	},
	{
		name:    "selects runs",
		promise: "Runs are of one of the states, scheduled at or after Since and before Until",
		check: func(f *fixture) {
			f.add("a")
			f.add("b")
			var rows []punctual.Run
			for i, state := range []punctual.State{
				punctual.StateSucceeded, punctual.StateFailed, punctual.StateMissed, punctual.StateSkipped, punctual.StateSucceeded, punctual.StateRunning,
			} {
				run := f.ended([]string{"a", "b"}[i%2], state, f.now)
				run.ScheduledAt = at(time.Duration(i) * time.Minute)
				f.put(run)
				rows = append(rows, run)
			}
			pick := func(index ...int) []string {
				ids := []string{}
				for _, i := range index {
					ids = append(ids, rows[i].ID)
				}
				return ids
			}
			states := func(s ...punctual.State) []punctual.State { return s }
			for _, c := range []struct {
				query punctual.RunQuery
				want  []string
			}{
				{punctual.RunQuery{States: states(punctual.StateSucceeded)}, pick(4, 0)},
				{punctual.RunQuery{States: states(punctual.StateMissed, punctual.StateFailed)}, pick(2, 1)},
				{punctual.RunQuery{States: states(punctual.StatePending)}, pick()},
				{punctual.RunQuery{States: states()}, pick(5, 4, 3, 2, 1, 0)},
				{punctual.RunQuery{Since: at(2 * time.Minute)}, pick(5, 4, 3, 2)},
				{punctual.RunQuery{Since: at(2*time.Minute + time.Microsecond)}, pick(5, 4, 3)},
				{punctual.RunQuery{Until: at(2 * time.Minute)}, pick(1, 0)},
				{punctual.RunQuery{Until: at(2*time.Minute + time.Microsecond)}, pick(2, 1, 0)},
				{punctual.RunQuery{Since: at(time.Minute), Until: at(4 * time.Minute).In(time.FixedZone("", 3600))}, pick(3, 2, 1)},
				{punctual.RunQuery{TaskID: "a", States: states(punctual.StateSucceeded), Since: at(time.Second)}, pick(4)},
				{punctual.RunQuery{TaskID: "b", Until: at(4 * time.Minute), Before: rows[3].ID}, pick(1)},
				{punctual.RunQuery{States: states(punctual.StateSucceeded, punctual.StateSkipped), Limit: 2}, pick(4, 3)},
			} {
				f.same(c.want, f.runs(c.query), "runs selected by %+v", c.query)
			}
		},
	},
	{
		name:    "pages through lists that change",
		promise: "what is there all the while is on exactly one page, whatever is added and removed between two pages",
		check: func(f *fixture) {
			var tasks, runs []string
			for i := range 30 {
				id := fmt.Sprintf("task-%02d", i)
				f.add(id)
				tasks = append(tasks, id)
				runs = append(runs, f.put(f.ended(id, punctual.StateSucceeded, f.now))[0].ID)
			}
			f.add("churn")
			n := 0
			seen := f.pageThrough(4, func(cursor string) []string {
				ids := f.tasks(punctual.TaskQuery{Limit: 4, After: cursor})
				f.add(fmt.Sprintf("task-%02d-x%d", n, n))
				f.add(fmt.Sprintf("aaa-%d", n))
				f.change("task-"+fmt.Sprintf("%02d", 29-n), punctual.Change{Remove: true, KeepHistory: true})
				n++
				return ids
			})
			for i, id := range tasks[:30-n] {
				f.same(1, count(seen, id), "how often task %d is on a page", i)
			}
			f.check(slices.IsSorted(seen), "pages of tasks are not in order: %v", seen)
			seen = f.pageThrough(4, func(cursor string) []string {
				ids := f.runs(punctual.RunQuery{Limit: 4, Before: cursor})
				f.put(f.ended("churn", punctual.StateFailed, f.now))
				return ids
			})
			for i, id := range runs {
				f.same(1, count(seen, id), "how often run %d is on a page", i)
			}
			f.check(slices.IsSorted(reversed(seen)), "pages of runs are not in order: %v", seen)
		},
	},
}

func count(ids []string, id string) int {
	n := 0
	for _, other := range ids {
		if other == id {
			n++
		}
	}
	return n
}
