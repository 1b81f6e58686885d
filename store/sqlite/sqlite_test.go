package sqlite_test

import (
	"flag"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/sqlite"
	"github.com/punctual-go/punctual/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, path string, opts ...sqlite.Option) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// raceRounds is how often each race of the suite is run: enough to find what a lock would forget, since here each round is some
// transactions on a disk.
var raceRounds = flag.Int("rounds", 60, "how often each race of the suite is run")

// patience is how long a handle waits for the other one. SQLite's waiting is not fair: under the race detector, and with both handles
// writing all the time, one may wait for more than the default.
const patience = 2 * time.Minute

func TestStoreContract(t *testing.T) {
	paths := map[punctual.Store]string{}
	fresh := func(t *testing.T) punctual.Store {
		path := filepath.Join(t.TempDir(), "tasks.db")
		store := open(t, path, sqlite.WithBusyTimeout(patience))
		paths[store] = path
		return store
	}
	again := func(t *testing.T, store punctual.Store) punctual.Store {
		other := open(t, paths[store], sqlite.WithBusyTimeout(patience))
		paths[other] = paths[store]
		return other
	}
	reopen := func(t *testing.T, store punctual.Store) punctual.Store {
		require.NoError(t, store.(*sqlite.Store).Close())
		return again(t, store)
	}
	storetest.Run(t, fresh, storetest.WithRounds(*raceRounds), storetest.WithReopen(reopen), storetest.WithPeer(again))
}
