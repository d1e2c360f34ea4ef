package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

// apiConsumers are the consumers of a term as the API uses them.
type apiConsumers struct {
	*consumers.Consumers
	log apiLog
}

var _ api.Consumers = apiConsumers{}

// Consumers implements api.Log.
func (l apiLog) Consumers() api.Consumers { return apiConsumers{l.term.consumers, l} }

// Consumers implements api.Log: a standby has none.
func (v *view) Consumers() api.Consumers { return nil }

// Line implements api.Consumers.
func (c apiConsumers) Line(ctx context.Context, name string) (consumers.Line, error) {
	if eventlog.ValidChannel(name) || !eventlog.ValidPattern(name) {
		ch, err := c.log.Open(ctx, name)
		if err != nil {
			return nil, err
		}
		return ch.(apiChannel).Channel, nil
	}
	w, err := c.log.eventlog.Wildcard(name)
	switch {
	case !c.log.opts.Wildcards:
		return nil, fmt.Errorf("%q: %w", name, api.ErrNoWildcards)
	case err != nil:
		return nil, err
	case !w.Reaches():
		return nil, fmt.Errorf("%q: %w", name, api.ErrUnreachable)
	}
	return w, nil
}

// Join implements api.Consumers. The inboxes, which no client can listen to, are for the log and for monitoring.
func (c apiConsumers) Join(ctx context.Context, r consumers.Request) (*consumers.Member, error) {
	ctx, cancel := context.WithTimeout(ctx, c.log.opts.StoreTimeout)
	defer cancel()
	if c.log.opts.ReplaceDurables && r.DurableName != "" && r.QGroup == "" {
		if m := c.Durable(r.Line, r.Client.ID(), r.DurableName); m != nil {
			if err := c.log.term.door.Suspend(ctx, m); err != nil {
				return nil, c.failed(err)
			}
		}
	}
	r.Inbox = "grpc." + rand.Text()
	r.AckInbox = r.Inbox
	m, err := c.Consumers.Join(ctx, r, func(*consumers.Member) {})
	return m, c.failed(err)
}

// Leave implements api.Consumers.
func (c apiConsumers) Leave(ctx context.Context, m *consumers.Member) error {
	ctx, cancel := context.WithTimeout(ctx, c.log.opts.StoreTimeout)
	defer cancel()
	return c.failed(c.Consumers.Leave(ctx, m, false))
}

// MaxInflight implements api.Consumers.
func (c apiConsumers) MaxInflight() int { return c.log.opts.MaxInflight }

// failed notes an error of the store.
func (c apiConsumers) failed(err error) error {
	if err != nil && !errors.Is(err, consumers.ErrDuplicateDurable) {
		c.log.term.failed(err)
	}
	return err
}
