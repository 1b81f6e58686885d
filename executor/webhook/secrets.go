package webhook

import (
	"context"
	"errors"

	"github.com/punctual-go/punctual/internal/outbound"
)

// ErrSecretNotFound reports the name of a secret that a SecretSource does not know. A run that meets it fails for good.
var ErrSecretNotFound = errors.New("webhook: secret not found")

// SecretSource gives out secrets by name. An attempt asks for them when it starts, so a changed secret counts from the next attempt on.
//
// Secret may be called by many goroutines at once and should obey ctx. It returns ErrSecretNotFound, wrapped as it likes, for a name that it
// does not know; the run then fails for good. Any other error is taken for passing and the attempt may be repeated. Errors must not contain
// secrets.
type SecretSource interface {
	Secret(ctx context.Context, name string) (string, error)
}

// SecretFunc makes a function a SecretSource.
type SecretFunc func(ctx context.Context, name string) (string, error)

// Secret calls f.
func (f SecretFunc) Secret(ctx context.Context, name string) (string, error) { return f(ctx, name) }

// EnvSecrets reads secrets from environment variables: the prefix followed by the name in upper case, with - and . as _. With
// EnvSecrets("HOOK_") the secret "ci-token" is HOOK_CI_TOKEN. It panics on an empty prefix, which would let a payload send any variable of the
// process to an endpoint of its choice.
func EnvSecrets(prefix string) SecretSource {
	return SecretFunc(outbound.FromEnv("webhook: EnvSecrets", prefix, ErrSecretNotFound))
}

// StaticSecrets gives out the secrets of a map from name to secret. The map is copied.
func StaticSecrets(secrets map[string]string) SecretSource {
	return SecretFunc(outbound.FromMap(secrets, ErrSecretNotFound))
}
