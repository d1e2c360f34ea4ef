// Package api_test calls the API of the built server as clients do.
package api_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"testing"

	"connectrpc.com/connect"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// client is a client of eventstore.v1.EventStore.
type client = eventstorev1connect.EventStoreClient

// start runs a server and returns the address of its API.
func start(t *testing.T, driver, source string, args ...string) (s *harness.Server, address string) {
	t.Helper()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	// A machine that is busy with other tests must not look like an unavailable database.
	args = append([]string{"-store_timeout", "20s", "-grpc_host", "127.0.0.1", "-grpc_port", strconv.Itoa(port)}, args...)
	return harness.Start(t, driver, source, args...), net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// dial returns a gRPC client.
func dial(t *testing.T, address string) client {
	t.Helper()
	return dialTLS(t, address, nil)
}

// dialTLS is like dial, but uses TLS unless config is nil.
func dialTLS(t *testing.T, address string, config *tls.Config) client {
	t.Helper()
	return eventstorev1connect.NewEventStoreClient(&http.Client{Transport: http2(t, config)}, url(address, config), connect.WithGRPC())
}

func url(address string, config *tls.Config) string {
	if config == nil {
		return "http://" + address
	}
	return "https://" + address
}

// http2 returns a transport that speaks only HTTP/2, without TLS if config is nil.
func http2(t *testing.T, config *tls.Config) *http.Transport {
	t.Helper()
	transport := http1(t, config)
	transport.Protocols.SetHTTP1(false)
	transport.Protocols.SetHTTP2(config != nil)
	transport.Protocols.SetUnencryptedHTTP2(config == nil)
	return transport
}

// http1 is like http2, but for HTTP/1.1.
func http1(t *testing.T, config *tls.Config) *http.Transport {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: config.Clone(), Protocols: new(http.Protocols)} // clone: the transport adds protocols to its configuration
	transport.Protocols.SetHTTP1(true)
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	t.Cleanup(cancel)
	return ctx
}

func event(aggregate string, version uint64) *eventstorev1.Event {
	return &eventstorev1.Event{EventType: "Added", AggregateType: "Order", AggregateId: aggregate, EventVersion: version, EventData: []byte(`{"n":1}`)}
}

func withID(id string, e *eventstorev1.Event) *eventstorev1.Event {
	e.EventId = id
	return e
}

func is(aggregate string, state eventstorev1.Expectation_State, version uint64) *eventstorev1.Expectation {
	return &eventstorev1.Expectation{AggregateType: "Order", AggregateId: aggregate, State: state, Version: version}
}

// add appends events and fails the test if they are refused.
func add(t *testing.T, c client, channel string, events ...*eventstorev1.Event) *eventstorev1.AppendResponse {
	t.Helper()
	resp, err := c.Append(patient(t), &eventstorev1.AppendRequest{Channel: channel, Events: events})
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// wantCode checks the code of an error.
func wantCode(t *testing.T, what string, err error, want connect.Code) {
	t.Helper()
	if err == nil || connect.CodeOf(err) != want {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// all returns the responses of a stream until its end.
func all[T any](t *testing.T, stream *connect.ServerStreamForClient[T], err error) []*T {
	t.Helper()
	responses, err := drain(stream, err)
	if err != nil {
		t.Fatal(err)
	}
	return responses
}

func drain[T any](stream *connect.ServerStreamForClient[T], err error) ([]*T, error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.Close() }()
	var responses []*T
	for stream.Receive() {
		responses = append(responses, stream.Msg())
	}
	return responses, stream.Err()
}

// readAll returns the channel's events that the request selects.
func readAll(t *testing.T, c client, req *eventstorev1.ReadRequest) []*eventstorev1.RecordedEvent {
	t.Helper()
	stream, err := c.Read(patient(t), req)
	var events []*eventstorev1.RecordedEvent
	for _, r := range all(t, stream, err) {
		events = append(events, r.GetEvents()...)
	}
	return events
}

// sequences lists the sequences of events.
func sequences(events []*eventstorev1.RecordedEvent) string {
	text := ""
	for _, e := range events {
		text += fmt.Sprintf("%d ", e.GetSequence())
	}
	return text
}
