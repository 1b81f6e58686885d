package openai

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// DefaultBaseURL is the endpoint of an executor without WithBaseURL.
const DefaultBaseURL = "https://api.openai.com/v1"

const (
	completionsPath = "/chat/completions"
	maxURL          = 2048
	maxHost         = 253
)

// parseEndpoint turns a base URL into the URL that completions are posted to. https://host/v1 and
// https://host/v1/chat/completions mean the same, with or without slashes at the end; a query, such as an api-version, is
// kept. Its errors echo nothing of the text, which may hold credentials.
func parseEndpoint(base string) (*url.URL, error) {
	base = strings.TrimSpace(base)
	tooLong := errors.New("is longer than " + strconv.Itoa(maxURL) + " bytes")
	if len(base) > maxURL {
		return nil, tooLong
	}
	u, err := url.Parse(base)
	if err != nil {
		return nil, errors.New("is not a URL")
	}
	switch u.Scheme {
	case "http", "https":
	default:
		return nil, errors.New("must begin with https:// or http://")
	}
	if u.User != nil {
		return nil, errors.New("must not hold a user or password")
	}
	if u.Opaque != "" || u.Hostname() == "" {
		return nil, errors.New("has no host")
	}
	if len(u.Hostname()) > maxHost {
		return nil, errors.New("has a host of more than " + strconv.Itoa(maxHost) + " bytes")
	}
	if strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "[") {
		return nil, errors.New("has a host with a colon: write an IPv6 address in brackets")
	}
	if !utf8.ValidString(u.Hostname()) || strings.ContainsAny(u.Hostname(), " \t\"'<>\\^`{|}") {
		return nil, errors.New("has characters in its host that no host has")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return nil, errors.New("has a port that is not between 1 and 65535")
		}
	}
	if u.Fragment != "" || strings.Contains(base, "#") {
		return nil, errors.New("must not hold a fragment (#)")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("has a query that cannot be read")
	}
	for name := range query {
		if isSecretName(name) {
			return nil, errors.New("must not hold a key in its query: use api_key_name")
		}
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	if !strings.HasSuffix(path, completionsPath) {
		path += completionsPath
	}
	plain, err := url.PathUnescape(path)
	if err != nil {
		return nil, errors.New("has a path that cannot be read")
	}
	endpoint := &url.URL{Scheme: u.Scheme, Host: strings.ToLower(strings.TrimSuffix(u.Host, ":")), Path: plain, RawPath: path, RawQuery: u.RawQuery}
	if len(endpoint.String()) > maxURL { // escapes made it longer
		return nil, tooLong
	}
	return endpoint, nil
}

// origin is what a key is given to: scheme, host and port.
func origin(u *url.URL) string { return u.Scheme + "://" + hostPort(u) }

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// sameParty reports whether a request to from may be sent again to where it was redirected: the same host and port over the
// same scheme, or the step from http to https at the default ports. Neither the key nor the prompt may reach anybody else.
func sameParty(from, to *url.URL) bool {
	if origin(from) == origin(to) {
		return true
	}
	return from.Scheme == "http" && to.Scheme == "https" && strings.EqualFold(from.Hostname(), to.Hostname()) &&
		strings.HasSuffix(hostPort(from), ":80") && strings.HasSuffix(hostPort(to), ":443")
}
