package openai

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual/internal/outbound"
)

func TestBaseURLsAreNormalised(t *testing.T) {
	for in, want := range map[string]string{
		"https://host/v1":                   "https://host/v1/chat/completions",
		"https://host/v1/":                  "https://host/v1/chat/completions",
		"https://host/v1///":                "https://host/v1/chat/completions",
		"https://host/v1/chat/completions":  "https://host/v1/chat/completions",
		"https://host/v1/chat/completions/": "https://host/v1/chat/completions",
		"https://host/v1/responses":         "https://host/v1/chat/completions",
		"https://host/v1/responses/":        "https://host/v1/chat/completions",
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
		"https://" + strings.Repeat("a", 254) + "/":                 "host of more than",
		"https://host/" + strings.Repeat("a", outbound.MaxURL):      "longer than",
		"https://host/" + strings.Repeat("\x80", outbound.MaxURL/3): "longer than", // three bytes each once escaped
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
