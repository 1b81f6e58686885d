package openai

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/outbound"
)

// NewPayload checks the request and returns it as the payload of a task. The error is that of Request.Validate.
func NewPayload(r Request) (json.RawMessage, error) { return outbound.Encode(r, ErrInvalidRequest) }

// ParsePayload reads and checks a payload. It is stricter than encoding/json: an unknown field is an error, since it is most
// likely a setting that is misspelt and would have no effect, and so is a field that holds an API key, whose value no error
// echoes. All errors wrap ErrInvalidRequest.
func ParsePayload(payload json.RawMessage) (Request, error) {
	if len(bytes.TrimSpace(payload)) == 0 {
		return Request{}, fmt.Errorf("%w: the task has no payload: give it one with NewPayload", ErrInvalidRequest)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(payload, &members); err != nil || members == nil {
		return Request{}, fmt.Errorf("%w: the payload is not a JSON object", ErrInvalidRequest)
	}
	if where := secretMember("", members); where != "" {
		return Request{}, &RequestError{Fields: []punctual.FieldError{{Field: where, Reason: keyHint}}}
	}
	return outbound.Decode[Request](payload, ErrInvalidRequest)
}

const keyHint = "keys do not belong into a payload: keep them in the KeySource and name one with api_key_name"

// secretMember returns the path of the first member, by name, that looks like a credential. A schema for the
// answer may use such names freely and is not searched; nor are texts for the model.
func secretMember(path string, members map[string]json.RawMessage) string {
	for _, name := range sortedKeys(members) {
		here := outbound.Clean(name, 32)
		if path != "" {
			here = path + "." + here
		}
		if outbound.IsSecretName(name) {
			return here
		}
		if path == "" && name == "response_format" {
			continue
		}
		if found := secretInside(here, members[name]); found != "" {
			return found
		}
	}
	return ""
}

func secretInside(path string, value json.RawMessage) string {
	value = bytes.TrimSpace(value)
	if len(value) == 0 {
		return ""
	}
	switch value[0] {
	case '{':
		var members map[string]json.RawMessage
		if json.Unmarshal(value, &members) == nil {
			return secretMember(path, members)
		}
	case '[':
		var items []json.RawMessage
		if json.Unmarshal(value, &items) == nil {
			for i, item := range items {
				if found := secretInside(fmt.Sprintf("%s[%d]", path, i), item); found != "" {
					return found
				}
			}
		}
	}
	return ""
}
