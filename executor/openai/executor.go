package openai

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/benbjohnson/clock"
	goopenai "github.com/sashabaranov/go-openai"

	"github.com/punctual-go/punctual"
)

// Executor performs the Request in a task's payload. It is safe for concurrent use; make it with New.
type Executor struct {
	base          *url.URL
	baseErr       error
	keys          KeySource
	defaultKey    string
	model         string
	allowed       map[string]bool // nil allows all
	headers       http.Header
	client        *http.Client
	clock         clock.Clock
	outputLimit   int
	responseLimit int64
	maxWait       time.Duration
}

var _ punctual.Executor = (*Executor)(nil)

// New returns an Executor.
func New(opts ...Option) *Executor {
	e := &Executor{outputLimit: DefaultOutputLimit, responseLimit: DefaultResponseLimit, maxWait: DefaultMaxRetryAfter}
	WithBaseURL(DefaultBaseURL)(e)
	for _, opt := range opts {
		opt(e)
	}
	if e.clock == nil {
		e.clock = clock.New()
	}
	if e.client == nil {
		e.client = newClient()
	}
	e.client = withRedirects(e.client)
	return e
}

// newClient keeps connections for thirty tasks that meet at nine o'clock, and asks an HTTP/2 connection that has gone silent for
// a sign of life: after a laptop's sleep it would otherwise swallow requests for a quarter of an hour.
func newClient() *http.Client {
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return &http.Client{Transport: http.DefaultTransport}
	}
	transport = transport.Clone()
	transport.MaxIdleConnsPerHost = 32
	transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second}
	return &http.Client{Transport: transport}
}

const maxRedirects = 5

// withRedirects follows a redirect only when it repeats the request (307, 308) at the same party. Any other is handed out as
// the answer it is.
func withRedirects(client *http.Client) *http.Client {
	own := *client
	theirs := client.CheckRedirect
	own.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects || req.Method != via[0].Method || !sameParty(via[0].URL, req.URL) {
			return http.ErrUseLastResponse
		}
		if theirs != nil {
			return theirs(req, via)
		}
		return nil
	}
	return &own
}

// CloseIdleConnections closes kept connections that no call is using. Call it after the Scheduler's Shutdown.
func (e *Executor) CloseIdleConnections() { e.client.CloseIdleConnections() }

// Validate checks a request together with the executor's defaults, without calling anybody: a nil error means that Execute will
// send it. Whether the key exists is found out when an attempt starts. The error is a *RequestError that names each wrong field.
func (e *Executor) Validate(r Request) error {
	_, err := e.plan(r)
	return err
}

// plan is a request with the executor's defaults applied.
type plan struct {
	Request
	endpoint *url.URL
	own      bool // the endpoint is the executor's own
	keyName  string
}

func (e *Executor) plan(r Request) (plan, error) {
	p := plan{Request: r, endpoint: e.base, keyName: r.APIKeyName}
	if p.Model == "" {
		p.Model = e.model
	}
	bad := &RequestError{}
	p.check(bad)
	if p.Model == "" {
		bad.add("model", "is required")
	}
	switch {
	case r.BaseURL != "":
		p.endpoint, _ = parseEndpoint(r.BaseURL) // check has reported an error
	case e.baseErr != nil:
		bad.add("base_url", "the executor's own %v", e.baseErr)
	}
	if p.endpoint != nil {
		p.own = e.base != nil && origin(p.endpoint) == origin(e.base)
		if !p.own && !e.allows(p.endpoint) {
			bad.add("base_url", "%s is not among the allowed hosts", clean(p.endpoint.Host, 100))
		}
	}
	if p.keyName == "" && p.own {
		p.keyName = e.defaultKey
	}
	if p.keyName != "" && e.keys == nil {
		bad.add("api_key_name", "names a key but the executor has no KeySource")
	}
	return p, bad.orNil()
}

func (e *Executor) allows(u *url.URL) bool {
	if e.allowed == nil || e.allowed[hostPort(u)] || e.allowed[u.Host] {
		return true
	}
	return u.Port() == "" && e.allowed[u.Hostname()]
}

// Execute sends the request once. The result's Output is the text of the answer and its Facts are Facts as JSON; where an
// endpoint answered, a failed attempt has facts, too.
//
// An error is permanent (punctual.IsPermanent) when another attempt can only fail the same way: a payload that is not valid
// (ErrInvalidRequest), an unknown key (ErrKeyNotFound), a refusal (ErrRefused), an *APIError with a status of 3xx or of 4xx
// other than 408, 409, 425 and 429, a used-up quota, an answer whose tokens went into hidden reasoning. All others may pass:
// network errors, 5xx, limits, answers that cannot be used (ErrBadAnswer), and the end of ctx, whose cause the error wraps.
func (e *Executor) Execute(ctx context.Context, run punctual.Run) (punctual.Result, error) {
	req, err := ParsePayload(run.Payload)
	if err != nil {
		return punctual.Result{}, punctual.Permanent(err)
	}
	p, err := e.plan(req)
	if err != nil {
		return punctual.Result{}, punctual.Permanent(err)
	}
	if err := stopped(ctx, p.endpoint.Host); err != nil {
		return punctual.Result{}, err
	}
	key, err := e.key(ctx, p)
	if err != nil {
		return punctual.Result{}, err
	}
	return e.call(ctx, p, key, run.ID)
}

// key looks up the key of the plan; empty means that none is sent.
func (e *Executor) key(ctx context.Context, p plan) (string, error) {
	if p.keyName == "" {
		return "", nil
	}
	key, err := e.keys.Key(ctx, p.keyName)
	if err == nil {
		key, err = headerKey(key)
		if err != nil {
			return "", punctual.Permanent(fmt.Errorf("openai: API key %q %w", p.keyName, err))
		}
		return key, nil
	}
	if ctxErr := stopped(ctx, p.endpoint.Host); ctxErr != nil {
		return "", ctxErr
	}
	err = &said{fmt.Sprintf("openai: API key %q: %s", p.keyName, newRedactor(key).text(err.Error(), maxMessage)), err}
	if errors.Is(err, ErrKeyNotFound) {
		return "", punctual.Permanent(err)
	}
	return "", err
}

// call makes the one request and judges what came.
func (e *Executor) call(ctx context.Context, p plan, key, runID string) (punctual.Result, error) {
	completion, patch := p.completion()
	x := &exchange{
		client: e.client, endpoint: p.endpoint, patch: patch, runID: runID, limit: e.responseLimit,
		clock: e.clock, maxWait: e.maxWait, redact: newRedactor(key), requested: p.Model,
	}
	if p.own {
		x.headers = e.headers
		x.redact = newRedactor(append(headerValues(e.headers), key)...)
	}
	config := goopenai.DefaultConfig(key)
	config.BaseURL = origin(p.endpoint)
	config.HTTPClient = x

	response, err := goopenai.NewClientWithConfig(config).CreateChatCompletion(ctx, completion)
	switch {
	case err == nil:
		return x.judge(response, e.outputLimit)
	case !x.sent:
		// go-openai refused it by itself, for example because the model has no chat.
		err = punctual.Permanent(fmt.Errorf("%w: %s", ErrInvalidRequest, x.redact.text(err.Error(), maxMessage)))
	case x.passed:
		err = x.bad("a JSON object that is not a chat completion: %s", x.redact.text(err.Error(), maxMessage))
	}
	return punctual.Result{Facts: x.factsJSON()}, err
}

func headerValues(h http.Header) []string {
	var values []string
	for _, v := range h {
		values = append(values, v...)
	}
	return values
}
