package punctual_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

// What the hot path allocates is what the garbage collector has to do later: about a third of the cost of an occurrence was that once.
func TestCallsOfHostsAllocateLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector lets pools forget")
	}
	s, err := punctual.New(memory.New(), punctual.ExecutorFunc(nil))
	require.NoError(t, err)
	ids := make([]string, 2000)
	for i := range ids {
		ids[i] = fmt.Sprint("task", i)
	}
	n := 0
	perCall := func(call func(id string) error) float64 {
		n = 0
		return testing.AllocsPerRun(1000, func() {
			if err := call(ids[n]); err != nil {
				t.Fatal(err)
			}
			n++
		})
	}
	ctx := context.Background()
	// The schedule as an interface, and now and then the growth of tables, lists and chunks, and a block of contexts for calls to the store.
	assert.LessOrEqual(t, perCall(func(id string) error { return s.Add(ctx, waiting(id)) }), 1.0, "Add")
	assert.LessOrEqual(t, perCall(func(id string) error { return s.Reschedule(ctx, waiting(id)) }), 1.0, "Reschedule")
	assert.Zero(t, perCall(func(id string) error { return s.Remove(ctx, id) }), "Remove")
	require.NoError(t, s.Close())
}

// From the claim to the stored result, for an occurrence among as many as one claim takes: shares of the blocks of ids and of contexts, of the chunks of rows,
// of what grows and of what a claim and a batch of outcomes need.
func TestAnOccurrenceAllocatesLittle(t *testing.T) {
	const tasks = 500
	hosts := clock.NewMock()
	hosts.Set(time.Date(2026, 5, 17, 10, 0, 0, 0, time.UTC))
	e := newAllocations(t, tasks, punctual.WithClock(hosts), punctual.WithLease(24*time.Hour), punctual.WithMaxSleep(2*time.Hour))
	per := e.perRun(t, func(int) error { return nil }, func() { hosts.Add(time.Hour) })
	assert.LessOrEqual(t, per, 0.25)
}

// From the call to the stored result: what an occurrence needs, and the call, whose decision is made without room for its answer; the run starts
// alone, so it also has a goroutine and mostly a batch of outcomes for itself.
func TestARunByHandAllocatesLittle(t *testing.T) {
	const tasks = 500
	e := newAllocations(t, tasks)
	per := e.perRun(t, func(i int) error {
		_, err := e.s.RunNow(context.Background(), fmt.Sprint("task", i))
		return err
	}, func() {})
	assert.LessOrEqual(t, per, 7.8)
}

// allocations is a scheduler whose tasks are hourly, and which is counted over rounds in which each of them runs once.
type allocations struct {
	s     *punctual.Scheduler
	tasks int
	left  sync.WaitGroup
}

func newAllocations(t *testing.T, tasks int, opts ...punctual.Option) *allocations {
	if raceEnabled {
		t.Skip("the race detector lets pools forget")
	}
	e := &allocations{tasks: tasks}
	s, err := punctual.New(memory.New(), punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
		e.left.Done()
		return punctual.Result{}, nil
	}), append(opts, punctual.WithConcurrency(tasks))...)
	require.NoError(t, err)
	e.s = s
	for i := range tasks {
		require.NoError(t, s.Add(context.Background(), waiting(fmt.Sprint("task", i))))
	}
	require.NoError(t, s.Start(context.Background()))
	t.Cleanup(func() { require.NoError(t, s.Shutdown(context.Background())) })
	return e
}

// perRun returns how much one run allocates, where each makes one of a task due and all makes the rest due.
func (e *allocations) perRun(t *testing.T, each func(task int) error, all func()) float64 {
	return testing.AllocsPerRun(10, func() {
		e.left.Add(e.tasks)
		for i := range e.tasks {
			if err := each(i); err != nil {
				t.Fatal(err)
			}
		}
		all()
		e.left.Wait()
		if err := e.s.WaitIdle(context.Background()); err != nil {
			t.Fatal(err)
		}
	}) / float64(e.tasks)
}

// A schedule is asked under the store's lock, for each occurrence. What bind and combine make of one is made once for each question of the engine.
func TestNextAllocatesNothing(t *testing.T) {
	now := instant(t, "2026-05-17T10:00:00Z")
	for _, text := range []string{
		"every 1m", "every 1m after completion", "every 1m aligned", "every 1m from 2026-05-17T10:00:00Z", "once 2027-01-01T00:00:00Z",
		"daily 09:30,17:15 Europe/Berlin", "weekly mon,fri 09:30 Europe/Berlin", "monthly 1,last 09:30 Europe/Berlin",
		"cron 0 9 * * 1-5 Europe/Berlin", "cron */15 * * * * * UTC", "cron 0 0 L * 5#2 America/New_York",
		"every 1h | except sat,sun,12-25 Europe/Berlin", "daily 09:30 Europe/Berlin | jitter 5m", "every 1m | limit 1000000",
		"every 1m | between 2026-01-01T00:00:00Z and 2027-01-01T00:00:00Z", "union (daily 09:30 Europe/Berlin) (every 1h)",
	} {
		s, err := punctual.ParseSchedule(text)
		require.NoError(t, err, text)
		s = bound(s, "task", now)
		assert.Zero(t, testing.AllocsPerRun(100, func() { s.Next(now) }), text)
	}
}
