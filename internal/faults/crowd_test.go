//go:build linux

package faults

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestManyProcessesAndManyTasksDueAtTheSameInstant(t *testing.T) {
	slow(t)
	on(t, some(), func(t *testing.T, dsn string) {
		instances, tasks, batch, ahead := 4, 400, 50, 2*time.Second
		if *long {
			instances, tasks, batch, ahead = 8, 10_000, 500, 20*time.Second
		}
		c := newCrew(t, dsn, 10*time.Second)
		due := c.addTogether(ahead, group{id: "t", n: tasks}) // before others want to write to the same file
		for range instances {
			c.launch(orders{Concurrency: batch})
		}
		time.Sleep(time.Until(due))
		c.awaitCount("all to be executed", tasks, func(e *event) bool { return e.What == isEnded })
		v := c.finish()
		assert.Equal(t, []int{tasks, tasks, tasks}, []int{v.Occurrences, v.Runs, v.Executions})
		for _, e := range c.find(func(e *event) bool { return e.What == isFailed }) {
			t.Errorf("a call of %s to the store failed: %s: %s", e.by.Name, e.Task, e.Text)
		}
		for _, m := range c.all() {
			t.Logf("%s executed %d", m.Name, c.count(func(e *event) bool { return e.by == m && e.What == isEnded }))
		}
	})
}

// Who has made a claim ahead and is killed or stopped before its instant keeps others from it for about a second, and has started nothing of it.
func TestAProcessEndsWhileItsClaimWaitsForTheInstant(t *testing.T) {
	slow(t)
	for _, does := range []deed{die, stop} {
		t.Run(string(does), func(t *testing.T) {
			on(t, servers, func(t *testing.T, dsn string) {
				const tasks = 300
				c := newCrew(t, strings.Replace(dsn, "pool_max_conns=3", "pool_max_conns=4", 1), shortLease) // with fewer nothing is prepared
				a := c.start(orders{Concurrency: 2 * tasks, Trap: trap{At: prepared, Task: "t", Do: does}})
				harmed := func() bool {
					select {
					case <-a.gone:
						return true
					default:
						return a.stopped()
					}
				}
				var due time.Time
				done := 0
				for round := 0; !harmed(); round++ { // on a busy machine there may be no time to prepare
					due = c.addTogether(3*time.Second, group{id: fmt.Sprintf("t%d-", round), n: tasks})
					c.await("the process to end, to stop itself, or to do it all", func() bool {
						return harmed() || c.count(func(e *event) bool { return e.What == isEnded }) == (round+1)*tasks
					})
					done = round * tasks
				}
				c.start(orders{Concurrency: 2 * tasks})
				c.awaitCount("the other to do it all", done+tasks, func(e *event) bool { return e.What == isEnded })
				t.Logf("all was done %v after the instant", time.Since(due))
				if does == stop {
					a.thaw()
				}
				v := c.finish()
				assert.Equal(t, []int{done + tasks, done + tasks}, []int{v.Occurrences, v.Runs})
			})
		})
	}
}
