//go:build linux

package faults

import (
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/assert"

	"github.com/punctual-go/punctual"
)

// wrongClock is the machine's clock, with a wall time that is off and may jump while its timers and its monotonic readings go by elapsed
// time, as those of an operating system do.
type wrongClock struct {
	clock.Clock
	ahead atomic.Int64
}

func newWrongClock(ahead time.Duration) *wrongClock {
	c := &wrongClock{Clock: clock.New()}
	c.jump(ahead)
	return c
}

func (c *wrongClock) jump(d time.Duration) { c.ahead.Add(int64(d)) }

func (c *wrongClock) Now() time.Time                  { return stepped(time.Now(), time.Duration(c.ahead.Load())) }
func (c *wrongClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }
func (c *wrongClock) Until(t time.Time) time.Duration { return t.Sub(c.Now()) }

// stepped moves the wall time of an instant and leaves its monotonic reading alone. Each step of a system's clock makes such values, and no
// function of package time does.
func stepped(t time.Time, d time.Duration) time.Time {
	moved := t.Add(d) // both
	fields := (*struct {
		wall uint64
		ext  int64
		loc  *time.Location
	})(unsafe.Pointer(&moved))
	fields.ext -= int64(d)
	return moved
}

func TestAWrongClockMovesTheWallTimeAlone(t *testing.T) {
	c := newWrongClock(time.Hour)
	before, real := c.Now(), time.Now()
	assert.InDelta(t, time.Hour, before.Round(0).Sub(real.Round(0)), float64(time.Minute))
	c.jump(-3 * time.Hour)
	after := c.Now()
	assert.Less(t, after.Sub(before).Abs(), time.Minute, "elapsed time")
	assert.InDelta(t, -2*time.Hour, after.Round(0).Sub(real.Round(0)), float64(time.Minute))
}

func TestAProcessWhoseClockIsHoursOffMovesNothing(t *testing.T) {
	slow(t)
	// SQLite has no clock of its own: there the processes of one machine go by the machine's.
	on(t, servers, func(t *testing.T, dsn string) {
		c := newCrew(t, dsn, 6*time.Second)
		a := c.start(orders{Ahead: time.Hour})
		c.start(orders{})
		for _, id := range []string{"t1", "t2", "t3", "t4"} {
			c.add(punctual.Task{ID: id, Schedule: punctual.Every(300 * time.Millisecond)}, chore{Takes: 10 * time.Millisecond})
		}
		ran := func(n int) func() bool {
			return func() bool { return c.count(func(e *event) bool { return e.by == a && e.What == isEnded }) >= n }
		}
		c.await("runs while its clock is ahead", ran(6))
		health := a.ask(request{Call: "health"}).Health
		assert.InDelta(t, -time.Hour, health.ClockOffset, float64(time.Minute))
		assert.Contains(t, health.Reasons[len(health.Reasons)-1], punctual.DegradedClock)
		a.ask(request{Call: "jump", By: -3 * time.Hour})
		c.await("runs while its clock is behind", ran(12))
		c.finish()
		for _, run := range c.ledger() {
			if run.State == punctual.StateSucceeded {
				assert.WithinDuration(t, run.ScheduledAt, run.StartedAt, patience, "what the ledger says is the store's time")
				assert.WithinDuration(t, run.ScheduledAt, run.FinishedAt, patience)
			}
		}
		assert.Zero(t, c.count(func(e *event) bool { return e.What == isTold }))
	})
}
