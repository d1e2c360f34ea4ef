package consume_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"connectrpc.com/connect"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// bearer sends a token.
type bearer struct {
	http.RoundTripper
	token string
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.RoundTripper.RoundTrip(r)
}

// as begins a stream with a token.
func (s *server) as(token string, o *open) *member {
	s.t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	s.t.Cleanup(transport.CloseIdleConnections)
	ctx, cancel := context.WithTimeout(s.t.Context(), harness.Patience)
	s.t.Cleanup(cancel)
	stream, err := eventstorev1connect.NewEventStoreClient(&http.Client{Transport: bearer{transport, token}}, s.url(), connect.WithGRPC()).Consume(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	m := &member{BidiStreamForClientSimple: stream, t: s.t}
	m.send(&eventstorev1.ConsumeRequest{Request: &eventstorev1.ConsumeRequest_Open_{Open: o}})
	return m
}

// TestRights: who may read may not take events from others. A pattern of channels needs one pattern that covers it. A stream whose
// right is gone ends.
func TestRights(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "access.conf")
	grant := func(consume string) {
		t.Helper()
		text := "principals: [\n"
		for name, rights := range map[string]string{
			"reader": `read: [">"]`, "admin": `admin: [">"]`, "worker": fmt.Sprintf("consume: [%q]", consume),
		} {
			text += fmt.Sprintf("{ name: %s, tokens: [\"sha256:%x\"], %s }\n", name, sha256.Sum256([]byte(name)), rights)
		}
		if err := os.WriteFile(file, []byte(text+"]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	grant("eventstore.*")
	s := start(t, "sqlite", databases.SQLite(t), "-access_file", file, "-wildcards")
	channel := &open{Channel: orders, ClientId: "a", Group: "g", Credit: 1}
	pattern := &open{Channel: "eventstore.*", ClientId: "a", Group: "g", Credit: 1}
	wider := &open{Channel: "eventstore.>", ClientId: "a", Group: "g", Credit: 1}
	for _, it := range []struct {
		token string
		open  *open
		code  connect.Code
	}{
		{"", channel, connect.CodeUnauthenticated},
		{"reader", channel, connect.CodePermissionDenied},
		{"reader", pattern, connect.CodePermissionDenied},
		{"worker", wider, connect.CodePermissionDenied},
		{"worker", channel, 0},
		{"worker", pattern, 0},
		{"admin", wider, 0},
	} {
		m := s.as(it.token, it.open)
		_, err := m.Receive()
		wantCode(t, fmt.Sprint(it.token, " consumes ", it.open.GetChannel()), err, it.code)
		if it.token != "worker" || it.code != 0 {
			continue
		}
		defer func() { wantCode(t, "a stream without its right", m.end(), connect.CodePermissionDenied) }()
	}
	grant("eventstore.other")
	s.Process.Signal(syscall.SIGHUP)
}
