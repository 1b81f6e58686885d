package punctual

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/assert"
)

// A busy loop waits for nearly every occurrence. A tick that nobody has read must not end a later wait.
func TestTheLoopSetsItsTimerAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Scheduler{config: config{clock: clock.New()}}
		first := s.newTimer(time.Hour)
		second := s.newTimer(time.Hour)
		assert.NotSame(t, first, second, "both are in use")
		second.Stop()
		for _, passes := range []time.Duration{time.Second, time.Hour} {
			time.Sleep(passes)
			synctest.Wait()
			s.stop(first)
			again := s.newTimer(time.Minute)
			assert.Same(t, first, again)
			select {
			case <-again.C:
				t.Error("an old tick")
			case <-time.After(time.Minute - 1):
			}
			assert.Equal(t, time.Duration(1), waitFor(again))
		}
	})
}

func waitFor(timer *clock.Timer) time.Duration {
	begin := time.Now()
	<-timer.C
	return time.Since(begin)
}

// Timers of a mock are not made to be set again.
func TestTheLoopMakesATimerForEachWaitOnAnInjectedClock(t *testing.T) {
	s := &Scheduler{config: config{clock: clock.NewMock(), injected: true}}
	first := s.newTimer(time.Hour)
	s.stop(first)
	assert.NotSame(t, first, s.newTimer(time.Hour))
}
