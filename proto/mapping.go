package proto

import (
	"bytes"
	"fmt"
	"reflect"
)

// MappingConfig configures where a payload that is not an eventstore.v1.Event holds the values of the event columns. All
// fields but Format, DescriptorSet and Message are sources. A column with an empty source stays empty.
//
// In a protobuf message, a source is one of
//
//	order.id              a field, by the names of the .proto file, through nested messages
//	= OrderPlaced         the text after the sign, for all events
//	$message              the message itself: for EventData its content, otherwise its name without the package
//	oneof:payload         the member of a oneof that is set: for EventData its content, otherwise its name
//	oneof_type:payload    the name of that member's message type without the package
//
// In JSON, a source is one of
//
//	$.order.id            a member, through nested objects
//	= OrderPlaced         the text after the sign, for all events
//	$                     the whole payload; for EventData
//
// docs/reference/events.md specifies the text form of identifiers and the JSON form of messages.
type MappingConfig struct {
	Format string // FormatProtobuf (default), FormatJSON or FormatCloudEvents

	DescriptorSet string // name of a file with a google.protobuf.FileDescriptorSet, including imports
	Message       string // full name of the payload's message type

	AggregateID   string // required
	EventType     string // required
	AggregateType string
	EventID       string
	EventVersion  string // an integer
	EventData     string // in protobuf $message, or a field or oneof: of type message, bytes or string
	Metadata      string // in protobuf a field that is a message or a map of scalars, in JSON an object
	OccurredAt    string // an RFC 3339 timestamp; only in JSON

	// Tags are texts with sources in braces, such as "customer:{customer.id}", sources alone, or constants. A source of tags
	// may be a list, or be in lists: each element makes a tag. A payload without a value at a source lacks that tag.
	Tags []string
}

// IsZero reports whether nothing is configured.
func (c *MappingConfig) IsZero() bool { return reflect.ValueOf(*c).IsZero() }

// Formats of payloads.
const (
	FormatProtobuf    = "protobuf"
	FormatJSON        = "json"
	FormatCloudEvents = "cloudevents" // 1.0, in JSON or protobuf; sources are those of JSON, and none is required
)

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

// source returns the configured source of a column.
func (c *MappingConfig) source(of column) string {
	return [columns]string{
		columnID: c.EventID, columnType: c.EventType,
		columnAggregateID: c.AggregateID, columnAggregateType: c.AggregateType,
		columnVersion: c.EventVersion, columnData: c.EventData, columnMetadata: c.Metadata,
	}[of]
}

// Mapping reads events from payloads of one format. The nil *Mapping reads eventstore.v1.Event. A Mapping is safe for
// concurrent use.
type Mapping struct{ format }

// format reads and compares payloads.
type format interface {
	extract(payload []byte, limit bounds) (Event, error)
	// appendVersion returns a copy of payload with an assigned version, or payload itself if it has no place for one.
	appendVersion(payload []byte, version uint64) []byte
	// growth is the most that appendVersion adds, in bytes.
	growth() int
	// copiesVersion reports whether appendVersion changes what other columns hold.
	copiesVersion() bool
	// sameEvent compares payloads that differ in their bytes.
	sameEvent(a, b []byte) bool
	// tombstone returns what replaces payload: see Tombstone.
	tombstone(payload []byte, by Erasure) []byte
}

// NewMapping compiles a mapping. Its error names the invalid setting.
func NewMapping(cfg MappingConfig) (*Mapping, error) {
	var (
		f   format
		err error
	)
	switch cfg.Format {
	case "", FormatProtobuf:
		f, err = newMessages(cfg)
	case FormatJSON:
		f, err = newObjects(cfg)
	case FormatCloudEvents:
		f, err = newCloudEvents(cfg)
	default:
		err = fmt.Errorf("format: %q must be %s, %s or %s", cfg.Format, FormatProtobuf, FormatJSON, FormatCloudEvents)
	}
	if err != nil {
		return nil, err
	}
	return &Mapping{f}, nil
}

// Extract reads the event in payload. For eventstore.v1.Event it is the function Extract.
//
// The error is an *InvalidError, for the same reasons as in the function Extract, or because metadata has no JSON form.
func (m *Mapping) Extract(payload []byte) (Event, error) { return m.read(payload, stored) }

// ExtractNew is Extract for a payload that is not stored yet. The error can also be ErrMetadataEntries or about tags.
func (m *Mapping) ExtractNew(payload []byte) (Event, error) { return m.read(payload, published) }

func (m *Mapping) read(payload []byte, limit bounds) (Event, error) {
	if m == nil {
		ev, err := extract(payload, limit)
		return ev, explainJSON(err, payload, "eventstore.v1.Event")
	}
	return m.extract(payload, limit)
}

// AppendVersion returns a copy of payload with the version that the server assigned, as the function AppendVersion
// does. It returns payload itself if the payload has no place for the version: only the column has it.
func (m *Mapping) AppendVersion(payload []byte, version uint64) []byte {
	if m == nil {
		return AppendVersion(payload, version)
	}
	return m.appendVersion(payload, version)
}

// Assign is AppendVersion with the event in the returned payload. That is ev, unless event_data or metadata contain the
// version.
func (m *Mapping) Assign(payload []byte, ev *Event, version uint64) ([]byte, *Event) {
	assigned := m.AppendVersion(payload, version)
	if m == nil || !m.copiesVersion() || bytes.Equal(assigned, payload) {
		return assigned, ev
	}
	changed, err := m.Extract(assigned)
	if err != nil {
		return payload, ev // the version exceeds a bound; only the column has it
	}
	return assigned, &changed
}

// Growth is the most that AppendVersion adds to a payload, in bytes.
func (m *Mapping) Growth() int {
	if m == nil {
		return versionField
	}
	return m.growth()
}

// SameEvent reports whether two payloads are the same event, as the function SameEvent does: all values are equal,
// except for an event_version that one of them leaves to the server.
func (m *Mapping) SameEvent(a, b []byte) bool {
	switch {
	case m == nil:
		return SameEvent(a, b)
	case bytes.Equal(a, b):
		return true
	}
	return m.sameEvent(a, b)
}
