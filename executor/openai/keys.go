package openai

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
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
	if prefix == "" {
		panic("openai: EnvKeys needs a prefix")
	}
	toVariable := strings.NewReplacer("-", "_", ".", "_")
	return KeyFunc(func(_ context.Context, name string) (string, error) {
		variable := prefix + toVariable.Replace(strings.ToUpper(name))
		key, ok := os.LookupEnv(variable)
		if !ok {
			return "", fmt.Errorf("%w: the environment variable %s is not set", ErrKeyNotFound, variable)
		}
		return key, nil
	})
}

// StaticKeys gives out the keys of a map from name to key. The map is copied.
func StaticKeys(keys map[string]string) KeySource {
	// A closure and not a map type: printing an executor or its source shows no key.
	keys = maps.Clone(keys)
	return KeyFunc(func(_ context.Context, name string) (string, error) {
		key, ok := keys[name]
		if !ok {
			return "", ErrKeyNotFound
		}
		return key, nil
	})
}

// keyNameFault says what is wrong with the name of a key. A name that may be a key itself is never echoed.
func keyNameFault(name string) string {
	if len(name) > maxKeyName || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:") != "" {
		return fmt.Sprintf("must be at most %d letters, digits and - _ . / :", maxKeyName)
	}
	if looksLikeKey(name) {
		return "looks like a key: it must be the name of a key in the KeySource"
	}
	return ""
}

// headerKey makes a key fit for a header: keys that come from files often end with a newline.
func headerKey(key string) (string, error) {
	key = strings.TrimSpace(key)
	for _, c := range []byte(key) {
		if c <= ' ' || c > '~' {
			return "", errors.New("holds a character that an HTTP header cannot carry")
		}
	}
	return key, nil
}
