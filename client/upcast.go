package eventstore

import (
	"fmt"
	"reflect"
)

// Upcast makes Expand convert events of the old type From to type To, which may have an upcaster of its own. Stored events
// do not change. Upcast panics if From already has an upcaster.
func Upcast[From, To any](r *Registry, upcast func(From) (To, error)) {
	if reflect.TypeFor[From]() == reflect.TypeFor[To]() {
		panic(fmt.Sprintf("eventstore: %v is upcast to itself", reflect.TypeFor[From]()))
	}
	UpcastMany(r, func(old From) ([]any, error) {
		data, err := upcast(old)
		return []any{data}, err
	})
}

// UpcastMany makes Expand replace events of the old type From by the events that upcast returns: one, several, or none if
// the event means nothing any more. Each may have an upcaster of its own. Stored events do not change. UpcastMany panics if
// From already has an upcaster.
//
// Return the same number in the same order whenever the program runs: the parts' keys count from the first (Event.Key).
func UpcastMany[From any](r *Registry, upcast func(From) ([]any, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := reflect.TypeFor[From]()
	if _, twice := r.upcasts[from]; twice {
		panic(fmt.Sprintf("eventstore: %v has two upcasters", from))
	}
	r.upcasts[from] = func(data any) ([]any, error) { return upcast(data.(From)) }
}

// upcast appends what data stands for after some steps. A chain without a cycle passes each upcaster once at most.
func (r *Registry) upcast(all []any, data any, steps int) ([]any, error) {
	upcast := r.upcasts[reflect.TypeOf(data)]
	if upcast == nil {
		return append(all, data), nil
	}
	if steps == len(r.upcasts) {
		return nil, fmt.Errorf("the upcasters form a cycle at %T", data)
	}
	parts, err := upcast(data)
	for _, part := range parts {
		if err == nil {
			all, err = r.upcast(all, part, steps+1)
		}
	}
	return all, err
}
