//go:build linux

package faults

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

func TestAnotherProcessTakesOverWhatAKilledOneWasWorkingOn(t *testing.T) {
	on(t, all, func(t *testing.T, dsn string) {
		c := newCrew(t, dsn, shortLease)
		c.start(orders{})
		c.start(orders{})
		c.add(punctual.Task{ID: "t", Schedule: punctual.Every(4 * time.Second)}, chore{Takes: 2 * time.Second})
		c.await("the run to begin", func() bool { return c.count(of(isBegun, "t")) == 1 })
		killed := c.find(of(isBegun, "t"))[0].by
		killed.kill()
		c.await("the takeover", func() bool { return c.count(of(isBegun, "t")) == 2 })
		c.await("the next occurrence", func() bool { return len(c.runsOf("t")) >= 2 })
		begun := c.find(of(isBegun, "t"))
		assert.NotEqual(t, killed.Name, begun[1].by.Name)
		assert.Equal(t, []any{begun[0].Run, 2}, []any{begun[1].Run, begun[1].Attempt})
		v := c.finish()
		require.Len(t, v.Takeovers, 1)
	})
}

// lostPolicies plays a case with a task that runs again what was lost, and with one that does not.
func lostPolicies(t *testing.T, at moment, check func(t *testing.T, c *crew, run punctual.Run)) {
	t.Parallel()
	for _, lost := range []punctual.Lost{punctual.LostRunAgain, punctual.LostMark} {
		t.Run(lost.String(), func(t *testing.T) {
			on(t, all, func(t *testing.T, dsn string) {
				c := newCrew(t, dsn, shortLease)
				a := c.start(orders{Trap: trap{At: at, Do: die}})
				task := once("t", 300*time.Millisecond)
				task.Lost = lost
				c.add(task, chore{Takes: 10 * time.Millisecond})
				<-a.gone
				c.start(orders{})
				c.finish()
				runs := c.runsOf("t")
				require.Len(t, runs, 1)
				check(t, c, runs[0])
			})
		})
	}
}

func TestAProcessIsKilledBetweenItsClaimAndTheStartOfHostCode(t *testing.T) {
	lostPolicies(t, claimed, func(t *testing.T, c *crew, run punctual.Run) {
		if run.AtMostOnce {
			assert.Equal(t, []any{punctual.StateLost, 1}, []any{run.State, run.Attempt})
			assert.Zero(t, c.count(of(isBegun, "t")))
			return
		}
		assert.Equal(t, []any{punctual.StateSucceeded, 2}, []any{run.State, run.Attempt})
		assert.Equal(t, 1, c.count(of(isBegun, "t")))
	})
}

func TestAProcessIsKilledBetweenTheEndOfHostCodeAndItsResult(t *testing.T) {
	lostPolicies(t, ended, func(t *testing.T, c *crew, run punctual.Run) {
		begun := c.find(of(isBegun, "t"))
		if run.AtMostOnce {
			assert.Equal(t, []any{punctual.StateLost, 1}, []any{run.State, run.Attempt})
			assert.Len(t, begun, 1)
			return
		}
		assert.Equal(t, []any{punctual.StateSucceeded, 2}, []any{run.State, run.Attempt})
		require.Len(t, begun, 2)
		assert.Equal(t, []any{run.ID, run.ID}, []any{begun[0].Run, begun[1].Run}, "an executor that knows the id can tell")
	})
}
