package punctual

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strings"
	"unicode/utf8"
)

// clip cuts s to at most n bytes at a rune boundary and marks the cut.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// hashFraction maps a text and a number to [0, 1), the same on every instance.
func hashFraction(s string, n uint64) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	var b [8]byte
	for i := range b {
		b[i] = byte(n >> (8 * i))
	}
	_, _ = h.Write(b[:])
	x := h.Sum64()
	// FNV's low bits mix better than its high ones: finish with a multiplicative mix before taking the top 53 bits.
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return float64(x>>11) / (1 << 53)
}

const (
	maxErrorText = 8 << 10
	maxStack     = 16 << 10
	maxFacts     = 64 << 10
)

// errorText is an error as the ledger keeps it: valid UTF-8 of bounded length.
func errorText(err error) string {
	return clip(strings.ToValidUTF8(err.Error(), "\uFFFD"), maxErrorText)
}

// boundResult makes an executor's result fit for the ledger: text of at most limit bytes, facts that are JSON and small enough.
func boundResult(r Result, limit int) Result {
	r.Output = strings.ToValidUTF8(r.Output, "\uFFFD")
	if len(r.Output) > limit {
		r.Output = clip(r.Output, limit) + fmt.Sprintf(" [cut, %d bytes in all]", len(r.Output))
	}
	switch {
	case len(r.Facts) > maxFacts:
		r.Facts = nil
		r.Output += " [facts dropped: too large]"
	case len(r.Facts) > 0 && !json.Valid(r.Facts):
		r.Facts = nil
		r.Output += " [facts dropped: not JSON]"
	}
	return r
}
