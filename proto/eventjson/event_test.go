package eventjson_test

import (
	"bytes"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/nats-eventstore/nats-eventstore/proto/eventjson"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// What is printed and read again is the same event, byte for byte.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, data := range []string{
		"", `{"a":1}`, `{ "a": 1.50, "b": "<&>" }`, "\x00\xff", "null", "\"\xff\"", "1e400", "{\"a\":\n1}", `{"a":1}x`, "\"\u2028\u202e\"", `"\u003c"`,
	} {
		event := &eventstorev1.Event{
			EventId: "e", EventType: "T", AggregateType: "A", AggregateId: "a", EventVersion: 3, Stream: "s", EventData: []byte(data), ContentType: "x/y",
			Metadata: map[string]string{"k": "v"}, Tags: []string{"b", "a"}, OccurredAt: timestamppb.New(time.Unix(1, 123456789)),
		}
		line, err := eventjson.Of(&eventstorev1.RecordedEvent{Event: event, Channel: "eventstore.a", Sequence: 7, Position: 9, RecordedAt: timestamppb.Now()}).Marshal()
		if err != nil || bytes.ContainsAny(line, "\n\r") {
			t.Fatalf("%q: %s, %v", data, line, err)
		}
		read, err := eventjson.Unmarshal(line)
		if err != nil {
			t.Fatalf("%q: %s: %v", data, line, err)
		}
		if got := read.Message(); !proto.Equal(got, event) {
			t.Errorf("%q became %v by %s", data, got, line)
		}
		if read.Channel != "eventstore.a" || read.Sequence != 7 || read.Position != 9 {
			t.Errorf("%s: the place is lost", line)
		}
	}
}

// An event that somebody wrote is read as it stands, and a misspelt field is an error.
func TestUnmarshal(t *testing.T) {
	t.Parallel()
	for line, good := range map[string]bool{
		`{"type":"T","aggregate_id":"a","data":{"x":1}}`: true,
		`{"type":"T","agregate_id":"a"}`:                 false,
		`{"type":"T"} {"type":"U"}`:                      false,
		`{"type":"T","data_base64":"?"}`:                 false,
		`[]`:                                             false,
		``:                                               false,
	} {
		if _, err := eventjson.Unmarshal([]byte(line)); (err == nil) != good {
			t.Errorf("%s: %v", line, err)
		}
	}
}
