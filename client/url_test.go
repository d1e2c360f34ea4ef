package eventstore_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// New refuses URLs that cannot lead to an API, and says what to write instead, without passwords.
func TestNewRefusesURLs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ urls, want string }{
		{"", "Options.URLs is empty: name the API of each server"},
		{"localhost:4280", `"localhost:4280": has no scheme: write it as http://127.0.0.1:4280`},
		{"nats://localhost:4222", "nats:// is a URL of NATS: name the API"},
		{"tls://localhost:4222", "tls:// is a URL of NATS"},
		{"grpc://localhost:4280", `the scheme is "grpc": write it as http://`},
		{"http://", "has no host"},
		{"http://:4280", "has no host"},
		{"http://localhost:0", `the port is "0": must be between 1 and 65535`},
		{"http://localhost:65536", `the port is "65536"`},
		{"http://localhost:x", "is not a URL"},
		{"http://a:secret@localhost:4280", `"http://…@localhost:4280": has a user: set Options.Token`},
		{"http://a:se%zzcret@localhost:4280", `"http://…@localhost:4280": is not a URL`},
		{"http://localhost:4280/api", `has the path "/api": leave it out`},
		{"http://localhost:4280?x=1", "has a query or a fragment"},
		{"http://localhost:4280#x", "has a query or a fragment"},
		{"http://localhost:4280 http://LOCALHOST:4280/", `"http://localhost:4280" and "http://LOCALHOST:4280/" are the same server`},
		{"https://events.example https://events.example:443", "are the same server"},
	} {
		_, err := eventstore.New(eventstore.Options{URLs: strings.Fields(test.urls)})
		if err == nil || !strings.HasPrefix(err.Error(), "eventstore: Options.URLs") && test.urls != "" || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %s", test.urls, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "cret") {
			t.Errorf("%s: the error has the password", err)
		}
	}
	for _, urls := range []string{"http://localhost", "https://events.example/", "HTTP://[::1]:4280", "http://a:1 http://a:2 https://a:1"} {
		c, err := eventstore.New(eventstore.Options{URLs: strings.Fields(urls)})
		if err != nil {
			t.Errorf("%s: %v", urls, err)
			continue
		}
		c.Close()
	}
	_, err := eventstore.New(eventstore.Options{URLs: []string{"https://a:1"}, HTTPClient: &http.Client{}, TLS: &tls.Config{}})
	if err == nil || !strings.Contains(err.Error(), "exclude each other") {
		t.Errorf("HTTPClient with TLS: error %v", err)
	}
}
