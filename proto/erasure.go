package proto

import (
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// Erasure is an act that replaces events by tombstones.
type Erasure struct {
	ID   uint64    // above 0
	Time time.Time // when it was requested
}

// ErasedField is the number of the field by which a tombstone in a protobuf type of the application is known: the highest that there
// is. It holds an eventstore.v1.Erased. Decoders skip it, as any field that they do not know.
const ErasedField = protowire.MaxValidNumber

// erasedMember and erasureMember mark a tombstone in JSON.
const (
	erasedMember  = "erased"
	erasureMember = "erasure"
)

// tombstoneColumns are those whose values a tombstone keeps.
var tombstoneColumns = []column{columnID, columnType, columnAggregateID, columnAggregateType, columnVersion}

// Tombstone returns what replaces the payload of an event that is erased: a payload of the same format with the identifiers, type and
// version alone, and a mark. ev is the event in payload, with its version.
//
//   - eventstore.v1.Event: field erased is set;
//   - JSON: member "erased" is an object with the number of the erasure, a text, and its time;
//   - a CloudEvent: extension "erased" is true, and "erasure" the number;
//   - another protobuf message: field ErasedField is set. Required fields (proto2) that hold something else are zero.
func (m *Mapping) Tombstone(payload []byte, ev *Event, by Erasure) []byte {
	if m == nil {
		return tombstone(ev, by)
	}
	return m.tombstone(payload, by)
}

// DataTombstone returns what replaces event_data where it stands alone: in JSON an object with the member "erased" of Tombstone, otherwise
// nothing, which is an empty message of any protobuf type.
func DataTombstone(data []byte, by Erasure) []byte {
	if !storable(data, maxDepth) {
		return nil
	}
	return append(appendMember(nil, []byte(erasedMember), by.json()), '}')
}

func (e Erasure) json() []byte {
	out := appendString([]byte(`{"erasure":`), strconv.AppendUint(nil, e.ID, 10))
	out = append(out, `,"time":`...)
	return append(appendString(out, []byte(e.Time.UTC().Format(time.RFC3339Nano))), '}')
}

func (e Erasure) message() *eventstorev1.Erased {
	return &eventstorev1.Erased{Erasure: e.ID, Time: timestamppb.New(e.Time)}
}

func tombstone(ev *Event, by Erasure) []byte {
	return encoded(&eventstorev1.Event{
		EventId: ev.ID, EventType: ev.Type, AggregateId: ev.AggregateID, AggregateType: ev.AggregateType, EventVersion: ev.Version,
		Erased: by.message(),
	})
}

func encoded(m proto.Message) []byte {
	data, err := proto.MarshalOptions{Deterministic: true, AllowPartial: true}.Marshal(m)
	if err != nil {
		panic(err) // texts are valid UTF-8, since they were extracted
	}
	return data
}

func (m *messages) tombstone(payload []byte, by Erasure) []byte {
	msg := dynamicpb.NewMessage(m.message)
	if unmarshalOptions.Unmarshal(payload, msg) != nil {
		msg = dynamicpb.NewMessage(m.message) // not reached: it was extracted
	}
	prune(msg, m.root)
	mark := protowire.AppendTag(nil, ErasedField, protowire.BytesType)
	return append(encoded(msg), protowire.AppendBytes(mark, encoded(by.message()))...)
}

// prune clears the fields of a message that are no source of a column that a tombstone keeps.
func prune(msg protoreflect.Message, st *step) {
	msg.SetUnknown(nil)
	var fields []protoreflect.FieldDescriptor
	msg.Range(func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		fields = append(fields, fd)
		return true
	})
	for _, fd := range fields {
		switch w := st.get(fd.Number()); {
		case w != nil && w.below != nil && fd.Message() != nil && !fd.IsList() && !fd.IsMap() && keeps(w.all()):
			prune(msg.Mutable(fd).Message(), w.below)
		case w != nil && keeps(w.columns):
		case w != nil && keeps(w.oneofs), fd.Cardinality() == protoreflect.Required:
			msg.Set(fd, empty(msg, fd))
		default:
			msg.Clear(fd)
		}
	}
	required := msg.Descriptor().RequiredNumbers()
	for i := range required.Len() {
		if fd := msg.Descriptor().Fields().ByNumber(required.Get(i)); !msg.Has(fd) {
			msg.Set(fd, empty(msg, fd))
		}
	}
}

// empty returns the value of a field that is set and says nothing. A message in it has its required fields.
func empty(msg protoreflect.Message, fd protoreflect.FieldDescriptor) protoreflect.Value {
	value := msg.NewField(fd)
	if fd.Message() != nil && !fd.IsList() && !fd.IsMap() {
		prune(value.Message(), nil)
	}
	return value
}

func keeps(of []column) bool {
	return slices.ContainsFunc(of, func(c column) bool { return slices.Contains(tombstoneColumns, c) })
}

func (d *documents) tombstone(payload []byte, by Erasure) []byte {
	var kept []*node
	for _, c := range tombstoneColumns {
		kept = append(kept, d.sources[c].end()...)
	}
	return d.pruned(payload, kept, []member{{[]byte(erasedMember), by.json()}})
}

// end returns the node of a source that is a member of the document.
func (src *memberSource) end() []*node {
	if len(src.names) == 0 {
		return nil
	}
	return src.nodes[len(src.nodes)-1:]
}

// pruned returns a document with the members at some nodes alone, and marks.
func (d *documents) pruned(doc []byte, kept []*node, marks []member) []byte {
	s := documentScan{doc: doc}
	if s.scan(d.root, d.nodes) != nil {
		s.found = make([]span, d.nodes) // not reached: it was extracted
	}
	var value func(n *node) []byte
	value = func(n *node) []byte {
		if at := s.found[n.index]; slices.Contains(kept, n) && at.end > 0 {
			return doc[at.start:at.end]
		}
		var out []byte
		for _, c := range n.children {
			if v := value(c); v != nil {
				out = appendMember(out, []byte(c.name), v)
			}
		}
		if n == d.root {
			for _, m := range marks {
				if n.child(m.name) == nil || value(n.child(m.name)) == nil {
					out = appendMember(out, m.name, m.value)
				}
			}
		}
		if out == nil {
			return nil
		}
		return append(out, '}')
	}
	return value(d.root)
}

// appendMember appends a member to an object that is not closed yet.
func appendMember(out, name, value []byte) []byte {
	out = append(out, "{,"[min(len(out), 1)])
	return append(append(appendString(out, name), ':'), value...)
}

func (c *cloudEvents) tombstone(payload []byte, by Erasure) []byte {
	if !isDocument(payload) {
		return c.protobufTombstone(payload, by)
	}
	kept := c.specVersion.end()
	for i := range c.required {
		kept = append(kept, c.required[i].end()...)
	}
	for _, column := range tombstoneColumns {
		kept = append(kept, c.sources[column].end()...)
	}
	return c.pruned(payload, kept, []member{
		{[]byte(erasedMember), []byte("true")},
		{[]byte(erasureMember), appendString(nil, strconv.AppendUint(nil, by.ID, 10))},
	})
}

// protobufTombstone keeps the required fields, and the attributes that are sources. A source in the data has no value afterwards.
func (c *cloudEvents) protobufTombstone(payload []byte, by Erasure) []byte {
	names := map[string]bool{}
	for _, column := range tombstoneColumns {
		if src := &c.sources[column]; len(src.names) == 1 {
			names[src.names[0]] = true
		}
	}
	p := cloudProtobuf{payload: payload, maxAttributes: len(payload)}
	var out []byte
	err := p.fields(payload, func(num protowire.Number, v value, wire protowire.Type) error {
		switch {
		case wire != protowire.BytesType:
		case num >= cloudID && num <= cloudType:
			out = protowire.AppendBytes(protowire.AppendTag(out, num, wire), v.bytes)
		case num == cloudAttributes:
			var a cloudAttribute
			if err := p.attribute(v.bytes, &a); err != nil {
				return err
			}
			if names[string(a.name)] {
				out = protowire.AppendBytes(protowire.AppendTag(out, num, wire), v.bytes)
			}
		}
		return nil
	})
	if err != nil {
		out = nil // not reached: it was extracted
	}
	attribute := func(name string, value []byte) {
		entry := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), name)
		entry = protowire.AppendBytes(protowire.AppendTag(entry, 2, protowire.BytesType), value)
		out = protowire.AppendBytes(protowire.AppendTag(out, cloudAttributes, protowire.BytesType), entry)
	}
	attribute(erasedMember, protowire.AppendVarint(protowire.AppendTag(nil, cloudBoolean, protowire.VarintType), 1))
	attribute(erasureMember, protowire.AppendString(protowire.AppendTag(nil, cloudString, protowire.BytesType), strconv.FormatUint(by.ID, 10)))
	return out
}
