package punctual_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

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
	// The context of the store call, the task in the store, its schedule as an interface, and now and then the growth of maps and lists.
	assert.LessOrEqual(t, perCall(func(id string) error { return s.Add(ctx, waiting(id)) }), 5.0, "Add")
	// The context of the store call and the schedule as an interface.
	assert.LessOrEqual(t, perCall(func(id string) error { return s.Reschedule(ctx, waiting(id)) }), 4.0, "Reschedule")
	// The context of the store call and what the call has been asked.
	assert.LessOrEqual(t, perCall(func(id string) error { return s.Remove(ctx, id) }), 5.0, "Remove")
	require.NoError(t, s.Close())
}

// From the claim to the stored result: the row and its id, the flight, its context with the function that cancels it, the goroutine, and shares
// of what grows.
func TestAnOccurrenceAllocatesLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector lets pools forget")
	}
	const tasks = 500
	var left sync.WaitGroup
	s, err := punctual.New(memory.New(), punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
		left.Done()
		return punctual.Result{}, nil
	}), punctual.WithConcurrency(tasks))
	require.NoError(t, err)
	ctx := context.Background()
	for i := range tasks {
		task := waiting(fmt.Sprint("task", i))
		require.NoError(t, s.Add(ctx, task))
	}
	require.NoError(t, s.Start(ctx))
	per := testing.AllocsPerRun(10, func() {
		left.Add(tasks)
		for i := range tasks {
			if _, err := s.RunNow(ctx, fmt.Sprint("task", i)); err != nil {
				t.Fatal(err)
			}
		}
		left.Wait()
		if err := s.WaitIdle(ctx); err != nil {
			t.Fatal(err)
		}
	}) / tasks
	assert.LessOrEqual(t, per, 22.0, "a run by RunNow, from the call to the stored result")
	require.NoError(t, s.Shutdown(ctx))
}

// A schedule is asked under the store's lock, for each occurrence.
func TestNextAllocatesNothing(t *testing.T) {
	now := time.Date(2026, 5, 17, 10, 0, 0, 0, time.UTC)
	for _, s := range []punctual.Schedule{
		punctual.Every(time.Minute), punctual.Every(time.Minute).Aligned(), punctual.Every(time.Minute).From(now), punctual.Once(now.Add(time.Hour)),
	} {
		assert.Zero(t, testing.AllocsPerRun(100, func() { s.Next(now) }), s.String())
	}
}
