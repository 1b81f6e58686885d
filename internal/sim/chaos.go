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
	Lasts     time.Duration // until everything comes to rest
}

// errBoom is how host code fails.
var errBoom = errors.New("boom")

// Rage lets chaos take its course in a world and brings it to rest.
func (c Chaos) Rage(w *World) {
	w.Plan(w.anything)
	w.Weather(weather{latency: 3 * time.Millisecond})
	r := &rage{Chaos: c, World: w, dice: w.dice("rage")}
	for i := range c.Processes {
		r.start(i)
	}
	for bubble.Since(w.Begin) < c.Lasts {
		bubble.Sleep(r.dice.between(0, 2*time.Second))
		r.step()
	}
	r.ending.Wait()
	w.End()
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

func (r *rage) start(i int) {
	r.lives++
	p := r.Start(fmt.Sprintf("p%d-%d", i, r.lives), punctual.WithConcurrency(1+r.dice.below(20)))
	p.Jump(r.dice.between(-time.Second, time.Second))
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
	switch n := r.dice.below(100); {
	case n < 70:
		r.background.Go(r.call(p))
	case n < 75:
		r.Weather(r.sky())
	case n < 80:
		r.during(p.Cut, p.Heal, time.Second, 40*time.Second)
	case n < 85:
		r.during(p.Freeze, p.Thaw, time.Second, 40*time.Second)
	case n < 90:
		p.Jump(r.dice.between(-2*time.Hour, 2*time.Hour))
	case n < 95:
		p.Kill()
		r.start(i)
	default:
		limit := r.dice.between(0, 30*time.Second)
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

// task draws a definition. What P4 is about depends on the id alone.
func (r *rage) task(n int) punctual.Task {
	d := r.dice
	t := punctual.Task{ID: fmt.Sprintf("t%d", n)}
	switch n % 6 {
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
	}
	interval := d.between(500*time.Millisecond, 20*time.Second).Round(time.Millisecond)
	switch d.below(8) {
	case 0:
		t.Schedule = punctual.Every(interval).AfterCompletion()
	case 1:
		t.Schedule = punctual.Must(punctual.Cron(fmt.Sprintf("*/%d * * * * *", 2+d.below(20)), time.UTC))
	case 2:
		t.Schedule = punctual.Once(bubble.Now().Add(d.between(0, time.Minute)))
	case 3:
		t.Schedule = punctual.Every(interval).Aligned()
	default:
		t.Schedule = punctual.Every(interval)
	}
	t.Misfire = punctual.Misfire(d.below(3))
	t.MisfireLimit = 1 + d.below(4)
	t.Lost = punctual.Lost(d.below(2))
	t.Priority = d.below(5) - 2
	if d.chance(0.5) {
		t.Retry = punctual.Retry{MaxAttempts: 1 + d.below(4), Initial: d.between(0, 5*time.Second), Max: 10 * time.Second}
	}
	if d.chance(0.3) {
		t.Timeout = d.between(time.Second, 20*time.Second)
	}
	if d.chance(0.1) {
		t.FirstDelay = d.between(0, 10*time.Second)
	}
	t.Disabled = d.chance(0.05)
	return t
}

// call draws something that a host does.
func (r *rage) call(p *Process) func() {
	n := r.dice.below(r.Tasks)
	task := r.task(n)
	id := task.ID
	pick := r.dice.next()
	switch k := r.dice.below(20); {
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
func (w *World) anything(e *Execution) Work {
	d := w.dice("work", e.Run.TaskID, e.Run.ScheduledAt.Sub(w.Begin), e.Run.Trigger, e.Run.Attempt)
	work := Work{Takes: d.between(0, 3*time.Second)}
	if d.chance(0.1) {
		work.Takes = d.between(0, 40*time.Second)
	}
	if d.chance(0.1) {
		work.Deaf = d.between(0, 10*time.Second)
	}
	switch d.below(12) {
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
	}
	return work
}
