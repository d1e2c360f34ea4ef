package eventlog

import "errors"

// Refusal is an error whose text clients get as it is, without the prefix "stan: " that all others have.
type Refusal string

func (r Refusal) Error() string { return string(r) }

var (
	// ErrTooManyChannels means that a channel would have to be created beyond Limits.MaxChannels.
	ErrTooManyChannels error = Refusal("too many channels")

	// ErrTooLarge means that NATS could not carry the message to a subscriber. It is wrapped with what is too large.
	ErrTooLarge = errors.New("too large to be delivered within the NATS max_payload")

	// ErrStopped means that the log stops: nothing was stored.
	ErrStopped = errors.New("the server is stopping")

	// ErrOverloaded means that the caller gave up waiting for memory. It is wrapped with the caller's reason.
	ErrOverloaded = errors.New("too many unanswered messages")

	// ErrChannelDeleted means that the channel was deleted after the caller got hold of it.
	ErrChannelDeleted = errors.New("channel is being deleted")
)
