package admin_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// secret is in everything that is erased.
const secret = "Jane-Doe-1984"

// personal returns an event of an aggregate that has the secret in its data, metadata and tags.
func personal(aggregate, typ, id string) m {
	return m{
		"eventId": id, "eventType": typ, "aggregateType": "Customer", "aggregateId": aggregate,
		"eventData": base64.StdEncoding.EncodeToString([]byte(`{"name":"` + secret + " " + id + `"}`)),
		"metadata":  m{"who": secret}, "tags": []string{"name:" + secret, "kept"},
	}
}

// appendAll appends events, which must succeed.
func (s *server) appendAll(t *testing.T, channel string, events ...m) m {
	t.Helper()
	status, answer, err := s.call(patient(t), "EventStore/Append", m{"channel": channel, "events": events})
	if err != nil || status != http.StatusOK {
		t.Fatalf("append: %d %v %v", status, answer, err)
	}
	return answer
}

// table returns the rows of a query, with | between columns.
func table(t *testing.T, driver, source, text string) []string {
	t.Helper()
	count := query(t, driver, source, "SELECT COUNT(*) FROM ("+text+") AS counted")[0]
	n, err := strconv.Atoi(count)
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for i := range n {
		rows = append(rows, strings.Join(query(t, driver, source, fmt.Sprintf("%s LIMIT 1 OFFSET %d", text, i)), "|"))
	}
	return rows
}

// publishing publishes events one after the other until the test stops it, and returns the longest wait for an acknowledgement.
func (s *server) publishing(t *testing.T, channel string) (stop func() time.Duration) {
	t.Helper()
	sc := s.connect(t, "publisher")
	ended := make(chan struct{})
	var running sync.WaitGroup
	var longest time.Duration
	running.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-ended:
				return
			default:
			}
			data, err := proto.Marshal(&eventstorev1.Event{EventType: "Other", AggregateId: "other", EventData: []byte(strconv.Itoa(i))})
			if err != nil {
				t.Error(err)
				return
			}
			began := time.Now()
			if err := sc.Publish(channel, data); err != nil {
				t.Errorf("publish while events are erased: %v", err)
				return
			}
			longest = max(longest, time.Since(began))
		}
	})
	return func() time.Duration {
		close(ended)
		running.Wait()
		return longest
	}
}

// TestErase erases an aggregate while others publish, and looks for what is left behind every door.
func TestErase(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		file := filepath.Join(t.TempDir(), "server.conf")
		if err := os.WriteFile(file, []byte(`
jetstream {}
streaming { routes: [
	{ channel: copies }
	{ types: "Named", channel: names, payload: data }
	{ stream: EVENTS, subject: "events.{event_type}" }
] }`), 0o600); err != nil {
			t.Fatal(err)
		}
		s := start(t, driver, source, "-sc", file, "-c", file, "-sd", t.TempDir(), "-wildcards")
		s.appendAll(t, orders, personal("keep", "Named", "k1"), personal("customer-17", "Named", "c1"), personal("keep", "Moved", "k2"), personal("customer-17", "Moved", "c2"))
		s.appendAll(t, "eventstore.customers", personal("customer-17", "Named", "c3"))
		s.Stop()
		for _, text := range []string{
			"INSERT INTO NamedConsumers (consumer, channel, client, name, settings) VALUES (900, 'eventstore.orders', '', 'workers', '{}'), (901, 'eventstore.*', '', 'workers', '{}')",
			"INSERT INTO Parked (consumer, seq, deliveries, first_delivery, last_delivery, ordering_key, reason) VALUES (900, 1, 1, 1, 1, 'keep', 'a reason'), (900, 2, 1, 1, 1, 'customer-17', '" +
				secret + "'), (901, 4, 1, 1, 1, 'name:" + secret + "', '" + secret + "')",
		} {
			execute(t, driver, source, text)
		}
		s.Restart()
		stop := s.publishing(t, orders)
		_, live := work(t, s.connect(t, "reader"), "copies", "readers", stan.MaxInflight(1000))
		live.sequences(t, 1, 2, 3, 4, 5)

		s.refused(t, "EraseEvents", m{"aggregateId": "customer-17"}, "invalid_argument", "reason is missing")
		s.refused(t, "EraseEvents", m{"reason": "x"}, "invalid_argument", "the events are missing")
		s.refused(t, "EraseEvents", m{"reason": "x", "sequence": "1"}, "invalid_argument", "channel is missing")
		s.refused(t, "EraseEvents", m{"reason": "x", "aggregateId": "customer-18"}, "not_found", "nothing to erase")
		s.refused(t, "EraseEvents", m{"reason": "x", "channel": "copies", "sequence": "1"}, "failed_precondition", "not an event")
		dry := s.do(t, "EraseEvents", m{"aggregateId": "customer-17", "dryRun": true})
		if e := dry["erasure"].(m); e["events"] != "3" || e["copies"] != "5" || e["id"] != nil {
			t.Errorf("dry run: %v", dry)
		}
		answer := s.do(t, "EraseEvents", m{"aggregateId": "customer-17", "reason": "request 114"})
		e := answer["erasure"].(m)
		if e["id"] != "1" || e["events"] != "3" || e["copies"] != "5" || e["reason"] != "request 114" {
			t.Errorf("erasure: %v", answer)
		}
		if got := fmt.Sprint(answer["channels"], answer["streams"]); got != "[map[channel:copies copies:3] map[channel:eventstore.customers events:1] map[channel:eventstore.orders events:2] map[channel:names copies:2]] [map[deleted:3 stream:EVENTS]]" {
			t.Errorf("channels and streams: %s", got)
		}
		t.Logf("publishers waited for %v, at most %v in all", answer["publishersWaited"], stop())
		eventually(t, func() bool { return query(t, driver, source, "SELECT state FROM Erasures")[0] == "done" })
		s.refused(t, "EraseEvents", m{"aggregateId": "customer-17", "reason": "again"}, "not_found", "nothing to erase")

		s.erasedBehindDoors(t, driver, source)
		// What was erased does not come back, and the aggregate goes on.
		if again := s.appendAll(t, orders, personal("customer-17", "Named", "c1")); again["duplicate"] != true {
			t.Errorf("an erased event again: %v", again)
		}
		next := s.appendAll(t, orders, m{"eventType": "Closed", "aggregateType": "Customer", "aggregateId": "customer-17", "eventVersion": "3"})
		if got := next["events"].([]any)[0].(m)["eventVersion"]; got != "3" {
			t.Errorf("the next event of the aggregate: %v", next)
		}
		_, refused, err := s.call(patient(t), "EventStore/Append", m{"channel": orders, "events": []m{{"eventType": "T", "aggregateId": "a", "erased": m{"erasure": "1"}}}})
		if err != nil || refused["code"] != "invalid_argument" || !strings.Contains(refused["message"].(string), "erased is set by the server") {
			t.Errorf("an event that says that it was erased: %v %v", refused, err)
		}
		s.Stop()
		s.Restart()
		s.erasedBehindDoors(t, driver, source)
		s.Stop()
		harness.Verify(t, driver, source)
		if driver == "sqlite" {
			for _, suffix := range []string{"", "-wal"} {
				content, err := os.ReadFile(source + suffix)
				if err == nil && strings.Contains(string(content), secret+" c") {
					t.Errorf("the file %s still has what was erased", source+suffix)
				}
			}
		}
	})
}

// execute runs a statement.
func execute(t *testing.T, driver, source, text string) {
	t.Helper()
	db := open(t, driver, source)
	defer db.Close()
	if _, err := db.ExecContext(patient(t), text); err != nil {
		t.Fatal(err)
	}
}

// erasedBehindDoors checks that readers get tombstones, and nothing else of customer-17.
func (s *server) erasedBehindDoors(t *testing.T, driver, source string) {
	t.Helper()
	sc := s.connect(t, "door-"+strconv.FormatInt(time.Now().UnixNano(), 36))
	defer func() { _ = sc.Close() }()
	events, tombstones := make(inbox, 100_000), 0
	if _, err := sc.Subscribe(orders, func(m *stan.Msg) { events <- m }, stan.DeliverAllAvailable(), stan.MaxInflight(1000)); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		msg := events.next(t)
		var event eventstorev1.Event
		if err := proto.Unmarshal(msg.Data, &event); err != nil {
			t.Fatal(err)
		}
		if erased := event.GetErased().GetErasure(); erased == 1 != (event.GetAggregateId() == "customer-17") {
			t.Errorf("message %d of %s: %v", msg.Sequence, event.GetAggregateId(), &event)
		} else if erased == 1 {
			tombstones++
			if strings.Contains(string(msg.Data), secret) || event.GetEventType() == "" || event.GetEventVersion() == 0 || event.GetEventId() == "" {
				t.Errorf("tombstone %v", &event)
			}
		}
	}
	if tombstones != 2 {
		t.Errorf("%d tombstones by NATS Streaming, want 2", tombstones)
	}
	for what, item := range map[string]*eventstorev1.QueryItem{
		"by aggregate": {AggregateIds: []string{"customer-17"}, EventTypes: []string{"Named", "Moved"}},
		"by type":      {EventTypes: []string{"Moved"}, AggregateIds: []string{"customer-17"}},
	} {
		found := s.read(t, &eventstorev1.ReadRequest{Query: &eventstorev1.Query{Items: []*eventstorev1.QueryItem{item}}})
		if strings.Contains(found, secret) || !strings.Contains(found, `"erased":{"erasure":"1"`) {
			t.Errorf("%s: %s", what, found)
		}
	}
	tagged := &eventstorev1.Query{Items: []*eventstorev1.QueryItem{{Tags: []string{"name:" + secret}}}}
	if found := s.read(t, &eventstorev1.ReadRequest{Query: tagged}); strings.Contains(found, "customer-17") || !strings.Contains(found, "keep") {
		t.Errorf("by tag: %s", found)
	}
	_, one, err := s.call(patient(t), "EventStore/GetEvent", m{"channel": orders, "eventId": "c2"})
	if err != nil || strings.Contains(fmt.Sprint(one), secret) || one["event"].(m)["event"].(m)["erased"] == nil {
		t.Errorf("GetEvent: %v %v", one, err)
	}
	if got := s.read(t, &eventstorev1.ReadRequest{Channel: "eventstore.erasures"}); strings.Count(got, `"eventType":"EventsErased"`) != 2 {
		t.Errorf("erasures that readers are told of: %s", got)
	}
	for text, want := range map[string][]string{
		"SELECT channel, sequence, event_type, event_version, erased, event_data, metadata, tags FROM events WHERE aggregate_id = 'customer-17' AND event_version < 3 ORDER BY channel, sequence": {
			"eventstore.customers|1|Named|1|1|||", orders + "|2|Named|1|1|||", orders + "|4|Moved|2|1|||",
		},
		"SELECT tag, COUNT(*) FROM EventTags GROUP BY tag ORDER BY tag":                                                       {"kept|2", "name:" + secret + "|2"},
		"SELECT consumer, seq, ordering_key, reason FROM Parked ORDER BY consumer, seq":                                       {"900|1|keep|a reason", "900|2|customer-17|", "901|4||"},
		"SELECT id, state, selector, events, copies FROM Erasures ORDER BY id":                                                {"1|done||3|5"},
		"SELECT COUNT(*) FROM ErasedMessages":                                                                                 {"0"},
		"SELECT action, target, detail FROM AuditEntries WHERE action = 'erase' ORDER BY id":                                  {"erase|erasure 1|request 114"},
		"SELECT c.name FROM Channels AS c JOIN Messages AS m ON m.id = c.id WHERE m.erased = 1 GROUP BY c.name ORDER BY name": {"copies", "eventstore.customers", orders, "names"},
	} {
		if got := table(t, driver, source, text); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	nc, err := nats.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(patient(t), "EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	for seq := range stream.CachedInfo().State.LastSeq {
		msg, err := stream.GetMsg(patient(t), seq+1)
		if err == nil && msg.Header.Get("Aggregate-Id") == "customer-17" && msg.Header.Get("Event-Version") < "3" {
			t.Errorf("stream EVENTS still has %v", msg.Header)
		}
	}
}

// read returns the events that match a query, or those of a channel, as JSON without white space.
func (s *server) read(t *testing.T, request *eventstorev1.ReadRequest) string {
	t.Helper()
	client := eventstorev1connect.NewEventStoreClient(http.DefaultClient, "http://"+s.address)
	stream, err := client.Read(patient(t), request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	var all strings.Builder
	for stream.Receive() {
		for _, e := range stream.Msg().GetEvents() {
			text, err := protojson.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			all.WriteString(strings.ReplaceAll(string(text), " ", "") + "\n")
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// eventually waits until something is true.
func eventually(t *testing.T, is func() bool) {
	t.Helper()
	for ctx := patient(t); !is(); {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal("it never was")
		}
	}
}

// TestEraseKilled kills the server at many moments of an erasure. Of the events, all are erased or none, whoever looks; an erasure that
// was recorded is resumed.
func TestEraseKilled(t *testing.T) {
	t.Parallel()
	const events = 3000
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		var batch []m
		for i := range events {
			batch = append(batch, personal("customer-17", "Named", fmt.Sprint("c", i)))
			if len(batch) == 1000 {
				s.appendAll(t, orders, batch...)
				batch = nil
			}
		}
		counted := func() string {
			return query(t, driver, source, "SELECT COUNT(erased) FROM Messages")[0]
		}
		for after := time.Millisecond; ; after *= 2 {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, _, _ = s.call(ctx, "Admin/EraseEvents", m{"aggregateId": "customer-17", "reason": "killed"})
			}()
			select {
			case <-ended:
			case <-time.After(after): // whenever it is, the events are all there or all erased
			}
			s.Kill()
			cancel()
			<-ended
			n := counted()
			if n != "0" && n != strconv.Itoa(events) {
				t.Fatalf("killed after %v: %s of %d events are erased", after, n, events)
			}
			s.Restart()
			if recorded := query(t, driver, source, "SELECT COUNT(*) FROM Erasures")[0]; recorded != "0" {
				t.Logf("killed after %v: an erasure was recorded, %s events were erased", after, n)
				break
			}
		}
		eventually(t, func() bool {
			return query(t, driver, source, "SELECT COUNT(*) FROM Erasures WHERE state = 'done'")[0] == "1"
		})
		if n := counted(); n != strconv.Itoa(events) {
			t.Errorf("%s of %d events are erased", n, events)
		}
		s.Stop()
		harness.Verify(t, driver, source)
	})
}
