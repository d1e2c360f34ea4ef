package relay

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// Messages have the subject, headers and payload of their route, and ordinary wildcard consumers receive them. This
// includes events stored before the route existed.
func TestMessages(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		before := harness.Start(t, driver, source)
		publish(t, connect(t, before, "publisher"), orders, event(t, &eventstorev1.Event{
			EventId: "e 1", EventType: "OrderCreated", AggregateType: "Order", AggregateId: "o.1 *", EventData: []byte(`{"n":1}`),
		}))
		before.Stop()

		s := harness.Start(t, driver, source, "-js", "-sd", t.TempDir(), "-sc", configuration(t, `streaming {
	routes: [
		{ types: "Order*", stream: ORDERS, subject: "ORDERS.{event_type}", payload: data }
		{ stream: EVENTS, subject: "events.{aggregate_type}.{aggregate_id}.{event_type}", headers: cloudevents }
	]
}`))
		publish(t, connect(t, s, "publisher"), orders,
			event(t, &eventstorev1.Event{EventType: "shipping.Ähm", AggregateId: "o2", EventData: []byte(`2`)}),
			event(t, &eventstorev1.Event{EventType: "OrderPaid", AggregateType: "Order", AggregateId: "o.1 *", EventData: []byte(`{"n":3}`)}))
		js, nc := streams(t, s)
		waitStream(t, js, "ORDERS", 2)
		waitStream(t, js, "EVENTS", 3)

		ctx := patient(t)
		consumer, err := js.CreateConsumer(ctx, "ORDERS", jetstream.ConsumerConfig{Durable: "review", FilterSubject: "ORDERS.*"})
		if err != nil {
			t.Fatal(err)
		}
		pulled, err := consumer.Fetch(2, jetstream.FetchContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for m := range pulled.Messages() {
			got = append(got, fmt.Sprint(m.Subject(), " ", string(m.Data()), " ", m.Headers().Get("Event-Id"), " ", m.Headers().Get("Aggregate-Id"),
				" ", m.Headers().Get("Event-Version"), " ", place(m), " ", m.Headers().Get("Nats-Msg-Id")))
			if _, err := time.Parse(time.RFC3339Nano, m.Headers().Get("Event-Time")); err != nil {
				t.Error(err)
			}
			if err := m.Ack(); err != nil {
				t.Error(err)
			}
		}
		want := []string{
			`ORDERS.OrderCreated {"n":1} e%201 o.1%20* 1 eventstore.orders/1 test-cluster/eventstore.orders/1`,
			`ORDERS.OrderPaid {"n":3}  o.1%20* 2 eventstore.orders/3 test-cluster/eventstore.orders/3`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("pulled\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}

		legacy, err := nc.JetStream()
		if err != nil {
			t.Fatal(err)
		}
		pushed := make(chan *nats.Msg, 10)
		if _, err := legacy.ChanSubscribe("events.*.*.>", pushed, nats.DeliverAll()); err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{
			"events.Order.o%2E1%20%2A.OrderCreated e%201 OrderCreated o.1%20* /test-cluster/eventstore.orders 1",
			"events._.o2.shipping.%C3%84hm test-cluster/eventstore.orders/2 shipping.%C3%84hm o2 /test-cluster/eventstore.orders 2",
			"events.Order.o%2E1%20%2A.OrderPaid test-cluster/eventstore.orders/3 OrderPaid o.1%20* /test-cluster/eventstore.orders 3",
		} {
			select {
			case m := <-pushed:
				got := []string{m.Subject}
				for _, h := range []string{"ce-id", "ce-type", "ce-subject", "ce-source", "ce-sequence"} {
					got = append(got, m.Header.Get(h))
				}
				if line := strings.Join(got, " "); line != want {
					t.Errorf("pushed %q, want %q", line, want)
				}
			case <-ctx.Done():
				t.Fatalf("message %d was not pushed", i+1)
			}
		}
		agree(t, driver, source, content(t, js, "EVENTS"))
	})
}

// A work queue stream, which deletes messages once they are consumed, gets each event once. That holds even when server
// and JetStream are killed together.
func TestWorkQueue(t *testing.T) {
	t.Parallel()
	source := t.TempDir() + "/eventstore.db"
	s := harness.Start(t, "sqlite", source, "-js", "-sd", t.TempDir())
	js, nc := streams(t, s)
	ctx := patient(t)
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "WORK", Subjects: []string{"work.*"}, Retention: jetstream.WorkQueuePolicy}); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s.Args = append(s.Args, "-sc", configuration(t, `streaming { routes { types: "Order*", stream: WORK, subject: "work.{event_type}" } }`))
	s.Restart()
	waitConnected(t, nc)
	var got []string
	for round := range 4 {
		sc := connect(t, s, fmt.Sprintf("publisher-%d", round))
		for i := range 5 {
			channel := []string{orders, returns}[(round+i)%2]
			publish(t, sc, channel, order(t, "o", "OrderPaid", i), order(t, "o", "Ignored", i))
		}
		consumer, err := js.CreateOrUpdateConsumer(ctx, "WORK", jetstream.ConsumerConfig{Durable: "worker", AckPolicy: jetstream.AckExplicitPolicy})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			m, err := consumer.Next(jetstream.FetchMaxWait(harness.Patience))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, place(m))
			if err := m.DoubleAck(ctx); err != nil {
				t.Fatal(err)
			}
		}
		s.Kill() // kills JetStream, too; its duplicate window is lost with the messages
		s.Restart()
	}
	waitStream(t, js, "WORK", 20)
	publish(t, connect(t, s, "last"), orders, order(t, "last", "OrderPaid", 1))
	waitStream(t, js, "WORK", 21)
	if rest := held(t, js, "WORK"); rest != 1 {
		t.Errorf("%d messages are left, want the last one", rest)
	}
	slices.Sort(got)
	if len(got) != 20 || len(slices.Compact(got)) != 20 {
		t.Errorf("the worker received %q, want each message once", got)
	}
}

// held returns the number of messages in a stream.
func held(t *testing.T, js jetstream.JetStream, name string) uint64 {
	t.Helper()
	stream, err := js.Stream(patient(t), name)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

// Messages that others publish to the stream stay between the events.
func TestSharedStream(t *testing.T) {
	t.Parallel()
	source := t.TempDir() + "/eventstore.db"
	s := harness.Start(t, "sqlite", source, "-js", "-sd", t.TempDir(), "-sc", configuration(t, `streaming {
	routes { stream: ORDERS, subject: "ORDERS.{event_type}" }
}`))
	js, nc := streams(t, s)
	sc := connect(t, s, "publisher")
	for i := range 20 {
		publish(t, sc, orders, order(t, "o", "OrderPaid", i))
		if i == 0 {
			waitStream(t, js, "ORDERS", 1)
		}
		if err := nc.Publish("ORDERS.note", nil); err != nil {
			t.Fatal(err)
		}
		if i == 10 {
			s.Kill()
			s.Restart()
			sc = connect(t, s, "again")
			waitConnected(t, nc)
		}
	}
	publish(t, sc, orders, order(t, "o", "OrderPaid", 20))
	waitEvents(t, js, "ORDERS", 21)
	var events []jetstream.Msg
	for _, m := range content(t, js, "ORDERS") {
		if m.Subject() != "ORDERS.note" {
			events = append(events, m)
		}
	}
	agree(t, "sqlite", source, events)
}

func waitConnected(t *testing.T, nc *nats.Conn) {
	t.Helper()
	for deadline := time.Now().Add(harness.Patience); !nc.IsConnected(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not connected")
		}
	}
}

// waitEvents waits until a stream has the event with that sequence of its channel.
func waitEvents(t *testing.T, js jetstream.JetStream, name string, sequence int) {
	t.Helper()
	consumer, err := js.OrderedConsumer(patient(t), name, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	it, err := consumer.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer it.Stop()
	for {
		m, err := it.Next(jetstream.NextContext(patient(t)))
		if err != nil {
			t.Fatal(err)
		}
		if m.Headers().Get("Nats-Streaming-Sequence") == fmt.Sprint(sequence) {
			return
		}
	}
}

// A subject that repeats a word of the types is told, and what a new stream carries.
func TestDoubledSubject(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, "sqlite", filepath.Join(t.TempDir(), "events.db"), "-js", "-sd", t.TempDir(), "-sc",
		configuration(t, `streaming { routes { stream: ORDERS, subject: "ORDERS.{event_type}", payload: data } }`))
	s.WaitLog(t, `to stream "ORDERS", subject "ORDERS.{event_type}": event_data alone (payload: data); a new stream from the first event on, an existing one from where it is`)
	s.WaitLog(t, `Stream "ORDERS" has been created`)
	s.WaitLog(t, `payload=data`)
	publish(t, connect(t, s, "publisher"), orders, order(t, "o", "ORDERSNEW.created", 1), order(t, "o", "ORDERS.created", 2))
	s.WaitLog(t, `event types begin with "ORDERS" as the subject does, so it is there twice: leave it out of the subject`)
	s.WaitLog(t, `subject=ORDERS.ORDERS.created event_type=ORDERS.created`)
}
