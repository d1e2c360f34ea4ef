package ordersystems

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/examples/compat/stubs/compat/pb"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// TestStreaming runs the order system of NATS Streaming: the accepted orders are the events, and the messages that the
// restaurant and the query stores receive.
func TestStreaming(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		const channel = "order-notification"
		s, address := start(t, driver, source, "orders-streaming.conf")
		connect := func(client string) stan.Conn {
			sc, err := stan.Connect("test-cluster", client, stan.NatsURL(s.URL()), stan.ConnectWait(harness.Patience),
				stan.SetConnectionLostHandler(func(stan.Conn, error) {}))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { sc.NatsConn().Close() })
			return sc
		}
		restaurant, stores := newSeen(), newSeen()
		if _, err := connect("restaurant-service").Subscribe(channel, func(m *stan.Msg) {
			restaurant.add(m.Data)
			_ = m.Ack() // while the server is down, it fails, and the message comes again
		}, stan.DurableName("restaurant-service-durable"), stan.MaxInflight(25), stan.SetManualAckMode()); err != nil {
			t.Fatal(err)
		}
		for _, client := range []string{"order-query-store1", "order-query-store2"} {
			if _, err := connect(client).QueueSubscribe(channel, "order-query-store-group", func(m *stan.Msg) { stores.add(m.Data) },
				stan.DurableName("store-durable")); err != nil {
				t.Fatal(err)
			}
		}

		client := pb.NewEventStoreClient(dial(t, address))
		accepted := place(t, s, func(ctx context.Context, o order) error {
			data, err := json.Marshal(o)
			if err != nil {
				return err
			}
			_, err = client.CreateEvent(ctx, &pb.Event{
				EventId: "created-" + o.ID, EventType: "OrderCreated", AggregateId: o.ID, AggregateType: "order", EventData: string(data), Channel: channel,
			})
			return err
		})
		var want []string
		for _, o := range accepted {
			data, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, string(data))
		}
		found, err := client.GetEvents(patient(t), &pb.EventFilter{})
		if err != nil {
			t.Fatal(err)
		}
		var events []string
		for _, e := range found.GetEvents() {
			events = append(events, e.GetEventData())
		}
		same(t, "events", events, want)
		same(t, "restaurant", restaurant.wait(t, "the restaurant", len(want)), want)
		same(t, "query stores", stores.wait(t, "the query stores", len(want)), want)

		// Each message is there once.
		reader := connect("reader")
		if err := reader.Publish(channel, []byte("the end")); err != nil {
			t.Fatal(err)
		}
		in := make(chan string, 2*len(want))
		if _, err := reader.Subscribe(channel, func(m *stan.Msg) { in <- string(m.Data) }, stan.DeliverAllAvailable()); err != nil {
			t.Fatal(err)
		}
		var messages []string
		for {
			select {
			case text := <-in:
				messages = append(messages, text)
			case <-patient(t).Done():
				t.Fatalf("the channel has %d messages", len(messages))
			}
			if messages[len(messages)-1] == "the end" {
				break
			}
		}
		same(t, "messages", messages[:len(messages)-1], want)
		t.Logf("%d kills: %d accepted orders, %d events, %d messages on %s", kills, len(accepted), len(events), len(messages)-1, channel)
		harness.Verify(t, driver, source)
	})
}
