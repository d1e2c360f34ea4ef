package api_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"
	googleproto "google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// TestUnknownJSON: every service refuses JSON with a field that its contract does not have, and names it.
func TestUnknownJSON(t *testing.T) {
	t.Parallel()
	_, address := start(t, "sqlite", databases.SQLite(t), "-grpc_dcb")
	for method, body := range map[string]string{
		"eventstore.v1.EventStore/Append":       `{"channel": "eventstore.orders", "events": [{"eventType": "A", "aggregateId": "a"}], "conditions": [{"query": {"items": [{"misspelt": ["A"]}]}}]}`,
		"eventstore.v1.EventStore/GetEvent":     `{"misspelt": "1"}`,
		"eventstore.v1.EventStore/ListChannels": `{"misspelt": "1"}`,
		"eventstore.v1.Admin/DropConsumer":      `{"channel": "eventstore.orders", "misspelt": "d"}`,
		"eventstore.EventStore/CreateEvent":     `{"event": {"misspelt": "1"}}`,
		"pb.EventStore/CreateEvent":             `{"misspelt": "1"}`,
		"umadb.v1.DCB/Append":                   `{"events": [{"event_type": "A"}], "misspelt": {}}`,
	} {
		resp, err := http.Post("http://"+address+"/"+method, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(answer), `unknown field \"misspelt\": check its spelling against `) {
			t.Errorf("%s: %s %s %v", method, resp.Status, answer, err)
		}
	}
}

// TestUnknownProtobuf: a request of a newer client, with a field that the server does not know, is refused by every protocol. It
// might be a precondition. What an event carries is not a request: it is stored as it is.
func TestUnknownProtobuf(t *testing.T) {
	t.Parallel()
	_, address := start(t, "sqlite", databases.SQLite(t))
	newer := protowire.AppendString(protowire.AppendTag(nil, 77, protowire.BytesType), "only on Sundays")
	from := func(m googleproto.Message) { m.ProtoReflect().SetUnknown(newer) }
	request, expectation, query := &eventstorev1.AppendRequest{}, &eventstorev1.Expectation{}, &eventstorev1.Query{}
	for m, change := range map[googleproto.Message]func(*eventstorev1.AppendRequest){
		request: func(r *eventstorev1.AppendRequest) { from(r) },
		expectation: func(r *eventstorev1.AppendRequest) {
			r.Expectations = []*eventstorev1.Expectation{{AggregateId: "a"}}
			from(r.Expectations[0])
		},
		query: func(r *eventstorev1.AppendRequest) {
			r.Conditions = []*eventstorev1.Condition{{Query: &eventstorev1.Query{}}}
			from(r.Conditions[0].Query)
		},
	} {
		want := "unknown field 77 of " + string(m.ProtoReflect().Descriptor().FullName()) + ": this server is older than the client: upgrade the server"
		for protocol, option := range map[string]connect.ClientOption{"gRPC": connect.WithGRPC(), "gRPC-Web": connect.WithGRPCWeb(), "Connect": connect.WithClientOptions()} {
			c := eventstorev1connect.NewEventStoreClient(&http.Client{Transport: http2(t, nil)}, "http://"+address, option)
			r := &eventstorev1.AppendRequest{Channel: orders, Events: []*eventstorev1.Event{event("a", 0)}}
			change(r)
			if _, err := c.Append(patient(t), r); connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want %s", protocol, err, want)
			}
		}
	}

	c := dial(t, address)
	read := &eventstorev1.ReadRequest{Channel: orders}
	from(read)
	stream, err := c.Read(patient(t), read)
	if err == nil {
		stream.Receive()
		err = stream.Err()
		_ = stream.Close()
	}
	if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "unknown field 77 of eventstore.v1.ReadRequest") {
		t.Errorf("a stream: error %v", err)
	}
	drop := &eventstorev1.DropConsumerRequest{}
	from(drop)
	admin := eventstorev1connect.NewAdminClient(&http.Client{Transport: http2(t, nil)}, "http://"+address, connect.WithGRPC())
	if _, err := admin.DropConsumer(patient(t), drop); connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "unknown field 77 of eventstore.v1.DropConsumerRequest") {
		t.Errorf("administration: error %v", err)
	}

	carries := withID("newer", event("a", 0))
	from(carries)
	add(t, c, orders, carries)
	got, err := c.GetEvent(patient(t), &eventstorev1.GetEventRequest{Key: &eventstorev1.GetEventRequest_EventId{EventId: "newer"}})
	if err != nil || got.GetEvent().GetSequence() != 1 || string(got.GetEvent().GetEvent().ProtoReflect().GetUnknown()) != string(newer) {
		t.Errorf("an event with an unknown field: %v, %v", got, err)
	}
}
