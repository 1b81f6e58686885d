package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/punctual-go/punctual"
)

// NewPayload checks the request and returns it as the payload of a task. The error is that of Request.Validate.
func NewPayload(r Request) (json.RawMessage, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidRequest, err)
	}
	return b, nil
}

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
	var r Request
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return Request{}, fmt.Errorf("%w: %s", ErrInvalidRequest, clean(strings.TrimPrefix(err.Error(), "json: "), 200))
	}
	if err := r.Validate(); err != nil {
		return Request{}, err
	}
	return r, nil
}

const keyHint = "keys do not belong into a payload: keep them in the KeySource and name one with api_key_name"

// secretNames are names of members that hold credentials, in lower case and without separators.
var secretNames = map[string]bool{
	"key": true, "apikey": true, "apisecret": true, "xapikey": true, "openaiapikey": true, "openaikey": true, "authorization": true, "auth": true,
	"bearer": true, "bearertoken": true, "token": true, "apitoken": true, "authtoken": true, "accesstoken": true, "accesskey": true, "secret": true,
	"secretkey": true, "clientsecret": true, "password": true, "passwd": true, "credentials": true, "subscriptionkey": true, "signature": true, "sig": true,
}

var dropSeparators = strings.NewReplacer("-", "", "_", "", ".", "", " ", "")

func isSecretName(name string) bool {
	return secretNames[strings.ToLower(dropSeparators.Replace(name))]
}

// secretMember returns the path of the first member, by name, that looks like a credential. A schema for the
// answer may use such names freely and is not searched; nor are texts for the model.
func secretMember(path string, members map[string]json.RawMessage) string {
	for _, name := range sortedKeys(members) {
		here := clean(name, 32)
		if path != "" {
			here = path + "." + here
		}
		if isSecretName(name) {
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
