package openai_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/executor/openai"
)

func streamed(r openai.Request) openai.Request {
	r.Stream = true
	return r
}

// events answers with a stream of the given data lines.
func events(lines ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		for _, line := range lines {
			fmt.Fprintf(w, "data: %s\n\n", line)
		}
	}
}

func piece(text string) string {
	return fmt.Sprintf(`{"id":"chatcmpl-1","model":"gpt-test-2026","choices":[{"index":0,"delta":{"content":%q},"finish_reason":null}]}`, text)
}

const (
	lastPiece  = `{"id":"chatcmpl-1","model":"gpt-test-2026","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`
	usagePiece = `{"id":"chatcmpl-1","model":"gpt-test-2026","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}`
)

func TestAStreamGivesTheSameResult(t *testing.T) {
	ep := serve(t, events(`{"choices":[{"delta":{"role":"assistant","content":""}}]}`, piece("Good "), piece("morning."), lastPiece, usagePiece, "[DONE]"))
	result, err := executorFor(t, ep.URL+"/v1").Execute(context.Background(), runOf(t, streamed(hello())))
	require.NoError(t, err)
	assert.Equal(t, "Good morning.", result.Output)
	facts := factsOf(t, result)
	assert.Equal(t, "gpt-test-2026", facts.Model)
	assert.Equal(t, "stop", facts.FinishReason)
	assert.Equal(t, &openai.Usage{PromptTokens: 9, CompletionTokens: 3, TotalTokens: 12}, facts.Usage)
	assert.Equal(t, true, ep.body["stream"])
	assert.Equal(t, map[string]any{"include_usage": true}, ep.body["stream_options"])
}

func TestStreamsThatAreNoAnswer(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc
		text   string // in the error; empty for a success
		is     error
		final  bool
	}{
		{"an endpoint that knows no streaming", reply(200, goodAnswer), "", nil, false},
		{"without the last word", events(piece("Hi"), lastPiece), "", nil, false},
		{"cut off", events(piece("Hi")), "before its end", openai.ErrBadAnswer, false},
		{"nothing at all", events("[DONE]"), "an empty list of choices", openai.ErrBadAnswer, false},
		{"an empty text", events(lastPiece, "[DONE]"), "an empty text", openai.ErrBadAnswer, false},
		{"an error among the events", events(piece("Hi"), `{"error":{"message":"overloaded","code":503}}`), "overloaded", nil, false},
		{"an error inside the choice", events(`{"choices":[{"delta":{},"error":{"message":"upstream died","code":502}}]}`, "[DONE]"), "upstream died", nil, false},
		{"a refusal", events(`{"choices":[{"delta":{"refusal":"I will not."},"finish_reason":"stop"}]}`, "[DONE]"), "I will not.", openai.ErrRefused, true},
		{"no JSON", events("hello"), "not a JSON object", openai.ErrBadAnswer, false},
		{"too much", events(strings.Repeat("x", 4096)), "more than 2048 bytes", openai.ErrBadAnswer, false},
		{"an error before the stream", reply(401, `{"error":{"message":"bad key"}}`), "bad key", nil, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ep := serve(t, test.answer)
			e := executorFor(t, ep.URL+"/v1", openai.WithResponseLimit(2048))
			_, err := e.Execute(context.Background(), runOf(t, streamed(hello())))
			if test.text == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.text)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
			assert.Equal(t, test.final, punctual.IsPermanent(err))
		})
	}
}

// TestASilentStreamEnds holds both silences: before the first token (openclaw#40263) and between two.
func TestASilentStreamEnds(t *testing.T) {
	for _, said := range []string{"", "data: " + piece("Well") + "\n\n", ": still thinking\n\n"} {
		mock := clock.NewMock()
		arrived := make(chan struct{})
		ep := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, said)
			_ = http.NewResponseController(w).Flush()
			close(arrived)
			<-r.Context().Done()
		})
		request := streamed(hello())
		request.FirstTokenSeconds = 20
		ended := make(chan error, 1)
		go func() {
			_, err := executorFor(t, ep.URL+"/v1", openai.WithClock(mock)).Execute(context.Background(), runOf(t, request))
			ended <- err
		}()
		<-arrived
		// What was said may still be on its way, so time passes until the silence is noticed.
		deadline := time.Now().Add(10 * time.Second)
		var err error
		for waiting := true; waiting; {
			select {
			case err = <-ended:
				waiting = false
			default:
				require.True(t, time.Now().Before(deadline), "the silence is not noticed")
				mock.Add(20 * time.Second)
			}
		}
		require.ErrorIs(t, err, openai.ErrNoToken)
		assert.False(t, punctual.IsPermanent(err))
		assert.Contains(t, err.Error(), "20s without one")
	}
}

func TestFirstTokenSecondsNeedAStream(t *testing.T) {
	request := hello()
	request.FirstTokenSeconds = 5
	require.ErrorContains(t, request.Validate(), "needs stream")
	request.Stream, request.FirstTokenSeconds = true, -1
	require.ErrorContains(t, request.Validate(), "not between 0 and 86400")
}
