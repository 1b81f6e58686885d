package openai_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/executor/openai"
)

func viaResponses(r openai.Request) openai.Request {
	r.API = openai.APIResponses
	return r
}

const goodResponse = `{"id":"resp_1","object":"response","created_at":1700000000,"status":"completed","error":null,"incomplete_details":null,"model":"gpt-test-2026",
	"output":[{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}]},
		{"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Good ","annotations":[]},{"type":"output_text","text":"morning."}]}],
	"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":4},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":12}}`

func TestAResponseGivesTheSameResultAsACompletion(t *testing.T) {
	for _, base := range []string{"/v1", "/v1/", "/v1/chat/completions", "/v1/responses", "/v1/responses/?api-version=2"} {
		ep := serve(t, reply(200, goodResponse, "X-Request-Id", "req_1"))
		request := viaResponses(hello())
		request.System = "Be brief."
		zero := 0.0
		request.Temperature, request.MaxTokens, request.ReasoningEffort = &zero, 50, "low"
		request.Extra = map[string]json.RawMessage{"truncation": json.RawMessage(`"auto"`), "store": json.RawMessage(`true`)}
		result, err := executorFor(t, ep.URL+base).Execute(context.Background(), runOf(t, request))
		require.NoError(t, err)
		assert.Equal(t, "/v1/responses", ep.last.URL.Path)
		assert.Equal(t, "Bearer "+testKey, ep.last.Header.Get("Authorization"))
		assert.Equal(t, "run-1", ep.last.Header.Get("Idempotency-Key"))
		assert.Equal(t, map[string]any{
			"model": "gpt-test", "instructions": "Be brief.", "input": "Hello", "temperature": 0.0, "max_output_tokens": 50.0,
			"reasoning": map[string]any{"effort": "low"}, "truncation": "auto", "store": true,
		}, ep.body)
		assert.Equal(t, "Good morning.", result.Output)
		facts := factsOf(t, result)
		assert.Equal(t, openai.Facts{
			Model: "gpt-test-2026", FinishReason: "stop", ResponseID: "resp_1", RequestID: "req_1", Endpoint: ep.Listener.Addr().String(), Status: 200,
			Usage: &openai.Usage{PromptTokens: 9, CompletionTokens: 3, TotalTokens: 12, CachedTokens: 4, ReasoningTokens: 2},
		}, facts)
	}
}

func TestResponsesAreNotKeptUnlessToldTo(t *testing.T) {
	ep := serve(t, reply(200, goodResponse))
	_, err := executorFor(t, ep.URL).Execute(context.Background(), runOf(t, viaResponses(hello())))
	require.NoError(t, err)
	assert.Equal(t, false, ep.body["store"])
}

func TestAConversationAndASchemaReachTheResponsesAPI(t *testing.T) {
	ep := serve(t, reply(200, goodResponse))
	top := 0.5
	request := openai.Request{
		API: openai.APIResponses, Model: "gpt-test", TopP: &top,
		Messages: []openai.Message{{Role: "user", Content: "Hi"}, {Role: "assistant", Content: "Yes?"}, {Role: "user", Content: "The weather."}},
		ResponseFormat: &openai.ResponseFormat{
			Type: "json_schema", JSONSchema: json.RawMessage(`{"name":"weather","strict":true,"schema":{"type":"object"}}`),
		},
	}
	_, err := executorFor(t, ep.URL).Execute(context.Background(), runOf(t, request))
	require.NoError(t, err)
	assert.Equal(t, []any{
		map[string]any{"role": "user", "content": "Hi"}, map[string]any{"role": "assistant", "content": "Yes?"}, map[string]any{"role": "user", "content": "The weather."},
	}, ep.body["input"])
	assert.Equal(t, map[string]any{"format": map[string]any{
		"type": "json_schema", "name": "weather", "strict": true, "schema": map[string]any{"type": "object"},
	}}, ep.body["text"])
	assert.Equal(t, 0.5, ep.body["top_p"])

	request.ResponseFormat = &openai.ResponseFormat{Type: "json_object"}
	_, err = executorFor(t, ep.URL).Execute(context.Background(), runOf(t, request))
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"format": map[string]any{"type": "json_object"}}, ep.body["text"])
}

func TestWhatTheResponsesAPIDoesNotKnowIsRefused(t *testing.T) {
	seed := 1
	for field, change := range map[string]func(*openai.Request){
		"api":                func(r *openai.Request) { r.API = "assistants" },
		"stop":               func(r *openai.Request) { r.Stop = []string{"x"} },
		"seed":               func(r *openai.Request) { r.Seed = &seed },
		"extra.input":        func(r *openai.Request) { r.Extra = map[string]json.RawMessage{"input": json.RawMessage(`"x"`)} },
		"extra.background":   func(r *openai.Request) { r.Extra = map[string]json.RawMessage{"background": json.RawMessage(`true`)} },
		"extra.instructions": func(r *openai.Request) { r.Extra = map[string]json.RawMessage{"instructions": json.RawMessage(`"x"`)} },
		"extra.tools":        func(r *openai.Request) { r.Extra = map[string]json.RawMessage{"tools": json.RawMessage(`[]`)} },
	} {
		request := viaResponses(hello())
		change(&request)
		var bad *openai.RequestError
		require.ErrorAs(t, request.Validate(), &bad, field)
		assert.Equal(t, field, bad.Fields[0].Field)
	}
	chat := hello()
	chat.Extra = map[string]json.RawMessage{"reasoning": json.RawMessage(`{}`)}
	require.NoError(t, chat.Validate(), "members of the one API are free in the other")
}

// responseOf is a response with a status and an output.
func responseOf(status, more, output string) string {
	return fmt.Sprintf(`{"id":"resp_1","status":%q,%s"output":%s,"usage":{"input_tokens":9,"output_tokens":3}}`, status, more, output)
}

func said(text string) string {
	return fmt.Sprintf(`[{"type":"message","content":[{"type":"output_text","text":%q}]}]`, text)
}

// TestAResponseWithoutAnAnswerFails: HTTP 200 is not success, openhermit#261.
func TestAResponseWithoutAnAnswerFails(t *testing.T) {
	tooLong := `"incomplete_details":{"reason":"max_output_tokens"},`
	for _, c := range []struct {
		name, body string
		permanent  bool
		is         error
		text       string
	}{
		{"failed with an error", responseOf("failed", `"error":{"code":"server_error","message":"overloaded"},`, "[]"), false, nil, "answered 200 with an error inside (server_error): overloaded"},
		{"failed for good", responseOf("failed", `"error":{"code":"insufficient_quota","message":"no money"},`, "[]"), true, nil, "no money"},
		{"error object", `{"error":{"message":"overloaded"}}`, false, nil, "with an error inside: overloaded"},
		{"failed without a word", responseOf("failed", "", "[]"), false, openai.ErrBadAnswer, "status failed"},
		{"in the background", responseOf("queued", "", "[]"), false, openai.ErrBadAnswer, "status queued"},
		{"canceled", responseOf("cancelled", "", said("par")), false, openai.ErrBadAnswer, "status cancelled"},
		{"no output", `{"id":"x","status":"completed"}`, false, openai.ErrBadAnswer, "JSON object without output"},
		{"a completion", goodAnswer, false, openai.ErrBadAnswer, "JSON object without output"},
		{"empty output", responseOf("completed", "", "[]"), false, openai.ErrBadAnswer, "an empty list of outputs"},
		{"odd output", responseOf("completed", "", `"hi"`), false, openai.ErrBadAnswer, "not a list of objects"},
		{"a message without content", responseOf("completed", "", `[{"type":"message"}]`), false, openai.ErrBadAnswer, "an empty text (finish_reason stop)"},
		{"odd content", responseOf("completed", "", `[{"type":"message","content":"hi"}]`), false, openai.ErrBadAnswer, "an empty text"},
		{"blank text", responseOf("completed", "", said(" \n")), false, openai.ErrBadAnswer, "an empty text"},
		{"reasoning only", responseOf("completed", "", `[{"type":"reasoning","summary":[{"type":"summary_text","text":"hm"}]}]`), false, openai.ErrBadAnswer, "reasoning but no text"},
		{"a tool call", responseOf("completed", "", `[{"type":"function_call","name":"get_weather","arguments":"{}"}]`), false, openai.ErrBadAnswer, "call of the tool get_weather"},
		{"a call without a name", responseOf("completed", "", `[{"type":"web_search_call"}]`), false, openai.ErrBadAnswer, "call of the tool web_search_call"},
		{"a refusal", responseOf("completed", "", `[{"type":"message","content":[{"type":"refusal","refusal":"I will not."}]}]`), true, openai.ErrRefused, "I will not."},
		{"used up before the text", responseOf("incomplete", tooLong, `[{"type":"reasoning","summary":[]}]`), true, openai.ErrBadAnswer, "raise max_tokens"},
		{"filtered", responseOf("incomplete", `"incomplete_details":{"reason":"content_filter"},`, `[{"type":"message","content":[]}]`), true, openai.ErrRefused, "content filter"},
		{"a page", "<html><title>portal</title></html>", false, openai.ErrBadAnswer, `an HTML page titled "portal"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			ep := serve(t, reply(200, c.body))
			result, err := executorFor(t, ep.URL).Execute(context.Background(), runOf(t, viaResponses(hello())))
			require.ErrorContains(t, err, c.text)
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
			assert.Equal(t, c.permanent, punctual.IsPermanent(err))
			if c.name == "failed with an error" {
				assert.Equal(t, 12, factsOf(t, result).Usage.TotalTokens, "a failed response is paid for, too")
			}
		})
	}
	ep := serve(t, reply(200, responseOf("incomplete", tooLong, said("Once upon"))))
	result, err := executorFor(t, ep.URL).Execute(context.Background(), runOf(t, viaResponses(hello())))
	require.NoError(t, err)
	assert.Equal(t, "Once upon\n[ended at the token limit]", result.Output)
}

func delta(text string) string {
	return fmt.Sprintf(`{"type":"response.output_text.delta","item_id":"msg_1","output_index":0,"content_index":0,"delta":%q}`, text)
}

func last(kind, response string) string {
	var compact map[string]any
	_ = json.Unmarshal([]byte(response), &compact)
	b, _ := json.Marshal(map[string]any{"type": "response." + kind, "response": compact})
	return string(b)
}

func TestAStreamedResponseGivesTheSameResult(t *testing.T) {
	item := `{"type":"response.output_item.done","output_index":0,"item":{"type":"message","content":[{"type":"output_text","text":"Good morning."}]}}`
	bare := `{"id":"resp_1","status":"completed","model":"gpt-test-2026","output":[],"usage":{"input_tokens":9,"output_tokens":3,"total_tokens":12}}`
	for name, answer := range map[string]http.HandlerFunc{
		"whole at the end":             events(`{"type":"response.created","response":{"status":"in_progress"}}`, delta("Good "), delta("morning."), last("completed", goodResponse)),
		"its output only on the way":   events(delta("Good morning."), item, last("completed", bare)),
		"with the last word of others": events(delta("Good morning."), last("completed", goodResponse), "[DONE]"),
		"not streamed at all":          reply(200, goodResponse),
	} {
		ep := serve(t, answer)
		result, err := executorFor(t, ep.URL).Execute(context.Background(), runOf(t, streamed(viaResponses(hello()))))
		require.NoError(t, err, name)
		assert.Equal(t, "Good morning.", result.Output, name)
		assert.Equal(t, 12, factsOf(t, result).Usage.TotalTokens, name)
		assert.Equal(t, true, ep.body["stream"], name)
		assert.NotContains(t, ep.body, "stream_options", name)
	}
}

func TestStreamedResponsesThatAreNoAnswer(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		text   string
		is     error
		final  bool
	}{
		{"cut off", events(delta("Hi")), "before its end", openai.ErrBadAnswer, false},
		{"over without a response", events(delta("Hi"), "[DONE]"), "before its end", openai.ErrBadAnswer, false},
		{"a last event without a response", events(`{"type":"response.completed"}`), "without output", openai.ErrBadAnswer, false},
		{"failed", events(delta("Hi"), last("failed", responseOf("failed", `"error":{"code":"server_error","message":"upstream died"},`, "[]"))), "upstream died", nil, false},
		{"incomplete", events(last("incomplete", responseOf("incomplete", `"incomplete_details":{"reason":"max_output_tokens"},`, said(" ")))), "raise max_tokens", openai.ErrBadAnswer, true},
		{"an error event", events(`{"type":"error","code":"rate_limit_exceeded","message":"slow down","param":null}`), "(rate_limit_exceeded): slow down", nil, false},
		{"an error event with an object", events(`{"type":"error","error":{"type":"invalid_request_error","message":"no such model"}}`), "no such model", nil, true},
		{"no JSON", events("hello"), "not a JSON object", openai.ErrBadAnswer, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ep := serve(t, c.answer)
			_, err := executorFor(t, ep.URL).Execute(context.Background(), runOf(t, streamed(viaResponses(hello()))))
			require.ErrorContains(t, err, c.text)
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
			assert.Equal(t, c.final, punctual.IsPermanent(err))
		})
	}
}

// pipe is a transport whose answer is a stream that the test writes.
type pipe struct{ body io.ReadCloser }

func (p pipe) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: closing{p.body, r.Context()}, Request: r,
	}, nil
}

// closing is a body that ends with its request, as those of a connection do.
type closing struct {
	io.ReadCloser
	ctx context.Context
}

func (c closing) Read(b []byte) (int, error) {
	stop := context.AfterFunc(c.ctx, func() { _ = c.Close() })
	defer stop()
	return c.ReadCloser.Read(b)
}

// TestAStreamIsKeptAliveByWhatItSays: each piece of an answer begins the wait anew, by either API, and what says nothing does not.
func TestAStreamIsKeptAliveByWhatItSays(t *testing.T) {
	for name, c := range map[string]struct {
		request      openai.Request
		word, filler string
		end          []string
	}{
		"chat":      {hello(), piece("Well"), `{"choices":[{"delta":{"role":"assistant"}}]}`, []string{lastPiece, "[DONE]"}},
		"responses": {viaResponses(hello()), delta("Well"), `{"type":"response.in_progress"}`, []string{last("completed", goodResponse)}},
	} {
		for _, alive := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " ", alive), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					read, write := io.Pipe()
					request := streamed(c.request)
					request.FirstTokenSeconds = 20
					begin := time.Now()
					go func() {
						line := c.filler
						if alive {
							line = c.word
						}
						for range 4 {
							time.Sleep(15 * time.Second)
							if _, err := fmt.Fprintf(write, "data: %s\n\n", line); err != nil {
								return
							}
						}
						for _, line := range c.end {
							_, _ = fmt.Fprintf(write, "data: %s\n\n", line)
						}
						_ = write.Close()
					}()
					e := openai.New(openai.WithBaseURL("http://model.example/v1"), openai.WithHTTPClient(&http.Client{Transport: pipe{read}}))
					_, err := e.Execute(t.Context(), runOf(t, request))
					if alive {
						require.NoError(t, err)
						assert.Equal(t, time.Minute, time.Since(begin))
						return
					}
					require.ErrorIs(t, err, openai.ErrNoToken)
					assert.Equal(t, 20*time.Second, time.Since(begin))
					time.Sleep(time.Minute) // the writer notices
				})
			})
		}
	}
}

func TestNoErrorOfAResponseHoldsTheKey(t *testing.T) {
	for name, body := range map[string]string{
		"error":   `{"status":"failed","error":{"code":"` + testKey + `","message":"bad key ` + testKey + `"}}`,
		"status":  `{"status":"` + testKey + `","output":[]}`,
		"reason":  `{"status":"incomplete","incomplete_details":{"reason":"` + testKey + `"},"output":[]}`,
		"answer":  responseOf("completed", `"model":"`+testKey+`",`, said("It is "+testKey)),
		"refusal": responseOf("completed", "", `[{"type":"message","content":[{"type":"refusal","refusal":"no, `+testKey+`"}]}]`),
		"tool":    responseOf("completed", "", `[{"type":"function_call","name":"`+testKey+`"}]`),
	} {
		for _, stream := range []bool{false, true} {
			answer := reply(200, body)
			if stream {
				answer = events(last("completed", body))
			}
			ep := serve(t, answer)
			request := viaResponses(hello())
			request.Stream = stream
			result, err := executorFor(t, ep.URL).Execute(context.Background(), runOf(t, request))
			text := result.Output + string(result.Facts)
			if err != nil {
				text += err.Error()
			}
			assertNoKey(t, text)
			assert.NotEmpty(t, text, name)
		}
	}
}
