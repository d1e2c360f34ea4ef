// Package consume_test consumes events of the built server by gRPC, beside clients of NATS Streaming.
package consume_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/types/known/durationpb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

const orders = "eventstore.orders"

// Short names of the contract.
type (
	open     = eventstorev1.ConsumeRequest_Open
	delivery = eventstorev1.ConsumeResponse_Delivery
	nack     = eventstorev1.ConsumeRequest_Nack
)

// server is a server with its API.
type server struct {
	*harness.Server
	t   *testing.T
	api int // port
}

func start(t *testing.T, driver, source string, args ...string) *server {
	t.Helper()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	// A machine that is busy with other tests must not look like an unavailable database.
	args = append([]string{"-store_timeout", "20s", "-grpc_host", "127.0.0.1", "-grpc_port", strconv.Itoa(port)}, args...)
	return &server{harness.Start(t, driver, source, args...), t, port}
}

func (s *server) url() string { return fmt.Sprintf("http://127.0.0.1:%d", s.api) }

// client returns a gRPC client on a connection of its own.
func (s *server) client() eventstorev1connect.EventStoreClient {
	c, _ := s.mortal()
	return c
}

// mortal returns a client, and what breaks off its connection.
func (s *server) mortal() (c eventstorev1connect.EventStoreClient, die func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	transport := &http.Transport{Protocols: new(http.Protocols), DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			context.AfterFunc(ctx, func() { _ = conn.Close() })
		}
		return conn, err
	}}
	transport.Protocols.SetUnencryptedHTTP2(true)
	s.t.Cleanup(transport.CloseIdleConnections)
	return eventstorev1connect.NewEventStoreClient(&http.Client{Transport: transport}, s.url(), connect.WithGRPC()), cancel
}

// connect connects a client of NATS Streaming.
func (s *server) connect(id string) stan.Conn {
	s.t.Helper()
	sc, err := stan.Connect("test-cluster", id, stan.NatsURL(s.URL()), stan.ConnectWait(harness.Patience), stan.PubAckWait(harness.Patience))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = sc.Close() })
	return sc
}

// fill appends n events, of n aggregates.
func (s *server) fill(channel string, n int) {
	s.t.Helper()
	c := s.client()
	var events []*eventstorev1.Event
	for i := range n {
		events = append(events, &eventstorev1.Event{EventType: "Added", AggregateType: "Order", AggregateId: fmt.Sprint(channel, i)})
	}
	for part := range slices.Chunk(events, 1000) {
		if _, err := c.Append(s.t.Context(), &eventstorev1.AppendRequest{Channel: channel, Events: part}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// member is a stream of Consume.
type member struct {
	*connect.BidiStreamForClientSimple[eventstorev1.ConsumeRequest, eventstorev1.ConsumeResponse]
	t      *testing.T
	die    func() // breaks off the connection
	opened *eventstorev1.ConsumeResponse_Opened
	rest   []*delivery // of the last response
}

// stream starts a stream without a request.
func (s *server) stream() *member {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*harness.Patience)
	s.t.Cleanup(cancel)
	c, die := s.mortal()
	stream, err := c.Consume(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	return &member{BidiStreamForClientSimple: stream, t: s.t, die: die}
}

// begin sends the first request, and no more than that.
func (s *server) begin(o *open) *member {
	s.t.Helper()
	m := s.stream()
	m.send(&eventstorev1.ConsumeRequest{Request: &eventstorev1.ConsumeRequest_Open_{Open: o}})
	return m
}

// join begins, and waits until the member has joined.
func (s *server) join(o *open) *member {
	s.t.Helper()
	m := s.begin(o)
	first, err := m.Receive()
	if err != nil {
		s.t.Fatal(err)
	}
	if m.opened = first.GetOpened(); m.opened == nil {
		s.t.Fatalf("the first response is %v", first)
	}
	return m
}

// send sends a request. If the stream has ended, its next answer tells why.
func (m *member) send(r *eventstorev1.ConsumeRequest) { _ = m.Send(r) }

func (m *member) ack(sequences ...uint64) {
	m.send(&eventstorev1.ConsumeRequest{Request: &eventstorev1.ConsumeRequest_Ack_{Ack: &eventstorev1.ConsumeRequest_Ack{Sequences: sequences}}})
}

func (m *member) nack(n *nack) {
	m.send(&eventstorev1.ConsumeRequest{Request: &eventstorev1.ConsumeRequest_Nack_{Nack: n}})
}

func (m *member) credit(n uint32) {
	m.send(&eventstorev1.ConsumeRequest{Request: &eventstorev1.ConsumeRequest_Credit_{Credit: &eventstorev1.ConsumeRequest_Credit{Credit: n}}})
}

// next returns the next delivery.
func (m *member) next() (*delivery, error) {
	for len(m.rest) == 0 {
		response, err := m.Receive()
		if err != nil {
			return nil, err
		}
		m.rest = response.GetDeliveries()
	}
	d := m.rest[0]
	m.rest = m.rest[1:]
	return d, nil
}

// take returns the next n deliveries as "sequence*deliveries".
func (m *member) take(n int) []string {
	m.t.Helper()
	var all []string
	for range n {
		d, err := m.next()
		if err != nil {
			m.t.Fatalf("after %v: %v", all, err)
		}
		all = append(all, fmt.Sprint(d.GetEvent().GetSequence(), "*", d.GetDeliveries()))
	}
	return all
}

// leave closes the sending side and waits for the end of the stream.
func (m *member) leave() {
	m.t.Helper()
	if err := m.CloseRequest(); err != nil {
		m.t.Error(err)
	}
	wantCode(m.t, "the end of a stream", m.end(), 0)
}

// end returns the error with which the stream ends, nil for none.
func (m *member) end() error {
	for {
		if _, err := m.Receive(); err != nil {
			if connect.CodeOf(err) == connect.CodeUnknown { // io.EOF
				return nil
			}
			return err
		}
	}
}

// wantCode checks the code of an error; 0 stands for none.
func wantCode(t *testing.T, what string, err error, want connect.Code) {
	t.Helper()
	switch {
	case err == nil && want == 0:
	case err == nil, connect.CodeOf(err) != want:
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func want(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func seconds(n int) *durationpb.Duration { return durationpb.New(time.Duration(n) * time.Second) }
