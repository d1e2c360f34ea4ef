package consumers

import (
	"cmp"
	"slices"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Description is a consumer at one moment.
type Description struct {
	Name         stores.ConsumerName
	Queue        bool
	Durable      bool
	Exists       bool // false: only its settings or parked messages exist
	Members      []Status
	LastSent     uint64
	Unacked      int
	FirstUnacked uint64 // 0 if there is none
	Waiting      int    // part of Unacked: behind another message of their key, delayed, or about to be sent again
	Parked       int
	Backlog      Backlog
	Group        *Group // nil unless it exists
	Effective    Settings
	Stored       Settings // set at run time
	// StalledAt is the first message at which the consumer is stalled, or 0.
	StalledAt    uint64
	StalledSince time.Time
}

// List describes all consumers, sorted by name.
func (c *Consumers) List() []Description {
	c.mu.RLock()
	var all []Description
	exists := make(map[stores.ConsumerName]bool)
	for _, own := range c.lines {
		for _, g := range own.keyed {
			all = append(all, c.describe(g, g.named))
			exists[g.named.name] = true
		}
	}
	for name, n := range c.names {
		if !exists[name] && n.isStored() {
			all = append(all, c.describe(nil, n))
		}
	}
	c.mu.RUnlock()
	slices.SortFunc(all, func(a, b Description) int {
		return cmp.Or(cmp.Compare(a.Name.Line, b.Name.Line), cmp.Compare(a.Name.Client, b.Name.Client), cmp.Compare(a.Name.Name, b.Name.Name))
	})
	return all
}

// Describe describes a consumer, or returns ErrUnknownConsumer.
func (c *Consumers) Describe(name stores.ConsumerName) (Description, error) {
	g, n := c.group(name)
	if n == nil {
		return Description{}, unknown(name)
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.describe(g, n), nil
}

// describe describes what is known by a name, and its group if there is one. The caller holds c.mu.
func (c *Consumers) describe(g *Group, n *named) Description {
	d := Description{Name: n.name, Queue: n.name.Client == "", Parked: n.parkedCount(), Stored: n.settings()}
	d.Effective = c.effective(n.name, d.Stored)
	if g == nil {
		return d
	}
	d.Exists, d.Group, d.Members, d.Backlog = true, g, g.Status(), g.Backlog()
	g.mu.Lock()
	defer g.mu.Unlock()
	s := &g.state
	d.Durable, d.LastSent, d.Unacked, d.Waiting = s.durable, s.lastSent, s.unacked.len(), s.waiting.due.n
	for seq := range s.unacked.held {
		if d.FirstUnacked == 0 || seq < d.FirstUnacked {
			d.FirstUnacked = seq
		}
	}
	for seq, since := range s.stalled {
		if d.StalledAt == 0 || seq < d.StalledAt {
			d.StalledAt, d.StalledSince = seq, wall(since)
		}
	}
	return d
}
