package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
	"github.com/punctual-go/punctual/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a scheduler and a handler over it, mostly inside a synctest bubble, where the real clock is a fake one.
type world struct {
	t       *testing.T
	s       *punctual.Scheduler
	handler http.Handler
	header  http.Header // added to each request
}

func newWorld(t *testing.T, work punctual.ExecutorFunc, opts ...web.Option) *world {
	t.Helper()
	if work == nil {
		work = func(context.Context, punctual.Run) (punctual.Result, error) {
			return punctual.Result{Output: "done"}, nil
		}
	}
	s, err := punctual.New(memory.New(), work, punctual.WithInstance("ada"))
	require.NoError(t, err)
	require.NoError(t, s.Start(t.Context()))
	synctest.Wait() // it has its lease, and so is healthy
	t.Cleanup(func() { _ = s.Close() })
	return &world{t: t, s: s, handler: web.Handler(s, opts...), header: http.Header{}}
}

func (w *world) add(task punctual.Task) {
	w.t.Helper()
	require.NoError(w.t, w.s.Add(w.t.Context(), task))
}

func (w *world) send(r *http.Request) *httptest.ResponseRecorder {
	w.t.Helper()
	if r.RemoteAddr == "192.0.2.1:1234" { // what httptest makes up
		r.RemoteAddr = "127.0.0.1:50000"
	}
	for name, values := range w.header {
		r.Header[name] = values
	}
	answer := httptest.NewRecorder()
	w.handler.ServeHTTP(answer, r)
	return answer
}

func request(method, target string, body io.Reader) *http.Request {
	r := httptest.NewRequest(method, "/"+target, body)
	r.Host = "localhost:8080"
	return r
}

func (w *world) get(target string) *httptest.ResponseRecorder {
	w.t.Helper()
	return w.send(request("GET", target, nil))
}

// page returns the text of a page that must be there.
func (w *world) page(target string) string {
	w.t.Helper()
	answer := w.get(target)
	require.Equal(w.t, http.StatusOK, answer.Code, "%s: %s", target, answer.Body)
	return answer.Body.String()
}

// json decodes an answer of the API that must be good.
func (w *world) json(target string, into any) {
	w.t.Helper()
	require.NoError(w.t, json.Unmarshal([]byte(w.page(target)), into), target)
}

func (w *world) form(target string, pairs ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	r := request("POST", target, strings.NewReader(v.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return w.send(r)
}

func (w *world) post(target, body string) *httptest.ResponseRecorder {
	w.t.Helper()
	r := request("POST", target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return w.send(r)
}

func (w *world) runs(id string) []punctual.Run {
	w.t.Helper()
	runs, err := w.s.Runs(w.t.Context(), punctual.RunQuery{TaskID: id})
	require.NoError(w.t, err)
	return runs
}

func (w *world) task(id string) punctual.Snapshot {
	w.t.Helper()
	s, err := w.s.Task(w.t.Context(), id)
	require.NoError(w.t, err)
	return s
}

// text is a page without markup.
func text(page string) string {
	page = regexp.MustCompile(`(?s)<title>.*?</title>|<[^>]*>`).ReplaceAllString(page, " ")
	return strings.Join(strings.Fields(page), " ")
}

var errBoom = errors.New("boom")

// moderate is a world with one of everything: a task that succeeds, one that fails, one that is busy, one that is paused.
func moderate(t *testing.T, opts ...web.Option) *world {
	t.Helper()
	w := newWorld(t, func(ctx context.Context, run punctual.Run) (punctual.Result, error) {
		switch run.TaskID {
		case "fails":
			return punctual.Result{Output: "before the end"}, errBoom
		case "busy":
			<-ctx.Done()
			return punctual.Result{}, ctx.Err()
		case "panics":
			panic("at the disco")
		}
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
			return punctual.Result{}, ctx.Err()
		}
		return punctual.Result{Output: "42 articles", Facts: json.RawMessage(`{"tokens":7}`)}, nil
	}, opts...)
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	w.add(punctual.Task{ID: "works", Name: "It works", Kind: "http", Schedule: punctual.Every(time.Hour), Payload: json.RawMessage(`{"url":"example"}`), Labels: map[string]string{"team": "news"}})
	w.add(punctual.Task{ID: "fails", Schedule: punctual.Every(time.Hour), Retry: punctual.Retry{MaxAttempts: 2}, Labels: map[string]string{"team": "ops"}})
	w.add(punctual.Task{ID: "busy", Schedule: punctual.Every(time.Hour)})
	w.add(punctual.Task{ID: "panics", Schedule: punctual.Every(24 * time.Hour)})
	w.add(punctual.Task{ID: "noon", Name: "Lunch", Schedule: punctual.Daily("12:00", berlin)})
	w.add(punctual.Task{ID: "rests", Schedule: punctual.Daily("12:00", time.UTC)})
	require.NoError(t, w.s.Pause(t.Context(), "rests"))
	time.Sleep(3*time.Hour + time.Minute)
	synctest.Wait()
	return w
}

// lonely is a world in which a task has been due for minutes whose kind no instance handles.
func lonely(t *testing.T) *world {
	t.Helper()
	mux := new(punctual.Mux)
	for _, kind := range []string{"mail", ""} {
		mux.HandleFunc(kind, func(context.Context, punctual.Run) (punctual.Result, error) { return punctual.Result{}, nil })
	}
	store := memory.New()
	for name, kinds := range map[string][]string{"drains": {}, "stranger": {"<b>"}} {
		_, err := store.Beat(t.Context(), punctual.BeatRequest{Session: name, Instance: name, Lease: time.Hour, Kinds: kinds})
		require.NoError(t, err)
	}
	s, err := punctual.New(store, mux, punctual.WithInstance("alone"))
	require.NoError(t, err)
	require.NoError(t, s.Start(t.Context()))
	t.Cleanup(func() { _ = s.Close() })
	require.NoError(t, s.Add(t.Context(), punctual.Task{ID: "report", Kind: "report", Schedule: punctual.Every(time.Hour)}))
	time.Sleep(2 * time.Minute)
	synctest.Wait()
	return &world{t: t, s: s, handler: web.Handler(s), header: http.Header{}}
}

func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func assertContains(t *testing.T, page string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		assert.Contains(t, page, part)
	}
}
