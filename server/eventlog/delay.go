package eventlog

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// DeliverAt is the key of an event's metadata that says when consumers get it, in RFC 3339, on channels with delays.
const DeliverAt = "deliver_at"

// Delays reports whether the channel's events may ask to be delivered later.
func (c *Channel) Delays() bool { return c.block != nil && c.block.Delays }

// Delays reports whether the events of any channel may ask to be delivered later.
func (w Wildcard) Delays() bool { return w.log.o.Events.delays() }

func (e Events) delays() bool {
	for _, b := range e.blocks {
		if b.Delays {
			return true
		}
	}
	return false
}

// DeliveryTime returns when consumers get an event of the channel: the zero time is at once. The error says that the event's time
// cannot be read; such an event is not published.
func (c *Channel) DeliveryTime(e *proto.Event) (time.Time, error) {
	if !c.Delays() || len(e.Metadata) == 0 {
		return time.Time{}, nil
	}
	var metadata map[string]json.RawMessage
	if err := json.Unmarshal(e.Metadata, &metadata); err != nil {
		return time.Time{}, fmt.Errorf("metadata of %q: %w", e.ID, err)
	}
	value, asked := metadata[DeliverAt]
	if !asked {
		return time.Time{}, nil
	}
	var at time.Time
	if err := json.Unmarshal(value, &at); err != nil {
		return time.Time{}, &proto.InvalidError{Field: "metadata " + DeliverAt, Reason: "is not an RFC 3339 timestamp, such as \"2030-01-31T08:00:00Z\""}
	}
	return at, nil
}

// EventOf returns the event that a message of the channel is, and false if it is none.
func (c *Channel) EventOf(m *stores.Message) (*proto.Event, bool) {
	var msg pb.MsgProto
	if c.block == nil || msg.Unmarshal(m.Data) != nil {
		return nil, false
	}
	e, err := c.Mapping().Extract(msg.Data)
	return &e, err == nil
}
