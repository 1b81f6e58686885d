package mysql_test

import (
	"database/sql"
	"fmt"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/mysql"
)

// begins decides that what is due of a task begins.
func begins(v punctual.View) (punctual.Change, error) {
	status := v.Record.Status
	run := punctual.Run{
		ID: fmt.Sprintf("run of %s at %d", v.Record.Task.ID, status.NextRunAt.Unix()), TaskID: v.Record.Task.ID, Trigger: punctual.TriggerSchedule,
		ScheduledAt: status.NextRunAt, Count: 1, State: punctual.StateRunning, Attempt: 1, StartedAt: v.Now, CreatedAt: v.Now,
	}
	status.LastOccurrence, status.NextRunAt = status.NextRunAt, status.NextRunAt.Add(time.Hour)
	return punctual.Change{Status: &status, Insert: []punctual.Run{run}}, nil
}

// owing adds a task that comes due at an instant, with live runs if there are states for them.
func owing(t *testing.T, store *mysql.Store, id string, at time.Time, states ...punctual.State) {
	t.Helper()
	_, err := store.Edit(t.Context(), punctual.EditRequest{TaskID: id, Decide: func(v punctual.View) (punctual.Change, error) {
		change := punctual.Change{Task: &punctual.Task{ID: id, Schedule: punctual.Every(time.Hour), Revision: 1}, Status: &punctual.Status{NextRunAt: at}}
		for _, state := range states {
			run := punctual.Run{
				ID: "first run of " + id, TaskID: id, Trigger: punctual.TriggerManual, Count: 1, State: state, ScheduledAt: v.Now, CreatedAt: v.Now,
			}
			if state == punctual.StateRunning {
				run.Attempt, run.StartedAt = 1, v.Now
			} else {
				run.DueAt = at.Add(time.Hour)
			}
			change.Insert = append(change.Insert, run)
		}
		return change, nil
	}})
	require.NoError(t, err)
}

// hasty opens a store on a pool of the host whose sessions wait for a lock no longer than a second.
func hasty(t *testing.T, dsn string) (*mysql.Store, *sql.DB) {
	t.Helper()
	cfg, err := driver.ParseDSN(dsn)
	require.NoError(t, err)
	cfg.Params = map[string]string{"innodb_lock_wait_timeout": "1"}
	db, err := sql.Open("mysql", cfg.FormatDSN())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	store, err := mysql.New(t.Context(), db)
	require.NoError(t, err)
	return store, db
}

// prepare makes a claim of what comes due at an instant.
func prepare(t *testing.T, store *mysql.Store, at time.Time) punctual.Prepared {
	t.Helper()
	claim, err := store.Prepare(t.Context(), punctual.PrepareRequest{At: at, Limit: 10, Decide: begins})
	require.NoError(t, err)
	require.NotNil(t, claim)
	return claim
}

// An instance that vanishes between the preparation of a claim and its commit keeps others from its tasks for a second, and then its commit
// fails. An edit waits for so long, and succeeds even if that is more than its session waits for a lock.
func TestPreparedClaimOfAVanishedPeerIsGivenUp(t *testing.T) {
	dsn := database(t)
	vanished := open(t, dsn)
	store, _ := hasty(t, dsn)
	at := time.Now().Add(-time.Minute).Truncate(time.Second)
	owing(t, store, "held", at)
	owing(t, store, "edited", at)
	claim := prepare(t, vanished, at)
	began := time.Now()
	reply, err := store.Claim(t.Context(), punctual.ClaimRequest{Limit: 10, Decide: begins})
	require.NoError(t, err)
	require.Empty(t, reply.Started, "what was prepared is held")
	owing(t, store, "edited", at.Add(24*time.Hour))
	for started := 0; started == 0; {
		require.Less(t, time.Since(began), 10*time.Second)
		reply, err := store.Claim(t.Context(), punctual.ClaimRequest{Limit: 10, Decide: begins})
		require.NoError(t, err)
		started = len(reply.Started)
	}
	assert.Less(t, time.Since(began), 4*time.Second)
	_, err = claim.Commit(t.Context(), time.Time{})
	require.ErrorIs(t, err, punctual.ErrUnavailable)
	runs, err := store.Runs(t.Context(), punctual.RunQuery{})
	require.NoError(t, err)
	require.Len(t, runs, 1)
	assert.True(t, runs[0].StartedAt.After(at), "the run is the other instance's")
}

// A pool of few connections is not made to do without one of them until an instant comes.
func TestSmallPoolsAreNotHeld(t *testing.T) {
	dsn := database(t)
	at := time.Now().Add(time.Hour).Truncate(time.Second)
	owing(t, open(t, dsn), "task", at)
	for conns, takes := range map[int]bool{3: false, 4: true} {
		claim, err := open(t, dsn, mysql.WithMaxConns(conns)).Prepare(t.Context(), punctual.PrepareRequest{At: at, Limit: 10, Decide: begins})
		require.NoError(t, err)
		assert.Equal(t, takes, claim != nil, "of %d connections", conns)
		if claim != nil {
			claim.Cancel(t.Context())
		}
	}
}

// While a claim waits for its instant, nothing waits for it but edits of the tasks that it has taken.
func TestPreparedClaimHoldsUpNothingElse(t *testing.T) {
	dsn := database(t)
	holder := open(t, dsn)
	store, _ := hasty(t, dsn) // fails where it would have to wait
	at := time.Now().Add(time.Hour).Truncate(time.Second)
	_, err := store.Beat(t.Context(), punctual.BeatRequest{Session: "session", Lease: time.Minute})
	require.NoError(t, err)
	for i := range 10 {
		states := [][]punctual.State{nil, {punctual.StateRunning}, nil, {punctual.StatePending}}[i%4]
		owing(t, store, fmt.Sprintf("task %d", i), at, states...)
		owing(t, store, fmt.Sprintf("task %d, sooner", i), at.Add(-time.Minute))
	}
	owing(t, store, "later", at.Add(time.Microsecond), punctual.StateRunning)
	claim := prepare(t, holder, at)
	defer claim.Cancel(t.Context())

	outcome := func(task string) punctual.Finish {
		return punctual.Finish{RunID: "first run of " + task, TaskID: task, Attempt: 1, State: punctual.StateSucceeded, StartedAt: at, FinishedAt: at}
	}
	finished, err := store.Finish(t.Context(), punctual.FinishRequest{Items: []punctual.Finish{outcome("task 1"), outcome("task 9"), outcome("later")}})
	require.NoError(t, err)
	assert.Equal(t, []punctual.Verdict{punctual.VerdictApplied, punctual.VerdictApplied, punctual.VerdictApplied}, finished.Verdicts)
	claimed, err := store.Claim(t.Context(), punctual.ClaimRequest{Now: at.Add(-time.Minute), Session: "session", Limit: 100, Decide: begins})
	require.NoError(t, err)
	assert.Len(t, claimed.Started, 10)
	claimed, err = store.Claim(t.Context(), punctual.ClaimRequest{Now: at.Add(time.Second), Session: "session", Limit: 100, Decide: func(v punctual.View) (punctual.Change, error) {
		change, err := begins(v)
		if v.Active > 0 {
			change.Insert = nil
		}
		return change, err
	}})
	require.NoError(t, err)
	assert.Len(t, claimed.Started, 5, "those that have nothing that is running")
	assert.Equal(t, 6, claimed.Decided, "all but what was prepared")
	for _, id := range []string{"task 1", "task 5", "task 0, sooner", "later", "another", "task 10", "tas", "u"} {
		owing(t, store, id, at)
	}
	for _, id := range []string{"task 3", "later", "another"} {
		_, err := store.Edit(t.Context(), punctual.EditRequest{TaskID: id, Decide: func(punctual.View) (punctual.Change, error) {
			return punctual.Change{Remove: true}, nil
		}})
		require.NoError(t, err)
	}
	for _, session := range []string{"session", "another session"} {
		_, err = store.Beat(t.Context(), punctual.BeatRequest{Session: session, Lease: time.Minute})
		require.NoError(t, err)
		require.NoError(t, store.EndSession(t.Context(), session))
	}
	_, err = store.Reclaim(t.Context(), punctual.ReclaimRequest{Session: "third", Limit: 100})
	require.NoError(t, err)
	_, err = store.Trim(t.Context(), punctual.TrimRequest{Before: at.Add(time.Hour), Keep: 1, Limit: 100})
	require.NoError(t, err)

	reply, err := claim.Commit(t.Context(), at)
	require.NoError(t, err)
	assert.Len(t, reply.Started, 5)
}

// The session in which a claim was prepared does not come back to the pool.
func TestSessionsOfPreparedClaimsEnd(t *testing.T) {
	dsn := database(t)
	store, db := hasty(t, dsn)
	const conns = 4
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	at := time.Now().Add(-time.Minute).Truncate(time.Second)
	owing(t, store, "task", at)
	prepare(t, store, at).Cancel(t.Context())
	claim := prepare(t, store, at)
	require.NoError(t, claim.Extend(t.Context(), 10))
	_, err := claim.Commit(t.Context(), time.Time{})
	require.NoError(t, err)
	for range conns {
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		defer conn.Close()
		var asUsual bool
		require.NoError(t, conn.QueryRowContext(t.Context(), "SELECT @@SESSION.wait_timeout = @@GLOBAL.wait_timeout").Scan(&asUsual))
		assert.True(t, asUsual)
	}
}
