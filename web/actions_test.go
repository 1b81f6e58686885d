package web_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

func TestFormsSteerATask(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t)
		goTo := func(location string, form ...string) {
			t.Helper()
			answer := w.form("task", append([]string{"id", "works"}, form...)...)
			require.Equal(t, http.StatusSeeOther, answer.Code, answer.Body)
			assert.Regexp(t, location, answer.Header().Get("Location"))
			w.page(answer.Header().Get("Location"))
		}
		goTo(`^task\?done=pause&id=works$`, "action", "pause")
		assert.True(t, w.task("works").Paused)
		goTo(`^task\?done=resume&id=works$`, "action", "resume")
		assert.False(t, w.task("works").Paused)
		before := len(w.runs("works"))
		goTo(`^run\?done=run&id=`, "action", "run")
		assert.Len(t, w.runs("works"), before+1)
		assert.Equal(t, punctual.TriggerManual, w.runs("works")[0].Trigger)
		goTo(`^task\?done=reschedule&id=works$`, "action", "reschedule", "schedule", " daily 06:00 Asia/Tokyo ", "revision", "1")
		assert.Equal(t, "daily 06:00 Asia/Tokyo", w.task("works").Task.Schedule.String())
		assert.Equal(t, `{"url":"example"}`, string(w.task("works").Task.Payload), "the rest of the definition stays")
		assert.Contains(t, w.page("task?id=works&done=pause"), "The task is paused.")
		assert.NotContains(t, w.page("task?id=works&done=You+have+won"), "You have won", "nobody makes a page say something else")
	})
}

func TestScheduleThatCannotBeSavedStaysInTheForm(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t)
		answer := w.form("task", "id", "works", "action", "reschedule", "schedule", "every 5 parsecs", "revision", "1")
		assert.Equal(t, http.StatusUnprocessableEntity, answer.Code)
		assertContains(t, answer.Body.String(), `value="every 5 parsecs"`, `aria-invalid="true"`)
		answer = w.form("task", "id", "works", "action", "reschedule", "schedule", "every 1µs", "revision", "1")
		assert.Equal(t, http.StatusUnprocessableEntity, answer.Code, "understood, but not allowed")
		assert.Equal(t, "every 1h", w.task("works").Task.Schedule.String())
	})
}

func TestScheduleThatSomebodyElseChangedIsAConflict(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t)
		task := w.task("works").Task
		task.Schedule = punctual.Every(5 * time.Hour)
		require.NoError(t, w.s.Reschedule(t.Context(), task))
		assert.Equal(t, http.StatusConflict, w.form("task", "id", "works", "action", "reschedule", "schedule", "every 2h", "revision", "1").Code)
		assert.Equal(t, http.StatusConflict, w.post("api/task/reschedule?id=works", `{"schedule": "every 2h", "revision": 1}`).Code)
		assert.Equal(t, "every 5h", w.task("works").Task.Schedule.String())
		assert.Equal(t, http.StatusBadRequest, w.form("task", "id", "works", "action", "reschedule", "schedule", "every 2h").Code, "a form says what it is based on")
	})
}

func TestFormsSteerARun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t)
		var busy punctual.Run
		for _, run := range w.runs("busy") {
			if run.State == punctual.StateRunning {
				busy = run
			}
		}
		assert.Contains(t, w.page("run?id="+busy.ID), ">Cancel<")
		answer := w.form("run", "id", busy.ID, "action", "cancel")
		assert.Equal(t, "run?done=cancel&id="+busy.ID, answer.Header().Get("Location"))
		synctest.Wait()
		time.Sleep(time.Second)
		page := w.page("run?id=" + busy.ID)
		assertContains(t, text(page), "canceled", "Run again")
		assert.NotContains(t, page, ">Cancel<")
		assert.Equal(t, http.StatusConflict, w.form("run", "id", busy.ID, "action", "cancel").Code)

		before := len(w.runs("fails"))
		answer = w.form("run", "id", w.runs("fails")[0].ID, "action", "retry")
		require.Equal(t, http.StatusSeeOther, answer.Code)
		assert.Equal(t, "run?done=retry&id="+w.runs("fails")[0].ID, answer.Header().Get("Location"), "to the new run")
		assert.Len(t, w.runs("fails"), before+1)
		assert.Equal(t, http.StatusBadRequest, w.form("run", "id", busy.ID, "action", "pause").Code)
		assert.Equal(t, http.StatusBadRequest, w.form("task", "id", "works", "action", "remove").Code)
		assert.Equal(t, http.StatusNotFound, w.form("run", "id", "none", "action", "cancel").Code)
	})
}

func TestRunOfARemovedTaskIsShown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t)
		id := w.runs("works")[0].ID
		require.NoError(t, w.s.Remove(t.Context(), "works", punctual.KeepHistory()))
		page := w.page("run?id=" + id)
		assertContains(t, text(page), "It works (removed)", "42 articles")
		assert.NotContains(t, page, "Run again")
		assert.Equal(t, http.StatusNotFound, w.form("run", "id", id, "action", "retry").Code)
	})
}

func TestRunThatStandsForManyOccurrencesSaysSo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, func(ctx context.Context, _ punctual.Run) (punctual.Result, error) {
			<-ctx.Done()
			return punctual.Result{}, ctx.Err()
		})
		w.add(punctual.Task{ID: "slow", Schedule: punctual.Every(time.Minute)})
		time.Sleep(30*time.Minute + time.Second)
		synctest.Wait()
		skipped := w.runs("slow")[0]
		require.Equal(t, int64(30), skipped.Count)
		assertContains(t, text(w.page("run?id="+skipped.ID)), "overlap", "the other run", "30 occurrences")
		assertContains(t, text(w.page("task?id=slow")), fmt.Sprintf("%d occurrences, until", skipped.Count), "behind this run")
	})
}
