package stores

import (
	"context"
	"fmt"

	"github.com/nats-io/stan.go/pb"
)

// questions are what a plan must ask the database before it may refuse a message.
type questions struct {
	events     []eventKey
	heads      []aggregate
	versions   []versionKey
	conditions []*Condition
}

func (q *questions) none() bool {
	return len(q.events)+len(q.heads)+len(q.versions)+len(q.conditions) == 0
}

// answer asks the database.
func (b *batch) answer(ctx context.Context, ask *questions) error {
	if len(ask.heads) > 0 {
		if err := b.readHeads(ctx, ask.heads); err != nil {
			return err
		}
	}
	if len(ask.versions) > 0 {
		if err := b.readVersions(ctx, ask.versions); err != nil {
			return err
		}
	}
	if err := b.readMatches(ctx, ask.conditions); err != nil {
		return err
	}
	if len(ask.events) > 0 {
		return b.readEvents(ctx, ask.events)
	}
	return nil
}

// fillHeads loads the last versions of the aggregates of items, with one query for those not in memory. A channel that
// never had a message has no aggregates, so a burst of new channels asks nothing.
func (b *batch) fillHeads(ctx context.Context, items []int) error {
	var missing []aggregate
	fill := func(c *Channel, key aggregate) {
		if _, ok := b.heads[key]; ok {
			return
		}
		head, ok := b.s.heads.get(key)
		if !ok && c.Info().Last > 0 {
			missing = append(missing, key)
			b.fresh[key] = true
		}
		b.heads[key] = head
	}
	for _, item := range items {
		if a := &b.appends[item]; a.Event != nil && a.Channel != nil {
			fill(a.Channel, a.aggregate())
		}
	}
	b.eachExpectation(items, fill)
	if len(missing) == 0 {
		return nil
	}
	return b.readHeads(ctx, missing)
}

// readHeads reads the last versions of aggregates from the database.
func (b *batch) readHeads(ctx context.Context, keys []aggregate) error {
	heads := make([]uint64, len(keys)) // 0 means a new aggregate
	err := b.s.retryRead(ctx, func() error {
		return b.s.dialect.heads(ctx, b.s.own, keys, func(i int, version uint64) { heads[i] = version })
	})
	if err != nil {
		for _, key := range keys {
			delete(b.heads, key) // or they would pass for new aggregates
		}
		return fmt.Errorf("look up versions of %d aggregates: %w", len(keys), err)
	}
	for i, key := range keys {
		b.heads[key] = heads[i]
		b.s.heads.put(key, heads[i])
	}
	return nil
}

// readVersions finds out which versions of aggregates are in use.
func (b *batch) readVersions(ctx context.Context, keys []versionKey) error {
	found := make([]bool, len(keys))
	err := b.s.retryRead(ctx, func() error {
		return b.s.dialect.versions(ctx, b.s.own, keys, func(i int) { found[i] = true })
	})
	if err != nil {
		return fmt.Errorf("look up %d versions: %w", len(keys), err)
	}
	for i, key := range keys {
		b.versions[key] = found[i]
	}
	return nil
}

// readEvents finds out whether the database holds events.
func (b *batch) readEvents(ctx context.Context, ids []eventKey) error {
	found := make([]*stored, len(ids))
	err := b.s.retryRead(ctx, func() error {
		return b.s.dialect.eventsByID(ctx, b.s.own, ids, func(i int, e stored) {
			var m pb.MsgProto
			if m.Unmarshal(e.payload) != nil {
				m.Data = nil // another program wrote it: it equals no event
			}
			e.payload = m.Data
			found[i] = &e
		})
	})
	if err != nil {
		return fmt.Errorf("look up %d events: %w", len(ids), err)
	}
	for i, id := range ids {
		b.known[id] = found[i]
	}
	return nil
}
