package api_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/nats-eventstore/nats-eventstore/proto/compat/eventstore"
	"github.com/nats-eventstore/nats-eventstore/proto/compat/eventstore/eventstoreconnect"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// TestRoutedElsewhere: an event whose routed copy cannot be stored is refused with the error code of the target channel.
func TestRoutedElsewhere(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte(`
max_payload: 64KB
streaming {
	limits { max_channels: 3 }
	routes: [
		{ types: Paid, channel: payments }
		{ types: Case, channel: "EVENTSTORE.ORDERS" }
		{ types: Big, channel: "`+strings.Repeat("long", 100)+`" }
		{ types: More, channel: more }
	]
}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, address := start(t, "sqlite", databases.SQLite(t), "-sc", file)
	c := dial(t, address)
	compatible := eventstoreconnect.NewEventStoreClient(&http.Client{Transport: http2(t, nil)}, "http://"+address, connect.WithGRPC())
	typed := func(typ string, size int) *eventstorev1.Event {
		e := event("a", 0)
		e.EventType, e.EventData = typ, make([]byte, size)
		return e
	}
	add(t, c, "eventstore.orders", typed("Paid", 1))
	stored := len(readAll(t, c, &eventstorev1.ReadRequest{Channel: "eventstore.orders"}))
	const size = 64<<10 - 400
	add(t, c, "eventstore.orders", typed("Small", size))
	for _, test := range []struct {
		typ  string
		size int
		code connect.Code
		text string
	}{
		{"Case", 1, connect.CodeFailedPrecondition, "different cases not allowed"},
		{"Big", size, connect.CodeInvalidArgument, "too large to be delivered"},
		{"Big", 1, 0, ""},
		{"More", 1, connect.CodeFailedPrecondition, "too many channels"},
	} {
		if test.code == 0 {
			add(t, c, "eventstore.orders", typed(test.typ, test.size))
			continue
		}
		_, err := c.Append(patient(t), &eventstorev1.AppendRequest{Channel: "eventstore.orders", Events: []*eventstorev1.Event{event("a", 0), typed(test.typ, test.size)}})
		wantCode(t, test.typ, err, test.code)
		if err != nil && !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v", test.typ, err)
		}
		_, err = compatible.CreateEvent(patient(t), &eventstore.CreateEventRequest{Event: &eventstore.Event{
			EventType: test.typ, AggregateId: "a", EventData: strings.Repeat("x", test.size), Stream: "eventstore.orders"}})
		wantCode(t, "compatible, "+test.typ, err, test.code)
		if err != nil && !strings.Contains(err.Error(), test.text) {
			t.Errorf("compatible, %s: %v", test.typ, err)
		}
	}
	if n := len(readAll(t, c, &eventstorev1.ReadRequest{Channel: "eventstore.orders"})); n != stored+2 {
		t.Errorf("%d events are stored, want %d", n, stored+2)
	}
}
