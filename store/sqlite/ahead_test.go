package sqlite

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// put stores a task that is due at noon, or that waits for the end of its run when it has a delay.
func put(t *testing.T, s punctual.Editor, id string, delay time.Duration, runs ...punctual.Run) {
	t.Helper()
	status := punctual.Status{Anchor: noon, NextRunAt: noon, Delay: delay}
	if delay > 0 {
		status.NextRunAt = time.Time{}
	}
	_, err := s.Edit(t.Context(), punctual.EditRequest{TaskID: id, Now: noon, Slots: 1, Decide: func(v punctual.View) (punctual.Change, error) {
		task := punctual.Task{ID: id, Schedule: punctual.Every(time.Hour), Revision: 1}
		return punctual.Change{Task: &task, Status: &status, Insert: runs}, nil
	}})
	require.NoError(t, err)
}

// running is a run that has begun.
func running(id, task string) punctual.Run {
	return punctual.Run{
		ID: id, TaskID: task, Trigger: punctual.TriggerManual, ScheduledAt: noon, Count: 1, Attempt: 1, State: punctual.StateRunning,
		StartedAt: noon, CreatedAt: noon,
	}
}

func finish(t *testing.T, s *Store, id, task string, state punctual.State) {
	t.Helper()
	reply, err := s.Finish(t.Context(), punctual.FinishRequest{Now: noon, Items: []punctual.Finish{
		{RunID: id, TaskID: task, Attempt: 1, State: state, StartedAt: noon, FinishedAt: noon},
	}})
	require.NoError(t, err)
	require.Equal(t, []punctual.Verdict{punctual.VerdictApplied}, reply.Verdicts)
}

// claimOf asks for a run of each due task that has none.
func claimOf(seen *[]punctual.View) punctual.ClaimRequest {
	return punctual.ClaimRequest{Now: noon, Limit: 10, Decide: func(v punctual.View) (punctual.Change, error) {
		*seen = append(*seen, v)
		if v.Active > 0 {
			return punctual.Change{}, nil
		}
		status := v.Record.Status
		status.LastOccurrence, status.NextRunAt = noon, noon.Add(time.Hour)
		run := running("r-"+v.Record.Task.ID, v.Record.Task.ID)
		run.Trigger = punctual.TriggerSchedule
		return punctual.Change{Status: &status, Insert: []punctual.Run{run}}, nil
	}}
}

func TestWhatWasReadAheadHoldsUntilATaskChangesOrARunBegins(t *testing.T) {
	tests := []struct {
		name  string
		holds bool
		then  func(t *testing.T, s *Store, path string)
	}{
		{"nothing happens", true, func(*testing.T, *Store, string) {}},
		{"a run of another task ends", true, func(t *testing.T, s *Store, _ string) {
			finish(t, s, "busy", "other", punctual.StateSucceeded)
		}},
		{"a run of another task will be tried again", true, func(t *testing.T, s *Store, _ string) {
			finish(t, s, "busy", "other", punctual.StatePending)
		}},
		{"the end of a run begins a delay", false, func(t *testing.T, s *Store, _ string) {
			finish(t, s, "slow", "delayed", punctual.StateSucceeded)
		}},
		{"a task is edited", false, func(t *testing.T, s *Store, _ string) { put(t, s, "new", 0) }},
		{"a task is edited through another store", false, func(t *testing.T, _ *Store, path string) {
			other, err := Open(t.Context(), path)
			require.NoError(t, err)
			put(t, other, "new", 0)
			require.NoError(t, other.Close())
		}},
		{"a task is edited in a transaction of the host", false, func(t *testing.T, s *Store, path string) {
			db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
			require.NoError(t, err)
			tx, err := db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			put(t, s.Tx(tx), "new", 0)
			require.NoError(t, tx.Commit())
			require.NoError(t, db.Close())
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tasks.db")
			s, err := Open(t.Context(), path)
			require.NoError(t, err)
			defer func() { require.NoError(t, s.Close()) }()
			put(t, s, "due", 0)
			put(t, s, "other", time.Hour, running("busy", "other"))
			put(t, s, "delayed", time.Minute, running("slow", "delayed"))
			_, err = s.Edit(t.Context(), punctual.EditRequest{TaskID: "other", Decide: func(v punctual.View) (punctual.Change, error) {
				status := v.Record.Status
				status.Delay, status.NextRunAt = 0, noon.Add(time.Hour)
				return punctual.Change{Status: &status}, nil
			}})
			require.NoError(t, err)

			var seen []punctual.View
			c := s.newClaim(t.Context(), claimOf(&seen))
			early := c.readAhead()
			require.Len(t, early.due, 1)
			test.then(t, s, path)
			require.NoError(t, s.transact(t.Context(), func(tx *txn) error {
				c.tx, c.reply.Now = tx, noon
				holds, err := c.holds(early)
				assert.Equal(t, test.holds, holds)
				return err
			}))
		})
	}
}

// A claim that has to wait for who writes reads meanwhile what is due, and goes by what is there when its turn comes.
func TestClaimReadsAheadAndGoesByWhatItFindsThen(t *testing.T) {
	tests := []struct {
		name    string
		then    func(t *testing.T, other *Store)
		started []string
	}{
		{"unchanged", func(*testing.T, *Store) {}, []string{"r-a", "r-b"}},
		{"a is removed", func(t *testing.T, other *Store) {
			_, err := other.Edit(t.Context(), punctual.EditRequest{TaskID: "a", Decide: func(punctual.View) (punctual.Change, error) {
				return punctual.Change{Remove: true}, nil
			}})
			require.NoError(t, err)
		}, []string{"r-b"}},
		{"a is claimed", func(t *testing.T, other *Store) {
			var seen []punctual.View
			req := claimOf(&seen)
			req.Limit = 1
			reply, err := other.Claim(t.Context(), req)
			require.NoError(t, err)
			require.Equal(t, "a", reply.Started[0].TaskID)
		}, []string{"r-b"}},
		{"another one is due before b", func(t *testing.T, other *Store) { put(t, other, "a-", 0) }, []string{"r-a", "r-a-", "r-b"}},
		{"a run of a has begun", func(t *testing.T, other *Store) {
			_, err := other.Edit(t.Context(), punctual.EditRequest{TaskID: "a", Decide: func(punctual.View) (punctual.Change, error) {
				return punctual.Change{Insert: []punctual.Run{running("manual", "a")}}, nil
			}})
			require.NoError(t, err)
		}, []string{"r-b"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "tasks.db")
				s, err := Open(t.Context(), path)
				require.NoError(t, err)
				defer func() { require.NoError(t, s.Close()) }()
				other, err := Open(t.Context(), path)
				require.NoError(t, err)
				defer func() { require.NoError(t, other.Close()) }()
				put(t, s, "a", 0)
				put(t, s, "b", 0)

				var seen []punctual.View
				var reply punctual.ClaimReply
				done := make(chan error)
				require.NoError(t, s.write.with(t.Context(), func() error { // somebody writes
					go func() {
						var err error
						reply, err = s.Claim(context.WithoutCancel(t.Context()), claimOf(&seen))
						done <- err
					}()
					synctest.Wait()
					require.Len(t, s.due.rows, 2, "read while it waits")
					test.then(t, other)
					return nil
				}))
				require.NoError(t, <-done)
				var started []string
				for _, run := range reply.Started {
					started = append(started, run.ID)
				}
				assert.Equal(t, test.started, started)
			})
		})
	}
}
