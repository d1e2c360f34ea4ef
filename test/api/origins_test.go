package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

const appending = "/eventstore.v1.EventStore/Append"

// preflight sends the request that a browser sends before a page's call, and returns the headers of the answer.
func preflight(t *testing.T, address, origin, headers string) http.Header {
	t.Helper()
	req, err := http.NewRequestWithContext(patient(t), http.MethodOptions, "http://"+address+appending, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", origin)
	req.Header.Set("Access-Control-Request-Method", http.MethodPost)
	req.Header.Set("Access-Control-Request-Headers", headers)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.Header
}

// page is the transport of a page's script: the browser adds the origin and hides answers that do not allow it.
type page struct {
	bearer
	origin string
	shown  func(http.Header)
}

func (p *page) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Origin", p.origin)
	resp, err := p.bearer.RoundTrip(req)
	if err == nil {
		p.shown(resp.Header)
	}
	return resp, err
}

// TestOrigins: pages of the configured origins may call over every browser protocol; other pages may not.
func TestOrigins(t *testing.T) {
	t.Parallel()
	const shop, admin, other = "https://shop.example", "http://localhost:5173", "https://other.example"
	_, address := start(t, "sqlite", databases.SQLite(t), "-grpc_origins", shop+","+admin, "-grpc_token", "s3cret")
	for _, headers := range []string{"authorization,content-type,x-grpc-web,x-user-agent", "authorization,connect-protocol-version,connect-timeout-ms,content-type"} {
		for origin, want := range map[string]string{shop: shop, admin: admin, other: "", "https://shop.example.other.example": ""} {
			if got := preflight(t, address, origin, headers).Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("preflight of %s allows %q, want %q", origin, got, want)
			}
		}
	}

	for name, option := range map[string]connect.ClientOption{"grpc-web": connect.WithGRPCWeb(), "connect": connect.WithProtoJSON()} {
		shown := 0
		script := &page{bearer{http1(t, nil), "wrong"}, shop, func(h http.Header) {
			exposed := strings.Split(strings.ToLower(strings.ReplaceAll(h.Get("Access-Control-Expose-Headers"), " ", "")), ",")
			if h.Get("Access-Control-Allow-Origin") == shop && slices.Contains(exposed, "grpc-status") && slices.Contains(exposed, "grpc-message") {
				shown++
			}
		}}
		c := eventstorev1connect.NewEventStoreClient(&http.Client{Transport: script}, url(address, nil), option)
		_, err := c.Append(patient(t), &eventstorev1.AppendRequest{Channel: "eventstore.c", Events: []*eventstorev1.Event{event(name, 1)}})
		wantCode(t, name+" with a wrong token", err, connect.CodeUnauthenticated)
		script.token = "s3cret"
		add(t, c, "eventstore.c", event(name, 1))
		if shown != 2 {
			t.Errorf("%s: the page may read %d of 2 answers", name, shown)
		}
	}

	_, address = start(t, "sqlite", databases.SQLite(t))
	if got := preflight(t, address, shop, "content-type").Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("without origins, a page of %s is allowed", got)
	}
	_, address = start(t, "sqlite", databases.SQLite(t), "-grpc_origins", "*")
	if got := preflight(t, address, other, "content-type").Get("Access-Control-Allow-Origin"); got != "*" {
		t.Errorf("with all origins allowed, a page of %s gets %q", other, got)
	}
}
