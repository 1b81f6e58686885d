package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a signed request, by Standard Webhooks 1.0.0 (https://github.com/standard-webhooks/standard-webhooks).
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

// SignatureTolerance is by how much the time of a signed request may differ from that of its receiver.
const SignatureTolerance = 5 * time.Minute

// ErrBadSignature reports a request that is not signed, that somebody else has signed, or that is too old or too new.
var ErrBadSignature = errors.New("webhook: bad signature")

// Verify checks on the receiving side that a request was signed with the secret: its headers, its whole body, and the time now. A request
// whose time differs from now by more than SignatureTolerance is refused. The id of the run is in the header Webhook-Id; a receiver
// that must not do its work twice keeps the ids that it has seen. The error wraps ErrBadSignature.
//
// The signature is that of Standard Webhooks, so that libraries for it in other languages do the same: HMAC-SHA256 over the id, the Unix
// time and the body, joined by dots. A secret that begins with "whsec_" is base64 behind it; any other is taken as it is.
func Verify(header http.Header, body []byte, secret string, now time.Time) error {
	id, stamp := header.Get(headerID), header.Get(headerTimestamp)
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if id == "" || err != nil {
		return fmt.Errorf("%w: the request has no %s or %s", ErrBadSignature, headerID, headerTimestamp)
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > SignatureTolerance || age < -SignatureTolerance {
		return fmt.Errorf("%w: its time differs by more than %v", ErrBadSignature, SignatureTolerance)
	}
	key, err := signingKey(secret)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadSignature, err)
	}
	want := signature(key, id, stamp, body)
	for _, got := range strings.Fields(header.Get(headerSignature)) {
		if hmac.Equal([]byte(got), []byte(want)) {
			return nil
		}
	}
	return fmt.Errorf("%w: no signature by this secret", ErrBadSignature)
}

func sign(header http.Header, key []byte, id string, body []byte, now time.Time) {
	stamp := strconv.FormatInt(now.Unix(), 10)
	header.Set(headerID, id)
	header.Set(headerTimestamp, stamp)
	header.Set(headerSignature, signature(key, id, stamp, body))
}

func signature(key []byte, id, stamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + stamp + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func signingKey(secret string) ([]byte, error) {
	encoded, isBase64 := strings.CutPrefix(strings.TrimSpace(secret), "whsec_")
	key := []byte(encoded)
	if isBase64 {
		var err error
		if key, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return nil, errors.New("the secret begins with whsec_ and is not base64 behind it")
		}
	}
	if len(key) == 0 {
		return nil, errors.New("the secret is empty")
	}
	return key, nil
}
