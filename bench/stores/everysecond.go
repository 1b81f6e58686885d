package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/bench/internal/trial"
)

// period is how often each task of this scenario is due.
const period = time.Second

// beats is one measurement of tasks that are due every second.
type beats struct {
	tasks int
	apart time.Duration // between the instants of one task and the next
	long  time.Duration // how long it is measured
}

// owed is how many starts are due while it is measured.
func (c beats) owed() int { return c.tasks * int(c.long/period) }

// counter counts starts by the instant at which they were due. Those before from do not count, nor those from until on.
type counter struct {
	from, until atomic.Int64 // microseconds; zero before they are known
	late        *trial.Samples
	counted     atomic.Int64
}

func (c *counter) start(due time.Time) {
	if from := c.from.Load(); from == 0 || due.UnixMicro() < from || due.UnixMicro() >= c.until.Load() {
		return
	}
	c.late.Add(time.Since(due))
	c.counted.Add(1)
}

// count counts the starts of so many periods from an instant on, and waits for the last of them.
func (c *counter) count(ctx context.Context, b backend, m beats, from time.Time, grace time.Duration) (values, error) {
	until := from.Add(m.long)
	c.until.Store(until.UnixMicro())
	c.from.Store(from.UnixMicro())
	time.Sleep(time.Until(from))
	u := watch(ctx, b)
	time.Sleep(time.Until(until))
	v := values{}
	u.into(v)
	for end := time.Now().Add(grace); c.counted.Load() < int64(m.owed()) && time.Now().Before(end) && ctx.Err() == nil; {
		time.Sleep(5 * time.Millisecond)
	}
	v["missed"] = float64(m.owed()) - float64(c.counted.Load())
	v.quantiles(c.late.Sorted())
	return v, ctx.Err()
}

// engineBeats measures a Scheduler. Its tasks are there before it starts. What was due before it came to start them is made up for before
// anything is measured.
func engineBeats(ctx context.Context, b backend, place string, m beats, s size) (values, error) {
	first := time.Now().Add(period).Truncate(time.Millisecond)
	if err := fill(ctx, b, place, crowd{tasks: m.tasks, every: period, first: first, apart: m.apart}); err != nil {
		return nil, err
	}
	store, err := b.open(ctx, place)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	c := &counter{late: trial.NewSamples(m.owed())}
	scheduler, err := punctual.New(store, punctual.ExecutorFunc(func(_ context.Context, run punctual.Run) (punctual.Result, error) {
		c.start(run.ScheduledAt)
		return punctual.Result{}, nil
	}), punctual.WithConcurrency(max(concurrency, m.tasks)))
	if err != nil {
		return nil, err
	}
	defer scheduler.Close()
	runtime.GC()
	if err := scheduler.Start(ctx); err != nil {
		return nil, err
	}
	since := time.Since(first) + s.Lead
	v, err := c.count(ctx, b, m, first.Add((since/period+1)*period), s.Grace)
	if err != nil {
		return nil, err
	}
	return v, scheduler.Shutdown(ctx)
}

// bareBeats measures a bare loop of PostgreSQL by as many workers as in the other scenario, who look at each instant and until nothing more is
// due. A run has started when its claim has been committed.
func bareBeats(ctx context.Context, b backend, place string, m beats, s size) (values, error) {
	first := time.Now().Add(period).Truncate(time.Millisecond)
	if err := fill(ctx, b, place, crowd{tasks: m.tasks, every: period, first: first}); err != nil {
		return nil, err
	}
	c := &counter{late: trial.NewSamples(m.owed())}
	loop, err := newBarePostgres(ctx, b, place, period, c.start)
	if err != nil {
		return nil, err
	}
	defer loop.Close()
	runtime.GC()
	working, stop := context.WithCancelCause(ctx)
	var workers sync.WaitGroup
	for range b.writers {
		workers.Go(func() {
			if err := loop.beat(working, first); err != nil {
				stop(err)
			}
		})
	}
	since := time.Since(first) + s.Lead
	v, _ := c.count(working, b, m, first.Add((since/period+1)*period), s.Grace)
	failure := context.Cause(working)
	stop(nil)
	workers.Wait()
	return v, failure
}

// beat takes steps at each instant, until nothing more is due, and ends with its context.
func (l *barePostgres) beat(ctx context.Context, next time.Time) error {
	for {
		timer := time.NewTimer(time.Until(next))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		for n := 1; n > 0; {
			var err error
			if n, err = l.step(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		}
		next = next.Add(time.Since(next).Truncate(period) + period)
	}
}

// riverBeats measures River with one job for each start, which are inserted ahead with their times. The insertion does not count. River
// needs some seconds until it has a leader, which then makes jobs available that are due in the next five seconds.
func riverBeats(ctx context.Context, b backend, place string, m beats, defaults bool, s size) (values, error) {
	r, err := openRiver(ctx, place)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var first time.Time
	for _, inserting := range []time.Duration{time.Second, 3 * time.Second, 10 * time.Second, 30 * time.Second} {
		if _, err := r.pool.Exec(ctx, `TRUNCATE `+r.schema+`.river_job`); err != nil {
			return nil, err
		}
		first = time.Now().Add(inserting + s.RiverLead).Truncate(time.Millisecond)
		err = r.insert(ctx, m.owed(), func(i int) time.Time {
			return first.Add(time.Duration(i/m.tasks)*period + time.Duration(i%m.tasks)*m.apart)
		})
		if err != nil {
			return nil, err
		}
		if _, err := r.pool.Exec(ctx, `VACUUM (ANALYZE) `+r.schema+`.river_job`); err != nil {
			return nil, err
		}
		if time.Until(first) >= s.RiverLead {
			break
		}
	}
	if time.Until(first) < s.RiverLead/2 {
		return nil, fmt.Errorf("%d jobs were not inserted in time", m.owed())
	}
	c := &counter{late: trial.NewSamples(m.owed())}
	client, err := r.client(defaults, func(job *river.Job[riverJob]) { c.start(job.ScheduledAt) })
	if err != nil {
		return nil, err
	}
	runtime.GC()
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return nil, err
	}
	v, err := c.count(ctx, b, m, first, s.Grace)
	if err != nil {
		return nil, err
	}
	return v, client.Stop(ctx)
}
