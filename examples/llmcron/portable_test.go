package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/executor/openai"

	"github.com/punctual-go/punctual/examples/llmcron/internal/service"
)

func talker() *model {
	return &model{answer: func(n int, _ openai.Request) (punctual.Result, error) {
		return used(fmt.Sprintf("Weather\nday %d\nno wind", (n+1)/2), 1, 1), nil
	}}
}

func TestTasksGoOutAndInAsYAML(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCallingSite(t, talker())
		first := ways[0].create(s, "", fields(map[string]any{"api": "responses", "daily_tokens": 500, "temperature": 0, "message_content": "two\nlines: {{.Now}}"}))
		ways[0].create(s, "", fields(map[string]any{"name": "nine", "schedule_type": "fixed_time", "fixed_time": "09:00", "interval_minutes": nil, "enabled": false}))
		s.wait(time.Second)
		w := s.send("GET", "/api/export", "")
		require.Equal(t, http.StatusOK, w.Code)
		file := w.Body.String()
		assert.NotContains(t, file, "7890", "no key, not even its end")
		assert.NotContains(t, file, "sealed")
		assert.Contains(t, file, "daily_tokens: 500")
		assert.Contains(t, file, "api: responses")

		w = s.send("POST", "/api/import", file)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		assert.Contains(t, w.Body.String(), `"created":[],"changed":[],"unchanged":["`, "the same file changes nothing")
		s.wait(time.Second)
		assert.Equal(t, []string{"register success"}, s.statuses(first), "and calls nothing")

		w = s.send("POST", "/api/import", strings.ReplaceAll(file, "name: ping", "name: pong"))
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		assert.Contains(t, w.Body.String(), `"changed":["`+first+`"]`)
		var task service.Task
		s.get("/api/tasks/"+first, &task)
		assert.Equal(t, "pong", task.Name)
		assert.Equal(t, "****7890", task.APIKey, "an import keeps the key")

		other := newCallingSite(t, talker())
		w = other.send("POST", "/api/import", file)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		assert.Equal(t, file, other.send("GET", "/api/export", "").Body.String(), "a new server has the same tasks")
		other.wait(time.Second)
		assert.Equal(t, []string{"register success"}, other.statuses(first))
		s.stop()
		other.stop()
	})
}

func TestAFileThatIsWrongChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCallingSite(t, talker())
		good := "tasks:\n- {name: a, api_endpoint: 'http://127.0.0.1:1/v1', model: m, message_content: x, schedule_type: interval, interval_minutes: 5}\n"
		for file, want := range map[string]struct {
			code int
			text string
		}{
			"":                                  {400, "YAML"},
			"tasks: []":                         {400, "0 tasks"},
			"tasks: {{{":                        {400, "YAML"},
			good + "---\n" + good:               {400, "more than one document"},
			"tasks:\n- {nmae: a}":               {400, "nmae"},
			"tasks:\n- {max_tokens: sk-secret}": {400, "wrong type"},
			good + "- {name: b}":                {422, "tasks[1].model"},
			good + strings.Replace(strings.TrimPrefix(good, "tasks:\n"), "name: a", "id: \"x\\u0001\", name: b", 1): {422, "tasks[1]"},
			strings.Repeat("#", 1<<20) + "\n": {400, "1 MiB"},
		} {
			w := s.send("POST", "/api/import", file)
			assert.Equal(t, want.code, w.Code, "%.60q: %s", file, w.Body)
			assert.Contains(t, w.Body.String(), want.text)
			assert.NotContains(t, w.Body.String(), "sk-secret")
		}
		var page struct{ Tasks []service.Task }
		s.get("/api/tasks", &page)
		assert.Empty(t, page.Tasks)
		form := "Content-Type"
		w := s.send("POST", "/import", url.Values{"file": {good + "- {name: b}"}}.Encode(), form, "application/x-www-form-urlencoded")
		assert.Equal(t, 422, w.Code)
		assert.Contains(t, w.Body.String(), "name: a", "what was pasted is shown again")
		w = s.send("POST", "/import", url.Values{"file": {good}}.Encode(), form, "application/x-www-form-urlencoded")
		assert.Equal(t, 200, w.Code)
		assert.Contains(t, w.Body.String(), "Created: 1.")
		s.wait(time.Second)
		s.stop()
	})
}

func TestAnAnswerIsComparedWithTheSuccessBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCallingSite(t, talker())
		id := ways[0].create(s, "", fields(nil))
		s.wait(25 * time.Minute)
		var page logPage
		s.get("/api/tasks/"+id+"/logs", &page)
		require.Len(t, page.Logs, 3)
		var d service.Diff
		s.get("/api/logs/"+page.Logs[2].ID+"/diff", &d)
		assert.Empty(t, d.BeforeID)
		assert.Len(t, d.Lines, 3)
		s.get("/api/logs/"+page.Logs[1].ID+"/diff", &d)
		assert.False(t, d.Changed, "the second says the same")
		s.get("/api/logs/"+page.Logs[0].ID+"/diff", &d)
		assert.True(t, d.Changed)
		assert.Equal(t, page.Logs[1].ID, d.BeforeID)
		assert.Equal(t, []service.Line{{Op: "=", Text: "Weather"}, {Op: "-", Text: "day 1"}, {Op: "+", Text: "day 2"}, {Op: "=", Text: "no wind"}}, d.Lines)

		w := s.send("GET", "/logs/"+page.Logs[0].ID, "")
		require.Equal(t, http.StatusOK, w.Code)
		assert.Contains(t, w.Body.String(), "<ins>+ day 2</ins>")
		assert.Contains(t, w.Body.String(), "<del>- day 1</del>")
		assert.Equal(t, 404, s.send("GET", "/api/logs/absent/diff", "").Code)
		assert.Equal(t, 404, s.send("GET", "/logs/absent", "").Code)
		s.stop()
	})
}
