package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"

	"github.com/punctual-go/punctual/examples/llmcron/internal/service"
	"github.com/punctual-go/punctual/examples/llmcron/internal/vault"
	"github.com/punctual-go/punctual/examples/llmcron/internal/web"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		removeServer()
		os.Exit(code)
	}))
}

const secret = "sk-test-abcdefghijklmnop-7890"

// site is the whole server on fake time but for the network: requests go straight to the handler and calls to a function.
type site struct {
	t         *testing.T
	begin     time.Time
	scheduler *punctual.Scheduler
	service   *service.Service
	handler   http.Handler
	logs      *lockedLogs

	mu    sync.Mutex
	calls map[string][]time.Duration // by the task's name, since the beginning
	err   error                      // what calls answer
}

func newSite(t *testing.T, token string) *site {
	s := &site{t: t, begin: time.Now(), calls: map[string][]time.Duration{}, logs: &lockedLogs{}}
	v, err := vault.New(make([]byte, vault.KeySize))
	require.NoError(t, err)
	logger := slog.New(slog.NewTextHandler(s.logs, nil))
	s.scheduler, err = punctual.New(memory.New(), punctual.ExecutorFunc(s.call), punctual.WithLogger(logger))
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.scheduler.Close() })
	s.handler = web.Handler(service.New(s.scheduler, v, punctual.Retry{}, time.Minute), web.Options{Token: token, Logger: logger})
	return s
}

func (s *site) start() *site {
	require.NoError(s.t, s.scheduler.Start(s.t.Context()))
	synctest.Wait()
	return s
}

func (s *site) call(_ context.Context, run punctual.Run) (punctual.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[run.TaskName] = append(s.calls[run.TaskName], time.Since(s.begin))
	return punctual.Result{Output: "pong", Facts: json.RawMessage(`{"usage":{"total_tokens":3}}`)}, s.err
}

// lockedLogs takes log lines of many goroutines.
type lockedLogs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLogs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLogs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// count tells how often the log holds a text.
func (s *site) count(text string) int { return strings.Count(s.logs.String(), text) }

// fail makes later calls answer with an error.
func (s *site) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *site) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (s *site) stop() { require.NoError(s.t, s.scheduler.Shutdown(context.Background())) }

// send makes a request; headers are pairs.
func (s *site) send(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "127.0.0.1:8080"
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

// get decodes a JSON answer.
func (s *site) get(path string, into any) {
	w := s.send("GET", path, "")
	require.Equal(s.t, http.StatusOK, w.Code, w.Body)
	require.NoError(s.t, json.Unmarshal(w.Body.Bytes(), into))
}

type logPage struct {
	Logs []service.LogEntry `json:"logs"`
	Next string             `json:"next_cursor"`
}

func (s *site) statuses(id string) []string {
	var page logPage
	s.get("/api/tasks/"+id+"/logs", &page)
	var out []string
	for i := len(page.Logs) - 1; i >= 0; i-- {
		out = append(out, page.Logs[i].Trigger+" "+page.Logs[i].Status)
	}
	return out
}

// way is one of the two ways in: the API or the forms.
type way struct {
	name         string
	create, edit func(s *site, id string, fields map[string]any) string // returns the task's id
}

var ways = []way{
	{
		"api",
		func(s *site, _ string, fields map[string]any) string {
			w := s.send("POST", "/api/tasks", body(fields))
			require.Equal(s.t, http.StatusCreated, w.Code, w.Body)
			var task service.Task
			require.NoError(s.t, json.Unmarshal(w.Body.Bytes(), &task))
			return task.ID
		},
		func(s *site, id string, fields map[string]any) string {
			w := s.send("PUT", "/api/tasks/"+id, body(fields))
			require.Equal(s.t, http.StatusOK, w.Code, w.Body)
			return id
		},
	},
	{
		"form",
		func(s *site, _ string, fields map[string]any) string { return s.submit("/tasks", fields) },
		func(s *site, id string, fields map[string]any) string { return s.submit("/tasks/"+id, fields) },
	},
}

func body(fields map[string]any) string {
	b, _ := json.Marshal(fields)
	return string(b)
}

func (s *site) submit(path string, fields map[string]any) string {
	values := url.Values{}
	for k, v := range fields {
		if k == "enabled" {
			if v == true {
				values.Set(k, "on")
			}
			continue
		}
		values.Set(k, fmt.Sprint(v))
	}
	if _, said := fields["enabled"]; !said {
		values.Set("enabled", "on")
	}
	w := s.send("POST", path, values.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	require.Equal(s.t, http.StatusSeeOther, w.Code, w.Body)
	var page struct{ Tasks []service.Task }
	s.get("/api/tasks", &page)
	for _, task := range page.Tasks {
		if task.Name == fields["name"] {
			return task.ID
		}
	}
	s.t.Fatal("the task is not there")
	return ""
}

func fields(change map[string]any) map[string]any {
	f := map[string]any{
		"name": "ping", "api_endpoint": "http://127.0.0.1:1/v1", "api_key": secret, "model": "m", "message_content": "ping",
		"schedule_type": "interval", "interval_minutes": 10, "timezone": "UTC",
	}
	for k, v := range change {
		if v == nil {
			delete(f, k)
		} else {
			f[k] = v
		}
	}
	return f
}

func minutes(n ...float64) []time.Duration {
	var out []time.Duration
	for _, m := range n {
		out = append(out, time.Duration(m*float64(time.Minute)))
	}
	return out
}

// TestBothWaysIn holds what creating and changing tasks means, through the API and through the forms alike.
func TestBothWaysIn(t *testing.T) {
	fixed := map[string]any{"schedule_type": "fixed_time", "fixed_time": "00:30", "interval_minutes": nil}
	tests := []struct {
		name string
		do   func(s *site, w way) (id string)
		want []time.Duration // calls within an hour
		logs []string
	}{
		{"an interval task is called at once", func(s *site, w way) string {
			return w.create(s.start(), "", fields(map[string]any{"interval_minutes": 25}))
		}, minutes(0, 25, 50), []string{"register success", "schedule success", "schedule success"}},
		{"a disabled task is not called", func(s *site, w way) string {
			return w.create(s.start(), "", fields(map[string]any{"enabled": false}))
		}, nil, nil},
		{"a task that becomes an enabled interval task is called at once again", func(s *site, w way) string {
			id := w.create(s.start(), "", fields(map[string]any{"enabled": false}))
			s.wait(15 * time.Minute)
			return w.edit(s, id, fields(map[string]any{"interval_minutes": 25}))
		}, minutes(15, 40), []string{"register success", "schedule success"}},
		{"a changed interval counts from the change", func(s *site, w way) string {
			id := w.create(s.start(), "", fields(map[string]any{"interval_minutes": 50}))
			s.wait(15 * time.Minute)
			return w.edit(s, id, fields(map[string]any{"interval_minutes": 40}))
		}, minutes(0, 15, 55), []string{"register success", "register success", "schedule success"}},
		{"a fixed-time task waits for its time", func(s *site, w way) string {
			return w.create(s.start(), "", fields(fixed))
		}, minutes(30), []string{"schedule success"}},
		{"a task that becomes a fixed-time task waits for its time", func(s *site, w way) string {
			id := w.create(s.start(), "", fields(map[string]any{"enabled": false}))
			s.wait(15 * time.Minute)
			return w.edit(s, id, fields(fixed))
		}, minutes(30), []string{"schedule success"}},
		{"a failing call is recorded and the schedule goes on", func(s *site, w way) string {
			s.fail(errors.New("model overloaded"))
			return w.create(s.start(), "", fields(map[string]any{"interval_minutes": 50}))
		}, minutes(0, 50), []string{"register failed", "schedule failed"}},
		{"a task created before the start runs at the start", func(s *site, w way) string {
			id := w.create(s, "", fields(map[string]any{"interval_minutes": 50}))
			s.wait(15 * time.Minute)
			s.start()
			return id
		}, minutes(15, 50), []string{"register success", "schedule success"}},
	}
	for _, test := range tests {
		for _, way := range ways {
			t.Run(test.name+" by "+way.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSite(t, "")
					id := test.do(s, way)
					s.wait(59*time.Minute - time.Since(s.begin))
					assert.Equal(t, test.want, s.calls["ping"])
					assert.Equal(t, test.logs, s.statuses(id))
					s.stop()
				})
			})
		}
	}
}

func TestManyCreatedAtOnceDoNotAffectEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "").start()
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				w := s.send("POST", "/api/tasks", body(fields(map[string]any{"name": fmt.Sprint("task ", i)})))
				assert.Equal(t, http.StatusCreated, w.Code)
			})
		}
		all.Wait()
		s.wait(15 * time.Minute)
		assert.Len(t, s.calls, 100)
		for name, calls := range s.calls {
			assert.Equal(t, minutes(0, 10), calls, name)
		}
		s.stop()
	})
}

func TestTheLogNamesTheImmediateRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "").start()
		id := ways[0].create(s, "", fields(nil))
		s.wait(0)
		s.stop()
		assert.Contains(t, s.logs.String(), `msg="[IMMEDIATE] executing interval task"`)
		assert.Contains(t, s.logs.String(), "task_id="+id)
		assert.Contains(t, s.logs.String(), "task_name=ping")
	})
}

func TestAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "").start()
		id := ways[0].create(s, "", fields(nil))
		s.wait(time.Second)

		var task service.Task
		s.get("/api/tasks/"+id, &task)
		assert.Equal(t, "****7890", task.APIKey)
		assert.True(t, task.Enabled)
		assert.EqualValues(t, 10, task.IntervalMinutes)
		assert.Equal(t, "success", task.LastRun.Status)
		assert.Equal(t, "pong", task.LastRun.ResponseSummary)
		assert.JSONEq(t, `{"total_tokens":3}`, string(task.LastRun.Usage))

		// A patch keeps what it does not name, the key too; one that changes nothing calls nothing.
		w := s.send("PATCH", "/api/tasks/"+id, `{"name":"pong","interval_minutes":20}`)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		s.get("/api/tasks/"+id, &task)
		assert.Equal(t, "pong", task.Name)
		assert.Equal(t, "****7890", task.APIKey)
		assert.EqualValues(t, 20, task.IntervalMinutes)
		s.wait(0)
		before := len(s.calls["pong"])
		require.Equal(t, http.StatusOK, s.send("PATCH", "/api/tasks/"+id, `{"name":"pong"}`).Code)
		s.wait(time.Second)
		assert.Len(t, s.calls["pong"], before)

		w = s.send("POST", "/api/tasks/"+id+"/run", "")
		assert.Equal(t, http.StatusAccepted, w.Code)
		s.wait(time.Second)

		var page logPage
		s.get("/api/tasks/"+id+"/logs?limit=2", &page)
		require.Len(t, page.Logs, 2)
		assert.Equal(t, "manual", page.Logs[0].Trigger)
		require.NotEmpty(t, page.Next)
		var rest logPage
		s.get("/api/tasks/"+id+"/logs?limit=2&cursor="+page.Next, &rest)
		require.Len(t, rest.Logs, 1)
		assert.Empty(t, rest.Next)
		s.get("/api/logs", &page)
		assert.Len(t, page.Logs, 3)

		assert.Equal(t, http.StatusNoContent, s.send("DELETE", "/api/tasks/"+id, "").Code)
		assert.Equal(t, http.StatusNotFound, s.send("GET", "/api/tasks/"+id, "").Code)
		s.get("/api/logs", &page)
		assert.Empty(t, page.Logs, "the log goes with the task")
		assert.Equal(t, http.StatusOK, s.send("GET", "/healthz", "").Code)
		s.stop()
	})
}

func TestBadInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "").start()
		id := ways[0].create(s, "", fields(nil))
		tests := []struct {
			name, method, path, body string
			code                     int
			field                    string
		}{
			{"not JSON", "POST", "/api/tasks", "name=x", 400, ""},
			{"two values", "POST", "/api/tasks", "{} {}", 400, ""},
			{"unknown field", "POST", "/api/tasks", `{"nmae":"x"}`, 400, ""},
			{"wrong type", "POST", "/api/tasks", `{"name":1}`, 400, ""},
			{"too large", "POST", "/api/tasks", `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, 400, ""},
			{"bad limit", "GET", "/api/logs?limit=x", "", 400, ""},
			{"nothing", "POST", "/api/tasks", `{}`, 422, "name"},
			{"25:00", "POST", "/api/tasks", body(fields(map[string]any{"schedule_type": "fixed_time", "fixed_time": "25:00"})), 422, "fixed_time"},
			{"unknown zone", "POST", "/api/tasks", body(fields(map[string]any{"schedule_type": "fixed_time", "fixed_time": "09:00", "timezone": "Mars/X"})), 422, "timezone"},
			{"never", "POST", "/api/tasks", body(fields(map[string]any{"schedule_type": "cron", "cron": "0 0 30 2 *"})), 422, "cron"},
			{"no interval", "POST", "/api/tasks", body(fields(map[string]any{"interval_minutes": 0})), 422, "interval_minutes"},
			{"two intervals", "POST", "/api/tasks", body(fields(map[string]any{"interval_seconds": 5})), 422, "interval_seconds"},
			{"unknown schedule", "POST", "/api/tasks", body(fields(map[string]any{"schedule_type": "lunar"})), 422, "schedule_type"},
			{"bad endpoint", "POST", "/api/tasks", body(fields(map[string]any{"api_endpoint": "ftp://x"})), 422, "api_endpoint"},
			{"bad key", "POST", "/api/tasks", body(fields(map[string]any{"api_key": "a b"})), 422, "api_key"},
			{"bad patch", "PATCH", "/api/tasks/" + id, `{"model":""}`, 422, "model"},
			{"absent", "PUT", "/api/tasks/absent", body(fields(nil)), 404, ""},
			{"absent run", "POST", "/api/tasks/absent/run", "", 404, ""},
			{"absent logs", "GET", "/api/tasks/absent/logs", "", 404, ""},
			{"absent path", "GET", "/api/nothing", "", 404, ""},
		}
		for _, test := range tests {
			w := s.send(test.method, test.path, test.body)
			assert.Equal(t, test.code, w.Code, "%s: %s", test.name, w.Body)
			var answer struct {
				Error  string
				Fields map[string]string
			}
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer), test.name)
			assert.NotEmpty(t, answer.Error, test.name)
			if test.field != "" {
				assert.Contains(t, answer.Fields, test.field, test.name)
			}
		}
		var page struct{ Tasks []service.Task }
		s.get("/api/tasks", &page)
		assert.Len(t, page.Tasks, 1, "nothing was stored")
		s.stop()
	})
}

func TestAFormThatFailsShowsWhatWasTyped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "").start()
		form := url.Values{"name": {"my long thought-out task"}, "schedule_type": {"fixed_time"}, "fixed_time": {"25:00"}, "api_key": {secret}}
		w := s.send("POST", "/tasks", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
		assert.Equal(t, http.StatusUnprocessableEntity, w.Code)
		assert.Contains(t, w.Body.String(), "my long thought-out task")
		assert.Contains(t, w.Body.String(), "is not a time between")
		assert.NotContains(t, w.Body.String(), secret)
		s.stop()
		form = url.Values{}
		for k, v := range fields(map[string]any{"name": "kept"}) {
			form.Set(k, fmt.Sprint(v))
		}
		w = s.send("POST", "/tasks", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
		assert.Equal(t, http.StatusServiceUnavailable, w.Code, "the scheduler has stopped")
		assert.Contains(t, w.Body.String(), `value="kept"`)
	})
}

// forgetful is a store that cannot be read for a while.
type forgetful struct {
	*memory.Store
	blind atomic.Bool
}

func (f *forgetful) Task(ctx context.Context, id string) (punctual.Snapshot, error) {
	if f.blind.Load() {
		return punctual.Snapshot{}, punctual.ErrUnavailable
	}
	return f.Store.Task(ctx, id)
}

// Who is told that something failed does it again, so what was saved is never told as a failure.
func TestASavedTaskIsAnsweredThoughItCannotBeReadBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &forgetful{Store: memory.New()}
		s := newSiteOn(t, store, &lockedLogs{}, func(*vault.Vault) punctual.Executor { return talker() })
		store.blind.Store(true)
		w := s.send("POST", "/api/tasks", body(fields(nil)))
		require.Equal(t, http.StatusCreated, w.Code, w.Body)
		var created service.Task
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &created))
		assert.Equal(t, "/api/tasks/"+created.ID, w.Header().Get("Location"))
		assert.Equal(t, "ping", created.Name)
		store.blind.Store(false)
		s.wait(time.Second)
		assert.Equal(t, []string{"register success"}, s.statuses(created.ID))
		s.stop()
	})
}

func TestTheTokenGuardsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "the-token")
		for _, path := range []string{"/api/tasks", "/api/logs", "/api/tasks/x", "/metrics"} {
			assert.Equal(t, http.StatusUnauthorized, s.send("GET", path, "").Code, path)
			assert.Equal(t, http.StatusUnauthorized, s.send("GET", path, "", "Authorization", "Bearer wrong").Code, path)
		}
		assert.Equal(t, http.StatusOK, s.send("GET", "/api/tasks", "", "Authorization", "Bearer the-token").Code)
		w := s.send("GET", "/", "")
		assert.Equal(t, http.StatusSeeOther, w.Code)
		assert.Equal(t, "/login", w.Header().Get("Location"))
		form := "Content-Type"
		assert.Equal(t, http.StatusUnauthorized, s.send("POST", "/login", "token=wrong", form, "application/x-www-form-urlencoded").Code)
		w = s.send("POST", "/login", "token=the-token", form, "application/x-www-form-urlencoded")
		require.Equal(t, http.StatusSeeOther, w.Code)
		cookie := w.Result().Cookies()[0]
		assert.True(t, cookie.HttpOnly)
		assert.Equal(t, http.SameSiteStrictMode, cookie.SameSite)
		assert.NotContains(t, cookie.Value, "the-token")
		assert.Equal(t, http.StatusOK, s.send("GET", "/", "", "Cookie", cookie.Name+"="+cookie.Value).Code)
	})
}

func TestOtherSitesAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "")
		for _, path := range []string{"/tasks", "/api/tasks", "/tasks/x/delete", "/tasks/x/run"} {
			assert.Equal(t, http.StatusForbidden, s.send("POST", path, "", "Sec-Fetch-Site", "cross-site").Code, path)
			assert.Equal(t, http.StatusForbidden, s.send("POST", path, "", "Origin", "https://evil.example").Code, path)
		}
		r := httptest.NewRequest("GET", "/api/tasks", nil)
		r.Host = "rebound.example"
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		assert.Equal(t, http.StatusForbidden, w.Code, "a name of another site that resolves to here")
	})
}

func TestPagesEscapeAndHideKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "").start()
		id := ways[0].create(s, "", fields(map[string]any{"name": `<script>alert(1)</script>`}))
		s.wait(0)
		s.fail(errors.New(`<img src=x onerror=alert(1)>`))
		s.send("POST", "/tasks/"+id+"/run", "")
		s.wait(time.Second)
		for _, path := range []string{"/", "/tasks/new", "/tasks/" + id + "/edit", "/tasks/" + id + "/logs", "/tasks/" + id + "/delete", "/api/tasks", "/api/logs"} {
			w := s.send("GET", path, "")
			require.Equal(t, http.StatusOK, w.Code, path)
			page := w.Body.String()
			if !strings.HasPrefix(path, "/api/") {
				assert.NotContains(t, page, "<script>alert", path)
				assert.NotContains(t, page, "<img src=x", path)
				assert.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'none'")
			}
			assert.NotContains(t, page, secret, path)
			assert.NotContains(t, page, "sealed", path)
		}
		assert.Equal(t, http.StatusNotFound, s.send("GET", "/tasks/absent/edit", "").Code)
		assert.Equal(t, http.StatusSeeOther, s.send("POST", "/tasks/"+id+"/delete", "").Code)
		assert.Equal(t, http.StatusNotFound, s.send("GET", "/tasks/"+id+"/logs", "").Code)
		s.stop()
		assert.NotContains(t, s.logs.String(), secret)
	})
}
