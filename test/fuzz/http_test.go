package fuzz

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	protobuf "google.golang.org/protobuf/proto"

	"github.com/nats-eventstore/nats-eventstore/proto/compat/eventstore/eventstoreconnect"
	"github.com/nats-eventstore/nats-eventstore/proto/compat/pb/pbconnect"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// mostBytes is more than the server answers to any request, streams aside, of which as much is read.
const mostBytes = 5 << 20

// FuzzHTTP sends requests to the API, over HTTP/1.1 and HTTP/2. Each is answered, and never because the server failed;
// then another client is served as before.
func FuzzHTTP(f *testing.F) {
	for i, s := range httpSeeds(f) {
		f.Add(s.method, s.path, s.contentType, s.encoding, s.body, i%2 == 0)
	}
	var d *door
	f.Cleanup(func() {
		if d != nil {
			d.stop(f)
		}
	})
	n := 0
	f.Fuzz(func(t *testing.T, method, path, contentType, encoding string, body []byte, http2 bool) {
		if n++; d != nil && n%requestsPerServer == 0 {
			d.stop(t)
			d = nil
		}
		if d == nil {
			d = newDoor(t)
		}
		d.send(t, method, path, contentType, encoding, body, http2)
		d.live(t)
	})
}

// door is a server with an API, and the clients that call it.
type door struct {
	*instance
	url     string
	clients map[bool]*http.Client // by whether they speak HTTP/2
	caller  eventstorev1connect.EventStoreClient
	stored  uint64
}

func newDoor(t testing.TB) *door {
	t.Helper()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	d := &door{url: fmt.Sprintf("http://127.0.0.1:%d", port), clients: make(map[bool]*http.Client)}
	d.instance = startInstance(t, "sqlite", ":memory:", func(o *config.Options) {
		o.API.Host, o.API.Port = "127.0.0.1", port
	})
	for _, http2 := range []bool{false, true} {
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetHTTP1(!http2)
		transport.Protocols.SetUnencryptedHTTP2(http2)
		d.clients[http2] = &http.Client{Transport: transport}
	}
	d.caller = eventstorev1connect.NewEventStoreClient(d.clients[true], d.url, connect.WithGRPC())
	return d
}

func (d *door) stop(t testing.TB) {
	for _, c := range d.clients {
		c.CloseIdleConnections()
	}
	d.instance.stop(t)
}

// send sends a request and checks how it is answered.
func (d *door) send(t *testing.T, method, path, contentType, encoding string, body []byte, http2 bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, d.url+path, bytes.NewReader(body))
	if err != nil || req.URL.Host != strings.TrimPrefix(d.url, "http://") || method == http.MethodConnect {
		t.Skip("not a request")
	}
	for name, value := range map[string]string{"Content-Type": contentType, "Content-Encoding": encoding, "Grpc-Encoding": encoding, "Connect-Content-Encoding": encoding} {
		if !validHeader(value) {
			t.Skip("not a header")
		}
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	req.Header.Set("Te", "trailers")
	resp, err := d.clients[http2].Do(req)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusInternalServerError {
		text, _ := io.ReadAll(resp.Body)
		// What the bytes of a protocol break is internal in connect.
		if !bytes.Contains(text, []byte("protocol error")) {
			t.Errorf("%s: %s", resp.Status, text)
		}
		return
	}
	if strings.HasSuffix(req.URL.Path, "/Subscribe") {
		return // has no end
	}
	n, err := io.Copy(io.Discard, io.LimitReader(resp.Body, mostBytes))
	if err != nil {
		t.Errorf("the answer breaks off: %v", err)
	}
	if n >= mostBytes {
		t.Errorf("an answer of more than %d bytes", mostBytes)
	}
}

func validHeader(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// live checks that another client is served.
func (d *door) live(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	resp, err := d.caller.Append(ctx, &eventstorev1.AppendRequest{Channel: eventChannel + ".live",
		Events: []*eventstorev1.Event{{EventType: "T", AggregateId: "live", EventData: []byte("{}")}}})
	if err != nil {
		t.Fatalf("another client: %v", err)
	}
	if got := resp.GetEvents()[0].GetSequence(); got <= d.stored {
		t.Errorf("sequence %d after %d", got, d.stored)
	} else {
		d.stored = got
	}
}

// httpSeed is a request.
type httpSeed struct {
	method, path, contentType, encoding string
	body                                []byte
}

// httpSeeds are requests of each method by each protocol, sound and broken, plain and compressed.
func httpSeeds(f *testing.F) []httpSeed {
	f.Helper()
	event := &eventstorev1.Event{EventType: "T", AggregateId: "a", EventData: []byte(`{"n":1}`), Metadata: map[string]string{"k": "v"}}
	messages := map[string]protobuf.Message{
		eventstorev1connect.EventStoreAppendProcedure:               &eventstorev1.AppendRequest{Channel: eventChannel, Events: []*eventstorev1.Event{event}},
		eventstorev1connect.EventStoreReadProcedure:                 &eventstorev1.ReadRequest{Channel: eventChannel},
		eventstorev1connect.EventStoreReadAggregateProcedure:        &eventstorev1.ReadAggregateRequest{Channel: eventChannel, AggregateId: "a"},
		eventstorev1connect.EventStoreGetEventProcedure:             &eventstorev1.GetEventRequest{Channel: eventChannel, Key: &eventstorev1.GetEventRequest_Sequence{Sequence: 1}},
		eventstorev1connect.EventStoreSubscribeProcedure:            &eventstorev1.SubscribeRequest{Channel: eventChannel},
		eventstorev1connect.EventStoreConsumeProcedure:              &eventstorev1.ConsumeRequest{Request: &eventstorev1.ConsumeRequest_Open_{Open: &eventstorev1.ConsumeRequest_Open{Channel: eventChannel, ClientId: "a", Credit: 1}}},
		eventstorev1connect.EventStoreListChannelsProcedure:         &eventstorev1.ListChannelsRequest{},
		eventstoreconnect.EventStoreCreateEventProcedure:            event, // its fields have the numbers of another message
		eventstoreconnect.EventStoreGetEventsProcedure:              &eventstorev1.GetEventRequest{},
		eventstoreconnect.EventStoreGetEventsStreamProcedure:        &eventstorev1.GetEventRequest{},
		pbconnect.EventStoreCreateEventProcedure:                    event,
		pbconnect.EventStoreGetEventsProcedure:                      &eventstorev1.GetEventRequest{},
		"/" + grpchealth.HealthV1ServiceName + "/Check":             &eventstorev1.ListChannelsRequest{},
		"/" + grpchealth.HealthV1ServiceName + "/Watch":             &eventstorev1.ListChannelsRequest{},
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": &eventstorev1.ListChannelsRequest{PageToken: "x"},
		"/nowhere": &eventstorev1.ListChannelsRequest{},
	}
	seeds := []httpSeed{
		{"GET", eventstorev1connect.EventStoreAppendProcedure + "?encoding=json&message=%7B%7D&connect=v1&compression=gzip&base64=1", "", "", nil},
		{"OPTIONS", eventstorev1connect.EventStoreAppendProcedure, "", "", nil},
		{"POST", eventstorev1connect.EventStoreAppendProcedure, "application/json", "", []byte(`{"channel":"` + eventChannel + `","events":[{"eventType":"T","aggregateId":"a","eventData":"e30="}]}`)},
		{"POST", eventstorev1connect.EventStoreAppendProcedure, "application/json", "br", []byte("{}")},
		{"POST", eventstorev1connect.EventStoreAppendProcedure, "application/json", "gzip", gzipped(f, bytes.Repeat([]byte("["), 100_000))},
	}
	bomb := gzipped(f, make([]byte, 8<<20))
	for path, message := range messages {
		b, err := protobuf.Marshal(message)
		if err != nil {
			f.Fatal(err)
		}
		for _, contentType := range []string{"application/grpc", "application/grpc-web", "application/connect+proto", "application/connect+json"} {
			seeds = append(seeds, httpSeed{"POST", path, contentType, "", framed(0, b)}, httpSeed{"POST", path, contentType, "gzip", framed(1, gzipped(f, b))},
				httpSeed{"POST", path, contentType, "gzip", framed(1, bomb)}, httpSeed{"POST", path, contentType, "", b})
		}
		for _, contentType := range []string{"application/proto", "application/json", ""} {
			seeds = append(seeds, httpSeed{"POST", path, contentType, "", b}, httpSeed{"POST", path, contentType, "gzip", gzipped(f, b)},
				httpSeed{"POST", path, contentType, "gzip", bomb})
		}
	}
	slices.SortFunc(seeds, func(a, b httpSeed) int { return strings.Compare(a.path, b.path) })
	return seeds
}

// framed is a message of gRPC or of a stream.
func framed(flags byte, b []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(b))), b...)
}

func gzipped(f *testing.F, b []byte) []byte {
	f.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		f.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	return out.Bytes()
}
