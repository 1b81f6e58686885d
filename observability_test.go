package punctual_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
)

// What docs/observability.md lists is what the code has, no more and no less.

// firstColumn returns what stands in backquotes in the first column of the table under a heading.
func firstColumn(t *testing.T, heading string) []string {
	_, section, found := strings.Cut(read(t, "docs/observability.md"), "\n## "+heading+"\n")
	require.True(t, found, heading)
	section, _, _ = strings.Cut(section, "\n## ")
	var names []string
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cell, _, _ := strings.Cut(line[1:], "|")
		for _, match := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
			names = append(names, match[1])
		}
	}
	require.NotEmpty(t, names)
	return names
}

func TestEveryEventIsDocumented(t *testing.T) {
	var declared []string
	for e := punctual.EventRegistered; !strings.Contains(e.String(), "("); e++ {
		declared = append(declared, e.String())
	}
	assert.ElementsMatch(t, declared, firstColumn(t, "Events"))
}

func TestEveryLogKeyIsDocumented(t *testing.T) {
	var used []string
	key := regexp.MustCompile(`slog\.(?:String|Int|Int64|Uint64|Float64|Bool|Time|Duration|Any)\("([^"]+)"`)
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, match := range key.FindAllStringSubmatch(string(source), -1) {
			used = append(used, match[1])
		}
	}
	slices.Sort(used)
	assert.ElementsMatch(t, slices.Compact(used), firstColumn(t, "Log records"))
}

func TestEveryReasonOfHealthIsDocumented(t *testing.T) {
	assert.ElementsMatch(t, []string{
		punctual.DegradedStore, punctual.DegradedLease, punctual.DegradedBacklog, punctual.DegradedClock, punctual.DegradedSetAside,
		punctual.DegradedHandler,
	}, firstColumn(t, "Health"))
}

// reasons cuts the details off.
func reasons(h punctual.Health) []string {
	var out []string
	for _, reason := range h.Reasons {
		word, _, _ := strings.Cut(reason, ":")
		out = append(out, word)
	}
	return out
}

func TestHealthNamesAStoreThatFailsAndWhatWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		store := &failingStore{Store: memory.New()}
		w.store = store
		w.s = w.engine()
		w.start()
		w.add(hourly("t"))
		w.wait(time.Minute)
		assert.True(t, w.s.Health().OK)
		assert.Empty(t, w.s.Health().Reasons)
		store.on.Store(true)
		w.wait(time.Hour)
		assert.Equal(t, []string{punctual.DegradedStore}, reasons(w.s.Health()), "due for less than a minute")
		w.wait(time.Minute)
		assert.Equal(t, []string{punctual.DegradedStore, punctual.DegradedBacklog}, reasons(w.s.Health()))
		assert.Contains(t, w.s.Health().Reasons[0], "switched on")
		store.on.Store(false)
		w.wait(time.Minute)
		assert.True(t, w.s.Health().OK)
		w.stop()
	})
}

func TestHealthNamesALeaseThatIsNotHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.store = leaselessStore{memory.New()}
		w.s = w.engine()
		w.start()
		w.wait(time.Minute)
		assert.Contains(t, reasons(w.s.Health()), punctual.DegradedLease)
		require.NoError(t, w.s.Shutdown(t.Context()))
	})
}

// leaselessStore renews no lease.
type leaselessStore struct{ *memory.Store }

func (leaselessStore) Beat(context.Context, punctual.BeatRequest) (punctual.BeatReply, error) {
	return punctual.BeatReply{}, fmt.Errorf("%w: no beat today", punctual.ErrUnavailable)
}

func TestHealthNamesAClockThatIsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		ahead := clock.NewMock()
		ahead.Set(time.Now().Add(time.Minute))
		w.store = memory.New(memory.WithClock(ahead))
		w.s = w.engine()
		w.start()
		require.NoError(t, w.s.WaitIdle(t.Context()))
		assert.Equal(t, []string{punctual.DegradedClock}, reasons(w.s.Health()))
		assert.InDelta(t, time.Minute, w.s.Health().ClockOffset, float64(time.Second))
		w.stop()
	})
}

func TestHealthNamesTasksThatWereSetAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.store = faultyStore{memory.New()}
		w.s = w.engine()
		w.start()
		assert.Contains(t, reasons(w.s.Health()), punctual.DegradedSetAside)
		assert.Equal(t, 1, w.s.Health().SetAside)
		w.stop()
	})
}

// faultyStore sets a task aside at each claim.
type faultyStore struct{ *memory.Store }

func (f faultyStore) Claim(ctx context.Context, req punctual.ClaimRequest) (punctual.ClaimReply, error) {
	reply, err := f.Store.Claim(ctx, req)
	reply.SetAside = []punctual.Fault{{TaskID: "odd", Err: punctual.ErrInvalidSchedule}}
	return reply, err
}
