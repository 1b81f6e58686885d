//go:build linux

package faults

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/punctual-go/punctual"
)

var (
	kills = flag.Int("kills", 20, "how many times TestRandomProcessesAreKilled kills an instance, in each of its settings")
	long  = flag.Bool("long", false, "all settings of each case, and the sizes that docs/faults.md speaks of")
	// shortLease is short so that nobody waits for long until it lapses.
	shortLease time.Duration
)

func init() {
	flag.DurationVar(&shortLease, "lease", 3*time.Second, "how long the lease of an instance lasts in most cases")
}

// Instances are killed at random moments and others are started in their place, while tasks run as fast as every 200 ms.
func TestRandomProcessesAreKilled(t *testing.T) {
	type setting struct {
		on        server
		instances int
	}
	settings := []setting{{postgreSQL, 3}, {mariaDB, 2}, {sqliteFile, 2}}
	if underRace {
		settings = settings[:1]
	}
	if *long {
		settings = nil
		for _, server := range all {
			for _, instances := range []int{2, 3, 8} {
				settings = append(settings, setting{server, instances})
			}
		}
	}
	alone(t)
	t.Parallel()
	for _, s := range settings {
		t.Run(fmt.Sprintf("%d instances on %s", s.instances, s.on.name), func(t *testing.T) {
			if !*long {
				t.Parallel()
			}
			churn(t, s.on.database(t), s.instances, *kills)
		})
	}
}

func churn(t *testing.T, dsn string, instances, kills int) {
	c := newCrew(t, dsn, shortLease)
	c.start(orders{}) // it makes the tables
	for range instances - 1 {
		c.launch(orders{})
	}
	c.employ()
	for range kills {
		time.Sleep(100*time.Millisecond + rand.N(300*time.Millisecond))
		if m := c.anyone(); m != nil {
			m.kill()
		}
		c.launch(orders{})
	}
	v := c.finish()
	assert.Positive(t, v.Occurrences)
	assert.Positive(t, v.Executions)
}

// employ registers tasks that keep all instances busy, some of which may not be executed again when they are lost.
func (c *crew) employ() {
	c.t.Helper()
	for i := range 18 {
		task := punctual.Task{ID: fmt.Sprintf("quick%d", i), Schedule: punctual.Every(200 * time.Millisecond)}
		work := chore{Takes: 30 * time.Millisecond}
		if i >= 12 {
			task.ID, task.Schedule, work.Takes = fmt.Sprintf("slow%d", i), punctual.Every(time.Second), 700*time.Millisecond
		}
		if i%3 == 0 {
			task.Lost = punctual.LostMark
		}
		c.add(task, work)
	}
}

// anyone is some worker that is there; nil if there is none.
func (c *crew) anyone() *member {
	members := slices.DeleteFunc(c.all(), func(m *member) bool { return !m.usable() })
	if len(members) == 0 {
		return nil
	}
	return members[rand.N(len(members))]
}

// Whatever can happen to an instance happens at random: it is killed, stopped for a while, or its network is cut, silent or slow.
func TestRandomHarmIsDoneToRandomProcesses(t *testing.T) {
	harm := *kills
	if !*long {
		harm /= 2
	}
	on(t, servers, func(t *testing.T, dsn string) {
		c := newCrew(t, dsn, shortLease)
		networks := make(map[*member]*proxy)
		launch := func() {
			p, through := newProxy(t, dsn)
			networks[c.launch(orders{DSN: through, StoreTimeout: shortLease})] = p
		}
		for range 3 {
			launch()
		}
		c.employ()
		var recoveries sync.WaitGroup
		for range harm {
			time.Sleep(200*time.Millisecond + rand.N(400*time.Millisecond))
			m := c.anyone()
			lasts := shortLease/4 + rand.N(2*shortLease)
			switch n := rand.N(5); {
			case m == nil || n == 0:
				if m != nil {
					m.kill()
				}
				launch()
			case n == 1:
				_ = m.cmd.Process.Signal(syscall.SIGSTOP)
				recoveries.Go(func() {
					time.Sleep(lasts)
					_ = m.cmd.Process.Signal(syscall.SIGCONT)
				})
			default:
				p := networks[m]
				switch n {
				case 2:
					p.turn(cut)
				case 3:
					p.turn(silent)
				case 4:
					p.slow(rand.N(shortLease / 5))
				}
				recoveries.Go(func() {
					time.Sleep(lasts)
					p.turn(open)
					p.slow(0)
				})
			}
		}
		recoveries.Wait()
		for _, p := range networks {
			p.turn(open) // what began twice may have ended in another order
			p.slow(0)
		}
		for _, m := range c.all() {
			_ = m.cmd.Process.Signal(syscall.SIGCONT)
		}
		v := c.finish()
		assert.Positive(t, v.Executions)
	})
}
