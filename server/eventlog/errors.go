package eventlog

import (
	"errors"

	"github.com/nats-eventstore/nats-eventstore/proto/refusal"
)

// Refusal is an error whose text clients receive as it is, without the prefix "stan: " of other errors.
type Refusal string

func (r Refusal) Error() string { return string(r) }

var (
	// ErrTooManyChannels means that the channel would exceed Limits.MaxChannels.
	ErrTooManyChannels error = Refusal(refusal.TooManyChannels)

	// ErrTooLarge means that NATS cannot carry the message to a subscriber. It is wrapped with what is too large.
	ErrTooLarge = errors.New(refusal.TooLarge)

	// ErrStopped means that the log is stopping and stored nothing.
	ErrStopped = errors.New(refusal.Stopped)

	// ErrOverloaded means that the caller gave up waiting for memory. It is wrapped with the caller's reason.
	ErrOverloaded = errors.New(refusal.Overloaded)

	// ErrChannelDeleted means that the channel was deleted after the caller obtained it.
	ErrChannelDeleted = errors.New(refusal.ChannelDeleted)
)
