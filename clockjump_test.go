package punctual_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// jumpyClock is a clock on the wall that somebody sets, or that went on while the machine was asleep: what it reads jumps, and timers,
// which count elapsed time, do not notice.
type jumpyClock struct {
	clock.Clock
	ahead atomic.Int64
}

func newJumpyClock() *jumpyClock { return &jumpyClock{Clock: clock.New()} }

func (c *jumpyClock) Now() time.Time {
	return c.Clock.Now().Round(0).Add(time.Duration(c.ahead.Load()))
}
func (c *jumpyClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }
func (c *jumpyClock) Until(t time.Time) time.Duration { return t.Sub(c.Now()) }
func (c *jumpyClock) jump(d time.Duration)            { c.ahead.Add(int64(d)) }

// Case C6 (robfig/cron#26 ran a job 720 times): an interval of 5 s, and the clock on the wall goes an hour forward in one step.
func TestAClockThatJumpsForwardCoalescesToOneRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wall := newJumpyClock()
		w := newWorld(t, nil, punctual.WithClock(wall)).start()
		w.add(punctual.Task{ID: "t", Schedule: punctual.Every(5 * time.Second)})
		w.wait(time.Second)
		wall.jump(time.Hour)
		w.add(punctual.Task{ID: "other", Schedule: punctual.Every(10 * time.Hour)})
		// Without anything that makes the engine look, the timer for the next occurrence does within its 5 s.
		w.wait(4 * time.Second)
		assert.Equal(t, []string{
			"register +0s succeeded", "schedule +1h0m5s succeeded", "schedule +5s missed x720 misfire",
		}, w.facts("t"))
		assert.Equal(t, seconds(0, 5), w.starts("t"))
		w.wait(5 * time.Second)
		assert.Equal(t, seconds(0, 5, 10), w.starts("t"), "the next run is due after the interval")
		w.stop()
	})
}

func TestAClockThatJumpsForwardWhenTheEngineLooksMissesAllButTheLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wall := newJumpyClock()
		w := newWorld(t, nil, punctual.WithClock(wall))
		w.add(punctual.Task{ID: "t", Schedule: punctual.Every(5 * time.Second), OnRegister: punctual.WaitForSchedule})
		wall.jump(time.Hour)
		w.start()
		assert.Equal(t, []string{"schedule +1h0m0s succeeded", "schedule +5s missed x719 misfire"}, w.facts("t"))
		w.wait(5 * time.Second)
		assert.Len(t, w.starts("t"), 2)
		w.stop()
	})
}

// The other half of C6: what the ledger knows is not run again when the clock goes back.
func TestAClockThatJumpsBackRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wall := newJumpyClock()
		w := newWorld(t, nil, punctual.WithClock(wall)).start()
		w.add(punctual.Task{ID: "t", Schedule: punctual.Every(5 * time.Second)})
		w.wait(20 * time.Second)
		before := w.starts("t")
		require.Len(t, before, 5)
		wall.jump(-time.Hour)
		w.wait(time.Hour)
		occurrences := map[time.Time]int{}
		for _, run := range w.ledger("t") {
			occurrences[run.ScheduledAt]++
		}
		for at, n := range occurrences {
			assert.Equal(t, 1, n, "facts of the occurrence at +%v", at.Sub(w.begin))
		}
		w.wait(time.Minute)
		assert.Greater(t, len(w.starts("t")), len(before), "once the clock is past what the ledger knows, it goes on")
		w.stop()
	})
}

// Case C7 (gocron#396 never ran it): a single run is due at 13:00, and the machine sleeps from 12:00 to 14:00.
func TestASingleRunThatWasSleptThroughRunsSoonAfterWaking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wall := newJumpyClock()
		w := newWorld(t, nil, punctual.WithClock(wall)).start()
		due := w.begin.Add(time.Hour)
		w.add(punctual.Task{ID: "t", Schedule: punctual.Once(due)})
		w.wait(time.Second)
		wall.jump(2 * time.Hour)
		w.wait(30 * time.Second)
		runs := w.ledger("t")
		require.Len(t, runs, 1)
		assert.Equal(t, punctual.StateSucceeded, runs[0].State)
		assert.True(t, due.Equal(runs[0].ScheduledAt), "scheduled at %v", runs[0].ScheduledAt)
		assert.Equal(t, 2*time.Hour, runs[0].StartedAt.Sub(w.begin).Truncate(time.Minute), "started by the clock on the wall")
		w.stop()
	})
}
