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

// work is known to the engine's executor and to the model: how long an attempt takes and whether it fails follow from what it is. No two
// attempts of a task end at the same instant or when an occurrence is due, since then nobody says what comes first.
func work(task string, trigger punctual.Trigger, at time.Time, attempt int) (time.Duration, bool) {
	h := fnv.New64a()
	fmt.Fprint(h, task, trigger, at.UnixMicro(), attempt)
	sum := h.Sum64()
	takes := []time.Duration{time.Second, 20 * time.Second, 50 * time.Second, 3 * time.Minute, 7 * time.Minute}[sum%5]
	return takes + time.Duration(1+sum>>8%500_000)*time.Microsecond, sum>>32%3 == 0
}

// execute does the work on the clock of a Harness.
func execute(ctx context.Context, run punctual.Run) (punctual.Result, error) {
	takes, fails := work(run.TaskID, run.Trigger, run.ScheduledAt, run.Attempt)
	if err := punctualtest.Sleep(ctx, takes); err != nil {
		return punctual.Result{}, err
	}
	if fails {
		return punctual.Result{}, errors.New("as the model wants it")
	}
	return punctual.Result{}, nil
}

// pair is the engine and the model side by side.
type pair struct {
	t     *testing.T
	store *stalling
	h     *punctualtest.Harness
	model map[string]*Task
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

var taskIDs = []string{"a", "b"}

// definition draws a task.
func definition(t *rapid.T, id string) (punctual.Task, time.Duration) {
	every := time.Duration(rapid.IntRange(1, 4).Draw(t, "minutes")) * time.Minute
	schedule := punctual.Every(every)
	if rapid.IntRange(0, 3).Draw(t, "fixed delay") == 0 {
		schedule = schedule.AfterCompletion()
	}
	task := punctual.Task{
		ID: id, Schedule: schedule,
		Disabled:  rapid.IntRange(0, 7).Draw(t, "disabled") == 0,
		Overlap:   rapid.SampledFrom([]punctual.Overlap{punctual.OverlapSkip, punctual.OverlapQueue, punctual.OverlapReplace, punctual.OverlapAllow}).Draw(t, "overlap"),
		MaxActive: rapid.IntRange(0, 2).Draw(t, "max active"),
		MaxQueued: rapid.IntRange(0, 2).Draw(t, "max queued"),
		Misfire:   rapid.SampledFrom([]punctual.Misfire{punctual.MisfireRunOnce, punctual.MisfireRunAll, punctual.MisfireSkip}).Draw(t, "misfire"),
		Retry:     punctual.Retry{MaxAttempts: rapid.IntRange(1, 3).Draw(t, "attempts"), Initial: 90 * time.Second, Multiplier: 1},
	}
	task.MisfireLimit = rapid.IntRange(1, 3).Draw(t, "misfire limit")
	if task.Overlap != punctual.OverlapReplace { // with several occurrences at one instant nobody says whether what was replaced has ended
		task.MisfireGrace = rapid.SampledFrom([]time.Duration{0, 0, 150 * time.Second, time.Hour}).Draw(t, "misfire grace")
	}
	task.FirstDelay = rapid.SampledFrom([]time.Duration{0, 0, 0, 100*time.Second + 3333*time.Microsecond}).Draw(t, "first delay")
	if rapid.Bool().Draw(t, "bounded") {
		task.Timeout = 130*time.Second + 7777*time.Microsecond
	}
	return task, every
}

func TestEngineAndModelAgree(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p := &pair{t: t, store: &stalling{Store: memory.New(memory.WithHistory(1 << 30))}, model: map[string]*Task{}}
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
	known := p.model[id]
	task := known
	if task != nil && task.Gone {
		task = nil
	}
	now := p.h.Now()
	var got, want error
	what := rapid.SampledFrom([]string{
		"register", "register", "reschedule", "ensure same", "pause", "pause for a moment", "resume", "run now", "cancel", "cancel", "remove", "remove, keep history", "down",
		"stall", "stall for a while", "backfill", "advance", "advance", "advance", "advance",
	}).Draw(r, "step")
	switch what {
	case "register", "reschedule":
		def, every := definition(r, id)
		call := p.h.Add
		if what == "reschedule" {
			call = p.h.Reschedule
		}
		got = call(ctx, def)
		switch {
		case what == "register" && task != nil:
			want = punctual.ErrTaskExists
		case what == "reschedule" && task == nil:
			want = punctual.ErrTaskNotFound
		default:
			if known == nil {
				known = &Task{Work: work, Stalled: p.store.stalled}
				p.model[id] = known
			}
			known.Register(def, every, now)
		}
	case "ensure same":
		if task == nil {
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
		if known == nil || len(known.Runs) == 0 {
			return
		}
		i := rapid.IntRange(0, len(known.Runs)-1).Draw(r, "run")
		if live := known.where((*Run).Live); len(live) > 0 && rapid.IntRange(0, 3).Draw(r, "any") > 0 {
			i = slices.Index(known.Runs, live[i%len(live)])
		}
		got = p.h.Cancel(ctx, p.h.Ledger(id)[i].ID)
		if known.Runs[i].Live() {
			known.Cancel(known.Runs[i], now)
		} else {
			want = punctual.ErrRunFinished
		}
	case "remove":
		got = p.h.Remove(ctx, id)
		if want = missing(task); want == nil {
			delete(p.model, id)
		}
	case "remove, keep history":
		got = p.h.Remove(ctx, id, punctual.KeepHistory())
		if want = missing(task); want == nil {
			task.Remove(now)
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
		for _, task := range p.model {
			task.Stop(now)
			task.Settle(now.Add(d))
		}
	case "advance":
		// Short steps let operations fall into one run, long ones let runs pile up.
		most := rapid.SampledFrom([]int{120, 900}).Draw(r, "most")
		d := time.Duration(rapid.IntRange(1, most).Draw(r, "seconds")) * time.Second
		p.advance(d)
	}
	p.h.Settle()
	if !errors.Is(got, want) {
		r.Fatalf("%s %s: %v, want %v", what, id, got, want)
	}
}

// stall begins or ends the time in which nobody looks for what is due.
func (p *pair) stall(yes bool) {
	p.store.stall(yes)
	for _, task := range p.model {
		task.Stalled = yes
	}
}

// heal ends it. When somebody looks again the engine says, and the model takes it from there.
func (p *pair) heal() {
	now := p.h.Now()
	p.store.stall(false)
	const retried = 6 * time.Second // the longest wait before somebody does
	p.h.Advance(retried)
	at := p.store.found(now)
	p.modelUntil(at)
	p.stall(false)
	for _, task := range p.model {
		task.Settle(at)
	}
	p.modelUntil(now.Add(retried))
}

func (p *pair) advance(d time.Duration) {
	p.h.Advance(d)
	p.modelUntil(p.h.Now())
}

// modelUntil lets everything happen to the model until an instant.
func (p *pair) modelUntil(end time.Time) {
	for _, task := range p.model {
		for at := task.Upcoming(); !at.IsZero() && !at.After(end); at = task.Upcoming() {
			task.Settle(at)
		}
	}
}

func missing(task *Task) error {
	if task == nil {
		return punctual.ErrTaskNotFound
	}
	return nil
}

// compare holds what the engine says against what the model says.
func (p *pair) compare(r *rapid.T) {
	for _, id := range taskIDs {
		snapshot, err := p.h.Task(context.Background(), id)
		task := p.model[id]
		if task == nil || task.Gone {
			if !errors.Is(err, punctual.ErrTaskNotFound) {
				r.Fatalf("task %s: %v, want none", id, err)
			}
		} else if err != nil {
			r.Fatal(err)
		}
		if task == nil {
			continue
		}
		if task.Gone {
			snapshot.Active = len(task.active()) // nobody says
		}
		got, want := p.engineFacts(id, snapshot), task.facts()
		if !slices.Equal(got, want) {
			r.Fatalf("task %s with %+v at %v\nengine:\n  %s\nmodel:\n  %s", id, task.Def, p.h.Now(), strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
	}
}

const stateLine = "next %s, paused %v, active %d"

func (p *pair) engineFacts(id string, snapshot punctual.Snapshot) []string {
	facts := []string{fmt.Sprintf(stateLine, clock(snapshot.NextRunAt), snapshot.Paused, snapshot.Active)}
	ledger := p.h.Ledger(id)
	for i := range ledger {
		run := &ledger[i]
		blocker := slices.IndexFunc(ledger, func(other punctual.Run) bool { return other.ID == run.BlockedBy })
		facts = append(facts, fact(i, blocker, &Run{
			Trigger: run.Trigger, At: run.ScheduledAt, Until: run.Until, Count: run.Count, State: run.State, Reason: run.Reason,
			Attempt: run.Attempt, Due: run.DueAt, Started: run.StartedAt, Finished: run.FinishedAt,
		}))
	}
	return facts
}

func (t *Task) facts() []string {
	facts := []string{fmt.Sprintf(stateLine, clock(t.Next), t.Paused, len(t.active()))}
	for i, r := range t.Runs {
		facts = append(facts, fact(i, slices.Index(t.Runs, r.Blocker), r))
	}
	return facts
}

// fact tells one run. Whether one that is replaced in the moment of its start has still begun is left open.
func fact(i, blocker int, r *Run) string {
	ran := fmt.Sprintf("attempt %d from %s", r.Attempt, clock(r.Started))
	if r.State == punctual.StateCanceled && r.Reason == punctual.ReasonReplaced {
		ran = "some attempt"
	}
	return fmt.Sprintf("%d: %v %s..%s x%d %v (%s) by %d, due %s, %s until %s", i, r.Trigger, clock(r.At), clock(r.Until), r.Count,
		r.State, r.Reason, blocker, clock(r.Due), ran, clock(r.Finished))
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format("02T15:04:05.000000")
}
