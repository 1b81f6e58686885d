package model

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/punctualtest"
	"github.com/punctual-go/punctual/store/memory"
)

// Unless flags say otherwise, the same sequences are tried each time, which takes a few seconds under the race detector; make model draws new
// ones.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{"rapid.checks": "500", "rapid.seed": "4"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	m.Run() // reads the flags of the command line, which count
}

// work is known to the engine's executor and to the model: how long an attempt takes and what comes of it follow from what it is. No two
// attempts end at the same instant or when an occurrence is due, since then nobody says what comes first.
func work(task string, trigger punctual.Trigger, at time.Time, attempt int) (time.Duration, Outcome) {
	h := fnv.New64a()
	fmt.Fprint(h, task, trigger, at.UnixMicro(), attempt)
	sum := h.Sum64()
	takes := []time.Duration{time.Second, 20 * time.Second, 50 * time.Second, 3 * time.Minute, 7 * time.Minute}[sum%5]
	outcomes := []Outcome{
		{State: punctual.StateSucceeded},
		{State: punctual.StateSucceeded},
		{State: punctual.StateSucceeded},
		{State: punctual.StateFailed},
		{State: punctual.StateFailed},
		{State: punctual.StateFailed, Final: true},
		{State: punctual.StateFailed, After: 40 * time.Second},
		{State: punctual.StateSkipped, Reason: "no need"},
	}
	return takes + time.Duration(1+sum>>8%500_000)*time.Microsecond, outcomes[sum>>32%8]
}

// execute does the work on the clock of a Harness.
func execute(ctx context.Context, run punctual.Run) (punctual.Result, error) {
	takes, o := work(run.TaskID, run.Trigger, run.ScheduledAt, run.Attempt)
	if err := punctualtest.Sleep(ctx, takes); err != nil {
		return punctual.Result{}, err
	}
	err := errors.New("as the model wants it")
	switch {
	case o.State == punctual.StateSucceeded:
		return punctual.Result{}, nil
	case o.State == punctual.StateSkipped:
		return punctual.Result{}, punctual.Skip(o.Reason)
	case o.Final:
		return punctual.Result{}, punctual.Permanent(err)
	case o.After > 0:
		return punctual.Result{}, punctual.RetryAfter(err, o.After)
	}
	return punctual.Result{}, err
}

// pair is the engine and the model side by side.
type pair struct {
	t     *testing.T
	store *stalling
	h     *punctualtest.Harness
	model *World
}

// stalling is a store in which nobody may look for what is due for a while.
type stalling struct {
	*memory.Store
	mu      sync.Mutex
	stalled bool
	refused bool      // since it began
	looked  time.Time // when somebody looked again
}

func (s *stalling) Claim(ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stalled:
		s.refused = true
		return punctual.ClaimReply{}, punctual.ErrUnavailable
	case s.looked.IsZero():
		s.looked = req.Now
	}
	return s.Store.Claim(ctx, req)
}

// stall begins or ends it.
func (s *stalling) stall(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = s.refused && s.stalled
	s.stalled, s.looked = yes, time.Time{}
}

// found is when somebody looked again, at the latest at the given time; now if nobody had tried.
func (s *stalling) found(now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.refused {
		return now
	}
	return s.looked
}

var taskIDs = []string{"a", "b", "c"}

// definition draws a task. Its own times are a little off those of the others, for the reason that work gives.
func definition(t *rapid.T, id string) (punctual.Task, time.Duration) {
	off := time.Duration(1+slices.Index(taskIDs, id)) * 1013 * time.Microsecond
	every := time.Duration(rapid.IntRange(1, 4).Draw(t, "minutes")) * time.Minute
	schedule := punctual.Every(every)
	switch rapid.IntRange(0, 7).Draw(t, "schedule") {
	case 0, 1:
		schedule = schedule.AfterCompletion()
	case 2:
		schedule = schedule.Aligned()
	}
	task := punctual.Task{
		ID: id, Schedule: schedule,
		Kind:             rapid.SampledFrom([]string{"", "x"}).Draw(t, "kind"),
		Priority:         rapid.IntRange(-2, 2).Draw(t, "priority"),
		OnRegister:       rapid.SampledFrom([]punctual.RegisterPolicy{0, 0, 0, punctual.RunImmediatelyOnRegister, punctual.WaitForSchedule}).Draw(t, "on register"),
		Disabled:         rapid.IntRange(0, 7).Draw(t, "disabled") == 0,
		MaxActive:        rapid.IntRange(0, 2).Draw(t, "max active"),
		MaxQueued:        rapid.IntRange(0, 2).Draw(t, "max queued"),
		MisfireLimit:     rapid.IntRange(1, 3).Draw(t, "misfire limit"),
		Retry:            punctual.Retry{MaxAttempts: rapid.IntRange(1, 3).Draw(t, "attempts"), Initial: 90*time.Second + off, Multiplier: 2, Max: 150*time.Second + off},
		ConcurrencyKey:   rapid.SampledFrom([]string{"", "k", "l"}).Draw(t, "key"),
		ConcurrencyLimit: rapid.IntRange(0, 2).Draw(t, "key limit"),
	}
	// When something else is due at the instant at which a run is replaced, nobody says whether it has ended by then. So a task that replaces has no
	// further occurrences, and one that replaces under a key has company only of tasks that have no further runs at all.
	overlaps := []punctual.Overlap{punctual.OverlapSkip, punctual.OverlapQueue, punctual.OverlapAllow, punctual.OverlapReplace}
	misfires := []punctual.Misfire{punctual.MisfireRunOnce, punctual.MisfireSkip, punctual.MisfireRunAll}
	graces := []time.Duration{0, 0, 150 * time.Second, time.Hour}
	if task.ConcurrencyKey == "k" {
		overlaps = overlaps[:3]
	}
	task.Overlap = rapid.SampledFrom(overlaps).Draw(t, "overlap")
	if task.ConcurrencyKey == "l" {
		misfires = misfires[:2]
	}
	task.Misfire = rapid.SampledFrom(misfires).Draw(t, "misfire")
	if task.ConcurrencyKey == "l" || task.Overlap == punctual.OverlapReplace {
		graces = graces[:1]
	}
	task.MisfireGrace = rapid.SampledFrom(graces).Draw(t, "misfire grace")
	task.FirstDelay = rapid.SampledFrom([]time.Duration{0, 0, 0, 100*time.Second + 5*off}).Draw(t, "first delay")
	// Two that began together would end together.
	if alone := task.Overlap != punctual.OverlapAllow && task.MaxActive < 2; rapid.Bool().Draw(t, "bounded") && alone {
		task.Timeout = 130*time.Second + 7*off
	}
	return task, every
}

func TestEngineAndModelAgree(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p := &pair{t: t, store: &stalling{Store: memory.New(memory.WithHistory(1 << 30))}, model: &World{Work: work}}
		p.up(time.Time{})
		defer p.h.Shutdown(context.Background())
		defer p.h.Close()
		for range rapid.IntRange(1, 40).Draw(r, "steps") {
			p.step(r)
			p.compare(r)
		}
	})
}

func (p *pair) up(at time.Time) {
	p.h = punctualtest.Config{Store: p.store, Start: at}.New(p.t, punctual.ExecutorFunc(execute))
}

func (p *pair) step(r *rapid.T) {
	ctx := context.Background()
	id := rapid.SampledFrom(taskIDs).Draw(r, "task")
	task := p.model.Task(id)
	now := p.h.Now()
	var got, want error
	what := rapid.SampledFrom([]string{
		"register", "register", "reschedule", "ensure same", "pause", "pause for a moment", "resume", "run now", "cancel", "cancel", "remove", "remove, keep history", "down",
		"stall", "stall for a while", "backfill", "advance", "advance", "advance", "advance",
	}).Draw(r, "step")
	switch what {
	case "register", "reschedule":
		def, every := definition(r, id)
		repeats := slices.ContainsFunc(task.Runs, func(r *Run) bool { return r.pending() && r.Attempt > 0 })
		if def.Overlap == punctual.OverlapReplace && repeats {
			return // one that stays would be due when what is replaced ends
		}
		call := p.h.Add
		if what == "reschedule" {
			call = p.h.Reschedule
		}
		got = call(ctx, def)
		switch {
		case what == "register" && !task.Gone:
			want = punctual.ErrTaskExists
		case what == "reschedule" && task.Gone:
			want = punctual.ErrTaskNotFound
		default:
			task.Register(def, every, now)
		}
	case "ensure same":
		if task.Gone {
			return
		}
		got = p.h.Ensure(ctx, task.Def)
	case "pause":
		got = p.h.Pause(ctx, id)
		if want = missing(task); want == nil {
			task.Pause(now)
		}
	case "pause for a moment":
		if want = missing(task); want == nil {
			task.Pause(now)
			task.Resume(now)
		}
		if got = p.h.Pause(ctx, id); got == nil {
			got = p.h.Resume(ctx, id)
		}
	case "resume":
		got = p.h.Resume(ctx, id)
		if want = missing(task); want == nil {
			task.Resume(now)
		}
	case "run now":
		_, got = p.h.RunNow(ctx, id)
		if want = missing(task); want == nil {
			task.RunNow(now)
		}
	case "cancel":
		if len(task.Runs) == 0 {
			return
		}
		i := rapid.IntRange(0, len(task.Runs)-1).Draw(r, "run")
		if live := task.where((*Run).Live); len(live) > 0 && rapid.IntRange(0, 3).Draw(r, "any") > 0 {
			i = slices.Index(task.Runs, live[i%len(live)])
		}
		got = p.h.Cancel(ctx, p.h.Ledger(id)[i].ID)
		if task.Runs[i].Live() {
			task.Cancel(task.Runs[i], now)
		} else {
			want = punctual.ErrRunFinished
		}
	case "remove":
		got = p.h.Remove(ctx, id)
		if want = missing(task); want == nil {
			task.Remove(false, now)
		}
	case "remove, keep history":
		got = p.h.Remove(ctx, id, punctual.KeepHistory())
		if want = missing(task); want == nil {
			task.Remove(true, now)
		}
	case "backfill":
		from := now.Add(-time.Duration(rapid.IntRange(1, 1200).Draw(r, "ago")) * time.Second)
		to := from.Add(time.Duration(rapid.IntRange(1, 1200).Draw(r, "range")) * time.Second)
		var made, wanted int
		made, got = p.h.Backfill(ctx, id, from, to)
		switch want = missing(task); {
		case want != nil:
		case task.Delay:
			want = punctual.ErrInvalidQuery
		default:
			wanted = task.Backfill(from, to, now)
		}
		if made != wanted {
			r.Fatalf("backfill made %d, want %d", made, wanted)
		}
	case "stall":
		if p.store.stalled {
			p.heal()
		} else {
			p.stall(true)
		}
	case "stall for a while":
		p.stall(true)
		p.advance(time.Duration(rapid.IntRange(1, 400).Draw(r, "seconds")) * time.Second)
		p.heal()
	case "down":
		// Ids of two instances are ordered by time, so some has to pass.
		p.store.stall(false)
		p.stall(false)
		d := time.Duration(rapid.IntRange(1, 1200).Draw(r, "seconds")) * time.Second
		_ = p.h.Close()
		if err := p.h.Shutdown(ctx); err != nil {
			r.Fatal(err)
		}
		p.up(now.Add(d))
		p.model.Stop(now)
	case "advance":
		// Short steps let operations fall into one run, long ones let runs pile up.
		most := rapid.SampledFrom([]int{120, 900}).Draw(r, "most")
		d := time.Duration(rapid.IntRange(1, most).Draw(r, "seconds")) * time.Second
		p.advance(d)
	}
	p.h.Settle()
	p.model.Settle(p.h.Now())
	if !errors.Is(got, want) {
		r.Fatalf("%s %s: %v, want %v", what, id, got, want)
	}
}

// stall begins or ends the time in which nobody looks for what is due.
func (p *pair) stall(yes bool) {
	p.store.stall(yes)
	p.model.Stalled = yes
}

// heal ends it. When somebody looks again the engine says, and the model takes it from there.
func (p *pair) heal() {
	now := p.h.Now()
	p.store.stall(false)
	const retried = 6 * time.Second // the longest wait before somebody does
	p.h.Advance(retried)
	at := p.store.found(now)
	p.model.Advance(at)
	p.stall(false)
	p.model.Settle(at)
	p.model.Advance(now.Add(retried))
}

func (p *pair) advance(d time.Duration) {
	p.h.Advance(d)
	p.model.Advance(p.h.Now())
}

func missing(task *Task) error {
	if task.Gone {
		return punctual.ErrTaskNotFound
	}
	return nil
}

// compare holds what the engine says against what the model says.
func (p *pair) compare(r *rapid.T) {
	ledgers, names := make(map[string][]punctual.Run), make(map[string]string)
	runs := make(map[*Run]string)
	for _, id := range taskIDs {
		ledgers[id] = p.h.Ledger(id)
		for i := range ledgers[id] {
			names[ledgers[id][i].ID] = fmt.Sprint(id, i)
		}
		for i, run := range p.model.Task(id).Runs {
			runs[run] = fmt.Sprint(id, i)
		}
	}
	for _, id := range taskIDs {
		snapshot, err := p.h.Task(context.Background(), id)
		task := p.model.Task(id)
		if task.Gone {
			if !errors.Is(err, punctual.ErrTaskNotFound) {
				r.Fatalf("task %s: %v, want none", id, err)
			}
			snapshot.Active = len(task.where((*Run).active)) // nobody says
		} else if err != nil {
			r.Fatal(err)
		}
		got := []string{fmt.Sprintf(stateLine, clock(snapshot.NextRunAt), snapshot.Paused, snapshot.Active)}
		for i := range ledgers[id] {
			run := &ledgers[id][i]
			got = append(got, fact(names[run.ID], names[run.BlockedBy], &Run{
				Trigger: run.Trigger, At: run.ScheduledAt, Until: run.Until, Count: run.Count, State: run.State, Reason: run.Reason,
				Kind: run.Kind, Attempt: run.Attempt, Key: run.ConcurrencyKey, ForKey: run.WaitsForKey, Due: run.DueAt, Started: run.StartedAt, Finished: run.FinishedAt,
			}))
		}
		want := []string{fmt.Sprintf(stateLine, clock(task.Next), task.Paused, len(task.where((*Run).active)))}
		for _, run := range task.Runs {
			want = append(want, fact(runs[run], runs[run.Blocker], run))
		}
		if !slices.Equal(got, want) {
			r.Fatalf("task %s with %+v at %v\nengine:\n  %s\nmodel:\n  %s", id, task.Def, p.h.Now(), strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
	}
}

const stateLine = "next %s, paused %v, active %d"

// fact tells one run. Whether one that is replaced in the moment of its start has still begun is left open.
func fact(name, blocker string, r *Run) string {
	due := r.Due
	if r.State == punctual.StateRunning {
		due = time.Time{} // the engine does not know when an attempt ends
	}
	ran := fmt.Sprintf("attempt %d from %s", r.Attempt, clock(r.Started))
	if r.State == punctual.StateCanceled && r.Reason == punctual.ReasonReplaced {
		ran = "some attempt"
	}
	return fmt.Sprintf("%s: %v %s..%s x%d %v (%s) by %q, key %q %v, due %s, %s until %s, kind %q", name, r.Trigger, clock(r.At), clock(r.Until), r.Count,
		r.State, r.Reason, blocker, r.Key, r.ForKey, clock(due), ran, clock(r.Finished), r.Kind)
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format("02T15:04:05.000000")
}
