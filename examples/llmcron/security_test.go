package main

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/executor/openai"
	"github.com/punctual-go/punctual/store/sqlite"

	"github.com/punctual-go/punctual/examples/llmcron/internal/service"
	"github.com/punctual-go/punctual/examples/llmcron/internal/vault"
	"github.com/punctual-go/punctual/examples/llmcron/internal/web"
)

// guarded is the whole server as main puts it together, dashboard and metrics included, with a task that has run.
func guarded(t *testing.T, token string) (s *site, options web.Options, taskID, runID string) {
	s = newCallingSite(t, talker())
	options = web.Options{
		Token: token, Logger: slog.New(slog.NewTextHandler(s.logs, nil)), Dashboard: web.Dashboard(s.scheduler, slog.New(slog.DiscardHandler), false),
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "punctual_runs_total 1\n") }),
	}
	taskID = ways[0].create(s, "", fields(map[string]any{"name": "guarded-task"}))
	s.wait(time.Second)
	var page logPage
	s.get("/api/logs", &page)
	require.Len(t, page.Logs, 1)
	v, err := vault.New(make([]byte, vault.KeySize))
	require.NoError(t, err)
	s.handler = web.Handler(service.New(s.scheduler, v, service.Ladder(1), time.Minute), options)
	return s, options, taskID, page.Logs[0].ID
}

// request is one call of the server.
type request struct{ method, path, body, kind string }

// everyCall is a request for each route of the server, and for each of the dashboard, with a body that would be carried out. A new route is
// in it without anybody thinking of it.
func everyCall(t *testing.T, s *site, o web.Options, taskID, runID string) []request {
	var all []request
	add := func(method, path string) {
		c := request{method: method, path: path}
		switch {
		case method == http.MethodGet || method == http.MethodDelete || strings.HasSuffix(path, "/run"):
		case strings.HasSuffix(path, "/api/import"):
			c.body = "tasks:\n- {name: b, api_endpoint: 'http://127.0.0.1:1/v1', model: m, message_content: x, schedule_type: interval, interval_minutes: 5}\n"
		case strings.HasPrefix(path, "/api/"):
			c.body, c.kind = body(fields(map[string]any{"name": "intruder"})), asJSON
		case strings.HasPrefix(path, "/punctual/api/") && !strings.Contains(path, "/reschedule"): // the others read none
		case strings.HasPrefix(path, "/punctual/api/"):
			c.body, c.kind = `{"schedule":"every 5m"}`, asJSON
		default:
			values := url.Values{"id": {taskID}, "action": {"run"}, "token": {"wrong"}}
			for k, v := range fields(map[string]any{"name": "intruder"}) {
				values.Set(k, fmt.Sprint(v))
			}
			c.body, c.kind = values.Encode(), "application/x-www-form-urlencoded"
		}
		all = append(all, c)
	}
	for _, pattern := range web.Patterns(o) {
		method, path, found := strings.Cut(pattern, " ")
		if !found {
			method, path = http.MethodGet, pattern
		}
		path = strings.TrimSuffix(path, "{$}")
		id := taskID
		if strings.Contains(path, "/logs/{id}") {
			id = runID
		}
		add(method, strings.ReplaceAll(path, "{id}", id))
	}
	add(http.MethodGet, "/nothing")
	add(http.MethodGet, "/api/nothing")
	var document struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	w := s.send("GET", "/punctual/api/openapi.json", "", "Authorization", "Bearer "+o.Token)
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &document))
	require.Greater(t, len(document.Paths), 10)
	for path, methods := range document.Paths {
		id := taskID
		if strings.HasPrefix(path, "/api/run") && path != "/api/runs" {
			id = runID
		}
		for method := range methods {
			add(strings.ToUpper(method), "/punctual"+path+"?schedule=every+5m&id="+id)
		}
	}
	for _, page := range []string{"", "tasks", "timeline", "instances", "task?id=" + taskID, "run?id=" + runID, "output?id=" + runID, "live?view=tasks"} {
		add(http.MethodGet, "/punctual/"+page)
	}
	add(http.MethodPost, "/punctual/task?id="+taskID)
	add(http.MethodPost, "/punctual/run?id="+runID)
	return all
}

// open are the addresses that answer everybody: they tell nothing of what is kept here.
var open = map[string]bool{"GET /healthz": true, "GET /language": true, "GET /login": true, "POST /login": true}

// unchanged fails when tasks or runs have changed since.
func (s *site) unchanged() func() {
	state := func() string {
		var b strings.Builder
		tasks, err := s.scheduler.Tasks(s.t.Context(), punctual.TaskQuery{})
		require.NoError(s.t, err)
		for _, task := range tasks {
			runs, err := s.scheduler.Runs(s.t.Context(), punctual.RunQuery{TaskID: task.Task.ID})
			require.NoError(s.t, err)
			fmt.Fprintln(&b, task.Task.ID, task.Task.Name, task.Revision, task.Paused, len(runs))
		}
		return b.String()
	}
	before := state()
	return func() { s.t.Helper(); assert.Equal(s.t, before, state(), "nothing may change") }
}

func TestNothingIsServedWithoutTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const token = "the-token-of-this-server"
		s, o, taskID, runID := guarded(t, token)
		calls := everyCall(t, s, o, taskID, runID)
		check := s.unchanged()
		session := s.send("POST", "/login", "token="+token, "Content-Type", "application/x-www-form-urlencoded").Result().Cookies()[0]
		for name, headers := range map[string][]string{
			"none": nil, "wrong": {"Authorization", "Bearer wrong"}, "empty": {"Authorization", "Bearer "}, "another scheme": {"Authorization", "Basic " + token},
			"the beginning": {"Authorization", "Bearer " + token[:10]}, "and more": {"Authorization", "Bearer " + token + "x"}, "bare": {"Authorization", token},
			"another session":  {"Cookie", "llmcron_session=" + base64.RawURLEncoding.EncodeToString(make([]byte, 32))},
			"token as session": {"Cookie", "llmcron_session=" + token}, "no session": {"Cookie", "llmcron_session="},
			"a wrong token beside a session": {"Authorization", "Bearer wrong", "Cookie", session.Name + "=" + session.Value},
			"token in the query":             {"X-Original-URL", "/?token=" + token},
		} {
			for _, c := range calls {
				w := s.send(c.method, c.path, c.body, append([]string{"Content-Type", c.kind}, headers...)...)
				where := fmt.Sprintf("%s: %s %s", name, c.method, c.path)
				assert.NotContains(t, w.Body.String(), "guarded-task", where)
				assert.NotContains(t, w.Body.String(), token, where)
				if path, _, _ := strings.Cut(c.path, "?"); open[c.method+" "+path] {
					assert.NotContains(t, w.Body.String(), "instance", where)
					continue
				}
				if strings.Contains(c.path, "/api/") || c.path == "/metrics" {
					assert.Equal(t, http.StatusUnauthorized, w.Code, where)
					assert.NotEmpty(t, w.Header().Get("WWW-Authenticate"), where)
				} else {
					assert.Equal(t, http.StatusSeeOther, w.Code, where)
					assert.Equal(t, "/login", w.Header().Get("Location"), where)
				}
			}
		}
		check()
		for _, headers := range [][]string{{"Authorization", "Bearer " + token}, {"Cookie", session.Name + "=" + session.Value}} {
			for _, c := range calls {
				if c.method == http.MethodGet && !strings.Contains(c.path, "nothing") && !strings.Contains(c.path, "/live") && c.path != "/api/" && !open[c.method+" "+c.path] {
					w := s.send(c.method, c.path, "", headers...)
					assert.Less(t, w.Code, 400, "%s: with the token it is there", c.path)
					assert.NotEqual(t, "/login", w.Header().Get("Location"), c.path)
				}
			}
		}
		check()
		assert.Contains(t, s.send("GET", "/healthz", "", "Authorization", "Bearer "+token).Body.String(), "instance", "who has the token is told more")
		s.stop()
	})
}

func TestPostsOfOtherSitesChangeNothingAnywhere(t *testing.T) {
	for _, token := range []string{"", "the-token"} {
		synctest.Test(t, func(t *testing.T) {
			s, o, taskID, runID := guarded(t, token)
			calls := everyCall(t, s, o, taskID, runID)
			check, posts := s.unchanged(), 0
			for _, headers := range [][]string{
				{"Sec-Fetch-Site", "cross-site"},
				{"Sec-Fetch-Site", "same-site"},
				{"Origin", "https://evil.example"},
				{"Origin", "null"},
				{"Origin", "http://127.0.0.1:8081"},
			} {
				for _, c := range calls {
					if c.method == http.MethodGet {
						continue
					}
					posts++
					w := s.send(c.method, c.path, c.body, append([]string{"Content-Type", c.kind, "Authorization", "Bearer " + token}, headers...)...)
					assert.Equal(t, http.StatusForbidden, w.Code, "%v: %s %s", headers, c.method, c.path)
				}
			}
			assert.Greater(t, posts, 60)
			check()
			// Without a token a name that resolves to here is another site as well.
			if token == "" {
				for _, c := range calls {
					for _, host := range []string{"rebound.example", "localhost.evil.example:8080", "192.168.1.7:8080", ""} {
						r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
						r.Host = host
						w := httptest.NewRecorder()
						s.handler.ServeHTTP(w, r)
						assert.Equal(t, http.StatusForbidden, w.Code, "%q: %s %s", host, c.method, c.path)
					}
				}
				check()
			}
			s.stop()
		})
	}
}

const (
	markup  = `"><img src=x onerror=alert(1)></title></script><script>alert(2)</script>{{.}}`
	escapes = "\x1b[31mred\x1b[0m\x1b]0;title\x07"
	bidi    = "invoice\u202Egpj.exe"
)

func TestHostileNamesAndAnswersAreOnlyText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		large := strings.Repeat("<b>0123456789", 1<<20/13)
		m := &model{answer: func(n int, r openai.Request) (punctual.Result, error) {
			switch r.Model {
			case "large":
				return used(large+fmt.Sprint(n), 1, 1), nil
			case "fails":
				return punctual.Result{}, punctual.Permanent(fmt.Errorf("%s", markup+escapes+bidi+"\xff"))
			}
			return used(markup+escapes+bidi+"\xff\xfe\n"+fmt.Sprint(n), 1, 1), nil
		}}
		s := newCallingSite(t, m)
		s.handler = web.Handler(s.service, web.Options{Logger: slog.New(slog.NewTextHandler(s.logs, nil)), Dashboard: web.Dashboard(s.scheduler, slog.New(slog.DiscardHandler), false)})
		paths := []string{"/", "/tasks/new", "/import", "/punctual/", "/punctual/tasks", "/absent/" + url.PathEscape(markup)}
		for _, kind := range []string{"answers", "large", "fails"} {
			name := markup + bidi
			if kind == "large" {
				name = strings.Repeat("<", 200)
			}
			id := ways[0].create(s, "", fields(map[string]any{"name": name, "model": kind, "message_content": markup + bidi, "system_prompt": "</textarea>" + markup}))
			s.wait(time.Second)
			s.send("POST", "/tasks/"+id+"/run", "")
			s.wait(time.Second)
			var page logPage
			s.get("/api/tasks/"+id+"/logs", &page)
			require.Len(t, page.Logs, 2)
			paths = append(paths, "/tasks/"+id+"/edit", "/tasks/"+id+"/logs", "/tasks/"+id+"/delete", "/logs/"+page.Logs[0].ID, "/punctual/run?id="+page.Logs[0].ID)
			var d service.Diff
			s.get("/api/logs/"+page.Logs[0].ID+"/diff", &d)
		}
		// Fields of forms hold what is sent back, as it is.
		fieldsOf := regexp.MustCompile(`(?s)\svalue="[^"]*"|<textarea[^>]*>.*?</textarea>`)
		for _, path := range paths {
			for _, language := range []string{"en", "zh"} {
				w := s.send("GET", path, "", "Accept-Language", language)
				page := w.Body.String()
				head, _, _ := strings.Cut(page, "</head>")
				assert.Equal(t, 1, strings.Count(head, "</title>"), path)
				for _, evil := range []string{"<img", "<script>", "<b>", "\x1b", "\x07", "\u202E"} {
					assert.NotContains(t, fieldsOf.ReplaceAllString(page, ""), evil, path)
				}
				assert.NotContains(t, page, "<script>alert", path)
				assert.True(t, utf8.ValidString(page), path)
				assert.Less(t, len(page), 1_000_000, path)
				assert.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'none'", path)
				assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"), path)
			}
		}
		for _, path := range []string{"/api/tasks", "/api/logs", "/api/export"} {
			w := s.send("GET", path, "")
			assert.True(t, utf8.ValidString(w.Body.String()), path)
			assert.NotContains(t, w.Body.String(), "\x1b", path)
			assert.Less(t, w.Body.Len(), 100_000, path)
		}
		// What comes back from a file is what went out.
		file := s.send("GET", "/api/export", "").Body.String()
		assert.Contains(t, s.send("POST", "/api/import", file).Body.String(), `"created":[],"changed":[]`)
		assert.NotContains(t, s.logs.String(), "\x1b", "nothing reaches the terminal of who reads the log")
		s.stop()
	})
}

func TestPathsLeadNowhereElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, taskID, _ := guarded(t, "")
		check := s.unchanged()
		long := strings.Repeat("x", 20_000)
		for _, path := range []string{
			"/static/../templates/list.html", "/static/..%2ftemplates/list.html", "/static/%2e%2e/templates/list.html", "/static/..%5ctemplates", "/static/app.js%00", "/static//app.js",
			"/templates/list.html", "//evil.example/", "//evil.example/%2e%2e", "/%5cevil.example", "/tasks/..%2f..%2fetc%2fpasswd/edit", "/tasks/%00/edit", "/tasks/%ff/edit", "/tasks/" + long + "/edit",
			"/tasks/" + long + "/logs", "/logs/" + long, "/logs/%2e%2e", "/api/tasks/" + long, "/api/tasks/%00", "/api/tasks/..%2f" + taskID, "/api/tasks/" + taskID + "%00", "/api/tasks/" + taskID + "%2flogs",
			"/api/logs/" + long + "/diff", "/api/logs/%ff/diff", "/api/tasks/" + taskID + "/", "/api//tasks", "/punctual/../api/nothing", "/punctual/..%2fapi%2ftasks", "/punctual/assets/..%2fopenapi.json",
			"/punctual//evil.example", "/.git/config", "/llmcron.db", "/llmcron.db.key",
		} {
			for _, method := range []string{"GET", "POST", "DELETE"} {
				r := httptest.NewRequest(method, "/", nil)
				r.Host = "127.0.0.1:8080"
				plain, err := url.PathUnescape(path)
				require.NoError(t, err)
				r.URL.Path, r.URL.RawPath, r.RequestURI = plain, path, path
				w := httptest.NewRecorder()
				s.handler.ServeHTTP(w, r)
				assert.NotEqual(t, http.StatusOK, w.Code, "%s %.80s", method, path)
				assert.Less(t, w.Code, 500, "%s %.80s", method, path)
				location := w.Header().Get("Location")
				assert.False(t, strings.HasPrefix(location, "//") || strings.Contains(location, `\`) || strings.Contains(location, "://"), "%.80s leads to %s", path, location)
			}
		}
		for _, query := range []string{"cursor=%00", "cursor=" + long, "cursor=%ff", "limit=99999999999999999999", "limit=-1", "cursor=..%2f"} {
			for _, path := range []string{"/api/tasks", "/api/logs", "/api/tasks/" + taskID + "/logs"} {
				assert.Less(t, s.send("GET", path+"?"+query, "").Code, 500, "%s?%.40s", path, query)
			}
		}
		// A file cannot bring an id that is another address.
		for _, id := range []string{"a/b", "..", ".", "x/../" + taskID, "a?b", "a#b", "a b", "%2e", `a\b`, "ä", strings.Repeat("x", 300)} {
			encoded, err := json.Marshal(id)
			require.NoError(t, err)
			w := s.send("POST", "/api/import", "tasks:\n- {id: "+string(encoded)+", name: a, api_endpoint: 'http://127.0.0.1:1/v1', model: m, message_content: x, schedule_type: interval, interval_minutes: 5}\n")
			assert.Equal(t, http.StatusUnprocessableEntity, w.Code, id)
			assert.Contains(t, w.Body.String(), "tasks[0].id", id)
		}
		check()
		s.stop()
	})
}

// TestSlowAndOversizedRequestsAreGivenUp is about real connections, since their deadlines are those of the machine.
func TestSlowAndOversizedRequestsAreGivenUp(t *testing.T) {
	assert.Equal(t, patienceWith{headers: 10 * time.Second, request: time.Minute, idle: 2 * time.Minute}, defaultPatience)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	for _, c := range []struct {
		name, send string
		p          patienceWith
		want       string // of the answer; empty for none before the end
	}{
		{"slow headers", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", patienceWith{100 * time.Millisecond, time.Hour, time.Hour}, ""},
		{"no request at all", "", patienceWith{100 * time.Millisecond, time.Hour, time.Hour}, ""},
		{"a slow body", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx", patienceWith{time.Hour, 100 * time.Millisecond, time.Hour}, ""},
		{"a slow body in pieces", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", patienceWith{time.Hour, 100 * time.Millisecond, time.Hour}, ""},
		{"an idle connection", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", patienceWith{time.Hour, time.Hour, 100 * time.Millisecond}, "HTTP/1.1 200"},
		{"oversized headers", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Large: " + strings.Repeat("x", maxHeaders+8<<10) + "\r\n\r\n", patienceWith{time.Hour, time.Hour, time.Hour}, "HTTP/1.1 431"},
		{"an oversized address", "GET /" + strings.Repeat("x", maxHeaders+8<<10) + " HTTP/1.1\r\nHost: localhost\r\n\r\n", patienceWith{time.Hour, time.Hour, time.Hour}, "HTTP/1.1 431"},
	} {
		t.Run(c.name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			server := newServer(handler, c.p, slog.New(slog.DiscardHandler))
			served := make(chan error, 1)
			go func() { served <- server.Serve(listener) }()
			defer func() { _ = server.Close(); <-served }()
			conn, err := net.Dial("tcp", listener.Addr().String())
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
			_, _ = io.WriteString(conn, c.send) // the server may end it before all is sent
			answer, err := io.ReadAll(bufio.NewReader(conn))
			var slow net.Error
			if assert.False(t, err != nil && errors.As(err, &slow) && slow.Timeout(), "the connection is not ended") && c.want != "" {
				assert.True(t, strings.HasPrefix(string(answer), c.want), "%.40s", answer)
			}
		})
	}
}

func TestOversizedBodiesAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, o, taskID, runID := guarded(t, "")
		check := s.unchanged()
		huge := strings.Repeat("x", 2<<20)
		for _, c := range everyCall(t, s, o, taskID, runID) {
			if c.body == "" || c.path == "/login" || strings.HasSuffix(c.path, "/delete") {
				continue // without a body, or with one that nobody reads
			}
			text := c.body[:len(c.body)-1] + huge
			switch c.kind {
			case asJSON:
				text = `{"name":"` + huge + `"}`
			case "":
				text = "#" + huge + "\n" + c.body
			}
			w := s.send(c.method, c.path, text, "Content-Type", c.kind)
			assert.GreaterOrEqual(t, w.Code, 400, "%s %s", c.method, c.path)
			assert.Less(t, w.Code, 500, "%s %s", c.method, c.path)
		}
		check()
		s.stop()
	})
}

// TestKeysAreNowhere: whatever an endpoint makes of a key, neither a page nor the API, the log or the files of the database hold it, in any
// writing that it could be read from.
func TestKeysAreNowhere(t *testing.T) {
	const key = `sk-"Zq7\w<T4>&Rb9+Lm2/Xc5=Hd8JkYvN3pGt6`
	dir := t.TempDir()
	var logs lockedLogs
	synctest.Test(t, func(t *testing.T) {
		store, err := sqlite.Open(t.Context(), filepath.Join(dir, "llmcron.db"))
		require.NoError(t, err)
		defer func() { require.NoError(t, store.Close()) }()
		quoted, err := json.Marshal(key)
		require.NoError(t, err)
		echoes := map[string]string{
			"plain": key, "escaped": url.QueryEscape(key), "json": string(quoted), "base64": base64.StdEncoding.EncodeToString([]byte(key)),
			"header": "Bearer " + key, "header64": base64.StdEncoding.EncodeToString([]byte("Bearer " + key)), "hex": hex.EncodeToString([]byte(key)),
			"masked": key[:8] + "****" + key[len(key)-4:], "torn": key[:12] + "\u200B" + key[12:],
		}
		s := newSiteOn(t, store, &logs, func(v *vault.Vault) punctual.Executor {
			return openai.New(openai.WithKeys(service.Keys(v)), openai.WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				assert.Equal(t, "Bearer "+key, r.Header.Get("Authorization"), "who shall have it has it")
				var asked struct{ Model string }
				assert.NoError(t, json.NewDecoder(r.Body).Decode(&asked))
				how, form, _ := strings.Cut(asked.Model, "-")
				text, err := json.Marshal(echoes[form])
				assert.NoError(t, err)
				switch how {
				case "error":
					return replies(401, asJSON, `{"error":{"message":`+string(text)+`,"code":`+string(text)+`}}`), nil
				case "page":
					return replies(500, "text/html", "<title>"+echoes[form]+"</title>"), nil
				case "raw":
					return replies(200, asJSON, `{"seen":`+string(text)+`}`), nil
				case "inside":
					return replies(200, asJSON, `{"id":`+string(text)+`,"model":`+string(text)+`,"error":{"message":`+string(text)+`}}`), nil
				case "fails":
					return nil, fmt.Errorf("proxy said %s", echoes[form])
				}
				return replies(200, asJSON, `{"id":`+string(text)+`,"model":`+string(text)+`,"choices":[{"message":{"content":`+string(text)+`},"finish_reason":`+string(text)+`}]}`), nil
			})}))
		})
		var paths []string
		for form := range echoes {
			for _, how := range []string{"error", "page", "raw", "inside", "fails", "answer"} {
				if how == "answer" && (form == "masked" || form == "torn") {
					continue // only the whole key is taken out of what a model says
				}
				if how != "answer" && how != "error" && form != "plain" && form != "json" {
					continue // the way is the same, and the test would be slow
				}
				id := ways[0].create(s, "", fields(map[string]any{"name": how + " " + form, "api_key": key, "model": how + "-" + form, "interval_minutes": 60}))
				paths = append(paths, "/tasks/"+id+"/edit", "/tasks/"+id+"/logs", "/tasks/"+id+"/delete", "/api/tasks/"+id, "/punctual/task?id="+id, "/punctual/api/task?id="+id)
			}
		}
		s.wait(10 * time.Second)
		// Keys come in by forms that fail, too, and in fields that are not theirs.
		for _, change := range []map[string]any{{"model": ""}, {"api_endpoint": "https://x:" + key + "@host/v1"}, {"api_endpoint": "https://host/v1?key=" + url.QueryEscape(key)}} {
			f := fields(change)
			f["api_key"] = key
			w := s.send("POST", "/api/tasks", body(f))
			assert.Equal(t, http.StatusUnprocessableEntity, w.Code)
			assertNowhere(t, key, w.Body.String(), "a refused task")
		}
		var page logPage
		s.get("/api/logs?limit=500", &page)
		require.Greater(t, len(page.Logs), 20)
		for _, entry := range page.Logs {
			paths = append(paths, "/logs/"+entry.ID, "/api/logs/"+entry.ID+"/diff", "/punctual/run?id="+entry.ID, "/punctual/api/run?id="+entry.ID, "/punctual/output?id="+entry.ID)
		}
		paths = append(paths, "/", "/import", "/api/tasks", "/api/logs", "/api/export", "/healthz", "/punctual/", "/punctual/tasks", "/punctual/timeline", "/punctual/api/overview", "/punctual/api/runs")
		for _, path := range paths {
			w := s.send("GET", path, "")
			require.Equal(t, http.StatusOK, w.Code, path)
			assertNowhere(t, key, w.Body.String()+fmt.Sprint(w.Header()), path)
		}
		runs, err := s.scheduler.Runs(t.Context(), punctual.RunQuery{Limit: punctual.MaxLimit})
		require.NoError(t, err)
		for _, run := range runs {
			assertNowhere(t, key, fmt.Sprintf("%+v", run)+string(run.Payload)+string(run.Result.Facts), "a row of the ledger")
		}
		// The files while the store is open, with what is not yet in the main file.
		assertNoFileHolds(t, key, dir, "llmcron.db", "llmcron.db-wal", "llmcron.db-shm")
		s.stop()
	})
	assertNoFileHolds(t, key, dir, "llmcron.db")
	assertNowhere(t, key, logs.String(), "the log")
}

func assertNoFileHolds(t *testing.T, key, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err, "the test has to see each file")
		assertNowhere(t, key, string(content), name)
	}
}

// assertNowhere fails when a text holds the key or a good part of it in plain, in base64 at any place, in hexadecimal or escaped.
func assertNowhere(t *testing.T, key, text, where string) {
	t.Helper()
	// What can be read from the text after it is unescaped, and the text itself.
	readings := map[string]string{"plain": text, "unescaped": strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\u003c`, "<", `\u003e`, ">", `\u0026`, "&",
		"&lt;", "<", "&gt;", ">", "&amp;", "&", "&#34;", `"`, "&#43;", "+", "\u200B", "").Replace(text)}
	for writing, reading := range readings {
		for i := 0; i+10 <= len(key); i++ {
			if strings.Contains(reading, key[i:i+10]) {
				assert.Fail(t, "the key is there", "%s, %s", where, writing)
				return
			}
		}
	}
	lower := strings.ToLower(text)
	for i := 0; i+10 <= len(key); i++ {
		part := []byte(key[i : i+10])
		for writing, form := range map[string]string{
			"hexadecimal": hex.EncodeToString(part), "base64": strings.TrimRight(base64.StdEncoding.EncodeToString(part[:9]), "="),
			"base64 for addresses": base64.RawURLEncoding.EncodeToString(part[:9]), "percent": strings.ToLower(url.QueryEscape(string(part))),
		} {
			in := text
			if writing == "hexadecimal" || writing == "percent" {
				in = lower
			}
			if strings.Contains(in, form) {
				assert.Fail(t, "the key is there", "%s, %s: %s", where, writing, form)
				return
			}
		}
	}
}
