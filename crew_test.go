package punctual

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Otherwise an attempt could wait for the end of another, or each would have a goroutine of its own.
func TestOneGoroutineIsOnItsWayWhileAnAttemptWaits(t *testing.T) {
	s := newCrewed(t)
	c := &s.crew
	assert.False(t, c.call(), "nothing waits")
	c.groups = append(c.groups, groupOf("first"))
	assert.True(t, c.call())
	c.groups = append(c.groups, groupOf("second", "third"))
	assert.False(t, c.call(), "one is on its way")

	c.coming = false // it arrives
	assert.Equal(t, "first", s.popLocked().run.ID)
	assert.True(t, c.call(), "what it takes may last, and another attempt waits")
	assert.Equal(t, "second", s.popLocked().run.ID)
	assert.False(t, c.call())

	c.coming = false
	assert.Equal(t, "third", s.popLocked().run.ID)
	assert.False(t, c.call(), "nothing waits")
	assert.Nil(t, s.popLocked())
	f := &flight{}
	c.push(f)
	assert.True(t, c.call())
	assert.Same(t, f, s.popLocked())
}

// Who looks for an attempt has to find those that wait, and they start in their order all the same.
func TestAttemptsThatWaitAreFoundAndKeepTheirOrder(t *testing.T) {
	s := newCrewed(t)
	s.crew.groups = append(s.crew.groups, groupOf("1", "2"), groupOf("3"))
	s.flights.count = 3
	assert.Equal(t, "1", s.popLocked().run.ID)
	s.cancelFlight("3", ErrCanceled)
	s.crew.groups = append(s.crew.groups, groupOf("4"))
	for _, id := range []string{"2", "3", "4"} {
		f := s.popLocked()
		require.NotNil(t, f)
		assert.Equal(t, id, f.run.ID)
		assert.Equal(t, id == "3", f.ctx.Err() != nil)
	}
}

// The room of a group is used again, and holds nothing of what it held until then.
func TestARoomOfAGroupIsEmptyWhenItIsUsedAgain(t *testing.T) {
	s := newCrewed(t)
	g := groupOf("1", "2")
	s.crew.groups = append(s.crew.groups, g)
	s.popLocked()
	s.popLocked()
	room := s.groupRoom()
	require.Same(t, &g.runs[0], &room.runs[:1][0])
	for _, run := range room.runs[:2] {
		assert.Zero(t, run)
	}
	assert.Nil(t, s.groupRoom().runs, "it has one user")
}

func newCrewed(t *testing.T) *Scheduler {
	s, err := New(struct{ Store }{}, ExecutorFunc(nil))
	require.NoError(t, err)
	s.base = t.Context()
	return s
}

func groupOf(ids ...string) (g group) {
	for _, id := range ids {
		g.runs = append(g.runs, Run{ID: id, ScheduledAt: time.Unix(1, 0)})
		g.conducts = append(g.conducts, conduct{})
	}
	return g
}

// What is claimed long before it can begin would only take memory.
func TestTheLoopGivesWayWhileTheCrewIsBehind(t *testing.T) {
	s := newCrewed(t)
	s.crew.groups = append(s.crew.groups, groupOf("1"), groupOf("2"), groupOf("3"))
	var working sync.WaitGroup
	working.Go(func() {
		for range 2 {
			for range 1000 {
				runtime.Gosched()
			}
			s.mu.Lock()
			s.popLocked()
			s.mu.Unlock()
		}
	})
	s.giveWay()
	s.mu.Lock()
	assert.Len(t, s.crew.groups, 1)
	s.mu.Unlock()
	working.Wait()
	s.giveWay()
}
