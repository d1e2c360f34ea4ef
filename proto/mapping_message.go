package proto

import (
	"math"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// messages reads events from payloads of one message type.
type messages struct {
	message protoreflect.MessageDescriptor
	types   *dynamicpb.Types
	sources [columns]source
	root    *step // nil if no source reads a field

	templates []tagTemplate
	tags      []source // of the templates

	hasRequired bool // the message can contain a required field (proto2)
	hasAny      bool // the message can contain a google.protobuf.Any
	whole       bool // an Any with fields that its type lacks has no JSON form
}

var _ format = (*messages)(nil)

// extract scans the wire format for the sources. It accepts what proto.Unmarshal accepts, up to a nesting depth of 100
// and maxFields fields. Event data that is a message becomes JSON.
func (m *messages) extract(payload []byte, limit bounds) (Event, error) {
	ev, err := m.read(payload, limit)
	return ev, explainJSON(err, payload, string(m.message.FullName()))
}

func (m *messages) read(payload []byte, limit bounds) (Event, error) {
	s := scanner{payload: payload, name: m.message.FullName(), left: maxFields, maxEntries: limit.metadata}
	if err := s.message(payload, m.message, m.root, 1); err != nil {
		return Event{}, err
	}
	var (
		ev   Event
		tags []tagValues
		err  error
	)
	if m.hasRequired || len(m.tags) > 0 {
		msg := dynamicpb.NewMessage(m.message)
		if err := unmarshalOptions.Unmarshal(payload, msg); err != nil {
			return Event{}, s.invalid(err.Error())
		}
		if err := proto.CheckInitialized(msg); m.hasRequired && err != nil {
			return Event{}, s.invalid("a required field is missing")
		}
		for _, src := range m.tags {
			tags = append(tags, src.tagValues(msg))
		}
	}
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
	if ev.Tags, err = tagsOf(m.templates, tags, limit.tags); err != nil {
		return Event{}, err
	}
	m.data(&s, &ev)
	return ev, nil
}

// appendVersion appends the field. It returns payload itself if event_version has no source, is in a nested message or a
// oneof, or its type is too small.
func (m *messages) appendVersion(payload []byte, version uint64) []byte {
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

func (m *messages) growth() int { return integerField }

func (m *messages) copiesVersion() bool { return m.sources[columnData].kind == sourceMessage }

func (m *messages) sameEvent(a, b []byte) bool {
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
