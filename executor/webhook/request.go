package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/outbound"
)

// Request is the payload of a task: one call. Its JSON form is the payload; NewPayload makes it and ParsePayload reads it.
type Request struct {
	// URL is what to call: http or https, without user, password and secrets in its query. Either URL or SecretURL is required, not both.
	URL string `json:"url,omitempty"`
	// SecretURL names a secret that is the whole URL, for endpoints whose URL is all that one needs to call them.
	SecretURL string `json:"secret_url,omitempty"`
	// Method is GET, HEAD, POST, PUT, PATCH or DELETE. Empty means POST.
	Method string `json:"method,omitempty"`
	// Headers are sent as they are. They must not hold secrets (see SecretHeaders), nor what the executor sets itself: Host,
	// Content-Length, Idempotency-Key, those of the connection and those of the signature.
	Headers map[string]string `json:"headers,omitempty"`
	// SecretHeaders are headers whose values are secrets: from a header to a Secret.
	SecretHeaders map[string]Secret `json:"secret_headers,omitempty"`
	// Body is sent as application/json. Without Body and Text, POST, PUT and PATCH send the Event, and other methods nothing.
	Body json.RawMessage `json:"body,omitempty"`
	// Text is sent as text/plain in UTF-8, in place of Body.
	Text string `json:"text,omitempty"`
	// SignWith names a secret to sign the request with; see Verify. Empty means that it is not signed.
	SignWith string `json:"sign_with,omitempty"`
}

// Secret is a header's value: a secret by name, with an optional text in front of it.
type Secret struct {
	// Name names the secret in the executor's SecretSource; never the secret itself. Required.
	Name string `json:"name"`
	// Prefix stands in front of it, for example "Bearer ".
	Prefix string `json:"prefix,omitempty"`
}

// Event is the body of a request whose payload has none: what the call is about.
type Event struct {
	RunID       string    `json:"run_id"`
	TaskID      string    `json:"task_id"`
	TaskName    string    `json:"task_name"`
	Trigger     string    `json:"trigger"`      // schedule, register, manual, catch-up or backfill
	ScheduledAt time.Time `json:"scheduled_at"` // RFC 3339, UTC
	Attempt     int       `json:"attempt"`      // 1 for the first
}

// ErrInvalidRequest reports a Request or a payload that was refused. It is permanent. The error is or wraps a *RequestError when it
// is known which fields are wrong.
var ErrInvalidRequest = errors.New("webhook: invalid request")

// RequestError lists everything that is wrong with a Request. It wraps ErrInvalidRequest. Fields have their JSON names, for example
// "headers.Host". No reason echoes a value that may be a secret.
type RequestError struct {
	Fields []punctual.FieldError
}

func (e *RequestError) Error() string {
	texts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		texts[i] = f.Field + " " + f.Reason
	}
	return ErrInvalidRequest.Error() + ": " + strings.Join(texts, "; ")
}

// Unwrap makes errors.Is(err, ErrInvalidRequest) true.
func (e *RequestError) Unwrap() error { return ErrInvalidRequest }

func (e *RequestError) add(field, format string, args ...any) {
	e.Fields = append(e.Fields, punctual.FieldError{Field: field, Reason: fmt.Sprintf(format, args...)})
}

func (e *RequestError) orNil() error {
	if len(e.Fields) == 0 {
		return nil
	}
	return e
}

// NewPayload checks the request and returns it as the payload of a task. The error is that of Request.Validate.
func NewPayload(r Request) (json.RawMessage, error) { return outbound.Encode(r, ErrInvalidRequest) }

// ParsePayload reads and checks a payload. It is stricter than encoding/json: an unknown field is an error, since it is most likely a
// setting that is misspelt and would have no effect. All errors wrap ErrInvalidRequest.
func ParsePayload(payload json.RawMessage) (Request, error) {
	if len(bytes.TrimSpace(payload)) == 0 {
		return Request{}, fmt.Errorf("%w: the task has no payload: give it one with NewPayload", ErrInvalidRequest)
	}
	return outbound.Decode[Request](payload, ErrInvalidRequest)
}

var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// reserved are the headers that the executor or the HTTP client sets.
var reserved = []string{
	"Host", "Content-Length", "Proxy-Authorization", "Transfer-Encoding", "Connection", "Keep-Alive", "Upgrade", "Te", "Trailer", "Idempotency-Key", headerID, headerTimestamp, headerSignature,
}

// Validate checks the request as far as that is possible without an executor. The error is a *RequestError that names each wrong field.
// Executor.Validate checks the rest.
func (r Request) Validate() error {
	e := &RequestError{}
	r.checkURL(e)
	if r.Method != "" && !slices.Contains(methods, r.Method) {
		e.add("method", "is none of %s", strings.Join(methods, ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		field := "headers." + outbound.Clean(name, 64)
		switch {
		case outbound.IsSecretName(name) || strings.EqualFold(name, "Cookie"):
			e.add(field, "holds a secret: use secret_headers")
		case strings.ContainsFunc(r.Headers[name], notInHeader):
			e.add(field, "holds a character that an HTTP header cannot carry")
		default:
			r.checkName(e, field, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.SecretHeaders)) {
		field, secret := "secret_headers."+outbound.Clean(name, 64), r.SecretHeaders[name]
		if reason := nameFault(secret.Name); reason != "" {
			e.add(field+".name", "%s", reason)
		}
		if strings.ContainsFunc(secret.Prefix, notInHeader) || outbound.LooksLikeKey(secret.Prefix) {
			e.add(field+".prefix", "must be a short text such as \"Bearer \"")
		}
		r.checkName(e, field, name)
	}
	if len(r.Body) > 0 && r.Text != "" {
		e.add("text", "cannot be sent together with body")
	}
	if (r.Method == http.MethodGet || r.Method == http.MethodHead) && (len(r.Body) > 0 || r.Text != "") {
		e.add("body", "cannot be sent with %s", r.Method)
	}
	if len(r.Body) > 0 && !json.Valid(r.Body) {
		e.add("body", "is not JSON")
	}
	if r.SignWith != "" {
		if reason := nameFault(r.SignWith); reason != "" {
			e.add("sign_with", "%s", reason)
		}
	}
	return e.orNil()
}

func (r Request) checkURL(e *RequestError) {
	if r.SecretURL != "" {
		if reason := nameFault(r.SecretURL); reason != "" {
			e.add("secret_url", "%s", reason)
		}
		if r.URL != "" {
			e.add("url", "cannot be used together with secret_url")
		}
		return
	}
	switch u, err := outbound.ParseURL(r.URL); {
	case strings.TrimSpace(r.URL) == "":
		e.add("url", "is required")
	case err != nil:
		e.add("url", "%s", err.Error())
	case outbound.HasSecret(u):
		e.add("url", "must not hold a secret in its query: use secret_url or secret_headers")
	}
}

func (r Request) checkName(e *RequestError, field, name string) {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	if !isToken(name) {
		e.add(field, "is no name of an HTTP header")
	} else if slices.Contains(reserved, canonical) {
		e.add(field, "is set by the executor")
	}
}

func nameFault(name string) string {
	if name == "" {
		return "is required"
	}
	return outbound.NameFault(name)
}

// isToken reports whether s is a token of RFC 9110, section 5.6.2, as names of headers are.
func isToken(s string) bool {
	return s != "" && strings.Trim(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// notInHeader finds what a header's value cannot carry: RFC 9110, section 5.5, and nothing beyond ASCII, whose reading nobody agrees on.
func notInHeader(c rune) bool { return c < ' ' && c != '\t' || c > '~' }

func (r Request) method() string {
	if r.Method == "" {
		return http.MethodPost
	}
	return r.Method
}

// content is the body and its type.
func (r Request) content(run punctual.Run) (body []byte, contentType string, err error) {
	switch {
	case len(r.Body) > 0:
		return r.Body, "application/json", nil
	case r.Text != "":
		return []byte(r.Text), "text/plain; charset=utf-8", nil
	case slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodPatch}, r.method()):
		body, err = json.Marshal(Event{
			RunID: run.ID, TaskID: run.TaskID, TaskName: run.TaskName, Trigger: run.Trigger.String(), ScheduledAt: run.ScheduledAt.UTC(), Attempt: run.Attempt,
		})
		return body, "application/json", err
	}
	return nil, "", nil
}
