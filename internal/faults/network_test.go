//go:build linux

package faults

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

func TestAProcessThatIsCutOffStopsBeforeAnotherStarts(t *testing.T) {
	on(t, servers, func(t *testing.T, dsn string) {
		const lease = 3 * time.Second
		c := newCrew(t, dsn, lease)
		p, through := newProxy(t, dsn)
		a := c.start(orders{DSN: through, StoreTimeout: lease / 2})
		c.add(once("obeys", 500*time.Millisecond), chore{First: time.Minute, Takes: 10 * time.Millisecond})
		c.add(once("deaf", 500*time.Millisecond), chore{First: 2 * lease, Takes: 10 * time.Millisecond, Deaf: true})
		c.await("the runs to begin", func() bool { return c.count(func(e *event) bool { return e.What == isBegun }) == 2 })
		b := c.start(orders{})
		p.turn(silent)
		c.await("the takeover", func() bool { return c.count(func(e *event) bool { return e.by == b && e.What == isEnded }) == 2 })
		c.await("the deaf one to end", func() bool { return c.count(func(e *event) bool { return e.by == a && e.What == isEnded }) == 2 })
		p.turn(open)
		c.await("its result to come too late", func() bool {
			return c.count(func(e *event) bool { return e.by == a && e.What == isStale && e.Task == "deaf" }) == 1
		})
		c.finish() // which checks that nothing overlapped
		told := c.find(func(e *event) bool { return e.by == a && e.What == isTold })
		require.Len(t, told, 2)
		for _, e := range told {
			assert.Equal(t, punctual.ErrLeaseLost.Error(), e.Text)
		}
		run := c.runsOf("deaf")[0]
		assert.Equal(t, []any{punctual.StateSucceeded, 2, b.Name}, []any{run.State, run.Attempt, run.Instance})
		assert.Equal(t, "stale", run.History[len(run.History)-1].Outcome)
	})
}

func TestAShortPartitionOfAProcessCostsNothing(t *testing.T) {
	slow(t)
	on(t, servers, func(t *testing.T, dsn string) {
		const lease, runs = 7500 * time.Millisecond, 100
		c := newCrew(t, dsn, lease)
		p, through := newProxy(t, dsn)
		a := c.start(orders{DSN: through, Concurrency: runs})
		c.start(orders{})
		c.addTogether(time.Second, group{id: "t", n: runs, work: chore{Takes: 2 * time.Second}})
		c.await("the runs to begin", func() bool { return c.count(func(e *event) bool { return e.What == isBegun }) == runs })
		p.turn(cut)
		time.Sleep(lease * 8 / 15)
		p.turn(open)
		v := c.finish()
		assert.Equal(t, runs, v.Executions)
		assert.Zero(t, c.count(func(e *event) bool { return e.What == isTold }))
		assert.Positive(t, c.count(func(e *event) bool { return e.by == a && e.What == isFailed }), "it was cut off")
		for _, run := range c.ledger() {
			assert.Equal(t, []any{punctual.StateSucceeded, 1}, []any{run.State, run.Attempt})
		}
	})
}

func TestTheConnectionIsLostAfterACommitWasSent(t *testing.T) {
	on(t, servers, func(t *testing.T, dsn string) {
		c := newCrew(t, dsn, shortLease)
		p, through := newProxy(t, dsn)
		a := c.start(orders{DSN: through})
		p.dropAnswer("lost claim")
		c.add(once("lost claim", 500*time.Millisecond), chore{Takes: 10 * time.Millisecond})
		c.await("the run whose claim had no answer", func() bool { return c.count(of(isEnded, "lost claim")) == 1 })
		assert.Equal(t, 1, p.dropped())
		begun, run := c.find(of(isBegun, "lost claim"))[0], c.runsOf("lost claim")[0]
		t.Logf("found %v after it was due", begun.time().Sub(run.ScheduledAt))

		p.dropAnswer("execution 2 on " + a.Name)
		c.add(once("lost finish", 500*time.Millisecond), chore{Takes: 10 * time.Millisecond})
		c.await("the answer to be lost", func() bool { return p.dropped() == 2 })
		before := c.runsOf("lost finish")[0]
		require.Equal(t, punctual.StateSucceeded, before.State)
		c.await("the repeat", func() bool { return c.count(of(isAlready, "lost finish")) == 1 })
		v := c.finish()
		assert.Equal(t, 2, v.Executions)
		assert.Equal(t, before, c.runsOf("lost finish")[0], "the repeat changes nothing")
		run = c.runsOf("lost claim")[0]
		assert.Equal(t, []any{punctual.StateSucceeded, 1}, []any{run.State, run.Attempt}, "no attempt was spent")
		assert.True(t, strings.HasPrefix(run.Result.Output, "execution 1 "), run.Result.Output)
	})
}
