package sim

import (
	"cmp"
	"flag"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/punctual-go/punctual/store/memory"
	"github.com/punctual-go/punctual/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	seeds     = flag.Int("seeds", 0, "how many worlds TestPromisesHoldInChaos tries on the memory store (200, less under -race)")
	share     = flag.Int("sqlite-share", 20, "how many of them there are for each world that is tried on SQLite")
	first     = flag.Uint64("seed", 1, "the seed of the first world")
	showDiary = flag.Bool("diary", false, "print all that happened in a world that breaks a promise")

	slowness = 1 // how many times slower than usual this build is
)

// stores are what each simulation and each case runs on.
var stores = map[string]func(t *testing.T) shared{
	"memory": func(*testing.T) shared { return memory.New(memory.WithHistory(1 << 30)) },
	"sqlite": func(t *testing.T) shared {
		store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "tasks.db"))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		return store
	},
}

// simulate runs one seed and returns the broken promises.
func simulate(t *testing.T, seed uint64, chaos Chaos, open func(*testing.T) shared, spoil variant) (problems []string, w *World) {
	synctest.Test(t, func(t *testing.T) {
		w = NewWorld(seed, open(t), spoil)
		chaos.Rage(w)
		problems = w.Check()
	})
	return problems, w
}

var (
	usual = Chaos{Processes: 3, Tasks: 9, Lasts: 3 * time.Minute}
	// crowd is as many as it takes for claims to be made ahead, though some of them are busy.
	crowd = Chaos{Processes: 3, Tasks: 9, Crowd: 180, Lasts: 2 * time.Minute}
	// throng is as many as it takes for two claims at a time.
	throng = Chaos{Processes: 2, Tasks: 9, Crowd: 700, Overlap: true, Lasts: time.Minute}
)

// tryWorlds tries so many, from the first seed on.
func tryWorlds(t *testing.T, n int, chaos Chaos, open func(*testing.T) shared) (overlaps int) {
	for seed := *first; seed < *first+uint64(n); seed++ {
		problems, w := simulate(t, seed, chaos, open, nil)
		overlaps += w.overlaps
		if len(problems) == 0 {
			continue
		}
		t.Errorf("seed %d:\n  %s", seed, strings.Join(problems, "\n  "))
		if *showDiary {
			t.Log("\n" + w.Diary())
		}
	}
	return overlaps
}

// A world that breaks a promise comes back with go test ./internal/sim -run Chaos/memory -seed N -seeds 1 -diary.
func TestPromisesHoldInChaos(t *testing.T) {
	n := cmp.Or(*seeds, 200/slowness)
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			n, chaos := n, usual
			if name != "memory" {
				n = max(n / *share, 1)
				if slowness > 1 {
					chaos.Lasts /= 6
				}
			}
			tryWorlds(t, n, chaos, open)
		})
	}
	t.Run("ahead", func(t *testing.T) {
		chaos := crowd
		chaos.Lasts /= time.Duration(min(slowness, 4))
		tryWorlds(t, max(n / *share, 1), chaos, stores["memory"])
	})
	t.Run("two at a time", func(t *testing.T) {
		chaos := throng
		chaos.Lasts /= time.Duration(min(slowness, 2))
		overlaps := tryWorlds(t, max(n / *share, 1), chaos, stores["memory"])
		require.Positive(t, overlaps, "nothing was tried")
		t.Log(overlaps, "claims began beside another of their process")
	})
}
