package eventstore

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sync"

	"google.golang.org/protobuf/proto"
)

// Content types that a Registry sets.
const (
	ContentTypeJSON     = "application/json"
	ContentTypeProtobuf = "application/protobuf"
)

// Registry maps event types, each in one or more schema versions, to Go types. It is safe for concurrent use once all types
// are registered.
type Registry struct {
	mu      sync.RWMutex // guards the maps below
	schemas map[reflect.Type]schema
	decode  map[schema]func([]byte) (any, error)
	upcasts map[reflect.Type]func(any) ([]any, error)
	erased  bool // Expand returns erased events
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	return &Registry{
		schemas: make(map[reflect.Type]schema),
		decode:  make(map[schema]func([]byte) (any, error)),
		upcasts: make(map[reflect.Type]func(any) ([]any, error)),
	}
}

// RegisterOption is an option of Register: a SchemaVersion.
type RegisterOption func(*schema)

// Register makes T the Go type of an event_type, in schema version 1 unless SchemaVersion says otherwise. If T is a pointer
// to a generated protobuf message, event_data is protobuf; otherwise it is JSON. Register panics if the Go type, or the
// event type in this schema version, is already registered, or if JSON would leave out a field of T since it is unexported.
func Register[T any](r *Registry, eventType string, options ...RegisterOption) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of, as := reflect.TypeFor[T](), schema{eventType: eventType, version: 1}
	for _, option := range options {
		option(&as)
	}
	if _, twice := r.decode[as]; twice {
		panic(fmt.Sprintf("eventstore: event type %v is registered twice: give the newer Go type the next SchemaVersion", as))
	}
	if other, twice := r.schemas[of]; twice {
		panic(fmt.Sprintf("eventstore: %v is registered as event types %v and %v", of, other, as))
	}
	if _, message := any(*new(T)).(proto.Message); !message {
		if path := unexportedIn(of, map[reflect.Type]bool{}); path != "" {
			panic(fmt.Sprintf("eventstore: events of %v would be stored without the field %v%s: export it, or give its type MarshalJSON and UnmarshalJSON", as, of, path))
		}
	}
	r.schemas[of] = as
	r.decode[as] = func(payload []byte) (any, error) {
		var data T
		if _, ok := any(data).(proto.Message); ok {
			message := reflect.New(of.Elem()).Interface().(proto.Message)
			return message, proto.Unmarshal(payload, message)
		}
		err := json.Unmarshal(payload, &data)
		return data, err
	}
}

// Tagged is implemented by data that says what its event concerns beside the aggregate, such as "customer:c-9".
type Tagged interface{ Tags() []string }

// New returns an event of an aggregate with data, a value of a registered type. The error is ErrUnknownType if the type is
// not registered. It is that of Expand if the encoded data could not be read again.
func (r *Registry) New(aggregateType, aggregateID string, data any) (NewEvent, error) {
	event := NewEvent{AggregateType: aggregateType, AggregateID: aggregateID, Data: data}
	if err := r.encode(&event); err != nil {
		return NewEvent{}, err
	}
	return event, nil
}

// encode sets the type, the schema version, the payload and the tags of an event from its data, which it clears.
func (r *Registry) encode(event *NewEvent) error {
	data := event.Data
	r.mu.RLock()
	as, known := r.schemas[reflect.TypeOf(data)]
	r.mu.RUnlock()
	if !known {
		return fmt.Errorf("%w: %T is not registered", ErrUnknownType, data)
	}
	event.Type, event.Data = as.eventType, nil
	as.mark(event)
	if tagged, ok := data.(Tagged); ok {
		event.addTags(tagged.Tags())
	}
	var err error
	if message, ok := data.(proto.Message); ok {
		event.ContentType = ContentTypeProtobuf
		event.Payload, err = proto.Marshal(message)
	} else {
		event.ContentType = ContentTypeJSON
		event.Payload, err = json.Marshal(data)
	}
	if err != nil {
		return fmt.Errorf("encode %v: %w", as, err)
	}
	return r.readable(event)
}

// readable returns an error if an event could not be decoded once it is stored, where it would stop all its readers.
func (r *Registry) readable(event *NewEvent) error {
	_, err := r.expand(stored(event, Position{}))
	if err != nil {
		return fmt.Errorf("an event of type %q was not stored, since nobody could read it: %w", event.Type, err)
	}
	return nil
}

// Decode sets e.Data. It is Expand for events that stand for one event: it returns an error if upcasters make several of it,
// or none. Data of an erased event is Erased. The errors are those of Expand.
func (r *Registry) Decode(e *Event) error {
	if e.Erased > 0 {
		e.Data = Erased{e.Erased}
		return nil
	}
	data, err := r.expand(e)
	if err != nil {
		return err
	}
	if len(data) != 1 {
		return fmt.Errorf("decode %s, sequence %d of channel %q: it stands for %d events: use Expand", e.Type, e.Sequence, e.Channel, len(data))
	}
	e.Data = data[0]
	return nil
}

// Expand decodes an event and returns the events that it stands for today. Without an upcaster, or with Upcast, that is e
// itself, with Data set. With UpcastMany it may be several copies of e, each with Data of its own and a Key of its own, or
// none. Only Data and Key differ: Type, Payload, Metadata and place stay those of the stored event. Of an erased event it returns
// none, unless KeepErased was called.
//
// The error is ErrUnknownType if e.Type is not registered in the event's schema version; otherwise it wraps the error of
// the decoder or of an upcaster. Expanding an event again gives the same.
func (r *Registry) Expand(e *Event) ([]*Event, error) {
	if e.part > 0 {
		return []*Event{e}, nil
	}
	data, err := r.expand(e)
	if err != nil {
		return nil, err
	}
	if len(data) == 1 {
		e.Data = data[0]
		return []*Event{e}, nil
	}
	events := make([]*Event, len(data))
	for i := range data {
		part := *e
		part.Data, part.part = data[i], i+1
		events[i] = &part
	}
	return events, nil
}

// expand returns the data of the events that e stands for.
func (r *Registry) expand(e *Event) ([]any, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	switch {
	case e.Erased > 0 && r.erased:
		return []any{Erased{e.Erased}}, nil
	case e.Erased > 0:
		return nil, nil
	}
	as, err := schemaOf(e)
	if err != nil {
		return nil, fmt.Errorf("decode %s, sequence %d of channel %q: %w", e.Type, e.Sequence, e.Channel, err)
	}
	decode := r.decode[as]
	if decode == nil {
		return nil, fmt.Errorf("%w: %v, sequence %d of channel %q%s", ErrUnknownType, as, e.Sequence, e.Channel, r.known(as))
	}
	data, err := decode(e.Payload)
	if err != nil {
		return nil, fmt.Errorf("decode %v, sequence %d of channel %q: %w", as, e.Sequence, e.Channel, err)
	}
	all, err := r.upcast(nil, data, 0)
	if err != nil {
		return nil, fmt.Errorf("upcast %v, sequence %d of channel %q: %w", as, e.Sequence, e.Channel, err)
	}
	return all, nil
}
