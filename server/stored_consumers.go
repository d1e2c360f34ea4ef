package server

import (
	"context"
	"log/slog"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// StoredConsumers reads the consumers of a database as they were last saved, within 100 ms of what a server that leads knows. Their lags
// are not known. It has the errors of Reading.
func StoredConsumers(ctx context.Context, o config.Options, log *slog.Logger) ([]*eventstorev1.Consumer, error) {
	o.Store.NoMigrate, o.Store.Logger = true, log
	store, err := stores.Open(ctx, o.Store)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	follower, err := store.Follow(ctx)
	if err != nil {
		return nil, err
	}
	defer follower.Close()
	state, err := follower.State(ctx)
	if err != nil {
		return nil, err
	}
	described, err := consumers.Stored(state, o.Consumers)
	if err != nil {
		return nil, err
	}
	var all []*eventstorev1.Consumer
	for _, d := range described {
		all = append(all, api.ConsumerOf(d))
	}
	return all, nil
}
