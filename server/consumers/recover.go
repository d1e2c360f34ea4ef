package consumers

import (
	"context"
	"fmt"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/proto/refusal"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Recover restores the stored groups and returns their active members. It converts groups that NATS Streaming or an
// earlier release wrote. client returns the registered client of a subscription, or nil. Call Recover before Run.
func (c *Consumers) Recover(ctx context.Context, state *stores.State, client func(*spb.SubState) Client) ([]*Member, error) {
	c.recoverNames(state.Named)
	for _, it := range state.Cancelled {
		c.cancelled.add(it.Channel.Name(), it.Seq)
	}
	var active []*Member
	for i := range state.Channels {
		stored := &state.Channels[i]
		ch := c.eventlog.Channel(stored.Channel.Name())
		if ch == nil {
			continue // out of service
		}
		for _, consumer := range stored.Consumers {
			active = append(active, c.recover(ch, consumer, client)...)
		}
	}
	if n := len(state.Wildcards); n > 0 && !c.opts.Wildcards {
		c.log.Warn("Subscriptions to patterns of channels wait: wildcards is off", "groups", n)
	} else {
		for _, w := range state.Wildcards {
			line, err := c.eventlog.Wildcard(w.Pattern)
			if err != nil {
				c.log.Error("A stored subscription is out of service", "pattern", w.Pattern, "error", err)
				continue
			}
			active = append(active, c.recover(line, w.Consumer, client)...)
		}
	}
	if err := c.positions.flush(ctx); err != nil {
		return nil, fmt.Errorf("recover subscriptions: %w", err)
	}
	return active, nil
}

// recover restores one group and returns its active members.
func (c *Consumers) recover(l Line, stored *stores.Consumer, client func(*spb.SubState) Client) []*Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := Key{}
	if len(stored.Members) > 0 {
		key = keyOf(stored.Members[0])
	}
	own := c.of(l)
	if stored.Damaged != nil {
		if key != (Key{}) { // other groups cannot be named
			own.refused[key] = fmt.Errorf("the subscription %s: %w", refusal.OutOfService, stored.Damaged)
		}
		return nil
	}
	g := c.newGroup(l, key)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state.recover(stored, now(), client, func(cl Client) *Member { return &Member{group: g, client: cl} })
	for _, m := range g.state.all() {
		m.state.MaxInFlight = min(m.state.MaxInFlight, int32(c.opts.MaxInflight))
	}
	g.touch()
	if g.state.ended {
		return nil
	}
	own.attach(g)
	for _, m := range g.state.members {
		c.index(m)
	}
	return append([]*Member(nil), g.state.members...)
}

// keyOf returns the key of a stored subscription's group.
func keyOf(st *spb.SubState) Key {
	if st.QGroup == "" && st.DurableName != "" {
		return Key{Client: st.ClientID, Durable: st.DurableName}
	}
	return Key{Queue: st.QGroup}
}
