package consumers

import (
	"context"
	"iter"
	"maps"

	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// lookUp returns the stored messages among sequences, ready to be sent.
func (g *Group) lookUp(ctx context.Context, seqs []uint64) (map[uint64]stores.Message, error) {
	found, err := g.line.Lookup(ctx, seqs)
	if err == nil {
		err = g.warm(ctx, maps.Values(found))
	}
	return found, err
}

// warm reads the keys of messages whose encrypted values clients of NATS Streaming get decrypted. It is called without g.mu; plain
// then finds the keys in memory.
func (g *Group) warm(ctx context.Context, msgs iter.Seq[stores.Message]) error {
	if !g.decrypts {
		return nil
	}
	byChannel := map[*eventlog.Channel][]stores.Message{}
	for m := range msgs {
		if ch := g.line.Origin(&m); ch != nil {
			byChannel[ch] = append(byChannel[ch], m)
		}
	}
	for ch, some := range byChannel {
		if err := ch.Warm(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

// plain returns a message, encoded as data, as clients of NATS Streaming get it. It returns false if the keys left memory meanwhile.
func (g *Group) plain(msg *stores.Message, data []byte) ([]byte, bool) {
	if !g.decrypts {
		return data, true
	}
	ch := g.line.Origin(msg)
	if ch == nil {
		return data, true
	}
	return ch.Plain(data)
}
