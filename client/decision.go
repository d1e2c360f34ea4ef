package eventstore

import "errors"

// Decision is what becomes of an event that a Projector cannot apply.
type Decision int

// Decisions of Projector.OnError.
const (
	// Stop ends Run with the error. The next Run tries the event again.
	Stop Decision = iota
	// Skip passes the event. Nothing remembers it.
	Skip
	// Park keeps the event in the table eventstore_parked of the projection's database, and goes on with the next one. See
	// Projector.ReplayParked.
	Park
)

// SkipUnknown is a Projector.OnError that skips events of types that the Registry does not know, and stops at any other error.
func SkipUnknown(_ *Event, err error) Decision {
	if errors.Is(err, ErrUnknownType) {
		return Skip
	}
	return Stop
}
