package relay

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// waitMetric waits until /metrics contains the line.
func waitMetric(t *testing.T, port int, line string) {
	t.Helper()
	var body []byte
	for deadline := time.Now().Add(harness.Patience); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
		if err == nil {
			body, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
		}
		if err == nil && strings.Contains(string(body), "\n"+line+"\n") {
			return
		}
		if time.Now().After(deadline) {
			var found []string
			for l := range strings.Lines(string(body)) {
				if strings.HasPrefix(l, "nats_streaming_relay") {
					found = append(found, l)
				}
			}
			t.Fatalf("no metrics line %s: error %v\n%s", line, err, strings.Join(found, ""))
		}
	}
}

// A stream that refuses events delays only the relay. Metrics show how many wait; they follow once the stream accepts
// events again.
func TestFullStream(t *testing.T) {
	t.Parallel()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	source := t.TempDir() + "/eventstore.db"
	s := harness.Start(t, "sqlite", source, "-js", "-sd", t.TempDir(), "-m", fmt.Sprint(port), "-sc", configuration(t, `streaming {
	routes { stream: ORDERS, subject: "ORDERS.{event_type}" }
}`))
	js, _ := streams(t, s)
	ctx := patient(t)
	config := jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"ORDERS.>"}, Discard: jetstream.DiscardNew, MaxMsgs: 3, MaxMsgSize: 700}
	// The relay may be creating the stream at this moment.
	_, err = js.CreateOrUpdateStream(ctx, config)
	for errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		_, err = js.CreateOrUpdateStream(ctx, config)
	}
	if err != nil {
		t.Fatal(err)
	}
	sc := connect(t, s, "publisher")
	for i := range 5 {
		publish(t, sc, orders, order(t, "o", "OrderPaid", i))
	}
	waitStream(t, js, "ORDERS", 3)
	s.WaitLog(t, "Relay failed; events wait")
	waitMetric(t, port, `nats_streaming_relay_lag_messages{channel="eventstore.orders",stream="ORDERS"} 2`)
	waitMetric(t, port, `nats_streaming_relay_failing{stream="ORDERS"} 1`)

	config.MaxMsgs = 100
	if _, err := js.UpdateStream(ctx, config); err != nil {
		t.Fatal(err)
	}
	s.WaitLog(t, "Relay recovered")
	waitMetric(t, port, `nats_streaming_relay_lag_messages{channel="eventstore.orders",stream="ORDERS"} 0`)
	waitMetric(t, port, `nats_streaming_relay_failing{stream="ORDERS"} 0`)
	waitMetric(t, port, `nats_streaming_relay_published_total{stream="ORDERS"} 5`)

	// A message too large for the stream blocks its successors and is not skipped.
	publish(t, sc, orders, order(t, "o", strings.Repeat("Long", 62), 6), order(t, "o", "OrderPaid", 7))
	waitMetric(t, port, `nats_streaming_relay_failing{stream="ORDERS"} 1`)
	config.MaxMsgSize = -1
	if _, err := js.UpdateStream(ctx, config); err != nil {
		t.Fatal(err)
	}
	waitStream(t, js, "ORDERS", 7)
	agree(t, "sqlite", source, content(t, js, "ORDERS"))
}

// Every stored event can be relayed. An event whose message is too large with its headers, or whose subject is too long
// for NATS, is refused.
func TestEventThatCannotBeRelayed(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	for _, headers := range []string{"nats", "cloudevents"} {
		t.Run(headers, func(t *testing.T) {
			t.Parallel()
			s := harness.Start(t, "sqlite", t.TempDir()+"/eventstore.db", "-js", "-sd", t.TempDir(), "-sc", configuration(t, fmt.Sprintf(`
max_payload: %d
streaming { routes { types: "Routed*", stream: EVENTS, subject: "events.{aggregate_type}.{aggregate_id}.{event_type}.{channel}", headers: %s } }`, limit, headers)))
			js, _ := streams(t, s)
			sc := connect(t, s, "publisher")
			stored := uint64(0)
			try := func(channel string, e *eventstorev1.Event) bool {
				t.Helper()
				err := sc.Publish(channel, event(t, e))
				if err != nil && !strings.Contains(err.Error(), "too large to be delivered") {
					t.Fatal(err)
				}
				if err == nil {
					stored++
				}
				return err == nil
			}
			fits, refused := 0, 0
			for size := limit - 1500; size < limit-300; size += 25 {
				e := &eventstorev1.Event{AggregateId: "o", EventType: "Routed", EventData: make([]byte, size)}
				if try(orders, e) {
					fits++
				} else {
					refused++
				}
			}
			if fits == 0 || refused == 0 {
				t.Errorf("%d large events fit, %d do not; want some of each", fits, refused)
			}
			waitStream(t, js, "EVENTS", stored)

			long := &eventstorev1.Event{AggregateType: strings.Repeat("é", 127), AggregateId: strings.Repeat("è", 127), EventType: "Routed" + strings.Repeat("ê", 120)}
			channel := "eventstore." + strings.Repeat("ë", 400)
			if try(channel, long) {
				t.Error("a subject of 4,600 bytes was accepted")
			}
			long.AggregateType, long.AggregateId = "e", "e"
			if !try(channel, long) || !try(orders, &eventstorev1.Event{AggregateId: "o", EventType: "Other", EventData: make([]byte, limit-600)}) {
				t.Error("an event that can be relayed, or has no route, was refused")
			}
			waitStream(t, js, "EVENTS", stored-1)
			if strings.Contains(s.Log.String(), "Relay failed; events wait") {
				t.Error("the relay could not send an event")
			}
		})
	}
}

// The relay waits for a stream that does not acknowledge.
func TestStreamWithoutAcks(t *testing.T) {
	t.Parallel()
	s := harness.New(t, harness.Binary(), "-store", "MEMORY", "-sc", configuration(t, `streaming {
	routes { stream: ORDERS, subject: "ORDERS.{event_type}" }
}`))
	nats := harness.NATS(t)
	s.Args = append(s.Args, "-ns", nats.URL())
	js, _ := streams(t, nats)
	config := jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"ORDERS.>"}, NoAck: true}
	if _, err := js.CreateStream(patient(t), config); err != nil {
		t.Fatal(err)
	}
	s.Launch()
	s.Ready()
	s.WaitLog(t, "no_ack is set, but the relay needs acknowledgements")
	publish(t, connect(t, nats, "publisher"), orders, order(t, "o", "OrderPaid", 1))
	config.NoAck = false
	if _, err := js.UpdateStream(patient(t), config); err != nil {
		t.Fatal(err)
	}
	waitStream(t, js, "ORDERS", 1)
}

// The relay does not change a stream with other subjects.
func TestStreamOfOtherSubjects(t *testing.T) {
	t.Parallel()
	s := harness.New(t, harness.Binary(), "-store", "MEMORY", "-js", "-sd", t.TempDir(), "-sc", configuration(t, `streaming {
	routes { stream: ORDERS, subject: "ORDERS.{event_type}" }
}`))
	nats := harness.NATS(t)
	s.Args = append(s.Args, "-ns", nats.URL())
	js, _ := streams(t, nats)
	if _, err := js.CreateStream(patient(t), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"ORDERS.*"}}); err != nil {
		t.Fatal(err)
	}
	s.Launch()
	s.Ready()
	s.WaitLog(t, "subjects ORDERS.* do not cover ORDERS.>")
}

// A deleted stream is filled again, but a purged one is not.
func TestStreamDeletedAndPurged(t *testing.T) {
	t.Parallel()
	source := t.TempDir() + "/eventstore.db"
	s := harness.Start(t, "sqlite", source, "-js", "-sd", t.TempDir(), "-sc", configuration(t, `streaming {
	routes { stream: ORDERS, subject: "ORDERS.{event_type}" }
}`))
	js, _ := streams(t, s)
	ctx := patient(t)
	sc := connect(t, s, "publisher")
	publish(t, sc, orders, order(t, "o", "OrderPaid", 1), order(t, "o", "OrderPaid", 2))
	waitStream(t, js, "ORDERS", 2)
	stream, err := js.Stream(ctx, "ORDERS")
	if err == nil {
		err = stream.Purge(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Kill()
	s.Restart()
	publish(t, connect(t, s, "again"), orders, order(t, "o", "OrderPaid", 3))
	waitStream(t, js, "ORDERS", 3)
	if got := places(content(t, js, "ORDERS")); got != "eventstore.orders/3" {
		t.Errorf("after a purge, the stream has %s", got)
	}
	if err := js.DeleteStream(ctx, "ORDERS"); err != nil {
		t.Fatal(err)
	}
	waitStream(t, js, "ORDERS", 3) // no new event wakes the relay
	if err := js.DeleteStream(ctx, "ORDERS"); err != nil {
		t.Fatal(err)
	}
	publish(t, connect(t, s, "last"), orders, order(t, "o", "OrderPaid", 4))
	waitStream(t, js, "ORDERS", 4)
	agree(t, "sqlite", source, content(t, js, "ORDERS"))
}
