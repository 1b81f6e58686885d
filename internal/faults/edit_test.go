//go:build linux

package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// Each task is rescheduled or removed at the very moment at which it is due, while other processes are about to claim it.
func TestEditsMeetADueInstant(t *testing.T) {
	on(t, all, func(t *testing.T, dsn string) {
		tasks := 60
		if *long {
			tasks = 1000
		}
		c := newCrew(t, dsn, 6*time.Second)
		for range 3 {
			c.start(orders{MaxSleep: 20 * time.Millisecond}) // they look all the time
		}
		begin := time.Now().Add(2 * time.Second)
		dueOf := func(i int) time.Time {
			return begin.Add(time.Duration(i) * 40 * time.Millisecond).Truncate(time.Microsecond)
		}
		var adding, editing sync.WaitGroup
		const hands = 4
		for hand := range hands {
			adding.Go(func() {
				for i := hand; i < tasks; i += hands {
					due := dueOf(i)
					for !due.After(time.Now().Add(time.Second)) {
						due = due.Add(time.Second) // this machine is slow today
					}
					id := fmt.Sprintf("t%d", i)
					c.add(punctual.Task{ID: id, Schedule: punctual.Every(time.Hour).From(due.Add(-time.Hour)), OnRegister: punctual.WaitForSchedule, MisfireGrace: time.Hour}, chore{})
					editing.Go(func() {
						time.Sleep(time.Until(due) + time.Duration(rand.N(70)-10)*time.Millisecond)
						if i%2 == 0 {
							later := punctual.Task{ID: id, Schedule: punctual.Every(time.Hour).From(due), OnRegister: punctual.WaitForSchedule}
							assert.NoError(t, c.host.Reschedule(t.Context(), later))
							return
						}
						assert.NoError(t, c.host.Remove(t.Context(), id, punctual.KeepHistory()))
					})
				}
			})
		}
		adding.Wait()
		editing.Wait()
		time.Sleep(500 * time.Millisecond) // whoever were to start something now would be wrong
		c.finish()
		fired := 0
		for _, e := range c.find(func(e *event) bool { return e.What == isClaimed }) {
			fired++
			edited := c.editedAt(e.Task)
			assert.True(t, time.UnixMicro(e.From).Before(edited), "%s was claimed at %s and edited at %s", e.Task, wallTime(time.UnixMicro(e.From)), wallTime(edited))
		}
		t.Logf("%d of %d had been claimed before their edit", fired, tasks)
		for _, snap := range c.tasks() {
			assert.Greater(t, time.Until(snap.NextRunAt), 30*time.Minute, "the next run is the new one")
		}
	})
}

// editedAt is when the newest edit of a task was committed, by the store's clock.
func (c *crew) editedAt(task string) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.edits[task]
}

// Results come, and beats go out again, at the moment at which the lease lapses and others take over.
func TestResultsMeetTheEndOfTheLease(t *testing.T) {
	slow(t)
	on(t, servers, func(t *testing.T, dsn string) {
		rounds, runs := 2, 40
		if *long {
			rounds, runs = 20, 200
		}
		c := newCrew(t, dsn, shortLease)
		for range 2 {
			c.start(orders{Concurrency: 5}) // most of the runs begin on the third
		}
		p, through := newProxy(t, dsn)
		a := c.start(orders{DSN: through, Concurrency: 500, StoreTimeout: shortLease})
		for round := range rounds {
			// They end between two thirds and four thirds of a lease after they began, whatever they are told.
			const steps = 10
			var groups []group
			for i := range steps {
				takes := shortLease * time.Duration(2*steps+2*i) / (3 * steps)
				groups = append(groups, group{id: fmt.Sprintf("round%d/%d/", round, i), n: runs / steps, work: chore{First: takes, Takes: time.Millisecond, Deaf: true}})
			}
			c.addTogether(time.Second, groups...)
			c.await("the runs to begin", func() bool {
				begun := make(map[string]bool) // by some attempt: a busy machine may lose one before it begins
				for _, e := range c.find(func(e *event) bool {
					return e.What == isBegun && strings.HasPrefix(e.Task, fmt.Sprintf("round%d/", round))
				}) {
					begun[e.Run] = true
				}
				return len(begun) == runs
			})
			p.turn(silent)
			time.Sleep(shortLease * 9 / 10)
			p.turn(open)
		}
		v := c.finish()
		stale := c.count(func(e *event) bool { return e.What == isStale })
		t.Logf("%d of %d results came too late; %d executions on the one whose network failed", stale, v.Runs,
			c.count(func(e *event) bool { return e.by == a && e.What == isBegun }))
		for _, run := range c.ledger() {
			assert.Equal(t, punctual.StateSucceeded, run.State)
		}
	})
}

func TestAllProcessesAreDownForAWhile(t *testing.T) {
	slow(t)
	on(t, some(), func(t *testing.T, dsn string) {
		const every, down, limit = 500 * time.Millisecond, 10 * time.Second, 5
		c := newCrew(t, dsn, shortLease)
		crew := []*member{c.start(orders{}), c.start(orders{})}
		policies := []punctual.Misfire{punctual.MisfireSkip, punctual.MisfireRunOnce, punctual.MisfireRunAll}
		for _, misfire := range policies {
			for i := range 3 {
				c.add(punctual.Task{ID: fmt.Sprintf("%v %d", misfire, i), Schedule: punctual.Every(every), Misfire: misfire, MisfireLimit: limit}, chore{})
			}
		}
		c.await("all tasks to run", func() bool { return c.count(func(e *event) bool { return e.What == isEnded }) >= 3*3*3 })
		for _, m := range crew {
			m.kill()
		}
		from := time.Now()
		time.Sleep(down)
		until := time.Now()
		c.start(orders{Concurrency: 2}) // fewer than have something to catch up with
		c.await("all to run again", func() bool {
			seen := make(map[string]bool)
			for _, e := range c.find(func(e *event) bool { return e.What == isEnded && e.time().After(until) }) {
				seen[e.Task] = true
			}
			return len(seen) == 9
		})
		c.finish()
		inside := func(t time.Time) bool {
			return t.After(from.Add(every)) && t.Before(until.Add(-punctual.DefaultMisfireGrace))
		}
		for _, misfire := range policies {
			for i := range 3 {
				var missed int64
				var caught []time.Time
				for _, run := range c.runsOf(fmt.Sprintf("%v %d", misfire, i)) {
					switch {
					case run.State == punctual.StateMissed && inside(run.ScheduledAt.Add(run.Until.Sub(run.ScheduledAt)/2)):
						missed += run.Count
					case run.Trigger == punctual.TriggerCatchUp && run.ScheduledAt.After(from):
						caught = append(caught, run.ScheduledAt)
					case run.State == punctual.StateSucceeded && inside(run.ScheduledAt):
						t.Errorf("%v: %s was executed as if it had been on time", misfire, wallTime(run.ScheduledAt))
					}
				}
				assert.GreaterOrEqual(t, missed, int64((down-2*time.Second)/every-limit), "%v", misfire)
				switch misfire {
				case punctual.MisfireSkip:
					assert.Empty(t, caught)
				case punctual.MisfireRunOnce:
					assert.LessOrEqual(t, len(slices.DeleteFunc(caught, func(at time.Time) bool { return !inside(at) })), 1)
				case punctual.MisfireRunAll:
					require.GreaterOrEqual(t, len(caught), limit)
					for n, at := range caught[1:limit] {
						assert.Equal(t, every, at.Sub(caught[n]), "the newest, one after the other")
					}
				}
			}
		}
	})
}
