package consumers

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// examines reports whether the group looks into messages before it sends them. The caller holds g.mu.
func (g *Group) examines() bool {
	r := g.state.rules
	return r != nil && (r.filter != nil || g.state.lanes != nil) || g.line.Delays()
}

// examine finds out what decides about a message. The caller holds g.mu.
func (g *Group) examine(m *stores.Message) (f facts) {
	r := g.state.rules
	channel := g.line.Origin(m)
	if channel == nil || channel.Events() == nil {
		return f // the messages of a plain channel have nothing to filter or to order by
	}
	e, ok := channel.EventOf(m)
	if !ok {
		return facts{unwanted: r != nil && r.filter != nil}
	}
	if r != nil {
		f.unwanted = r.filter != nil && !r.filter.Matches(channel.Name(), e)
		f.key = g.keyOf(r.orderBy, channel, e)
	}
	if at, err := channel.DeliveryTime(e); err == nil && !at.IsZero() {
		f.at = max(onClock(at), 0)
		f.cancelled = g.cancelled(channel.Name(), m.Sequence)
	}
	return f
}

// maxKey bounds an ordering key, in bytes. The hash of a longer one takes its place.
const maxKey = 255

// keyOf returns the ordering key of an event: its channel, in a line of many, with its aggregate or tag. It is empty if the event has
// none.
func (g *Group) keyOf(orderBy string, channel *eventlog.Channel, e *proto.Event) string {
	var key string
	switch prefix, tag := strings.CutPrefix(orderBy, OrderTag); {
	case orderBy == OrderAggregate:
		if key = e.AggregateID; e.AggregateType != "" {
			key = e.AggregateType + " " + key
		}
		if g.line.Pattern() != "" {
			key = channel.Name() + " " + key
		}
	case tag:
		for _, t := range e.Tags {
			if strings.HasPrefix(t, prefix) {
				key = t
				break
			}
		}
	}
	if len(key) > maxKey {
		sum := sha256.Sum256([]byte(key))
		key = hex.EncodeToString(sum[:])
	}
	return key
}

// limitLog is how often the log tells at most that a group parks, skips or stalls.
const limitLog = 10 * time.Second

// limit applies what is to be done with a message that was sent as often as it may be. The caller holds g.mu.
func (g *Group) limit(seq uint64) {
	deliveries := g.state.deliveries(seq)
	word := g.state.limit(seq, now())
	g.took(word, seq, deliveries, "limit of deliveries")
}

// took counts and logs that a message was parked, skipped or stalled at. The caller holds g.mu.
func (g *Group) took(word string, seq uint64, deliveries int, why string) {
	g.metrics.Limited(word)
	g.unlogged++
	if at := now(); g.logged == 0 || at-g.logged >= limitLog {
		name := g.state.name.name
		g.log.Warn("A consumer's message is taken out of the way", "action", word, "channel", name.Line, "client", name.Client,
			"name", name.Name, "sequence", seq, "deliveries", deliveries, "why", why, "messages", g.unlogged)
		g.logged, g.unlogged = at, 0
	}
}
