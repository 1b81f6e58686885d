package punctual_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

func TestBackfillRunsWhatNeverRan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		task := hourly("t")
		task.OnRegister, task.Misfire = punctual.WaitForSchedule, punctual.MisfireSkip
		w.add(task)
		w.wait(5*time.Hour + 30*time.Minute)
		w.start()
		w.wait(time.Hour)
		assert.Equal(t, []string{"schedule +1h0m0s missed x5 misfire", "schedule +6h0m0s succeeded"}, w.facts("t"))

		n, err := w.s.Backfill(t.Context(), "t", w.begin.Add(2*time.Hour), w.begin.Add(100*time.Hour))
		require.NoError(t, err)
		assert.Equal(t, 4, n)
		w.wait(0)
		assert.Equal(t, []string{
			"schedule +1h0m0s missed x5 misfire", "schedule +6h0m0s succeeded",
			"backfill +2h0m0s succeeded", "backfill +3h0m0s succeeded", "backfill +4h0m0s succeeded", "backfill +5h0m0s succeeded",
		}, w.facts("t"), "without what has run, what is outside of the range and what is to come")
		assert.Equal(t, w.begin.Add(7*time.Hour).UTC(), w.task("t").NextRunAt)
		for i, run := range w.calls[1:] {
			assert.Equal(t, w.ledger("t")[i+2].ID, run.runID, "oldest first")
		}

		again, err := w.s.Backfill(t.Context(), "t", w.begin, w.begin.Add(6*time.Hour))
		require.NoError(t, err)
		assert.Equal(t, 1, again, "only the first hour is left")
		w.wait(0)
		assert.Len(t, w.calls, 6)
		w.stop()
	})
}

func TestBackfillKeepsToMaxActive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, busyFor(time.Minute)).start()
		w.add(punctual.Task{ID: "t", Schedule: punctual.Daily("12:00", time.UTC)})
		w.wait(time.Hour) // the world begins at midnight
		n, err := w.s.Backfill(t.Context(), "t", w.begin.Add(-72*time.Hour), w.begin)
		require.NoError(t, err)
		assert.Equal(t, 3, n, "a calendar has a past before the task was registered")
		w.wait(time.Hour)
		assert.Equal(t, seconds(3600, 3660, 3720), w.starts("t"))
		w.stop()
	})
}

func TestBackfillIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		ctx := context.Background()
		w.add(punctual.Task{ID: "minutely", Schedule: punctual.Must(punctual.Cron("* * * * *", time.UTC))})
		w.add(punctual.Task{ID: "delay", Schedule: punctual.Every(time.Hour).AfterCompletion()})
		w.add(hourly("young"))
		for _, bad := range []struct {
			id       string
			from, to time.Duration
			want     error
		}{
			{"minutely", 0, 0, punctual.ErrInvalidQuery},
			{"minutely", -time.Hour, -2 * time.Hour, punctual.ErrInvalidQuery},
			{"minutely", -1001 * time.Minute, 0, punctual.ErrInvalidQuery},
			{"delay", -time.Hour, 0, punctual.ErrInvalidQuery},
			{"nobody", -time.Hour, 0, punctual.ErrTaskNotFound},
		} {
			_, err := w.s.Backfill(ctx, bad.id, w.begin.Add(bad.from), w.begin.Add(bad.to))
			require.ErrorIs(t, err, bad.want, fmt.Sprint(bad))
		}
		n, err := w.s.Backfill(ctx, "minutely", w.begin.Add(-1000*time.Minute), w.begin)
		require.NoError(t, err)
		assert.Equal(t, 1000, n)
		n, err = w.s.Backfill(ctx, "young", w.begin.Add(-24*time.Hour), w.begin)
		require.NoError(t, err)
		assert.Zero(t, n, "an interval has no occurrence before its anchor")
	})
}
