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

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// waitMetric waits until /metrics has the line.
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
			t.Fatalf("metrics have no line %s: error %v\n%s", line, err, strings.Join(found, ""))
		}
	}
}

// A stream that does not take events delays the relay and nothing else; what waits is told, and follows when the stream
// takes events again.
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
	// The relay creates the stream, perhaps at this moment.
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
	s.WaitLog(t, "Relaying events fails")
	waitMetric(t, port, `nats_streaming_relay_lag_messages{channel="eventstore.orders",stream="ORDERS"} 2`)
	waitMetric(t, port, `nats_streaming_relay_failing{stream="ORDERS"} 1`)

	config.MaxMsgs = 100
	if _, err := js.UpdateStream(ctx, config); err != nil {
		t.Fatal(err)
	}
	s.WaitLog(t, "Relaying events works again")
	waitMetric(t, port, `nats_streaming_relay_lag_messages{channel="eventstore.orders",stream="ORDERS"} 0`)
	waitMetric(t, port, `nats_streaming_relay_failing{stream="ORDERS"} 0`)
	waitMetric(t, port, `nats_streaming_relay_published_total{stream="ORDERS"} 5`)

	// One that is too large for the stream blocks what follows, and is not skipped.
	publish(t, sc, orders, order(t, "o", strings.Repeat("Long", 62), 6), order(t, "o", "OrderPaid", 7))
	waitMetric(t, port, `nats_streaming_relay_failing{stream="ORDERS"} 1`)
	config.MaxMsgSize = -1
	if _, err := js.UpdateStream(ctx, config); err != nil {
		t.Fatal(err)
	}
	waitStream(t, js, "ORDERS", 7)
	agree(t, "sqlite", source, content(t, js, "ORDERS"))
}

// A stream with other subjects is not changed.
func TestStreamOfOtherSubjects(t *testing.T) {
	t.Parallel()
	s := harness.New(t, harness.Binary(), "-store", "MEMORY", "-js", "-sd", t.TempDir(), "-sc", configuration(t, `streaming {
	routes { stream: ORDERS, subject: "ORDERS.{event_type}" }
}`))
	nats := startNATS(t)
	s.Args = append(s.Args, "-ns", nats.URL())
	js, _ := streams(t, nats)
	if _, err := js.CreateStream(patient(t), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"ORDERS.*"}}); err != nil {
		t.Fatal(err)
	}
	s.Launch()
	s.Ready()
	s.WaitLog(t, "its subjects ORDERS.* do not cover ORDERS.>")
}

// A stream that was deleted is filled again, one that was purged is not.
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
		t.Errorf("after a purge the stream has %s", got)
	}
	if err := js.DeleteStream(ctx, "ORDERS"); err != nil {
		t.Fatal(err)
	}
	publish(t, connect(t, s, "last"), orders, order(t, "o", "OrderPaid", 4))
	waitStream(t, js, "ORDERS", 4)
	agree(t, "sqlite", source, content(t, js, "ORDERS"))
}
