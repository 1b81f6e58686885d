package sim

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/punctual-go/punctual"
)

// Chaos is a world in which everything happens that may: hosts register, change and remove tasks, calls are slow or fail before or after
// they were carried out, processes are cut off, frozen, killed, shut down and started, their clocks are wrong and jump.
type Chaos struct {
	Processes int           // how many are kept alive
	Tasks     int           // how many ids there are
	Crowd     int           // how many more there are that come due together
	Overlap   bool          // processes make two claims at a time, and in half of them none ahead
	Lasts     time.Duration // until everything comes to rest
}

// errBoom is how host code fails.
var errBoom = errors.New("boom")

// Rage lets chaos take its course in a world and brings it to rest.
func (c Chaos) Rage(w *World) {
	r := &rage{Chaos: c, World: w, dice: w.dice("rage")}
	if c.Crowd > 0 {
		w.Foresee(r.dice.between(100*time.Microsecond, 5*time.Millisecond), c.Overlap)
	}
	w.Plan(r.anything)
	w.Weather(weather{latency: 3 * time.Millisecond})
	for i := range c.Processes {
		r.start(i)
	}
	for n := range c.Crowd {
		task, p := r.crowded(r.dice, n), r.alive[n%len(r.alive)]
		r.background.Go(func() { _ = p.Add(task) })
	}
	for bubble.Since(w.Begin) < c.Lasts {
		bubble.Sleep(r.pause())
		r.step()
	}
	r.ending.Wait()
	w.End()
}

// meet is how far the instants at which a crowd comes due are apart.
const meet = 15 * time.Second

// pause draws how long nothing happens. Where there is a crowd, much happens shortly before it comes due.
func (r *rage) pause() time.Duration {
	d := r.dice.between(0, 2*time.Second)
	if now := bubble.Now(); r.Crowd > 0 && r.dice.chance(0.5) {
		return max(now.Truncate(meet).Add(meet-r.dice.between(0, time.Second)).Sub(now), 0)
	}
	return d
}

// rage is the state of one Chaos.
type rage struct {
	Chaos
	*World
	dice   *dice
	alive  []*Process
	lives  int
	ending sync.WaitGroup // of partitions, freezes and shutdowns
}

// The kinds of tasks. Some processes limit how many runs of kindFew they execute at a time, and how often they start one of kindSeldom.
const (
	kindFew    = "few"
	kindSeldom = "seldom"
)

var allKinds = []string{"", kindFew, kindSeldom}

// setup draws what a process is like.
func (r *rage) setup() Setup {
	d := r.dice
	s := Setup{Waits: d.chance(0.2), Hinted: d.chance(0.5), Several: make(map[string]int), Every: make(map[string]time.Duration)}
	if d.chance(0.3) {
		s.Kinds = []string{}
		for _, kind := range allKinds {
			if d.chance(0.5) {
				s.Kinds = append(s.Kinds, kind)
			}
		}
	}
	if d.chance(0.5) {
		s.Several[kindFew] = 1 + d.below(2)
	}
	if d.chance(0.5) {
		s.Every[kindSeldom] = d.between(500*time.Millisecond, 4*time.Second)
	}
	return s
}

func (r *rage) start(i int) {
	r.lives++
	opts := []punctual.Option{punctual.WithConcurrency(1 + r.dice.below(20)), punctual.WithMaxSleep(r.dice.between(time.Second, 30*time.Second))}
	if r.dice.chance(0.2) {
		opts = append(opts, punctual.WithRegisterSpread(5*time.Second))
	}
	if r.Crowd > 0 {
		opts = append(opts, punctual.WithConcurrency(r.Crowd+r.dice.below(r.Crowd)), punctual.WithLookahead(r.dice.between(500*time.Millisecond, 5*time.Second)))
	}
	setup := r.setup()
	if r.Overlap {
		if r.dice.chance(0.5) {
			opts = append(opts, punctual.WithLookahead(0))
		}
		if r.dice.chance(0.8) { // whoever has such limits makes one at a time
			setup.Several, setup.Every = nil, nil
		}
	}
	p := r.Make(fmt.Sprintf("p%d-%d", i, r.lives), setup, opts...)
	p.Jump(r.dice.between(-time.Second, time.Second))
	p.Begin()
	if i < len(r.alive) {
		r.alive[i] = p
	} else {
		r.alive = append(r.alive, p)
	}
}

// step lets one thing happen.
func (r *rage) step() {
	i := r.dice.below(len(r.alive))
	p := r.alive[i]
	limit := r.dice.between(0, 30*time.Second)
	n := r.dice.below(100)
	if r.Crowd > 0 && r.dice.chance(0.3) {
		n = 70 + n%30 // harm rather than calls
	}
	switch {
	case !p.usable(): // its own host code has shut it down
		r.start(i)
	case n < 68:
		call := r.call(r.dice, p)
		r.background.Go(func() { call() })
	case n < 70:
		req := punctual.TrimRequest{Keep: r.dice.below(4), Before: bubble.Now().Add(-r.dice.between(0, time.Minute)), Limit: 1 + r.dice.below(100)}
		r.background.Go(func() { _, _ = r.front.Trim(context.Background(), req) })
	case n < 75:
		r.Weather(r.sky())
	case n < 80:
		r.during(p.Cut, p.Heal, time.Second, 40*time.Second)
	case n < 85:
		r.during(p.Freeze, p.Thaw, time.Second, 40*time.Second)
	case n < 90:
		p.Jump(r.dice.between(-2*time.Hour, 2*time.Hour))
	case n < 94:
		p.Kill()
		r.start(i)
	case n < 95:
		r.ending.Go(p.Quit)
		r.start(i)
	case n < 96:
		r.ending.Go(func() { p.Abort(limit) })
		r.start(i)
	default:
		r.ending.Go(func() { _ = p.Stop(limit) })
		r.start(i)
	}
}

// during does something and takes it back after a while.
func (r *rage) during(begin, end func(), least, most time.Duration) {
	d := r.dice.between(least, most)
	begin()
	r.ending.Go(func() {
		bubble.Sleep(d)
		end()
	})
}

// sky draws how calls fare for a while.
func (r *rage) sky() weather {
	w := weather{latency: 3 * time.Millisecond}
	switch r.dice.below(5) {
	case 0:
		w.slow, w.slowFor = 0.3, 8*time.Second
	case 1:
		w.refused, w.reset = 0.2, 0.2
	case 2:
		w.vanish, w.mute = 0.1, 0.1
	case 3:
		w.reset = 1
	}
	return w
}

// fickle tasks change in what P4 is about with each registration. For all others that depends on the id alone.
func fickle(id string) bool { return id == "t8" }

// task draws a definition.
func (r *rage) task(d *dice, n int) punctual.Task {
	t := punctual.Task{ID: fmt.Sprintf("t%d", n)}
	switch n % 10 {
	case 1:
		t.Overlap = punctual.OverlapQueue
	case 2:
		t.Overlap, t.MaxActive = punctual.OverlapAllow, 2
	case 3:
		t.Overlap = punctual.OverlapReplace
	case 4:
		t.ConcurrencyKey = "key"
	case 5:
		t.ConcurrencyKey, t.Overlap, t.MaxActive = "key", punctual.OverlapAllow, 3
	case 6:
		t.ConcurrencyKey, t.ConcurrencyLimit, t.Overlap, t.MaxQueued = "pair", 2, punctual.OverlapQueue, 3
	case 7:
		t.ConcurrencyKey, t.ConcurrencyLimit, t.Overlap, t.MaxActive = "pair", 2, punctual.OverlapReplace, 2
	case 8:
		t.ConcurrencyKey, t.ConcurrencyLimit = []string{"", "key", "pair"}[d.below(3)], d.below(3)
		t.Overlap, t.MaxActive, t.MaxQueued = punctual.Overlap(d.below(4)), d.below(3), d.below(3)
	}
	t.Kind = allKinds[n%len(allKinds)]
	if d.chance(0.2) {
		t.Kind = allKinds[d.below(len(allKinds))]
	}
	t.Schedule = r.schedule(d)
	t.Misfire = punctual.Misfire(d.below(3))
	t.MisfireGrace = []time.Duration{0, 0, 5 * time.Second, 20 * time.Second}[d.below(4)]
	t.MisfireLimit = 1 + d.below(4)
	t.Lost = punctual.Lost(d.below(2))
	t.Priority = d.below(5) - 2
	if d.chance(0.5) {
		t.Retry = punctual.Retry{MaxAttempts: 1 + d.below(4), Initial: d.between(0, 5*time.Second), Max: 10 * time.Second, Jitter: float64(d.below(3)) / 2}
	}
	if d.chance(0.3) {
		t.Timeout = d.between(time.Second, 20*time.Second)
	}
	if d.chance(0.1) {
		t.FirstDelay = d.between(0, 10*time.Second)
	}
	if d.chance(0.2) {
		t.OnRegister = punctual.RegisterPolicy(d.below(3))
	}
	t.Disabled = d.chance(0.05)
	return t
}

// crowded draws a definition of one that comes due with all others.
func (r *rage) crowded(d *dice, n int) punctual.Task {
	t := r.task(d, 10*n) // without a key
	t.ID, t.Kind, t.Disabled, t.OnRegister, t.Schedule = fmt.Sprintf("crowd%d", n), "", false, punctual.WaitForSchedule, punctual.Every(meet).Aligned()
	return t
}

func (r *rage) schedule(d *dice) punctual.Schedule {
	interval := d.between(500*time.Millisecond, 20*time.Second).Round(time.Millisecond)
	seconds := punctual.Must(punctual.Cron(fmt.Sprintf("*/%d * * * * *", 2+d.below(20)), time.UTC))
	soon := bubble.Now().Add(d.between(0, time.Minute))
	switch d.below(14) {
	case 0, 1:
		return punctual.Every(interval).AfterCompletion()
	case 2:
		return seconds
	case 3:
		return punctual.Once(soon)
	case 4:
		return punctual.Every(interval).Aligned()
	case 5:
		return punctual.Jitter(seconds, 3*time.Second)
	case 6:
		return punctual.Union(punctual.Every(interval), seconds)
	case 7:
		return punctual.Limit(punctual.Every(interval), 1+d.below(5))
	case 8:
		return punctual.Between(punctual.Every(interval), soon, soon.Add(d.between(time.Second, time.Minute)))
	default:
		return punctual.Every(interval)
	}
}

// call draws something that a host does.
func (r *rage) call(d *dice, p *Process) func() {
	n := d.below(r.Tasks)
	task := r.task(d, n)
	if r.Crowd > 0 && d.chance(0.7) {
		task = r.crowded(d, d.below(r.Crowd))
	}
	id := task.ID
	pick := d.next()
	switch k := d.below(22); {
	case k < 5:
		return func() { _ = p.Add(task) }
	case k < 7:
		return func() { _ = p.Ensure(task) }
	case k < 9:
		return func() { _ = p.Reschedule(task) }
	case k == 9:
		return func() {
			_ = p.Do("Remove", id, func(ctx context.Context) error { return p.Remove(ctx, id, punctual.KeepHistory()) })
		}
	case k == 10:
		return func() {
			_ = p.Do("Remove", id, func(ctx context.Context) error { return p.Remove(ctx, id, punctual.CancelRunning()) })
		}
	case k == 11:
		return func() { _ = p.Do("Pause", id, func(ctx context.Context) error { return p.Pause(ctx, id) }) }
	case k < 14:
		return func() { _ = p.Do("Resume", id, func(ctx context.Context) error { return p.Resume(ctx, id) }) }
	case k == 14:
		from := bubble.Now().Add(-20 * time.Second)
		return func() {
			_ = p.Do("Backfill", id, func(ctx context.Context) error {
				_, err := p.Backfill(ctx, id, from, from.Add(10*time.Second))
				return err
			})
		}
	case k < 17:
		return func() {
			_ = p.Do("Cancel", id, func(ctx context.Context) error {
				runs, err := p.Runs(ctx, punctual.RunQuery{TaskID: id, States: []punctual.State{punctual.StatePending, punctual.StateRunning}})
				if err != nil || len(runs) == 0 {
					return err
				}
				return p.Cancel(ctx, runs[pick%uint64(len(runs))].ID)
			})
		}
	case k == 17: // only its switch is changed, unless somebody changes the task at the same time
		return func() {
			_ = p.Do("Reschedule", id, func(ctx context.Context) error {
				snap, err := p.Task(ctx, id)
				if err != nil {
					return err
				}
				snap.Task.Disabled = !snap.Task.Disabled
				return p.Scheduler.Reschedule(ctx, snap.Task)
			})
		}
	default:
		return func() {
			_ = p.Do("RunNow", id, func(ctx context.Context) error {
				_, err := p.RunNow(ctx, id)
				return err
			})
		}
	}
}

// anything is what host code does in chaos.
func (r *rage) anything(e *Execution) Work {
	d := r.World.dice("work", e.Run.TaskID, e.Run.ScheduledAt.Sub(r.Begin), e.Run.Trigger, e.Run.Attempt)
	work := Work{Takes: d.between(0, 3*time.Second)}
	if d.chance(0.1) {
		work.Takes = d.between(0, 40*time.Second)
	}
	if d.chance(0.1) {
		work.Deaf = d.between(0, 10*time.Second)
	}
	switch d.below(13) {
	case 0, 1:
		work.Err = errBoom
	case 2:
		work.Err = punctual.Permanent(errBoom)
	case 3:
		work.Err = punctual.RetryAfter(errBoom, d.between(0, 5*time.Second))
	case 4:
		work.Panic = true
	case 5:
		work.Exit = true
	case 6:
		work.Err = punctual.Skip("nothing to do")
	}
	switch {
	case d.chance(0.05):
		call := r.call(d, e.Process)
		work.First = func(context.Context, *Execution) { call() }
	case d.chance(0.003):
		limit := d.between(0, 10*time.Second)
		work.First = func(ctx context.Context, e *Execution) { e.Process.StopInside(ctx, e, limit) }
	}
	return work
}
