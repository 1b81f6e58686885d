package sqlite

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// However long it is written to without a pause, the log is copied beside the writer and begins anew.
func TestLogIsCopiedBesideTheWriterAndStaysShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "tasks.db")
		s, err := Open(t.Context(), path)
		require.NoError(t, err)
		defer func() { require.NoError(t, s.Close()) }()
		put(t, s, "a", 0)
		const rounds = 9
		const page = 4096
		for round := range rounds {
			require.NoError(t, s.transact(t.Context(), func(tx *txn) error {
				_, err := tx.exec(`UPDATE tasks SET definition = ? WHERE id = 'a'`, strings.Repeat(fmt.Sprint(round), copyEvery*page))
				require.NoError(t, err)
				synctest.Wait() // what has been committed is copied meanwhile
				var busy, pages, copied int
				require.NoError(t, s.read.QueryRow(`PRAGMA wal_checkpoint(NOOP)`).Scan(&busy, &pages, &copied))
				if round > 0 {
					assert.Positive(t, pages)
					assert.Equal(t, pages, copied, "round %d", round)
				}
				return nil
			}))
		}
		info, err := os.Stat(path + "-wal")
		require.NoError(t, err)
		assert.Less(t, info.Size()/page, int64(longLog+2*copyEvery+100))
		assert.Less(t, longLog+2*copyEvery+100, rounds*copyEvery, "or it need not begin anew")
	})
}

// A log that nobody copies beside the writer is copied by commits.
func TestLogHasALimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	s, err := Open(t.Context(), path)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	s.log.close()
	put(t, s, "a", 0)
	const page = 4096
	for round := range 5 {
		require.NoError(t, s.transact(t.Context(), func(tx *txn) error {
			_, err := tx.exec(`UPDATE tasks SET definition = ? WHERE id = 'a'`, strings.Repeat(fmt.Sprint(round), 3*copyEvery*page))
			return err
		}))
	}
	info, err := os.Stat(path + "-wal")
	require.NoError(t, err)
	assert.Less(t, info.Size()/page, int64(logLimit+3*copyEvery+100))
}
