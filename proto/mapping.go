package proto

import (
	"bytes"
	"math"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// MappingConfig configures where a message of the application's own type holds the values of the event columns.
// DescriptorSet and Message name the type. All other fields are sources. A column with an empty source stays empty.
//
// A source is one of
//
//	order.id              a field, by the names of the .proto file, through nested messages
//	= OrderPlaced         the text after the sign, for all events
//	$message              the message itself: for EventData its content, otherwise its name without the package
//	oneof:payload         the member of a oneof that is set: for EventData its content, otherwise its name
//	oneof_type:payload    the name of that member's message type without the package
//
// docs/events.md specifies the text form of identifiers and the JSON form of messages.
type MappingConfig struct {
	DescriptorSet string // name of a file with a google.protobuf.FileDescriptorSet, including imports
	Message       string // full name of the payload's message type

	AggregateID   string // a field or a text; required
	EventType     string // any source; required
	AggregateType string // any source
	EventID       string // a field
	EventVersion  string // an integer field
	EventData     string // $message, or a field or oneof: of type message, bytes or string
	Metadata      string // a field that is a message or a map of scalars
}

// column is a column that a mapping fills.
type column int

const (
	columnID column = iota
	columnType
	columnAggregateID
	columnAggregateType
	columnVersion
	columnData
	columnMetadata
	columns
)

var columnNames = [columns]string{
	columnID:            "event_id",
	columnType:          "event_type",
	columnAggregateID:   "aggregate_id",
	columnAggregateType: "aggregate_type",
	columnVersion:       "event_version",
	columnData:          "event_data",
	columnMetadata:      "metadata",
}

// Mapping reads events from payloads of one message type. The nil *Mapping reads eventstore.v1.Event. A Mapping is
// safe for concurrent use.
type Mapping struct {
	message protoreflect.MessageDescriptor
	types   *dynamicpb.Types
	sources [columns]source
	root    *step // nil if no source reads a field

	hasRequired bool // the message can contain a required field (proto2)
	hasAny      bool // the message can contain a google.protobuf.Any
}

// NewMapping compiles a mapping. Its error names the invalid setting.
func NewMapping(cfg MappingConfig) (*Mapping, error) {
	message, types, err := findMessage(cfg.DescriptorSet, cfg.Message)
	if err != nil {
		return nil, err
	}
	return compile(message, types, cfg)
}

// Extract reads the event in payload. For eventstore.v1.Event it is the function Extract. For another message type it
// scans the wire format for the sources. It accepts what proto.Unmarshal accepts, up to a nesting depth of 100 and
// maxFields fields. Event data that is a message becomes JSON.
//
// The error is an *InvalidError, for the same reasons as in the function Extract, or because metadata has no JSON form.
func (m *Mapping) Extract(payload []byte) (Event, error) { return m.extract(payload, math.MaxInt) }

// ExtractNew is Extract for a payload that is not stored yet. The error can also be ErrMetadataEntries.
func (m *Mapping) ExtractNew(payload []byte) (Event, error) { return m.extract(payload, MaxMetadata) }

func (m *Mapping) extract(payload []byte, maxMetadata int) (Event, error) {
	if m == nil {
		return extract(payload, maxMetadata)
	}
	s := scanner{payload: payload, name: m.message.FullName(), left: maxFields, maxEntries: maxMetadata}
	if err := s.message(payload, m.message, m.root, 1); err != nil {
		return Event{}, err
	}
	if m.hasRequired {
		msg := dynamicpb.NewMessage(m.message)
		if err := unmarshalOptions.Unmarshal(payload, msg); err != nil {
			return Event{}, s.invalid(err.Error())
		}
		if err := proto.CheckInitialized(msg); err != nil {
			return Event{}, s.invalid("a required field is missing")
		}
	}
	var (
		ev  Event
		err error
	)
	if ev.AggregateID, err = m.identifier(&s, columnAggregateID); err != nil {
		return Event{}, err
	}
	if ev.Type, err = m.identifier(&s, columnType); err != nil {
		return Event{}, err
	}
	switch {
	case ev.AggregateID == "":
		return Event{}, ErrNoAggregateID
	case ev.Type == "":
		return Event{}, ErrNoEventType
	}
	if ev.Version, err = m.version(&s); err != nil {
		return Event{}, err
	}
	if ev.ID, err = m.identifier(&s, columnID); err != nil {
		return Event{}, err
	}
	if ev.AggregateType, err = m.identifier(&s, columnAggregateType); err != nil {
		return Event{}, err
	}
	if ev.Metadata, err = m.metadata(&s); err != nil {
		return Event{}, err
	}
	m.data(&s, &ev)
	return ev, nil
}

// AppendVersion returns a copy of payload with the version that the server assigned, as the function AppendVersion
// does. It returns payload itself if the version cannot be appended: event_version has no source, is in a nested
// message or a oneof, or its type is too small.
func (m *Mapping) AppendVersion(payload []byte, version uint64) []byte {
	if m == nil {
		return AppendVersion(payload, version)
	}
	src := m.sources[columnVersion]
	if len(src.path) != 1 || inOneof(src.path[0]) {
		return payload
	}
	out := make([]byte, len(payload), len(payload)+integerField)
	copy(out, payload)
	out, ok := appendInteger(out, src.path[0], version)
	if !ok {
		return payload
	}
	return out
}

// SameEvent reports whether two payloads are the same event, as the function SameEvent does: all fields are equal,
// except for an event_version that one of them leaves to the server.
func (m *Mapping) SameEvent(a, b []byte) bool {
	switch {
	case m == nil:
		return SameEvent(a, b)
	case bytes.Equal(a, b):
		return true
	}
	x, y := dynamicpb.NewMessage(m.message), dynamicpb.NewMessage(m.message)
	for _, p := range []struct {
		payload []byte
		to      *dynamicpb.Message
	}{{a, x}, {b, y}} {
		// The bounds apply to both payloads: other programs can write to the database.
		s := scanner{payload: p.payload, name: m.message.FullName(), left: maxFields, maxEntries: math.MaxInt}
		if s.message(p.payload, m.message, nil, 1) != nil || unmarshalOptions.Unmarshal(p.payload, p.to) != nil {
			return false
		}
	}
	path := m.sources[columnVersion].path
	if len(path) > 0 && (unversioned(x, path) || unversioned(y, path)) {
		clearField(x, path)
		clearField(y, path)
	}
	return proto.Equal(x, y)
}

// unversioned reports whether the integer at path is absent or 0.
func unversioned(m protoreflect.Message, path []protoreflect.FieldDescriptor) bool {
	last := len(path) - 1
	for _, fd := range path[:last] {
		m = m.Get(fd).Message()
	}
	if !m.Has(path[last]) {
		return true
	}
	switch v := m.Get(path[last]).Interface().(type) {
	case int32:
		return v == 0
	case int64:
		return v == 0
	case uint32:
		return v == 0
	case uint64:
		return v == 0
	}
	return false
}

func clearField(m protoreflect.Message, path []protoreflect.FieldDescriptor) {
	last := len(path) - 1
	for _, fd := range path[:last] {
		if !m.Has(fd) {
			return
		}
		m = m.Mutable(fd).Message()
	}
	m.Clear(path[last])
}

// inOneof reports whether setting the field unsets others.
func inOneof(fd protoreflect.FieldDescriptor) bool {
	o := fd.ContainingOneof()
	return o != nil && !o.IsSynthetic()
}

// unmarshalOptions apply to all messages that this package builds, after a scanner has checked their bounds. The empty
// Resolver keeps extensions (proto2) unknown, as in the scanner.
var unmarshalOptions = proto.UnmarshalOptions{AllowPartial: true, RecursionLimit: maxDepth, Resolver: new(protoregistry.Types)}
