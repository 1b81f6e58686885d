package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/mysql"
)

// host is a program with a table of its own beside the store's.
type host struct {
	store *mysql.Store
	s     *punctual.Scheduler
	db    *sql.DB
	ran   chan string
}

func newHost(t *testing.T) *host {
	dsn := database(t)
	h := &host{store: open(t, dsn), ran: make(chan string, 100)}
	var err error
	h.db, err = sql.Open("mysql", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.db.Close()) })
	_, err = h.db.Exec("CREATE TABLE orders (id VARCHAR(64))")
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

// order begins a transaction, writes a row of the host and registers a task. At the stricter isolations the server may find it in a deadlock
// with the engine, and then it is repeated as every transaction there has to be.
func (h *host) order(t *testing.T, id string, isolation sql.IsolationLevel) (*sql.Tx, *punctual.Tx) {
	for {
		tx, err := h.db.BeginTx(t.Context(), &sql.TxOptions{Isolation: isolation})
		require.NoError(t, err)
		_, err = tx.Exec("INSERT INTO orders VALUES (?)", id)
		require.NoError(t, err)
		in := h.s.In(h.store.Tx(tx))
		err = in.Add(t.Context(), punctual.Task{ID: id, Schedule: punctual.Every(time.Hour), ConcurrencyKey: "k"})
		if errors.Is(err, punctual.ErrUnavailable) {
			require.NoError(t, tx.Rollback())
			continue
		}
		require.NoError(t, err)
		return tx, in
	}
}

func (h *host) orders(t *testing.T) (n int) {
	require.NoError(t, h.db.QueryRow("SELECT count(*) FROM orders").Scan(&n))
	return n
}

func TestTaskIsRegisteredWithTheHostsOwnData(t *testing.T) {
	h := newHost(t)
	for i, isolation := range []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelDefault, sql.LevelSerializable} {
		id := isolation.String()
		tx, in := h.order(t, id, isolation)
		require.ErrorIs(t, in.Add(t.Context(), punctual.Task{ID: id, Schedule: punctual.Every(time.Hour)}), punctual.ErrTaskExists,
			"the transaction sees its own changes and outlives a refusal")
		_, err := h.s.Task(t.Context(), id)
		require.ErrorIs(t, err, punctual.ErrTaskNotFound, "nobody else sees it yet")
		assert.Empty(t, h.ran)
		require.NoError(t, tx.Commit())
		in.Committed()
		assert.Equal(t, id, <-h.ran)
		assert.Equal(t, i+1, h.orders(t))
	}
}

func TestRollbackTakesTheTaskWithIt(t *testing.T) {
	h := newHost(t)
	tx, _ := h.order(t, "dropped", sql.LevelDefault)
	require.NoError(t, tx.Rollback())
	require.NoError(t, h.s.WaitIdle(t.Context()))
	_, err := h.s.Task(t.Context(), "dropped")
	require.ErrorIs(t, err, punctual.ErrTaskNotFound)
	assert.Empty(t, h.ran)
	assert.Zero(t, h.orders(t))
}

// At REPEATABLE READ plain reads see the database as it was when the transaction began. A decision must not.
func TestTransactionDecidesByWhatIsCommittedAndNotByItsSnapshot(t *testing.T) {
	h := newHost(t)
	tx, err := h.db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	var n int
	require.NoError(t, tx.QueryRow("SELECT COUNT(*) FROM orders").Scan(&n), "the snapshot is taken")
	task := punctual.Task{ID: "later", Schedule: punctual.Every(time.Hour)}
	require.NoError(t, h.s.Add(t.Context(), task))
	<-h.ran
	in := h.s.In(h.store.Tx(tx))
	require.ErrorIs(t, in.Add(t.Context(), task), punctual.ErrTaskExists)
	task.Schedule = punctual.Every(2 * time.Hour)
	require.NoError(t, in.Reschedule(t.Context(), task))
	require.NoError(t, tx.Commit())
	in.Committed()
	snap, err := h.s.Task(t.Context(), "later")
	require.NoError(t, err)
	assert.Equal(t, int64(2), snap.Revision)
}

// A host that takes its time holds up its own tasks, and the keys that it has touched, but nobody else's.
func TestLongTransactionHoldsUpNoOtherTask(t *testing.T) {
	h := newHost(t)
	require.NoError(t, h.s.Add(t.Context(), punctual.Task{ID: "held", Schedule: punctual.Every(time.Hour), OnRegister: punctual.WaitForSchedule}))
	tx, err := h.db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = h.s.In(h.store.Tx(tx)).RunNow(t.Context(), "held")
	require.NoError(t, err)
	for _, id := range []string{"gelb", "heldin", "ines"} { // on both sides of it in the indexes
		require.NoError(t, h.s.Add(t.Context(), punctual.Task{ID: id, Schedule: punctual.Every(time.Hour)}))
		assert.Equal(t, id, <-h.ran)
	}
	require.NoError(t, h.s.WaitIdle(t.Context()))
}

// Two transactions that register the same new task meet: one of them is second, and sees it.
func TestOneOfTwoTransactionsRegistersATask(t *testing.T) {
	h := newHost(t)
	for range 10 {
		var all sync.WaitGroup
		errs := make([]error, 2)
		for i := range errs {
			all.Go(func() {
				tx, err := h.db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
				if assert.NoError(t, err) {
					errs[i] = h.s.In(h.store.Tx(tx)).Add(t.Context(), punctual.Task{ID: "same", Schedule: punctual.Every(time.Hour)})
					assert.NoError(t, tx.Commit())
				}
			})
		}
		all.Wait()
		if errs[0] == nil {
			errs[0], errs[1] = errs[1], errs[0]
		}
		require.ErrorIs(t, errs[0], punctual.ErrTaskExists)
		require.NoError(t, errs[1])
		require.NoError(t, h.s.Remove(t.Context(), "same"))
	}
}
