package sqlite_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/sqlite"
)

// host is a program with a table of its own in the store's file.
type host struct {
	store *sqlite.Store
	s     *punctual.Scheduler
	db    *sql.DB
	ran   chan string
}

func newHost(t *testing.T) *host {
	path := filepath.Join(t.TempDir(), "tasks.db")
	h := &host{store: open(t, path), ran: make(chan string, 100)}
	var err error
	h.db, err = sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(5000)")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.db.Close()) })
	_, err = h.db.Exec("CREATE TABLE orders (id TEXT)")
	require.NoError(t, err)
	h.s, err = punctual.New(h.store, punctual.ExecutorFunc(func(_ context.Context, run punctual.Run) (punctual.Result, error) {
		h.ran <- run.TaskID
		return punctual.Result{}, nil
	}))
	require.NoError(t, err)
	require.NoError(t, h.s.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, h.s.Shutdown(context.Background())) })
	return h
}

// order begins a transaction, writes a row of the host and registers a task.
func (h *host) order(t *testing.T, id string) (*sql.Tx, *punctual.Tx) {
	tx, err := h.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.Exec("INSERT INTO orders VALUES (?)", id)
	require.NoError(t, err)
	in := h.s.In(h.store.Tx(tx))
	require.NoError(t, in.Add(t.Context(), punctual.Task{ID: id, Schedule: punctual.Every(time.Hour)}))
	return tx, in
}

func (h *host) orders(t *testing.T) (n int) {
	require.NoError(t, h.db.QueryRow("SELECT count(*) FROM orders").Scan(&n))
	return n
}

func TestTaskIsRegisteredWithTheHostsOwnData(t *testing.T) {
	h := newHost(t)
	tx, in := h.order(t, "kept")
	require.ErrorIs(t, in.Add(t.Context(), punctual.Task{ID: "kept", Schedule: punctual.Every(time.Hour)}), punctual.ErrTaskExists,
		"the transaction sees its own changes and outlives a refusal")
	_, err := h.s.Task(t.Context(), "kept")
	require.ErrorIs(t, err, punctual.ErrTaskNotFound, "nobody else sees it yet")
	assert.Empty(t, h.ran)
	require.NoError(t, tx.Commit())
	in.Committed()
	assert.Equal(t, "kept", <-h.ran)
	assert.Equal(t, 1, h.orders(t))
}

func TestRollbackTakesTheTaskWithIt(t *testing.T) {
	h := newHost(t)
	tx, _ := h.order(t, "dropped")
	require.NoError(t, tx.Rollback())
	require.NoError(t, h.s.WaitIdle(t.Context()))
	_, err := h.s.Task(t.Context(), "dropped")
	require.ErrorIs(t, err, punctual.ErrTaskNotFound)
	assert.Empty(t, h.ran)
	assert.Zero(t, h.orders(t))
}

func TestRemovalAndRescheduleArePartOfATransaction(t *testing.T) {
	h := newHost(t)
	for _, id := range []string{"a", "b"} {
		require.NoError(t, h.s.Add(t.Context(), punctual.Task{ID: id, Schedule: punctual.Every(time.Hour), OnRegister: punctual.WaitForSchedule}))
	}
	tx, err := h.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	in := h.s.In(h.store.Tx(tx))
	require.NoError(t, in.Remove(t.Context(), "a"))
	require.NoError(t, in.Reschedule(t.Context(), punctual.Task{ID: "b", Schedule: punctual.Every(2 * time.Hour), OnRegister: punctual.WaitForSchedule}))
	before, err := h.s.Tasks(t.Context(), punctual.TaskQuery{})
	require.NoError(t, err)
	assert.Len(t, before, 2)
	require.NoError(t, tx.Commit())
	in.Committed()
	after, err := h.s.Tasks(t.Context(), punctual.TaskQuery{})
	require.NoError(t, err)
	require.Len(t, after, 1)
	assert.Equal(t, "every 2h", after[0].Task.Schedule.String())
}
