package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"

	goopenai "github.com/sashabaranov/go-openai"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/outbound"
)

// The values of Request.API.
const (
	APIChat      = "chat"
	APIResponses = "responses"
)

// Request is the payload of a task: one call of the chat completions or the Responses API. Its JSON form is the payload; NewPayload makes it and ParsePayload
// reads it.
type Request struct {
	// API is APIChat for chat completions, as when it is empty, or APIResponses for the Responses API, which knows neither Stop nor Seed.
	API string `json:"api,omitempty"`
	// Model is the model's name at the endpoint. Empty means the executor's WithDefaultModel.
	Model string `json:"model,omitempty"`
	// System is an optional instruction that is sent before everything else.
	System string `json:"system,omitempty"`
	// Prompt is a single message of the user. Either Prompt or Messages is required, not both.
	Prompt string `json:"prompt,omitempty"`
	// Messages is the conversation so far, oldest first.
	Messages []Message `json:"messages,omitempty"`
	// Temperature is from 0 to 2; nil leaves it to the endpoint. Zero is sent as zero.
	Temperature *float64 `json:"temperature,omitempty"`
	// TopP is from 0 to 1; nil leaves it to the endpoint.
	TopP *float64 `json:"top_p,omitempty"`
	// MaxTokens bounds the answer; zero leaves it to the endpoint. It is sent as max_completion_tokens to OpenAI's reasoning
	// models, which refuse max_tokens and count their hidden reasoning, too.
	MaxTokens int `json:"max_tokens,omitempty"`
	// Stop are texts at which the model ends its answer.
	Stop []string `json:"stop,omitempty"`
	// Seed asks for repeatable answers where the endpoint supports it.
	Seed *int `json:"seed,omitempty"`
	// ReasoningEffort is passed on, for example "low"; empty leaves it to the endpoint.
	ReasoningEffort string `json:"reasoning_effort,omitempty"`
	// ResponseFormat asks for text or JSON; nil leaves it to the endpoint.
	ResponseFormat *ResponseFormat `json:"response_format,omitempty"`
	// Stream asks for the answer piece by piece. The result is the same; an endpoint that is silent can then be told from one that
	// writes for a long time (FirstTokenSeconds).
	Stream bool `json:"stream,omitempty"`
	// FirstTokenSeconds is for how long the endpoint of a stream may be silent, before the first piece and between two; then the
	// attempt fails with ErrNoToken. Up to a day, zero for no limit; it needs Stream.
	FirstTokenSeconds float64 `json:"first_token_seconds,omitempty"`
	// BaseURL is the endpoint: https://host/v1, also with /chat/completions or /responses behind it, without user and password. Empty means the
	// executor's WithBaseURL.
	BaseURL string `json:"base_url,omitempty"`
	// APIKeyName names a key in the executor's KeySource; never the key itself. Empty means the executor's WithDefaultKey when
	// the request goes to the executor's own endpoint, and no key otherwise.
	APIKeyName string `json:"api_key_name,omitempty"`
	// Extra are further members of the request body that this endpoint understands, for example {"top_k": 40}. They cannot
	// replace what the other fields stand for, switch to streaming, offer tools or hold keys.
	Extra map[string]json.RawMessage `json:"extra,omitempty"`
}

// Message is one message of a conversation.
type Message struct {
	// Role is "system", "developer", "user" or "assistant".
	Role string `json:"role"`
	// Content is the text; it must not be blank.
	Content string `json:"content"`
}

// ResponseFormat asks for the form of the answer. In JSON it is a string, "text" or "json_object", or the object that the API
// defines: {"type": "json_schema", "json_schema": {"name": ..., "schema": {...}}}.
type ResponseFormat struct {
	// Type is "text", "json_object" or "json_schema".
	Type string
	// JSONSchema is the member json_schema, passed on as it is. Required with the type "json_schema" and not allowed without.
	JSONSchema json.RawMessage
}

type responseFormatObject struct {
	Type       string          `json:"type"`
	JSONSchema json.RawMessage `json:"json_schema,omitempty"`
}

// MarshalJSON writes a string where that says all, and the object otherwise.
func (f ResponseFormat) MarshalJSON() ([]byte, error) {
	if len(f.JSONSchema) == 0 {
		return json.Marshal(f.Type)
	}
	return json.Marshal(responseFormatObject(f))
}

// UnmarshalJSON reads the string and the object form.
func (f *ResponseFormat) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte(`"`)) {
		*f = ResponseFormat{}
		return json.Unmarshal(b, &f.Type)
	}
	var object responseFormatObject
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&object); err != nil {
		return err
	}
	*f = ResponseFormat(object)
	return nil
}

// ErrInvalidRequest reports a Request or a payload that was refused. It is permanent. The error is or wraps a *RequestError
// when it is known which fields are wrong.
var ErrInvalidRequest = errors.New("openai: invalid request")

// RequestError lists everything that is wrong with a Request. It wraps ErrInvalidRequest. Fields have their JSON names, for
// example "messages[2].role". No reason echoes a value that may be a secret.
type RequestError struct {
	Fields []punctual.FieldError
}

func (e *RequestError) Error() string {
	var b strings.Builder
	b.WriteString(ErrInvalidRequest.Error())
	for i, f := range e.Fields {
		if i == 0 {
			b.WriteString(": ")
		} else {
			b.WriteString("; ")
		}
		b.WriteString(f.Field)
		b.WriteString(": ")
		b.WriteString(f.Reason)
	}
	return b.String()
}

// Unwrap makes errors.Is(err, ErrInvalidRequest) true.
func (e *RequestError) Unwrap() error { return ErrInvalidRequest }

func (e *RequestError) add(field, reason string, args ...any) {
	e.Fields = append(e.Fields, punctual.FieldError{Field: field, Reason: fmt.Sprintf(reason, args...)})
}

func (e *RequestError) orNil() error {
	if len(e.Fields) == 0 {
		return nil
	}
	return e
}

// Validate checks the request as far as that is possible without an executor: the model, the endpoint and the key may be left
// to the executor's defaults. The error is a *RequestError that names each wrong field. Executor.Validate checks the rest.
func (r Request) Validate() error {
	e := &RequestError{}
	r.check(e)
	return e.orNil()
}

const maxModelName = 256

func (r Request) check(e *RequestError) {
	if len(r.Model) > maxModelName || strings.ContainsFunc(r.Model, unicode.IsControl) {
		e.add("model", "at most %d bytes without control characters", maxModelName)
	}
	r.checkAPI(e)
	r.checkMessages(e)
	checkRange(e, "temperature", r.Temperature, 0, 2)
	checkRange(e, "top_p", r.TopP, 0, 1)
	if r.MaxTokens < 0 {
		e.add("max_tokens", "%d is negative", r.MaxTokens)
	}
	for i, s := range r.Stop {
		if s == "" {
			e.add(fmt.Sprintf("stop[%d]", i), "is empty")
		}
	}
	r.ResponseFormat.check(e)
	switch s := r.FirstTokenSeconds; {
	case !(s >= 0 && s <= 86400):
		e.add("first_token_seconds", "%v is not between 0 and 86400", s)
	case s > 0 && !r.Stream:
		e.add("first_token_seconds", "needs stream")
	}
	if r.BaseURL != "" {
		if _, err := parseEndpoint(r.BaseURL); err != nil {
			e.add("base_url", "%s", err.Error())
		}
	}
	if r.APIKeyName != "" {
		if reason := outbound.NameFault(r.APIKeyName); reason != "" {
			e.add("api_key_name", "%s", reason)
		}
	}
	r.checkExtra(e)
	if r.Model != "" {
		if err := modelFault(r); err != nil {
			e.add("model", "%s", err.Error())
		}
	}
}

func (r Request) checkAPI(e *RequestError) {
	switch r.API {
	case "", APIChat:
	case APIResponses:
		if len(r.Stop) > 0 {
			e.add("stop", "is not known to the Responses API")
		}
		if r.Seed != nil {
			e.add("seed", "is not known to the Responses API")
		}
	default:
		e.add("api", "%q is none of chat, responses", outbound.Clean(r.API, 32))
	}
}

func (r Request) checkMessages(e *RequestError) {
	switch {
	case r.Prompt != "" && len(r.Messages) > 0:
		e.add("prompt", "give either prompt or messages, not both")
	case len(r.Messages) == 0 && strings.TrimSpace(r.Prompt) == "":
		e.add("prompt", "is empty: give a prompt or messages")
	}
	for i, m := range r.Messages {
		switch m.Role {
		case goopenai.ChatMessageRoleSystem, goopenai.ChatMessageRoleDeveloper, goopenai.ChatMessageRoleUser, goopenai.ChatMessageRoleAssistant:
		default:
			e.add(fmt.Sprintf("messages[%d].role", i), "%q is none of system, developer, user, assistant", outbound.Clean(m.Role, 32))
		}
		if strings.TrimSpace(m.Content) == "" {
			e.add(fmt.Sprintf("messages[%d].content", i), "is empty")
		}
	}
}

func checkRange(e *RequestError, field string, v *float64, low, high float64) {
	if v != nil && (math.IsNaN(*v) || *v < low || *v > high) {
		e.add(field, "%v is not between %v and %v", *v, low, high)
	}
}

func (f *ResponseFormat) check(e *RequestError) {
	if f == nil {
		return
	}
	switch f.Type {
	case "text", "json_object":
		if len(f.JSONSchema) > 0 {
			e.add("response_format", "a json_schema goes with the type json_schema")
		}
	case "json_schema":
		var schema struct {
			Name   string                     `json:"name"`
			Schema map[string]json.RawMessage `json:"schema"`
		}
		if json.Unmarshal(f.JSONSchema, &schema) != nil || schema.Name == "" || schema.Schema == nil {
			e.add("response_format.json_schema", "must be an object with a name and an object called schema")
		}
	default:
		e.add("response_format", "%q is none of text, json_object, json_schema", outbound.Clean(f.Type, 32))
	}
}

// managed are the members of a request body that Extra cannot set: they have fields of their own, or would make the answer one
// that this executor cannot read.
var managed = []string{
	"model", "messages", "temperature", "top_p", "max_tokens", "stop", "seed", "reasoning_effort", "response_format",
	"stream", "stream_options", "n", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call",
}

// managedResponses are those of the Responses API besides: text and reasoning are made of ResponseFormat and ReasoningEffort, and a
// response in the background has no text yet when it is answered.
var managedResponses = []string{"input", "instructions", "max_output_tokens", "max_completion_tokens", "text", "reasoning", "background"}

func (r Request) checkExtra(e *RequestError) {
	for _, name := range sortedKeys(r.Extra) {
		switch {
		case slices.Contains(managed, name), r.API == APIResponses && slices.Contains(managedResponses, name):
			e.add("extra."+name, "cannot be set here")
		case len(r.Extra[name]) == 0 || !json.Valid(r.Extra[name]):
			e.add("extra."+outbound.Clean(name, 32), "is not JSON")
		}
	}
	if _, doubled := r.Extra["max_completion_tokens"]; doubled && r.MaxTokens > 0 {
		e.add("extra.max_completion_tokens", "give either this or max_tokens, not both")
	}
	if where := secretMember("extra", r.Extra); where != "" {
		e.add(where, "%s", keyHint)
	}
}

// completion is the request in go-openai's terms; patch holds the members of its body that go-openai cannot express, such as a
// temperature of zero.
func (r Request) completion() (req goopenai.ChatCompletionRequest, patch map[string]json.RawMessage) {
	req = goopenai.ChatCompletionRequest{
		//lint:ignore SA1019 compatible servers and older models know max_tokens only
		Model: r.Model, MaxTokens: r.MaxTokens, Stop: r.Stop, Seed: r.Seed, ReasoningEffort: r.ReasoningEffort,
	}
	if r.System != "" {
		req.Messages = append(req.Messages, goopenai.ChatCompletionMessage{Role: goopenai.ChatMessageRoleSystem, Content: r.System})
	}
	for _, m := range r.Messages {
		req.Messages = append(req.Messages, goopenai.ChatCompletionMessage{Role: m.Role, Content: m.Content})
	}
	if r.Prompt != "" {
		req.Messages = append(req.Messages, goopenai.ChatCompletionMessage{Role: goopenai.ChatMessageRoleUser, Content: r.Prompt})
	}
	patch = make(map[string]json.RawMessage, len(r.Extra)+5)
	if r.Stream {
		patch["stream"], patch["stream_options"] = mustJSON(true), mustJSON(map[string]bool{"include_usage": true})
	}
	for name, value := range r.Extra {
		patch[name] = value
	}
	req.Temperature = number(patch, "temperature", r.Temperature)
	req.TopP = number(patch, "top_p", r.TopP)
	if f := r.ResponseFormat; f != nil {
		patch["response_format"] = mustJSON(responseFormatObject(*f))
	}
	if errors.Is(goopenai.NewReasoningValidator().Validate(req), goopenai.ErrReasoningModelMaxTokensDeprecated) {
		//lint:ignore SA1019 see above
		req.MaxTokens, req.MaxCompletionTokens = 0, r.MaxTokens
	}
	return req, patch
}

// number puts the exact value into the patch and returns what go-openai's own checks are to see: it takes zero for absent.
func number(patch map[string]json.RawMessage, name string, v *float64) float32 {
	if v == nil {
		return 0
	}
	patch[name] = mustJSON(*v)
	return max(float32(*v), math.SmallestNonzeroFloat32)
}

// modelFault is go-openai's opinion on settings that the model is known to refuse.
func modelFault(r Request) error {
	for _, v := range []*float64{r.Temperature, r.TopP} {
		if v != nil && math.IsNaN(*v) {
			return nil // refused by name already, and no JSON
		}
	}
	if f := r.ResponseFormat; f != nil && len(f.JSONSchema) > 0 && !json.Valid(f.JSONSchema) {
		return nil
	}
	req, _ := r.completion()
	return goopenai.NewReasoningValidator().Validate(req)
}

// mustJSON encodes values that were validated before; a failure is a mistake in this package.
func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("openai: %v", err))
	}
	return b
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
