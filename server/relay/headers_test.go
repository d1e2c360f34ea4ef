package relay

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/nats-eventstore/nats-eventstore/proto"
)

func TestHeadersOfTags(t *testing.T) {
	t.Parallel()
	e := &event{Event: proto.Event{Type: "T", AggregateID: "a", Tags: []string{"customer:c-9", `a,b\c`, "Zoë 1%"}}}
	if got, want := e.headers(HeadersNATS)[headerTag], []string{"customer:c-9", `a,b\c`, "Zo%C3%AB%201%25"}; !slices.Equal(got, want) {
		t.Errorf("%s %q, want %q", headerTag, got, want)
	}
	if got, want := e.headers(HeadersCloudEvents).Get("ce-tags"), `customer:c-9,a\,b\\c,Zo%C3%AB%201%25`; got != want {
		t.Errorf("ce-tags %q, want %q", got, want)
	}
	e.Tags = nil
	for _, style := range []Headers{HeadersNATS, HeadersCloudEvents} {
		for name := range e.headers(style) {
			if strings.Contains(strings.ToLower(name), "tag") {
				t.Errorf("an event without tags has the header %s", name)
			}
		}
	}
}

// The longest tags and names stay below the 64 KiB of headers that JetStream takes.
func TestLongestHeaders(t *testing.T) {
	t.Parallel()
	for _, character := range []string{"%", ",", `\`} {
		long := strings.Repeat(character, proto.MaxIdentifier)
		e := &event{
			Event:   proto.Event{ID: long, Type: long, AggregateID: long, AggregateType: long, Version: math.MaxInt64},
			cluster: strings.Repeat("c", 255), channel: long, sequence: math.MaxUint64, timestamp: longTimestamp,
		}
		for range proto.MaxTags {
			e.Tags = append(e.Tags, strings.Repeat(character, proto.MaxTag))
		}
		for _, style := range []Headers{HeadersNATS, HeadersCloudEvents} {
			m := nats.Msg{Header: e.headers(style)}
			if size := m.Size(); size > math.MaxUint16-1024 { // with room for the trace
				t.Errorf("%s: headers of %d bytes", character, size)
			}
		}
	}
}
