package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/benbjohnson/clock"
	goopenai "github.com/sashabaranov/go-openai"

	"github.com/punctual-go/punctual/internal/outbound"
)

// exchange is one request and its answer. It stands between go-openai and the HTTP client, because go-openai drops the headers
// of an error, prints whole bodies, reads without a limit and cannot say everything that a request may hold.
type exchange struct {
	client    *http.Client
	endpoint  *url.URL
	patch     map[string]json.RawMessage
	headers   http.Header
	runID     string
	limit     int64
	clock     clock.Clock
	maxWait   time.Duration
	redact    outbound.Redactor
	requested string // the model that was asked for
	api       string // APIResponses, or chat completions
	stream    bool
	patience  time.Duration // how long a stream may be silent; zero for no limit

	sent      bool // the HTTP client got the request
	passed    bool // go-openai got a success to decode
	facts     Facts
	toolCalls []string // names of what the model wanted to call
}

var _ goopenai.HTTPDoer = (*exchange)(nil)

// errorBodyLimit is how much of an answer that is no success is read: enough for any error object.
const errorBodyLimit = 64 << 10

// Do sends the request that go-openai built, after completing it. It returns a response only when that is a success with
// something in it that the model said, reduced to the members that are used, so that an odd value elsewhere does not spoil a good answer.
func (x *exchange) Do(built *http.Request) (*http.Response, error) {
	limited, quiet := watchSilence(built.Context(), x.clock, x.patience)
	defer quiet.stop()
	req, err := x.complete(built.WithContext(limited))
	if err != nil {
		return nil, err
	}
	x.sent = true
	ctx, host := req.Context(), x.endpoint.Host
	resp, err := x.client.Do(req)
	if err != nil {
		if ctxErr := stopped(ctx, host); ctxErr != nil {
			return nil, ctxErr
		}
		err = outbound.WithoutURL(err)
		if errors.Is(err, io.EOF) {
			return nil, outbound.Say(fmt.Sprintf("openai: %s closed the connection without an answer", host), err)
		}
		return nil, outbound.Say(fmt.Sprintf("openai: no answer from %s: %s", host, x.redact.Line(err.Error(), maxMessage)), err)
	}
	defer resp.Body.Close()
	x.facts = Facts{
		Endpoint: host, Status: resp.StatusCode, Model: x.requested,
		RequestID: x.redact.Line(resp.Header.Get("X-Request-Id"), maxLabel),
	}

	limit := x.limit
	if !outbound.IsSuccess(resp.StatusCode) {
		limit = min(limit, errorBodyLimit)
	}
	var body []byte
	if x.stream && outbound.IsSuccess(resp.StatusCode) && isStream(resp) {
		if body, err = x.readStream(resp.Body, limit, quiet); errors.Is(err, ErrBadAnswer) {
			return nil, err
		}
	} else {
		body, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	}
	if !outbound.IsSuccess(resp.StatusCode) {
		// What came of the body is enough, however it ended: the status has decided.
		return nil, x.apiError(resp, body).verdict()
	}
	switch {
	case err != nil:
		if ctxErr := stopped(ctx, host); ctxErr != nil {
			return nil, ctxErr
		}
		text := fmt.Sprintf("%v: %s answered %d and the connection was cut after %d bytes: %s",
			ErrBadAnswer, host, resp.StatusCode, len(body), x.redact.Line(err.Error(), maxMessage))
		return nil, outbound.Say(text, errors.Join(ErrBadAnswer, err))
	case int64(len(body)) > limit:
		return nil, x.bad("more than %d bytes", limit)
	}
	reduced, err := x.reduce(resp, body)
	if err != nil {
		return nil, err
	}
	x.passed = true
	answer := *resp
	answer.Body = io.NopCloser(bytes.NewReader(reduced))
	answer.ContentLength = int64(len(reduced))
	return &answer, nil
}

// complete gives the request its exact address, its headers, and the members of the body that go-openai cannot write.
func (x *exchange) complete(built *http.Request) (*http.Request, error) {
	raw, err := io.ReadAll(built.Body)
	if err != nil {
		return nil, err
	}
	var body map[string]json.RawMessage
	if err := json.Unmarshal(raw, &body); err != nil {
		return nil, err
	}
	for name, value := range x.patch {
		body[name] = value
	}
	if raw, err = json.Marshal(body); err != nil {
		return nil, err
	}
	// A body that can be read again lets the transport repeat a request that met a connection which had died while it was idle.
	req, err := http.NewRequestWithContext(built.Context(), http.MethodPost, x.endpoint.String(), bytes.NewReader(raw))
	if err != nil {
		return nil, errors.New("the endpoint's URL cannot be used")
	}
	for name, values := range x.headers {
		req.Header[name] = values
	}
	for name, values := range built.Header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", "punctual")
	if x.stream {
		req.Header.Set("Accept", "text/event-stream, application/json")
	}
	if x.runID != "" {
		req.Header.Set("Idempotency-Key", x.runID)
	}
	return req, nil
}

// reduce checks that a success is one and keeps the members that go-openai is to decode.
func (x *exchange) reduce(resp *http.Response, body []byte) ([]byte, error) {
	members, isJSON := object(body)
	if members == nil {
		if isJSON {
			return nil, x.bad("JSON that is not an object: %s", x.quote(body))
		}
		return nil, x.bad("%s", x.describe(resp.Header, body))
	}
	// Tokens are counted also when the answer turns out to be none.
	x.facts.ResponseID = x.redact.Line(stringOf(members["id"]), maxLabel)
	if model := x.redact.Line(stringOf(members["model"]), maxLabel); model != "" {
		x.facts.Model = model
	}
	x.facts.Usage = usageOf(members["usage"])
	if _, isError := errorIn(members); isError {
		return nil, x.apiError(resp, body).verdict()
	}
	if x.api == APIResponses {
		return x.reduceResponse(members, body)
	}
	return x.reduceCompletion(resp, members, body)
}

// form is what an answer of the API is called.
func (x *exchange) form() string {
	if x.api == APIResponses {
		return "a response"
	}
	return "a chat completion"
}

func (x *exchange) reduceCompletion(resp *http.Response, members map[string]json.RawMessage, body []byte) ([]byte, error) {
	var choices []map[string]json.RawMessage
	if err := json.Unmarshal(members["choices"], &choices); err != nil {
		if len(members["choices"]) == 0 {
			return nil, x.bad("a JSON object without choices: %s", x.quote(body))
		}
		return nil, x.bad("choices that are not a list of objects")
	}
	if len(choices) == 0 {
		return nil, x.bad("an empty list of choices")
	}
	choice := choices[0]
	x.facts.FinishReason = x.redact.Line(stringOf(choice["finish_reason"]), maxLabel)
	if rep, isError := errorMember(choice["error"]); isError {
		return nil, x.fromReport(resp, rep).verdict()
	}
	var message map[string]json.RawMessage
	if json.Unmarshal(choice["message"], &message) != nil || message == nil {
		return nil, x.bad("a choice without a message")
	}
	x.toolCalls = toolNames(message)

	kept := map[string]json.RawMessage{}
	for _, name := range []string{"role", "refusal", "reasoning_content"} {
		if s := stringOf(message[name]); s != "" {
			kept[name] = message[name]
		}
	}
	if content, ok := message["content"]; ok {
		kept["content"] = content
	}
	return json.Marshal(map[string]any{"choices": []any{map[string]any{"message": kept}}})
}

func toolNames(message map[string]json.RawMessage) []string {
	type function struct {
		Name string `json:"name"`
	}
	var calls []struct {
		Function function `json:"function"`
	}
	_ = json.Unmarshal(message["tool_calls"], &calls)
	var names []string
	for _, c := range calls {
		names = append(names, outbound.Clean(c.Function.Name, 64))
	}
	var single function
	if json.Unmarshal(message["function_call"], &single) == nil && single.Name != "" {
		names = append(names, outbound.Clean(single.Name, 64))
	}
	return names
}

// bad is an ErrBadAnswer that says what came.
func (x *exchange) bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s answered %d with %s", ErrBadAnswer, x.endpoint.Host, x.facts.Status, fmt.Sprintf(format, args...))
}

// apiError is the error of an answer that is no success or holds an error object.
func (x *exchange) apiError(resp *http.Response, body []byte) *APIError {
	members, _ := object(body)
	rep, found := errorIn(members)
	if !found {
		switch location := resp.Header.Get("Location"); {
		case location != "" && !outbound.IsSuccess(resp.StatusCode) && resp.StatusCode < 400:
			rep.message = "redirect to " + withoutQuery(x.endpoint, location) + " not followed: set the base URL to the address that answers itself"
		default:
			rep.message = x.describe(resp.Header, body)
		}
	}
	return x.fromReport(resp, rep)
}

func (x *exchange) fromReport(resp *http.Response, rep report) *APIError {
	wait := outbound.RetryWait(resp.Header, resp.StatusCode, x.clock.Now())
	if wait == 0 {
		wait = rep.retryDelay
	}
	return &APIError{
		StatusCode: resp.StatusCode,
		Code:       x.redact.Line(rep.code, maxLabel),
		Type:       x.redact.Line(rep.kind, maxLabel),
		Param:      x.redact.Line(rep.param, maxLabel),
		Message:    x.redact.Line(rep.message, maxMessage),
		Endpoint:   x.endpoint.Host,
		RequestID:  x.facts.RequestID,
		RetryAfter: min(wait, x.maxWait),
	}
}

// object reads a body as a JSON object, or as a list whose first item is one: Google wraps its errors so. The second answer
// tells whether it is JSON at all.
func object(body []byte) (map[string]json.RawMessage, bool) {
	body = bytes.TrimPrefix(body, []byte("\uFEFF"))
	if !json.Valid(body) {
		return nil, false
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) == nil {
		return members, true
	}
	var list []map[string]json.RawMessage
	if json.Unmarshal(body, &list) == nil && len(list) == 1 {
		return list[0], true
	}
	return nil, true
}

var pageTitle = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)

// describe says in words what a body is that is not the JSON it should be.
func (x *exchange) describe(h http.Header, body []byte) string {
	trimmed := bytes.TrimSpace(body)
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	switch {
	case len(trimmed) == 0:
		return "an empty body"
	case kind == "text/html" || bytes.HasPrefix(trimmed, []byte("<!")) || bytes.HasPrefix(bytes.ToLower(trimmed), []byte("<html")):
		if m := pageTitle.FindSubmatch(trimmed); m != nil {
			return fmt.Sprintf("an HTML page titled %q", x.redact.Line(string(m[1]), 120))
		}
		return "an HTML page"
	case kind == "text/event-stream" || bytes.HasPrefix(trimmed, []byte("data:")):
		return "a stream of events although none was asked for"
	case json.Valid(trimmed):
		return "JSON without an error in it: " + x.quote(trimmed)
	case trimmed[0] == '{' || trimmed[0] == '[':
		return fmt.Sprintf("broken JSON of %d bytes: %s", len(body), x.quote(trimmed))
	}
	if kind == "" {
		kind = "something"
	}
	return fmt.Sprintf("%s that is not JSON: %s", outbound.Clean(kind, 60), x.quote(trimmed))
}

// quote is the beginning of a body, cleaned before it is cut.
func (x *exchange) quote(body []byte) string {
	const most = 300
	return `"` + strings.ReplaceAll(x.redact.Line(string(body), most), `"`, "'") + `"`
}

// withoutQuery is where a redirect leads, without what may be confidential in it.
func withoutQuery(from *url.URL, location string) string {
	to, err := from.Parse(location)
	if err != nil {
		return "an address that cannot be read"
	}
	return to.Scheme + "://" + to.Host + to.EscapedPath()
}
