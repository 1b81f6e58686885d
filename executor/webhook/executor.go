package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/outbound"
)

// Executor performs the Request in a task's payload. It is safe for concurrent use; make it with New.
type Executor struct {
	secrets     SecretSource
	allowed     outbound.Hosts
	publicOnly  bool
	client      *http.Client
	clock       clock.Clock
	outputLimit int
	maxWait     time.Duration
}

var _ punctual.Executor = (*Executor)(nil)

// New returns an Executor.
func New(opts ...Option) *Executor {
	e := &Executor{outputLimit: DefaultOutputLimit, maxWait: DefaultMaxRetryAfter}
	for _, opt := range opts {
		opt(e)
	}
	if e.clock == nil {
		e.clock = clock.New()
	}
	switch {
	case e.client != nil:
	case e.publicOnly:
		e.client = publicClient()
	default:
		e.client = outbound.NewClient()
	}
	e.client = outbound.WithRedirects(e.client)
	return e
}

// CloseIdleConnections closes kept connections that no call is using. Call it after the Scheduler's Shutdown.
func (e *Executor) CloseIdleConnections() { e.client.CloseIdleConnections() }

// Facts are what Result.Facts holds as JSON.
type Facts struct {
	// Status is the HTTP status.
	Status int `json:"status"`
	// Endpoint is the host, with its port when that is not the default.
	Endpoint string `json:"endpoint"`
	// ContentType is the type of the answer, without parameters.
	ContentType string `json:"content_type,omitempty"`
	// RequestID is the endpoint's id of the request (header X-Request-Id).
	RequestID string `json:"request_id,omitempty"`
	// Cut says that Output does not hold the whole answer, because it was longer than the output limit.
	Cut bool `json:"cut"`
}

// StatusError is an answer that is no success.
type StatusError struct {
	StatusCode int           // HTTP status
	Endpoint   string        // host of the endpoint
	Message    string        // the beginning of the answer as one line, cleaned of what looks like a secret; may be empty
	RetryAfter time.Duration // how long the endpoint wants to be left alone, up to WithMaxRetryAfter; zero when it did not say
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("webhook: %s answered %d", e.Endpoint, e.StatusCode)
	if name := http.StatusText(e.StatusCode); name != "" {
		text += " " + name
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// verdict marks the error for the scheduler.
func (e *StatusError) verdict() error {
	switch {
	case !outbound.IsRetryable(e.StatusCode):
		return punctual.Permanent(e)
	case e.RetryAfter > 0:
		return punctual.RetryAfter(e, e.RetryAfter)
	}
	return e
}

var errNotPublic = errors.New("the address is not public")

const (
	maxMessage = 300
	maxLabel   = 100
	shortPath  = 8        // bytes of a path that keeps nothing secret, such as "/hook"
	errorLimit = 16 << 10 // how much of an answer that is no success is read
	drainLimit = 64 << 10 // how much is read beyond what is kept: a secret at the cut is seen whole, and the connection can serve again
)

// Validate checks a request together with the executor's settings, without calling anybody: a nil error means that Execute will send it.
// Whether its secrets exist is found out when an attempt starts. The error is a *RequestError that names each wrong field.
func (e *Executor) Validate(r Request) error {
	bad := &RequestError{}
	if err := r.Validate(); err != nil && !errors.As(err, &bad) {
		return err
	}
	e.check(bad, r)
	return bad.orNil()
}

// check adds what the executor's settings say against a request.
func (e *Executor) check(bad *RequestError, r Request) {
	if u, err := outbound.ParseURL(r.URL); err == nil {
		e.checkHost(bad, "url", u)
	}
	if e.secrets != nil {
		return
	}
	for _, f := range []struct {
		field string
		used  bool
	}{{"secret_url", r.SecretURL != ""}, {"secret_headers", len(r.SecretHeaders) > 0}, {"sign_with", r.SignWith != ""}} {
		if f.used {
			bad.add(f.field, "needs a secret but the executor has no SecretSource")
		}
	}
}

func (e *Executor) checkHost(bad *RequestError, field string, u *url.URL) {
	if !e.allowed.Allow(u) {
		bad.add(field, "%s is not among the allowed hosts", outbound.Clean(u.Host, maxLabel))
	}
}

// Execute sends the request once. The result's Output is the text of the answer and its Facts are Facts as JSON; where an endpoint answered, a
// failed attempt has facts, too.
//
// An error is permanent (punctual.IsPermanent) when another attempt can only fail the same way: a payload that is not valid
// (ErrInvalidRequest), an unknown secret (ErrSecretNotFound), a *StatusError with a status of 1xx, 3xx or of 4xx other than 408, 409, 425 and 429,
// an address that WithPublicAddressesOnly refuses. All others may pass: network errors, 5xx, limits, an answer that was cut, and the end of
// ctx, whose cause the error wraps.
func (e *Executor) Execute(ctx context.Context, run punctual.Run) (punctual.Result, error) {
	r, err := ParsePayload(run.Payload)
	if err != nil {
		return punctual.Result{}, punctual.Permanent(err)
	}
	bad := &RequestError{}
	if e.check(bad, r); len(bad.Fields) > 0 {
		return punctual.Result{}, punctual.Permanent(bad)
	}
	c := &call{Executor: e, host: "an endpoint"}
	if err := c.stopped(ctx); err != nil {
		return punctual.Result{}, err
	}
	target, err := c.target(ctx, r)
	if err != nil {
		return punctual.Result{}, err
	}
	c.host = target.Host
	req, err := c.build(ctx, r, target, run)
	if err != nil {
		return punctual.Result{}, err
	}
	return c.send(req)
}

// call is one request and its answer.
type call struct {
	*Executor
	host    string
	secrets []string
	redact  outbound.Redactor
}

func (c *call) stopped(ctx context.Context) error {
	return outbound.Stopped(ctx, "webhook: call to "+c.host)
}

// target is the URL to call, as the payload has it or as a secret.
func (c *call) target(ctx context.Context, r Request) (*url.URL, error) {
	if r.SecretURL == "" {
		return outbound.ParseURL(r.URL) // ParsePayload has reported an error
	}
	text, err := c.secret(ctx, r.SecretURL)
	if err != nil {
		return nil, err
	}
	bad := &RequestError{}
	target, err := outbound.ParseURL(text)
	if err != nil {
		bad.add("secret_url", "%s", err.Error())
		return nil, punctual.Permanent(bad)
	}
	if c.checkHost(bad, "secret_url", target); len(bad.Fields) > 0 {
		return nil, punctual.Permanent(bad)
	}
	for _, part := range []string{target.RequestURI(), target.EscapedPath()} {
		if len(part) > shortPath {
			c.secrets = append(c.secrets, part)
		}
	}
	return target, nil
}

func (c *call) build(ctx context.Context, r Request, target *url.URL, run punctual.Run) (*http.Request, error) {
	body, contentType, err := r.content(run)
	if err != nil {
		return nil, punctual.Permanent(fmt.Errorf("%w: %w", ErrInvalidRequest, err))
	}
	// A body that can be read again lets the transport repeat a request that met a connection which had died while it was idle.
	req, err := http.NewRequestWithContext(ctx, r.method(), target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, punctual.Permanent(fmt.Errorf("%w: the URL cannot be used", ErrInvalidRequest))
	}
	req.Header.Set("User-Agent", "punctual")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for name, value := range r.Headers {
		req.Header.Set(name, value)
	}
	for name, s := range r.SecretHeaders {
		secret, err := c.secret(ctx, s.Name)
		if err == nil {
			secret, err = outbound.HeaderSecret(secret)
			if err != nil {
				err = punctual.Permanent(fmt.Errorf("webhook: secret %q %w", s.Name, err))
			}
		}
		if err != nil {
			return nil, err
		}
		req.Header.Set(name, s.Prefix+secret)
	}
	if run.ID != "" {
		req.Header.Set("Idempotency-Key", run.ID)
	}
	if r.SignWith != "" {
		secret, err := c.secret(ctx, r.SignWith)
		if err != nil {
			return nil, err
		}
		key, err := signingKey(secret)
		if err != nil {
			return nil, punctual.Permanent(fmt.Errorf("webhook: secret %q: %w", r.SignWith, err))
		}
		sign(req.Header, key, run.ID, body, c.clock.Now())
	}
	c.redact = outbound.NewRedactor(c.secrets...)
	return req, nil
}

func (c *call) secret(ctx context.Context, name string) (string, error) {
	secret, err := c.Executor.secrets.Secret(ctx, name)
	if err == nil {
		c.secrets = append(c.secrets, strings.TrimSpace(secret))
		return secret, nil
	}
	if ctxErr := c.stopped(ctx); ctxErr != nil {
		return "", ctxErr
	}
	err = outbound.Say(fmt.Sprintf("webhook: secret %q: %s", name, outbound.NewRedactor(secret).Line(err.Error(), maxMessage)), err)
	if errors.Is(err, ErrSecretNotFound) {
		return "", punctual.Permanent(err)
	}
	return "", err
}

func (c *call) send(req *http.Request) (punctual.Result, error) {
	resp, err := c.client.Do(req)
	if err != nil {
		return punctual.Result{}, c.unanswered(req.Context(), err)
	}
	defer resp.Body.Close()
	facts := Facts{
		Status: resp.StatusCode, Endpoint: c.host, RequestID: c.redact.Line(resp.Header.Get("X-Request-Id"), maxLabel),
	}
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	facts.ContentType = c.redact.Line(kind, maxLabel)
	if !outbound.IsSuccess(resp.StatusCode) {
		return punctual.Result{Facts: facts.json()}, c.refused(resp).verdict()
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, int64(c.outputLimit)+drainLimit))
	text := c.redact.Answer(strings.ToValidUTF8(string(raw), "\uFFFD"))
	var result punctual.Result
	result.Output, facts.Cut = outbound.Bound(text, c.outputLimit, "\n[cut]")
	result.Facts = facts.json()
	if err == nil {
		return result, nil
	}
	if ctxErr := c.stopped(req.Context()); ctxErr != nil {
		return result, ctxErr
	}
	text = fmt.Sprintf("webhook: %s answered %d and the connection was cut: %s", c.host, resp.StatusCode, c.redact.Line(err.Error(), maxMessage))
	return result, outbound.Say(text, err)
}

// unanswered is the error of a request that got no answer.
func (c *call) unanswered(ctx context.Context, err error) error {
	if ctxErr := c.stopped(ctx); ctxErr != nil {
		return ctxErr
	}
	err = outbound.WithoutURL(err)
	err = outbound.Say(fmt.Sprintf("webhook: no answer from %s: %s", c.host, c.redact.Line(err.Error(), maxMessage)), err)
	if errors.Is(err, errNotPublic) {
		return punctual.Permanent(err)
	}
	return err
}

func (c *call) refused(resp *http.Response) *StatusError {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, errorLimit)) // what came of it is enough: the status has decided
	e := &StatusError{StatusCode: resp.StatusCode, Endpoint: c.host, Message: c.redact.Line(string(raw), maxMessage)}
	if to, err := resp.Location(); err == nil {
		e.Message = c.redact.Line("redirect to "+to.Scheme+"://"+to.Host+to.EscapedPath()+" not followed: name the address that answers itself", maxMessage)
	}
	e.RetryAfter = min(outbound.RetryWait(resp.Header, resp.StatusCode, c.clock.Now()), c.maxWait)
	return e
}

func (f Facts) json() json.RawMessage {
	b, err := json.Marshal(f)
	if err != nil {
		panic(err) // plain fields only
	}
	return b
}
