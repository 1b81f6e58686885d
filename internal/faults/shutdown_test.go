//go:build linux

package faults

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

func TestShutdownOfAProcessStoresWhatEndsNamesWhatDoesNotAndReleasesTheRest(t *testing.T) {
	slow(t)
	on(t, some(), func(t *testing.T, dsn string) {
		const short, endless, claims, limit = 40, 10, 20, 6 * time.Second
		c := newCrew(t, dsn, 3*time.Second)
		a := c.start(orders{Trap: trap{At: claimed, Task: "claimed", Runs: claims, Do: dwell}})
		c.addTogether(
			time.Second, group{id: "short", n: short, work: chore{Takes: 4 * time.Second}},
			group{id: "endless", n: endless, work: chore{First: time.Hour, Takes: 10 * time.Millisecond}},
		)
		c.await("the runs to begin", func() bool { return c.count(func(e *event) bool { return e.What == isBegun }) == short+endless })
		c.addTogether(500*time.Millisecond, group{id: "claimed", n: claims, work: chore{Takes: 10 * time.Millisecond}})
		isLast := func(e *event) bool { return e.What == isClaimed && strings.HasPrefix(e.Task, "claimed") }
		c.await("the claim", func() bool { return c.count(isLast) == claims })
		took, text := a.shutdown(limit)
		assert.Less(t, took, limit+patience/6)
		named := 0
		for _, e := range c.find(func(e *event) bool { return e.What == isBegun }) {
			switch {
			case strings.HasPrefix(e.Task, "endless"):
				assert.Contains(t, text, e.Run)
				named++
			default:
				assert.NotContains(t, text, e.Run)
			}
		}
		assert.Equal(t, endless, named)
		t.Logf("returned after %v of %v", took.Round(time.Millisecond), limit)
		b := c.start(orders{})
		c.finish()
		for _, run := range c.ledger() {
			switch {
			case strings.HasPrefix(run.TaskID, "short"):
				assert.Equal(t, []any{punctual.StateSucceeded, 1, a.Name}, []any{run.State, run.Attempt, run.Instance}, run.TaskID)
			case strings.HasPrefix(run.TaskID, "claimed"):
				assert.Equal(t, []any{punctual.StateSucceeded, 1, b.Name}, []any{run.State, run.Attempt, run.Instance}, "no attempt was spent on %s", run.TaskID)
			case run.State == punctual.StateCanceled:
				assert.Equal(t, punctual.ReasonShutdown, run.Reason)
			default: // its end could not be stored in the last moment, and then another took it over
				assert.Equal(t, punctual.StateSucceeded, run.State)
			}
		}
	})
}

// A stranger's transaction holds the row of a task that is due, for as long as it likes.
func TestAStrangersLockKeepsOneTaskAndNoOther(t *testing.T) {
	slow(t)
	on(t, servers, func(t *testing.T, dsn string) {
		holds := 5 * time.Second
		if *long {
			holds = time.Minute
		}
		c := newCrew(t, dsn, shortLease)
		c.add(once("held", 3*time.Second), chore{Takes: 10 * time.Millisecond})
		db := raw(t, dsn)
		defer db.Close()
		tx, err := db.BeginTx(context.Background(), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		require.NoError(t, err)
		defer func() { _ = tx.Rollback() }() // after the commit it has nothing to do
		_, err = tx.Exec("SELECT * FROM " + table(dsn, "tasks") + " WHERE id = 'held' FOR UPDATE")
		require.NoError(t, err)
		for range 2 {
			c.start(orders{})
		}
		c.add(punctual.Task{ID: "free", Schedule: punctual.Every(200 * time.Millisecond)}, chore{Takes: 10 * time.Millisecond})
		time.Sleep(holds)
		c.await("others to go on", func() bool { return c.count(of(isEnded, "free")) > int(holds/time.Second) })
		require.Zero(t, c.count(of(isClaimed, "held")))
		require.NoError(t, tx.Commit())
		released := time.Now()
		c.await("the task that was held", func() bool { return c.count(of(isBegun, "held")) == 1 })
		t.Logf("began %v after the stranger let go", c.find(of(isBegun, "held"))[0].time().Sub(released).Round(time.Millisecond))
		c.finish()
	})
}

// A process vanishes, with its network, inside of a claim: the server is left with a transaction that holds locks, and nobody tells it.
func TestThePeerOfAClaimVanishes(t *testing.T) {
	slow(t)
	on(t, servers, func(t *testing.T, dsn string) {
		const tasks = 20
		c := newCrew(t, dsn, shortLease)
		p, through := newProxy(t, dsn)
		a := c.start(orders{DSN: through})
		p.silentAt("vanishing")
		c.addTogether(time.Second, group{id: "vanishing", n: tasks, work: chore{Takes: 10 * time.Millisecond}})
		c.await("the claim", func() bool { return p.is(silent) })
		silentSince := time.Now()
		a.kill() // the proxy does not tell the server
		c.start(orders{})
		c.await("others to get its rows", func() bool { return c.count(func(e *event) bool { return e.What == isEnded }) == tasks })
		t.Logf("all rows were free %v after it had vanished", time.Since(silentSince).Round(100*time.Millisecond))
		c.finish()
		for _, run := range c.ledger() {
			assert.Equal(t, []any{punctual.StateSucceeded, 1}, []any{run.State, run.Attempt}, "its claim was never committed")
		}
	})
}
