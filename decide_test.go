package punctual

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tables below are the specification of the policies: each row is a situation and what the ledger must say about it.

var t0 = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

// decideDue returns what rules say about a task that is due.
func decideDue(r *rules, v *View, room *room) (c Change, err error) {
	err = r.decideDue(v, room, &c)
	return c, err
}

func testRules() *rules {
	n := 0
	return &rules{
		instance: "a", session: "s", register: RunImmediatelyOnRegister,
		newID: func(time.Time) string { n++; return fmt.Sprintf("new%d", n) },
	}
}

// due makes the view of an enabled one-minute task, anchored at t0, whose next occurrence is at t0+1m.
func dueView(now time.Time, change func(*Task, *View)) View {
	task := Task{ID: "t", Schedule: Every(time.Minute), Revision: 1}
	v := View{Now: now, Slots: 10, Record: &Record{Status: Status{Anchor: t0, NextRunAt: t0.Add(time.Minute)}}}
	if change != nil {
		change(&task, &v)
	}
	v.Record.Task = task
	return v
}

// rows describes ledger rows for comparison: trigger, occurrence relative to t0, state, and what matters of the rest.
func rows(runs []Run) []string {
	var out []string
	for _, r := range runs {
		s := fmt.Sprintf("%v +%v %v", r.Trigger, r.ScheduledAt.Sub(t0), r.State)
		if r.Count > 1 {
			s += fmt.Sprintf(" until +%v count %d", r.Until.Sub(t0), r.Count)
		}
		if r.State == StatePending && r.DueAt.IsZero() {
			s += " waits"
		}
		if r.WaitsForKey {
			s += " for key"
		}
		if r.Reason != "" {
			s += " " + r.Reason
		}
		if r.BlockedBy != "" {
			s += " by " + r.BlockedBy
		}
		out = append(out, s)
	}
	return out
}

func TestWhatBecomesOfAnOccurrence(t *testing.T) {
	minute := time.Minute
	busy := func(n int) func(*Task, *View) {
		return func(_ *Task, v *View) { v.Active, v.OldestActive = n, "busy" }
	}
	tests := []struct {
		name     string
		now      time.Duration // after t0
		change   func(*Task, *View)
		inserted []string
		next     time.Duration // after t0; 0: none
		deferred bool
	}{
		{"on time: it starts", minute, nil, []string{"schedule +1m0s running"}, 2 * minute, false},
		{"late within its grace: still on time", minute + time.Second, nil, []string{"schedule +1m0s running"}, 2 * minute, false},
		{"later than its grace: a catch-up", minute + 2*time.Second, nil, []string{"catch-up +1m0s running"}, 2 * minute, false},
		{"no slot: it stays due", minute, func(_ *Task, v *View) { v.Slots = 0 }, nil, minute, true},
		{"disabled: nothing is owed", minute, func(task *Task, _ *View) { task.Disabled = true }, nil, 0, false},
		{"paused: nothing is owed", minute, func(_ *Task, v *View) { v.Record.Status.Paused = true }, nil, 0, false},

		{"overlap skip, busy", minute, busy(1), []string{"schedule +1m0s skipped overlap by busy"}, 2 * minute, false},
		{"overlap skip, busy, no slot: skipping needs none", minute, func(task *Task, v *View) { busy(1)(task, v); v.Slots = 0 }, []string{"schedule +1m0s skipped overlap by busy"}, 2 * minute, false},
		{"two may be active", minute, func(task *Task, v *View) { busy(1)(task, v); task.MaxActive = 2 }, []string{"schedule +1m0s running"}, 2 * minute, false},
		{"overlap queue, room", minute, func(task *Task, v *View) { busy(1)(task, v); task.Overlap = OverlapQueue }, []string{"schedule +1m0s pending waits"}, 2 * minute, false},
		{"overlap queue, full", minute, func(task *Task, v *View) { busy(1)(task, v); task.Overlap = OverlapQueue; v.Waiting = 1 }, []string{"schedule +1m0s skipped queue full by busy"}, 2 * minute, false},
		{"overlap queue of two", minute, func(task *Task, v *View) {
			busy(1)(task, v)
			task.Overlap, task.MaxQueued, v.Waiting = OverlapQueue, 2, 1
		}, []string{"schedule +1m0s pending waits"}, 2 * minute, false},
		{"overlap allow, busy", minute, func(task *Task, v *View) { busy(7)(task, v); task.Overlap = OverlapAllow }, []string{"schedule +1m0s running"}, 2 * minute, false},
		{"overlap allow with a bound waits", minute, func(task *Task, v *View) { busy(2)(task, v); task.Overlap, task.MaxActive = OverlapAllow, 2 }, []string{"schedule +1m0s pending waits"}, 2 * minute, false},
		{"overlap replace, busy: it waits for the end that it ordered", minute, func(task *Task, v *View) { busy(1)(task, v); task.Overlap = OverlapReplace }, []string{"schedule +1m0s pending waits"}, 2 * minute, false},
		{"overlap replace, free", minute, func(task *Task, _ *View) { task.Overlap = OverlapReplace }, []string{"schedule +1m0s running"}, 2 * minute, false},

		{"the key is free", minute, func(task *Task, _ *View) { task.ConcurrencyKey = "k" }, []string{"schedule +1m0s running"}, 2 * minute, false},
		{"the key is taken", minute, func(task *Task, v *View) { task.ConcurrencyKey, v.KeyActive, v.KeyOldest = "k", 1, "other" }, []string{"schedule +1m0s pending waits for key"}, 2 * minute, false},
		{"the key is taken, no slot: waiting needs none", minute, func(task *Task, v *View) { task.ConcurrencyKey, v.KeyActive, v.Slots = "k", 1, 0 }, []string{"schedule +1m0s pending waits for key"}, 2 * minute, false},
		{"a key for two", minute, func(task *Task, v *View) { task.ConcurrencyKey, task.ConcurrencyLimit, v.KeyActive = "k", 2, 1 }, []string{"schedule +1m0s running"}, 2 * minute, false},
		{"one of the task waits for the key already", minute, func(task *Task, v *View) {
			task.ConcurrencyKey, v.KeyActive, v.KeyOldest, v.KeyWaiting = "k", 1, "other", 1
		}, []string{"schedule +1m0s skipped overlap by other"}, 2 * minute, false},
		{"busy and the key is taken: the overlap policy comes first", minute, func(task *Task, v *View) { busy(1)(task, v); task.ConcurrencyKey, v.KeyActive = "k", 1 }, []string{"schedule +1m0s skipped overlap by busy"}, 2 * minute, false},

		{"down for an hour, run once", 61*minute + 30*time.Second, nil, []string{"catch-up +1h1m0s running", "schedule +1m0s missed until +1h0m0s count 60 misfire"}, 62 * minute, false},
		{"down, the latest is on time", 61 * minute, nil, []string{"schedule +1h1m0s running", "schedule +1m0s missed until +1h0m0s count 60 misfire"}, 62 * minute, false},
		{"down, run once, busy", 61*minute + 30*time.Second, busy(1), []string{"catch-up +1h1m0s skipped overlap by busy", "schedule +1m0s missed until +1h0m0s count 60 misfire"}, 62 * minute, false},
		{"down, run all of three", 61*minute + 30*time.Second, func(task *Task, _ *View) { task.Misfire, task.MisfireLimit = MisfireRunAll, 3 }, []string{
			"schedule +1m0s missed until +58m0s count 58 misfire",
			"catch-up +59m0s pending", "catch-up +1h0m0s pending", "catch-up +1h1m0s pending",
		}, 62 * minute, false},
		{"down for less than the limit, run all", 2*minute + 30*time.Second, func(task *Task, _ *View) { task.Misfire = MisfireRunAll }, []string{"catch-up +1m0s pending", "catch-up +2m0s pending"}, 3 * minute, false},
		{"down, skip", 61*minute + 30*time.Second, func(task *Task, _ *View) { task.Misfire = MisfireSkip }, []string{"schedule +1m0s missed until +1h1m0s count 61 misfire"}, 62 * minute, false},
		{"down, skip, one only", minute + 30*time.Second, func(task *Task, _ *View) { task.Misfire = MisfireSkip }, []string{"schedule +1m0s missed misfire"}, 2 * minute, false},
		{"down, skip, the latest is on time", 61 * minute, func(task *Task, _ *View) { task.Misfire = MisfireSkip }, []string{"schedule +1h1m0s running", "schedule +1m0s missed until +1h0m0s count 60 misfire"}, 62 * minute, false},
		{"a longer grace", minute + 30*time.Second, func(task *Task, _ *View) { task.Misfire, task.MisfireGrace = MisfireSkip, minute }, []string{"schedule +1m0s running"}, 2 * minute, false},
		{"the last occurrence there is", minute, func(task *Task, _ *View) { task.Schedule = Once(t0.Add(minute)) }, []string{"schedule +1m0s running"}, 0, false},
		{"asleep over a one-shot", 2 * time.Hour, func(task *Task, _ *View) { task.Schedule = Once(t0.Add(minute)) }, []string{"catch-up +1m0s running"}, 0, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := dueView(t0.Add(test.now), test.change)
			c, err := decideDue(testRules(), &v, new(room))
			require.NoError(t, err)
			assert.Equal(t, test.inserted, rows(c.Insert))
			assert.Equal(t, test.deferred, c.Deferred)
			next := v.Record.Status.NextRunAt
			if c.Status != nil {
				next = c.Status.NextRunAt
			}
			if test.next == 0 {
				assert.True(t, next.IsZero(), "next is %v", next)
			} else {
				assert.Equal(t, t0.Add(test.next), next)
			}
			started := 0
			for _, run := range c.Insert {
				if run.State == StateRunning {
					started++
					assert.Equal(t, 1, run.Attempt)
					assert.Equal(t, "s", run.Session)
				}
			}
			assert.Equal(t, started, c.Starts())
		})
	}
}

// robfig/cron#26: one jump of an hour ran a five-second job 720 times.
func TestClockJumpOfAnHourIsOneRunAndOneMissedRow(t *testing.T) {
	v := dueView(t0.Add(time.Hour), func(task *Task, v *View) {
		task.Schedule = Every(5 * time.Second)
		v.Record.Status.NextRunAt = t0.Add(5 * time.Second)
	})
	c, err := decideDue(testRules(), &v, new(room))
	require.NoError(t, err)
	assert.Equal(t, []string{"schedule +1h0m0s running", "schedule +5s missed until +59m55s count 719 misfire"}, rows(c.Insert))
	assert.Equal(t, t0.Add(time.Hour+5*time.Second), c.Status.NextRunAt)
}

func TestConsecutiveSkipsBehindOneRunAreOneRow(t *testing.T) {
	r := testRules()
	v := dueView(t0.Add(time.Minute), func(_ *Task, v *View) { v.Active, v.OldestActive = 1, "busy" })
	c, err := decideDue(r, &v, new(room))
	require.NoError(t, err)
	require.Len(t, c.Insert, 1)
	first := c.Insert[0].ID

	for i := 2; i <= 4; i++ {
		v.Now = t0.Add(time.Duration(i) * time.Minute)
		v.Record.Status = *c.Status
		c, err = decideDue(r, &v, new(room))
		require.NoError(t, err)
		require.Empty(t, c.Insert)
		require.Len(t, c.Update, 1)
		assert.Equal(t, first, c.Update[0].ID)
		assert.EqualValues(t, i, c.Update[0].Count)
		assert.Equal(t, v.Now, c.Update[0].Until)
	}

	v.Now, v.Record.Status, v.OldestActive = t0.Add(5*time.Minute), *c.Status, "another"
	c, err = decideDue(r, &v, new(room))
	require.NoError(t, err)
	assert.Equal(t, []string{"schedule +5m0s skipped overlap by another"}, rows(c.Insert), "another run in the way opens another row")

	v.Now, v.Record.Status, v.Active, v.OldestActive = t0.Add(6*time.Minute), *c.Status, 0, ""
	c, err = decideDue(r, &v, new(room))
	require.NoError(t, err)
	assert.Equal(t, []string{"schedule +6m0s running"}, rows(c.Insert))
	assert.Zero(t, c.Status.Skipping, "a start closes the row")
}

func TestWhatBecomesOfAPendingRun(t *testing.T) {
	run := func(trigger Trigger, attempt int) Run {
		return Run{ID: "p", TaskID: "t", Trigger: trigger, Attempt: attempt, State: StatePending, ScheduledAt: t0, DueAt: t0, Count: 1}
	}
	tests := []struct {
		name    string
		run     Run
		overlap Overlap
		active  int
		want    string
	}{
		{"immediate, free", run(TriggerRegister, 0), OverlapSkip, 0, "register +0s running"},
		{"immediate, busy", run(TriggerRegister, 0), OverlapSkip, 1, "register +0s skipped overlap by busy"},
		{"immediate, busy, queue", run(TriggerRegister, 0), OverlapQueue, 1, "register +0s pending waits"},
		{"manual, busy", run(TriggerManual, 0), OverlapSkip, 1, "manual +0s skipped overlap by busy"},
		{"retry, free", run(TriggerManual, 1), OverlapSkip, 0, "manual +0s running"},
		{"retry, busy: accepted once, it waits", run(TriggerManual, 1), OverlapSkip, 1, "manual +0s pending waits"},
		{"catch-up, busy: it waits", run(TriggerCatchUp, 0), OverlapSkip, 1, "catch-up +0s pending waits"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := dueView(t0.Add(time.Second), func(task *Task, v *View) {
				task.Overlap = test.overlap
				v.Pending = []Run{test.run}
				if v.Active = test.active; v.Active > 0 {
					v.OldestActive = "busy"
				}
			})
			c, err := decideDue(testRules(), &v, new(room))
			require.NoError(t, err)
			assert.Equal(t, []Run{test.run}, v.Pending, "a decision changes nothing of what it was shown")
			assert.Equal(t, []string{test.want}, rows(c.Update))
			if c.Update[0].State == StateRunning {
				assert.Equal(t, test.run.Attempt+1, c.Update[0].Attempt)
			}
		})
	}
}

// What a replacing run does to the runs before it: the active one is ordered to end, of those that wait only the newest stays.
func TestWhatReplaceDoesToOthers(t *testing.T) {
	waiter := func(trigger Trigger, attempt int) *Run {
		return &Run{ID: "w", TaskID: "t", Trigger: trigger, Attempt: attempt, State: StatePending, ScheduledAt: t0, Count: 1}
	}
	tests := []struct {
		name   string
		waiter *Run
		want   []string
	}{
		{"nobody waits", nil, nil},
		{"an occurrence waits", waiter(TriggerSchedule, 0), []string{"schedule +0s skipped replaced by new1"}},
		{"a manual run waits", waiter(TriggerManual, 0), []string{"manual +0s skipped replaced by new1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := dueView(t0.Add(time.Minute), func(task *Task, v *View) {
				task.Overlap, v.Active, v.OldestActive = OverlapReplace, 1, "busy"
				if v.Waiter = test.waiter; test.waiter != nil {
					v.Waiting = 1
				}
			})
			c, err := decideDue(testRules(), &v, new(room))
			require.NoError(t, err)
			assert.Equal(t, []string{"schedule +1m0s pending waits"}, rows(c.Insert))
			assert.Equal(t, test.want, rows(c.Update))
			assert.Equal(t, []CancelOrder{{RunID: "busy", Reason: ReasonReplaced, BlockedBy: "new1"}}, c.Cancel)
		})
	}
}

func TestARetryDoesNotReplaceWhatCameAfterIt(t *testing.T) {
	for name, inTheWay := range map[string]func(*Task, *View){
		"it is active": func(_ *Task, v *View) { v.Active, v.OldestActive = 1, "newer" },
		"it waits for a key": func(task *Task, v *View) {
			task.ConcurrencyKey, v.KeyActive, v.KeyOldest, v.KeyWaiting = "k", 1, "newer", 1
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := dueView(t0.Add(time.Second), func(task *Task, v *View) {
				task.Overlap = OverlapReplace
				inTheWay(task, v)
				v.Pending = []Run{{ID: "p", TaskID: "t", Trigger: TriggerSchedule, Attempt: 1, State: StatePending, ScheduledAt: t0, DueAt: t0, Count: 1}}
			})
			c, err := decideDue(testRules(), &v, new(room))
			require.NoError(t, err)
			assert.Equal(t, []string{"schedule +0s failed replaced by newer"}, rows(c.Update))
			assert.Empty(t, c.Cancel)
		})
	}
}

func TestARunThatWasLookedAtLateDoesNotReplaceWhatCameAfterIt(t *testing.T) {
	tests := []struct {
		name     string
		inTheWay func(*View)
		putOff   time.Duration
		want     string
	}{
		{"an older one is active", func(v *View) { v.OldestActive = "a" }, 0, "manual +0s pending waits"},
		{"a newer one is active", func(v *View) { v.OldestActive = "q" }, 0, "manual +0s skipped replaced by q"},
		{"a newer one is active, but this one was put off", func(v *View) { v.OldestActive = "q" }, time.Second, "manual +1s pending waits"},
		{"a newer one waits", func(v *View) {
			v.OldestActive, v.Waiting, v.Waiter = "a", 1, &Run{ID: "w", TaskID: "t", Trigger: TriggerManual, State: StatePending}
		}, 0, "manual +0s skipped replaced by w"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := dueView(t0.Add(time.Second), func(task *Task, v *View) {
				task.Overlap, v.Active = OverlapReplace, 1
				test.inTheWay(v)
				at := t0.Add(test.putOff)
				v.Pending = []Run{{ID: "p", TaskID: "t", Trigger: TriggerManual, State: StatePending, CreatedAt: t0, ScheduledAt: at, DueAt: at, Count: 1}}
			})
			c, err := decideDue(testRules(), &v, new(room))
			require.NoError(t, err)
			assert.Equal(t, []string{test.want}, rows(c.Update))
			assert.Equal(t, strings.HasSuffix(test.want, "waits"), len(c.Cancel) == 1, "who is cancelled: %v", c.Cancel)
		})
	}
}

// A run that came to wait in the same decision and keeps its place does not hide an older one that has to make room.
func TestReplaceFindsWhoMayBeReplacedBehindThoseThatKeepTheirPlace(t *testing.T) {
	keeps := func(trigger Trigger) Run {
		return Run{ID: trigger.String(), TaskID: "t", Trigger: trigger, State: StatePending, ScheduledAt: t0, DueAt: t0, Count: 1}
	}
	v := dueView(t0.Add(time.Minute), func(task *Task, v *View) {
		task.Overlap, v.Active, v.OldestActive, v.Waiting = OverlapReplace, 1, "busy", 1
		v.Waiter = &Run{ID: "w", TaskID: "t", Trigger: TriggerManual, State: StatePending, ScheduledAt: t0, Count: 1}
		v.Pending = []Run{keeps(TriggerCatchUp), keeps(TriggerBackfill)}
	})
	c, err := decideDue(testRules(), &v, new(room))
	require.NoError(t, err)
	assert.Equal(t, []string{"catch-up +0s pending waits", "backfill +0s pending waits", "manual +0s skipped replaced by new1"}, rows(c.Update))
	assert.Equal(t, []string{"schedule +1m0s pending waits"}, rows(c.Insert))
}

func TestAStartedPendingRunStandsInTheWayOfTheOccurrenceBehindIt(t *testing.T) {
	v := dueView(t0.Add(time.Minute), func(_ *Task, v *View) {
		v.Pending = []Run{{ID: "p", TaskID: "t", Trigger: TriggerRegister, State: StatePending, ScheduledAt: t0, DueAt: t0, Count: 1}}
	})
	c, err := decideDue(testRules(), &v, new(room))
	require.NoError(t, err)
	assert.Equal(t, []string{"register +0s running"}, rows(c.Update))
	assert.Equal(t, []string{"schedule +1m0s skipped overlap by p"}, rows(c.Insert))
}

func asking(mode registerMode, task Task) *registration {
	return &registration{mode: mode, task: task, revision: task.Revision}
}

func TestWhatARegistrationDoes(t *testing.T) {
	interval := Task{ID: "t", Schedule: Every(time.Hour)}
	daily := Task{ID: "t", Schedule: Daily("09:30", time.UTC)}
	with := func(task Task, change func(*Task)) Task { change(&task); return task }
	tests := []struct {
		name     string
		task     Task
		mode     registerMode
		rules    func(*rules)
		old      func(*View) // nil: no such task
		inserted []string
		next     time.Duration // 0: none
		err      error
		nothing  bool
	}{
		{name: "interval: at once, then every hour from now", task: interval, inserted: []string{"register +0s running"}, next: time.Hour},
		{name: "no slot: the run waits in the store", task: interval, old: nil, rules: func(*rules) {}, inserted: []string{"register +0s running"}, next: time.Hour},
		{name: "fixed time waits for its time", task: daily, next: 23*time.Hour + 30*time.Minute},
		{name: "fixed time at once on request", task: with(daily, func(t *Task) { t.OnRegister = RunImmediatelyOnRegister }), inserted: []string{"register +0s running"}, next: 23*time.Hour + 30*time.Minute},
		{name: "interval that waits", task: with(interval, func(t *Task) { t.OnRegister = WaitForSchedule }), next: time.Hour},
		{name: "scheduler that waits", task: interval, rules: func(r *rules) { r.register = WaitForSchedule }, next: time.Hour},
		{name: "first delay moves run and anchor", task: with(interval, func(t *Task) { t.FirstDelay = time.Minute }), inserted: []string{"register +1m0s pending"}, next: 61 * time.Minute},
		{name: "disabled owes nothing", task: with(interval, func(t *Task) { t.Disabled = true })},
		{name: "fixed delay counts from the end of the run", task: Task{ID: "t", Schedule: Every(time.Hour).AfterCompletion()}, inserted: []string{"register +0s running"}},
		{name: "fixed delay that waits", task: Task{ID: "t", Schedule: Every(time.Hour).AfterCompletion(), OnRegister: WaitForSchedule}, next: time.Hour},
		{name: "never again is refused", task: Task{ID: "t", Schedule: Once(t0)}, err: ErrInvalidTask},
		{name: "once, later", task: Task{ID: "t", Schedule: Once(t0.Add(time.Hour))}, next: time.Hour},
		{name: "add, taken", task: interval, old: func(*View) {}, err: ErrTaskExists},
		{name: "reschedule, absent", task: interval, mode: modeReschedule, err: ErrTaskNotFound},
		{name: "ensure, absent", task: interval, mode: modeEnsure, inserted: []string{"register +0s running"}, next: time.Hour},
		{name: "ensure, same", task: Task{ID: "t", Schedule: Every(time.Minute)}, mode: modeEnsure, old: func(*View) {}, nothing: true},
		{name: "ensure, changed", task: interval, mode: modeEnsure, old: func(*View) {}, inserted: []string{"register +0s running"}, next: time.Hour},
		{name: "reschedule, same definition: at once again", task: Task{ID: "t", Schedule: Every(time.Minute)}, mode: modeReschedule, old: func(*View) {}, inserted: []string{"register +0s running"}, next: time.Minute},
		{name: "compare-and-set, current", task: with(interval, func(t *Task) { t.Revision = 1 }), mode: modeReschedule, old: func(*View) {}, inserted: []string{"register +0s running"}, next: time.Hour},
		{name: "compare-and-set, stale", task: with(interval, func(t *Task) { t.Revision = 7 }), mode: modeReschedule, old: func(*View) {}, err: ErrConflict},
		{name: "reschedule while paused stays paused", task: interval, mode: modeReschedule, old: func(v *View) { v.Record.Status.Paused = true }},
		{name: "reschedule while busy: the overlap policy decides", task: interval, mode: modeReschedule, old: func(v *View) { v.Active, v.OldestActive = 1, "busy" }, inserted: []string{"register +0s skipped overlap by busy"}, next: time.Hour},
		{name: "reschedule while busy, queue", task: with(interval, func(t *Task) { t.Overlap = OverlapQueue }), mode: modeReschedule, old: func(v *View) { v.Active, v.OldestActive = 1, "busy" }, inserted: []string{"register +0s pending waits"}, next: time.Hour},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := View{Now: t0, Slots: 1}
			if test.old != nil {
				v = dueView(t0, nil)
				test.old(&v)
			}
			r := testRules()
			if test.rules != nil {
				test.rules(r)
			}
			c, err := r.decideRegister(&v, asking(test.mode, test.task), new(room))
			if test.err != nil {
				require.ErrorIs(t, err, test.err)
				assert.Equal(t, Change{}, c)
				return
			}
			require.NoError(t, err)
			if test.nothing {
				assert.Equal(t, Change{}, c)
				return
			}
			assert.Equal(t, test.inserted, rows(c.Insert))
			if test.next == 0 {
				assert.True(t, c.Status.NextRunAt.IsZero(), "next is %v", c.Status.NextRunAt)
			} else {
				assert.Equal(t, t0.Add(test.next), c.Status.NextRunAt)
			}
			wantRevision := int64(1)
			if test.old != nil {
				wantRevision = 2
			}
			assert.Equal(t, wantRevision, c.Task.Revision)
		})
	}
}

func TestARegistrationOvertakesWhatHasNotBegun(t *testing.T) {
	v := dueView(t0, func(_ *Task, v *View) {
		v.Pending = []Run{
			{ID: "new", TaskID: "t", Trigger: TriggerRegister, State: StatePending, ScheduledAt: t0, DueAt: t0, Count: 1},
			{ID: "tried", TaskID: "t", Trigger: TriggerSchedule, State: StatePending, ScheduledAt: t0, DueAt: t0, Count: 1, Attempt: 2, Error: "boom"},
			{ID: "asked", TaskID: "t", Trigger: TriggerManual, State: StatePending, ScheduledAt: t0, DueAt: t0, Count: 1},
			{ID: "waits", TaskID: "t", Trigger: TriggerManual, State: StatePending, ScheduledAt: t0, Count: 1},
		}
		v.Waiting = 1
	})
	c, err := testRules().decideRegister(&v, asking(modeReschedule, Task{ID: "t", Schedule: Every(time.Hour)}), new(room))
	require.NoError(t, err)
	assert.Equal(t, []string{
		"register +0s skipped superseded", "schedule +0s failed superseded", "manual +0s pending",
	}, rows(c.Update), "what was asked for by hand stays")
	assert.Equal(t, "boom", c.Update[1].Error)
	assert.Equal(t, t0, c.Update[2].DueAt, "what waited for the gate is looked at anew")

	v.Active, v.OldestActive = 1, "busy"
	c, err = testRules().decideRegister(&v, asking(modeReschedule, Task{ID: "t", Schedule: Every(time.Hour), Overlap: OverlapReplace}), new(room))
	require.NoError(t, err)
	assert.Equal(t, []string{"register +0s pending waits"}, rows(c.Insert))
	assert.Equal(t, []string{
		"register +0s skipped superseded", "schedule +0s failed superseded", "manual +0s skipped replaced by new1", "manual +0s skipped replaced by new1",
	}, rows(c.Update), "of the runs that replace the busy one, only the newest should begin")
	assert.Equal(t, []CancelOrder{{RunID: "busy", Reason: ReasonReplaced, BlockedBy: "new1"}}, c.Cancel)
}

// What was due before anybody claimed it is accounted for by whoever overtakes it.
func TestAnEditAccountsForWhatWasDueBeforeIt(t *testing.T) {
	r := testRules()
	late := func(change func(*Task, *View)) View { return dueView(t0.Add(3*time.Minute+30*time.Second), change) }
	tests := []struct {
		name string
		view View
		want []string
		last time.Duration
	}{
		{"one occurrence", dueView(t0.Add(time.Minute), nil), []string{"schedule +1m0s skipped why"}, time.Minute},
		{"several are one row", late(nil), []string{"schedule +1m0s skipped until +3m0s count 3 why"}, 3 * time.Minute},
		{"a fixed delay owes one", late(func(t *Task, v *View) {
			t.Schedule, v.Record.Status.Delay = Every(time.Minute).AfterCompletion(), time.Minute
		}), []string{"schedule +1m0s skipped why"}, time.Minute},
		{"nothing due", dueView(t0.Add(59*time.Second), nil), nil, 0},
		{"paused", late(func(_ *Task, v *View) { v.Record.Status.Paused = true }), nil, 0},
		{"disabled", late(func(t *Task, _ *View) { t.Disabled = true }), nil, 0},
		{"set aside", late(func(_ *Task, v *View) { v.Record.Fault = "broken" }), nil, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var status Status
			assert.Equal(t, test.want, rows(r.overdue(&test.view, &status, "why")))
			if test.last == 0 {
				assert.Zero(t, status.LastOccurrence)
			} else {
				assert.Equal(t, t0.Add(test.last), status.LastOccurrence)
			}
		})
	}

	v := late(nil)
	c, err := r.decidePause(&v)
	require.NoError(t, err)
	assert.Equal(t, []string{"schedule +1m0s skipped until +3m0s count 3 paused"}, rows(c.Insert))
	assert.Equal(t, t0.Add(3*time.Minute), c.Status.LastOccurrence)
	c, err = r.decideRemove(&v, true)
	require.NoError(t, err)
	assert.Equal(t, []string{"schedule +1m0s skipped until +3m0s count 3 removed"}, rows(c.Insert))
	c, err = r.decideRemove(&v, false)
	require.NoError(t, err)
	assert.Empty(t, c.Insert, "the history goes, too")
	c, err = r.decideRegister(&v, asking(modeReschedule, Task{ID: "t", Schedule: Every(time.Hour)}), new(room))
	require.NoError(t, err)
	assert.Equal(t, []string{"schedule +1m0s skipped until +3m0s count 3 superseded", "register +3m30s running"}, rows(c.Insert))
	c, err = r.decideRegister(&v, asking(modeReschedule, Task{ID: "t", Schedule: Every(time.Hour), Disabled: true}), new(room))
	require.NoError(t, err)
	assert.Equal(t, []string{"schedule +1m0s skipped until +3m0s count 3 disabled"}, rows(c.Insert))
}

func TestPauseAndResume(t *testing.T) {
	r := testRules()
	v := dueView(t0.Add(30*time.Second), func(_ *Task, v *View) {
		v.Pending = []Run{{ID: "p", TaskID: "t", Trigger: TriggerRegister, State: StatePending, ScheduledAt: t0, DueAt: t0, Count: 1}}
	})
	c, err := r.decidePause(&v)
	require.NoError(t, err)
	assert.True(t, c.Status.Paused)
	assert.True(t, c.Status.NextRunAt.IsZero())
	assert.Equal(t, []string{"register +0s skipped paused"}, rows(c.Update))

	v.Record.Status, v.Pending = *c.Status, nil
	again, err := r.decidePause(&v)
	require.NoError(t, err)
	assert.Equal(t, Change{}, again)

	v.Now = t0.Add(10*time.Minute + time.Second)
	c, err = r.decideResume(&v)
	require.NoError(t, err)
	assert.Empty(t, c.Insert, "no immediate run on resume")
	assert.Equal(t, t0.Add(11*time.Minute), c.Status.NextRunAt, "the anchor stays; what fell into the pause is not owed")
}

// After the clock went back, occurrences that have a ledger fact are not owed again.
func TestResumeAfterTheClockWentBackRepeatsNothing(t *testing.T) {
	v := dueView(t0.Add(10*time.Minute), func(_ *Task, v *View) {
		v.Record.Status.Paused = true
		v.Record.Status.LastOccurrence = t0.Add(30 * time.Minute)
	})
	c, err := testRules().decideResume(&v)
	require.NoError(t, err)
	assert.Equal(t, t0.Add(31*time.Minute), c.Status.NextRunAt)
}

func TestCancel(t *testing.T) {
	r := testRules()
	pending := Run{ID: "p", TaskID: "t", Trigger: TriggerManual, State: StatePending, DueAt: t0, ScheduledAt: t0, Count: 1}
	waiting := Run{ID: "w", TaskID: "t", Trigger: TriggerManual, State: StatePending, ScheduledAt: t0, Count: 1}
	v := dueView(t0, func(_ *Task, v *View) { v.Run, v.Pending, v.Waiting = &pending, []Run{pending, waiting}, 1 })
	c, err := r.decideCancel(&v)
	require.NoError(t, err)
	assert.Equal(t, []string{"manual +0s canceled canceled", "manual +0s pending"}, rows(c.Update), "the next in line takes its place")

	running := Run{ID: "r", TaskID: "t", State: StateRunning}
	v.Run = &running
	c, err = r.decideCancel(&v)
	require.NoError(t, err)
	assert.Equal(t, []CancelOrder{{RunID: "r", Reason: ReasonCanceled}}, c.Cancel)

	running.State = StateSucceeded
	_, err = r.decideCancel(&v)
	require.ErrorIs(t, err, ErrRunFinished)
}

func TestHowAnAttemptEnds(t *testing.T) {
	boom := errors.New("boom")
	thrice := Retry{MaxAttempts: 3, Initial: time.Second}
	tests := []struct {
		name    string
		attempt int
		retry   Retry
		o       outcome
		once    bool
		state   State
		reason  string
		wait    time.Duration
	}{
		{name: "success", attempt: 1, state: StateSucceeded},
		{name: "success although it was told to stop", attempt: 1, o: outcome{cause: ErrShutdown}, state: StateSucceeded},
		{name: "failure without retry", attempt: 1, o: outcome{err: boom}, state: StateFailed},
		{name: "first failure", attempt: 1, retry: thrice, o: outcome{err: boom}, state: StatePending, wait: time.Second},
		{name: "second failure", attempt: 2, retry: thrice, o: outcome{err: boom}, state: StatePending, wait: 2 * time.Second},
		{name: "last failure", attempt: 3, retry: thrice, o: outcome{err: boom}, state: StateFailed},
		{name: "permanent", attempt: 1, retry: thrice, o: outcome{err: fmt.Errorf("call: %w", Permanent(boom))}, state: StateFailed},
		{name: "the server said when", attempt: 1, retry: thrice, o: outcome{err: RetryAfter(boom, time.Minute)}, state: StatePending, wait: time.Minute},
		{name: "nothing to do", attempt: 1, retry: thrice, o: outcome{err: fmt.Errorf("call: %w", Skip("budget"))}, state: StateSkipped, reason: "budget"},
		{name: "canceled before it said that there is nothing to do", attempt: 1, o: outcome{err: errors.Join(boom, Skip("budget")), cause: ErrCanceled}, state: StateCanceled, reason: ReasonCanceled},
		{name: "panic", attempt: 1, o: outcome{err: boom, stack: "main.go:1"}, state: StateFailed, reason: ReasonPanic},
		{name: "timeout", attempt: 1, o: outcome{err: boom, cause: ErrTimeout}, state: StateFailed, reason: ReasonTimeout},
		{name: "timeout, retried", attempt: 1, retry: thrice, o: outcome{err: boom, cause: ErrTimeout}, state: StatePending, reason: ReasonTimeout, wait: time.Second},
		{name: "canceled", attempt: 1, retry: thrice, o: outcome{err: boom, cause: ErrCanceled}, state: StateCanceled, reason: ReasonCanceled},
		{name: "replaced", attempt: 1, retry: thrice, o: outcome{err: boom, cause: ErrReplaced}, state: StateCanceled, reason: ReasonReplaced},
		{name: "shut down", attempt: 1, retry: thrice, o: outcome{err: boom, cause: ErrShutdown}, state: StateCanceled, reason: ReasonShutdown},
		{name: "lease lost: run again", attempt: 1, o: outcome{err: boom, cause: ErrLeaseLost}, state: StatePending, reason: ReasonLeaseLost},
		{name: "lease lost: at most once", attempt: 1, once: true, o: outcome{err: boom, cause: ErrLeaseLost}, state: StateLost, reason: ReasonLeaseLost},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.o.finished = t0
			f := decideFinish(&Run{ID: "r", Attempt: test.attempt, AtMostOnce: test.once}, test.retry, &test.o)
			assert.Equal(t, test.state, f.State)
			assert.Equal(t, test.reason, f.Reason)
			if test.state == StatePending {
				assert.Equal(t, t0.Add(test.wait), f.RetryAt)
			}
			if test.o.err != nil && test.state != StateSkipped {
				assert.Contains(t, f.Error, "boom")
			}
		})
	}
}

func TestRetryWaits(t *testing.T) {
	assert.Equal(t, []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second}, []time.Duration{
		Retry{}.wait("r", 1), Retry{}.wait("r", 2), Retry{}.wait("r", 3),
	})
	assert.Equal(t, 30*time.Minute, Retry{}.wait("r", 1000), "capped, also where the power overflows")
	assert.Equal(t, time.Minute, Retry{Initial: time.Second, Max: time.Minute, Multiplier: 10}.wait("r", 3))
	spread := map[time.Duration]bool{}
	for i := range 100 {
		w := Retry{Initial: time.Second, Jitter: 0.5}.wait(fmt.Sprint("r", i), 1)
		assert.GreaterOrEqual(t, w, 500*time.Millisecond)
		assert.LessOrEqual(t, w, 1500*time.Millisecond)
		spread[w] = true
	}
	assert.Greater(t, len(spread), 90)
	r := Retry{Initial: time.Second, Jitter: 0.5}
	assert.Equal(t, r.wait("r", 1), r.wait("r", 1), "every instance agrees")
}

func TestOnlyLegalTransitions(t *testing.T) {
	states := []State{StatePending, StateRunning, StateSucceeded, StateFailed, StateCanceled, StateSkipped, StateMissed, StateLost}
	for _, from := range states {
		for _, to := range states {
			if from.Final() {
				assert.False(t, from.CanBecome(to), "%v is final", from)
			}
		}
	}
	assert.True(t, StateRunning.CanBecome(StatePending))
	assert.True(t, StateRunning.CanBecome(StateSkipped), "an executor says Skip")
	assert.False(t, StateRunning.CanBecome(StateMissed))
}

func TestTaskRoundTripsThroughJSON(t *testing.T) {
	task := Task{
		ID: "t", Name: "n", Kind: "k", Schedule: Every(90 * time.Second), Payload: json.RawMessage(`{"a":1}`), Disabled: true,
		OnRegister: WaitForSchedule, FirstDelay: time.Second, Overlap: OverlapQueue, MaxActive: 2, MaxQueued: 3, Misfire: MisfireRunAll,
		MisfireGrace: time.Minute, MisfireLimit: 4, Retry: Retry{5, time.Second, time.Hour, 1.5, 0.1}, Timeout: time.Minute, Lost: LostMark,
		Labels: map[string]string{"a": "b"}, Revision: 9, ConcurrencyKey: "account", ConcurrencyLimit: 2, Priority: -1,
	}
	b, err := json.Marshal(task)
	require.NoError(t, err)
	var back Task
	require.NoError(t, json.Unmarshal(b, &back))
	assert.Equal(t, task, back)
	assert.True(t, task.sameDefinition(back))
	for name, change := range map[string]func(*Task){
		"schedule": func(t *Task) { t.Schedule = Every(time.Minute) }, "payload": func(t *Task) { t.Payload = json.RawMessage(`{}`) },
		"retry": func(t *Task) { t.Retry.Jitter = 0.2 }, "labels": func(t *Task) { t.Labels = nil }, "lost": func(t *Task) { t.Lost = LostRunAgain },
		"name": func(t *Task) { t.Name = "" }, "timeout": func(t *Task) { t.Timeout++ }, "key": func(t *Task) { t.ConcurrencyKey = "" }, "key limit": func(t *Task) { t.ConcurrencyLimit = 0 }, "priority": func(t *Task) { t.Priority = 0 }, "disabled": func(t *Task) { t.Disabled = false },
	} {
		other := back
		other.unshare()
		change(&other)
		assert.False(t, task.sameDefinition(other), name)
	}
}

func TestIdsSortByCreation(t *testing.T) {
	ids := newIDSource()
	last := ""
	for i := range 10_000 {
		now := t0.Add(time.Duration(i/100) * time.Microsecond)
		if i%1000 == 999 {
			now = t0.Add(-time.Hour) // the clock goes back
		}
		id := ids.next(now)
		bits, err := idEncoding.DecodeString(id)
		require.NoError(t, err)
		require.Equal(t, id, idEncoding.EncodeToString(bits))
		require.Equal(t, ids.micros<<8, binary.BigEndian.Uint64(bits))
		require.Equal(t, uint16(ids.seq), binary.BigEndian.Uint16(bits[8:]))
		require.Greater(t, id, last)
		last = id
	}
}
