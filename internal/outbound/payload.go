package outbound

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// payload is a request that is kept as the payload of a task.
type payload interface{ Validate() error }

// Encode checks a request and returns it as a payload. Errors besides those of Validate wrap invalid.
func Encode[R payload](r R, invalid error) (json.RawMessage, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", invalid, err)
	}
	return b, nil
}

// Decode reads a payload and checks it. An unknown field is an error. Errors besides those of Validate wrap invalid, and are cleaned.
func Decode[R payload](raw json.RawMessage, invalid error) (R, error) {
	var r, none R
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return none, fmt.Errorf("%w: %s", invalid, Clean(strings.TrimPrefix(err.Error(), "json: "), 200))
	}
	if err := r.Validate(); err != nil {
		return none, err
	}
	return r, nil
}
