//go:build linux

package faults

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

func TestAStoppedProcessStartsNothingWhenItGoesOn(t *testing.T) {
	slow(t)
	// Not on SQLite: who is stopped in the middle of a write there has the file, and all others wait until it goes on.
	on(t, servers, func(t *testing.T, dsn string) {
		const running, claims = 5, 20
		c := newCrew(t, dsn, shortLease)
		a := c.start(orders{Trap: trap{At: claimed, Task: "claimed", Runs: claims, Do: stop}})
		c.addTogether(time.Second, group{id: "running", n: running, work: chore{First: time.Minute, Takes: 10 * time.Millisecond}})
		c.await("the runs to begin", func() bool { return c.count(func(e *event) bool { return e.What == isBegun }) == running })
		// They are due at the same instant, so that one claim takes them all.
		c.addTogether(time.Second, group{id: "claimed", n: claims, work: chore{Takes: 10 * time.Millisecond}})
		c.await("the process to stop itself", a.stopped)
		b := c.start(orders{})
		c.await("the other to take over", func() bool {
			return c.count(func(e *event) bool { return e.by == b && e.What == isEnded }) == running+claims
		})
		a.thaw()
		c.await("the stopped one to notice", func() bool { return c.count(func(e *event) bool { return e.by == a && e.What == isTold }) == running })
		c.finish()
		for _, e := range c.find(func(e *event) bool { return e.by == a && e.What == isTold }) {
			assert.Equal(t, punctual.ErrLeaseLost.Error(), e.Text)
		}
		for i := range claims {
			begun := c.find(of(isBegun, fmt.Sprintf("claimed%d", i)))
			require.Len(t, begun, 1)
			assert.Equal(t, []any{b.Name, 2}, []any{begun[0].by.Name, begun[0].Attempt})
		}
	})
}
