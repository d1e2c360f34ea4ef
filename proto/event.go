// Package proto maps the payload of a published message to the columns of an
// event. The payload is an eventstore.v1.Event or, with a Mapping, a message of the
// application's own type. Package eventstorev1 is generated from
// eventstore/v1/event.proto, which specifies eventstore.v1.Event.
package proto

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// MaxIdentifier is the maximum length of event_id, event_type, aggregate_id and
// aggregate_type in bytes.
const MaxIdentifier = 255

// MaxMetadata is the maximum number of metadata entries of a new event. An entry takes many times more space in memory and as
// JSON than in the payload.
const MaxMetadata = 10_000

// Event holds the values of the event columns of a message.
type Event struct {
	ID            string   // event_id; empty if the publisher gave none
	Type          string   // event_type, never empty
	AggregateID   string   // never empty
	AggregateType string   // may be empty
	Version       uint64   // event_version, at most math.MaxInt64; 0 lets the server assign it
	Data          []byte   // event_data: a slice of the payload, or JSON that a Mapping created
	Metadata      []byte   // JSON object of strings with sorted keys, nil if there is none; a Mapping may create any object
	Tags          []string // as published, without duplicates; see MaxTags

	// Only a Mapping sets these, which have no columns.
	Occurred    *timestamppb.Timestamp // occurred_at; may be nil
	ContentType string                 // may be empty

	// binary is the message from which a Mapping created the JSON in Data, otherwise nil.
	binary []byte
}

// Field numbers of eventstore.v1.Event.
const (
	fieldEventID       protowire.Number = 1
	fieldEventType     protowire.Number = 2
	fieldAggregateID   protowire.Number = 3
	fieldAggregateType protowire.Number = 4
	fieldEventData     protowire.Number = 5
	fieldStream        protowire.Number = 6
	fieldEventVersion  protowire.Number = 7
	fieldMetadata      protowire.Number = 8
	fieldOccurredAt    protowire.Number = 9
	fieldContentType   protowire.Number = 10
	fieldTags          protowire.Number = 11
	fieldErased        protowire.Number = 12
)

// Field numbers of google.protobuf.Timestamp.
const (
	fieldSeconds protowire.Number = 1
	fieldNanos   protowire.Number = 2
)

// Extract reads the event in payload. It scans the wire format once instead of
// building the message, and accepts exactly what proto.Unmarshal accepts.
//
// The error is an *InvalidError for one of these reasons:
//   - the payload does not decode;
//   - aggregate_id or event_type is missing;
//   - an identifier is longer than MaxIdentifier, or a metadata key than MaxJSONKey;
//   - an identifier or metadata contains a NUL byte, which SQL text and JSON cannot
//     hold;
//   - event_version exceeds math.MaxInt64;
//   - occurred_at is not a valid Timestamp.
//
// Of the tags, it leaves out those that only ExtractNew refuses: a payload may be older than the field.
func Extract(payload []byte) (Event, error) { return extract(payload, stored) }

// ExtractNew is Extract for a payload that is not stored yet. The error can also be ErrMetadataEntries, ErrErased or about tags.
func ExtractNew(payload []byte) (Event, error) { return extract(payload, published) }

// bounds are what a payload may contain, depending on whether it is stored already.
type bounds struct {
	metadata int  // maximum number of entries
	tags     bool // whether an invalid tag is an error; otherwise it is left out
	erased   bool // whether the event may say that it was erased
}

var (
	stored    = bounds{metadata: math.MaxInt, erased: true}
	published = bounds{metadata: MaxMetadata, tags: true}
)

func extract(payload []byte, limit bounds) (Event, error) {
	var (
		id, typ, aggregateID, aggregateType []byte
		ev                                  Event
		occurred                            timestamppb.Timestamp
		buffer                              [8]entry // keeps short lists of metadata on the stack
		metadata                            = buffer[:0]
		tags                                = tagSet{strict: limit.tags}
	)
	for b := payload; len(b) > 0; {
		num, wire, n := protowire.ConsumeTag(b)
		if n < 0 || num > protowire.MaxValidNumber {
			return Event{}, errMalformed("", payload, b, n)
		}
		b = b[n:]
		name := "" // set for string fields
		switch num {
		case fieldEventID:
			name = "event_id"
		case fieldEventType:
			name = "event_type"
		case fieldAggregateID:
			name = "aggregate_id"
		case fieldAggregateType:
			name = "aggregate_type"
		case fieldStream:
			name = "stream"
		case fieldContentType:
			name = "content_type"
		case fieldEventVersion:
			if wire == protowire.VarintType {
				v, n := protowire.ConsumeVarint(b)
				if n < 0 {
					return Event{}, errMalformed("event_version", payload, b, n)
				}
				ev.Version = v
				b = b[n:]
				continue
			}
		}
		known := name != "" || num == fieldEventData || num == fieldMetadata || num == fieldOccurredAt || num == fieldTags || num == fieldErased
		if wire != protowire.BytesType || !known {
			// A known field with the wrong wire type counts as unknown.
			n := protowire.ConsumeFieldValue(num, wire, b)
			if n < 0 {
				return Event{}, errMalformed("field "+strconv.Itoa(int(num)), payload, b, n)
			}
			b = b[n:]
			continue
		}
		v, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return Event{}, errMalformed("field "+strconv.Itoa(int(num)), payload, b, n)
		}
		// Every occurrence must be valid, even if a later one replaces it.
		if name != "" && !utf8.Valid(v) {
			return Event{}, errNotUTF8(name)
		}
		if num == fieldTags && !utf8.Valid(v) {
			return Event{}, errTagUTF8(v)
		}
		switch num {
		case fieldEventID:
			id = v
		case fieldEventType:
			typ = v
		case fieldAggregateID:
			aggregateID = v
		case fieldAggregateType:
			aggregateType = v
		case fieldEventData:
			ev.Data = v[:len(v):len(v)] // keeps an append from writing into the payload
		case fieldMetadata:
			e, err := consumeEntry(v, payload)
			if err != nil {
				return Event{}, err
			}
			if len(metadata) >= limit.metadata {
				return Event{}, ErrMetadataEntries
			}
			metadata = append(metadata, e)
		case fieldOccurredAt:
			if err := mergeTimestamp(&occurred, v, payload); err != nil {
				return Event{}, err
			}
		case fieldTags:
			if err := tags.add(v); err != nil {
				return Event{}, err
			}
		case fieldErased:
			if !limit.erased {
				return Event{}, ErrErased
			}
		}
		b = b[n:]
	}

	switch {
	case len(aggregateID) == 0:
		return Event{}, ErrNoAggregateID
	case len(typ) == 0:
		return Event{}, ErrNoEventType
	case ev.Version > math.MaxInt64:
		return Event{}, ErrVersionRange
	case !occurred.IsValid():
		return Event{}, ErrOccurredRange
	}
	var err error
	if ev.ID, err = identifier("event_id", id); err != nil {
		return Event{}, err
	}
	if ev.Type, err = identifier("event_type", typ); err != nil {
		return Event{}, err
	}
	if ev.AggregateID, err = identifier("aggregate_id", aggregateID); err != nil {
		return Event{}, err
	}
	if ev.AggregateType, err = identifier("aggregate_type", aggregateType); err != nil {
		return Event{}, err
	}
	if ev.Metadata, err = object(metadata); err != nil {
		return Event{}, err
	}
	ev.Tags = tags.list
	return ev, nil
}

// versionField is the most that AppendVersion appends: a tag and a varint.
const versionField = 1 + 10

// AppendVersion returns a copy of payload with this event_version. It appends the
// field: in protobuf, the last occurrence of a scalar field counts.
func AppendVersion(payload []byte, version uint64) []byte {
	b := make([]byte, 0, len(payload)+versionField)
	b = append(b, payload...)
	b = protowire.AppendTag(b, fieldEventVersion, protowire.VarintType)
	return protowire.AppendVarint(b, version)
}

func identifier(field string, v []byte) (string, error) {
	if len(v) > MaxIdentifier {
		return "", errTooLong(field, MaxIdentifier)
	}
	if bytes.IndexByte(v, 0) >= 0 {
		return "", errNUL(field)
	}
	return string(v), nil
}

// mergeTimestamp merges an encoded google.protobuf.Timestamp into t, as Unmarshal
// does with repeated occurrences of a nested message.
func mergeTimestamp(t *timestamppb.Timestamp, b, payload []byte) error {
	for len(b) > 0 {
		num, wire, n := protowire.ConsumeTag(b)
		if n < 0 || num > protowire.MaxValidNumber {
			return errMalformed("occurred_at", payload, b, n)
		}
		b = b[n:]
		if wire == protowire.VarintType {
			v, _ := protowire.ConsumeVarint(b) // ConsumeFieldValue reports an error below
			switch num {
			case fieldSeconds:
				t.Seconds = int64(v)
			case fieldNanos:
				t.Nanos = int32(v)
			}
		}
		if n = protowire.ConsumeFieldValue(num, wire, b); n < 0 {
			return errMalformed("occurred_at", payload, b, n)
		}
		b = b[n:]
	}
	return nil
}

// errMalformed describes protowire's error code n at the start of rest, a suffix of
// payload. The difference of their capacities is the position.
func errMalformed(where string, payload, rest []byte, n int) error {
	why := "malformed"
	if n < 0 && errors.Is(protowire.ParseError(n), io.ErrUnexpectedEOF) {
		why = "truncated"
	}
	why += " at byte " + strconv.Itoa(cap(payload)-cap(rest))
	if where != "" {
		why = where + " is " + why
	}
	return &InvalidError{Reason: "not an eventstore.v1.Event: " + why}
}
