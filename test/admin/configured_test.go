package admin_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// TestConfigured: settings of the configuration file count for the consumers that they name, a reload replaces them, those of run time
// replace them field by field, and metrics show what they do.
func TestConfigured(t *testing.T) {
	t.Parallel()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	file := configuration(t, `consumers: [ { names: "*:workers", max_deliveries: 1, ack_wait: 10ms }, { channels: "eventstore.sales", max_deliveries: 7 } ]`)
	s := start(t, "sqlite", databases.SQLite(t), "-c", file, "-m", strconv.Itoa(port))
	s.WaitLog(t, `Consumers: *:workers of all channels: {"max_deliveries":1,"ack_wait":"10ms"}`)
	// shows waits until the metrics have all lines.
	shows := func(lines ...string) string {
		t.Helper()
		for deadline := time.After(harness.Patience); ; {
			resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
			if err != nil {
				t.Fatal(err)
			}
			page, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			missing := ""
			for _, l := range lines {
				if !strings.Contains(string(page), "\nnats_streaming_"+l+"\n") {
					missing = l
				}
			}
			if missing == "" {
				return string(page)
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-deadline:
				t.Fatalf("the metrics lack %s:\n%s", missing, page)
			}
		}
	}
	labels := `{channel="eventstore.orders",client_id="",durable_name="",queue_name="d:workers"} `
	s.append(t, orders, "e1", "e2", "e3")
	sc := s.connect(t, "worker")
	_, in := work(t, sc, orders, "workers")
	_, others := work(t, sc, orders, "others")
	others.sequences(t, 1, 2, 3)
	s.until(t, workers, "parked", "3")
	page := shows("parked_messages"+labels+"3", "waiting_messages"+labels+"0", "stalled_seconds"+labels+"0", "paused"+labels+"0",
		`limited_messages_total{action="park"} 3`, "other_parked_messages 0")
	if strings.Contains(page, `nats_streaming_paused{channel="eventstore.orders",client_id="",durable_name="",queue_name="d:others"}`) {
		t.Error("a consumer without settings has series that only those with settings have")
	}
	if c := s.consumer(t, workers); c["settings"].(m)["maxDeliveries"] != 1.0 || len(c["storedSettings"].(m)) != 0 {
		t.Errorf("settings %v, stored %v", c["settings"], c["storedSettings"])
	}

	// A reload with an error changes nothing; without one it counts at once.
	reload := func(text, line string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("streaming {\n"+text+"\n}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Process.Signal(syscall.SIGHUP)
		s.WaitLog(t, line)
	}
	reload(`consumers { names: "*:workers", on_limit: prk }`, file+`:2: key "consumers.on_limit": "prk" must be park, skip or stall`)
	reload(`consumers { names: "*:workers", max_deliveries: 1, ack_wait: 10ms, on_limit: stall, max_inflight: 5 }`, "Reloaded the access file, the settings of consumers")
	for range len(in) {
		<-in
	}
	s.append(t, orders, "e4")
	s.until(t, workers, "stalledAt", "4")
	if page := shows("paused"+labels+"0", `limited_messages_total{action="stall"} 1`); strings.Contains(page, "stalled_seconds"+labels+"0\n") {
		t.Error("the metrics do not show that the consumer is stalled")
	}
	s.do(t, "SkipMessage", with(workers, m{"sequence": 4}))
	s.until(t, workers, "stalledAt", nil)

	// What is set at run time replaces one field, also after the next reload and a restart.
	s.do(t, "ConfigureConsumer", with(workers, m{"settings": m{"paused": true}}))
	shows("paused" + labels + "1")
	s.Stop()
	s.Restart()
	want := m{"maxDeliveries": 1.0, "ackWait": "0.010s", "onLimit": "stall", "maxInflight": 5.0, "paused": true}
	if got := s.consumer(t, workers)["settings"]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("settings %v, want %v", got, want)
	}
	reload(`consumers { names: "nobody", paused: true }`, "Reloaded the access file, the settings of consumers")
	if got := s.consumer(t, workers)["settings"]; fmt.Sprint(got) != fmt.Sprint(m{"paused": true}) {
		t.Errorf("settings %v after the rule has gone", got)
	}
	s.do(t, "ConfigureConsumer", with(workers, m{"clear": []string{"*"}}))
	if got := s.consumer(t, workers)["settings"]; fmt.Sprint(got) != fmt.Sprint(m{}) {
		t.Errorf("settings %v after they were cleared", got)
	}
}

// TestDelays: events of a channel with delays come when they ask to, a wrong time is refused at publish, and other channels do not care.
func TestDelays(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t), "-c", configuration(t, `events: [ { channels: ["eventstore.orders"], delays: true }, { channels: ["eventstore.>"] } ]`))
	later := func(id, channel, at string) m {
		return m{"channel": channel, "events": []m{{"eventId": id, "eventType": "Reminder", "aggregateId": id, "metadata": m{"deliver_at": at}}}}
	}
	_, answer, err := s.call(patient(t), "EventStore/Append", later("wrong", orders, "tomorrow"))
	if err != nil || answer["code"] != "invalid_argument" || !strings.Contains(answer["message"].(string), "deliver_at") {
		t.Errorf("a wrong time: %v %v", answer, err)
	}
	due := time.Now().Add(time.Second)
	for id, it := range map[string]m{"plain": later("plain", "eventstore.plain", "tomorrow"), "late": later("late", orders, due.UTC().Format(time.RFC3339Nano))} {
		if _, answer, err := s.call(patient(t), "EventStore/Append", it); err != nil || answer["code"] != nil {
			t.Errorf("%s: %v %v", id, answer, err)
		}
	}
	s.append(t, orders, "e2")
	sc := s.connect(t, "worker")
	_, plain := work(t, sc, "eventstore.plain", "workers")
	plain.sequences(t, 1)
	_, in := work(t, sc, orders, "workers", stan.MaxInflight(10))
	in.sequences(t, 2, 1)
	if early := time.Until(due); early > 0 {
		t.Errorf("the event came %v early", early)
	}
}
