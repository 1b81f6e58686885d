package openai

import (
	"errors"
	"net/url"
	"strings"

	"github.com/punctual-go/punctual/internal/outbound"
)

// DefaultBaseURL is the endpoint of an executor without WithBaseURL.
const DefaultBaseURL = "https://api.openai.com/v1"

const (
	completionsPath = "/chat/completions"
	responsesPath   = "/responses"
)

// parseEndpoint turns a base URL into the URL that completions are posted to. https://host/v1, https://host/v1/chat/completions and
// https://host/v1/responses mean the same, with or without slashes at the end; a query, such as an api-version, is
// kept. Its errors echo nothing of the text, which may hold credentials.
func parseEndpoint(base string) (*url.URL, error) {
	u, err := outbound.ParseURL(base)
	switch {
	case err != nil:
		return nil, err
	case outbound.HasSecret(u):
		return nil, errors.New("must not hold a key in its query: use api_key_name")
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	if !strings.HasSuffix(path, completionsPath) {
		path = strings.TrimSuffix(path, responsesPath) + completionsPath
	}
	plain, err := url.PathUnescape(path)
	if err != nil {
		return nil, errors.New("has a path that cannot be read")
	}
	endpoint := &url.URL{Scheme: u.Scheme, Host: strings.ToLower(strings.TrimSuffix(u.Host, ":")), Path: plain, RawPath: path, RawQuery: u.RawQuery}
	if len(endpoint.String()) > outbound.MaxURL { // escapes made it longer
		return nil, outbound.ErrURLTooLong
	}
	return endpoint, nil
}

// endpointOf is where the calls of an API go, for what parseEndpoint has returned.
func endpointOf(completions *url.URL, api string) *url.URL {
	if api != APIResponses {
		return completions
	}
	u := *completions
	u.Path = strings.TrimSuffix(u.Path, completionsPath) + responsesPath
	u.RawPath = strings.TrimSuffix(u.RawPath, completionsPath) + responsesPath
	return &u
}
