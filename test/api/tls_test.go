package api_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/authority"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// works checks that a client can append events of an aggregate and stream them.
func works(t *testing.T, c client, aggregate string) {
	t.Helper()
	sequence := add(t, c, orders, event(aggregate, 1)).GetEvents()[0].GetSequence()
	ctx, cancel := context.WithCancel(patient(t))
	defer cancel()
	stream, err := c.Subscribe(ctx, &eventstorev1.SubscribeRequest{Channel: orders,
		Start: &eventstorev1.SubscribeRequest_FromSequence{FromSequence: sequence}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	defer cancel() // otherwise Close waits for the end of the stream
	for stream.Receive() {
		if events := stream.Msg().GetEvents(); len(events) > 0 {
			if got := events[0].GetEvent().GetAggregateId(); got != aggregate {
				t.Errorf("got an event of %q, want %q", got, aggregate)
			}
			return
		}
	}
	t.Error(stream.Err())
}

// nothingOf checks that works stored no events of these aggregates: no request of the refused clients was served.
func nothingOf(t *testing.T, c client, aggregatePrefix string) {
	t.Helper()
	for _, e := range readAll(t, c, &eventstorev1.ReadRequest{Channel: orders, Filter: &eventstorev1.Filter{AggregateIdPrefix: aggregatePrefix}}) {
		t.Errorf("stored: %v", e)
	}
}

// refused returns the connection error of a client that is not let in. The error must not come from the service.
func refused(t *testing.T, what string, c client) error {
	t.Helper()
	_, err := c.Append(patient(t), &eventstorev1.AppendRequest{Channel: orders, Events: []*eventstorev1.Event{event("refused-"+what, 1)}})
	wantCode(t, what, err, connect.CodeUnavailable)
	return err
}

// TestTLS: clients that trust the authority are served over gRPC and HTTP/1.1. Others, and clients without TLS, learn
// why they are refused.
func TestTLS(t *testing.T) {
	t.Parallel()
	ca, other := authority.New(t), authority.New(t)
	id := ca.Issue("server")
	s, address := start(t, "sqlite", databases.SQLite(t), "-SD", "-grpc_cert", id.Cert, "-grpc_key", id.Key)
	trusting := &tls.Config{RootCAs: ca.Pool()}
	c := dialTLS(t, address, trusting)
	works(t, c, "a")
	describesItself(t, address, trusting)

	var unknown x509.UnknownAuthorityError
	if err := refused(t, "another authority", dialTLS(t, address, &tls.Config{RootCAs: other.Pool()})); !errors.As(err, &unknown) {
		t.Errorf("another authority: %v", err)
	}
	var hostname x509.HostnameError
	if err := refused(t, "another name", dialTLS(t, address, &tls.Config{RootCAs: ca.Pool(), ServerName: "elsewhere"})); !errors.As(err, &hostname) {
		t.Errorf("another name: %v", err)
	}
	if err := refused(t, "old TLS", dialTLS(t, address, &tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})); !strings.Contains(err.Error(), "protocol version not supported") {
		t.Errorf("old TLS: %v", err)
	}
	_ = refused(t, "no TLS", dial(t, address)) // the connection breaks: TLS cannot say why
	s.WaitLog(t, "first record does not look like a TLS handshake")
	nothingOf(t, c, "refused")

	for scheme, want := range map[string]struct {
		status int
		text   string
	}{
		"https": {http.StatusOK, `"` + orders + `"`},
		"http":  {http.StatusBadRequest, "Client sent an HTTP request to an HTTPS server."},
	} {
		curl := &http.Client{Transport: http1(t, trusting)}
		resp, err := curl.Post(scheme+"://"+address+eventstorev1connect.EventStoreListChannelsProcedure, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != want.status || !strings.Contains(string(text), want.text) {
			t.Errorf("%s: %s %s %v", scheme, resp.Status, text, err)
		}
	}
}

// describesItself checks health and reflection with gRPC's own client, which insists on ALPN.
func describesItself(t *testing.T, address string, config *tls.Config) {
	t.Helper()
	conn := grpcConn(t, address, config)
	health, err := grpc_health_v1.NewHealthClient(conn).Check(patient(t), &grpc_health_v1.HealthCheckRequest{Service: eventstorev1connect.EventStoreName})
	if err != nil || health.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v", health, err)
	}
	stream, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(req *grpc_reflection_v1.ServerReflectionRequest) *grpc_reflection_v1.ServerReflectionResponse {
		t.Helper()
		if err := stream.Send(req); err != nil {
			t.Fatal(err)
		}
		resp, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	services := ask(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}})
	if !slices.ContainsFunc(services.GetListServicesResponse().GetService(), func(s *grpc_reflection_v1.ServiceResponse) bool {
		return s.GetName() == eventstorev1connect.EventStoreName
	}) {
		t.Errorf("reflection lists %v", services)
	}
	file := ask(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: eventstorev1connect.EventStoreName}})
	if len(file.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
		t.Errorf("reflection of the service: %v", file)
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("end of reflection: %v", err)
	}
}

func grpcConn(t *testing.T, address string, config *tls.Config) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestMutualTLS: only certificates of the authority are accepted, also by the health service.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	ca, other := authority.New(t), authority.New(t)
	id := ca.Issue("server")
	s, address := start(t, "sqlite", databases.SQLite(t), "-SD", "-grpc_cert", id.Cert, "-grpc_key", id.Key, "-grpc_client_ca", ca.File)
	// presenting returns the configuration of a client that always presents its certificate. By default, a client
	// presents none if the server asks for certificates of another authority.
	presenting := func(id authority.Identity) *tls.Config {
		cert, err := tls.LoadX509KeyPair(id.Cert, id.Key)
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Config{RootCAs: ca.Pool(), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }}
	}
	known := presenting(ca.Issue("client"))
	c := dialTLS(t, address, known)
	works(t, c, "a")
	describesItself(t, address, known)

	for what, test := range map[string]struct {
		config *tls.Config
		alert  string // reported to the client
		log    string // logged for the operator
	}{
		"no certificate":    {&tls.Config{RootCAs: ca.Pool()}, "tls: certificate required", "client didn't provide a certificate"},
		"another authority": {presenting(other.Issue("client")), "tls: unknown certificate authority", "certificate signed by unknown authority"},
	} {
		_ = refused(t, what, dialTLS(t, address, test.config))
		s.WaitLog(t, test.log)
		_, err := grpc_health_v1.NewHealthClient(grpcConn(t, address, test.config)).Check(patient(t), &grpc_health_v1.HealthCheckRequest{})
		if status.Code(err) != codes.Unavailable {
			t.Errorf("%s: health: %v", what, err)
		}
		// A client that has sent a request may see the connection break before it reads the alert. A client that only
		// reads always sees it.
		conn, err := tls.Dial("tcp", address, test.config)
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
		if err == nil || !strings.Contains(err.Error(), test.alert) {
			t.Errorf("%s: %v, want %s", what, err, test.alert)
		}
	}
	_ = refused(t, "no TLS", dial(t, address))
	nothingOf(t, c, "refused")
}

// TestMutualTLSWithToken: a client needs both a certificate and the token.
func TestMutualTLSWithToken(t *testing.T) {
	t.Parallel()
	ca := authority.New(t)
	id := ca.Issue("server")
	_, address := start(t, "sqlite", databases.SQLite(t), "-grpc_cert", id.Cert, "-grpc_key", id.Key, "-grpc_client_ca", ca.File, "-grpc_token", "s3cret")
	cert, err := tls.LoadX509KeyPair(id.Cert, id.Key)
	if err != nil {
		t.Fatal(err)
	}
	known := &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{cert}}
	with := func(config *tls.Config, token string) client {
		transport := bearer{http2(t, config), token}
		return eventstorev1connect.NewEventStoreClient(&http.Client{Transport: transport}, url(address, config), connect.WithGRPC())
	}
	c := with(known, "s3cret")
	works(t, c, "a")
	for what, c := range map[string]client{"no token": dialTLS(t, address, known), "wrong token": with(known, "s3cre")} {
		_, err := c.Append(patient(t), &eventstorev1.AppendRequest{Channel: orders, Events: []*eventstorev1.Event{event("refused", 1)}})
		wantCode(t, what, err, connect.CodeUnauthenticated)
		stream, err := c.Read(patient(t), &eventstorev1.ReadRequest{Channel: orders})
		_, err = drain(stream, err)
		wantCode(t, what+", stream", err, connect.CodeUnauthenticated)
	}
	_ = refused(t, "token without a certificate", with(&tls.Config{RootCAs: ca.Pool()}, "s3cret"))
	nothingOf(t, c, "refused")
	// Health requires the certificate but no token.
	health, err := grpc_health_v1.NewHealthClient(grpcConn(t, address, known)).Check(patient(t), &grpc_health_v1.HealthCheckRequest{})
	if err != nil || health.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v", health, err)
	}
}

// bearer adds a token to requests.
type bearer struct {
	*http.Transport
	token string
}

func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+b.token)
	return b.Transport.RoundTrip(req)
}

// TestSettings: contradictory settings and missing files stop the start with an error that names them.
func TestSettings(t *testing.T) {
	t.Parallel()
	ca := authority.New(t)
	id, other := ca.Issue("server"), ca.Issue("other")
	for want, args := range map[string][]string{
		"set grpc_cert and grpc_key together":                                                                 {"-grpc_cert", id.Cert},
		"grpc_client_ca needs grpc_cert and grpc_key":                                                         {"-grpc_client_ca", ca.File},
		"API certificate: tls: private key does not":                                                          {"-grpc_cert", id.Cert, "-grpc_key", other.Key},
		"API client authority: " + id.Key:                                                                     {"-grpc_cert", id.Cert, "-grpc_key", id.Key, "-grpc_client_ca", id.Key},
		"API client authority: open " + id.Key + ".x":                                                         {"-grpc_cert", id.Cert, "-grpc_key", id.Key, "-grpc_client_ca", id.Key + ".x"},
		`grpc_origins: "shop.example" is not an origin`:                                                       {"-grpc_origins", "https://shop.example,shop.example"},
		`grpc_origins: "https://shop.example/" is not an origin`:                                              {"-grpc_origins", "https://shop.example/"},
		"the API listens on 0.0.0.0 without TLS and authentication: set grpc_cert":                            {"-grpc_host", "0.0.0.0"},
		"the API listens on all addresses without TLS and authentication":                                     {"-a", ""},
		"the API listens on :: without authentication":                                                        {"-grpc_host", "::", "-grpc_cert", id.Cert, "-grpc_key", id.Key},
		"the API listens on db.example without TLS:":                                                          {"-grpc_host", "db.example", "-grpc_token", "t"},
		"NATS authenticates its clients, but the API does not":                                                {"-user", "u", "-pass", "p"},
		"NATS authenticates its clients, but the API does not: set grpc_token":                                {"-ns", "nats://127.0.0.1:1", "-user", "u", "-pass", "p"},
		"NATS authenticates its clients, but the API does not: set grpc_token, grpc_client_ca or access_file": {"-ns", "nats://u:p@127.0.0.1:1"},
	} {
		s := harness.New(t, harness.Binary(), append([]string{"-store", "memory", "-grpc_port", "-1"}, args...)...)
		s.Launch()
		s.WaitLog(t, want)
		<-s.Process.Done()
		if s.Process.ExitCode() != 1 {
			t.Errorf("%s: status %d", want, s.Process.ExitCode())
		}
	}
}

// TestListens: the API listens where NATS does, and elsewhere only if it is told that nobody need be known there.
func TestListens(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"API listens on http://127.0.0.1:": nil,
		"The API can be reached from other machines without TLS and authentication (grpc_insecure)": {"-grpc_host", "0.0.0.0", "-grpc_insecure"},
	} {
		s := harness.New(t, harness.Binary(), append([]string{"-store", "memory", "-grpc_port", "-1"}, args...)...)
		s.Launch()
		s.WaitLog(t, strings.TrimSpace(want))
		s.Ready()
		if warned := s.Log.Contains("(grpc_insecure)"); warned != (args != nil) {
			t.Errorf("%v: warned %v", args, warned)
		}
	}
}
