package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/test/authority"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// TestMismatch: the first call tells at once what is wrong with the client's options. Nothing but an answer ends the calls, since
// their context has no deadline.
func TestMismatch(t *testing.T) {
	t.Parallel()
	ca, other := authority.New(t), authority.New(t)
	id, expired := ca.Issue("localhost"), ca.IssueUntil("localhost", time.Now().Add(-time.Hour))
	monitor, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("right"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) *server {
		args = append([]string{"-grpc_host", "127.0.0.1", "-grpc_port", "-1"}, args...)
		return &server{Server: harness.Start(t, "sqlite", databases.SQLite(t), args...), t: t}
	}
	plain := run("-m", strconv.Itoa(monitor), "-grpc_token_file", secret)
	encrypted := run("-grpc_cert", id.Cert, "-grpc_key", id.Key)
	mutual := run("-grpc_cert", id.Cert, "-grpc_key", id.Key, "-grpc_client_ca", ca.File)
	outdated := run("-grpc_cert", expired.Cert, "-grpc_key", expired.Key)
	swapped := func(url string) string {
		if rest, plain := strings.CutPrefix(url, "http://"); plain {
			return "https://" + rest
		}
		return "http://" + strings.TrimPrefix(url, "https://")
	}
	named := func(url string) string { return strings.Replace(url, "127.0.0.1", "localhost", 1) }
	nats := strings.TrimPrefix(plain.URL(), "nats://")
	trusting := &tls.Config{RootCAs: ca.Pool()}

	for what, test := range map[string]struct {
		options eventstore.Options
		want    string
	}{
		"http to TLS":             {eventstore.Options{URLs: []string{swapped(encrypted.api())}}, "use https://: the server has TLS"},
		"https without TLS":       {eventstore.Options{URLs: []string{swapped(plain.api())}}, "the server has no TLS there: use http://"},
		"authority":               {eventstore.Options{URLs: []string{named(encrypted.api())}, TLS: &tls.Config{RootCAs: other.Pool()}}, "add the authority to RootCAs of Options.TLS"},
		"host name":               {eventstore.Options{URLs: []string{named(encrypted.api())}, TLS: &tls.Config{RootCAs: ca.Pool(), ServerName: "events.example"}}, "its certificate is for other names"},
		"expired":                 {eventstore.Options{URLs: []string{named(outdated.api())}, TLS: trusting}, "its certificate is not valid: renew it"},
		"no client certificate":   {eventstore.Options{URLs: []string{named(mutual.api())}, TLS: trusting}, "set Certificates of Options.TLS to a client certificate"},
		"no token":                {eventstore.Options{URLs: []string{plain.api()}}, "set Options.Token to a token"},
		"wrong token":             {eventstore.Options{URLs: []string{plain.api()}, Token: "wrong"}, "set Options.Token to a token"},
		"NATS":                    {eventstore.Options{URLs: []string{"http://" + nats}}, "this is a port of NATS: use the port of the API"},
		"NATS by https":           {eventstore.Options{URLs: []string{"https://" + nats}}, "this is a port of NATS: use the port of the API"},
		"monitoring":              {eventstore.Options{URLs: []string{fmt.Sprintf("http://127.0.0.1:%d", monitor)}}, "the server speaks only HTTP/1.1 there: use the port of the API"},
		"monitoring by HTTP/1.1":  {eventstore.Options{URLs: []string{fmt.Sprintf("http://127.0.0.1:%d", monitor)}, HTTPClient: &http.Client{}}, "check the port, which -grpc_port"},
		"two, none of which fits": {eventstore.Options{URLs: []string{swapped(plain.api()), "http://" + nats}}, "this is a port of NATS"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c, err := eventstore.New(test.options)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, err = c.Append(t.Context(), channel, []eventstore.NewEvent{{Type: "A", AggregateID: "a"}})
			if !errors.Is(err, eventstore.ErrMismatch) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
			err = c.Replay(t.Context(), channel, eventstore.FromBeginning(), eventstore.Filter{}, func(*eventstore.Event) error { return nil })
			if !errors.Is(err, eventstore.ErrMismatch) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("a stream: got %v, want %s", err, test.want)
			}
		})
	}

	// One server that does not fit does not keep the client from another that does.
	c, err := eventstore.New(eventstore.Options{URLs: []string{"http://" + nats, plain.api()}, Token: "right"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, err := c.Append(patient(t), channel, []eventstore.NewEvent{{Type: "A", AggregateID: "a"}}); err != nil {
		t.Error(err)
	}
}
