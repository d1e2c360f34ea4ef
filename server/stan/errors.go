package stan

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/proto/refusal"
	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Errors that clients see, with NATS Streaming's exact texts: clients compare some of them verbatim.
var (
	ErrInvalidConnect     = errors.New("stan: " + refusal.InvalidConnect)
	ErrInvalidClientID    = errors.New("stan: " + refusal.InvalidClientID)
	ErrClientRegistered   = errors.New("stan: " + refusal.ClientRegistered)
	ErrClientReplaced     = errors.New(refusal.ClientReplaced)
	ErrInvalidPublish     = errors.New("stan: " + refusal.InvalidPublish)
	ErrInvalidSubscribe   = errors.New("stan: " + refusal.InvalidSubscribe)
	ErrMissingClient      = errors.New("stan: " + refusal.MissingClient)
	ErrUnknownClient      = errors.New("stan: " + refusal.UnknownClient)
	ErrInvalidAckWait     = errors.New("stan: " + refusal.InvalidAckWait)
	ErrInvalidMaxInFlight = errors.New("stan: " + refusal.InvalidMaxInFlight)
	ErrInvalidStart       = errors.New("stan: " + refusal.InvalidStart)
	ErrInvalidSubject     = errors.New("stan: " + refusal.InvalidSubject)
	ErrDurableColon       = errors.New("stan: " + refusal.DurableColon)
	ErrInvalidUnsubscribe = errors.New("stan: " + refusal.InvalidUnsubscribe)
	ErrUnknownChannel     = errors.New("stan: " + refusal.UnknownChannel)
	ErrInvalidSub         = errors.New("stan: " + refusal.InvalidSub)
	ErrInvalidClose       = errors.New("stan: " + refusal.InvalidClose)
)

// ErrSubjectMismatch refuses a publish whose request names another channel than its NATS subject, since NATS checked
// permissions for the latter. It is this server's own.
var ErrSubjectMismatch = errors.New("stan: " + refusal.SubjectMismatch)

// errBusy refuses a request because too many are being handled.
var errBusy = errors.New("stan: " + refusal.Busy)

// errLongRequest refuses a request that no client library sends.
var errLongRequest = errors.New(refusal.LongRequest)

// ErrStopped means that the door is closed.
var ErrStopped = errors.New(refusal.Stopped)

// errChannelDeleted is the answer to a publish whose channel was deleted after the message was received.
var errChannelDeleted = errors.New("stan: " + refusal.ChannelDeleted)

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
