package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/executor/openai"
	"github.com/punctual-go/punctual/store/memory"

	"github.com/punctual-go/punctual/examples/llmcron/internal/service"
	"github.com/punctual-go/punctual/examples/llmcron/internal/vault"
)

func pongs(takes time.Duration) *model {
	return &model{takes: takes, answer: func(int, openai.Request) (punctual.Result, error) { return used("pong", 1, 0), nil }}
}

// since tells when the model was asked, from a beginning on.
func (m *model) since(begin time.Time) (at []time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.at {
		at = append(at, t.Sub(begin))
	}
	return at
}

// C9 (robfig/cron#366): calls of 9.5 s, due each second.
func TestCallsThatTakeLongerThanTheirIntervalAreSkippedAndToldSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := pongs(9500 * time.Millisecond)
		s := newCallingSite(t, m)
		id := ways[0].create(s, "", fields(map[string]any{"interval_minutes": nil, "interval_seconds": 1}))
		s.wait(time.Minute - time.Millisecond)
		var starts []time.Duration
		for i := range 6 {
			starts = append(starts, time.Duration(i)*10*time.Second)
		}
		assert.Equal(t, starts, m.since(s.begin))
		assert.Equal(t, 1, m.most, "never two at once")
		runs, err := s.scheduler.Runs(t.Context(), punctual.RunQuery{TaskID: id})
		require.NoError(t, err)
		var facts int64
		for _, run := range runs {
			facts += max(run.Count, 1)
		}
		assert.EqualValues(t, 60, facts, "the immediate call and 59 occurrences are accounted for")
		var page logPage
		s.get("/api/tasks/"+id+"/logs", &page)
		require.Equal(t, "skipped", page.Logs[0].Status)
		assert.Contains(t, page.Logs[0].ErrorMessage, "overlap, 9 times until")
		s.wait(9 * time.Second)
		s.stop()
	})
}

// C11: a call that listens to nothing does not hold the shutdown up.
func TestAShutdownNamesADeafCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCallingSite(t, pongs(5*time.Second))
		ways[0].create(s, "", fields(nil))
		s.wait(time.Millisecond)
		begin := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err := s.scheduler.Shutdown(ctx)
		assert.Equal(t, time.Second, time.Since(begin))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var page logPage
		s.get("/api/logs", &page)
		require.Len(t, page.Logs, 1)
		assert.Contains(t, err.Error(), page.Logs[0].ID, "it is named")
		assert.Equal(t, http.StatusServiceUnavailable, s.send("POST", "/api/tasks", body(fields(nil))).Code)
		time.Sleep(5 * time.Second)
	})
}

// C13: a change during a call.
func TestAChangeDuringACallKeepsTheCall(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := pongs(5 * time.Minute)
				s := newCallingSite(t, m)
				id := way.create(s, "", fields(map[string]any{"timeout_seconds": 3600}))
				s.wait(time.Minute)
				w := s.send("PATCH", "/api/tasks/"+id, `{"cron":"x","schedule_type":"cron"}`)
				require.Equal(t, http.StatusUnprocessableEntity, w.Code)
				var task service.Task
				s.get("/api/tasks/"+id, &task)
				assert.EqualValues(t, 10, task.IntervalMinutes, "a change that is not valid leaves all as it was")
				way.edit(s, id, fields(map[string]any{"schedule_type": "cron", "cron": "0 0 1 1 *", "interval_minutes": nil, "timeout_seconds": 3600}))
				s.wait(time.Hour)
				assert.Equal(t, minutes(0), m.since(s.begin), "no occurrence of the old schedule starts")
				assert.Equal(t, []string{"register success"}, s.statuses(id), "what the call answered is kept")
				s.stop()
			})
		})
	}
}

// C14: the first call comes at once, the next after the interval, and a restart calls nothing anew.
func TestARestartMakesNoSecondImmediateCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, m, begin := memory.New(), pongs(time.Second), time.Now()
		inner := func(*vault.Vault) punctual.Executor { return m }
		s := newSiteOn(t, store, &lockedLogs{}, inner)
		id := ways[0].create(s, "", fields(map[string]any{"interval_minutes": 60}))
		s.wait(0)
		var task service.Task
		s.get("/api/tasks/"+id, &task)
		require.NotNil(t, task.NextRunAt)
		assert.Equal(t, begin.Add(time.Hour).UTC(), task.NextRunAt.UTC(), "known while the first call is under way")
		s.wait(20 * time.Minute)
		s.stop()
		time.Sleep(20 * time.Minute)
		s = newSiteOn(t, store, &lockedLogs{}, inner)
		s.wait(81 * time.Minute)
		assert.Equal(t, minutes(0, 60, 120), m.since(begin))
		s.stop()
	})
}

// C15: tasks that come and go leave nothing behind.
func TestTasksThatComeAndGoLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := pongs(0)
		s := newCallingSite(t, m)
		s.wait(time.Second)
		before := goleak.IgnoreCurrent()
		for range 300 {
			id := ways[0].create(s, "", fields(nil))
			s.wait(time.Second)
			require.Equal(t, http.StatusNoContent, s.send("DELETE", "/api/tasks/"+id, "").Code)
		}
		s.wait(time.Second)
		assert.Len(t, m.since(s.begin), 300)
		goleak.VerifyNone(t, before)
		var page logPage
		s.get("/api/logs", &page)
		assert.Empty(t, page.Logs)
		s.stop()
	})
}

// meddler is a store in which somebody else is quicker, once.
type meddler struct {
	punctual.Store
	first func()
}

func (m *meddler) Edit(ctx context.Context, r punctual.EditRequest) (punctual.EditReply, error) {
	if first := m.first; first != nil {
		m.first = nil
		first()
	}
	return m.Store.Edit(ctx, r)
}

func TestWhoIsLateIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &meddler{Store: memory.New()}
		s := newSiteOn(t, store, &lockedLogs{}, func(*vault.Vault) punctual.Executor { return pongs(0) })
		id := ways[0].create(s, "", fields(nil))
		s.wait(time.Second)
		n := 0
		quicker := func() {
			store.first = func() {
				n++
				require.Equal(t, http.StatusOK, s.send("PATCH", "/api/tasks/"+id, fmt.Sprintf(`{"name":"quicker %d"}`, n)).Code)
			}
		}
		file := s.send("GET", "/api/export", "").Body.String()
		for _, c := range []request{
			{"PUT", "/api/tasks/" + id, body(fields(map[string]any{"name": "late"})), asJSON},
			{"PATCH", "/api/tasks/" + id, `{"name":"late"}`, asJSON},
			{"POST", "/api/import", file, ""},
			{"POST", "/tasks/" + id, "name=late&api_endpoint=http://127.0.0.1:1/v1&model=m&message_content=x&schedule_type=interval&interval_minutes=5", "application/x-www-form-urlencoded"},
		} {
			quicker()
			w := s.send(c.method, c.path, c.body, "Content-Type", c.kind)
			assert.Equal(t, http.StatusConflict, w.Code, "%s %s: %s", c.method, c.path, w.Body)
			assert.Contains(t, w.Body.String(), "changed by somebody else meanwhile", c.path)
			var task service.Task
			s.get("/api/tasks/"+id, &task)
			assert.Equal(t, fmt.Sprint("quicker ", n), task.Name, "what came first stays")
		}
		// Who says what he has seen is also told when that is long ago.
		var task service.Task
		s.get("/api/tasks/"+id, &task)
		old := task.Revision
		change := func(revision int64) int {
			return s.send("PATCH", "/api/tasks/"+id, fmt.Sprintf(`{"name":"by %d","revision":%d}`, revision, revision)).Code
		}
		assert.Equal(t, http.StatusOK, change(old))
		assert.Equal(t, http.StatusConflict, change(old))
		page := s.send("GET", "/tasks/"+id+"/edit", "").Body.String()
		assert.Contains(t, page, fmt.Sprintf(`name="revision" value="%d"`, old+1))
		form := fmt.Sprintf("revision=%d&name=late&api_endpoint=http://127.0.0.1:1/v1&model=m&message_content=x&schedule_type=interval&interval_minutes=5", old)
		w := s.send("POST", "/tasks/"+id, form, "Content-Type", "application/x-www-form-urlencoded")
		assert.Equal(t, http.StatusConflict, w.Code)
		assert.Contains(t, w.Body.String(), `value="late"`, "what was typed is not lost")
		s.wait(time.Second)
		s.stop()
	})
}

// TestABusyDayIsCountedWholeAfterARestart: a day has more calls than a page of the log, and nothing has trimmed them.
func TestABusyDayIsCountedWholeAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.WithHistory(2 * punctual.MaxLimit))
		m := pongs(0)
		inner := func(*vault.Vault) punctual.Executor { return m }
		keep := punctual.WithRetention(punctual.DefaultRetention, 0)
		s := newSiteOn(t, store, &lockedLogs{}, inner, keep)
		id := ways[0].create(s, "", fields(map[string]any{"interval_minutes": nil, "interval_seconds": 1, "daily_tokens": punctual.MaxLimit + 60}))
		s.wait((punctual.MaxLimit + 20) * time.Second)
		s.stop()
		s = newSiteOn(t, store, &lockedLogs{}, inner, keep)
		s.wait(2 * time.Minute)
		assert.Len(t, m.since(s.begin), punctual.MaxLimit+60, "as many as the budget of the day has, over both lives")
		var page logPage
		s.get("/api/tasks/"+id+"/logs", &page)
		assert.Equal(t, "budget", page.Logs[0].ErrorMessage[:6])
		s.stop()
	})
}

func TestTheTimeoutOfTheServerEndsACall(t *testing.T) {
	slow := newSlowEndpoint(t)
	s := startServer(t, t.TempDir(), "-timeout", "200ms", "-attempts", "1")
	entry := s.await(t, s.create(t, call(slow.URL+"/v1", nil)).ID)
	assert.Equal(t, "failed", entry.Status)
	assert.Contains(t, entry.ErrorMessage, "timed out")
	// What a task says for itself counts for more.
	task := s.create(t, call(slow.URL+"/v1", map[string]any{"name": "patient", "timeout_seconds": 600}))
	run := s.log(t, task.ID)[0].ID
	waitFor(t, "the call of the patient one", func() bool { // that of the first may have ended before it arrived
		select {
		case id := <-slow.arrived:
			return id == run
		default:
			return false
		}
	})
	begin := time.Now()
	waitFor(t, "the time to pass that the first had", func() bool { return time.Since(begin) > 400*time.Millisecond })
	close(slow.answer)
	entry = s.await(t, task.ID)
	assert.Equal(t, "success", entry.Status, entry.ErrorMessage)
	encoded, err := json.Marshal(entry)
	require.NoError(t, err)
	assert.NotContains(t, string(encoded), secret)
}
