package monitor

import (
	"errors"
	"slices"

	"connectrpc.com/connect"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/server/stan"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Kinds of errors that more than errorKinds decides.
const (
	kindUnavailable    = "unavailable"
	kindOutcomeUnknown = "outcome_unknown"
	kindFenced         = "fenced"
	kindRefused        = "refused"
	kindInvalidRequest = "invalid_request"
	kindTooLarge       = "too_large"
	kindWrongVersion   = "wrong_version"
	kindChannelDeleted = "channel_deleted"
	kindOther          = "other"
)

// errorKinds maps errors to the kinds of errors_total. The first match decides.
var errorKinds = []struct {
	err  error
	kind string
}{
	{stores.ErrOutcomeUnknown, kindOutcomeUnknown},
	{stores.ErrFenced, kindFenced},
	{stores.ErrUnavailable, kindUnavailable},
	{stores.ErrDuplicateEvent, "duplicate_event"},
	{stores.ErrPartlyStored, "duplicate_event"},
	{stores.ErrRefused, kindRefused},
	{proto.ErrInvalid, "invalid_event"},
	{stan.ErrSubjectMismatch, "subject_mismatch"},
	{stan.ErrNotInbox, "not_inbox"},
	{stan.ErrPermission, "permissions"},
	{api.ErrDenied, "permissions"},
	{api.ErrTooManyCalls, "limit"},
	{eventlog.ErrTooLarge, kindTooLarge},
	{eventlog.ErrOverloaded, kindUnavailable},
	{eventlog.ErrStopped, kindUnavailable},
	{stan.ErrInvalidConnect, kindInvalidRequest},
	{stan.ErrInvalidClientID, kindInvalidRequest},
	{stan.ErrInvalidPublish, kindInvalidRequest},
	{stan.ErrInvalidSubscribe, kindInvalidRequest},
	{stan.ErrInvalidAckWait, kindInvalidRequest},
	{stan.ErrInvalidMaxInFlight, kindInvalidRequest},
	{stan.ErrInvalidStart, kindInvalidRequest},
	{stan.ErrInvalidSubject, kindInvalidRequest},
	{stan.ErrDurableColon, kindInvalidRequest},
	{stan.ErrInvalidUnsubscribe, kindInvalidRequest},
	{stan.ErrInvalidClose, kindInvalidRequest},
	{api.ErrInvalidChannel, kindInvalidRequest},
	{stan.ErrMissingClient, "unknown_client"},
	{stan.ErrUnknownClient, "unknown_client"},
	{stan.ErrClientRegistered, "client_registered"},
	{stan.ErrClientReplaced, "client_replaced"},
	{eventlog.ErrTooManyChannels, "limit"},
	{consumers.ErrTooManySubs, "limit"},
	{consumers.ErrChannelDeleted, kindChannelDeleted},
	{eventlog.ErrChannelDeleted, kindChannelDeleted},
	{consumers.ErrDuplicateDurable, "duplicate_durable"},
	{consumers.ErrStopped, kindUnavailable},
	{consumers.ErrActiveMembers, "active_members"},
	{consumers.ErrNoSubscription, "no_subscription"},
	{consumers.ErrInvalidSettings, kindInvalidRequest},
	{consumers.ErrInvalidPosition, kindInvalidRequest},
	{stan.ErrUnknownChannel, "unknown_subscription"},
	{stan.ErrInvalidSub, "unknown_subscription"},
	{api.ErrUnknownChannel, "unknown_channel"},
	{api.ErrNoEventChannel, "not_event_channel"},
	{api.ErrUnreachable, "not_event_channel"},
	{api.ErrNoWildcards, kindInvalidRequest},
	{api.ErrStandby, kindUnavailable},
}

// codeKinds are the kinds of what the API refuses without an error of errorKinds.
var codeKinds = map[connect.Code]string{
	connect.CodeInvalidArgument:   kindInvalidRequest,
	connect.CodeResourceExhausted: kindTooLarge,
	connect.CodeUnavailable:       kindUnavailable,
	connect.CodeUnauthenticated:   "unauthenticated",
}

func errorKind(err error) string {
	var version *stores.VersionError
	var expectation *stores.ExpectationError
	switch {
	case errors.As(err, &version), errors.As(err, &expectation):
		return kindWrongVersion
	case errors.Is(err, stores.ErrUnknownChannel): // the message's channel no longer exists
		return kindChannelDeleted
	}
	for _, it := range errorKinds {
		if errors.Is(err, it.err) {
			return it.kind
		}
	}
	var refused *connect.Error
	if errors.As(err, &refused) && codeKinds[refused.Code()] != "" {
		return codeKinds[refused.Code()]
	}
	return kindOther
}

// isOutage reports whether errors of the kind are not about the request: what is wrong has its own line in the log.
func isOutage(kind string) bool {
	return kind == kindUnavailable || kind == kindOutcomeUnknown || kind == kindFenced
}

// errorSeries are the kinds of each operation. Their series of errors_total exist from the start: increase() of
// Prometheus does not see the first error of a series that begins with it.
var errorSeries = func() map[string][]string {
	database := []string{kindUnavailable, kindOutcomeUnknown, kindFenced, kindRefused, kindOther}
	event := []string{kindInvalidRequest, "invalid_event", kindWrongVersion, "duplicate_event", kindTooLarge, kindChannelDeleted}
	door := []string{"unauthenticated", "permissions", "limit"}
	return map[string][]string{
		"delivery":  database,
		"progress":  database,
		"retention": database,
		"lease":     database,
		"head":      database,

		"publish": slices.Concat(database, event, []string{"subject_mismatch", "limit"}),
		"connect": slices.Concat(database, []string{kindInvalidRequest, "not_inbox", "client_registered"}),
		"subscription": slices.Concat(database, []string{
			kindInvalidRequest, "not_inbox", "permissions", "unknown_client", "unknown_subscription", "duplicate_durable", "limit", kindChannelDeleted,
		}),
		"close": slices.Concat(database, []string{kindInvalidRequest, "permissions", "unknown_client"}),
		"ping":  {"client_replaced"},

		"append":    slices.Concat(database, event, door, []string{"not_event_channel"}),
		"read":      slices.Concat(database, door, []string{kindInvalidRequest, kindTooLarge, "unknown_channel", "not_event_channel", kindChannelDeleted}),
		"subscribe": slices.Concat(database, door, []string{kindInvalidRequest, kindTooLarge, "not_event_channel", kindChannelDeleted}),
		"admin":     slices.Concat(database, door, []string{kindInvalidRequest, kindTooLarge, "active_members", "no_subscription", "unknown_channel", "not_event_channel"}),
		"request":   slices.Concat(door, []string{"not_inbox"}),
	}
}()
