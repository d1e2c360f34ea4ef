package server

import (
	"errors"
	"fmt"

	"github.com/nats-eventstore/nats-eventstore/server/api"
)

// Errors that clients see, with NATS Streaming's exact texts: clients compare some of them
// verbatim.
var (
	errInvalidConnect     = errors.New("stan: invalid connection request")
	errInvalidClientID    = errors.New("stan: invalid clientID: only alphanumeric and `-` or `_` characters allowed")
	errClientRegistered   = errors.New("stan: clientID already registered")
	errClientReplaced     = errors.New("client has been replaced or is no longer registered")
	errInvalidPublish     = errors.New("stan: invalid publish request")
	errInvalidSubscribe   = errors.New("stan: invalid subscription request")
	errMissingClient      = errors.New("stan: clientID missing")
	errUnknownClient      = errors.New("stan: unknown clientID")
	errInvalidAckWait     = errors.New("stan: invalid ack wait time, should be >= 1s")
	errInvalidMaxInFlight = errors.New("stan: invalid MaxInflight, should be >= 1")
	errInvalidStart       = errors.New("stan: invalid start position")
	errInvalidSubject     = errors.New("stan: invalid subject")
	errDuplicateDurable   = errors.New("stan: duplicate durable registration")
	errDurableColon       = errors.New("stan: durable name of a durable queue subscriber can't contain the character ':'")
	errInvalidUnsubscribe = errors.New("stan: invalid unsubscribe request")
	errUnknownChannel     = errors.New("stan: unknown channel")
	errInvalidSub         = errors.New("stan: invalid subscription")
	errChannelDeleted     = errors.New("stan: channel is being deleted")
	errInvalidClose       = errors.New("stan: invalid close request")
)

// Errors that clients see without the prefix "stan: ".
var (
	errTooManyChannels = refusal("too many channels")
	errTooManySubs     = refusal("too many subscriptions per channel")
)

// Errors of our own.
var (
	// errSubjectMismatch refuses a publish whose request names another channel than its
	// NATS subject, since NATS permissions were checked against the latter.
	errSubjectMismatch = errors.New("stan: invalid publish request: channel differs from the NATS subject")
	// errTooLarge refuses a message that could be published but not delivered.
	errTooLarge = fmt.Errorf("stan: message is %w", api.ErrTooLarge)
)

// refusal is an error whose text clients get as it is, without the prefix "stan: " that all others have.
type refusal string

func (r refusal) Error() string { return string(r) }
