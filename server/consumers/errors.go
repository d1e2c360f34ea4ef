package consumers

import (
	"errors"

	"github.com/nats-eventstore/nats-eventstore/proto/refusal"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

var (
	// ErrDuplicateDurable means that the durable already has an active subscription.
	ErrDuplicateDurable = errors.New("stan: " + refusal.DuplicateDurable)

	// ErrTooManySubs means that the channel has reached its limit of subscriptions.
	ErrTooManySubs error = eventlog.Refusal(refusal.TooManySubs)

	// ErrChannelDeleted means that the channel is being deleted.
	ErrChannelDeleted = errors.New("stan: " + refusal.ChannelDeleted)

	// ErrStopped means that positions no longer writes.
	ErrStopped = errors.New(refusal.Stopped)
)
