package openai_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/executor/openai"
)

func TestAnAnswerBecomesOutputAndFacts(t *testing.T) {
	ep := serve(t, reply(200, goodAnswer, "X-Request-Id", "req_7"))
	result, err := executorFor(t, ep.URL+"/v1").Execute(context.Background(), runOf(t, hello()))
	require.NoError(t, err)
	assert.Equal(t, "Good morning.", result.Output)
	assert.JSONEq(t, fmt.Sprintf(`{"model":"gpt-test-2026","finish_reason":"stop","response_id":"chatcmpl-1","request_id":"req_7","status":200,
		"endpoint":%q,"cut":false,"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12,"cached_tokens":4}}`,
		strings.TrimPrefix(ep.URL, "http://")), string(result.Facts))
}

func TestTheRequestSaysExactlyWhatThePayloadSays(t *testing.T) {
	zero, most, seed := 0.0, 1.0, 7
	ep := serve(t, reply(200, goodAnswer))
	e := executorFor(t, ep.URL+"/v1/", openai.WithHeader("OpenAI-Organization", "org-1"))
	_, err := e.Execute(context.Background(), runOf(t, openai.Request{
		Model: "gpt-test", System: "Be brief.",
		Messages:    []openai.Message{{Role: "user", Content: "Hi"}, {Role: "assistant", Content: "Ho"}, {Role: "user", Content: "Hm"}},
		Temperature: &zero, TopP: &most, MaxTokens: 50, Stop: []string{"END"}, Seed: &seed, ReasoningEffort: "low",
		ResponseFormat: &openai.ResponseFormat{Type: "json_schema", JSONSchema: json.RawMessage(`{"name":"x","schema":{"type":"object","anyOf":[{}]},"custom":1}`)},
		Extra:          map[string]json.RawMessage{"top_k": json.RawMessage(`40`)},
	}))
	require.NoError(t, err)
	assert.Equal(t, "/v1/chat/completions", ep.last.URL.Path)
	assert.Equal(t, http.MethodPost, ep.last.Method)
	assert.Equal(t, "Bearer "+testKey, ep.last.Header.Get("Authorization"))
	assert.Equal(t, "run-1", ep.last.Header.Get("Idempotency-Key"))
	assert.Equal(t, "application/json", ep.last.Header.Get("Content-Type"))
	assert.Equal(t, "org-1", ep.last.Header.Get("OpenAI-Organization"))
	assert.Equal(t, map[string]any{
		"model": "gpt-test", "stream": false, "temperature": 0.0, "top_p": 1.0, "max_tokens": 50.0, "stop": []any{"END"}, "seed": 7.0,
		"reasoning_effort": "low", "top_k": 40.0,
		"response_format": map[string]any{"type": "json_schema", "json_schema": map[string]any{
			"name": "x", "schema": map[string]any{"type": "object", "anyOf": []any{map[string]any{}}}, "custom": 1.0,
		}},
		"messages": []any{
			map[string]any{"role": "system", "content": "Be brief."},
			map[string]any{"role": "user", "content": "Hi"},
			map[string]any{"role": "assistant", "content": "Ho"},
			map[string]any{"role": "user", "content": "Hm"},
		},
	}, ep.body)
}

func TestUnsetSettingsAreLeftToTheEndpoint(t *testing.T) {
	ep := serve(t, reply(200, goodAnswer))
	_, err := executorFor(t, ep.URL).Execute(context.Background(), runOf(t, hello()))
	require.NoError(t, err)
	assert.Equal(t, "/chat/completions", ep.last.URL.Path)
	assert.Equal(t, map[string]any{
		"model": "gpt-test", "stream": false, "messages": []any{map[string]any{"role": "user", "content": "Hello"}},
	}, ep.body)
}

func TestReasoningModelsGetTheirOwnTokenLimit(t *testing.T) {
	ep := serve(t, reply(200, goodAnswer))
	_, err := executorFor(t, ep.URL).Execute(context.Background(), runOf(t, openai.Request{Model: "o3-mini", Prompt: "x", MaxTokens: 9}))
	require.NoError(t, err)
	assert.Equal(t, 9.0, ep.body["max_completion_tokens"])
	assert.NotContains(t, ep.body, "max_tokens")
}

func TestTheAddressOfATaskIsUsedAsGiven(t *testing.T) {
	for _, path := range []string{"/v1", "/v1/", "/v1/chat/completions", "/v1/chat/completions/", "/v1?api-version=2026-01-01", "/v1/chat/completions?api-version=2026-01-01"} {
		ep := serve(t, reply(200, goodAnswer))
		r := hello()
		r.BaseURL = ep.URL + path
		_, err := executorFor(t, "http://127.0.0.1:1/v1").Execute(context.Background(), runOf(t, r))
		require.NoError(t, err, path)
		assert.Equal(t, "/v1/chat/completions", ep.last.URL.Path, path)
		if strings.Contains(path, "?") {
			assert.Equal(t, "api-version=2026-01-01", ep.last.URL.RawQuery)
		}
		assert.Empty(t, ep.last.Header.Get("Authorization"), "the default key stays with the executor's own endpoint")
	}
}

func TestHeadersOfTheExecutorStayWithItsOwnEndpoint(t *testing.T) {
	ep := serve(t, reply(200, goodAnswer))
	r := hello()
	r.BaseURL, r.APIKeyName = ep.URL, "main"
	_, err := executorFor(t, "http://127.0.0.1:1/v1", openai.WithHeader("Api-Key", "secret-1")).Execute(context.Background(), runOf(t, r))
	require.NoError(t, err)
	assert.Empty(t, ep.last.Header.Get("Api-Key"))
	assert.Equal(t, "Bearer "+testKey, ep.last.Header.Get("Authorization"))
}

func TestAnEmptyKeySendsNoAuthorization(t *testing.T) {
	ep := serve(t, reply(200, goodAnswer))
	r := hello()
	r.APIKeyName = "none"
	_, err := executorFor(t, ep.URL).Execute(context.Background(), runOf(t, r))
	require.NoError(t, err)
	assert.NotContains(t, ep.last.Header, "Authorization")
}

func TestAKeyFromAFileMayEndWithANewline(t *testing.T) {
	ep := serve(t, reply(200, goodAnswer))
	e := executorFor(t, ep.URL, openai.WithKeys(openai.StaticKeys(map[string]string{"main": testKey + "\n"})))
	_, err := e.Execute(context.Background(), runOf(t, hello()))
	require.NoError(t, err)
	assert.Equal(t, "Bearer "+testKey, ep.last.Header.Get("Authorization"))
}

func TestKeyTroubleIsNamedAndJudged(t *testing.T) {
	source := errors.New("vault sealed for " + testKey)
	for name, c := range map[string]struct {
		keys      openai.KeySource
		permanent bool
		is        error
		contains  string
	}{
		"unknown":        {openai.StaticKeys(nil), true, openai.ErrKeyNotFound, `API key "main": openai: API key not found`},
		"no environment": {openai.EnvKeys("PUNCTUAL_TEST_NO_SUCH_"), true, openai.ErrKeyNotFound, "PUNCTUAL_TEST_NO_SUCH_MAIN is not set"},
		"source fails":   {openai.KeyFunc(func(context.Context, string) (string, error) { return "", source }), false, source, "vault sealed for [redacted]"},
		"not a header":   {openai.StaticKeys(map[string]string{"main": "abc\ndef"}), true, nil, `API key "main" holds a character`},
		"no source":      {nil, true, openai.ErrInvalidRequest, "api_key_name: names a key but the executor has no KeySource"},
	} {
		t.Run(name, func(t *testing.T) {
			ep := serve(t, reply(200, goodAnswer))
			_, err := executorFor(t, ep.URL, openai.WithKeys(c.keys)).Execute(context.Background(), runOf(t, hello()))
			require.ErrorContains(t, err, c.contains)
			assert.Equal(t, c.permanent, punctual.IsPermanent(err))
			if c.is != nil {
				assert.ErrorIs(t, err, c.is)
			}
			assert.NotContains(t, err.Error(), testKey)
			assert.Zero(t, ep.calls)
		})
	}
}

func TestEnvKeysReadsTheNamedVariable(t *testing.T) {
	t.Setenv("PUNCTUAL_TEST_KEY_MY_PROXY_1", "k1")
	key, err := openai.EnvKeys("PUNCTUAL_TEST_KEY_").Key(context.Background(), "my-proxy.1")
	require.NoError(t, err)
	assert.Equal(t, "k1", key)
	assert.Panics(t, func() { openai.EnvKeys("") })
}

func TestPrintingAnExecutorShowsNoKey(t *testing.T) {
	keys := openai.StaticKeys(map[string]string{"main": testKey})
	for _, v := range []any{keys, executorFor(t, "http://127.0.0.1:1"), *executorFor(t, "http://127.0.0.1:1")} {
		for _, format := range []string{"%v", "%+v", "%#v"} {
			assert.NotContains(t, fmt.Sprintf(format, v), testKey)
		}
	}
}

func TestOnlyAllowedHostsAreCalled(t *testing.T) {
	ep := serve(t, reply(200, goodAnswer))
	r := hello()
	r.BaseURL = ep.URL
	for _, c := range []struct {
		hosts []string
		ok    bool
	}{
		{nil, false},
		{[]string{"api.openai.com"}, false},
		{[]string{"127.0.0.1"}, false}, // another port
		{[]string{strings.TrimPrefix(ep.URL, "http://")}, true},
	} {
		e := executorFor(t, "http://127.0.0.1:1", openai.WithAllowedHosts(c.hosts...))
		_, err := e.Execute(context.Background(), runOf(t, r))
		if c.ok {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, "is not among the allowed hosts")
		assert.True(t, punctual.IsPermanent(err))
		require.ErrorIs(t, e.Validate(r), openai.ErrInvalidRequest)
		assert.NoError(t, e.Validate(hello()), "the executor's own endpoint")
	}
	r.BaseURL = "https://API.openai.com/v1"
	assert.NoError(t, executorFor(t, ep.URL, openai.WithAllowedHosts("api.openai.com")).Validate(r))
	assert.Equal(t, 1, ep.calls)
}

func TestALongAnswerIsCutVisibly(t *testing.T) {
	long := strings.Repeat("añ€😀", 100)
	body := fmt.Sprintf(`{"choices":[{"message":{"content":%q},"finish_reason":"stop"}]}`, long)
	for limit := 128; limit < 140; limit++ { // each way to hit a character in its middle
		result, err := ask(t, reply(200, body), openai.WithOutputLimit(limit))
		require.NoError(t, err)
		assert.LessOrEqual(t, len(result.Output), limit)
		assert.True(t, utf8.ValidString(result.Output))
		assert.Contains(t, result.Output, fmt.Sprintf("[cut, %d bytes in all]", len(long)))
		assert.True(t, factsOf(t, result).Cut)
	}
	result, err := ask(t, reply(200, body), openai.WithOutputLimit(len(long)))
	require.NoError(t, err)
	assert.Equal(t, long, result.Output)
	assert.False(t, factsOf(t, result).Cut)
}

func TestATextThatTheEndpointEndedIsMarked(t *testing.T) {
	for finish, mark := range map[string]string{"length": "[ended at the token limit]", "content_filter": "[ended by the content filter]", "stop": "", "end": "", "eos": ""} {
		result, err := ask(t, reply(200, fmt.Sprintf(`{"choices":[{"message":{"content":"So far"},"finish_reason":%q}]}`, finish)))
		require.NoError(t, err)
		assert.Equal(t, strings.TrimSpace("So far\n"+mark), result.Output)
		assert.Equal(t, finish, factsOf(t, result).FinishReason)
	}
}

func TestGoodAnswersOfOddEndpointsAreUnderstood(t *testing.T) {
	for name, body := range map[string]string{
		"byte order mark":      "\uFEFF" + goodAnswer,
		"padding":              "\n\n   " + goodAnswer + "\n",
		"null error":           `{"error":null,"choices":[{"message":{"content":"Good morning."}}]}`,
		"empty error":          `{"error":{},"choices":[{"message":{"content":"Good morning."}}]}`,
		"odd created":          `{"created":"today","id":7,"choices":[{"index":"0","message":{"content":"Good morning."},"finish_reason":null}]}`,
		"null usage":           `{"usage":{"prompt_tokens":null,"total_tokens":0},"choices":[{"message":{"content":"Good morning."}}]}`,
		"odd usage":            `{"usage":"none","choices":[{"message":{"content":"Good morning."}}]}`,
		"odd tool calls":       `{"choices":[{"message":{"content":"Good morning.","tool_calls":{},"refusal":null}}]}`,
		"odd logprobs":         `{"choices":[{"logprobs":"x","message":{"content":"Good morning."}}]}`,
		"a message beside":     `{"message":"ok","choices":[{"message":{"content":"Good morning."}}]}`,
		"content in parts":     `{"choices":[{"message":{"content":[{"type":"thinking","thinking":[]},{"type":"text","text":"Good "},{"type":"text","text":"morning."}]}}]}`,
		"text and a tool call": `{"choices":[{"message":{"content":"Good morning.","tool_calls":[{"function":{"name":"f"}}]},"finish_reason":"tool_calls"}]}`,
		"several choices":      `{"choices":[{"message":{"content":"Good morning."}},{"message":{"content":"No."}}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			result, err := ask(t, reply(200, body))
			require.NoError(t, err)
			assert.Equal(t, "Good morning.", result.Output)
		})
	}
}

func TestAnAnswerMayOutliveItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	ep := serve(t, reply(200, goodAnswer))
	e := executorFor(t, ep.URL, openai.WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		defer cancel() // the whole answer is in hand
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(goodAnswer)), Request: r}, nil
	})}))
	result, err := e.Execute(ctx, runOf(t, hello()))
	require.NoError(t, err)
	assert.Equal(t, "Good morning.", result.Output)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
