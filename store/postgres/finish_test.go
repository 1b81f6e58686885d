package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// A store that has seen no fixed delay does not lock tasks before their runs. When it finds the first it starts over, so that it holds no run while
// it waits for a task that somebody holds who may come for the run.
func TestFinishLocksTasksBeforeRunsOnceThereAreDelays(t *testing.T) {
	s := crowded(t, 0)
	run := punctual.Run{ID: "run", TaskID: "task", TaskName: "task", Trigger: punctual.TriggerSchedule, ScheduledAt: time.Unix(1, 0), Attempt: 1, State: punctual.StateRunning, StartedAt: time.Unix(1, 0)}
	_, err := s.Edit(t.Context(), punctual.EditRequest{TaskID: "task", Decide: func(punctual.View) (punctual.Change, error) {
		return punctual.Change{
			Task:   &punctual.Task{ID: "task", Schedule: punctual.Every(time.Minute).AfterCompletion(), Revision: 1},
			Status: &punctual.Status{Delay: time.Minute}, Insert: []punctual.Run{run},
		}, nil
	}})
	require.NoError(t, err)

	conn, err := s.pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), s.text(`SELECT id FROM {schema}.tasks FOR UPDATE`))
	require.NoError(t, err)
	finished := make(chan error, 1)
	end := time.Unix(10, 0)
	go func() {
		_, err := s.Finish(t.Context(), punctual.FinishRequest{Items: []punctual.Finish{
			{RunID: "run", TaskID: "task", Attempt: 1, State: punctual.StateSucceeded, StartedAt: run.StartedAt, FinishedAt: end},
		}})
		finished <- err
	}()
	for waits := false; !waits; {
		const waiting = `SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))`
		require.NoError(t, tx.QueryRow(t.Context(), waiting).Scan(&waits))
	}
	free, err := tx.Query(t.Context(), s.text(`SELECT id FROM {schema}.live_runs FOR UPDATE SKIP LOCKED`))
	require.NoError(t, err)
	ids, err := pgx.CollectRows(free, pgx.RowTo[string])
	require.NoError(t, err)
	assert.Equal(t, []string{"run"}, ids, "what nobody else holds while Finish waits for the task")
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-finished)
	task, err := s.Task(t.Context(), "task")
	require.NoError(t, err)
	assert.Equal(t, end.Add(time.Minute).UTC(), task.NextRunAt)
}

// beforeBatch is a pgx.BatchTracer that does something once, before the first batch that has a statement. It counts how often it sees each.
type beforeBatch struct {
	statement string
	do        func()
	seen      map[string]int
}

func (b *beforeBatch) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}
func (b *beforeBatch) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (b *beforeBatch) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	for _, q := range data.Batch.QueuedQueries {
		b.seen[q.SQL]++
		if do := b.do; q.SQL == b.statement && do != nil {
			b.do = nil
			do()
		}
	}
	return ctx
}
func (b *beforeBatch) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (b *beforeBatch) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// Finish looks at rows one by one after it has recorded what it can without, and others may do something to their tasks in between.
func TestFinishReleasesARunThatBeganToWaitMeanwhile(t *testing.T) {
	s, reply, _ := finishWhile(t, punctual.Change{Insert: []punctual.Run{runOfTask("b", punctual.StatePending)}})
	waited, err := s.Run(t.Context(), "b")
	require.NoError(t, err)
	assert.Equal(t, reply.Now, waited.DueAt)
}

// What it finds then may be the first delay.
func TestFinishStartsOverWhenATaskGotADelayMeanwhile(t *testing.T) {
	_, _, seen := finishWhile(t, punctual.Change{
		Task: &punctual.Task{ID: "task", Schedule: punctual.Every(time.Minute).AfterCompletion(), Revision: 2}, Status: &punctual.Status{Delay: time.Minute},
	})
	assert.Equal(t, map[string]int{lockDelayed: 1, lockLive: 2}, seen)
}

func runOfTask(id string, state punctual.State) punctual.Run {
	return punctual.Run{ID: id, TaskID: "task", TaskName: "task", Trigger: punctual.TriggerManual, ScheduledAt: time.Unix(1, 0), Attempt: 1, State: state}
}

// finishWhile hands in an attempt that will be followed by another, and changes the task before its row is looked at. It says how often some statements
// were sent.
func finishWhile(t *testing.T, change punctual.Change) (s *Store, reply punctual.FinishReply, seen map[string]int) {
	t.Helper()
	other := crowded(t, 0)
	config := other.pool.Config()
	tracer := &beforeBatch{statement: other.text(lockLive), seen: make(map[string]int)}
	config.ConnConfig.Tracer = tracer
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	s, err = New(t.Context(), pool, WithSchema(other.schema))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		pool.Close()
	})
	edit := func(change punctual.Change) {
		_, err := other.Edit(t.Context(), punctual.EditRequest{TaskID: "task", Decide: func(punctual.View) (punctual.Change, error) { return change, nil }})
		require.NoError(t, err)
	}
	edit(punctual.Change{
		Task: &punctual.Task{ID: "task", Schedule: punctual.Every(time.Minute), Revision: 1}, Status: &punctual.Status{}, Insert: []punctual.Run{runOfTask("a", punctual.StateRunning)},
	})
	tracer.do = func() { edit(change) }
	reply, err = s.Finish(t.Context(), punctual.FinishRequest{Items: []punctual.Finish{
		{RunID: "a", TaskID: "task", Attempt: 1, State: punctual.StatePending, RetryAt: time.Unix(100, 0), FinishedAt: time.Unix(10, 0)},
	}})
	require.NoError(t, err)
	assert.Equal(t, []punctual.Verdict{punctual.VerdictApplied}, reply.Verdicts)
	require.Nil(t, tracer.do)
	return s, reply, map[string]int{lockDelayed: tracer.seen[s.text(lockDelayed)], lockLive: tracer.seen[s.text(lockLive)]}
}
