package admin_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// monitored returns the metrics of a server, by line.
func (s *server) monitored(t *testing.T) string {
	t.Helper()
	found := regexp.MustCompile(`http monitor on (\S+)`).FindStringSubmatch(s.Log.String())
	if found == nil {
		t.Fatal("no monitoring port")
	}
	resp, err := http.Get("http://" + found[1] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestEraseStreams: whatever a stream retains, erased events are deleted from it. A stream that refuses is named, its erasure is not done,
// is counted, and survives kill -9 of the server. Once the stream was deleted, the relay fills it with tombstones, and the erasure is done.
func TestEraseStreams(t *testing.T) {
	t.Parallel()
	for _, headers := range []string{"nats", "cloudevents"} {
		t.Run(headers, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "server.conf")
			configure := func(routes string) {
				t.Helper()
				if err := os.WriteFile(file, []byte("jetstream {}\nstreaming { "+routes+" }"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			configure("")
			s := start(t, "sqlite", databases.SQLite(t), "-sc", file, "-c", file, "-sd", t.TempDir(), "-m", "-1")
			nc, err := nats.Connect(s.URL(), nats.MaxReconnects(-1))
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			js, err := jetstream.New(nc)
			if err != nil {
				t.Fatal(err)
			}
			routes := ""
			for _, c := range []jetstream.StreamConfig{
				{Name: "WORK", Subjects: []string{"work.>"}, Retention: jetstream.WorkQueuePolicy},
				{Name: "INTEREST", Subjects: []string{"interest.>"}, Retention: jetstream.InterestPolicy},
				{Name: "UNUSED", Subjects: []string{"unused.>"}, Retention: jetstream.InterestPolicy}, // nobody's interest
				{Name: "KEPT", Subjects: []string{"kept.>"}, DenyDelete: true},
			} {
				stream, err := js.CreateStream(patient(t), c)
				if err == nil && c.Name == "INTEREST" {
					_, err = stream.CreateConsumer(patient(t), jetstream.ConsumerConfig{Durable: "d", AckPolicy: jetstream.AckExplicitPolicy})
				}
				if err != nil {
					t.Fatal(err)
				}
				routes += fmt.Sprintf("{ from: [eventstore.orders], stream: %s, subject: \"%s.{event_type}\", headers: %s }\n", c.Name, strings.ToLower(c.Name), headers)
			}
			s.Stop()
			configure("routes: [" + routes + "]")
			s.Restart()
			s.appendAll(t, orders, personal("keep", "Named", "k1"), personal("customer-17", "Named", "c1"), personal("customer-17", "Moved", "c2"), personal("keep", "Named", "k2"))
			// holds returns what a stream has, as identifiers, with a mark at those that were erased.
			holds := func(name string) string {
				stream, err := js.Stream(patient(t), name)
				if err != nil {
					return err.Error()
				}
				var all []string
				for seq := range stream.CachedInfo().State.LastSeq {
					msg, err := stream.GetMsg(patient(t), seq+1)
					if err != nil {
						continue
					}
					text := msg.Header.Get("Event-Id")
					if id := msg.Header["ce-id"]; len(id) > 0 {
						text = id[0]
					}
					if msg.Header.Get("Event-Erased") != "" || len(msg.Header["ce-erased"]) > 0 {
						text += "*"
					}
					if strings.Contains(string(msg.Data), secret+" "+text) != (text[len(text)-1] != '*') {
						t.Errorf("%s: message %s has the wrong data", name, text)
					}
					all = append(all, text)
				}
				return strings.Join(all, " ")
			}
			for _, name := range []string{"WORK", "INTEREST", "KEPT"} {
				eventually(t, func() bool { return holds(name) == "k1 c1 c2 k2" })
			}
			eventually(t, func() bool {
				return strings.Contains(s.monitored(t), `relay_lag_messages{channel="eventstore.orders",stream="UNUSED"} 0`)
			})

			answer := s.do(t, "EraseEvents", m{"aggregateId": "customer-17", "reason": "request 114"})
			told := fmt.Sprint(answer["streams"])
			if !strings.Contains(told, "map[deleted:2 stream:WORK]") || !strings.Contains(told, "map[deleted:2 stream:INTEREST]") || !regexp.MustCompile(`error:.* stream:KEPT`).MatchString(told) ||
				strings.Contains(told, "UNUSED") {
				t.Errorf("streams: %s", told)
			}
			for _, name := range []string{"WORK", "INTEREST"} {
				if got := holds(name); got != "k1 k2" {
					t.Errorf("%s has %s", name, got)
				}
			}
			listed := func() any { return s.do(t, "ListErasures", m{})["erasures"].([]any)[0].(m)["state"] }
			if got := listed(); got != "erased" {
				t.Errorf("the erasure is %v, but a stream has its events", got)
			}
			metrics := s.monitored(t)
			for _, want := range []string{
				`nats_streaming_open_erasures{state="erased"} 1`, `nats_streaming_open_erasures{state="pending"} 0`,
				`nats_streaming_erased_messages_total{kind="event"} 2`, `nats_streaming_erased_messages_total{kind="copy"} 0`, `nats_streaming_erasure_wait_seconds_count 1`,
			} {
				if !strings.Contains(metrics, want+"\n") {
					t.Errorf("the metrics lack %s", want)
				}
			}
			// Another erasure does not make it forgotten.
			s.appendAll(t, orders, personal("customer-18", "Named", "d1"))
			s.do(t, "EraseEvents", m{"aggregateId": "customer-18", "reason": "request 115"})
			s.Kill()
			s.Restart()
			s.WaitLog(t, "Failed to delete erased events from a stream; retrying")
			eventually(t, func() bool { return strings.Contains(s.monitored(t), `nats_streaming_open_erasures{state="erased"} 2`) })

			eventually(t, func() bool { return js.DeleteStream(patient(t), "KEPT") == nil }) // once the client has reconnected
			eventually(t, func() bool { return listed() == "done" })
			eventually(t, func() bool { return strings.Contains(s.monitored(t), `nats_streaming_open_erasures{state="erased"} 0`) })
			eventually(t, func() bool { return strings.HasPrefix(holds("KEPT"), "k1 c1* c2* k2 d1*") })
		})
	}
}
