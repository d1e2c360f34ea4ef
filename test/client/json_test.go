package client

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/client/streaming"
	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// Events in JSON are the same for a reader of the API, a source of NATS Streaming and a member of a queue group.
func TestReadersOfJSON(t *testing.T) {
	t.Parallel()
	conf := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(conf, []byte(`streaming { events {
		channels: "orders", format: json, aggregate_id: "$.id", event_type: "$.type", event_version: "$.version", event_data: "$.data", metadata: "$.context"
	} }`), 0o600); err != nil {
		t.Fatal(err)
	}
	mapping, err := proto.NewMapping(proto.MappingConfig{
		Format: proto.FormatJSON, AggregateID: "$.id", EventType: "$.type", EventVersion: "$.version", EventData: "$.data", Metadata: "$.context",
	})
	if err != nil {
		t.Fatal(err)
	}
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := &server{harness.Start(t, driver, source, "-grpc_host", "127.0.0.1", "-grpc_port", "-1", "-c", conf), t, driver, source}
		sc := s.stan("publisher")
		for _, payload := range []string{`{"id":1,"type":"AccountOpened","data":{"Owner":"Ada"},"context":{"user":"u","n":1}}`, `{"id":1,"type":"Deposited","data":{"Cents":5}}`} {
			if err := sc.Publish("orders", []byte(payload)); err != nil {
				t.Fatal(err)
			}
		}
		read := func(source eventstore.Source) (events []*eventstore.Event) {
			t.Helper()
			err := source.Receive(patient(t), 0, func(b eventstore.Batch) error {
				if events = append(events, b.Events...); len(events) == 2 {
					return eventstore.ErrStop
				}
				return nil
			})
			if !errors.Is(err, eventstore.ErrStop) {
				t.Fatal(err)
			}
			return events
		}
		api := read(s.client().Source("orders", eventstore.Filter{}))
		if e := api[1]; e.Type != "Deposited" || e.AggregateID != "1" || e.Version != 2 || string(e.Payload) != `{"Cents":5}` || e.ContentType != "application/json" {
			t.Errorf("event %+v", e)
		}
		if want := map[string]string{"user": "u", "n": "1"}; !reflect.DeepEqual(api[0].Metadata, want) {
			t.Errorf("metadata %v", api[0].Metadata)
		}
		for _, e := range api {
			if e.Position == 0 {
				t.Errorf("event %d has no position", e.Sequence)
			}
			e.Position = 0 // NATS Streaming does not tell it
		}
		if streamed := read(&streaming.Source{Conn: sc, Channel: "orders", Mapping: mapping}); !reflect.DeepEqual(streamed, api) {
			t.Errorf("NATS Streaming delivers %+v, the API %+v", streamed, api)
		}
		var replayed []*eventstore.Event
		handle := func(e *eventstore.Event) error {
			if replayed = append(replayed, e); len(replayed) == 2 {
				return eventstore.ErrStop
			}
			return nil
		}
		replay := streaming.Replay{
			Cluster: "test-cluster", ClientIDPrefix: "replay", Channel: "orders", Mapping: mapping, Options: []stan.Option{stan.NatsURL(s.URL())},
		}
		if err := replay.Run(patient(t), handle); err != nil || !reflect.DeepEqual(replayed, api) {
			t.Errorf("a replay gets %+v, error %v", replayed, err)
		}
		replay.Mapping = nil
		if err := replay.Run(patient(t), handle); err == nil || !strings.Contains(err.Error(), "set Mapping") {
			t.Errorf("without the mapping: error %v", err)
		}
		db, dialect := s.readModel()
		var worked []*eventstore.Event
		done := errors.New("done")
		r := &eventstore.Reactor{Name: "worker", DB: db, Dialect: dialect, Attempts: 1, Handle: func(_ context.Context, e *eventstore.Event) error {
			if worked = append(worked, e); len(worked) == 2 {
				return done
			}
			return nil
		}}
		worker := streaming.Worker{Reactor: r, Conn: sc, Channel: "orders", Mapping: mapping}
		if err := worker.Run(patient(t)); !errors.Is(err, done) || !reflect.DeepEqual(worked, api) {
			t.Errorf("a worker gets %+v, error %v", worked, err)
		}
	})
}
