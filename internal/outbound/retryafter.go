package outbound

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// RetryWait reads how long an endpoint that answered with status wants to be left alone, or zero when it does not say. The
// first of these that names a time in the future counts:
//
//   - Retry-After-Ms: milliseconds
//   - Retry-After: seconds or an HTTP date
//   - with 429 only: X-RateLimit-Reset-Requests and -Tokens (OpenAI: "1s", "6m0s", "120ms"; others: seconds, a Unix time or an
//     RFC 3339 date), then X-RateLimit-Reset. Of the first two, that of the budget which is used up according to
//     X-RateLimit-Remaining-Requests and -Tokens; the longer one when that is not clear.
//
// Zero, negative and unreadable values count as absent, so that the task's own backoff decides.
func RetryWait(h http.Header, status int, now time.Time) time.Duration {
	if ms, ok := parseNumber(h.Get("Retry-After-Ms")); ok {
		if d := scale(ms, time.Millisecond); d > 0 {
			return d
		}
	}
	if d := parseRetryAfter(h.Get("Retry-After"), now); d > 0 {
		return d
	}
	if status != http.StatusTooManyRequests {
		return 0
	}
	requests, tokens := resetOf(h, "Requests", now), resetOf(h, "Tokens", now)
	switch usedUp := [2]bool{isUsedUp(h, "Requests"), isUsedUp(h, "Tokens")}; {
	case usedUp == [2]bool{true, false} && requests > 0:
		return requests
	case usedUp == [2]bool{false, true} && tokens > 0:
		return tokens
	case max(requests, tokens) > 0:
		return max(requests, tokens)
	}
	return parseReset(h.Get("X-RateLimit-Reset"), now)
}

func resetOf(h http.Header, budget string, now time.Time) time.Duration {
	return parseReset(h.Get("X-RateLimit-Reset-"+budget), now)
}

func isUsedUp(h http.Header, budget string) bool {
	n, ok := parseNumber(h.Get("X-RateLimit-Remaining-" + budget))
	return ok && n == 0
}

func parseRetryAfter(v string, now time.Time) time.Duration {
	if n, ok := parseNumber(v); ok {
		return scale(n, time.Second)
	}
	if t, err := http.ParseTime(strings.TrimSpace(v)); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}

// From these sizes on a bare number is a Unix time: the smaller one is 1973 in seconds and three years as a wait.
const (
	leastUnixSeconds = 1e8
	leastUnixMillis  = 1e11
)

func parseReset(v string, now time.Time) time.Duration {
	v = strings.TrimSpace(v)
	if n, ok := parseNumber(v); ok {
		switch {
		case n >= leastUnixMillis:
			return scale(n-float64(now.UnixMilli()), time.Millisecond)
		case n >= leastUnixSeconds:
			return scale(n-float64(now.Unix()), time.Second)
		}
		return scale(n, time.Second)
	}
	if t, err := time.Parse(time.RFC3339, v); err == nil {
		return max(t.Sub(now), 0)
	}
	return ParseDuration(v)
}

// ParseDuration is time.ParseDuration with days in front, "1d2h3m", as some endpoints write them.
func ParseDuration(v string) time.Duration {
	var days time.Duration
	if head, rest, found := strings.Cut(v, "d"); found {
		n, ok := parseNumber(head)
		if !ok {
			return 0
		}
		if days, v = scale(n, 24*time.Hour), rest; v == "" {
			return days
		}
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 {
		return 0
	}
	if days > math.MaxInt64-d {
		return math.MaxInt64
	}
	return days + d
}

// parseNumber accepts plain decimal numbers only: ParseFloat also takes "infinity" and hexadecimal.
func parseNumber(v string) (float64, bool) {
	v = strings.TrimSpace(v)
	if v == "" || strings.Trim(v, "0123456789.-") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(v, 64)
	return n, err == nil
}

// scale is n units, at least zero and without overflow.
func scale(n float64, unit time.Duration) time.Duration {
	switch d := n * float64(unit); {
	case !(d > 0):
		return 0
	case d >= math.MaxInt64:
		return math.MaxInt64
	default:
		return time.Duration(math.Round(d))
	}
}
