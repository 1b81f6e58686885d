package web_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
	"github.com/punctual-go/punctual/web"
)

func memoryStore() punctual.Store { return memory.New() }

// longAgo is a clock that stands in 1970.
func longAgo() clock.Clock { return clock.NewMock() }

const (
	markup  = `"><img src=x onerror=alert(1)></title></script><script>alert(2)</script>{{.}}`
	bidi    = "invoice\u202Egpj.exe"
	escapes = "\x1b[31mred\x1b[0m\x1b]0;title\x07"
)

func TestHostileNamesAndOutputsAreOnlyText(t *testing.T) {
	bubble(t, func(t *testing.T) {
		large := strings.Repeat("<b>0123456789", 1<<20/13)
		w := newWorld(t, func(_ context.Context, run punctual.Run) (punctual.Result, error) {
			if run.TaskID == "large" {
				return punctual.Result{Output: large}, nil
			}
			return punctual.Result{Output: markup + escapes + "\xff\xfe" + bidi, Facts: json.RawMessage(`{"a":"</script><script>"}`)}, errTextOf(markup + escapes + bidi)
		}, web.WithTitle(markup), web.WithAuthorizer(func(*http.Request, web.Access) (string, error) { return markup, nil }))
		ids := []string{markup, bidi, "../../etc/passwd", "a/b", "..", ".", "%2e%2e%2f", "a?b#c&d=e", "ä\u0301 日本", "large"}
		for _, id := range ids {
			w.add(punctual.Task{
				ID: id, Name: id, Kind: markup, Schedule: punctual.Every(time.Hour), Labels: map[string]string{markup: markup, "bidi": bidi},
				Payload: json.RawMessage(`{"html":"</script><script>alert(3)</script>"}`),
			})
		}
		synctest.Wait()
		pages := []string{"", "tasks", "timeline", "timeline?by=instance", "tasks?q=" + url.QueryEscape(markup), "tasks?label=" + url.QueryEscape(markup+"=x"), "tasks?state=" + url.QueryEscape(markup), "nothing?" + url.QueryEscape(markup)}
		for _, id := range ids {
			pages = append(pages, "task?id="+url.QueryEscape(id), "task?id="+url.QueryEscape(id)+"&schedule="+url.QueryEscape(markup), "run?id="+w.runs(id)[0].ID)
			answer := w.get("task?id=" + url.QueryEscape(id))
			assert.Equal(t, http.StatusOK, answer.Code, id)
		}
		for _, path := range pages {
			page := w.get(path).Body.String()
			head, _, _ := strings.Cut(page, "</head>")
			shown := regexp.MustCompile(`\svalue="[^"]*"`).ReplaceAllString(page, "") // fields hold what is sent back
			for _, evil := range []string{"<img", "<script>", "\x1b", "\u202E"} {
				assert.False(t, strings.Contains(shown, evil), "%s: %q", path, evil)
			}
			assert.True(t, utf8.ValidString(page), path)
			assert.Less(t, len(page), 600_000, path)
			assert.Equal(t, 1, strings.Count(head, "</title>"), path)
		}
	})
}

type errTextOf string

func (e errTextOf) Error() string { return string(e) }

func TestLargeOutputIsADownload(t *testing.T) {
	bubble(t, func(t *testing.T) {
		output := strings.Repeat("0123456789abcde\n", 1<<16)
		s, err := punctual.New(memory.New(), punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
			return punctual.Result{Output: output}, nil
		}), punctual.WithOutputLimit(2<<20))
		require.NoError(t, err)
		require.NoError(t, s.Start(t.Context()))
		defer s.Close()
		w := &world{t: t, s: s, handler: web.Handler(s)}
		w.add(punctual.Task{ID: "large", Schedule: punctual.Every(time.Hour)})
		synctest.Wait()
		time.Sleep(time.Second)
		id := w.runs("large")[0].ID
		page := w.page("run?id=" + id)
		assert.Less(t, len(page), 100_000)
		assert.Contains(t, page, "Only the beginning is shown")
		answer := w.get("output?id=" + id)
		assert.Equal(t, output, answer.Body.String())
		assert.Equal(t, "text/plain; charset=utf-8", answer.Header().Get("Content-Type"))
		assert.Contains(t, answer.Header().Get("Content-Disposition"), "attachment")
		assert.Contains(t, answer.Header().Get("Content-Security-Policy"), "sandbox")
		assert.Less(t, len(w.page("task?id=large")), 100_000, "lists show the beginning")
	})
}

func TestPathsLeadNowhereElse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t)
		for _, path := range []string{
			"assets/../openapi.json", "assets/..%2fopenapi.json", "assets/..%2f..%2fgo.mod", "assets/%2e%2e/templates/layout.html", "assets/..%5copenapi.json",
			"assets/", "assets//app.css", "assets/app.css/", "assets/app.css%00", "templates/layout.html", "openapi.json", "api/../../task", "//evil.example/", "/evil.example",
			"api", "api/", "task/pause", ".git/config", "tasks%00",
		} {
			r := request("GET", "", nil)
			u, err := url.Parse("http://localhost/")
			require.NoError(t, err)
			u.Path, _ = url.PathUnescape("/" + path)
			u.RawPath = "/" + path
			r.URL, r.RequestURI = u, "/"+path
			answer := w.send(r)
			assert.NotEqual(t, http.StatusOK, answer.Code, path)
			location := answer.Header().Get("Location")
			assert.False(t, strings.HasPrefix(location, "//") || strings.Contains(location, "://"), "%s leads to %s", path, location)
		}
	})
}

func TestOversizedRequestsAreRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := moderate(t)
		check := unchanged(t, w)
		huge := strings.Repeat("x", 1<<20)
		assert.Equal(t, http.StatusRequestEntityTooLarge, w.form("task", "id", "works", "action", "reschedule", "schedule", huge).Code)
		assert.Equal(t, http.StatusRequestEntityTooLarge, w.post("api/task/reschedule?id=works", `{"schedule": "`+huge+`"}`).Code)
		assert.Equal(t, http.StatusUnprocessableEntity, w.post("api/task/reschedule?id=works", `{"schedule": "every `+huge[:5000]+`"}`).Code)
		assert.Equal(t, http.StatusUnprocessableEntity, w.get("api/preview?schedule="+huge[:5000]).Code)
		assert.Equal(t, http.StatusNotFound, w.get("task?id="+huge[:100_000]).Code)
		for _, body := range []string{"", "null x", "[]", `{"schedule": 7}`, `{"schedule": "every 5m"} {}`, `{"scheduel": "every 5m"}`, "\xff", strings.Repeat("[", 60_000)} {
			assert.Equal(t, http.StatusBadRequest, w.post("api/task/reschedule?id=works", body).Code, body[:min(len(body), 30)])
		}
		r := request("POST", "api/task/reschedule?id=works", strings.NewReader(`{"schedule": "every 5m"}`))
		r.Header.Set("Content-Type", "text/plain")
		assert.Equal(t, http.StatusBadRequest, w.send(r).Code, "what a form of another site could send")
		r = request("POST", "task", strings.NewReader("id=works&action=pause"))
		r.Header.Set("Content-Type", "text/plain")
		assert.Equal(t, http.StatusUnsupportedMediaType, w.send(r).Code)
		check()
	})
}
