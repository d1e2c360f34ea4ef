package tracing

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

var show = flag.String("trace", "", "write the trace of an event to this file, as a tree")

func TestMain(m *testing.M) { harness.Main(m) }

const (
	orders = "eventstore.orders"
	shop   = "shop.orders" // CloudEvents
)

const configuration = `streaming {
	events: [{ channels: "eventstore.>" }, { channels: "shop.>", format: cloudevents }]
	routes: [{ from: "eventstore.orders", stream: ORDERS, subject: "ORDERS.{event_type}" }
	         { from: "shop.orders", stream: ORDERS, subject: "ORDERS.shop", headers: cloudevents }]
}`

// site is a server with a collector.
type site struct {
	*harness.Server
	collector *collector
	endpoint  net.Listener
	stop      func() // of the collector
	api       string
}

// start starts a server whose traces go to a collector by a protocol.
func start(t *testing.T, protocol string, env ...string) *site {
	t.Helper()
	s := &site{collector: newCollector()}
	s.endpoint = listen(t, "127.0.0.1:0")
	s.serve(protocol, s.endpoint)
	t.Cleanup(func() { s.stop() })
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	s.api = "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s.Server = harness.New(t, harness.Binary(), "-store", "SQL", "-sql_driver", "sqlite", "-sql_source", databases.SQLite(t),
		"-js", "-sd", t.TempDir(), "-sc", file, "-grpc_host", "127.0.0.1", "-grpc_port", strconv.Itoa(port), "-store_timeout", "20s")
	s.Env = append([]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + s.endpoint.Addr().String(), "OTEL_EXPORTER_OTLP_PROTOCOL=" + protocol,
		"OTEL_EXPORTER_OTLP_HEADERS=x-tenant=shop", "OTEL_SERVICE_NAME=events", "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test",
		"OTEL_BSP_SCHEDULE_DELAY=20",
	}, env...)
	s.Launch()
	s.Ready()
	return s
}

func (s *site) serve(protocol string, l net.Listener) {
	if protocol == "grpc" {
		s.stop = s.collector.serveGRPC(l)
	} else {
		s.stop = s.collector.serveHTTP(l)
	}
}

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// parent is a publisher's own span.
type parent struct{ trace, id string }

func newParent() parent {
	b := make([]byte, 24)
	_, _ = rand.Read(b)
	return parent{hex.EncodeToString(b[:16]), hex.EncodeToString(b[16:])}
}

func (p parent) String() string { return "00-" + p.trace + "-" + p.id + "-01" }

func unsampled(p parent) string { return strings.TrimSuffix(p.String(), "1") + "0" }

func event(t *testing.T, id string, metadata map[string]string) []byte {
	t.Helper()
	b, err := proto.Marshal(&eventstorev1.Event{EventId: id, EventType: "created", AggregateId: id, EventVersion: 1, EventData: []byte(`{}`), Metadata: metadata})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (s *site) connect(t *testing.T, client string) stan.Conn {
	t.Helper()
	sc, err := stan.Connect("test-cluster", client, stan.NatsURL(s.URL()), stan.ConnectWait(harness.Patience), stan.PubAckWait(harness.Patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sc.NatsConn().Close() })
	return sc
}

// subscribe subscribes a durable that acknowledges what acks selects.
func subscribe(t *testing.T, sc stan.Conn, channel, durable string, acks func(*stan.Msg) bool) <-chan *stan.Msg {
	t.Helper()
	in := make(chan *stan.Msg, 1000)
	_, err := sc.Subscribe(channel, func(m *stan.Msg) {
		if acks(m) {
			_ = m.Ack()
		}
		in <- m
	}, stan.DurableName(durable), stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.AckWait(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func receive[T any](t *testing.T, in <-chan T) T {
	t.Helper()
	select {
	case m := <-in:
		return m
	case <-time.After(harness.Patience):
		t.Fatal("no message arrived")
		panic("unreachable")
	}
}

// wait returns the spans that a condition selects, as soon as there are n.
func (s *site) wait(t *testing.T, what string, n int, wanted func(*span) bool) []*span {
	t.Helper()
	late := time.After(harness.Patience)
	for {
		found, changed := s.collector.find(wanted)
		if len(found) >= n {
			return found
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%d spans of %s arrived, want %d", len(found), what, n)
		}
	}
}

// child waits for the one span of a name below a parent.
func (s *site) child(t *testing.T, of parent, name string) *span {
	t.Helper()
	found := s.wait(t, fmt.Sprintf("%q below %s", name, of), 1, func(s *span) bool {
		return s.trace == of.trace && s.parent == of.id && s.name == name
	})
	return found[0]
}

func (s *span) as() parent { return parent{s.trace, s.id} }

// published waits for the spans of a publish, its wait, its commit and the batch, and returns that of the publish.
func (s *site) published(t *testing.T, of parent, name string) *span {
	t.Helper()
	p := s.child(t, of, name)
	if p.kind != "server" || p.attributes["messaging.system"] != "nats_streaming" || p.attributes["messaging.operation.type"] != "send" ||
		p.attributes["messaging.message.id"] == "" || p.attributes["nats_streaming.sequence"] == "" || p.failure != "" {
		t.Errorf("span %+v", p)
	}
	queue, commit := s.child(t, p.as(), "queue"), s.child(t, p.as(), "commit")
	if queue.began != p.began || queue.ended != commit.began || commit.ended > p.ended {
		t.Errorf("publish %d to %d, queue %d to %d, commit %d to %d", p.began, p.ended, queue.began, queue.ended, commit.began, commit.ended)
	}
	if commit.kind != "client" || commit.attributes["db.system.name"] != "sqlite" || commit.attributes["db.query.text"] != "" || len(commit.links) != 1 {
		t.Fatalf("commit %+v", commit)
	}
	batch := s.wait(t, "the batch", 1, func(b *span) bool { return b.id == commit.links[0] })[0]
	if batch.name != "commit batch" || batch.parent != "" || batch.trace == p.trace || !strings.Contains(strings.Join(batch.links, " "), p.id) {
		t.Errorf("batch %+v", batch)
	}
	return p
}

// header keeps the headers of requests that a client makes with a context.
type header struct{ http.RoundTripper }

type headerKey struct{}

func (h header) RoundTrip(r *http.Request) (*http.Response, error) {
	if p, ok := r.Context().Value(headerKey{}).(string); ok {
		r.Header.Set("traceparent", p)
	}
	return h.RoundTripper.RoundTrip(r)
}

func within(t *testing.T, p fmt.Stringer) context.Context {
	return context.WithValue(t.Context(), headerKey{}, p.String())
}

func (s *site) client() eventstorev1connect.EventStoreClient {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	return eventstorev1connect.NewEventStoreClient(&http.Client{Transport: header{&http.Transport{Protocols: &protocols}}}, s.api, connect.WithGRPC())
}

// One trace leads from the publisher to the subscribers, whatever the door: NATS Streaming with the trace in the metadata, gRPC
// with it in the metadata of the call, HTTP with it in the header, CloudEvents with its extension.
func TestTraces(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(strings.ReplaceAll(protocol, "/", " "), func(t *testing.T) {
			t.Parallel()
			s := start(t, protocol)
			sc := s.connect(t, "shop")
			events := subscribe(t, sc, orders, "mailer", func(m *stan.Msg) bool { return m.Sequence != 1 || m.Redelivered })
			ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
			defer cancel()
			stream, err := s.client().Subscribe(ctx, connectRequest(orders))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = stream.Close() }()
			if !stream.Receive() {
				t.Fatal(stream.Err())
			}

			// NATS Streaming.
			of := newParent()
			metadata := map[string]string{"traceparent": of.String(), "tracestate": "shop=1"}
			payload := event(t, "o-1", metadata)
			if err := sc.Publish(orders, payload); err != nil {
				t.Fatal(err)
			}
			p := s.published(t, of, "publish "+orders)
			if p.attributes["messaging.client.id"] != "shop" || p.attributes["messaging.message.id"] != "o-1" || p.attributes["nats_streaming.event_type"] != "created" {
				t.Errorf("publish %+v", p)
			}
			if m := receive(t, events); string(m.Data) != string(payload) {
				t.Error("the subscriber gets other bytes than were published")
			}
			receive(t, events) // redelivered, since it was not acknowledged
			delivered := s.wait(t, "deliveries", 3, func(d *span) bool { return d.parent == p.id && d.name == "deliver "+orders })
			toMailer, again := 0, 0
			for _, d := range delivered {
				if d.attributes["messaging.destination.subscription.name"] == "mailer" && d.attributes["messaging.client.id"] == "shop" {
					toMailer++
				}
				if d.attributes["nats_streaming.redelivery_count"] == "1" {
					again++
				}
			}
			if toMailer != 2 || again != 1 {
				t.Errorf("%d deliveries to the durable, %d of them again; want 2 and 1", toMailer, again)
			}
			if !stream.Receive() {
				t.Fatal(stream.Err())
			}
			if got := stream.Msg().GetEvents()[0].GetEvent().GetMetadata()["traceparent"]; got != of.String() {
				t.Errorf("the API's subscriber gets traceparent %q, want %s", got, of)
			}
			relay := s.child(t, p.as(), "relay ORDERS")
			message := s.relayed(t, 1)
			if want := (parent{of.trace, relay.id}).String(); message.Get("traceparent") != want || message.Get("tracestate") != "shop=1" {
				t.Errorf("the stream gets traceparent %q and tracestate %q, want %s", message.Get("traceparent"), message.Get("tracestate"), want)
			}
			if *show != "" && protocol == "grpc" {
				s.show(t, of)
			}

			// gRPC.
			of = newParent()
			if _, err := s.client().Append(within(t, of), appending("o-2")); err != nil {
				t.Fatal(err)
			}
			p = s.published(t, of, "append "+orders)
			s.child(t, p.as(), "deliver "+orders)
			relay = s.child(t, p.as(), "relay ORDERS")
			if got, want := s.relayed(t, 2).Get("traceparent"), (parent{of.trace, relay.id}).String(); got != want {
				t.Errorf("the stream gets traceparent %q, want %s", got, want)
			}
			receive(t, events)

			// HTTP.
			of = newParent()
			body := `{"channel":"` + orders + `","events":[{"event_id":"o-3","event_type":"created","aggregate_id":"o-3"}]}`
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.api+"/eventstore.v1.EventStore/Append", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("traceparent", of.String())
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			s.child(t, s.published(t, of, "append "+orders).as(), "deliver "+orders)
			receive(t, events)

			// CloudEvents.
			of = newParent()
			if err := sc.Publish(shop, []byte(`{"specversion":"1.0","id":"c-1","source":"/shop","type":"paid","subject":"o-1","traceparent":"`+of.String()+`","data":{}}`)); err != nil {
				t.Fatal(err)
			}
			s.child(t, s.published(t, of, "publish "+shop).as(), "relay ORDERS")

			// A publisher that is not traced has a trace of its own, one whose trace is not sampled has none, and a refusal has an error.
			none := newParent()
			if err := sc.Publish(orders, event(t, "o-4", map[string]string{"traceparent": unsampled(none)})); err != nil {
				t.Fatal(err)
			}
			if err := sc.Publish("plain", []byte("x")); err != nil {
				t.Fatal(err)
			}
			s.wait(t, "a plain channel", 1, func(s *span) bool { return s.name == "publish plain" && s.parent == "" && s.failure == "" })
			if err := sc.Publish(orders, []byte("not an event")); err == nil {
				t.Fatal("accepted")
			}
			s.wait(t, "a refusal", 1, func(s *span) bool { return s.name == "publish "+orders && s.failure != "" })
			if found, _ := s.collector.find(func(s *span) bool { return s.trace == none.trace }); len(found) > 0 {
				t.Errorf("%d spans of a trace that is not sampled", len(found))
			}

			s.collector.mu.Lock()
			defer s.collector.mu.Unlock()
			if r := s.collector.service; r["service.name"] != "events" || r["deployment.environment.name"] != "test" || r["service.version"] == "" || r["service.instance.id"] == "" {
				t.Errorf("resource %v", r)
			}
			if h := s.collector.header; h != nil && h.Get("x-tenant") != "shop" {
				t.Errorf("header %v", h)
			}
		})
	}
}

// relayed returns the headers of a message of the stream.
func (s *site) relayed(t *testing.T, sequence uint64) nats.Header {
	t.Helper()
	nc, err := nats.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetMsg(t.Context(), sequence)
	if err != nil {
		t.Fatal(err)
	}
	return m.Header
}

func connectRequest(channel string) *eventstorev1.SubscribeRequest {
	return &eventstorev1.SubscribeRequest{Channel: channel}
}

func appending(id string) *eventstorev1.AppendRequest {
	return &eventstorev1.AppendRequest{Channel: orders, Events: []*eventstorev1.Event{{EventId: id, EventType: "created", AggregateId: id}}}
}

func (s *site) show(t *testing.T, of parent) {
	t.Helper()
	if err := os.WriteFile(*show, []byte(s.collector.tree(of.trace, of.id, "publisher [client of NATS Streaming], span "+of.id)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// After a restart, a delivery follows the trace that the event names.
func TestTracesAfterRestart(t *testing.T) {
	t.Parallel()
	s := start(t, "grpc")
	of := newParent()
	if err := s.connect(t, "shop").Publish(orders, event(t, "o-1", map[string]string{"traceparent": of.String()})); err != nil {
		t.Fatal(err)
	}
	p := s.published(t, of, "publish "+orders)
	s.Kill()
	s.Restart()
	receive(t, subscribe(t, s.connect(t, "other"), orders, "mailer", func(*stan.Msg) bool { return true }))
	if d := s.child(t, of, "deliver "+orders); d.parent == p.id || d.attributes["messaging.client.id"] != "other" {
		t.Errorf("delivery %+v", d)
	}
}

// Without a collector, nothing is lost but spans, and the log says so once; when the collector is back, they arrive again.
func TestCollectorAway(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(strings.ReplaceAll(protocol, "/", " "), func(t *testing.T) {
			t.Parallel()
			const away, back = "Traces do not reach the collector", "Traces reach the collector again"
			s := start(t, protocol, "OTEL_EXPORTER_OTLP_TIMEOUT=100", "OTEL_BSP_MAX_QUEUE_SIZE=64", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=16")
			address := s.endpoint.Addr().String()
			sc := s.connect(t, "shop")
			s.stop()
			published := 0
			publish := func() {
				published++
				if err := sc.Publish(orders, event(t, strconv.Itoa(published), map[string]string{"traceparent": newParent().String()})); err != nil {
					t.Fatal(err)
				}
			}
			for !s.Log.Contains(away) || published < 200 {
				publish()
			}
			s.serve(protocol, listen(t, address))
			for !s.Log.Contains(back) {
				publish()
			}
			s.stop()
			in := subscribe(t, sc, orders, "mailer", func(*stan.Msg) bool { return true })
			for seq := 1; seq <= published; seq++ {
				if m := receive(t, in); m.Sequence != uint64(seq) {
					t.Fatalf("message %d, want %d", m.Sequence, seq)
				}
			}
			if n := strings.Count(s.Log.String()[:strings.Index(s.Log.String(), back)], away); n != 1 {
				t.Errorf("%d lines that the collector is away, want 1", n)
			}
			s.Stop() // and does not wait for the collector
		})
	}
}
