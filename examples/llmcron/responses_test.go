package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual/examples/llmcron/internal/service"
)

const (
	asJSON   = "application/json"
	asEvents = "text/event-stream"
)

// spoken is how an API says a text, whole and as a stream.
type spoken struct {
	path          string
	whole, stream func(text string) string
	word          string // a piece of a stream that never ends
	empty, fault  string // a 200 that is no answer: without content, and with an error
}

var apis = map[string]spoken{
	"chat": {
		path: "/v1/chat/completions",
		whole: func(text string) string {
			return fmt.Sprintf(`{"choices":[{"message":{"content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":60,"completion_tokens":40,"total_tokens":100}}`, text)
		},
		stream: func(text string) string {
			return fmt.Sprintf("data: {\"choices\":[{\"delta\":{\"content\":%q},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":60,\"completion_tokens\":40}}\n\ndata: [DONE]\n\n", text)
		},
		word:  `data: {"choices":[{"delta":{"content":"Well"}}]}` + "\n\n",
		empty: `{"choices":[]}`, fault: `{"error":{"message":"no credit","code":"insufficient_quota"}}`,
	},
	"responses": {
		path: "/v1/responses",
		whole: func(text string) string {
			return fmt.Sprintf(`{"status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":%q}]}],"usage":{"input_tokens":60,"output_tokens":40,"total_tokens":100}}`, text)
		},
		stream: func(text string) string {
			return fmt.Sprintf("event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":"+
				`{"status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":%q}]}],"usage":{"input_tokens":60,"output_tokens":40}}}`+"\n\n", text)
		},
		word:  `data: {"type":"response.output_text.delta","delta":"Well"}` + "\n\n",
		empty: `{"status":"completed","output":[]}`, fault: `{"status":"failed","error":{"message":"no credit","code":"insufficient_quota"}}`,
	},
}

// TestBothAPIsAreAlike holds that streaming, usage, budgets, differences and errors inside a 200 (C26, openhermit#261) do not depend on the
// API that a task calls.
func TestBothAPIsAreAlike(t *testing.T) {
	for name, api := range apis {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " ", stream), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					answers, calls := []string{"Weather\nday 1", "Weather\nday 2"}, 0
					s := newWiredSite(t, func(r *http.Request) (*http.Response, error) {
						assert.Equal(t, api.path, r.URL.Path)
						assert.Equal(t, "Bearer "+secret, r.Header.Get("Authorization"))
						var asked struct{ Stream bool }
						assert.NoError(t, json.NewDecoder(r.Body).Decode(&asked))
						assert.Equal(t, stream, asked.Stream)
						calls++
						if stream {
							return replies(200, asEvents, api.stream(answers[(calls-1)%2])), nil
						}
						return replies(200, asJSON, api.whole(answers[(calls-1)%2])), nil
					})
					id := ways[0].create(s, "", fields(map[string]any{"api": name, "stream": stream, "daily_tokens": 200}))
					var task service.Task
					s.get("/api/tasks/"+id, &task)
					assert.Equal(t, name, task.API)
					s.wait(25 * time.Minute)
					assert.Equal(t, []string{"register success", "schedule success", "schedule skipped"}, s.statuses(id), "the third is over the budget")
					var page logPage
					s.get("/api/tasks/"+id+"/logs", &page)
					var usage struct {
						Total int `json:"total_tokens"`
					}
					require.NoError(t, json.Unmarshal(page.Logs[1].Usage, &usage))
					assert.Equal(t, 100, usage.Total)
					var d service.Diff
					s.get("/api/logs/"+page.Logs[1].ID+"/diff", &d)
					assert.Equal(t, []service.Line{{Op: "=", Text: "Weather"}, {Op: "-", Text: "day 1"}, {Op: "+", Text: "day 2"}}, d.Lines)
					s.stop()
				})
			})
		}
		t.Run(name+" errors inside a 200", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newWiredSite(t, func(r *http.Request) (*http.Response, error) {
					var asked struct{ Model string }
					assert.NoError(t, json.NewDecoder(r.Body).Decode(&asked))
					body := api.fault
					switch asked.Model {
					case "empty":
						body = api.empty
					case "blank":
						body = api.whole(" \n")
					}
					return replies(200, asJSON, body), nil
				})
				for model, want := range map[string]string{"fault": "no credit", "empty": "an empty list of", "blank": "an empty text"} {
					id := ways[0].create(s, "", fields(map[string]any{"api": name, "model": model, "interval_minutes": nil, "interval_seconds": 5}))
					s.wait(time.Second)
					var page logPage
					s.get("/api/tasks/"+id+"/logs", &page)
					require.Len(t, page.Logs, 1)
					assert.Equal(t, "failed", page.Logs[0].Status, "never success")
					assert.Contains(t, page.Logs[0].ErrorMessage, want)
				}
				s.stop()
			})
		})
		t.Run(name+" silence", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newWiredSite(t, func(r *http.Request) (*http.Response, error) {
					read, write := io.Pipe()
					go func() { // says a word twice, and no more
						for range 2 {
							time.Sleep(15 * time.Second)
							_, _ = io.WriteString(write, api.word)
						}
						<-r.Context().Done()
						_ = write.CloseWithError(r.Context().Err())
					}()
					return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {asEvents}}, Body: read}, nil
				})
				id := ways[0].create(s, "", fields(map[string]any{"api": name, "stream": true, "first_token_seconds": 20, "interval_minutes": 1}))
				s.wait(51 * time.Second)
				var page logPage
				s.get("/api/tasks/"+id+"/logs", &page)
				require.Len(t, page.Logs, 1)
				assert.Contains(t, page.Logs[0].ErrorMessage, "no token in time")
				require.NotNil(t, page.Logs[0].ExecutedAt)
				assert.Contains(t, page.Logs[0].ErrorMessage, "20s without one")
				require.Equal(t, http.StatusNoContent, s.send("DELETE", "/api/tasks/"+id, "").Code)
				s.wait(2 * time.Minute)
				s.stop()
			})
		})
	}
}
