package postgres

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

const (
	benchBatch   = 500
	benchWorkers = 2
)

var noon = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

// benchStore opens a store in a schema of its own with some tasks, all due at noon; those beyond due are not due for a year.
func benchStore(b *testing.B, tasks, due int) *Store {
	dsn := cmp.Or(os.Getenv("PUNCTUAL_POSTGRES_DSN"), "postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable")
	schema := fmt.Sprintf("punctual_bench_%d", os.Getpid())
	s, err := Open(context.Background(), dsn, WithSchema(schema))
	if err != nil {
		b.Skipf("needs PostgreSQL (PUNCTUAL_POSTGRES_DSN): %v", err)
	}
	b.Cleanup(func() {
		_, _ = s.pool.Exec(context.Background(), `DROP SCHEMA `+pgx.Identifier{schema}.Sanitize()+` CASCADE`)
		_ = s.Close()
	})
	_, err = s.pool.Exec(context.Background(), s.text(`INSERT INTO {schema}.tasks SELECT id, id, '', 1, '{"id":"' || id || '","schedule":"every 1h"}', '{}', '', 0, 1,
		false, $3::bigint, CASE WHEN i <= $2::integer THEN $3 ELSE $3 + 31536000000000 END, NULL, 0, '', '', '', 0, '', $3, $3
		FROM (SELECT i, 'customer-' || lpad(i::text, 7, '0') AS id FROM generate_series(1, $1::integer) AS i) AS made`), tasks, due, noon.UnixMicro())
	require.NoError(b, err)
	return s
}

// fire is what a decision does with a task that is due: it starts the occurrence and moves the task on by one second.
func fire(id string, v punctual.View) (punctual.Change, error) {
	task, status := &v.Record.Task, v.Record.Status
	run := punctual.Run{
		ID: id, TaskID: task.ID, TaskName: task.ID, Trigger: punctual.TriggerSchedule, ScheduledAt: status.NextRunAt, Count: 1, Attempt: 1,
		State: punctual.StateRunning, StartedAt: v.Now, CreatedAt: v.Now, Instance: "bench", Session: "bench", Revision: 1,
	}
	status.LastOccurrence, status.NextRunAt = status.NextRunAt, status.NextRunAt.Add(time.Second)
	return punctual.Change{Status: &status, Insert: []punctual.Run{run}}, nil
}

// BenchmarkOccurrences measures claim, insert and finish with no work between, by two workers in batches of 500, over stores of different
// size. One operation is a batch.
func BenchmarkOccurrences(b *testing.B) {
	for _, size := range []int{1_000, 10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint("tasks=", size), func(b *testing.B) {
			s := benchStore(b, size, 1000)
			_, err := s.Beat(b.Context(), punctual.BeatRequest{Now: noon, Session: "bench", Instance: "bench", Lease: 1e6 * time.Hour})
			require.NoError(b, err)
			var serial, left, done atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var workers sync.WaitGroup
			for range benchWorkers {
				workers.Go(func() {
					for now := noon; left.Add(-1) >= 0; now = now.Add(time.Second) {
						reply, err := s.Claim(b.Context(), punctual.ClaimRequest{
							Now: now, Session: "bench", Limit: benchBatch,
							Decide: func(v punctual.View) (punctual.Change, error) { return fire(fmt.Sprintf("%026d", serial.Add(1)), v) },
						})
						if err != nil {
							b.Error(err)
							return
						}
						items := make([]punctual.Finish, len(reply.Started))
						for i, run := range reply.Started {
							items[i] = punctual.Finish{RunID: run.ID, TaskID: run.TaskID, Attempt: 1, State: punctual.StateSucceeded, StartedAt: now, FinishedAt: now}
						}
						if _, err = s.Finish(b.Context(), punctual.FinishRequest{Now: now, Session: "bench", Items: items}); err != nil {
							b.Error(err)
							return
						}
						done.Add(int64(len(items)))
					}
				})
			}
			workers.Wait()
			b.ReportMetric(float64(done.Load())/b.Elapsed().Seconds(), "occurrences/s")
		})
	}
}

// BenchmarkBareLoop is the floor: the same three writes in the same batches by as many workers, without store and decisions. Its rows are as
// wide as the store's. Its indexes are those that the writes need, so nothing lists the runs of a task or finds the oldest, and the rows of
// live runs are among all others. The claim and the insert share a commit, as they would have to.
func BenchmarkBareLoop(b *testing.B) {
	s := benchStore(b, 1000, 1000)
	for _, statement := range []string{
		`CREATE TABLE {schema}.bare_tasks (LIKE {schema}.tasks, PRIMARY KEY (id)) WITH (fillfactor = 70)`,
		`CREATE INDEX ON {schema}.bare_tasks (next_us, id)`,
		`INSERT INTO {schema}.bare_tasks SELECT * FROM {schema}.tasks`,
		`CREATE TABLE {schema}.bare_runs (LIKE {schema}.ended_runs INCLUDING DEFAULTS, PRIMARY KEY (id), UNIQUE (task_id, scheduled_us)) WITH (fillfactor = 70)`,
	} {
		_, err := s.pool.Exec(b.Context(), s.text(statement))
		require.NoError(b, err)
	}
	claim := s.text(`WITH due AS MATERIALIZED (SELECT id FROM {schema}.bare_tasks WHERE next_us <= $1 ORDER BY next_us, id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED)
		UPDATE {schema}.bare_tasks t SET last_us = t.next_us, next_us = t.next_us + 1000000 FROM due WHERE t.id = due.id RETURNING t.id, t.last_us`)
	insert := s.text(`INSERT INTO {schema}.bare_runs (id, task_id, task_name, kind, trigger_, scheduled_us, attempt, state, key, started_us, instance, session,
			revision, at_most_once, created_us)
		SELECT id, task, task, '', 'schedule', at, 1, 'running', '', $4::bigint, 'bench', 'bench', 1, false, $4
		FROM unnest($1::text[], $2::text[], $3::bigint[]) AS u (id, task, at) ON CONFLICT DO NOTHING`)
	finish := s.text(`UPDATE {schema}.bare_runs SET state = 'succeeded', finished_us = $2, session = '' WHERE id = ANY ($1::text[]) AND state = 'running' AND attempt = 1`)
	var serial, left, done atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var workers sync.WaitGroup
	for range benchWorkers {
		workers.Go(func() {
			for now := noon; left.Add(-1) >= 0; now = now.Add(time.Second) {
				var ids []string
				err := pgx.BeginFunc(b.Context(), s.pool, func(tx pgx.Tx) error {
					rows, err := tx.Query(b.Context(), claim, now.UnixMicro(), benchBatch)
					if err != nil {
						return err
					}
					var tasks []string
					var at []int64
					var task string
					var us int64
					if _, err = pgx.ForEachRow(rows, []any{&task, &us}, func() error {
						ids, tasks, at = append(ids, fmt.Sprintf("%026d", serial.Add(1))), append(tasks, task), append(at, us)
						return nil
					}); err != nil {
						return err
					}
					_, err = tx.Exec(b.Context(), insert, ids, tasks, at, now.UnixMicro())
					return err
				})
				if err == nil {
					_, err = s.pool.Exec(b.Context(), finish, ids, now.UnixMicro())
				}
				if err != nil {
					b.Error(err)
					return
				}
				done.Add(int64(len(ids)))
			}
		})
	}
	workers.Wait()
	b.ReportMetric(float64(done.Load())/b.Elapsed().Seconds(), "occurrences/s")
}

// BenchmarkSingles measures the way of one run through the store, claimed and finished alone, as on an instance with little to do.
func BenchmarkSingles(b *testing.B) {
	s := benchStore(b, 1000, 1000)
	_, err := s.Beat(b.Context(), punctual.BeatRequest{Now: noon, Session: "bench", Instance: "bench", Lease: 1e6 * time.Hour})
	require.NoError(b, err)
	serial := 0
	for now := noon; b.Loop(); {
		reply, err := s.Claim(b.Context(), punctual.ClaimRequest{
			Now: now, Session: "bench", Limit: 1,
			Decide: func(v punctual.View) (punctual.Change, error) { serial++; return fire(fmt.Sprintf("%026d", serial), v) },
		})
		require.NoError(b, err)
		if len(reply.Started) == 0 {
			now = now.Add(time.Second)
			continue
		}
		run := reply.Started[0]
		_, err = s.Finish(b.Context(), punctual.FinishRequest{Now: now, Session: "bench", Items: []punctual.Finish{
			{RunID: run.ID, TaskID: run.TaskID, Attempt: 1, State: punctual.StateSucceeded, StartedAt: now, FinishedAt: now},
		}})
		require.NoError(b, err)
	}
}
