package openai

import (
	"net/http"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/punctual-go/punctual/internal/outbound"
)

// Defaults of the options.
const (
	DefaultOutputLimit   = 64 << 10
	DefaultResponseLimit = 8 << 20

	minOutputLimit = 128 // room for the mark of a cut
)

// Option configures an Executor; see the With functions.
type Option func(*Executor)

// WithBaseURL sets the executor's own endpoint, for payloads that name none: https://host/v1 or
// https://host/v1/chat/completions. A URL that cannot be used fails each run that would need it, and Validate. Default
// DefaultBaseURL.
func WithBaseURL(base string) Option {
	return func(e *Executor) { e.base, e.baseErr = parseEndpoint(base) }
}

// WithKeys sets where API keys come from. Without it a payload that names a key fails.
//
// Who may write payloads may send any key of the source to any endpoint that the executor may call: where these are not the
// people that own the keys, set WithAllowedHosts.
func WithKeys(keys KeySource) Option {
	return func(e *Executor) { e.keys = keys }
}

// WithDefaultKey names the key for requests that name none. It is sent to the executor's own endpoint only, never to one that a
// payload chose. Default none.
func WithDefaultKey(name string) Option {
	return func(e *Executor) { e.defaultKey = name }
}

// WithDefaultModel sets the model for requests that name none. Default none.
func WithDefaultModel(model string) Option {
	return func(e *Executor) { e.model = model }
}

// WithAllowedHosts lets payloads choose only among these endpoints, each "host" (at the default ports) or "host:port". The
// executor's own is always allowed. Called without hosts, it allows no other. Default: all.
func WithAllowedHosts(hosts ...string) Option {
	return func(e *Executor) { e.allowed = outbound.NewHosts(hosts) }
}

// WithHeader adds a header to every request to the executor's own endpoint, for example OpenAI-Organization. It is not sent to
// an endpoint that a payload chose. Its value is treated as a secret. Where the executor sets a header itself, such as
// Authorization for a key, its own counts.
func WithHeader(name, value string) Option {
	return func(e *Executor) {
		if e.headers == nil {
			e.headers = make(http.Header)
		}
		e.headers.Set(name, value)
	}
}

// WithHTTPClient sets the HTTP client, for proxies, certificates or transports of the host's own. Its redirect policy can only
// narrow the executor's: neither key nor prompt follows a redirect to another host. Default: a client with a connection pool of
// its own and the timeouts of http.DefaultTransport for connecting.
func WithHTTPClient(client *http.Client) Option {
	return func(e *Executor) { e.client = client }
}

// WithClock injects the clock that dates in Retry-After are compared with. Default the real one.
func WithClock(c clock.Clock) Option {
	return func(e *Executor) { e.clock = c }
}

// WithOutputLimit bounds Result.Output in bytes, the mark of a cut included. Values under 128 count as 128. The Scheduler has a
// limit of its own. Default 64 KiB.
func WithOutputLimit(bytes int) Option {
	return func(e *Executor) { e.outputLimit = max(bytes, minOutputLimit) }
}

// WithResponseLimit bounds how many bytes of an answer, after decompression, are read; a longer one fails the attempt. Values
// under 1 are ignored. Default 8 MiB.
func WithResponseLimit(bytes int64) Option {
	return func(e *Executor) {
		if bytes > 0 {
			e.responseLimit = bytes
		}
	}
}

// DefaultMaxRetryAfter bounds what an endpoint may ask for; see WithMaxRetryAfter.
const DefaultMaxRetryAfter = time.Hour

// WithMaxRetryAfter bounds the wait that an endpoint may ask for; a longer one is cut to it, so that a broken or hostile header
// cannot silence a task. Zero ignores what endpoints ask for. Default one hour.
func WithMaxRetryAfter(d time.Duration) Option {
	return func(e *Executor) { e.maxWait = max(d, 0) }
}
