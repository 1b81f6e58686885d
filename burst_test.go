package punctual_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/punctual-go/punctual"
)

// roundTrips is a store that is as far away as a server is, and keeps how much each of its transactions did.
type roundTrips struct {
	punctual.Store
	away time.Duration

	mu       sync.Mutex
	claimed  []int
	finished []int
}

func (s *roundTrips) Claim(ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
	time.Sleep(s.away)
	reply, err := s.Store.Claim(ctx, req)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claimed = append(s.claimed, len(reply.Started))
	return reply, err
}

func (s *roundTrips) Finish(ctx context.Context, req punctual.FinishRequest) (punctual.FinishReply, error) {
	time.Sleep(s.away)
	s.mu.Lock()
	s.finished = append(s.finished, len(req.Items))
	s.mu.Unlock()
	return s.Store.Finish(ctx, req)
}

// burst lets so many tasks be due at once over a store that is far away, and tells what its transactions did in the first second.
func burst(t *testing.T, tasks int) *roundTrips {
	w := newWorld(t, nil)
	for i := range tasks {
		w.add(punctual.Task{ID: fmt.Sprint(i), Schedule: punctual.Every(time.Hour), OnRegister: punctual.WaitForSchedule})
	}
	s := &roundTrips{Store: w.store, away: 10 * time.Millisecond}
	w.store = s
	w.s = w.engine(punctual.WithConcurrency(10_000))
	w.wait(time.Hour)
	w.start()
	w.wait(time.Second)
	s.mu.Lock()
	told := &roundTrips{claimed: slices.Clone(s.claimed), finished: slices.Clone(s.finished)}
	s.mu.Unlock()
	w.stop()
	for i := range tasks {
		assert.Len(t, w.starts(fmt.Sprint(i)), 1)
	}
	return told
}

// What is due first does not wait for the whole burst, and a long one does not cost more transactions than it has to.
func TestTheFirstClaimsOfABurstAreSmaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		assert.Equal(t, []int{256, 256, 500, 188}, burst(t, 1200).claimed)
	})
}

// While more is due, results are stored in full batches, so that they do not take the store from what waits to be started.
func TestResultsOfABurstAreStoredInFullBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		assert.Equal(t, []int{500, 500}, burst(t, 1200).finished[:2])
	})
}

// What a burst leaves behind is stored as soon as nothing more is due.
func TestTheLastResultsOfABurstAreStoredAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := burst(t, 400)
		assert.Equal(t, []int{256, 144}, s.claimed)
		sum := 0
		for _, n := range s.finished {
			sum += n
		}
		assert.Equal(t, 400, sum)
	})
}

// Tasks that are due one after the other, each a few microseconds after the one before, are claimed some at a time, and none of them much later for
// that. Where only a few are as close as that, each starts at its very instant.
func TestDueTimesThatFollowEachOtherCloselyAreClaimedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tasks, apart, few = 500, 20 * time.Microsecond, 30
		log := &callLog{}
		w := newWorld(t, nil, punctual.WithObserver(log))
		for i := range tasks {
			first := w.begin.Add(time.Hour + time.Duration(i)*apart)
			w.add(punctual.Task{ID: fmt.Sprint(i), Schedule: punctual.Every(time.Hour).From(first.Add(-time.Hour)), OnRegister: punctual.WaitForSchedule})
		}
		w.start()
		w.wait(time.Hour - time.Second)
		log.of("claim")
		w.wait(2 * time.Second)
		assert.Less(t, len(log.of("claim")), tasks/4)
		for i := range tasks {
			due, starts := time.Hour+time.Duration(i)*apart, w.starts(fmt.Sprint(i))
			if assert.Len(t, starts, 1) {
				assert.GreaterOrEqual(t, starts[0], due)
				assert.LessOrEqual(t, starts[0]-due, 250*time.Microsecond)
				assert.True(t, i >= few || starts[0] == due, "task %d of the first %d started after %v", i, few, starts[0]-due)
			}
		}
		w.stop()
	})
}
