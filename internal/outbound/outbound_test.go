package outbound

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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
		assert.Equal(t, c.same, SameParty(from, to), "%s to %s", c.from, c.to)
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
		assert.Equal(t, c.want, RetryWait(h, 429, noon), c.headers)
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
			if d := RetryWait(h, 429, noon); d < 0 {
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
		got := NewRedactor(key).Line(before+key+after, limit)
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
	r := NewRedactor("sk-live-0123456789abcdefXYZ")
	for _, unit := range []string{"a-", "://a", "Bearer ", "sk-live-", "..."} {
		b.Run(unit, func(b *testing.B) {
			s := strings.Repeat(unit, maxScanned/len(unit))
			for b.Loop() {
				r.Line(s, 500)
			}
		})
	}
}

func TestASecretIsKnownInOtherWritings(t *testing.T) {
	const secret = `sk-"a\b<c>&d+e/f=0123456789`
	r := NewRedactor(secret)
	escaped, err := json.Marshal(secret)
	require.NoError(t, err)
	for _, text := range []string{
		secret, string(escaped), `sk-\"a\\b<c>&d+e/f=0123456789`, url.QueryEscape(secret), url.PathEscape(secret), hex.EncodeToString([]byte(secret)),
		strings.ToUpper(hex.EncodeToString([]byte(secret))), base64.StdEncoding.EncodeToString([]byte(secret)), base64.URLEncoding.EncodeToString([]byte(secret)),
		base64.StdEncoding.EncodeToString([]byte("u:" + secret)), base64.StdEncoding.EncodeToString([]byte("Bearer " + secret + "\n")),
		base64.RawURLEncoding.EncodeToString([]byte("user:" + secret + "xy")),
	} {
		for _, hidden := range []string{r.Line("seen "+text+" there", 500), r.Answer("seen " + text + " there")} {
			assert.Contains(t, hidden, "[redacted]", text)
			assert.NotContains(t, hidden, text[len(text)/2-6:len(text)/2+6], text)
		}
	}
}
