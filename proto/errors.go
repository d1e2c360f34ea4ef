package proto

import (
	"errors"
	"strconv"

	"github.com/nats-eventstore/nats-eventstore/proto/refusal"
)

// ErrInvalid matches every InvalidError with errors.Is.
var ErrInvalid = errors.New("invalid event")

// Reasons to refuse an event that publishers may want to distinguish. All are of type *InvalidError.
var (
	// ErrNoAggregateID: aggregate_id is empty.
	ErrNoAggregateID = &InvalidError{Field: "aggregate_id", Reason: "is missing"}
	// ErrNoEventType: event_type is empty.
	ErrNoEventType = &InvalidError{Field: "event_type", Reason: "is missing"}
	// ErrVersionRange: event_version exceeds math.MaxInt64, the limit of the SQL column.
	ErrVersionRange = &InvalidError{Field: "event_version", Reason: "is out of range"}
	// ErrOccurredRange: occurred_at is not within the years 1 to 9999, or its nanoseconds are not within a second. Such a
	// google.protobuf.Timestamp has no JSON form.
	ErrOccurredRange = &InvalidError{Field: "occurred_at", Reason: "is out of range"}
	// ErrMetadataEntries: a new event has more than MaxMetadata entries of metadata, counting repeated keys.
	ErrMetadataEntries = &InvalidError{Field: "metadata", Reason: "has more than " + strconv.Itoa(MaxMetadata) + " entries"}
	// ErrErased: a new event says that it was erased, which only the server may.
	ErrErased = &InvalidError{Field: "erased", Reason: "is set by the server: leave it out"}
	// ErrTags: a new event has more than MaxTags different tags.
	ErrTags = &InvalidError{Field: fieldOfTags, Reason: "contain more than " + strconv.Itoa(MaxTags) + ": keep those that readers ask for"}
)

// InvalidError is the reason why a payload is not a valid event. Its text, meant for
// the publisher, is "invalid event: " followed by the field and the reason.
type InvalidError struct {
	// Field is the field's name in event.proto, empty if the payload does not decode.
	Field string
	// Reason completes a sentence that starts with the field.
	Reason string
}

func (e *InvalidError) Error() string {
	if e.Field == "" {
		return refusal.InvalidEvent + ": " + e.Reason
	}
	return refusal.InvalidEvent + ": " + e.Field + " " + e.Reason
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
