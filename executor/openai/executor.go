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
	"github.com/punctual-go/punctual/internal/outbound"
)

// Executor performs the Request in a task's payload. It is safe for concurrent use; make it with New.
type Executor struct {
	base          *url.URL
	baseErr       error
	keys          KeySource
	defaultKey    string
	model         string
	allowed       outbound.Hosts
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
		e.client = outbound.NewClient()
	}
	e.client = outbound.WithRedirects(e.client)
	return e
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
		p.own = e.base != nil && outbound.Origin(p.endpoint) == outbound.Origin(e.base)
		if !p.own && !e.allowed.Allow(p.endpoint) {
			bad.add("base_url", "%s is not among the allowed hosts", outbound.Clean(p.endpoint.Host, 100))
		}
	}
	if p.endpoint != nil {
		p.endpoint = endpointOf(p.endpoint, r.API)
	}
	if p.keyName == "" && p.own {
		p.keyName = e.defaultKey
	}
	if p.keyName != "" && e.keys == nil {
		bad.add("api_key_name", "names a key but the executor has no KeySource")
	}
	return p, bad.orNil()
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
		key, err = outbound.HeaderSecret(key)
		if err != nil {
			return "", punctual.Permanent(fmt.Errorf("openai: API key %q %w", p.keyName, err))
		}
		return key, nil
	}
	if ctxErr := stopped(ctx, p.endpoint.Host); ctxErr != nil {
		return "", ctxErr
	}
	err = outbound.Say(fmt.Sprintf("openai: API key %q: %s", p.keyName, outbound.NewRedactor(key).Line(err.Error(), maxMessage)), err)
	if errors.Is(err, ErrKeyNotFound) {
		return "", punctual.Permanent(err)
	}
	return "", err
}

// call makes the one request and judges what came.
func (e *Executor) call(ctx context.Context, p plan, key, runID string) (punctual.Result, error) {
	x := &exchange{
		client: e.client, endpoint: p.endpoint, runID: runID, limit: e.responseLimit,
		clock: e.clock, maxWait: e.maxWait, redact: outbound.NewRedactor(key), requested: p.Model, api: p.API,
		stream: p.Stream, patience: time.Duration(p.FirstTokenSeconds * float64(time.Second)),
	}
	if p.own {
		x.headers = e.headers
		x.redact = outbound.NewRedactor(append(headerValues(e.headers), key)...)
	}
	config := goopenai.DefaultConfig(key)
	config.BaseURL = outbound.Origin(p.endpoint)
	config.HTTPClient = x

	m, err := x.ask(ctx, goopenai.NewClientWithConfig(config), p.Request)
	switch {
	case err == nil:
		return x.judge(m, e.outputLimit)
	case !x.sent:
		// go-openai refused it by itself, for example because the model has no chat.
		err = punctual.Permanent(fmt.Errorf("%w: %s", ErrInvalidRequest, x.redact.Line(err.Error(), maxMessage)))
	case x.passed:
		err = x.bad("a JSON object that is not %s: %s", x.form(), x.redact.Line(err.Error(), maxMessage))
	}
	return punctual.Result{Facts: x.factsJSON()}, err
}

// ask makes the request through go-openai, whose HTTP client the exchange is, and returns what the model said.
func (x *exchange) ask(ctx context.Context, client *goopenai.Client, r Request) (message, error) {
	if r.API == APIResponses {
		request, patch := r.response()
		x.patch = patch
		answer, err := client.CreateResponse(ctx, request)
		if err != nil {
			return message{}, err
		}
		return messageOfResponse(answer), nil
	}
	request, patch := r.completion()
	x.patch = patch
	answer, err := client.CreateChatCompletion(ctx, request)
	if err != nil {
		return message{}, err
	}
	return messageOfCompletion(answer), nil
}

func headerValues(h http.Header) []string {
	var values []string
	for _, v := range h {
		values = append(values, v...)
	}
	return values
}
