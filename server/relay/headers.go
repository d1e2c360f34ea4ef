package relay

import (
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nats-eventstore/nats-eventstore/proto"
)

// Headers says which headers describe the event.
type Headers int

const (
	// HeadersNATS are Event-Id, Event-Type, and so on. It is the zero value.
	HeadersNATS Headers = iota
	// HeadersCloudEvents are those of CloudEvents 1.0 in the binary mode of its NATS protocol binding, such as ce-id.
	HeadersCloudEvents
)

// ParseHeaders returns the Headers of a name: "nats" or "cloudevents".
func ParseHeaders(name string) (Headers, error) {
	switch name {
	case "nats":
		return HeadersNATS, nil
	case "cloudevents":
		return HeadersCloudEvents, nil
	}
	return 0, fmt.Errorf("headers %q: it is none of nats, cloudevents", name)
}

// The headers that say where in the event store a message comes from. The relay reads them back.
const (
	headerCluster  = "Nats-Streaming-Cluster"
	headerChannel  = "Nats-Streaming-Channel"
	headerSequence = "Nats-Streaming-Sequence"
)

// event is an event of a channel.
type event struct {
	proto.Event
	cluster, channel string
	sequence         uint64
	timestamp        int64  // ns since 1970
	payload          []byte // the stored message's
}

// id identifies the event among all messages that ever go to the stream.
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
	version := ""
	if e.Version > 0 {
		version = strconv.FormatUint(e.Version, 10)
	}
	at := time.Unix(0, e.timestamp).UTC().Format(time.RFC3339Nano)
	if names == HeadersNATS {
		set("Event-Id", e.ID)
		set("Event-Type", e.Type)
		set("Event-Version", version)
		set("Event-Time", at)
		set("Aggregate-Type", e.AggregateType)
		set("Aggregate-Id", e.AggregateID)
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
	return h
}

// escapeHeader writes a value as CloudEvents does: as %XX what is no visible ASCII, the quote and the percent sign.
func escapeHeader(value string) string { return escape(value, `"%`) }
