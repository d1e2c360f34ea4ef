package proto

import (
	"errors"
	"strconv"
)

// ErrInvalid matches, with errors.Is, every error that Extract returns.
var ErrInvalid = errors.New("invalid event")

// The reasons that a publisher's code may want to tell apart. All are *InvalidError.
var (
	// ErrNoAggregateID: the event names no aggregate.
	ErrNoAggregateID = &InvalidError{Field: "aggregate_id", Reason: "is missing"}
	// ErrNoEventType: the event does not say what happened.
	ErrNoEventType = &InvalidError{Field: "event_type", Reason: "is missing"}
	// ErrVersionRange: event_version exceeds math.MaxInt64, which no SQL column holds.
	ErrVersionRange = &InvalidError{Field: "event_version", Reason: "is out of range"}
	// ErrOccurredRange: occurred_at is no google.protobuf.Timestamp: not within the years 1 to 9999, or with nanoseconds of
	// more than a second. It could not be shown as JSON.
	ErrOccurredRange = &InvalidError{Field: "occurred_at", Reason: "is out of range"}
	// ErrMetadataEntries: a new event has more than MaxMetadata entries of metadata, those that have the same key included.
	ErrMetadataEntries = &InvalidError{Field: "metadata", Reason: "has more than " + strconv.Itoa(MaxMetadata) + " entries"}
)

// InvalidError says why a payload is no event that can be stored. Its text is
// "invalid event: ", the field and the reason; it is meant for the publisher.
type InvalidError struct {
	// Field is the field's name in event.proto, empty if the payload does not decode.
	Field string
	// Reason continues a sentence that begins with the field.
	Reason string
}

func (e *InvalidError) Error() string {
	if e.Field == "" {
		return "invalid event: " + e.Reason
	}
	return "invalid event: " + e.Field + " " + e.Reason
}

// Is makes every InvalidError match ErrInvalid.
func (e *InvalidError) Is(target error) bool { return target == ErrInvalid }

func errNotUTF8(field string) error {
	return &InvalidError{Field: field, Reason: "is not valid UTF-8"}
}

func errNUL(field string) error {
	return &InvalidError{Field: field, Reason: "contains a NUL byte"}
}

func errTooLong(field string, limit int) error {
	return &InvalidError{Field: field, Reason: "is longer than " + strconv.Itoa(limit) + " bytes"}
}
