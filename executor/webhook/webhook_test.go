package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/executor/webhook"
	"github.com/punctual-go/punctual/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// token has the shape of a secret and opens nothing.
const token = "hook-4f9QzT7mWc2LpXv8Rb1NyKd6Hs3JgAe5"

var noon = time.Date(2026, 3, 8, 12, 0, 0, 0, time.UTC)

// endpoint is a server on loopback that keeps the last request.
type endpoint struct {
	*httptest.Server
	calls  int
	method string
	path   string
	header http.Header
	body   string
}

func serve(t *testing.T, answer http.HandlerFunc) *endpoint {
	t.Helper()
	ep := &endpoint{}
	ep.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		ep.calls++
		ep.method, ep.path, ep.header, ep.body = r.Method, r.URL.Path, r.Header.Clone(), string(body)
		answer(w, r)
	}))
	t.Cleanup(ep.Close)
	return ep
}

// reply answers with a status, headers in pairs, and a body.
func reply(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func newExecutor(t *testing.T, opts ...webhook.Option) *webhook.Executor {
	mock := clock.NewMock()
	mock.Set(noon)
	e := webhook.New(append([]webhook.Option{
		webhook.WithClock(mock), webhook.WithSecrets(webhook.StaticSecrets(map[string]string{"main": token + "\n", "signing": "whsec_c2lnbmluZyBzZWNyZXQ="})),
	}, opts...)...)
	t.Cleanup(e.CloseIdleConnections)
	return e
}

func execute(t *testing.T, e *webhook.Executor, r webhook.Request) (punctual.Result, error) {
	t.Helper()
	payload, err := webhook.NewPayload(r)
	require.NoError(t, err)
	return e.Execute(t.Context(), punctual.Run{
		ID: "run1", TaskID: "refresh", TaskName: "Refresh", Trigger: punctual.TriggerSchedule, ScheduledAt: noon, Attempt: 2, Payload: payload,
	})
}

func factsOf(t *testing.T, result punctual.Result) (f webhook.Facts) {
	t.Helper()
	require.NoError(t, json.Unmarshal(result.Facts, &f))
	return f
}

func TestWhatIsSent(t *testing.T) {
	ep := serve(t, reply(200, "done"))
	e := newExecutor(t)
	event := `{"run_id":"run1","task_id":"refresh","task_name":"Refresh","trigger":"schedule","scheduled_at":"2026-03-08T12:00:00Z","attempt":2}`
	for _, c := range []struct {
		name    string
		request webhook.Request
		method  string
		kind    string
		body    string
	}{
		{"nothing but a URL", webhook.Request{}, "POST", "application/json", event},
		{"JSON", webhook.Request{Body: json.RawMessage(`{"a":1}`)}, "POST", "application/json", `{"a":1}`},
		{"text", webhook.Request{Method: "PUT", Text: "grüße"}, "PUT", "text/plain; charset=utf-8", "grüße"},
		{"a type of one's own", webhook.Request{Text: "<a/>", Headers: map[string]string{"content-type": "text/xml"}}, "POST", "text/xml", "<a/>"},
		{"get", webhook.Request{Method: "GET"}, "GET", "", ""},
		{"delete", webhook.Request{Method: "DELETE"}, "DELETE", "", ""},
		{"patch", webhook.Request{Method: "PATCH"}, "PATCH", "application/json", event},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.request.URL = ep.URL + "/hook"
			result, err := execute(t, e, c.request)
			require.NoError(t, err)
			assert.Equal(t, c.method, ep.method)
			assert.Equal(t, "/hook", ep.path)
			assert.Equal(t, c.kind, ep.header.Get("Content-Type"))
			assert.Equal(t, c.body, ep.body)
			assert.Equal(t, "run1", ep.header.Get("Idempotency-Key"), "the same over all attempts")
			assert.Empty(t, ep.header.Get("Webhook-Signature"))
			assert.Equal(t, "done", result.Output)
		})
	}
	_, err := execute(t, e, webhook.Request{
		URL: ep.URL, Headers: map[string]string{"X-Team": "news"},
		SecretHeaders: map[string]webhook.Secret{"Authorization": {Name: "main", Prefix: "Bearer "}, "X-Token": {Name: "main"}},
	})
	require.NoError(t, err)
	assert.Equal(t, "news", ep.header.Get("X-Team"))
	assert.Equal(t, "Bearer "+token, ep.header.Get("Authorization"))
	assert.Equal(t, token, ep.header.Get("X-Token"))
}

func TestSignedRequestsAreVerified(t *testing.T) {
	ep := serve(t, reply(204, ""))
	_, err := execute(t, newExecutor(t), webhook.Request{URL: ep.URL, Body: json.RawMessage(`{"a":1}`), SignWith: "signing"})
	require.NoError(t, err)
	verify := func(change func(h http.Header), body, secret string, now time.Time) error {
		h := ep.header.Clone()
		change(h)
		return webhook.Verify(h, []byte(body), secret, now)
	}
	same := func(http.Header) {}
	require.NoError(t, verify(same, ep.body, "signing secret", noon.Add(time.Minute)), "whsec_ is base64 of it")
	require.NoError(t, verify(func(h http.Header) { h.Set("Webhook-Signature", "v1,other "+h.Get("Webhook-Signature")) }, ep.body, "signing secret", noon),
		"several signatures while a secret is being changed")
	assert.Equal(t, "run1", ep.header.Get("Webhook-Id"))
	for name, err := range map[string]error{
		"body":        verify(same, ep.body+" ", "signing secret", noon),
		"secret":      verify(same, ep.body, "another secret", noon),
		"no secret":   verify(same, ep.body, "", noon),
		"bad secret":  verify(same, ep.body, "whsec_%", noon),
		"too old":     verify(same, ep.body, "signing secret", noon.Add(5*time.Minute+time.Second)),
		"too new":     verify(same, ep.body, "signing secret", noon.Add(-5*time.Minute-time.Second)),
		"id":          verify(func(h http.Header) { h.Set("Webhook-Id", "run2") }, ep.body, "signing secret", noon),
		"time":        verify(func(h http.Header) { h.Set("Webhook-Timestamp", "1772971201") }, ep.body, "signing secret", noon),
		"no id":       verify(func(h http.Header) { h.Del("Webhook-Id") }, ep.body, "signing secret", noon),
		"no time":     verify(func(h http.Header) { h.Del("Webhook-Timestamp") }, ep.body, "signing secret", noon),
		"not signed":  verify(func(h http.Header) { h.Del("Webhook-Signature") }, ep.body, "signing secret", noon),
		"no version":  verify(func(h http.Header) { h.Set("Webhook-Signature", h.Get("Webhook-Signature")[3:]) }, ep.body, "signing secret", noon),
		"broken time": verify(func(h http.Header) { h.Set("Webhook-Timestamp", "noon") }, ep.body, "signing secret", noon),
	} {
		require.ErrorIs(t, err, webhook.ErrBadSignature, name)
		assert.NotContains(t, err.Error(), "signing secret", name)
	}
}

// The example that the libraries for Standard Webhooks test themselves with.
func TestSignaturesAreThoseOfStandardWebhooks(t *testing.T) {
	h := http.Header{
		"Webhook-Id":        {"msg_p5jXN8AQM9LWM0D4loKWxJek"},
		"Webhook-Timestamp": {"1614265330"},
		"Webhook-Signature": {"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
	}
	require.NoError(t, webhook.Verify(h, []byte(`{"test": 2432232314}`), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", time.Unix(1614265330, 0)))
}

func TestStatusesDecide(t *testing.T) {
	for _, c := range []struct {
		status    int
		headers   []string
		permanent bool
		wait      time.Duration
	}{
		{status: 400, permanent: true},
		{status: 401, permanent: true},
		{status: 404, permanent: true},
		{status: 410, permanent: true},
		{status: 408},
		{status: 409},
		{status: 425},
		{status: 429, headers: []string{"Retry-After", "7"}, wait: 7 * time.Second},
		{status: 429, headers: []string{"Retry-After", "86400"}, wait: time.Hour},
		{status: 503, headers: []string{"Retry-After", "Sun, 08 Mar 2026 12:00:30 GMT"}, wait: 30 * time.Second},
		{status: 500},
		{status: 302, headers: []string{"Location", "/elsewhere"}, permanent: true},
		{status: 304, permanent: true},
	} {
		ep := serve(t, reply(c.status, "why\nnot", append(c.headers, "X-Request-Id", "r7")...))
		result, err := execute(t, newExecutor(t), webhook.Request{URL: ep.URL})
		var status *webhook.StatusError
		require.ErrorAs(t, err, &status, "%d", c.status)
		assert.Equal(t, c.status, status.StatusCode)
		assert.Equal(t, c.permanent, punctual.IsPermanent(err), "%d", c.status)
		assert.Equal(t, c.wait, status.RetryAfter, "%d", c.status)
		assert.Equal(t, webhook.Facts{Status: c.status, Endpoint: strings.TrimPrefix(ep.URL, "http://"), ContentType: factsOf(t, result).ContentType, RequestID: "r7"}, factsOf(t, result))
		if c.status == 500 {
			assert.Equal(t, "webhook: "+strings.TrimPrefix(ep.URL, "http://")+" answered 500 Internal Server Error: why not", err.Error())
		}
		assert.Equal(t, 1, ep.calls)
	}
}

func TestRedirectsAreFollowedAtTheSameHostOnly(t *testing.T) {
	elsewhere := serve(t, reply(200, "stolen"))
	ep := serve(t, nil)
	ep.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/here", http.StatusTemporaryRedirect)
		case "/away":
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		case "/here":
			body, _ := io.ReadAll(r.Body)
			_, _ = w.Write(append([]byte("got "), body...))
		}
	})
	e := newExecutor(t)
	result, err := execute(t, e, webhook.Request{URL: ep.URL + "/moved", Text: "it"})
	require.NoError(t, err)
	assert.Equal(t, "got it", result.Output)
	_, err = execute(t, e, webhook.Request{URL: ep.URL + "/away", Text: "it", SecretHeaders: map[string]webhook.Secret{"X-Token": {Name: "main"}}})
	assert.ErrorContains(t, err, "not followed")
	assert.True(t, punctual.IsPermanent(err))
	assert.Zero(t, elsewhere.calls)
}

func TestOutputs(t *testing.T) {
	for _, c := range []struct {
		name, body, want string
		cut              bool
	}{
		{"text", "42 rows", "42 rows", false},
		{"nothing", "", "", false},
		{"invalid UTF-8", "a\xffb", "a\uFFFDb", false},
		{"as much as fits", strings.Repeat("x", 128), strings.Repeat("x", 128), false},
		{"more than fits", strings.Repeat("x", 1000), strings.Repeat("x", 122) + "\n[cut]", true},
		{"more than is read", strings.Repeat("x", 1<<20), strings.Repeat("x", 122) + "\n[cut]", true},
	} {
		ep := serve(t, reply(200, c.body, "Content-Type", "text/plain; charset=utf-8"))
		result, err := execute(t, newExecutor(t, webhook.WithOutputLimit(1)), webhook.Request{URL: ep.URL})
		require.NoError(t, err, c.name)
		assert.Equal(t, c.want, result.Output, c.name)
		assert.Equal(t, c.cut, factsOf(t, result).Cut, c.name)
		assert.Equal(t, "text/plain", factsOf(t, result).ContentType)
	}
	ep := serve(t, reply(200, "half", "Content-Length", "8"))
	result, err := execute(t, newExecutor(t), webhook.Request{URL: ep.URL})
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.False(t, punctual.IsPermanent(err))
	assert.Equal(t, "half", result.Output)
}

func TestSecretsAreNeverSeen(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"error":         reply(401, "bad token "+token),
		"part":          reply(401, "bad token "+token[:14]+"..."),
		"split":         reply(500, token[:20]+"\n"+token[20:]),
		"redirect":      reply(302, "", "Location", "/login?token="+token),
		"redirect path": reply(302, "", "Location", "/login/"+token),
		"request id":    reply(200, "ok", "X-Request-Id", token),
		"content type":  reply(200, "ok", "Content-Type", token),
		"answer":        reply(200, "you sent "+token),
		"at the cut":    reply(200, strings.Repeat("x", 110)+token),
		"cut off":       reply(200, token, "Content-Length", "500"),
	} {
		for kind, r := range map[string]webhook.Request{
			"header": {SecretHeaders: map[string]webhook.Secret{"Authorization": {Name: "main", Prefix: "Bearer "}}},
			"URL":    {SecretURL: "url"},
		} {
			ep := serve(t, answer)
			if kind == "header" {
				r.URL = ep.URL
			}
			result, err := execute(t, newExecutor(t, webhook.WithOutputLimit(128), webhook.WithSecrets(webhook.StaticSecrets(map[string]string{
				"main": token, "url": ep.URL + "/services/" + token + "?x=1",
			}))), r)
			require.Equal(t, 1, ep.calls)
			seen := result.Output + string(result.Facts)
			if err != nil {
				seen += err.Error()
			}
			if kind == "URL" { // the endpoint may know the token without being told the URL
				seen = strings.ReplaceAll(seen, token, "")
				assert.NotContains(t, seen, "/services/")
				continue
			}
			for i := 0; i+8 <= len(token); i++ {
				assert.NotContains(t, seen, token[i:i+8], "%s: %s", name, seen)
			}
		}
	}
	broken := webhook.SecretFunc(func(context.Context, string) (string, error) {
		return token, errors.New("vault is sealed, not " + token)
	})
	_, err := execute(t, newExecutor(t, webhook.WithSecrets(broken)), webhook.Request{URL: "http://127.0.0.1:1", SignWith: "x"})
	require.ErrorContains(t, err, "vault is sealed")
	assert.NotContains(t, err.Error(), token)
	assert.False(t, punctual.IsPermanent(err))
	_, err = execute(t, newExecutor(t, webhook.WithSecrets(webhook.StaticSecrets(map[string]string{"url": "http://127.0.0.1:1/" + token}))), webhook.Request{SecretURL: "url"})
	require.ErrorContains(t, err, "no answer from 127.0.0.1:1")
	assert.NotContains(t, err.Error(), token)
}

func TestWhatCannotBeMended(t *testing.T) {
	ep := serve(t, reply(200, ""))
	for name, c := range map[string]struct {
		request webhook.Request
		opts    []webhook.Option
		is      error
	}{
		"unknown secret":        {webhook.Request{URL: ep.URL, SignWith: "other"}, nil, webhook.ErrSecretNotFound},
		"no source":             {webhook.Request{URL: ep.URL, SignWith: "main"}, []webhook.Option{webhook.WithSecrets(nil)}, webhook.ErrInvalidRequest},
		"host not allowed":      {webhook.Request{URL: ep.URL}, []webhook.Option{webhook.WithAllowedHosts("example.com")}, webhook.ErrInvalidRequest},
		"no host is allowed":    {webhook.Request{URL: ep.URL}, []webhook.Option{webhook.WithAllowedHosts()}, webhook.ErrInvalidRequest},
		"secret host":           {webhook.Request{SecretURL: "url"}, []webhook.Option{webhook.WithAllowedHosts("example.com")}, webhook.ErrInvalidRequest},
		"secret is no URL":      {webhook.Request{SecretURL: "main"}, nil, webhook.ErrInvalidRequest},
		"private address":       {webhook.Request{URL: ep.URL}, []webhook.Option{webhook.WithPublicAddressesOnly()}, nil},
		"unfit for a header":    {webhook.Request{URL: ep.URL, SecretHeaders: map[string]webhook.Secret{"X-T": {Name: "odd"}}}, nil, nil},
		"unfit for a signature": {webhook.Request{URL: ep.URL, SignWith: "empty"}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			secrets := webhook.StaticSecrets(map[string]string{"main": token, "url": ep.URL, "odd": "a\nb", "empty": " "})
			_, err := execute(t, newExecutor(t, append([]webhook.Option{webhook.WithSecrets(secrets)}, c.opts...)...), c.request)
			require.Error(t, err)
			assert.True(t, punctual.IsPermanent(err), err)
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
			assert.Zero(t, ep.calls)
		})
	}
	host := strings.TrimPrefix(ep.URL, "http://")
	_, err := execute(t, newExecutor(t, webhook.WithAllowedHosts(host)), webhook.Request{URL: ep.URL})
	require.NoError(t, err)
	_, err = newExecutor(t).Execute(t.Context(), punctual.Run{ID: "r"})
	require.ErrorIs(t, err, webhook.ErrInvalidRequest)
	assert.True(t, punctual.IsPermanent(err))
}

func TestBadPayloadsAreRefused(t *testing.T) {
	for payload, want := range map[string]string{
		`{}`:                                                      "url is required",
		`{"url":"ftp://h"}`:                                       "url must begin with https:// or http://",
		`{"url":"https://u:p@h"}`:                                 "url must not hold a user or password",
		`{"url":"https://h?api_key=x"}`:                           "url must not hold a secret in its query: use secret_url or secret_headers",
		`{"url":"https://h","secret_url":"x"}`:                    "url cannot be used together with secret_url",
		`{"url":"https://h","method":"post"}`:                     "method is none of GET, HEAD, POST, PUT, PATCH, DELETE",
		`{"url":"https://h","mehtod":"POST"}`:                     `unknown field "mehtod"`,
		`{"url":"https://h","headers":{"Authorization":"x"}}`:     "headers.Authorization holds a secret: use secret_headers",
		`{"url":"https://h","headers":{"cookie":"x"}}`:            "headers.cookie holds a secret: use secret_headers",
		`{"url":"https://h","headers":{"host":"x"}}`:              "headers.host is set by the executor",
		`{"url":"https://h","headers":{"webhook-id":"x"}}`:        "headers.webhook-id is set by the executor",
		`{"url":"https://h","headers":{"a b":"x"}}`:               "headers.a b is no name of an HTTP header",
		`{"url":"https://h","headers":{"a":"x\r\ny"}}`:            "headers.a holds a character that an HTTP header cannot carry",
		`{"url":"https://h","secret_headers":{"a":{}}}`:           "secret_headers.a.name is required",
		`{"url":"https://h","sign_with":"` + token + token + `"}`: "sign_with looks like a secret: it must be the name of one",
		`{"url":"https://h","text":"a","body":1}`:                 "text cannot be sent together with body",
		`{"url":"https://h","method":"GET","body":1}`:             "body cannot be sent with GET",
		`[]`: "cannot unmarshal array",
	} {
		_, err := webhook.ParsePayload(json.RawMessage(payload))
		require.ErrorIs(t, err, webhook.ErrInvalidRequest, payload)
		assert.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), token)
	}
	r := webhook.Request{URL: "https://h", Headers: map[string]string{"A": "b"}, Body: json.RawMessage(`{"x":[1]}`), SignWith: "s"}
	payload, err := webhook.NewPayload(r)
	require.NoError(t, err)
	back, err := webhook.ParsePayload(payload)
	require.NoError(t, err)
	assert.Equal(t, r, back)
	var bad *webhook.RequestError
	require.ErrorAs(t, webhook.New(webhook.WithAllowedHosts()).Validate(r), &bad)
	assert.Len(t, bad.Fields, 2)
}

func FuzzPayload(f *testing.F) {
	for _, s := range []string{`{}`, `{"url":"https://h","headers":{"a":"b"}}`, `{"secret_url":"a","body":{}}`, `{"url":"http://[::1%25x]:1/#"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		r, err := webhook.ParsePayload(payload)
		if err != nil {
			if !errors.Is(err, webhook.ErrInvalidRequest) {
				t.Fatal(err)
			}
			return
		}
		again, err := webhook.NewPayload(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := webhook.ParsePayload(again); err != nil {
			t.Fatalf("%s became %s: %v", payload, again, err)
		}
	})
}

func TestEnvSecrets(t *testing.T) {
	t.Setenv("HOOK_CI_TOKEN", token)
	secret, err := webhook.EnvSecrets("HOOK_").Secret(t.Context(), "ci-token")
	require.NoError(t, err)
	assert.Equal(t, token, secret)
	_, err = webhook.EnvSecrets("HOOK_").Secret(t.Context(), "other")
	require.ErrorIs(t, err, webhook.ErrSecretNotFound)
	assert.ErrorContains(t, err, "HOOK_OTHER")
	assert.Panics(t, func() { webhook.EnvSecrets("") })
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Inside the bubble the real clock is a fake one. The network would not be part of it, so the endpoint is a RoundTripper.
func TestTheSchedulerRepeatsACallWithTheSameKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var at []time.Duration
		var keys []string
		client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			at, keys = append(at, time.Since(begin)), append(keys, r.Header.Get("Idempotency-Key"))
			answer := &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("ok")), Request: r}
			switch len(at) {
			case 1:
				answer.StatusCode, answer.Header = 429, http.Header{"Retry-After": {"7"}}
			case 2: // silent until the attempt's time is over
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return answer, nil
		})}
		s, err := punctual.New(memory.New(), webhook.New(webhook.WithHTTPClient(client)))
		require.NoError(t, err)
		require.NoError(t, s.Start(context.Background()))
		payload, err := webhook.NewPayload(webhook.Request{URL: "http://host/hook"})
		require.NoError(t, err)
		require.NoError(t, s.Add(context.Background(), punctual.Task{
			ID: "hook", Schedule: punctual.Every(time.Hour), Payload: payload, Timeout: time.Minute, Retry: punctual.Retry{MaxAttempts: 3, Initial: 3 * time.Second},
		}))
		time.Sleep(10 * time.Minute)
		runs, err := s.Runs(context.Background(), punctual.RunQuery{TaskID: "hook"})
		require.NoError(t, err)
		require.Len(t, runs, 1)
		assert.Equal(t, punctual.StateSucceeded, runs[0].State, runs[0].Error)
		assert.Equal(t, []time.Duration{0, 7 * time.Second, 73 * time.Second}, at, "the wait asked for, then a minute's timeout and twice three seconds")
		assert.Equal(t, []string{runs[0].ID, runs[0].ID, runs[0].ID}, keys)
		require.NoError(t, s.Shutdown(context.Background()))
	})
}

func TestTheEndOfTheContextIsTheReason(t *testing.T) {
	ep := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	payload, err := webhook.NewPayload(webhook.Request{URL: ep.URL})
	require.NoError(t, err)
	e := newExecutor(t, webhook.WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		cancel(cause)
		return http.DefaultTransport.RoundTrip(r)
	})}))
	for range 2 { // in the middle, and before it begins
		_, err = e.Execute(ctx, punctual.Run{ID: "r", Payload: payload})
		require.ErrorIs(t, err, cause)
		require.ErrorIs(t, err, context.Canceled)
		assert.False(t, punctual.IsPermanent(err))
	}
}
