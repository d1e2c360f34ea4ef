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

// Registry maps event types to Go types. It is safe for concurrent use once all types are registered.
type Registry struct {
	mu      sync.RWMutex // guards the maps below
	names   map[reflect.Type]string
	decode  map[string]func([]byte) (any, error)
	upcasts map[reflect.Type]func(any) (any, error)
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	return &Registry{
		names:   make(map[reflect.Type]string),
		decode:  make(map[string]func([]byte) (any, error)),
		upcasts: make(map[reflect.Type]func(any) (any, error)),
	}
}

// Register makes T the Go type of an event_type. If T is a pointer to a generated protobuf message, event_data is
// protobuf; otherwise it is JSON. Register panics if the type or the name is already registered.
func Register[T any](r *Registry, eventType string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := reflect.TypeFor[T]()
	if _, twice := r.decode[eventType]; twice {
		panic(fmt.Sprintf("eventstore: event type %q is registered twice", eventType))
	}
	if name, twice := r.names[of]; twice {
		panic(fmt.Sprintf("eventstore: %v is registered as event types %q and %q", of, name, eventType))
	}
	r.names[of] = eventType
	r.decode[eventType] = func(payload []byte) (any, error) {
		var data T
		if _, ok := any(data).(proto.Message); ok {
			message := reflect.New(of.Elem()).Interface().(proto.Message)
			return message, proto.Unmarshal(payload, message)
		}
		err := json.Unmarshal(payload, &data)
		return data, err
	}
}

// Upcast makes Decode convert events of the old type From to type To, which may have an upcaster of its own. Stored events
// do not change. Upcast panics if From already has an upcaster.
func Upcast[From, To any](r *Registry, upcast func(From) (To, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := reflect.TypeFor[From]()
	if _, twice := r.upcasts[from]; twice || from == reflect.TypeFor[To]() {
		panic(fmt.Sprintf("eventstore: %v already has an upcaster, or is upcast to itself", from))
	}
	r.upcasts[from] = func(data any) (any, error) { return upcast(data.(From)) }
}

// Tagged is implemented by data that says what its event concerns beside the aggregate, such as "customer:c-9".
type Tagged interface{ Tags() []string }

// New returns an event of an aggregate with data, a value of a registered type. The error is ErrUnknownType if the type is
// not registered.
func (r *Registry) New(aggregateType, aggregateID string, data any) (NewEvent, error) {
	event := NewEvent{AggregateType: aggregateType, AggregateID: aggregateID, Data: data}
	if err := r.encode(&event); err != nil {
		return NewEvent{}, err
	}
	return event, nil
}

// encode sets the type, the payload and the tags of an event from its data, which it clears.
func (r *Registry) encode(event *NewEvent) error {
	data := event.Data
	r.mu.RLock()
	name, known := r.names[reflect.TypeOf(data)]
	r.mu.RUnlock()
	if !known {
		return fmt.Errorf("%w: %T is not registered", ErrUnknownType, data)
	}
	event.Type, event.Data = name, nil
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
		return fmt.Errorf("encode %s: %w", name, err)
	}
	return nil
}

// Decode sets e.Data. The error is ErrUnknownType if e.Type is not registered; otherwise it wraps the error of the decoder
// or of an upcaster.
func (r *Registry) Decode(e *Event) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	decode := r.decode[e.Type]
	if decode == nil {
		return fmt.Errorf("%w: %q, sequence %d of channel %q", ErrUnknownType, e.Type, e.Sequence, e.Channel)
	}
	data, err := decode(e.Payload)
	if err != nil {
		return fmt.Errorf("decode %s, sequence %d of channel %q: %w", e.Type, e.Sequence, e.Channel, err)
	}
	for steps := 0; ; steps++ {
		upcast := r.upcasts[reflect.TypeOf(data)]
		if upcast == nil {
			break
		}
		if steps == len(r.upcasts) {
			return fmt.Errorf("decode %s: its upcasters form a cycle at %T", e.Type, data)
		}
		if data, err = upcast(data); err != nil {
			return fmt.Errorf("upcast %s, sequence %d of channel %q: %w", e.Type, e.Sequence, e.Channel, err)
		}
	}
	e.Data = data
	return nil
}
