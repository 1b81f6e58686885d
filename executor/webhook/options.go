package webhook

import (
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/punctual-go/punctual/internal/outbound"
)

// Defaults of the options.
const (
	DefaultOutputLimit   = 64 << 10
	DefaultMaxRetryAfter = time.Hour

	minOutputLimit = 128 // room for the mark of a cut
)

// Option configures an Executor; see the With functions.
type Option func(*Executor)

// WithSecrets sets where secrets come from. Without it a payload that names a secret fails.
//
// Who may write payloads may send any secret of the source to any host that the executor may call: where these are not the people that own
// the secrets, set WithAllowedHosts.
func WithSecrets(secrets SecretSource) Option {
	return func(e *Executor) { e.secrets = secrets }
}

// WithAllowedHosts lets payloads choose only among these hosts, each "host" (at the default ports) or "host:port". Called without hosts, it
// allows none. Default: all.
func WithAllowedHosts(hosts ...string) Option {
	return func(e *Executor) { e.allowed = outbound.NewHosts(hosts) }
}

// WithPublicAddressesOnly refuses to connect to addresses that are not public: of this machine, private networks, link-local ones and the
// like, whatever name leads there. It is for hosts whose payloads come from people who must not reach into the network around them.
// Proxies of the environment are not used then. It concerns the executor's own client; one of WithHTTPClient has a dialer of its own.
func WithPublicAddressesOnly() Option {
	return func(e *Executor) { e.publicOnly = true }
}

// WithHTTPClient sets the HTTP client, for proxies, certificates or transports of the host's own. Its redirect policy can only narrow the
// executor's: a request follows a redirect only when it is repeated at the same host. Default: a client with a connection pool of its own and
// the timeouts of http.DefaultTransport for connecting.
func WithHTTPClient(client *http.Client) Option {
	return func(e *Executor) { e.client = client }
}

// WithClock injects the clock for the time of signatures and for dates in Retry-After. Default the real one.
func WithClock(c clock.Clock) Option {
	return func(e *Executor) { e.clock = c }
}

// WithOutputLimit bounds Result.Output in bytes, the mark of a cut included; what the endpoint sends beyond it is not read. Values under 128
// count as 128. The Scheduler has a limit of its own. Default 64 KiB.
func WithOutputLimit(bytes int) Option {
	return func(e *Executor) { e.outputLimit = max(bytes, minOutputLimit) }
}

// WithMaxRetryAfter bounds the wait that an endpoint may ask for; a longer one is cut to it, so that a broken or hostile header cannot silence a
// task. Zero ignores what endpoints ask for. Default one hour.
func WithMaxRetryAfter(d time.Duration) Option {
	return func(e *Executor) { e.maxWait = max(d, 0) }
}

// publicClient checks the address of each connection when it is made, so that no name can lead elsewhere meanwhile.
func publicClient() *http.Client {
	client := outbound.NewClient()
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !isPublic(to.Addr()) {
			return errNotPublic
		}
		return nil
	}}
	if transport, ok := client.Transport.(*http.Transport); ok {
		transport.Proxy, transport.DialContext = nil, dialer.DialContext
	} else {
		client.Transport = &http.Transport{DialContext: dialer.DialContext}
	}
	return client
}

// notGlobal are networks that IsGlobalUnicast takes for global: RFC 6890 and the registries of special-purpose addresses that it made.
var notGlobal = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

func isPublic(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range notGlobal {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
