package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

var noon = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

// fill stores n tasks, of which the first due are due at noon.
func fill(b *testing.B, s *Store, n, due int) {
	const batch = 10_000
	for begin := 0; begin < n; begin += batch {
		require.NoError(b, s.tx(context.Background(), func(tx *txn) error {
			for i := begin; i < min(begin+batch, n); i++ {
				task := punctual.Task{ID: fmt.Sprintf("t%07d", i), Schedule: punctual.Every(time.Hour), Revision: 1}
				status := punctual.Status{Anchor: noon, NextRunAt: noon}
				if i >= due {
					status.NextRunAt = noon.Add(365 * 24 * time.Hour)
				}
				if _, _, err := s.apply(tx, task.ID, 0, &punctual.View{Now: noon}, nil, &punctual.Change{Task: &task, Status: &status}, nil); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}

// BenchmarkOccurrences measures claim, insert and finish in batches of 500, with no work between, over stores of different size.
func BenchmarkOccurrences(b *testing.B) {
	for _, size := range []int{1_000, 10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint("tasks=", size), func(b *testing.B) {
			s, err := Open(b.Context(), filepath.Join(b.TempDir(), "bench.db"))
			require.NoError(b, err)
			defer s.Close()
			fill(b, s, size, 500)
			now, n := noon, 0
			for b.Loop() {
				reply, err := s.Claim(b.Context(), punctual.ClaimRequest{Now: now, Limit: 500, Decide: func(v punctual.View) (punctual.Change, error) {
					n++
					status := v.Record.Status
					run := punctual.Run{
						ID: fmt.Sprintf("r%012d", n), TaskID: v.Record.Task.ID, Trigger: punctual.TriggerSchedule, ScheduledAt: status.NextRunAt,
						Count: 1, Attempt: 1, State: punctual.StateRunning, StartedAt: v.Now, CreatedAt: v.Now,
					}
					status.LastOccurrence, status.NextRunAt = status.NextRunAt, status.NextRunAt.Add(time.Second)
					return punctual.Change{Status: &status, Insert: []punctual.Run{run}}, nil
				}})
				require.NoError(b, err)
				require.Len(b, reply.Started, 500)
				items := make([]punctual.Finish, len(reply.Started))
				for i, run := range reply.Started {
					items[i] = punctual.Finish{RunID: run.ID, TaskID: run.TaskID, Attempt: 1, State: punctual.StateSucceeded, StartedAt: now, FinishedAt: now}
				}
				_, err = s.Finish(b.Context(), punctual.FinishRequest{Now: now, Items: items})
				require.NoError(b, err)
				now = now.Add(time.Second)
			}
			b.ReportMetric(float64(500*b.N)/b.Elapsed().Seconds(), "occurrences/s")
		})
	}
}

// BenchmarkBareLoop is the floor: the same three writes in batches of 500, without store, decisions or decoding.
func BenchmarkBareLoop(b *testing.B) {
	s, err := Open(b.Context(), filepath.Join(b.TempDir(), "bench.db"))
	require.NoError(b, err)
	defer s.Close()
	fill(b, s, 1000, 500)
	n := 0
	for b.Loop() {
		ids := make([]string, 500)
		require.NoError(b, s.tx(b.Context(), func(tx *txn) error {
			for i := range ids {
				n++
				ids[i] = fmt.Sprintf("r%012d", n)
				task := fmt.Sprintf("t%07d", i)
				if _, err := tx.exec(`UPDATE tasks SET next_us = next_us + 1000000, last_us = next_us WHERE id = ?`, task); err != nil {
					return err
				}
				run := punctual.Run{
					ID: ids[i], TaskID: task, Trigger: punctual.TriggerSchedule, ScheduledAt: noon.Add(time.Duration(n)), Count: 1, Attempt: 1,
					State: punctual.StateRunning, StartedAt: noon, CreatedAt: noon,
				}
				run.ScheduledAt = noon.Add(time.Duration(n) * time.Microsecond)
				if _, err := tx.exec(insertRun, runValues(&run, 0)...); err != nil {
					return err
				}
			}
			return nil
		}))
		require.NoError(b, s.tx(b.Context(), func(tx *txn) error {
			for _, id := range ids {
				if _, err := tx.exec(`UPDATE runs SET state = 'succeeded', finished_us = ? WHERE id = ?`, noon.UnixMicro(), id); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	b.ReportMetric(float64(500*b.N)/b.Elapsed().Seconds(), "occurrences/s")
}
