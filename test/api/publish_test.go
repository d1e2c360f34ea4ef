package api_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/proto/compat/eventstore"
	"github.com/nats-eventstore/nats-eventstore/proto/compat/eventstore/eventstoreconnect"
	"github.com/nats-eventstore/nats-eventstore/proto/compat/pb"
	"github.com/nats-eventstore/nats-eventstore/proto/compat/pb/pbconnect"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// order is an event of the two other services that says where to publish its data.
func order(id, to, data string) *pb.Event {
	return &pb.Event{EventId: id, EventType: "OrderCreated", AggregateId: "o-" + id, AggregateType: "order", EventData: data, Channel: to}
}

// TestPublishesData: field 6 names the plain channel that gets event_data in the transaction of the event.
func TestPublishesData(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		file := filepath.Join(t.TempDir(), "server.conf")
		if err := os.WriteFile(file, []byte(`streaming { routes: [{ types: "Routed", channel: both, payload: data }] }`), 0o600); err != nil {
			t.Fatal(err)
		}
		s, address := start(t, driver, source, "-sc", file)
		one := pbconnect.NewEventStoreClient(&http.Client{Transport: http2(t, nil)}, "http://"+address, connect.WithGRPC())
		two := eventstoreconnect.NewEventStoreClient(&http.Client{Transport: http2(t, nil)}, "http://"+address, connect.WithGRPC())
		create := func(e *pb.Event) {
			t.Helper()
			if resp, err := one.CreateEvent(patient(t), e); err != nil || !resp.GetIsSuccess() {
				t.Errorf("%v: %v, %v", e, resp, err)
			}
		}
		create(order("1", "order-notification", "one"))
		create(order("1", "order-notification", "one")) // a repeat has no second copy
		create(order("2", "", "nowhere"))
		create(order("3", "eventstore.events", "the event's own channel"))
		create(order("4", "eventstore.other", "another event channel"))
		create(order("5", "order-notification", ""))
		routed := order("6", "both", "six")
		routed.EventType = "Routed" // one copy, though a route names the channel, too
		create(routed)
		resp, err := two.CreateEvent(patient(t), &eventstore.CreateEventRequest{Event: &eventstore.Event{
			EventId: "7", EventType: "OrderPaid", AggregateId: "o-7", EventData: "seven", Stream: "order-notification"}})
		if err != nil || !resp.GetIsSuccess() {
			t.Errorf("%v, %v", resp, err)
		}
		_, err = one.CreateEvent(patient(t), order("1", "elsewhere", "one"))
		wantCode(t, "the same ID to another channel", err, connect.CodeAlreadyExists)
		_, err = one.CreateEvent(patient(t), order("8", "no/name", ""))
		wantCode(t, "an invalid name", err, connect.CodeInvalidArgument)
		_, err = one.CreateEvent(patient(t), order("9", "Order-Notification", ""))
		wantCode(t, "a name that differs by case", err, connect.CodeFailedPrecondition)

		c := dial(t, address)
		var ids []string
		for _, e := range readAll(t, c, &eventstorev1.ReadRequest{Channel: "eventstore.events"}) {
			ids = append(ids, e.GetEvent().GetEventId()+":"+e.GetEvent().GetStream())
		}
		if want := []string{"1:order-notification", "2:", "3:eventstore.events", "5:order-notification", "6:both", "7:order-notification"}; !slices.Equal(ids, want) {
			t.Errorf("events %v, want %v", ids, want)
		}
		if n := len(readAll(t, c, &eventstorev1.ReadRequest{Channel: "eventstore.other"})); n != 1 {
			t.Errorf("eventstore.other has %d events", n)
		}
		sc, err := stan.Connect("test-cluster", "reader", stan.NatsURL(s.URL()), stan.ConnectWait(harness.Patience))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sc.Close() })
		for channel, want := range map[string][]string{"order-notification": {"one", "", "seven"}, "both": {"six"}} {
			if got := published(t, sc, channel, len(want)); !slices.Equal(got, want) {
				t.Errorf("channel %q got %q, want %q", channel, got, want)
			}
		}
		harness.Verify(t, driver, source)
	})
}

// published returns the messages of a channel up to one that it publishes after the first n.
func published(t *testing.T, sc stan.Conn, channel string, n int) (data []string) {
	t.Helper()
	if err := sc.Publish(channel, []byte("the end")); err != nil {
		t.Fatal(err)
	}
	in := make(chan string, n+2)
	if _, err := sc.Subscribe(channel, func(m *stan.Msg) { in <- string(m.Data) }, stan.DeliverAllAvailable()); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(harness.Patience)
	for {
		select {
		case text := <-in:
			if text == "the end" {
				return data
			}
			data = append(data, text)
		case <-deadline:
			t.Fatalf("channel %q: received %q", channel, data)
		}
	}
}

// TestPublishNeedsRoom: an event whose data cannot be published is refused.
func TestPublishNeedsRoom(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte("max_payload: 64KB\nstreaming { limits { max_channels: 2 } }"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, address := start(t, "sqlite", databases.SQLite(t), "-sc", file)
	client := pbconnect.NewEventStoreClient(&http.Client{Transport: http2(t, nil)}, "http://"+address, connect.WithGRPC())
	if _, err := client.CreateEvent(patient(t), order("1", "first", "data")); err != nil {
		t.Fatal(err)
	}
	_, err := client.CreateEvent(patient(t), order("2", "second", "data"))
	wantCode(t, "one channel too many", err, connect.CodeFailedPrecondition)
	if err != nil && !strings.Contains(err.Error(), `route to channel "second": too many channels`) {
		t.Error(err)
	}
	_, err = client.CreateEvent(patient(t), order("3", strings.Repeat("long", 200), strings.Repeat("x", 64<<10-900)))
	wantCode(t, "too large", err, connect.CodeInvalidArgument)
	found, err := client.GetEvents(patient(t), &pb.EventFilter{})
	if err != nil || len(found.GetEvents()) != 1 {
		t.Errorf("events %v, %v", found, err)
	}
}

// TestPublishNeedsRights: the caller needs the right to append on the event channel and on the plain one.
func TestPublishNeedsRights(t *testing.T) {
	t.Parallel()
	file := accessFile(t, filepath.Join(t.TempDir(), "access.conf"),
		principal("both", `append: ["eventstore.events", "order-notification"]`),
		principal("event", `append: ["eventstore.events"]`),
		principal("plain", `append: ["order-notification"]`))
	_, address := start(t, "sqlite", databases.SQLite(t), "-access_file", file)
	for who, right := range map[string]bool{"both": true, "event": false, "plain": false} {
		httpClient, url := as(t, address, who)
		_, err := pbconnect.NewEventStoreClient(httpClient, url, connect.WithGRPC()).CreateEvent(patient(t), order(who, "order-notification", "data"))
		if right && err != nil {
			t.Errorf("%s: %v", who, err)
		}
		if !right {
			wantCode(t, who, err, connect.CodePermissionDenied)
		}
		lacking := map[string]string{"event": "order-notification", "plain": "eventstore.events"}[who]
		if lacking != "" && !strings.Contains(fmt.Sprint(err), lacking) {
			t.Errorf("%s: %v does not name %q", who, err, lacking)
		}
	}
}
