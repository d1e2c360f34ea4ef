package api

import (
	"context"

	"github.com/nats-eventstore/nats-eventstore/server/access"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// unseal returns messages of a channel as the caller may see them: with the right to personal data, encrypted values are decrypted.
func (g guarded) unseal(ctx context.Context, ch Channel, msgs []stores.Message) ([]stores.Message, error) {
	if len(msgs) == 0 || !g.allows(ch.Stored().Name(), access.Personal) {
		return msgs, nil
	}
	return ch.Unseal(ctx, msgs)
}

// unsealOne is unseal for one message.
func (g guarded) unsealOne(ctx context.Context, ch Channel, m stores.Message) (stores.Message, error) {
	msgs, err := g.unseal(ctx, ch, []stores.Message{m})
	if err != nil {
		return m, err
	}
	return msgs[0], nil
}
