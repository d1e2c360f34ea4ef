package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	googleproto "google.golang.org/protobuf/proto"

	"github.com/nats-eventstore/nats-eventstore/proto"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/server/keys"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// codes maps errors without details to codes. The first match decides.
var codes = []struct {
	err  error
	code connect.Code
}{
	{eventlog.ErrOverloaded, connect.CodeResourceExhausted}, // wraps the context's error
	{context.Canceled, connect.CodeCanceled},
	{context.DeadlineExceeded, connect.CodeDeadlineExceeded},
	{ErrDenied, connect.CodePermissionDenied},
	{ErrStandby, connect.CodeUnavailable},
	{ErrBehind, connect.CodeUnavailable},
	{eventlog.ErrStopped, connect.CodeUnavailable},
	{stores.ErrFenced, connect.CodeUnavailable},
	{stores.ErrUnavailable, connect.CodeUnavailable},
	{stores.ErrClosed, connect.CodeUnavailable},
	{keys.ErrUnavailable, connect.CodeUnavailable},
	{keys.ErrLocked, connect.CodeFailedPrecondition},
	{keys.ErrUnknownSubject, connect.CodeNotFound},
	{stores.ErrUnknownChannel, connect.CodeUnavailable}, // the log has ended meanwhile
	{stores.ErrDuplicateEvent, connect.CodeAlreadyExists},
	{stores.ErrPartlyStored, connect.CodeAlreadyExists},
	{stores.ErrRefused, connect.CodeInvalidArgument},
	{stores.ErrInvalidQuery, connect.CodeInvalidArgument},
	{stores.ErrNotIndexed, connect.CodeFailedPrecondition},
	{stores.ErrBeyondEnd, connect.CodeFailedPrecondition},
	{proto.ErrInvalid, connect.CodeInvalidArgument},
	{ErrInvalidChannel, connect.CodeInvalidArgument},
	{eventlog.ErrTooLarge, connect.CodeInvalidArgument},
	{ErrUnknownChannel, connect.CodeNotFound},
	{consumers.ErrUnknownConsumer, connect.CodeNotFound},
	{consumers.ErrUnknownMessage, connect.CodeNotFound},
	{ErrUnknownClient, connect.CodeNotFound},
	{consumers.ErrActiveMembers, connect.CodeFailedPrecondition},
	{consumers.ErrNoSubscription, connect.CodeFailedPrecondition},
	{consumers.ErrInvalidPosition, connect.CodeInvalidArgument},
	{consumers.ErrInvalidSettings, connect.CodeInvalidArgument},
	{eventlog.ErrNothingToErase, connect.CodeNotFound},
	{eventlog.ErrNotAnEvent, connect.CodeFailedPrecondition},
	{ErrNoEventChannel, connect.CodeFailedPrecondition},
	{ErrChannelRefused, connect.CodeFailedPrecondition},
	{ErrNoWildcards, connect.CodeFailedPrecondition},
	{ErrUnreachable, connect.CodeFailedPrecondition},
	{ErrRemoved, connect.CodeAborted},
	{consumers.ErrDuplicateDurable, connect.CodeAlreadyExists},
	{consumers.ErrTooManySubs, connect.CodeResourceExhausted},
	{consumers.ErrChannelDeleted, connect.CodeUnavailable},
	{consumers.ErrStopped, connect.CodeUnavailable},
}

// status gives an error its code, unless it has one.
func status(err error) error {
	var already *connect.Error
	if err == nil || errors.As(err, &already) {
		return err
	}
	for _, it := range codes {
		if errors.Is(err, it.err) {
			return connect.NewError(it.code, err)
		}
	}
	return connect.NewError(connect.CodeInternal, err)
}

func invalid(format string, args ...any) error {
	return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf(format, args...))
}

// appendStatus is status for appends: a version conflict carries its details.
func appendStatus(channel string, err error) error {
	var unexpected *stores.ExpectationError
	var version *stores.VersionError
	var condition *stores.ConditionError
	conflict := &eventstorev1.VersionConflict{Channel: channel}
	switch {
	case errors.As(err, &condition):
		return aborted(err, &eventstorev1.ConditionConflict{Condition: uint32(condition.Number - 1), Position: condition.Position})
	case errors.As(err, &unexpected):
		if unexpected.Channel != nil {
			conflict.Channel = unexpected.Channel.Name()
		}
		conflict.AggregateType, conflict.AggregateId = unexpected.AggregateType, unexpected.AggregateID
		conflict.CurrentVersion = unexpected.Head
		conflict.Expected = &eventstorev1.Expectation{State: stateOf(unexpected.State), Version: unexpected.Version}
	case errors.As(err, &version):
		conflict.AggregateType, conflict.AggregateId = version.AggregateType, version.Aggregate
		conflict.CurrentVersion = version.Head
		conflict.Channel = cmp.Or(version.Channel, channel)
		conflict.Expected = &eventstorev1.Expectation{State: eventstorev1.Expectation_STATE_NONE}
		if version.Version > 1 {
			conflict.Expected.State, conflict.Expected.Version = eventstorev1.Expectation_STATE_VERSION, version.Version-1
		}
	default:
		return status(err) // nil stays nil
	}
	conflict.Expected.AggregateType, conflict.Expected.AggregateId = conflict.AggregateType, conflict.AggregateId
	return aborted(err, conflict)
}

// aborted returns an error with a detail that says why nothing was stored.
func aborted(err error, why googleproto.Message) error {
	detail, detailErr := connect.NewErrorDetail(why)
	if detailErr != nil {
		return status(detailErr)
	}
	aborted := connect.NewError(connect.CodeAborted, err)
	aborted.AddDetail(detail)
	return aborted
}

func stateOf(s stores.ExpectedState) eventstorev1.Expectation_State {
	switch s {
	case stores.ExpectNone:
		return eventstorev1.Expectation_STATE_NONE
	case stores.ExpectExists:
		return eventstorev1.Expectation_STATE_EXISTS
	}
	return eventstorev1.Expectation_STATE_VERSION
}
