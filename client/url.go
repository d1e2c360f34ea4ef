package eventstore

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// serverURLs returns the checked base URLs of servers.
func serverURLs(texts []string) ([]string, error) {
	if len(texts) == 0 {
		return nil, errors.New("eventstore: Options.URLs is empty: name the API of each server, such as http://127.0.0.1:4280")
	}
	urls, first := make([]string, len(texts)), map[string]string{}
	for i, text := range texts {
		u, err := serverURL(text)
		if err != nil {
			return nil, fmt.Errorf("eventstore: Options.URLs: %q: %w", shown(text), err)
		}
		if other, twice := first[u]; twice {
			return nil, fmt.Errorf("eventstore: Options.URLs: %q and %q are the same server: name each once", other, text)
		}
		urls[i], first[u] = u, text
	}
	return urls, nil
}

// serverURL returns a base URL in one spelling: scheme://host:port.
func serverURL(text string) (string, error) {
	const example = "write it as http://127.0.0.1:4280 or, for a server with TLS, https://events.example:4280"
	if !strings.Contains(text, "://") {
		return "", errors.New("has no scheme: " + example)
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", errors.New("is not a URL: " + example) // its error would show a password
	}
	port, scheme := u.Port(), strings.ToLower(u.Scheme)
	switch scheme {
	case "http", "https":
	case "nats", "tls", "ws", "wss":
		return "", fmt.Errorf("%s:// is a URL of NATS: name the API, which listens on another port (-grpc_port), with http:// or https://", u.Scheme)
	default:
		return "", fmt.Errorf("the scheme is %q: %s", u.Scheme, example)
	}
	switch {
	case u.User != nil:
		return "", errors.New("has a user: set Options.Token, or a client certificate in Options.TLS, instead")
	case u.Hostname() == "":
		return "", errors.New("has no host: " + example)
	case u.Path != "" && u.Path != "/":
		return "", fmt.Errorf("has the path %q: leave it out; the API is at the root", u.Path)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("has a query or a fragment: leave it out")
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("the port is %q: must be between 1 and 65535", port)
	}
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme + "://" + host + ":" + port, nil
}

// shown returns a text without a password.
func shown(text string) string {
	scheme, rest, _ := strings.Cut(text, "://")
	if end := strings.LastIndex(rest, "@"); end >= 0 {
		return scheme + "://…@" + rest[end+1:]
	}
	return text
}
