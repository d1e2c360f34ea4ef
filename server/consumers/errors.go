package consumers

import (
	"errors"

	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

var (
	// ErrDuplicateDurable means that the durable has an active subscription already.
	ErrDuplicateDurable = errors.New("stan: duplicate durable registration")

	// ErrTooManySubs means that the channel has as many subscriptions as its limit allows.
	ErrTooManySubs error = eventlog.Refusal("too many subscriptions per channel")

	// ErrChannelDeleted means that the channel is being deleted.
	ErrChannelDeleted = errors.New("stan: channel is being deleted")

	// errStopped means that nothing is written any more.
	errStopped = errors.New("the server is stopping")
)
