package punctual_test

import (
	"fmt"
	"regexp"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

// attention keeps what an instance tells of its own state.
type attention struct {
	mu    sync.Mutex
	begin time.Time
	told  []string
}

func (a *attention) Observe(e punctual.Event) {
	if e.Type != punctual.EventDegraded && e.Type != punctual.EventRecovered {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	line := fmt.Sprint(e.At.Sub(a.begin), " ", e.Type, " ", e.Reason)
	if e.Err != nil {
		line += ": " + e.Err.Error()
	}
	a.told = append(a.told, line)
}

func (a *attention) lines() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.told...)
}

// One run stands in the way of all others, with nobody there to ask for Health.
func TestAStandstillIsAnEventAndALogRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := &attention{begin: time.Now()}
		w := newWorld(t, busyFor(5*time.Minute), punctual.WithObserver(told), punctual.WithConcurrency(1)).start()
		w.add(hourly("long"))
		w.wait(30 * time.Second)
		assert.Empty(t, told.lines())
		w.add(hourly("waits"))
		w.wait(4*time.Minute + 29*time.Second)
		require.Len(t, told.lines(), 1, "once")
		assert.Regexp(t, `^(1m30s|2m0s) degraded backlog: backlog: due since 1m`, told.lines()[0], "by the longest wait of the loop")
		assert.Contains(t, w.logs.String(), "instance needs attention")
		w.wait(6 * time.Minute)
		require.Len(t, told.lines(), 2)
		assert.Regexp(t, `^5m\d*s recovered backlog$`, told.lines()[1])
		assert.True(t, w.s.Health().OK)
		w.stop()
	})
}

func TestEachReasonOfHealthComesAndGoesByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := &attention{begin: time.Now()}
		w := newWorld(t, nil)
		store := &failingStore{Store: memory.New()}
		w.store = store
		w.s = w.engine(punctual.WithObserver(told))
		w.start()
		w.add(hourly("t"))
		w.wait(59 * time.Minute)
		store.on.Store(true)
		w.wait(10 * time.Minute)
		store.on.Store(false)
		w.wait(2 * time.Minute)
		words := regexp.MustCompile(`(degraded|recovered) [a-z ]+`)
		var what []string
		for _, line := range told.lines() {
			what = append(what, words.FindString(line))
		}
		assert.Equal(t, []string{"degraded store failing", "degraded backlog", "recovered backlog", "recovered store failing"}, what)
		w.stop()
	})
}
