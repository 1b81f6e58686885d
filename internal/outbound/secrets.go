package outbound

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strings"
)

// FromEnv reads secrets from environment variables: the prefix followed by the name in upper case, with - and . as _. An unknown one is
// reported as notFound. It panics, in the name of who, on an empty prefix, which would let a payload send any variable of the process to
// an endpoint of its choice.
func FromEnv(who, prefix string, notFound error) func(ctx context.Context, name string) (string, error) {
	if prefix == "" {
		panic(who + " needs a prefix")
	}
	toVariable := strings.NewReplacer("-", "_", ".", "_")
	return func(_ context.Context, name string) (string, error) {
		variable := prefix + toVariable.Replace(strings.ToUpper(name))
		secret, ok := os.LookupEnv(variable)
		if !ok {
			return "", fmt.Errorf("%w: the environment variable %s is not set", notFound, variable)
		}
		return secret, nil
	}
}

// FromMap gives out the secrets of a map from name to secret, which is copied. An unknown one is reported as notFound.
func FromMap(secrets map[string]string, notFound error) func(ctx context.Context, name string) (string, error) {
	// A closure and not a map type: printing an executor or its source shows no secret.
	secrets = maps.Clone(secrets)
	return func(_ context.Context, name string) (string, error) {
		secret, ok := secrets[name]
		if !ok {
			return "", notFound
		}
		return secret, nil
	}
}

// maxName is how many bytes the name of a secret may have.
const maxName = 255

// NameFault says what is wrong with the name of a secret, or nothing. A name that may be a secret itself is never echoed.
func NameFault(name string) string {
	if len(name) > maxName || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:") != "" {
		return fmt.Sprintf("must be at most %d letters, digits and - _ . / :", maxName)
	}
	if LooksLikeKey(name) {
		return "looks like a secret: it must be the name of one"
	}
	return ""
}
