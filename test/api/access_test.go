package api_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/nats-eventstore/nats-eventstore/proto/compat/eventstore"
	"github.com/nats-eventstore/nats-eventstore/proto/compat/eventstore/eventstoreconnect"
	"github.com/nats-eventstore/nats-eventstore/proto/compat/pb"
	"github.com/nats-eventstore/nats-eventstore/proto/compat/pb/pbconnect"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/authority"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

const billing, sales = "eventstore.billing.invoices", "eventstore.sales.orders"

// principal returns a block of an access file for a principal whose token is its name.
func principal(name, rights string) string {
	return fmt.Sprintf("{ name: %s, tokens: [\"sha256:%x\"], %s }\n", name, sha256.Sum256([]byte(name)), rights)
}

// accessFile writes an access file.
func accessFile(t *testing.T, file string, principals ...string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte("principals: [\n"+strings.Join(principals, "")+"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// as returns the HTTP client and URL of a caller with a token.
func as(t *testing.T, address, token string) (*http.Client, string) {
	return &http.Client{Transport: bearer{http2(t, nil), token}}, url(address, nil)
}

func dialAs(t *testing.T, address, token string) client {
	httpClient, url := as(t, address, token)
	return eventstorev1connect.NewEventStoreClient(httpClient, url, connect.WithGRPC())
}

// calls are all methods that name a channel, by the right that they need.
func calls(t *testing.T, c client, channel string) map[string]func() error {
	t.Helper()
	return map[string]func() error{
		"append": func() error {
			_, err := c.Append(patient(t), &eventstorev1.AppendRequest{Channel: channel, Events: []*eventstorev1.Event{event("a", 0)}})
			return err
		},
		"read": func() error {
			stream, err := c.Read(patient(t), &eventstorev1.ReadRequest{Channel: channel})
			_, err = drain(stream, err)
			return err
		},
		"read aggregate": func() error {
			stream, err := c.ReadAggregate(patient(t), &eventstorev1.ReadAggregateRequest{Channel: channel, AggregateType: "Order", AggregateId: "a"})
			_, err = drain(stream, err)
			return err
		},
		"read one": func() error {
			_, err := c.GetEvent(patient(t), &eventstorev1.GetEventRequest{Channel: channel, Key: &eventstorev1.GetEventRequest_Sequence{Sequence: 1}})
			return err
		},
		"read one by ID": func() error {
			_, err := c.GetEvent(patient(t), &eventstorev1.GetEventRequest{Channel: channel, Key: &eventstorev1.GetEventRequest_EventId{EventId: "id"}})
			return err
		},
		"read by subscribing": func() error {
			ctx, cancel := context.WithCancel(patient(t))
			stream, err := c.Subscribe(ctx, &eventstorev1.SubscribeRequest{Channel: channel})
			if err != nil {
				cancel()
				return err
			}
			received := stream.Receive()
			cancel()
			err = stream.Err()
			_ = stream.Close()
			if received {
				return nil
			}
			return err
		},
	}
}

// TestAccess: a principal does what the access file grants, and learns nothing about the rest.
func TestAccess(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		file := accessFile(t, filepath.Join(t.TempDir(), "access.conf"),
			principal("admin", `admin: [">"]`),
			principal("writer", `append: ["eventstore.billing.>"]`),
			principal("reader", `read: ["eventstore.billing.*"]`),
			principal("consumer", `consume: [">"]`),
			principal("nobody", ``))
		_, address := start(t, driver, source, "-access_file", file, "-grpc_token", "s3cret")
		admin := dialAs(t, address, "admin")
		for _, channel := range []string{billing, sales} {
			add(t, admin, channel, withID("id", event("a", 1)))
		}
		add(t, dialAs(t, address, "s3cret"), "eventstore.elsewhere", event("a", 1)) // the token of -grpc_token has all rights

		t.Run("methods", func(t *testing.T) {
			for who, rights := range map[string]string{"admin": "append read", "writer": "append", "reader": "read", "consumer": "", "nobody": ""} {
				c := dialAs(t, address, who)
				for what, call := range calls(t, c, billing) {
					right, _, _ := strings.Cut(what, " ")
					switch err := call(); {
					case strings.Contains(rights, right):
						if err != nil {
							t.Errorf("%s: %s: %v", who, what, err)
						}
					default:
						wantCode(t, who+": "+what, err, connect.CodePermissionDenied)
						want := fmt.Sprintf(`permission_denied: permissions violation: principal %q has no right %q on channel %q; the server's access file grants rights`, who, right, billing)
						if err != nil && err.Error() != want {
							t.Errorf("%s: %s: got %v, want %s", who, what, err, want)
						}
					}
				}
			}
		})
		t.Run("existence", func(t *testing.T) {
			for _, channel := range []string{sales, "eventstore.sales.missing", "plain", "eventstore"} {
				for what, call := range calls(t, dialAs(t, address, "writer"), channel) {
					wantCode(t, what+" on "+channel, call(), connect.CodePermissionDenied)
				}
			}
			missing := "eventstore.billing.missing"
			for what, call := range calls(t, dialAs(t, address, "nobody"), missing) {
				wantCode(t, what+" on "+missing, call(), connect.CodePermissionDenied)
			}
			for who, want := range map[string][]string{
				"admin": {billing, "eventstore.elsewhere", sales}, "writer": {billing}, "reader": {billing}, "consumer": nil, "nobody": nil,
			} {
				resp, err := dialAs(t, address, who).ListChannels(patient(t), &eventstorev1.ListChannelsRequest{})
				if err != nil {
					t.Fatal(err)
				}
				var names []string
				for _, ch := range resp.GetChannels() {
					names = append(names, ch.GetName())
				}
				if !slices.Equal(names, want) {
					t.Errorf("%s sees channels %v, want %v", who, names, want)
				}
			}
			_, err := dialAs(t, address, "reader").Append(patient(t), &eventstorev1.AppendRequest{Channel: "a..b", Events: []*eventstorev1.Event{event("a", 1)}})
			wantCode(t, "invalid name", err, connect.CodeInvalidArgument)
		})
		t.Run("event of any channel", func(t *testing.T) {
			for who, want := range map[string]connect.Code{"admin": connect.CodeFailedPrecondition, "writer": connect.CodeNotFound, "nobody": connect.CodeNotFound} {
				_, err := dialAs(t, address, who).GetEvent(patient(t), &eventstorev1.GetEventRequest{Key: &eventstorev1.GetEventRequest_EventId{EventId: "id"}})
				wantCode(t, who, err, want)
			}
			resp, err := dialAs(t, address, "reader").GetEvent(patient(t), &eventstorev1.GetEventRequest{Key: &eventstorev1.GetEventRequest_EventId{EventId: "id"}})
			if err != nil || resp.GetEvent().GetChannel() != billing {
				t.Errorf("reader: %v %v", resp, err)
			}
		})
		t.Run("other services", func(t *testing.T) {
			for who, want := range map[string]struct {
				append bool
				events int
			}{"admin": {true, 2}, "writer": {true, 0}, "reader": {false, 1}, "nobody": {false, 0}} {
				httpClient, url := as(t, address, who)
				one := eventstoreconnect.NewEventStoreClient(httpClient, url, connect.WithGRPC())
				two := pbconnect.NewEventStoreClient(httpClient, url, connect.WithGRPC())
				_, err1 := one.CreateEvent(patient(t), &eventstore.CreateEventRequest{Event: &eventstore.Event{EventId: "one", EventType: "T", AggregateId: "z", Stream: billing}})
				_, err2 := two.CreateEvent(patient(t), &pb.Event{EventId: "two", EventType: "T", AggregateId: "z", Channel: billing})
				_, err3 := two.CreateEvent(patient(t), &pb.Event{EventId: "three", EventType: "T", AggregateId: "z", Channel: sales})
				if want.append && (err1 != nil || err2 != nil) {
					t.Errorf("%s: create: %v, %v", who, err1, err2)
				}
				if !want.append {
					wantCode(t, who+": create", err1, connect.CodePermissionDenied)
					wantCode(t, who+": create", err2, connect.CodePermissionDenied)
				}
				if who != "admin" {
					wantCode(t, who+": create elsewhere", err3, connect.CodePermissionDenied)
				}
				for what, req := range map[string]*eventstore.GetEventsRequest{"by ID": {EventId: "id"}, "by aggregate": {AggregateId: "a"}, "all": {}} {
					resp, err := one.GetEvents(patient(t), req)
					if err != nil {
						t.Fatal(err)
					}
					stream, err := one.GetEventsStream(patient(t), req)
					streamed := all(t, stream, err)
					seen := make(map[string]bool)
					for _, e := range append(resp.GetEvents(), streamed...) {
						seen[e.GetStream()] = true
					}
					if visible := seen[billing] || seen[sales]; visible != (want.events > 0) || seen[sales] != (want.events > 1) {
						t.Errorf("%s: events %s: of %v", who, what, seen)
					}
				}
			}
		})
	})
}

// TestCredentials: a request needs a token or a certificate of a principal; only the health service answers without.
func TestCredentials(t *testing.T) {
	t.Parallel()
	ca, other := authority.New(t), authority.New(t)
	id := ca.Issue("server")
	file := accessFile(t, filepath.Join(t.TempDir(), "access.conf"), principal("writer", `admin: ">"`),
		`{ name: known, certificates: ["CN=known"], admin: ">" }`)
	_, address := start(t, "sqlite", databases.SQLite(t), "-access_file", file,
		"-grpc_cert", id.Cert, "-grpc_key", id.Key, "-grpc_client_ca", ca.File)
	config := func(id authority.Identity) *tls.Config {
		cert, err := tls.LoadX509KeyPair(id.Cert, id.Key)
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Config{RootCAs: ca.Pool(), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }}
	}
	with := func(config *tls.Config, token string) client {
		return eventstorev1connect.NewEventStoreClient(&http.Client{Transport: bearer{http2(t, config), token}}, url(address, config), connect.WithGRPC())
	}
	none := &tls.Config{RootCAs: ca.Pool()}
	known := config(ca.Issue("known"))
	works(t, dialTLS(t, address, known), "certificate")
	works(t, with(none, "writer"), "token")
	works(t, with(config(ca.Issue("unknown")), "writer"), "both")
	for what, c := range map[string]client{
		"nothing":                           dialTLS(t, address, none),
		"unknown certificate":               dialTLS(t, address, config(ca.Issue("unknown"))),
		"wrong token":                       with(none, "write"),
		"hash of the token":                 with(none, fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("writer")))),
		"wrong token, certificate":          with(known, "write"),
		"empty token":                       with(none, ""),
		"name of a principal with no token": with(none, "known"),
	} {
		for name, call := range calls(t, c, orders) {
			wantCode(t, what+": "+name, call(), connect.CodeUnauthenticated)
		}
	}
	_ = refused(t, "certificate of another authority", dialTLS(t, address, config(other.Issue("known"))))

	conn := grpcConn(t, address, none)
	if _, err := grpc_health_v1.NewHealthClient(conn).Check(patient(t), &grpc_health_v1.HealthCheckRequest{}); err != nil {
		t.Errorf("health: %v", err)
	}
	stream, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(patient(t))
	if err == nil {
		_, err = stream.Recv()
	}
	if err == nil || !strings.Contains(err.Error(), "Unauthenticated") {
		t.Errorf("reflection: %v", err)
	}
	describesItself(t, address, known)

	// A URL ends in logs and histories: it never carries credentials.
	web := &http.Client{Transport: http1(t, none)}
	for _, query := range []string{"authorization=Bearer%20writer", "access_token=writer", "token=writer", "connect=v1&encoding=json&message={}&Authorization=Bearer+writer"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			req, err := http.NewRequestWithContext(patient(t), method, "https://"+address+eventstorev1connect.EventStoreListChannelsProcedure+"?"+query, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			resp, err := web.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s with %s: %s", method, query, resp.Status)
			}
		}
	}
}

// TestReload: SIGHUP replaces the access file, the token, the certificates and the limits. Calls that are running lose the
// rights that were taken; an invalid file changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	ca, next := authority.New(t), authority.New(t)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	copyTo := func(from, to string) {
		t.Helper()
		b, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(path(to), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	install := func(server, clients *authority.Authority) {
		id := server.Issue("server")
		copyTo(id.Cert, "cert.pem")
		copyTo(id.Key, "key.pem")
		copyTo(clients.File, "clients.pem")
	}
	configure := func(text string) {
		t.Helper()
		if err := os.WriteFile(path("server.conf"), []byte("streaming { grpc { "+text+" } }"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install(ca, ca)
	configure(`token: first`)
	file := accessFile(t, path("access.conf"), principal("reader", `read: ["eventstore.>"]`), `{ name: cert, certificates: ["CN=client"], read: [">"] }`)
	s, address := start(t, "sqlite", databases.SQLite(t), "-c", path("server.conf"), "-access_file", file,
		"-grpc_cert", path("cert.pem"), "-grpc_key", path("key.pem"), "-grpc_client_ca", path("clients.pem"))
	reload := func(lines ...string) {
		t.Helper()
		s.Process.Signal(syscall.SIGHUP)
		for _, line := range lines {
			s.WaitLog(t, line)
		}
	}
	clientOf := func(server *authority.Authority, token string) client {
		config := &tls.Config{RootCAs: server.Pool()}
		return eventstorev1connect.NewEventStoreClient(&http.Client{Transport: bearer{http2(t, config), token}}, url(address, config), connect.WithGRPC())
	}
	first := clientOf(ca, "first")
	add(t, first, billing, event("a", 1))
	subscribe := func(c client) *connect.ServerStreamForClient[eventstorev1.SubscribeResponse] {
		t.Helper()
		stream, err := c.Subscribe(patient(t), &eventstorev1.SubscribeRequest{Channel: billing})
		if err != nil {
			t.Fatal(err)
		}
		for stream.Receive() {
			if len(stream.Msg().GetEvents()) > 0 {
				return stream
			}
		}
		t.Fatal(stream.Err())
		return nil
	}
	ends := func(what string, stream *connect.ServerStreamForClient[eventstorev1.SubscribeResponse], want string) {
		t.Helper()
		for stream.Receive() {
		}
		wantCode(t, what, stream.Err(), connect.CodePermissionDenied)
		if err := stream.Err(); err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", what, err, want)
		}
	}
	sessions := tls.NewLRUClientSessionCache(1)
	withCert := func(issuer *authority.Authority, server *authority.Authority) *tls.Config {
		id := issuer.Issue("client")
		cert, err := tls.LoadX509KeyPair(id.Cert, id.Key)
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Config{RootCAs: server.Pool(), ClientSessionCache: sessions, ServerName: "localhost",
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }}
	}
	former := withCert(ca, ca)
	readAll(t, dialTLS(t, address, former), &eventstorev1.ReadRequest{Channel: billing})

	// Errors change nothing.
	reader := subscribe(clientOf(ca, "reader"))
	accessFile(t, file, `{ name: reader, tokens: [reader] }`)
	reload("[ERR] STREAM: Reload: nothing was changed: access file: " + file + ":2: tokens: a token is written as its hash")
	accessFile(t, file, principal("reader", `read: ["eventstore.>"]`), `{ name: cert, certificates: ["CN=client"], read: [">"] }`)
	copyTo(ca.Issue("other").Key, "key.pem")
	configure("token: second")
	reload("[ERR] STREAM: Reload: nothing was changed: API certificate: tls: private key does not match public key")
	add(t, first, billing, event("a", 2))

	// New certificates, token and limit; a setting that needs a restart is named.
	subscribed := subscribe(first)
	install(next, next)
	configure("token: second, max_message: 1KB }\n sql { max_open_conns: 7")
	reload("[INF] STREAM: Reloaded the access file", "[WRN] STREAM: Reload: these settings changed and need a restart: sql_max_open_conns\n")
	ends("subscription with the former token", subscribed, "the token or client certificate is no longer accepted")
	_, err := first.Append(patient(t), &eventstorev1.AppendRequest{Channel: billing, Events: []*eventstorev1.Event{event("a", 3)}})
	wantCode(t, "former token", err, connect.CodeUnauthenticated)
	second := clientOf(next, "second")
	add(t, second, billing, event("a", 3))
	large := event("b", 1)
	large.EventData = []byte(`"` + strings.Repeat("x", 2000) + `"`)
	_, err = second.Append(patient(t), &eventstorev1.AppendRequest{Channel: billing, Events: []*eventstorev1.Event{large}})
	wantCode(t, "larger than the new limit", err, connect.CodeResourceExhausted)
	_ = refused(t, "the former authority of the server", clientOf(ca, "second"))
	// A session from before the reload does not stand for a certificate of the new authority.
	former.RootCAs = next.Pool()
	_ = refused(t, "the former authority of clients", dialTLS(t, address, former))
	readAll(t, dialTLS(t, address, withCert(next, next)), &eventstorev1.ReadRequest{Channel: billing})

	// A right that is taken ends what uses it.
	accessFile(t, file, principal("reader", `append: ["eventstore.>"]`))
	reload()
	ends("subscription without its right", reader, `principal "reader" has no right "read" on channel "`+billing+`"`)
}

// TestReloadTLS: connections cannot follow a reload that turns TLS on or off.
func TestReloadTLS(t *testing.T) {
	t.Parallel()
	id := authority.New(t).Issue("server")
	conf := filepath.Join(t.TempDir(), "server.conf")
	configure := func(text string) {
		t.Helper()
		if err := os.WriteFile(conf, []byte("streaming { grpc { "+text+" } }"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	configure("")
	s, address := start(t, "sqlite", databases.SQLite(t), "-c", conf)
	configure(fmt.Sprintf("cert: %q, key: %q", id.Cert, id.Key))
	s.Process.Signal(syscall.SIGHUP)
	s.WaitLog(t, "Reload: nothing was changed: grpc_cert and grpc_key: TLS is turned on and off at the start only")
	works(t, dial(t, address), "a")
}
