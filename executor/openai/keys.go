package openai

import (
	"context"
	"errors"

	"github.com/punctual-go/punctual/internal/outbound"
)

// ErrKeyNotFound reports a key name that a KeySource does not know. A run that meets it fails for good.
var ErrKeyNotFound = errors.New("openai: API key not found")

// KeySource gives out API keys by name. An attempt asks for its key when it starts, so a changed key counts from the next
// attempt on.
//
// Key may be called by many goroutines at once and should obey ctx. It returns ErrKeyNotFound, wrapped as it likes, for a name
// that it does not know; the run then fails for good. Any other error is taken for passing and the attempt may be repeated. An
// empty key without an error means that the endpoint wants none. Errors must not contain keys.
type KeySource interface {
	Key(ctx context.Context, name string) (string, error)
}

// KeyFunc makes a function a KeySource.
type KeyFunc func(ctx context.Context, name string) (string, error)

// Key calls f.
func (f KeyFunc) Key(ctx context.Context, name string) (string, error) { return f(ctx, name) }

// EnvKeys reads keys from environment variables: the prefix followed by the name in upper case, with - and . as _. With
// EnvKeys("LLM_KEY_") the key "my-proxy" is LLM_KEY_MY_PROXY. A variable that is set but empty means that the endpoint wants no
// key. It panics on an empty prefix, which would let a payload send any variable of the process to an endpoint of its choice.
func EnvKeys(prefix string) KeySource {
	return KeyFunc(outbound.FromEnv("openai: EnvKeys", prefix, ErrKeyNotFound))
}

// StaticKeys gives out the keys of a map from name to key. The map is copied.
func StaticKeys(keys map[string]string) KeySource {
	return KeyFunc(outbound.FromMap(keys, ErrKeyNotFound))
}
