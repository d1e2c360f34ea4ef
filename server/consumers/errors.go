package consumers

import (
	"errors"

	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

var (
	// ErrDuplicateDurable means that the durable already has an active subscription.
	ErrDuplicateDurable = errors.New("stan: duplicate durable registration")

	// ErrTooManySubs means that the channel has reached its limit of subscriptions.
	ErrTooManySubs error = eventlog.Refusal("too many subscriptions per channel")

	// ErrChannelDeleted means that the channel is being deleted.
	ErrChannelDeleted = errors.New("stan: channel is being deleted")

	// ErrStopped means that positions no longer writes.
	ErrStopped = errors.New("the server is stopping")
)
