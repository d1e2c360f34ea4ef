package eventstore

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
)

// Codec encodes the states of aggregates for snapshots.
//
// A Repository decodes each state that it encoded, and compares. If they differ, it saves no snapshot and reports ErrLossy. Values
// are compared field by field, unexported ones, too, except that a nil slice or map equals an empty one, and that a
// method Equal(T) bool, such as that of time.Time, has the last word. This is done once for each snapshot, every
// SnapshotEvery versions, and takes about as long as encoding and decoding it.
type Codec interface {
	// Marshal encodes a state, a value of the type S of the Repository.
	Marshal(state any) ([]byte, error)
	// Unmarshal decodes into state, a *S that points to the zero value.
	Unmarshal(data []byte, state any) error
}

// checked holds the results of checkJSON: an error, or nil, by reflect.Type.
var checked sync.Map

// checkJSON returns ErrLossy if JSON loses a part of S.
func checkJSON[S any]() error {
	of := reflect.TypeFor[S]()
	err, done := checked.Load(of)
	if !done {
		var lossy error
		if path, why := lostByJSON(of, map[reflect.Type]bool{}); why != "" {
			lossy = fmt.Errorf("%w: %v%s is %s: change the type, give it MarshalJSON and UnmarshalJSON, or set Repository.Codec", ErrLossy, of, path, why)
		}
		err, _ = checked.LoadOrStore(of, lossy)
	}
	lossy, _ := err.(error)
	return lossy
}

var (
	jsonMarshaler   = reflect.TypeFor[json.Marshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// encodesItself reports whether the methods of a type, or those of a pointer to it, decide what JSON keeps of it.
func encodesItself(of reflect.Type) bool {
	pointer := reflect.PointerTo(of)
	return pointer.Implements(jsonMarshaler) && pointer.Implements(jsonUnmarshaler) ||
		pointer.Implements(textMarshaler) && pointer.Implements(textUnmarshaler)
}

// isKey reports whether JSON encodes maps with keys of a type.
func isKey(of reflect.Type) bool {
	switch of.Kind() {
	case reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return true
	}
	return of.Implements(textMarshaler) && reflect.PointerTo(of).Implements(textUnmarshaler)
}

// lostByJSON returns where in a type JSON loses something, and why; "" if nowhere.
func lostByJSON(of reflect.Type, seen map[reflect.Type]bool) (path, why string) {
	if seen[of] || encodesItself(of) {
		return "", ""
	}
	seen[of] = true
	switch of.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return "", fmt.Sprintf("a %v, which JSON cannot encode", of.Kind())
	case reflect.Interface:
		return "", "an interface, whose value JSON decodes as another type"
	case reflect.Pointer:
		return lostByJSON(of.Elem(), seen)
	case reflect.Slice, reflect.Array:
		path, why = lostByJSON(of.Elem(), seen)
		return "[]" + path, why
	case reflect.Map:
		if key := of.Key(); !isKey(key) {
			return "", fmt.Sprintf("a map with keys of type %v, which JSON cannot encode", key)
		}
		path, why = lostByJSON(of.Elem(), seen)
		return "[]" + path, why
	case reflect.Struct:
		for i := range of.NumField() {
			field := of.Field(i)
			if path, why := lostOfField(field, seen); why != "" {
				return "." + field.Name + path, why
			}
		}
	}
	return "", ""
}

func lostOfField(field reflect.StructField, seen map[reflect.Type]bool) (path, why string) {
	switch {
	case field.Name == "_":
		return "", ""
	case field.Tag.Get("json") == "-":
		return "", `tagged "-", so that JSON leaves it out`
	case field.Anonymous && !field.IsExported() && field.Type.Kind() == reflect.Pointer:
		return "", "an embedded pointer to an unexported type, which JSON cannot decode"
	case field.Anonymous && !field.IsExported() && field.Type.Kind() == reflect.Struct:
		return lostByJSON(field.Type, seen) // JSON takes its exported fields
	case !field.IsExported():
		return "", "unexported, so that JSON leaves it out"
	}
	return lostByJSON(field.Type, seen)
}
