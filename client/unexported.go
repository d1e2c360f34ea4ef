package eventstore

import "reflect"

// unexported returns the path of a field that JSON leaves out of a value since it is unexported, "" without one. A field with the tag
// "-" is left out on purpose, and a type with MarshalJSON or MarshalText knows what it does.
func unexported(value any) string {
	if value == nil {
		return ""
	}
	return unexportedIn(reflect.TypeOf(value), map[reflect.Type]bool{})
}

// unexportedIn is unexported of a type.
func unexportedIn(of reflect.Type, seen map[reflect.Type]bool) string {
	pointer := reflect.PointerTo(of)
	if seen[of] || pointer.Implements(jsonMarshaler) || pointer.Implements(textMarshaler) {
		return ""
	}
	seen[of] = true
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return unexportedIn(of.Elem(), seen)
	case reflect.Struct:
		for i := range of.NumField() {
			field := of.Field(i)
			structure := field.Type.Kind() == reflect.Struct || field.Type.Kind() == reflect.Pointer && field.Type.Elem().Kind() == reflect.Struct
			embedded := field.Anonymous && structure // JSON takes its exported fields
			switch {
			case field.Name == "_" || field.Tag.Get("json") == "-":
			case !field.IsExported() && !embedded:
				return "." + field.Name
			default:
				if path := unexportedIn(field.Type, seen); path != "" {
					return "." + field.Name + path
				}
			}
		}
	}
	return ""
}
