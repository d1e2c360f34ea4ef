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
	// ErrNotFound means that the store does not hold the event.
	ErrNotFound = errors.New("event not found")
	// ErrDuplicate means that some of the IDs of an append are already stored, with different content or as part of
	// another append. From Execute, it means that the ID of a Command belongs to another command.
	ErrDuplicate = errors.New("event_id is already stored")
	// ErrUnknownType means that the Registry does not have the event type, the event type in this schema version, or the Go
	// type of the data. During a rolling deploy, a newer program may have stored such an event.
	ErrUnknownType = errors.New("unknown event type")
	// ErrGap means that a source of a Projector, Reactor or replay skipped events that the store has, or that another program
	// changed the checkpoint. Events that an administrator erased are not a gap.
	ErrGap = errors.New("gap in the events after the checkpoint")
	// ErrLossy means that a snapshot would lose a part of the state of an aggregate, because JSON or the Codec does not
	// encode it.
	ErrLossy = errors.New("a snapshot would lose a part of the state")
	// ErrActive means that the durable of a Consumer has an active subscription, here or by NATS Streaming.
	ErrActive = errors.New("the durable is active")
	// ErrStop ends a replay without an error: return it from the replay's handle function.
	ErrStop = errors.New("stop")
)

// ConflictError means that an aggregate was not in the state that an append expected. Nothing was stored.
type ConflictError struct {
	Channel, AggregateType, AggregateID string
	Current                             uint64 // version of its last event, 0 if it has none
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("conflict on aggregate %q of channel %q: it is at version %d", e.AggregateID, e.Channel, e.Current)
}

// ConditionError means that an event was stored after the position of a NoneAfter that matches its query. Nothing of the
// append was stored. Read the new events, and decide anew.
type ConditionError struct {
	Condition int    // index among the conditions of the append, from 0
	Position  uint64 // of the first such event
}

func (e *ConditionError) Error() string {
	return fmt.Sprintf("conflict at position %d: the event there matches the query of condition %d", e.Position, e.Condition+1)
}

// clientError converts an API error to an error of this package, if there is one for it.
func clientError(err error) error {
	var failed *connect.Error
	if !errors.As(err, &failed) {
		return err
	}
	for _, detail := range failed.Details() {
		message, invalid := detail.Value()
		if invalid != nil {
			continue
		}
		switch conflict := message.(type) {
		case *eventstorev1.VersionConflict:
			return &ConflictError{
				Channel: conflict.GetChannel(), AggregateType: conflict.GetAggregateType(), AggregateID: conflict.GetAggregateId(),
				Current: conflict.GetCurrentVersion(),
			}
		case *eventstorev1.ConditionConflict:
			return &ConditionError{Condition: int(conflict.GetCondition()), Position: conflict.GetPosition()}
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

// isTransient reports whether a retry may succeed, perhaps on another server. The failed call may have taken effect.
func isTransient(ctx context.Context, err error) bool {
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

// isEnd reports whether a call failed because its context ended, as the client or the server noticed.
func isEnd(err error) bool {
	code := connect.CodeOf(err)
	return code == connect.CodeCanceled || code == connect.CodeDeadlineExceeded
}

// ignoreStop returns nil for ErrStop.
func ignoreStop(err error) error {
	if errors.Is(err, ErrStop) {
		return nil
	}
	return err
}
