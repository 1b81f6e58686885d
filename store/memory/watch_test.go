package memory

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

func TestALoneInstanceGetsNoHintsOfItsOwnEdits(t *testing.T) {
	ctx, now := context.Background(), time.UnixMicro(0).UTC()
	s := New()
	hints := s.watch.join()
	defer s.watch.quit(hints)
	hinted := func() bool {
		select {
		case <-hints:
			return true
		default:
			return false
		}
	}
	beat := func(session string) {
		_, err := s.Beat(ctx, punctual.BeatRequest{Now: now, Session: session, Instance: "i", Lease: time.Hour})
		require.NoError(t, err)
	}
	edit := func(id, session string, c punctual.Change) {
		t.Helper()
		_, err := s.Edit(ctx, punctual.EditRequest{TaskID: id, Now: now, Session: session, Decide: func(punctual.View) (punctual.Change, error) {
			return c, nil
		}})
		require.NoError(t, err)
	}
	n := 0
	makeDue := func(session string) {
		t.Helper()
		n++
		id := fmt.Sprintf("task-%d", n)
		edit(id, session, punctual.Change{Task: &punctual.Task{ID: id, Schedule: punctual.Every(time.Hour)}, Status: &punctual.Status{NextRunAt: now}})
	}
	beat("a")
	makeDue("a")
	require.False(t, hinted(), "its own edit")
	makeDue("")
	require.True(t, hinted(), "an edit by a Scheduler that was not started")
	makeDue("dead")
	require.True(t, hinted(), "an edit under a session that is gone")
	beat("b")
	makeDue("a")
	require.True(t, hinted(), "an edit by one of two")
	makeDue("a")
	makeDue("b")
	require.True(t, hinted(), "edits by two")
	require.False(t, hinted(), "two edits are one hint")

	edit("task-1", "a", punctual.Change{Status: &punctual.Status{}})
	require.False(t, hinted(), "an edit that makes nothing due")
	rows := []punctual.Run{
		{ID: "1", State: punctual.StateRunning, Attempt: 1}, {ID: "2", State: punctual.StatePending}, {ID: "3", State: punctual.StateRunning, Session: "c"},
	}
	edit("task-1", "a", punctual.Change{Insert: rows})
	require.False(t, hinted(), "runs that are running or wait for the gate")
	edit("task-1", "a", punctual.Change{Cancel: []punctual.CancelOrder{{RunID: "1", Reason: punctual.ReasonCanceled}}})
	require.True(t, hinted(), "an order to cancel")
	_, err := s.Finish(ctx, punctual.FinishRequest{Now: now, Items: []punctual.Finish{{RunID: "1", Attempt: 1, State: punctual.StateSucceeded}}})
	require.NoError(t, err)
	require.True(t, hinted(), "a run that the gate lets through")
	_, err = s.Reclaim(ctx, punctual.ReclaimRequest{Now: now, Session: "a", Limit: 5})
	require.NoError(t, err)
	require.True(t, hinted(), "a run that was taken from a dead session")

	require.NoError(t, s.EndSession(ctx, "b"))
	makeDue("a")
	require.False(t, hinted(), "an edit by the one that is left")
}
