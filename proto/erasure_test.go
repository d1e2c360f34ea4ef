package proto

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// A tombstone is a payload of its format, with the same identifiers, type and version and nothing else.
func TestTombstones(t *testing.T) {
	t.Parallel()
	by := Erasure{ID: 7, Time: time.Date(2026, 11, 27, 1, 2, 3, 0, time.UTC)}
	envelope, err := proto.Marshal(&eventstorev1.Event{
		EventId: "e-1", EventType: "Named", AggregateId: "c-1", AggregateType: "Customer", EventVersion: 3, EventData: []byte(`"secret"`),
		Metadata: map[string]string{"who": "secret"}, Tags: []string{"secret"}, Stream: "secret",
	})
	if err != nil {
		t.Fatal(err)
	}
	object := newDocumentMappingOf(t, MappingConfig{Format: FormatJSON, AggregateID: "$.order.id", AggregateType: "= Order", EventType: "$.type", EventID: "$.id",
		EventVersion: "$.order.version", EventData: "$", Metadata: "$.context", Tags: []string{"customer:{$.customer}"}})
	message, cloud := orders(t), newCloudMapping(t, MappingConfig{EventVersion: "$.version"})
	legacy := newMapping(t, MappingConfig{DescriptorSet: acme, Message: "acme.orders.v1.Legacy", AggregateID: "inner.text", EventType: "type", EventVersion: "body.version", EventData: "body", Metadata: "labels"})
	const attributes = `attributes { key: "subject" value { ce_string: "c-1" } } attributes { key: "version" value { ce_integer: 3 } } attributes { key: "who" value { ce_string: "secret" } } `
	for name, it := range map[string]struct {
		mapping *Mapping
		payload []byte
		mark    string
	}{
		"eventstore.v1.Event": {nil, envelope, ""},
		"JSON":                {object, []byte(`{"id":"e-1","type":"Named","customer":"secret","order":{"id":"c-1","version":3,"name":"secret"},"context":{"a":"secret"}}`), `"erased":{"erasure":"7","time":"2026-11-27T01:02:03Z"}`},
		"message": {message.Mapping, encode(t, message, `{"header":{"order_id":"c-1","event_id":"Xwwfh4pXShyaCy88fQ6bEQ==","number":"5"},
			"order_placed":{"customer_id":"secret"},"version":3,"metadata":{"user":"secret"}}`), ""},
		"proto2":                 {legacy.Mapping, encode(t, legacy, `{"id":"secret","type":"Named","body":{"text":"secret","version":"3"},"labels":{"a":"secret"},"inner":{"text":"c-1"}}`), ""},
		"CloudEvent in JSON":     {cloud, []byte(`{"specversion":"1.0","id":"e-1","source":"/s","type":"Named","subject":"c-1","version":3,"who":"secret","data":{"a":"secret"}}`), `"erased":true,"erasure":"7"`},
		"CloudEvent in protobuf": {cloud, cloudPayload(t, `spec_version: "1.0" id: "e-1" source: "/s" type: "Named" `+attributes+`text_data: "secret"`), "erasure"},
	} {
		before, err := it.mapping.ExtractNew(it.payload)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		tombstone := it.mapping.Tombstone(it.payload, &before, by)
		if bytes.Contains(tombstone, []byte("secret")) || !strings.Contains(string(tombstone), it.mark) {
			t.Errorf("%s: tombstone %q", name, tombstone)
		}
		after, err := it.mapping.Extract(tombstone)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if after.ID != before.ID || after.Type != before.Type || after.AggregateID != before.AggregateID || after.AggregateType != before.AggregateType || after.Version != before.Version || len(after.Tags) > 0 {
			t.Errorf("%s: %+v, want the identifiers of %+v", name, after, before)
		}
		// It is one again.
		if again := it.mapping.Tombstone(tombstone, &after, by); it.mapping == nil && !bytes.Equal(again, tombstone) {
			t.Errorf("%s: the tombstone of a tombstone is %q, not %q", name, again, tombstone)
		}
	}
	if _, err := ExtractNew(Erasure{ID: 1}.of(envelope)); err == nil || err.Error() != ErrErased.Error() {
		t.Errorf("an event that says that it was erased: %v", err)
	}
	for data, want := range map[string]string{`{"a":1}`: `{"erased":{"erasure":"7","time":"2026-11-27T01:02:03Z"}}`, "\x0a\x01x": ""} {
		if got := string(DataTombstone([]byte(data), by)); got != want {
			t.Errorf("event_data %q becomes %q, want %q", data, got, want)
		}
	}
}

// of returns the tombstone of an envelope.
func (e Erasure) of(envelope []byte) []byte {
	ev, _ := Extract(envelope)
	return tombstone(&ev, e)
}

func newDocumentMappingOf(t *testing.T, cfg MappingConfig) *Mapping {
	t.Helper()
	m, err := NewMapping(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
