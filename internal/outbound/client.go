package outbound

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// NewClient keeps connections for thirty tasks that meet at nine o'clock, and asks an HTTP/2 connection that has gone silent for
// a sign of life: after a laptop's sleep it would otherwise swallow requests for a quarter of an hour.
func NewClient() *http.Client {
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

// WithRedirects follows a redirect only when it repeats the request (307, 308) at the same party. Any other is handed out as
// the answer it is.
func WithRedirects(client *http.Client) *http.Client {
	own := *client
	theirs := client.CheckRedirect
	own.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects || req.Method != via[0].Method || !SameParty(via[0].URL, req.URL) {
			return http.ErrUseLastResponse
		}
		if theirs != nil {
			return theirs(req, via)
		}
		return nil
	}
	return &own
}

// MaxURL is how many bytes a URL may have.
const MaxURL = 2048

const maxHost = 253

// ErrURLTooLong says that a URL has more than MaxURL bytes.
var ErrURLTooLong = errors.New("is longer than " + strconv.Itoa(MaxURL) + " bytes")

// ParseURL reads the URL of somebody to call: http or https, with a host, and without user and fragment. Its errors
// echo nothing of the text, which may hold credentials.
func ParseURL(text string) (*url.URL, error) {
	text = strings.TrimSpace(text)
	if len(text) > MaxURL {
		return nil, ErrURLTooLong
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("is not a URL")
	}
	switch u.Scheme {
	case "http", "https":
	default:
		return nil, errors.New("must begin with https:// or http://")
	}
	if u.User != nil {
		return nil, errors.New("must not hold a user or password")
	}
	if u.Opaque != "" || u.Hostname() == "" {
		return nil, errors.New("has no host")
	}
	if len(u.Hostname()) > maxHost {
		return nil, errors.New("has a host of more than " + strconv.Itoa(maxHost) + " bytes")
	}
	if strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "[") {
		return nil, errors.New("has a host with a colon: write an IPv6 address in brackets")
	}
	if !utf8.ValidString(u.Hostname()) || strings.ContainsAny(u.Hostname(), " \t\"'<>\\^`{|}") {
		return nil, errors.New("has characters in its host that no host has")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return nil, errors.New("has a port that is not between 1 and 65535")
		}
	}
	if u.Fragment != "" || strings.Contains(text, "#") {
		return nil, errors.New("must not hold a fragment (#)")
	}
	if _, err := url.ParseQuery(u.RawQuery); err != nil {
		return nil, errors.New("has a query that cannot be read")
	}
	return u, nil
}

// HasSecret reports whether a parameter of the URL's query holds a credential, going by its name.
func HasSecret(u *url.URL) bool {
	for name := range u.Query() {
		if IsSecretName(name) {
			return true
		}
	}
	return false
}

// Origin is what a secret is given to: scheme, host and port.
func Origin(u *url.URL) string { return u.Scheme + "://" + HostPort(u) }

// HostPort is the host and the port of a URL, the scheme's own when it names none.
func HostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// Hosts are those that may be called, each "host" (at the default ports) or "host:port". The nil Hosts are all.
type Hosts map[string]bool

// NewHosts returns Hosts that are these and no others.
func NewHosts(hosts []string) Hosts {
	h := make(Hosts, len(hosts))
	for _, host := range hosts {
		h[strings.ToLower(host)] = true
	}
	return h
}

// Allow reports whether the URL's host is one of them.
func (h Hosts) Allow(u *url.URL) bool {
	return h == nil || h[HostPort(u)] || h[strings.ToLower(u.Host)] || u.Port() == "" && h[strings.ToLower(u.Hostname())]
}

// SameParty reports whether a request to from may be sent again to where it was redirected: the same host and port over the
// same scheme, or the step from http to https at the default ports. Neither secrets nor what is sent may reach anybody else.
func SameParty(from, to *url.URL) bool {
	if Origin(from) == Origin(to) {
		return true
	}
	return from.Scheme == "http" && to.Scheme == "https" && strings.EqualFold(from.Hostname(), to.Hostname()) &&
		strings.HasSuffix(HostPort(from), ":80") && strings.HasSuffix(HostPort(to), ":443")
}

// IsRetryable reports whether another try may do better: 408 and 425 ask for another try, 409 means that the same request is still being worked on, 429 is a limit that
// passes, 5xx is trouble at the other side. A redirect that was not followed and every other 4xx is a mistake in the task.
func IsRetryable(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}

// IsSuccess reports whether a status is 2xx.
func IsSuccess(status int) bool { return status >= 200 && status < 300 }

// WithoutURL takes off what the HTTP client wraps around the cause: the whole URL, whose query is nobody's business.
func WithoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// HeaderSecret makes a secret fit for a header: those that come from files often end with a newline.
func HeaderSecret(secret string) (string, error) {
	secret = strings.TrimSpace(secret)
	for _, c := range []byte(secret) {
		if c <= ' ' || c > '~' {
			return "", errors.New("holds a character that an HTTP header cannot carry")
		}
	}
	return secret, nil
}
