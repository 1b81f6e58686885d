package web_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/web"
)

// everyRequest is one request of each kind that the handler knows, and what it is asked for.
func everyRequest(w *world) []struct {
	method, target string
	access         web.Access
} {
	done, busy := w.runs("works")[0].ID, ""
	for _, run := range w.runs("busy") {
		if run.State == punctual.StateRunning {
			busy = run.ID
		}
	}
	type r = struct {
		method, target string
		access         web.Access
	}
	view, viewTask, viewRun := web.Access{Action: web.ActionView}, web.Access{Action: web.ActionView, TaskID: "works"}, web.Access{Action: web.ActionView, TaskID: "works", RunID: done}
	all := []r{
		{"GET", "", view},
		{"GET", "tasks", view},
		{"GET", "timeline", view},
		{"GET", "instances", view},
		{"GET", "nothing", view},
		{"GET", "task?id=works", viewTask},
		{"GET", "run?id=" + done, viewRun},
		{"GET", "output?id=" + done, viewRun},
		{"GET", "live?view=tasks", view},
		{"GET", "live?view=task%3Fid%3Dworks", viewTask},
		{"GET", "api/openapi.json", view},
		{"GET", "api/overview", view},
		{"GET", "api/tasks", view},
		{"GET", "api/task?id=works", viewTask},
		{"GET", "api/preview?id=works&schedule=every+5m", viewTask},
		{"GET", "api/runs", view},
		{"GET", "api/runs?task=works", viewTask},
		{"GET", "api/run?id=" + done, viewRun},
		{"GET", "api/instances", view},
		{"GET", "api/health", view},
	}
	for _, a := range []web.Action{web.ActionPause, web.ActionResume, web.ActionRun, web.ActionReschedule} {
		access := web.Access{Action: a, TaskID: "works"}
		all = append(all, r{"POST", "api/task/" + string(a) + "?id=works", access}, r{"POST", "task?id=works&action=" + string(a), access})
	}
	for _, a := range []web.Action{web.ActionCancel, web.ActionRetry} {
		access := web.Access{Action: a, TaskID: "busy", RunID: busy}
		all = append(all, r{"POST", "api/run/" + string(a) + "?id=" + busy, access}, r{"POST", "run?id=" + busy + "&action=" + string(a), access})
	}
	return all
}

// build makes the request with a body that would be carried out.
func build(method, target string) *http.Request {
	if method == "GET" {
		return request(method, target, nil)
	}
	if strings.HasPrefix(target, "api/") {
		r := request(method, target, strings.NewReader(`{"schedule": "every 3h"}`))
		r.Header.Set("Content-Type", "application/json")
		return r
	}
	_, query, _ := strings.Cut(target, "?")
	r := request(method, target, strings.NewReader(query+"&schedule=every+3h&revision=1"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// unchanged fails when any of the requests has done something.
func unchanged(t *testing.T, w *world) func() {
	t.Helper()
	state := func() string {
		var b strings.Builder
		for _, id := range []string{"works", "busy"} {
			s := w.task(id)
			fmt.Fprintln(&b, s.Revision, s.Paused, s.Active, len(w.runs(id)))
		}
		return b.String()
	}
	before := state()
	return func() { t.Helper(); assert.Equal(t, before, state(), "nothing may change") }
}

func TestNobodyIsServedWithoutCredentials(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t)
		check := unchanged(t, w)
		refuse := func(*http.Request, web.Access) (string, error) {
			return "", fmt.Errorf("%w: token abc", web.ErrUnauthenticated)
		}
		for _, opts := range [][]web.Option{{}, {web.WithReadOnly()}, {web.WithOpenAccess()}} {
			w.handler = web.Handler(w.s, append(opts, web.WithAuthorizer(refuse), web.WithChallenge(`Basic realm="tasks"`))...)
			for _, c := range everyRequest(w) {
				answer := w.send(build(c.method, c.target))
				assert.Equal(t, http.StatusUnauthorized, answer.Code, "%s %s", c.method, c.target)
				assert.Equal(t, `Basic realm="tasks"`, answer.Header().Get("WWW-Authenticate"))
				assert.NotContains(t, answer.Body.String(), "works", c.target)
				assert.NotContains(t, answer.Body.String(), "abc", "the authorizer's words are not for everybody")
			}
		}
		check()
	})
}

func TestWhoIsNotAllowedIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t)
		check := unchanged(t, w)
		w.handler = web.Handler(w.s, web.WithAuthorizer(func(*http.Request, web.Access) (string, error) { return "eve", errors.New("not eve") }))
		for _, c := range everyRequest(w) {
			answer := w.send(build(c.method, c.target))
			assert.Equal(t, http.StatusForbidden, answer.Code, "%s %s", c.method, c.target)
			assert.NotContains(t, answer.Body.String(), "not eve")
		}
		check()
	})
}

func TestAuthorizerIsAskedForEachActionWithTaskAndRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t)
		check := unchanged(t, w)
		var asked []web.Access
		w.handler = web.Handler(w.s, web.WithAuthorizer(func(_ *http.Request, a web.Access) (string, error) {
			asked = append(asked, a)
			if a.Action == web.ActionView {
				return "ada", nil
			}
			return "ada", errors.New("may only look")
		}))
		for _, c := range everyRequest(w) {
			asked = nil
			r := build(c.method, c.target)
			ctx, cancel := context.WithTimeout(r.Context(), 1500*time.Millisecond)
			answer := w.send(r.WithContext(ctx))
			cancel()
			assert.Contains(t, asked, c.access, "%s %s", c.method, c.target)
			if c.method == "POST" {
				assert.Equal(t, http.StatusForbidden, answer.Code, "%s %s", c.method, c.target)
			} else {
				assert.NotEqual(t, http.StatusForbidden, answer.Code, "%s %s", c.method, c.target)
			}
		}
		check()
		page := w.page("task?id=works")
		assert.NotContains(t, page, ">Run now<", "what would be refused is not offered")
		assert.NotContains(t, page, "Save")
		assert.Contains(t, text(page), "as ada")
	})
}

func TestBrowserIsSentToTheLogin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t, web.WithLogin("/login"), web.WithAuthorizer(func(*http.Request, web.Access) (string, error) { return "", web.ErrUnauthenticated }))
		answer := w.get("tasks")
		assert.Equal(t, http.StatusSeeOther, answer.Code)
		assert.Equal(t, "/login", answer.Header().Get("Location"))
		assert.Equal(t, http.StatusUnauthorized, w.get("api/tasks").Code, "a program is told")
	})
}

func TestReadOnlyChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t, web.WithReadOnly())
		check := unchanged(t, w)
		for _, c := range everyRequest(w) {
			if c.method == "POST" {
				answer := w.send(build(c.method, c.target))
				assert.Equal(t, http.StatusForbidden, answer.Code, c.target)
				assert.Contains(t, answer.Body.String(), "read-only", c.target)
			}
		}
		check()
		assert.NotContains(t, w.page("task?id=works"), "<button name=\"action\"")
	})
}

func TestWithoutAuthorizerOnlyThisMachineIsServed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t)
		open := web.Handler(w.s, web.WithOpenAccess())
		closed := w.handler
		for _, c := range []struct {
			name, peer, host, header string
			served                   bool
		}{
			{"loopback", "127.0.0.1:4000", "localhost:8080", "", true},
			{"loopback of IPv6", "[::1]:4000", "[::1]:8080", "", true},
			{"another loopback address", "127.8.0.1:4000", "127.0.0.1", "", true},
			{"a peer in the network", "192.168.1.7:4000", "localhost", "", false},
			{"a peer without a port", "10.0.0.1", "localhost", "", false},
			{"a peer without an address", "", "localhost", "", false},
			{"a name that somebody resolves to here", "127.0.0.1:4000", "evil.example", "", false},
			{"a name that begins like localhost", "127.0.0.1:4000", "localhost.evil.example", "", false},
			{"no name", "127.0.0.1:4000", "", "", false},
			{"behind a proxy on this machine", "127.0.0.1:4000", "localhost", "X-Forwarded-For", false},
			{"behind a proxy of the new kind", "127.0.0.1:4000", "localhost", "Forwarded", false},
		} {
			for _, target := range []string{"", "tasks", "assets/app.css", "api/tasks"} {
				r := request("GET", target, nil)
				r.RemoteAddr, r.Host = c.peer, c.host
				if c.header != "" {
					r.Header.Set(c.header, "203.0.113.9")
				}
				w.handler = closed
				answer := w.send(r)
				assert.Equal(t, c.served, answer.Code == http.StatusOK, "%s: %s: %d", c.name, target, answer.Code)
				if !c.served {
					assert.Equal(t, http.StatusForbidden, answer.Code, c.name)
				}
				w.handler = open
				assert.Equal(t, http.StatusOK, w.send(r).Code, "%s: told to be open", c.name)
			}
		}
	})
}

func TestPostsFromOtherSitesAreRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t, web.WithOpenAccess())
		check := unchanged(t, w)
		for name, value := range map[string]string{
			"Sec-Fetch-Site": "cross-site", "sec-fetch-site": "same-site", "Origin": "https://evil.example", "origin": "null",
		} {
			for _, c := range everyRequest(w) {
				if c.method != "POST" {
					continue
				}
				r := build(c.method, c.target)
				r.Header.Set(name, value)
				assert.Equal(t, http.StatusForbidden, w.send(r).Code, "%s: %s %s", value, c.method, c.target)
			}
		}
		check()
		r := build("POST", "api/task/pause?id=works")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		assert.Equal(t, http.StatusOK, w.send(r).Code)
	})
}

func TestOtherMethodsAreRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t)
		check := unchanged(t, w)
		for _, method := range []string{"PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} {
			for _, c := range everyRequest(w) {
				assert.GreaterOrEqual(t, w.send(request(method, c.target, nil)).Code, 400, "%s %s", method, c.target)
			}
		}
		assert.Equal(t, http.StatusMethodNotAllowed, w.get("api/task/pause?id=works").Code, "a link changes nothing")
		check()
	})
}

func TestEachAttemptToChangeSomethingIsAudited(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log bytes.Buffer
		var told []web.AuditEvent
		w := moderate(t,
			web.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
			web.WithAudit(func(_ context.Context, e web.AuditEvent) { told = append(told, e) }),
			web.WithAuthorizer(func(r *http.Request, a web.Access) (string, error) {
				if a.Action == web.ActionPause && a.TaskID == "busy" {
					return "ada", errors.New("busy belongs to bob")
				}
				return "ada", nil
			}))
		w.get("tasks")
		require.Equal(t, http.StatusOK, w.post("api/task/pause?id=works", "").Code)
		require.Equal(t, http.StatusForbidden, w.post("api/task/pause?id=busy", "").Code)
		require.Equal(t, http.StatusNotFound, w.post("api/task/run?id=none", "").Code)
		require.Equal(t, http.StatusOK, w.post("api/task/reschedule?id=works", `{"schedule":"every 2h"}`).Code)
		require.Equal(t, http.StatusOK, w.post("api/task/run?id=works", "").Code)
		require.Len(t, told, 5, "looking is not audited")
		now := time.Now()
		assert.Equal(t, web.AuditEvent{At: now, Actor: "ada", Action: web.ActionPause, TaskID: "works", Remote: "127.0.0.1:50000"}, told[0])
		assert.ErrorContains(t, told[1].Err, "busy belongs to bob")
		assert.ErrorIs(t, told[2].Err, punctual.ErrTaskNotFound)
		assert.Equal(t, "every 2h", told[3].Detail)
		assert.Equal(t, w.runs("works")[0].ID, told[4].RunID, "the run that was made")
		assertContains(t, log.String(), `msg="dashboard action" actor=ada action=pause task_id=works`, `level=WARN msg="dashboard action" actor=ada action=pause task_id=busy`, "busy belongs to bob")
	})
}

func TestSlowBodyIsGivenUp(t *testing.T) {
	// Real sockets and real time: the deadline is the connection's. The clock says that it is long over.
	s, err := punctual.New(memoryStore(), punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) { return punctual.Result{}, nil }))
	require.NoError(t, err)
	server := httptest.NewServer(web.Handler(s, web.WithClock(longAgo())))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /task HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nid=")
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	answer := make([]byte, 64)
	n, err := conn.Read(answer)
	require.NoError(t, err, "the rest of the body is not waited for")
	assert.Contains(t, string(answer[:n]), "HTTP/1.1 400")
}

// The tests of this file ask each address; this one says that none is forgotten.
func TestEveryAddressIsAmongThoseThatAreTried(t *testing.T) {
	bubble(t, func(t *testing.T) {
		tried := map[string]bool{}
		for _, c := range everyRequest(moderate(t)) {
			path, _, _ := strings.Cut(c.target, "?")
			tried[c.method+" /"+path] = true
		}
		for _, address := range append(web.Operations(), web.Addresses()...) {
			assert.True(t, tried[address], address)
		}
	})
}
