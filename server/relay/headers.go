package relay

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nats-eventstore/nats-eventstore/proto"
)

// Headers selects the headers that describe an event.
type Headers int

const (
	// HeadersNATS selects Event-Id, Event-Type, and so on. It is the zero value.
	HeadersNATS Headers = iota
	// HeadersCloudEvents selects CloudEvents 1.0 headers, such as ce-id, in the binary mode of its NATS protocol
	// binding.
	HeadersCloudEvents
)

// ParseHeaders returns the Headers named "nats" or "cloudevents".
func ParseHeaders(name string) (Headers, error) {
	switch name {
	case "nats":
		return HeadersNATS, nil
	case "cloudevents":
		return HeadersCloudEvents, nil
	}
	return 0, fmt.Errorf("headers %q: must be nats or cloudevents", name)
}

// These headers name the origin of a message in the event store. The relay reads them back to find its position.
const (
	headerCluster  = "Nats-Streaming-Cluster"
	headerChannel  = "Nats-Streaming-Channel"
	headerSequence = "Nats-Streaming-Sequence"
	headerErased   = "Event-Erased" // the number of the erasure; ce-erased among the headers of a CloudEvent
)

// headerTag has one value for each tag.
const headerTag = "Event-Tag"

// joined returns the tags as the text of one attribute: CloudEvents have no lists. A comma or backslash in a tag gets a
// backslash in front of it. Escaping it as a header does would make the tag up to five times as long, and JetStream takes at
// most 64 KiB of headers.
func joined(tags []string) string {
	var b strings.Builder
	for i, tag := range tags {
		if i > 0 {
			b.WriteByte(',')
		}
		_, _ = inList.WriteString(&b, tag) // a Builder returns no error
	}
	return b.String()
}

var inList = strings.NewReplacer(`\`, `\\`, ",", `\,`)

// event is an event of a channel.
type event struct {
	proto.Event
	cluster, channel string
	sequence         uint64
	position         uint64 // in the order of all events
	timestamp        int64  // ns since 1970
	payload          []byte // of the stored message
	erased           uint64 // the erasure that replaced it; 0 without one
}

// id identifies the event among all messages of the stream.
func (e *event) id() string {
	return escapeHeader(e.cluster) + "/" + escapeHeader(e.channel) + "/" + strconv.FormatUint(e.sequence, 10)
}

func (e *event) headers(names Headers) nats.Header {
	h := nats.Header{
		jetstream.MsgIDHeader: {e.id()},
		headerCluster:         {escapeHeader(e.cluster)},
		headerChannel:         {escapeHeader(e.channel)},
		headerSequence:        {strconv.FormatUint(e.sequence, 10)},
	}
	set := func(name, value string) {
		if value != "" {
			h[name] = []string{escapeHeader(value)}
		}
	}
	number := func(n uint64) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatUint(n, 10)
	}
	version, position, erased := number(e.Version), number(e.position), number(e.erased)
	at := time.Unix(0, e.timestamp).UTC().Format(time.RFC3339Nano)
	if names == HeadersNATS {
		set("Event-Id", e.ID)
		set("Event-Type", e.Type)
		set("Event-Version", version)
		set("Event-Time", at)
		set("Event-Position", position)
		set(headerErased, erased)
		set("Aggregate-Type", e.AggregateType)
		set("Aggregate-Id", e.AggregateID)
		for _, tag := range e.Tags {
			h[headerTag] = append(h[headerTag], escapeHeader(tag))
		}
		return h
	}
	id := e.ID
	if id == "" {
		id = e.id()
	}
	set("ce-specversion", "1.0")
	set("ce-id", id)
	set("ce-source", "/"+e.cluster+"/"+e.channel)
	set("ce-type", e.Type)
	set("ce-subject", e.AggregateID)
	set("ce-time", at)
	set("ce-sequence", strconv.FormatUint(e.sequence, 10))
	set("ce-aggregatetype", e.AggregateType)
	set("ce-aggregateversion", version)
	set("ce-position", position)
	set("ce-erased", erased)
	set("ce-tags", joined(e.Tags))
	return h
}

// escapeHeader escapes a value as CloudEvents does: bytes that are not visible ASCII, quotes and percent signs become
// %XX.
func escapeHeader(value string) string { return escape(value, `"%`) }
