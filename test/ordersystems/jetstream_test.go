package ordersystems

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/nats-eventstore/nats-eventstore/examples/compat/stubs/compat/eventstore"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// TestJetStream runs the order system of JetStream: each accepted order is paid and approved, and the stream has the data of
// each event once, in order.
func TestJetStream(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s, address := start(t, driver, source, "orders-jetstream.conf", "-sd", t.TempDir())
		nc, err := nats.Connect(s.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		js, err := nc.JetStream(nats.MaxWait(harness.Patience))
		if err != nil {
			t.Fatal(err)
		}
		bootstrap(t, js)
		client := eventstore.NewEventStoreClient(dial(t, address))
		create := func(ctx context.Context, typ, id, data string) error {
			_, err := client.CreateEvent(ctx, &eventstore.CreateEventRequest{Event: &eventstore.Event{
				EventId: typ + "-" + id, EventType: typ, AggregateId: id, AggregateType: "order", EventData: data, Stream: "ORDERS",
			}})
			return err
		}
		// The payment and the review worker decide on an event and store the next one.
		ctx := patient(t)
		worker := func(name, from, to string, data func([]byte) string) {
			t.Helper()
			sub, err := js.QueueSubscribe(from, name, func(m *nats.Msg) {
				var o order
				if err := json.Unmarshal(m.Data, &o); err != nil {
					t.Errorf("%s: %q: %v", name, m.Data, err)
				}
				for create(ctx, to, o.ID, data(m.Data)) != nil && ctx.Err() == nil { //nolint:revive // until the server is back
				}
				_ = m.Ack() // while the server is down, it fails, and the message comes again
			}, nats.Durable(name), nats.ManualAck(), nats.AckWait(5*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = sub.Drain() })
		}
		worker("payment-worker", "ORDERS.created", "ORDERS.paymentdebited", func(data []byte) string { return string(data) })
		worker("review-worker", "ORDERS.paymentdebited", "ORDERS.approved", func([]byte) string { return "" })
		queryModel, err := js.PullSubscribe("ORDERS.created", "query-model-worker", nats.PullMaxWaiting(128))
		if err != nil {
			t.Fatal(err)
		}

		accepted := place(t, s, func(ctx context.Context, o order) error {
			data, err := json.Marshal(o)
			if err != nil {
				return err
			}
			return create(ctx, "ORDERS.created", o.ID, string(data))
		})
		var orders []string
		for _, o := range accepted {
			orders = append(orders, o.ID)
		}
		model := newSeen()
		for len(model.all) < len(orders) && ctx.Err() == nil {
			messages, err := queryModel.Fetch(1, nats.MaxWait(harness.Patience))
			if err != nil && !errors.Is(err, nats.ErrTimeout) {
				t.Fatal(err)
			}
			for _, m := range messages {
				var o order
				if err := json.Unmarshal(m.Data, &o); err != nil {
					t.Fatal(err)
				}
				model.add([]byte(o.ID))
				_ = m.Ack()
			}
		}
		same(t, "query model", model.wait(t, "the query model", len(orders)), orders)

		// The stream has what the events have, in their order.
		all, err := js.SubscribeSync("ORDERS.*", nats.OrderedConsumer())
		if err != nil {
			t.Fatal(err)
		}
		var published []string
		approved := 0
		for approved < len(orders) {
			m, err := all.NextMsg(harness.Patience)
			if err != nil {
				t.Fatalf("after %d messages: %v", len(published), err)
			}
			published = append(published, m.Subject+" "+string(m.Data))
			if m.Subject == "ORDERS.approved" {
				approved++
			}
		}
		found, err := client.GetEvents(patient(t), &eventstore.GetEventsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		steps := make(map[string][]string)
		var events []string
		for _, e := range found.GetEvents() {
			events = append(events, e.GetEventType()+" "+e.GetEventData())
			steps[e.GetEventType()] = append(steps[e.GetEventType()], e.GetAggregateId())
		}
		for _, typ := range []string{"ORDERS.created", "ORDERS.paymentdebited", "ORDERS.approved"} {
			same(t, typ, steps[typ], orders)
		}
		if len(events) != len(published) {
			t.Fatalf("%d events, %d messages", len(events), len(published))
		}
		for i := range events {
			if events[i] != published[i] {
				t.Fatalf("message %d is %q, event %q", i+1, published[i], events[i])
			}
		}
		t.Logf("%d kills: %d accepted orders, %d events in three steps, %d messages in the stream", kills, len(accepted), len(events), len(published))
		harness.Verify(t, driver, source)
	})
}

// bootstrap creates the stream unless the server already has.
func bootstrap(t *testing.T, js nats.JetStreamContext) {
	t.Helper()
	if _, err := js.StreamInfo("ORDERS"); err == nil {
		return
	}
	_, err := js.AddStream(&nats.StreamConfig{Name: "ORDERS", Subjects: []string{"ORDERS.*"}})
	if err != nil && !errors.Is(err, nats.ErrStreamNameAlreadyInUse) {
		t.Fatal(err)
	}
}
