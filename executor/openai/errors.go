package openai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/outbound"
)

// Errors besides *APIError that an attempt can end with. Those of the network wrap what the HTTP client reported.
var (
	// ErrBadAnswer reports an answer that says it is a success and holds none: no JSON, no choices, no text, too large, cut off.
	ErrBadAnswer = errors.New("openai: unusable answer")
	// ErrRefused reports that the model or a content filter refused to answer. It is permanent.
	ErrRefused = errors.New("openai: the model refused")
)

// APIError is what the endpoint reported: an HTTP status other than success, or an error object inside a success. All texts
// are cleaned: one line, bounded, without keys.
type APIError struct {
	StatusCode int           // HTTP status; 2xx when the error came inside a success
	Code       string        // the endpoint's code, for example "insufficient_quota"; may be empty
	Type       string        // the endpoint's type, for example "invalid_request_error"; may be empty
	Param      string        // the parameter that the endpoint found wrong; may be empty
	Message    string        // the endpoint's message, or what came in its place
	Endpoint   string        // host of the endpoint
	RequestID  string        // the endpoint's id of the request, for its support; may be empty
	RetryAfter time.Duration // how long the endpoint wants to be left alone, up to WithMaxRetryAfter; zero when it did not say
}

func (e *APIError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "openai: %s answered %d", e.Endpoint, e.StatusCode)
	if outbound.IsSuccess(e.StatusCode) {
		b.WriteString(" with an error inside")
	} else if text := http.StatusText(e.StatusCode); text != "" {
		b.WriteString(" " + text)
	}
	if label := e.label(); label != "" {
		b.WriteString(" (" + label + ")")
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.RequestID != "" {
		b.WriteString(" [request " + e.RequestID + "]")
	}
	return b.String()
}

func (e *APIError) label() string {
	if e.Code != "" {
		return e.Code
	}
	return e.Type
}

// hopeless are codes and types with which waiting does not help, whatever the status.
var hopeless = map[string]bool{
	"insufficient_quota": true, "billing_hard_limit_reached": true, "billing_not_active": true, "insufficient_balance": true,
	"account_deactivated": true, "access_terminated": true,
}

// hopelessInside are codes and types that come with a 4xx status from most endpoints; they decide when the error came inside a
// success.
var hopelessInside = map[string]bool{
	"invalid_request_error": true, "invalid_api_key": true, "authentication_error": true, "permission_error": true, "permission_denied": true,
	"not_found_error": true, "model_not_found": true, "context_length_exceeded": true, "content_policy_violation": true, "content_filter": true,
	"invalid_argument": true, "unauthenticated": true, "unprocessable_entity_error": true, "badrequesterror": true, "notfounderror": true,
}

// isPermanent says whether another attempt can only fail the same way.
func (e *APIError) isPermanent() bool {
	code, kind := strings.ToLower(e.Code), strings.ToLower(e.Type)
	if hopeless[code] || hopeless[kind] {
		return true
	}
	status := e.StatusCode
	if outbound.IsSuccess(status) {
		n, err := strconv.Atoi(code)
		if err != nil || n < 400 || n > 599 {
			return hopelessInside[code] || hopelessInside[kind]
		}
		status = n
	}
	return !outbound.IsRetryable(status)
}

// verdict marks the error for the scheduler.
func (e *APIError) verdict() error {
	switch {
	case e.isPermanent():
		return punctual.Permanent(e)
	case e.RetryAfter > 0:
		return punctual.RetryAfter(e, e.RetryAfter)
	}
	return e
}

// stopped is the error of a call whose context ended, or nil when it has not.
func stopped(ctx context.Context, host string) error {
	return outbound.Stopped(ctx, "openai: call to "+host)
}

// Sizes of what is kept of an endpoint's error.
const (
	maxMessage = 500
	maxLabel   = 100
)

// report is the error that a body holds in one of the forms in use, before it is cleaned.
type report struct {
	code, kind, param, message string
	retryDelay                 time.Duration
}

// errorIn finds the error object of a JSON answer: the API's own {"error": {...}}, {"error": "text"}, and where there are no
// choices {"object": "error", "message": ...} and {"detail": ...}.
func errorIn(body map[string]json.RawMessage) (report, bool) {
	if rep, found := errorMember(body["error"]); found {
		return rep, true
	}
	if len(body["choices"]) > 0 && stringOf(body["object"]) != "error" {
		return report{}, false
	}
	for _, name := range []string{"message", "detail"} {
		if text := textOf(body[name]); text != "" {
			return report{code: textOf(body["code"]), kind: stringOf(body["type"]), param: stringOf(body["param"]), message: text}, true
		}
	}
	return report{}, false
}

func errorMember(raw json.RawMessage) (report, bool) {
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil {
		switch text := textOf(raw); text {
		case "", "false", "0":
			return report{}, false
		default:
			return report{message: text}, true
		}
	}
	if len(object) == 0 {
		return report{}, false
	}
	rep := report{
		code: textOf(object["code"]), kind: stringOf(object["type"]), param: stringOf(object["param"]),
		message: textOf(object["message"]), retryDelay: retryDelay(object["details"]),
	}
	if rep.kind == "" {
		rep.kind = stringOf(object["status"]) // Google
	}
	// Routers put what the provider behind them said here; their own message is then only that it said something.
	var metadata struct {
		Raw string `json:"raw"`
	}
	if json.Unmarshal(object["metadata"], &metadata) == nil && metadata.Raw != "" {
		rep.message = strings.TrimSpace(rep.message + ": " + metadata.Raw)
	}
	if rep.message == "" && rep.code == "" && rep.kind == "" {
		rep.message = textOf(raw)
	}
	return rep, true
}

// retryDelay is Google's place for a Retry-After.
func retryDelay(details json.RawMessage) time.Duration {
	var items []struct {
		RetryDelay string `json:"retryDelay"`
	}
	_ = json.Unmarshal(details, &items)
	for _, item := range items {
		if d := outbound.ParseDuration(item.RetryDelay); d > 0 {
			return d
		}
	}
	return 0
}

func stringOf(raw json.RawMessage) string {
	var s string
	_ = json.Unmarshal(raw, &s)
	return s
}

// textOf is a JSON string's text, nothing for null, several texts in a row, and the JSON itself for all else.
func textOf(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var list []string
	if json.Unmarshal(raw, &list) == nil {
		return strings.Join(list, ", ")
	}
	return string(raw)
}
