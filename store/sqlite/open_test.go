package sqlite_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/sqlite"
)

// add registers an hourly task through a scheduler that is not started.
func add(t testing.TB, store punctual.Store, id string) {
	t.Helper()
	s, err := punctual.New(store, punctual.ExecutorFunc(nil))
	require.NoError(t, err)
	require.NoError(t, s.Add(t.Context(), punctual.Task{ID: id, Schedule: punctual.Every(time.Hour)}))
	require.NoError(t, s.Close())
}

func raw(t testing.TB, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	for _, statement := range statements {
		_, err := db.Exec(statement)
		require.NoError(t, err, statement)
	}
	require.NoError(t, db.Close())
}

// folder describes all files beside a path, so that any touch shows.
func folder(t testing.TB, path string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	require.NoError(t, err)
	out := map[string]string{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		out[filepath.Base(file)] = fmt.Sprintf("%x", sha256.Sum256(content))
	}
	return out
}

func TestWhatIsNotOursIsRefusedAndLeftUntouched(t *testing.T) {
	tests := []struct {
		name   string
		make   func(t *testing.T, path string)
		reason string
	}{
		{"a text file", func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path, []byte("dear diary, this is no database at all"), 0o600))
		}, "not a SQLite database"},
		{"a short file", func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
		}, "not a SQLite database"},
		{"a database of something else", func(t *testing.T, path string) {
			raw(t, path, "CREATE TABLE songs (title TEXT)")
		}, "something else"},
		{"a newer schema", func(t *testing.T, path string) {
			store, err := sqlite.Open(t.Context(), path)
			require.NoError(t, err)
			require.NoError(t, store.Close())
			raw(t, path, "PRAGMA user_version = 1000")
		}, "upgrade the library"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tasks.db")
			test.make(t, path)
			before := folder(t, path)
			_, err := sqlite.Open(t.Context(), path)
			require.ErrorIs(t, err, punctual.ErrStoreSchema)
			assert.Contains(t, err.Error(), test.reason)
			assert.Equal(t, before, folder(t, path))
		})
	}
}

func TestPathsThatAreNoFilesAreRefused(t *testing.T) {
	for _, path := range []string{"", ":memory:", "file:x.db"} {
		_, err := sqlite.Open(t.Context(), path)
		require.Error(t, err, path)
	}
	_, err := sqlite.Open(t.Context(), t.TempDir())
	require.ErrorIs(t, err, punctual.ErrStoreSchema, "a folder")
	_, err = sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "absent", "tasks.db"))
	require.ErrorIs(t, err, punctual.ErrUnavailable)
}

func TestNewFilesAreForTheOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	open(t, path)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestReopenedStoreHasEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd name %20 ü?.db")
	store, err := sqlite.Open(t.Context(), path)
	require.NoError(t, err)
	add(t, store, "a")
	require.NoError(t, store.Close())
	store = open(t, path, sqlite.WithFullSync(), sqlite.WithBusyTimeout(time.Second))
	snap, err := store.Task(t.Context(), "a")
	require.NoError(t, err)
	assert.Equal(t, "every 1h", snap.Task.Schedule.String())
	assert.Equal(t, punctual.StatePending, snap.LastRun.State)
}

// The files as they lie on the disk while the store is open are what a crash leaves behind.
func TestImageOfACrashHasWhatWasAcknowledged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	store := open(t, path)
	for i := range 50 {
		add(t, store, fmt.Sprint("t", i))
	}
	image := filepath.Join(t.TempDir(), "tasks.db")
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(image+suffix, content, 0o600))
	}
	tasks, err := open(t, image).Tasks(t.Context(), punctual.TaskQuery{})
	require.NoError(t, err)
	assert.Len(t, tasks, 50)
}

func TestSeveralMayOpenAFreshFileAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			store, err := sqlite.Open(t.Context(), path)
			if assert.NoError(t, err) {
				s, err := punctual.New(store, punctual.ExecutorFunc(nil))
				assert.NoError(t, err)
				assert.NoError(t, s.Add(t.Context(), punctual.Task{ID: fmt.Sprint(i), Schedule: punctual.Every(time.Hour)}))
				assert.NoError(t, s.Close())
				assert.NoError(t, store.Close())
			}
		})
	}
	all.Wait()
	tasks, err := open(t, path).Tasks(t.Context(), punctual.TaskQuery{})
	require.NoError(t, err)
	assert.Len(t, tasks, 8)
}

func TestLockedFileIsUnavailableAndCancelledCallsEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	store := open(t, path, sqlite.WithBusyTimeout(20*time.Millisecond))
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	defer db.Close()
	holder, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer holder.Close()
	_, err = holder.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)

	_, err = store.Trim(t.Context(), punctual.TrimRequest{Keep: 1, Limit: 1})
	require.ErrorIs(t, err, punctual.ErrUnavailable)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = store.Trim(ctx, punctual.TrimRequest{Keep: 1, Limit: 1})
	require.ErrorIs(t, err, context.Canceled)

	_, err = holder.ExecContext(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	_, err = store.Trim(t.Context(), punctual.TrimRequest{Keep: 1, Limit: 1})
	require.NoError(t, err, "the connection is usable afterwards")
}

// One row that cannot be read is set aside; the others of its batch start. Rows of a newer format are left alone.
func TestPoisonedAndNewerRowsHarmNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	store := open(t, path)
	for i := range 20 {
		add(t, store, fmt.Sprint("t", i))
	}
	raw(t, path, `UPDATE tasks SET definition = '{"schedule":"every now and then"}' WHERE id = 't7'`,
		`UPDATE tasks SET format = 99, definition = 'unreadable' WHERE id = 't8'`)
	var mu sync.Mutex
	ran := map[string]bool{}
	s, err := punctual.New(store, punctual.ExecutorFunc(func(_ context.Context, run punctual.Run) (punctual.Result, error) {
		mu.Lock()
		defer mu.Unlock()
		ran[run.TaskID] = true
		return punctual.Result{}, nil
	}))
	require.NoError(t, err)
	require.NoError(t, s.Start(t.Context()))
	require.NoError(t, s.WaitIdle(t.Context()))
	assert.Len(t, ran, 18)
	assert.Equal(t, 1, s.Health().SetAside)
	snap, err := s.Task(t.Context(), "t7")
	require.NoError(t, err)
	assert.Contains(t, snap.Fault, "cannot be read")
	require.NoError(t, s.Reschedule(t.Context(), punctual.Task{ID: "t7", Schedule: punctual.Every(time.Hour)}))
	require.NoError(t, s.WaitIdle(t.Context()))
	assert.True(t, ran["t7"], "a new definition brings it back")
	require.Error(t, s.Reschedule(t.Context(), punctual.Task{ID: "t8", Schedule: punctual.Every(time.Hour)}), "nobody overwrites what a newer version wrote")
	require.NoError(t, s.Shutdown(t.Context()))
}

const childVariable = "PUNCTUAL_SQLITE_CHILD"

// TestKilledProcessLosesNothingAcknowledged kills a process that registers tasks as fast as it can, ten times.
func TestKilledProcessLosesNothingAcknowledged(t *testing.T) {
	if path := os.Getenv(childVariable); path != "" {
		registerForEver(t, path)
		return
	}
	path := filepath.Join(t.TempDir(), "tasks.db")
	acknowledged := map[string]bool{}
	for round := range 10 {
		child := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
		child.Env = append(os.Environ(), childVariable+"="+path)
		out, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); {
			if id, ok := strings.CutPrefix(lines.Text(), "added "); ok {
				acknowledged[id] = true
				if n++; n == 30+10*round {
					require.NoError(t, child.Process.Kill())
				}
			}
		}
		_ = child.Wait() // it was killed
	}
	store := open(t, path)
	for id := range acknowledged {
		snap, err := store.Task(t.Context(), id)
		require.NoError(t, err, id)
		require.NotNil(t, snap.LastRun, "the immediate run of %s", id)
	}
	assert.Greater(t, len(acknowledged), 500)
}

func registerForEver(t *testing.T, path string) {
	store := open(t, path)
	for i := 0; ; i++ {
		id := fmt.Sprintf("%d-%d", os.Getpid(), i)
		add(t, store, id)
		fmt.Println("added", id)
	}
}
