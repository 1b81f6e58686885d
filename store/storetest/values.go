package storetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/punctual-go/punctual"
)

// fine is a time that is finer than stores keep, and not in UTC.
func fine(d time.Duration) time.Time {
	return at(d).Add(789 * time.Nanosecond).In(time.FixedZone("UTC+5:45", 5*3600+45*60))
}

// cleanRun checks every time of a run.
func (f *fixture) cleanRun(r punctual.Run, what string) {
	f.Helper()
	times := []time.Time{r.ScheduledAt, r.Until, r.DueAt, r.StartedAt, r.FinishedAt, r.CreatedAt}
	for _, a := range r.History {
		times = append(times, a.StartedAt, a.FinishedAt)
	}
	f.clean(what, times...)
}

func (f *fixture) clean(what string, times ...time.Time) {
	f.Helper()
	for i, t := range times {
		f.check(clean(t), "%s: time %d is not in UTC and whole microseconds: %v", what, i, t)
	}
}

var valueCases = []testCase{
	{
		name:    "keeps times in microseconds",
		promise: "times are cut to whole microseconds and handed out in UTC",
		check: func(f *fixture) {
			f.now = fine(0)
			f.add("task", func(_ *punctual.Task, s *punctual.Status) {
				s.Anchor, s.NextRunAt, s.LastOccurrence = fine(time.Second), fine(time.Minute), fine(2*time.Second)
			})
			v := f.see("task")
			status := v.Record.Status
			f.same(punctual.Status{Anchor: at(time.Second), NextRunAt: at(time.Minute), LastOccurrence: at(2 * time.Second)}, status, "state")
			f.same(noon, v.Now, "View.Now")
			f.clean("View", v.Now, status.Anchor, status.NextRunAt, status.LastOccurrence, v.Record.CreatedAt, v.Record.UpdatedAt)
			snapshot := f.task("task")
			f.clean("Snapshot", snapshot.NextRunAt, snapshot.CreatedAt, snapshot.UpdatedAt)

			row := f.fullRun("task", punctual.StatePending)
			want := row
			row.ScheduledAt, row.Until, row.DueAt, row.StartedAt, row.CreatedAt = fine(1), fine(2), fine(3), fine(4), fine(5)
			want.ScheduledAt, want.Until, want.DueAt, want.StartedAt, want.CreatedAt = noon, noon, noon, noon, noon
			row.FinishedAt, want.FinishedAt = fine(6), noon
			row.History = []punctual.Attempt{{Number: 1, StartedAt: fine(7), FinishedAt: fine(8), Outcome: "lost"}}
			want.History = []punctual.Attempt{{Number: 1, StartedAt: noon, FinishedAt: noon, Outcome: "lost"}}
			f.put(row)
			got := f.run(row.ID)
			f.same(want, got, "row")
			f.cleanRun(got, "row")

			reply := f.claim(10)
			f.same(at(time.Minute), reply.NextDue, "NextDue")
			f.clean("ClaimReply", reply.Now, reply.NextDue)
			f.cleanRun(reply.Started[0], "started run")
			item := f.retry(reply.Started[0], fine(time.Second))
			item.StartedAt = fine(0)
			finished := f.finishAll(item)
			f.same(at(time.Second), finished.NextDue, "FinishReply.NextDue")
			f.clean("FinishReply", finished.Now, finished.NextDue)
			f.verdict(already, item, "the repeat of an outcome with a fine time")
			f.cleanRun(f.run(row.ID), "run after Finish")
		},
	},
	{
		name:    "takes the epoch for a time",
		promise: "1970-01-01T00:00:00Z and times before it are times like any other, and only the zero time is none",
		check: func(f *fixture) {
			for i, now := range []time.Time{time.UnixMicro(0), time.UnixMicro(-1_500_000), time.Unix(-10_000_000_000, 0)} {
				now = now.UTC()
				f.now = now
				id := fmt.Sprintf("task-%d", i)
				f.add(id, owed(now))
				run := f.pending(id, now)
				f.put(run)
				f.same(now, f.task(id).NextRunAt, "NextRunAt")
				v := f.see(id)
				f.same(0, v.Waiting, "View.Waiting: a run that is due at %v does not wait", now)
				f.same([]punctual.Run{run}, v.Pending, "View.Pending")
				started := f.claim(10).Started
				f.same([]string{id, id}, taskIDs(started), "tasks of the runs started at %v", now)
				f.same(now, f.run(run.ID).StartedAt, "StartedAt")
				f.verdict(applied, f.outcome(started[0], punctual.StateSucceeded), "the run")
				f.same(now, f.run(run.ID).FinishedAt, "FinishedAt")
				f.change(id, punctual.Change{Remove: true})
			}
		},
	},
	{
		name:    "keeps values that are changed after they were handed in",
		promise: "values handed in are copied: what the caller does to them afterwards changes nothing",
		check: func(f *fixture) {
			task, status := fullTask("report"), punctual.Status{NextRunAt: at(time.Hour)}
			row := f.fullRun("report", punctual.StatePending)
			rows := []punctual.Run{row}
			f.change("report", punctual.Change{Task: &task, Status: &status, Insert: rows})
			spoilTask(&task)
			status.NextRunAt = f.now
			spoilRun(&rows[0])
			want := fullTask("report")
			f.same(want, f.task("report").Task, "definition")
			f.same(at(time.Hour), f.task("report").NextRunAt, "NextRunAt")
			clean := f.run(row.ID)
			f.same(json.RawMessage(`{"sent":3}`), clean.Result.Facts, "facts")
			f.same("failed", clean.History[0].Outcome, "outcome in the history")

			f.now = at(time.Minute)
			run := f.restart("the pending run")
			item := f.outcome(run, punctual.StateSucceeded)
			item.Result.Facts = json.RawMessage(`{"tokens":7}`)
			f.verdict(applied, item, "the run")
			copy(item.Result.Facts, `{"broken`)
			f.same(json.RawMessage(`{"tokens":7}`), f.run(run.ID).Result.Facts, "facts of a Finish")
		},
	},
	{
		name:    "keeps values that are changed after they were handed out",
		promise: "values handed out belong to the caller: what it does to them changes nothing in the store",
		check: func(f *fixture) {
			task, status := fullTask("report"), punctual.Status{NextRunAt: f.now}
			pending, running := f.fullRun("report", punctual.StatePending), f.fullRun("report", punctual.StateRunning)
			pending.DueAt = f.now
			f.change("report", punctual.Change{Task: &task, Status: &status, Insert: []punctual.Run{pending, running}})
			intact := func(after string) {
				f.Helper()
				v := f.see("report")
				f.same(fullTask("report"), v.Record.Task, "definition after what %s answered was changed", after)
				f.same(running, f.run(running.ID), "running row after what %s answered was changed", after)
				got := f.run(pending.ID)
				f.same(pending.History, got.History, "history after what %s answered was changed", after)
				f.same(pending.Result, got.Result, "result after what %s answered was changed", after)
			}
			spoilSnapshot := func(s punctual.Snapshot) {
				spoilTask(&s.Task)
				spoilRun(s.LastRun)
			}
			spoilSnapshot(f.task("report"))
			intact("Task")
			page, err := f.store.Tasks(f.ctx, punctual.TaskQuery{})
			f.must(err, "Tasks")
			spoilSnapshot(page[0])
			intact("Tasks")
			run := f.run(running.ID)
			spoilRun(&run)
			intact("Run")
			runs, err := f.store.Runs(f.ctx, punctual.RunQuery{})
			f.must(err, "Runs")
			for i := range runs {
				spoilRun(&runs[i])
			}
			intact("Runs")
			v := f.see("report")
			spoilTask(&v.Record.Task)
			spoilRun(&v.Pending[0])
			intact("Edit, in its View,")
			var seen punctual.View
			reply := f.claimAs(punctual.ClaimRequest{Limit: 5, Decide: func(v punctual.View) (punctual.Change, error) {
				seen = v
				return f.startDue(v)
			}})
			spoilTask(&seen.Record.Task)
			spoilRun(&seen.Pending[0])
			for i := range reply.Started {
				f.same(fullTask("report").Payload, reply.Started[i].Payload, "payload of started run %d", i)
				f.same(fullTask("report").Labels, reply.Started[i].Labels, "labels of started run %d", i)
				spoilRun(&reply.Started[i])
			}
			intact("Claim")
			if f.leaser != nil {
				held, err := f.leaser.Held(f.ctx, f.session)
				f.must(err, "Held")
				for i := range held {
					spoilRun(&held[i])
				}
				intact("Held")
			}
		},
	},
	{
		name:    "takes any id that a task may have",
		promise: "ids are told apart byte by byte, up to 255 bytes of any UTF-8",
		check: func(f *fixture) {
			ids := []string{
				strings.Repeat("x", 255), strings.Repeat("é", 127) + "x", strings.Repeat("🎉", 63) + "abc",
				"a", "A", "a ", " a", "a\u00a0", "á", "a\u0301", "ß", "ss", "İ", "i", "ı", "%", "_", "a%", "\\", "\\%", "'", "\"", "`", "';--",
				"$1", "?", ":x", "{}", "null", "0", "00", "-1", "1e3", "../x", "日本語", "שלום", "ﬁ", "\u200b", "\ufeff", "\ufffd", "\U0010ffff",
			}
			runs := map[string]punctual.Run{}
			for _, id := range ids {
				f.add(id, owed(f.now), named(id), kind(id), labeled(map[string]string{id: id}))
				run := f.pending(id, time.Time{})
				run.TaskName, run.Kind, run.Error = id, id, id
				runs[id] = f.put(run)[0]
			}
			slices.Sort(ids)
			f.same(ids, f.tasks(punctual.TaskQuery{}), "Tasks")
			for _, id := range ids {
				task := f.task(id).Task
				f.check(task.ID == id && task.Name == id && task.Kind == id && maps.Equal(task.Labels, map[string]string{id: id}), "task %q came back as %+v", id, task)
				f.same(runs[id], f.run(runs[id].ID), "run of task %q", id)
				f.same([]string{runs[id].ID}, f.runs(punctual.RunQuery{TaskID: id}), "runs of task %q", id)
				f.same([]string{id}, f.tasks(punctual.TaskQuery{Kind: id}), "tasks of kind %q", id)
				f.same([]string{id}, f.tasks(punctual.TaskQuery{Labels: map[string]string{id: id}}), "tasks with label %q", id)
			}
			reply := f.claimAs(punctual.ClaimRequest{Limit: 500, Kinds: []string{"a", "\\", "'"}, Decide: f.startDue})
			f.same([]string{"'", "\\", "a"}, taskIDs(reply.Started), "tasks of three odd kinds")
			rest := taskIDs(f.claim(500).Started)
			f.same(len(ids)-3, len(rest), "number of the other tasks")
			f.check(slices.IsSorted(rest), "tasks that are due at the same time are not started in the order of their ids: %q", rest)
		},
	},
	{
		name:    "keeps large and odd payloads",
		promise: "a payload is any JSON value up to MaxPayload, and it comes back with the same meaning",
		check: func(f *fixture) {
			big := `"` + strings.Repeat("0123456789abcde\\n", (punctual.MaxPayload-2)/17) + `"`
			for i, payload := range []string{
				"", "null", "true", `"text"`, "12345678901234567890.123456789", "[]", "{}", ` { "b" : 1 , "a" : [ 1.0, 1e400 ] } `,
				`"\u0000"`, `{"a\u0000b":"\ud83c\udf89 é <&> \u2028"}`, `{"b":1,"a":2}`, `"\\ ' \" $1 ?"`, big,
			} {
				id := fmt.Sprintf("task-%d", i)
				f.add(id, owed(f.now), func(t *punctual.Task, _ *punctual.Status) { t.Payload = json.RawMessage(payload) })
				f.same(json.RawMessage(payload), f.task(id).Task.Payload, "payload %d in Task", i)
				started := f.claim(5).Started
				if len(started) != 1 {
					f.failf("Claim started %d runs, want 1", len(started))
				}
				f.same(json.RawMessage(payload), started[0].Payload, "payload %d of the started run", i)
			}
		},
	},
	{
		name:    "keeps large and odd texts",
		promise: "output, error and stack come back as they are, whatever UTF-8 they hold, but for NUL, which a store may replace",
		check: func(f *fixture) {
			f.add("task")
			for i, text := range []string{
				strings.Repeat("a line of output\n", 4096), "é 日本 🎉 \u200b\ufeff\ufffd", "\x01\x1b[31m\t\r\n\x7f", "' \" \\ % _ $1 ? `", " ", "a\x00b\x00",
			} {
				run := f.put(f.running("task"))[0]
				item := f.outcome(run, punctual.StateFailed)
				item.Result.Output, item.Error, item.Stack = text, text, text
				f.verdict(applied, item, "text %d", i)
				got := f.run(run.ID)
				for _, pair := range [][2]string{{"output", got.Result.Output}, {"error", got.Error}, {"stack", got.Stack}} {
					f.check(sameText(text, pair[1]), "%s: want %s, got %s", pair[0], show(text), show(pair[1]))
				}
				retried := f.put(f.running("task"))[0]
				item = f.retry(retried, at(time.Hour))
				item.Error = text
				f.verdict(applied, item, "text %d as the error of a retry", i)
				f.check(sameText(text, f.run(retried.ID).History[0].Error), "error in the history is not text %d", i)
			}
		},
	},
	{
		name:    "has a clock of its own",
		promise: "with a zero Now the store's own clock decides, and the reply says what it was",
		check: func(f *fixture) {
			f.now = time.Time{}
			var seen time.Time
			reply := f.edit("task", func(v punctual.View) (punctual.Change, error) {
				seen = v.Now
				task := punctual.Task{ID: "task", Schedule: punctual.Every(time.Minute), Revision: 1}
				return punctual.Change{Task: &task, Status: &punctual.Status{NextRunAt: v.Now}, Insert: []punctual.Run{
					{ID: f.name("run"), TaskID: "task", Trigger: punctual.TriggerManual, State: punctual.StatePending, DueAt: v.Now.Add(time.Hour), CreatedAt: v.Now},
				}}, nil
			})
			f.same(seen, reply.Now, "EditReply.Now and View.Now")
			f.clean("Now", seen)
			f.check(seen.Year() > 2000, "the store's clock says %v", seen)
			f.same(seen, f.task("task").CreatedAt, "CreatedAt")
			if f.leaser != nil {
				// The session of the fixture was opened at another time: one by the store's own clock takes its place.
				f.session = "session-now"
				beat, err := f.leaser.Beat(f.ctx, punctual.BeatRequest{Session: f.session, Instance: instance, Lease: lease})
				f.must(err, "Beat")
				f.check(!beat.Now.Before(seen), "BeatReply.Now %v is before EditReply.Now %v", beat.Now, seen)
			}
			claimed, err := f.store.Claim(f.ctx, punctual.ClaimRequest{Session: f.session, Limit: 5, Decide: func(v punctual.View) (punctual.Change, error) {
				f.check(!v.Now.Before(seen), "View.Now %v is before that of the Edit before, %v", v.Now, seen)
				return f.startDue(v)
			}})
			f.must(err, "Claim")
			f.same(1, len(claimed.Started), "number of started runs")
			f.same(seen.Add(time.Minute), claimed.NextDue, "NextDue")
			f.check(!claimed.Now.Before(seen), "ClaimReply.Now %v is before EditReply.Now %v", claimed.Now, seen)
			item := f.outcome(claimed.Started[0], punctual.StatePending)
			item.FinishedAt = claimed.Now
			finished := f.finishAll(item)
			f.check(!finished.Now.Before(claimed.Now), "FinishReply.Now %v is before ClaimReply.Now %v", finished.Now, claimed.Now)
			f.same(finished.Now, f.run(claimed.Started[0].ID).DueAt, "DueAt of a run that may start again at once")
		},
	},
}

// sameText compares texts, where NUL may have been dropped or replaced.
func sameText(want, got string) bool {
	if want == got {
		return true
	}
	strip := strings.NewReplacer("\x00", "", "\ufffd", "", "\u2400", "")
	return strings.Contains(want, "\x00") && strip.Replace(want) == strip.Replace(got)
}

// spoilTask changes everything that a definition refers to.
func spoilTask(t *punctual.Task) {
	for i := range t.Payload {
		t.Payload[i] = 'x'
	}
	for key := range t.Labels {
		t.Labels[key] = "spoiled"
	}
	if t.Labels != nil {
		t.Labels["new"] = "spoiled"
	}
}

// spoilRun changes everything that a run refers to.
func spoilRun(r *punctual.Run) {
	for i := range r.History {
		r.History[i].Outcome = "spoiled"
	}
	for i := range r.Result.Facts {
		r.Result.Facts[i] = 'x'
	}
	for i := range r.Payload {
		r.Payload[i] = 'x'
	}
	for key := range r.Labels {
		r.Labels[key] = "spoiled"
	}
}
