package eventstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"connectrpc.com/connect"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

var (
	// ErrNotFound is returned for an event that the store does not hold.
	ErrNotFound = errors.New("event not found")
	// ErrDuplicate is returned by Append if some of the events' IDs are stored already, with other content or as part of
	// another append.
	ErrDuplicate = errors.New("event_id is already stored")
	// ErrUnknownType is returned for an event whose type, or whose data's Go type, the Registry does not know.
	ErrUnknownType = errors.New("unknown event type")
	// ErrGap is returned by a Projector or Reactor whose source leaves out events, or whose checkpoint somebody changed.
	ErrGap = errors.New("events do not follow on the checkpoint")
	// ErrStop ends a replay without an error, when the function that the replay calls returns it.
	ErrStop = errors.New("stop")
)

// ConflictError says that an aggregate is not at the version that an append expected. Nothing was stored.
type ConflictError struct {
	Channel, AggregateType, AggregateID string
	Current                             uint64 // version of its last event, 0 if it has none
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("aggregate %q of channel %q is at version %d, which is not what was expected", e.AggregateID, e.Channel, e.Current)
}

// clientError makes an error of the API one of this package, where it has one.
func clientError(err error) error {
	var failed *connect.Error
	if !errors.As(err, &failed) {
		return err
	}
	for _, detail := range failed.Details() {
		message, invalid := detail.Value()
		if conflict, ok := message.(*eventstorev1.VersionConflict); invalid == nil && ok {
			return &ConflictError{
				Channel: conflict.GetChannel(), AggregateType: conflict.GetAggregateType(), AggregateID: conflict.GetAggregateId(),
				Current: conflict.GetCurrentVersion(),
			}
		}
	}
	switch failed.Code() {
	case connect.CodeNotFound:
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case connect.CodeAlreadyExists:
		return fmt.Errorf("%w: %w", ErrDuplicate, err)
	}
	return err
}

// transient says whether a call may succeed when it is made again, perhaps to another server. It may have succeeded
// already.
func transient(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	switch connect.CodeOf(err) {
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded:
		return true
	}
	var network net.Error
	var broken *brokenError
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network) || errors.As(err, &broken)
}

// stopped returns nil for ErrStop.
func stopped(err error) error {
	if errors.Is(err, ErrStop) {
		return nil
	}
	return err
}
