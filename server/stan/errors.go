package stan

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Errors that clients see, with NATS Streaming's exact texts: clients compare some of them verbatim.
var (
	ErrInvalidConnect     = errors.New("stan: invalid connection request")
	ErrInvalidClientID    = errors.New("stan: invalid clientID: only alphanumeric and `-` or `_` characters allowed")
	ErrClientRegistered   = errors.New("stan: clientID already registered")
	ErrClientReplaced     = errors.New("client has been replaced or is no longer registered")
	ErrInvalidPublish     = errors.New("stan: invalid publish request")
	ErrInvalidSubscribe   = errors.New("stan: invalid subscription request")
	ErrMissingClient      = errors.New("stan: clientID missing")
	ErrUnknownClient      = errors.New("stan: unknown clientID")
	ErrInvalidAckWait     = errors.New("stan: invalid ack wait time, should be >= 1s")
	ErrInvalidMaxInFlight = errors.New("stan: invalid MaxInflight, should be >= 1")
	ErrInvalidStart       = errors.New("stan: invalid start position")
	ErrInvalidSubject     = errors.New("stan: invalid subject")
	ErrDurableColon       = errors.New("stan: durable name of a durable queue subscriber can't contain the character ':'")
	ErrInvalidUnsubscribe = errors.New("stan: invalid unsubscribe request")
	ErrUnknownChannel     = errors.New("stan: unknown channel")
	ErrInvalidSub         = errors.New("stan: invalid subscription")
	ErrInvalidClose       = errors.New("stan: invalid close request")
)

// ErrSubjectMismatch refuses a publish whose request names another channel than its NATS subject, since NATS checked
// permissions for the latter. It is this server's own.
var ErrSubjectMismatch = errors.New("stan: invalid publish request: channel differs from the NATS subject")

// errBusy refuses a request because too many are being handled.
var errBusy = errors.New("stan: too many requests: try again")

// errLongRequest refuses a request that no client library sends.
var errLongRequest = errors.New("the request is too long")

// ErrStopped means that the door is closed.
var ErrStopped = errors.New("the server is stopping")

// errChannelDeleted is the answer to a publish whose channel was deleted after the message was received.
var errChannelDeleted = errors.New("stan: channel is being deleted")

// clientText is an error as clients see it: with the prefix "stan: ", unless it is one that NATS Streaming sends without.
func clientText(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, stores.ErrUnknownChannel), errors.Is(err, eventlog.ErrChannelDeleted), errors.Is(err, consumers.ErrChannelDeleted):
		return errChannelDeleted.Error()
	case errors.Is(err, ErrClientReplaced):
		return ErrClientReplaced.Error()
	case isExact(err):
		return err.Error()
	case strings.HasPrefix(err.Error(), "stan: "):
		return err.Error()
	}
	return fmt.Sprintf("stan: %v", err)
}

// isExact reports whether an error is about the request itself, not about what it leads to, and is one that NATS Streaming
// sends without a prefix.
func isExact(err error) bool {
	_, exact := err.(eventlog.Refusal) //nolint:errorlint // a wrapped one has the prefix
	return exact
}
