package openai_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/executor/openai"
)

func TestHTTPErrorsAreJudged(t *testing.T) {
	now := time.Date(2026, 3, 8, 12, 0, 0, 0, time.UTC)
	inTwentyMinutes := now.Add(20 * time.Minute).Format(http.TimeFormat)
	const rateLimited = `{"error":{"message":"Rate limit reached","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`
	for _, c := range []struct {
		name      string
		status    int
		headers   []string
		body      string
		permanent bool
		wait      time.Duration
		text      string
	}{
		{name: "429 without a hint", status: 429, body: rateLimited, text: "answered 429 Too Many Requests (rate_limit_exceeded): Rate limit reached"},
		{name: "429 seconds", status: 429, headers: []string{"Retry-After", "20"}, body: rateLimited, wait: 20 * time.Second, text: "429"},
		{name: "429 date", status: 429, headers: []string{"Retry-After", inTwentyMinutes}, body: rateLimited, wait: 20 * time.Minute, text: "429"},
		{name: "429 milliseconds", status: 429, headers: []string{"Retry-After-Ms", "1500", "Retry-After", "2"}, body: rateLimited, wait: 1500 * time.Millisecond, text: "429"},
		{name: "429 reset", status: 429, headers: []string{"X-Ratelimit-Reset-Requests", "120ms", "X-Ratelimit-Reset-Tokens", "6m0s"}, body: rateLimited, wait: 6 * time.Minute, text: "429"},
		{name: "429 reset of what is used up", status: 429, headers: []string{
			"X-Ratelimit-Reset-Requests", "120ms", "X-Ratelimit-Remaining-Requests", "0", "X-Ratelimit-Reset-Tokens", "6m0s", "X-Ratelimit-Remaining-Tokens", "900",
		}, body: rateLimited, wait: 120 * time.Millisecond, text: "429"},
		{name: "429 absurd", status: 429, headers: []string{"Retry-After", "99999999999999999999"}, body: rateLimited, wait: time.Hour, text: "429"},
		{name: "429 nonsense", status: 429, headers: []string{"Retry-After", "soon"}, body: rateLimited, text: "429"},
		{
			name: "429 quota", status: 429, headers: []string{"Retry-After", "20"}, permanent: true, text: "(insufficient_quota): You exceeded your current quota",
			body: `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`,
		},
		{name: "429 quota by type", status: 429, permanent: true, text: "(insufficient_quota): none left", body: `{"error":{"message":"none left","type":"insufficient_quota"}}`},
		{
			name: "429 google", status: 429, wait: 34 * time.Second, text: "(429): Quota exceeded",
			body: `[{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED","details":[{"@type":"x"},{"retryDelay":"34s"}]}}]`,
		},
		{name: "500", status: 500, body: `{"error":{"message":"The server had an error","type":"server_error"}}`, text: "(server_error): The server had an error"},
		{name: "502 page", status: 502, headers: []string{"Content-Type", "text/html"}, body: "<html><head><title>502 Bad\nGateway</title></head></html>", text: `502 Bad Gateway: an HTML page titled "502 Bad Gateway"`},
		{name: "503", status: 503, headers: []string{"Retry-After", "7"}, body: "overloaded", wait: 7 * time.Second, text: `503 Service Unavailable: application/json that is not JSON: "overloaded"`},
		{name: "503 reset is not for it", status: 503, headers: []string{"X-Ratelimit-Reset-Requests", "9s"}, text: "503 Service Unavailable: an empty body"},
		{name: "529", status: 529, text: "answered 529: an empty body"},
		{name: "408", status: 408, text: "408 Request Timeout"},
		{name: "409", status: 409, text: "409 Conflict"},
		{name: "425", status: 425, text: "425 Too Early"},
		{name: "400", status: 400, headers: []string{"Retry-After", "1"}, body: `{"error":{"message":["bad","worse"],"type":"invalid_request_error"}}`, permanent: true, text: "bad, worse"},
		{name: "401", status: 401, body: `{"error":{"message":"no","code":"invalid_api_key"}}`, permanent: true, text: "401 Unauthorized (invalid_api_key): no"},
		{name: "402", status: 402, body: `{"error":"Insufficient Balance"}`, permanent: true, text: "402 Payment Required: Insufficient Balance"},
		{name: "403", status: 403, permanent: true, text: "403 Forbidden"},
		{name: "404", status: 404, body: `{"error":{"message":"no such model","code":"model_not_found"}}`, permanent: true, text: "(model_not_found): no such model"},
		{name: "404 text", status: 404, headers: []string{"Content-Type", "text/plain; charset=utf-8"}, body: "404 page not found\n", permanent: true, text: `text/plain that is not JSON: "404 page not found"`},
		{name: "413", status: 413, permanent: true, text: "413 Request Entity Too Large"},
		{name: "422", status: 422, body: `{"detail":[{"loc":["body","model"],"msg":"field required"}]}`, permanent: true, text: "field required"},
		{name: "vllm", status: 400, body: `{"object":"error","message":"too long","type":"BadRequestError","code":400}`, permanent: true, text: "(400): too long"},
		{name: "400 with a list", status: 400, body: `[1,2]`, permanent: true, text: `400 Bad Request: JSON without an error in it: "[1,2]"`},
		{name: "300", status: 300, permanent: true, text: "300 Multiple Choices"},
	} {
		t.Run(c.name, func(t *testing.T) {
			mock := clock.NewMock()
			mock.Set(now)
			result, err := ask(t, reply(c.status, c.body, append(c.headers, "X-Request-Id", "req_1")...), openai.WithClock(mock))
			require.ErrorContains(t, err, c.text)
			assert.Contains(t, err.Error(), "[request req_1]")
			assert.Equal(t, c.permanent, punctual.IsPermanent(err), "permanent")
			wait, waits := punctual.RetryAfterOf(err)
			assert.Equal(t, c.wait > 0, waits)
			assert.Equal(t, c.wait, wait)
			var apiErr *openai.APIError
			require.ErrorAs(t, err, &apiErr)
			assert.Equal(t, c.status, apiErr.StatusCode)
			assert.Equal(t, c.status, factsOf(t, result).Status)
			assert.Empty(t, result.Output)
		})
	}
}

func TestAnAPIErrorHasItsParts(t *testing.T) {
	_, err := ask(t, reply(429, `{"error":{"message":"m","type":"t","param":"p","code":"c"}}`, "Retry-After", "3", "X-Request-Id", "r"))
	var apiErr *openai.APIError
	require.ErrorAs(t, err, &apiErr)
	apiErr.Endpoint = "host"
	assert.Equal(t, openai.APIError{StatusCode: 429, Code: "c", Type: "t", Param: "p", Message: "m", Endpoint: "host", RequestID: "r", RetryAfter: 3 * time.Second}, *apiErr)
}

func TestTheWaitHasACeiling(t *testing.T) {
	_, err := ask(t, reply(429, "", "Retry-After", "100"), openai.WithMaxRetryAfter(5*time.Second))
	wait, _ := punctual.RetryAfterOf(err)
	assert.Equal(t, 5*time.Second, wait)
	_, err = ask(t, reply(429, "", "Retry-After", "100"), openai.WithMaxRetryAfter(0))
	_, waits := punctual.RetryAfterOf(err)
	assert.False(t, waits)
}

// HTTP 200 is not success: openhermit#261.
func TestASuccessWithoutAnAnswerFails(t *testing.T) {
	for _, c := range []struct {
		name, body, contentType string
		permanent               bool
		is                      error
		text                    string
	}{
		{name: "error object", body: `{"error":{"message":"overloaded","type":"server_error"}}`, text: "answered 200 with an error inside (server_error): overloaded"},
		{name: "error object beside choices", body: `{"error":{"message":"overloaded"},"choices":[{"message":{"content":"hi"}}]}`, text: "with an error inside: overloaded"},
		{name: "error text", body: `{"error":"model not loaded"}`, text: "model not loaded"},
		{name: "error with nothing known", body: `{"error":{"oops":true}}`, text: `{"oops":true}`},
		{name: "quota", body: `{"error":{"message":"no money","code":"insufficient_quota"}}`, permanent: true, text: "no money"},
		{name: "bad request", body: `{"error":{"message":"no","type":"invalid_request_error"}}`, permanent: true, text: "no"},
		{name: "status inside 429", body: `{"error":{"message":"slow down","code":429}}`, text: "(429): slow down"},
		{name: "status inside 400", body: `{"error":{"message":"bad","code":400}}`, permanent: true, text: "(400): bad"},
		{name: "router", body: `{"error":{"message":"Provider returned error","code":502,"metadata":{"raw":"upstream died"}}}`, text: "Provider returned error: upstream died"},
		{name: "error in the choice", body: `{"choices":[{"error":{"message":"lost the provider","code":502},"message":{"content":"par"},"finish_reason":"error"}]}`, text: "lost the provider"},
		{name: "error as finish reason", body: `{"choices":[{"message":{"content":"par"},"finish_reason":"error"}]}`, is: openai.ErrBadAnswer, text: "finish_reason error"},
		{name: "no choices", body: `{"id":"x","object":"chat.completion"}`, is: openai.ErrBadAnswer, text: "JSON object without choices"},
		{name: "null choices", body: `{"choices":null}`, is: openai.ErrBadAnswer, text: "an empty list of choices"},
		{name: "empty choices", body: `{"choices":[]}`, is: openai.ErrBadAnswer, text: "an empty list of choices"},
		{name: "odd choices", body: `{"choices":"none"}`, is: openai.ErrBadAnswer, text: "not a list of objects"},
		{name: "no message", body: `{"choices":[{"text":"hi"}]}`, is: openai.ErrBadAnswer, text: "choice without a message"},
		{name: "null choice", body: `{"choices":[null]}`, is: openai.ErrBadAnswer, text: "choice without a message"},
		{name: "odd content", body: `{"choices":[{"message":{"content":{"a":1}}}]}`, is: openai.ErrBadAnswer, text: "not a chat completion"},
		{name: "null content", body: `{"choices":[{"message":{"content":null},"finish_reason":"stop"}]}`, is: openai.ErrBadAnswer, text: "an empty text (finish_reason stop)"},
		{name: "empty content", body: `{"choices":[{"message":{"content":""}}]}`, is: openai.ErrBadAnswer, text: "an empty text"},
		{name: "blank content", body: `{"choices":[{"message":{"content":" \n\t"}}]}`, is: openai.ErrBadAnswer, text: "an empty text"},
		{name: "empty parts", body: `{"choices":[{"message":{"content":[]}}]}`, is: openai.ErrBadAnswer, text: "an empty text"},
		{name: "tool call", body: `{"choices":[{"message":{"content":null,"tool_calls":[{"function":{"name":"get_weather","arguments":{}}}]},"finish_reason":"tool_calls"}]}`, is: openai.ErrBadAnswer, text: "call of the tool get_weather"},
		{name: "function call", body: `{"choices":[{"message":{"function_call":{"name":"get_time"}}}]}`, is: openai.ErrBadAnswer, text: "call of the tool get_time"},
		{name: "refusal", body: `{"choices":[{"message":{"content":null,"refusal":"I cannot help."},"finish_reason":"stop"}]}`, permanent: true, is: openai.ErrRefused, text: "I cannot help."},
		{name: "filtered", body: `{"choices":[{"message":{"content":""},"finish_reason":"content_filter"}]}`, permanent: true, is: openai.ErrRefused, text: "content_filter"},
		{name: "all reasoning", body: `{"usage":{"completion_tokens":50,"completion_tokens_details":{"reasoning_tokens":50}},"choices":[{"message":{"content":""},"finish_reason":"length"}]}`, permanent: true, is: openai.ErrBadAnswer, text: "50 tokens of it by reasoning: raise max_tokens"},
		{name: "only reasoning", body: `{"choices":[{"message":{"content":"","reasoning_content":"hmm"},"finish_reason":"stop"}]}`, is: openai.ErrBadAnswer, text: "reasoning but no text"},
		{name: "page", body: "<!doctype html><title>Sign in to the hotel's network</title>", contentType: "text/html", is: openai.ErrBadAnswer, text: `an HTML page titled "Sign in to the hotel's network"`},
		{name: "page without a title", body: "<html>", contentType: "text/html", is: openai.ErrBadAnswer, text: "answered 200 with an HTML page"},
		{name: "stream", body: "data: {\"choices\":[]}\n\n", contentType: "text/event-stream", is: openai.ErrBadAnswer, text: "a stream of events"},
		{name: "text", body: "OK", contentType: "text/plain", is: openai.ErrBadAnswer, text: `text/plain that is not JSON: "OK"`},
		{name: "half an object", body: goodAnswer[:90], is: openai.ErrBadAnswer, text: "broken JSON of 90 bytes"},
		{name: "two objects", body: `{"choices":[{"message":{"content":"hi"}}]}{"error":"died"}`, is: openai.ErrBadAnswer, text: "broken JSON"},
		{name: "null", body: `null`, is: openai.ErrBadAnswer, text: `JSON that is not an object: "null"`},
		{name: "number list", body: `[1]`, is: openai.ErrBadAnswer, text: "JSON that is not an object"},
		{name: "empty", body: "", is: openai.ErrBadAnswer, text: "an empty body"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.contentType == "" {
				c.contentType = "application/json"
			}
			_, err := ask(t, reply(200, c.body, "Content-Type", c.contentType))
			require.ErrorContains(t, err, c.text)
			assert.Equal(t, c.permanent, punctual.IsPermanent(err), "permanent")
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			} else {
				var apiErr *openai.APIError
				require.ErrorAs(t, err, &apiErr)
				assert.Equal(t, 200, apiErr.StatusCode)
			}
		})
	}
}

func TestAFailedAnswerStillAccountsForItsTokens(t *testing.T) {
	result, err := ask(t, reply(200, `{"id":"c1","model":"m","usage":{"prompt_tokens":5,"completion_tokens":7},"choices":[{"message":{"refusal":"No."}}]}`))
	require.Error(t, err)
	facts := factsOf(t, result)
	assert.Equal(t, &openai.Usage{PromptTokens: 5, CompletionTokens: 7, TotalTokens: 12}, facts.Usage)
	assert.Equal(t, "c1", facts.ResponseID)
	assert.Equal(t, "No.", result.Output)
}

func TestAnAnswerThatIsCutOffSaysSo(t *testing.T) {
	for _, status := range []int{200, 500} {
		_, err := ask(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"choices":`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
		require.Error(t, err)
		assert.False(t, punctual.IsPermanent(err))
		if status == 500 {
			assert.ErrorContains(t, err, "500 Internal Server Error")
			continue
		}
		require.ErrorIs(t, err, openai.ErrBadAnswer)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		assert.ErrorContains(t, err, "answered 200 and the connection was cut after 11 bytes: unexpected EOF")
	}
}

func TestAConnectionThatIsClosedWithoutAnAnswerSaysSo(t *testing.T) {
	_, err := ask(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	require.ErrorIs(t, err, io.EOF)
	require.ErrorContains(t, err, "closed the connection without an answer")
	assert.False(t, punctual.IsPermanent(err))
}

func TestAnAnswerOverTheLimitFails(t *testing.T) {
	_, err := ask(t, reply(200, goodAnswer), openai.WithResponseLimit(int64(len(goodAnswer))))
	require.NoError(t, err)
	_, err = ask(t, reply(200, goodAnswer), openai.WithResponseLimit(int64(len(goodAnswer)-1)))
	require.ErrorIs(t, err, openai.ErrBadAnswer)
	require.ErrorContains(t, err, "more than")
	assert.False(t, punctual.IsPermanent(err))
}

func TestAnEndlessErrorPageIsNotReadToItsEnd(t *testing.T) {
	chunk := strings.Repeat("x", 32<<10)
	written := make(chan int, 1)
	_, err := ask(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(500)
		for n := 0; ; n += len(chunk) {
			if _, err := io.WriteString(w, chunk); err != nil {
				written <- n
				return
			}
		}
	}, openai.WithResponseLimit(64<<20))
	assert.Less(t, <-written, 32<<20, "what fits into the buffers between")
	require.ErrorContains(t, err, "500 Internal Server Error")
	assert.Less(t, len(err.Error()), 1000)
}

// hermes-agent#32290.
func TestAnUnreachableEndpointMayBeTriedAgain(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	result, err := executorFor(t, "http://"+address+"/v1?tenant=a7").Execute(context.Background(), runOf(t, hello()))
	require.ErrorContains(t, err, "openai: no answer from "+address+": dial tcp")
	assert.NotContains(t, err.Error(), "tenant")
	var netErr *net.OpError
	require.ErrorAs(t, err, &netErr)
	assert.False(t, punctual.IsPermanent(err))
	assert.Empty(t, result)
}

func TestTheEndOfTheContextIsNamedWithItsCause(t *testing.T) {
	for name, cause := range map[string]error{"timeout": punctual.ErrTimeout, "plain": nil} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(context.Background())
			release := make(chan struct{})
			ep := serve(t, func(w http.ResponseWriter, r *http.Request) {
				cancel(cause)
				<-release
			})
			defer close(release)
			_, err := executorFor(t, ep.URL).Execute(ctx, runOf(t, hello()))
			require.ErrorIs(t, err, context.Canceled)
			if cause != nil {
				require.ErrorIs(t, err, cause)
				require.ErrorContains(t, err, "attempt timed out")
			}
			assert.ErrorContains(t, err, "stopped")
			assert.False(t, punctual.IsPermanent(err))
			_, waits := punctual.RetryAfterOf(err)
			assert.False(t, waits)
		})
	}
}

func TestTheContextAlsoEndsTheReadingOfAnAnswer(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		body := io.MultiReader(strings.NewReader(`{"choices":`), readFunc(func([]byte) (int, error) {
			cancel(punctual.ErrCanceled)
			return 0, context.Cause(r.Context())
		}))
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(body), Request: r}, nil
	})}
	_, err := executorFor(t, "http://host", openai.WithHTTPClient(client)).Execute(ctx, runOf(t, hello()))
	require.ErrorIs(t, err, punctual.ErrCanceled)
	require.ErrorIs(t, err, context.Canceled)
	assert.NotErrorIs(t, err, openai.ErrBadAnswer)
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func TestAnEndedContextCallsNobody(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	ep := serve(t, reply(200, goodAnswer))
	asked := openai.KeyFunc(func(context.Context, string) (string, error) {
		t.Error("the key source was asked")
		return "", nil
	})
	_, err := executorFor(t, ep.URL, openai.WithKeys(asked)).Execute(ctx, runOf(t, hello()))
	require.ErrorIs(t, err, context.Canceled)
	assert.Zero(t, ep.calls)

	ctx, cancel = context.WithCancel(context.Background())
	keys := openai.KeyFunc(func(ctx context.Context, _ string) (string, error) {
		cancel()
		return "", ctx.Err()
	})
	_, err = executorFor(t, ep.URL, openai.WithKeys(keys)).Execute(ctx, runOf(t, hello()))
	require.ErrorIs(t, err, context.Canceled)
	assert.False(t, punctual.IsPermanent(err))
	assert.Zero(t, ep.calls)
}

func TestRedirectsReachNobodyElse(t *testing.T) {
	other := serve(t, reply(200, goodAnswer))
	for _, status := range []int{301, 302, 303, 307, 308} {
		ep := serve(t, reply(status, "", "Location", other.URL+"/v1/login?session=abc"))
		_, err := executorFor(t, ep.URL).Execute(context.Background(), runOf(t, hello()))
		require.ErrorContains(t, err, "redirect to "+other.URL+"/v1/login not followed")
		assert.NotContains(t, err.Error(), "abc")
		assert.True(t, punctual.IsPermanent(err))
		assert.Equal(t, 1, ep.calls)
	}
	assert.Zero(t, other.calls)
}

func TestARedirectAtTheSameHostIsFollowedWhenItRepeatsTheRequest(t *testing.T) {
	for status, followed := range map[int]bool{301: false, 302: false, 303: false, 307: true, 308: true} {
		ep := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/new" {
				reply(200, goodAnswer)(w, r)
				return
			}
			http.Redirect(w, r, "/new", status)
		})
		_, err := executorFor(t, ep.URL).Execute(context.Background(), runOf(t, hello()))
		if !followed {
			require.ErrorContains(t, err, "not followed")
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, "gpt-test", ep.body["model"])
		assert.Equal(t, "Bearer "+testKey, ep.last.Header.Get("Authorization"))
	}
}

func TestRedirectsInACircleEnd(t *testing.T) {
	ep := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
	})
	_, err := executorFor(t, ep.URL).Execute(context.Background(), runOf(t, hello()))
	require.ErrorContains(t, err, "not followed")
	assert.Equal(t, 6, ep.calls)
}

func TestTheHostsRedirectPolicyCanNarrowOurs(t *testing.T) {
	ep := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/new", http.StatusTemporaryRedirect)
	})
	refuse := errors.New("no redirects here")
	client := &http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return refuse }}
	_, err := executorFor(t, ep.URL, openai.WithHTTPClient(client)).Execute(context.Background(), runOf(t, hello()))
	require.ErrorIs(t, err, refuse)
	assert.Equal(t, 1, ep.calls)
}

func TestAModelWithoutChatIsRefusedBeforeACall(t *testing.T) {
	ep := serve(t, reply(200, goodAnswer))
	_, err := executorFor(t, ep.URL).Execute(context.Background(), runOf(t, openai.Request{Model: "text-davinci-003", Prompt: "x"}))
	require.ErrorIs(t, err, openai.ErrInvalidRequest)
	assert.True(t, punctual.IsPermanent(err))
	assert.Zero(t, ep.calls)
}

func TestConnectionsAreKeptBetweenCalls(t *testing.T) {
	connections := 0
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Idempotency-Key") == "run-2" {
			reply(500, `{"error":"x"}`)(w, r)
			return
		}
		reply(200, goodAnswer)(w, r)
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections++
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	e := executorFor(t, server.URL)
	for _, id := range []string{"run-1", "run-2", "run-3"} {
		run := runOf(t, hello())
		run.ID = id
		_, err := e.Execute(context.Background(), run)
		assert.Equal(t, id == "run-2", err != nil)
	}
	assert.Equal(t, 1, connections)
}
