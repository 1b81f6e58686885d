//go:build linux

package faults

import (
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
