package openai_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/executor/openai"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testKey has the shape of a real key and opens nothing.
const testKey = "sk-test-4f9QzT7mWc2LpXv8Rb1NyKd6Hs3JgAe5"

const goodAnswer = `{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"gpt-test-2026",
	"choices":[{"index":0,"message":{"role":"assistant","content":"Good morning."},"finish_reason":"stop"}],
	"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":4}}}`

// endpoint is a server on loopback that answers every request the same way and keeps the last one.
type endpoint struct {
	*httptest.Server
	calls int
	last  *http.Request
	body  map[string]any
}

func serve(t *testing.T, answer http.HandlerFunc) *endpoint {
	t.Helper()
	ep := &endpoint{}
	ep.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ep.calls++
		ep.last = r.Clone(context.Background())
		raw, err := io.ReadAll(r.Body)
		if err == nil {
			ep.body = nil
			_ = json.Unmarshal(raw, &ep.body)
		}
		answer(w, r)
	}))
	t.Cleanup(ep.Close)
	return ep
}

// reply answers with a status, headers in pairs, and a body.
func reply(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// executorFor is an executor whose own endpoint is at base, with one key called "main".
func executorFor(t *testing.T, base string, opts ...openai.Option) *openai.Executor {
	t.Helper()
	e := openai.New(append([]openai.Option{
		openai.WithBaseURL(base),
		openai.WithKeys(openai.StaticKeys(map[string]string{"main": testKey, "none": ""})),
		openai.WithDefaultKey("main"),
	}, opts...)...)
	t.Cleanup(e.CloseIdleConnections)
	return e
}

func hello() openai.Request { return openai.Request{Model: "gpt-test", Prompt: "Hello"} }

func runOf(t *testing.T, r openai.Request) punctual.Run {
	t.Helper()
	payload, err := openai.NewPayload(r)
	require.NoError(t, err)
	return punctual.Run{ID: "run-1", TaskID: "task", Payload: payload}
}

// ask runs one request against an endpoint that answers with the handler.
func ask(t *testing.T, answer http.HandlerFunc, opts ...openai.Option) (punctual.Result, error) {
	t.Helper()
	ep := serve(t, answer)
	return executorFor(t, ep.URL+"/v1", opts...).Execute(context.Background(), runOf(t, hello()))
}

func factsOf(t *testing.T, r punctual.Result) openai.Facts {
	t.Helper()
	var facts openai.Facts
	require.NoError(t, json.Unmarshal(r.Facts, &facts))
	return facts
}
