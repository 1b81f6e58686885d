package openai

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBaseURLsAreNormalised(t *testing.T) {
	for in, want := range map[string]string{
		"https://host/v1":                   "https://host/v1/chat/completions",
		"https://host/v1/":                  "https://host/v1/chat/completions",
		"https://host/v1///":                "https://host/v1/chat/completions",
		"https://host/v1/chat/completions":  "https://host/v1/chat/completions",
		"https://host/v1/chat/completions/": "https://host/v1/chat/completions",
		" HTTPS://Host/v1 ":                 "https://host/v1/chat/completions",
		"https://host":                      "https://host/chat/completions",
		"http://127.0.0.1:11434/v1":         "http://127.0.0.1:11434/v1/chat/completions",
		"http://[::1]:8080/v1":              "http://[::1]:8080/v1/chat/completions",
		"https://host:/v1":                  "https://host/v1/chat/completions",
		"https://host/a%2Fb/v1":             "https://host/a%2Fb/v1/chat/completions",
		"https://host/openai/deployments/d?api-version=2026-01-01": "https://host/openai/deployments/d/chat/completions?api-version=2026-01-01",
		"https://host/v1/chat/completions/?a=b%20c":                "https://host/v1/chat/completions?a=b%20c",
	} {
		u, err := parseEndpoint(in)
		require.NoError(t, err, in)
		assert.Equal(t, want, u.String(), in)
	}
	for in, want := range map[string]string{
		"":                              "must begin with",
		"host/v1":                       "must begin with",
		"localhost:8080/v1":             "must begin with",
		"file:///etc/passwd":            "must begin with",
		"https:host":                    "has no host",
		"https:///v1":                   "has no host",
		"https://:443/v1":               "has no host",
		"https://a:b@host/v1":           "user or password",
		"https://host/v1#x":             "fragment",
		"https://host/v1#":              "fragment",
		"https://host:0/":               "port",
		"https://host:70000/":           "port",
		"https://host:x/":               "not a URL",
		"https://ho st/":                "not a URL",
		"https://host/v1?a=%zz":         "query",
		"https://host/v1?key=1":         "api_key_name",
		"https://host/v1?Access-Token=": "api_key_name",
		"https://::1/v1":                "in brackets",
		"https://a<b/v1":                "characters in its host",
		"https://host/\x00":             "not a URL",
		"https://" + strings.Repeat("a", 254) + "/":        "host of more than",
		"https://host/" + strings.Repeat("a", maxURL):      "longer than",
		"https://host/" + strings.Repeat("\x80", maxURL/3): "longer than", // three bytes each once escaped
	} {
		_, err := parseEndpoint(in)
		assert.ErrorContains(t, err, want, in)
	}
}

func FuzzBaseURL(f *testing.F) {
	for _, s := range []string{
		"https://host/v1", "http://[fe80::1%25en0]:80/v1/?a=b", "https://h/%2e%2e/chat/completions//", "https://a@h", "HTTP://h:/?", "https://h/a b/%zz",
		"https://h/..//chat/completions", "https://h?x=;", "http://[::%25\xde]", "http://::", "https://xn--nxasmq6b/v1", "https://h/v1/chat%2Fcompletions", "https:////h/v1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := parseEndpoint(s)
		if err != nil {
			return
		}
		text := u.String()
		if !strings.HasSuffix(u.EscapedPath(), completionsPath) || u.User != nil || u.Fragment != "" || u.Hostname() == "" {
			t.Fatalf("%q became %q", s, text)
		}
		again, err := parseEndpoint(text)
		if err != nil || again.String() != text {
			t.Fatalf("%q became %q and that became %v, %v", s, text, again, err)
		}
		if _, err := http.NewRequest(http.MethodPost, text, nil); err != nil {
			t.Fatalf("%q became %q: %v", s, text, err)
		}
	})
}

func TestOnlyTheSamePartyGetsARedirectedRequest(t *testing.T) {
	for _, c := range []struct {
		from, to string
		same     bool
	}{
		{"https://h/a", "https://h/b", true},
		{"https://h/a", "https://H:443/b", true},
		{"http://h/a", "https://h/a", true},
		{"http://h:80/a", "https://h/a", true},
		{"https://h/a", "http://h/a", false},
		{"https://h/a", "https://h:444/a", false},
		{"http://h:8080/a", "https://h/a", false},
		{"https://h/a", "https://sub.h/a", false},
		{"https://sub.h/a", "https://h/a", false},
	} {
		from, _ := url.Parse(c.from)
		to, _ := url.Parse(c.to)
		assert.Equal(t, c.same, sameParty(from, to), "%s to %s", c.from, c.to)
	}
}

var noon = time.Date(2026, 3, 8, 12, 0, 0, 0, time.UTC)

func TestWaitsAreRead(t *testing.T) {
	for _, c := range []struct {
		headers string
		want    time.Duration
	}{
		{"", 0},
		{"Retry-After: 20", 20 * time.Second},
		{"Retry-After:  1.5 ", 1500 * time.Millisecond},
		{"Retry-After: 0", 0},
		{"Retry-After: -5", 0},
		{"Retry-After: Sun, 08 Mar 2026 12:00:30 GMT", 30 * time.Second},
		{"Retry-After: Sunday, 08-Mar-26 12:00:30 GMT", 30 * time.Second},
		{"Retry-After: Sun, 08 Mar 2026 11:00:00 GMT", 0},
		{"Retry-After: infinity", 0},
		{"Retry-After: 0x10", 0},
		{"Retry-After: 1e9", 0},
		{"Retry-After-Ms: 250; Retry-After: 1", 250 * time.Millisecond},
		{"Retry-After-Ms: x; Retry-After: 1", time.Second},
		{"Retry-After: 2; X-Ratelimit-Reset-Tokens: 9s", 2 * time.Second},
		{"Retry-After: 0; X-Ratelimit-Reset-Tokens: 9s", 9 * time.Second},
		{"X-Ratelimit-Reset-Requests: 1s", time.Second},
		{"X-Ratelimit-Reset-Tokens: 6m0s", 6 * time.Minute},
		{"X-Ratelimit-Reset-Tokens: 120ms", 120 * time.Millisecond},
		{"X-Ratelimit-Reset-Tokens: 2m59.56s", 2*time.Minute + 59560*time.Millisecond},
		{"X-Ratelimit-Reset-Requests: 1d2h", 26 * time.Hour},
		{"X-Ratelimit-Reset-Requests: 1d", 24 * time.Hour},
		{"X-Ratelimit-Reset-Tokens: 7", 7 * time.Second},
		{"X-Ratelimit-Reset-Tokens: -1s", 0},
		{"X-Ratelimit-Reset-Tokens: 2026-03-08T12:00:05Z", 5 * time.Second},
		{"X-Ratelimit-Reset: 1772971210", 10 * time.Second},
		{"X-Ratelimit-Reset: 1772971210000", 10 * time.Second},
		{"X-Ratelimit-Reset: 1772971190", 0},
		{"X-Ratelimit-Remaining-Tokens: -1; X-Ratelimit-Reset-Tokens: 0", 0}, // as Azure writes "unknown"
		{"X-Ratelimit-Reset-Requests: 1s; X-Ratelimit-Reset-Tokens: 2s", 2 * time.Second},
		{"X-Ratelimit-Reset-Requests: 1s; X-Ratelimit-Remaining-Requests: 0; X-Ratelimit-Reset-Tokens: 2s", time.Second},
		{"X-Ratelimit-Reset-Requests: 3s; X-Ratelimit-Reset-Tokens: 2s; X-Ratelimit-Remaining-Tokens: 0", 2 * time.Second},
		{"X-Ratelimit-Reset-Requests: 3s; X-Ratelimit-Remaining-Requests: 0; X-Ratelimit-Reset-Tokens: 2s; X-Ratelimit-Remaining-Tokens: 0", 3 * time.Second},
		{"X-Ratelimit-Remaining-Requests: 0; X-Ratelimit-Reset-Tokens: 2s", 2 * time.Second},
	} {
		h := http.Header{}
		for _, line := range strings.Split(c.headers, "; ") {
			if name, value, ok := strings.Cut(line, ":"); ok {
				h.Set(name, strings.TrimPrefix(value, " "))
			}
		}
		assert.Equal(t, c.want, retryWait(h, 429, noon), c.headers)
	}
}

func FuzzWait(f *testing.F) {
	for _, s := range []string{"1s", "6m0s", "120ms", "1d2h", "99999999999999999999", "-1", "1e400", "NaN", "Sun, 08 Mar 2026 12:00:30 GMT", "1772971210000", "9223372036854775807d1h", "d", "0.0000000001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, name := range []string{"Retry-After", "Retry-After-Ms", "X-Ratelimit-Reset-Requests", "X-Ratelimit-Reset"} {
			h := http.Header{}
			h.Set(name, s)
			if d := retryWait(h, 429, noon); d < 0 {
				t.Fatalf("%s: %q waits %v", name, s, d)
			}
		}
	})
}

func FuzzCleaning(f *testing.F) {
	const key = "sk-live-0123456789abcdefXYZ"
	f.Add("error for ", " at the end", 200)
	f.Add("Bearer ", "\n\x00", 20)
	f.Add("sk-li", "ve-0123", 40)
	f.Fuzz(func(t *testing.T, before, after string, limit int) {
		if limit < 0 || limit > 1000 {
			return
		}
		got := newRedactor(key).text(before+key+after, limit)
		if !utf8.ValidString(got) || len(got) > limit+len("…") || strings.ContainsAny(got, "\n\r\x00\x1b") {
			t.Fatalf("%q", got)
		}
		for i := 0; i+window <= len(key); i++ {
			if strings.Contains(got, key[i:i+window]) {
				t.Fatalf("%q shows %q", got, key[i:i+window])
			}
		}
	})
}

// A hostile endpoint must not make cleaning its error expensive: the worst texts of full length.
func BenchmarkCleaning(b *testing.B) {
	r := newRedactor("sk-live-0123456789abcdefXYZ")
	for _, unit := range []string{"a-", "://a", "Bearer ", "sk-live-", "..."} {
		b.Run(unit, func(b *testing.B) {
			s := strings.Repeat(unit, maxScanned/len(unit))
			for b.Loop() {
				r.text(s, 500)
			}
		})
	}
}
