package eventstore

import (
	"fmt"
	"reflect"
	"unsafe"

	"google.golang.org/protobuf/proto"
)

// difference compares two values, as reflect.DeepEqual does, but a nil slice or map equals an empty one, and a method Equal
// has the last word. It returns the path to the first difference.
func difference[T any](a, b *T) (path string, same bool) {
	c := comparison{visited: make(map[[2]unsafe.Pointer]bool)}
	return c.compare(reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem())
}

type comparison struct {
	visited map[[2]unsafe.Pointer]bool // pairs of pointers under comparison: a value may contain itself
}

// compare compares addressable values of one type.
func (c comparison) compare(a, b reflect.Value) (path string, same bool) {
	if same, decided := equalByMethod(a, b); decided {
		return "", same
	}
	switch a.Kind() {
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return "", a.IsNil() == b.IsNil()
		}
		pair := [2]unsafe.Pointer{a.UnsafePointer(), b.UnsafePointer()}
		if c.visited[pair] {
			return "", true
		}
		c.visited[pair] = true
		return c.compare(a.Elem(), b.Elem())
	case reflect.Interface:
		if a.IsNil() || b.IsNil() || a.Elem().Type() != b.Elem().Type() {
			return "", a.IsNil() && b.IsNil()
		}
		return c.compare(addressable(a.Elem()), addressable(b.Elem()))
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() {
			return "", false
		}
		for i := range a.Len() {
			if path, same := c.compare(a.Index(i), b.Index(i)); !same {
				return fmt.Sprintf("[%d]%s", i, path), false
			}
		}
		return "", true
	case reflect.Map:
		if a.Len() != b.Len() {
			return "", false
		}
		for _, key := range a.MapKeys() {
			other := b.MapIndex(key)
			if !other.IsValid() {
				return fmt.Sprintf("[%v]", key), false
			}
			if path, same := c.compare(addressable(a.MapIndex(key)), addressable(other)); !same {
				return fmt.Sprintf("[%v]%s", key, path), false
			}
		}
		return "", true
	case reflect.Struct:
		for i := range a.NumField() {
			if name := a.Type().Field(i).Name; name != "_" {
				if path, same := c.compare(open(a.Field(i)), open(b.Field(i))); !same {
					return "." + name + path, false
				}
			}
		}
		return "", true
	case reflect.Func:
		return "", a.IsNil() && b.IsNil()
	}
	return "", a.Equal(b) || a.CanFloat() && a.Float() != a.Float() && b.Float() != b.Float()
}

// equalByMethod asks a method Equal, that of the value or that of a pointer to it, if there is one.
func equalByMethod(a, b reflect.Value) (same, decided bool) {
	if a.Kind() == reflect.Interface || a.Kind() == reflect.Pointer && (a.IsNil() || b.IsNil()) {
		return false, false
	}
	if message, ok := a.Interface().(proto.Message); ok {
		return proto.Equal(message, b.Interface().(proto.Message)), true
	}
	for _, pair := range [][]reflect.Value{{a, b}, {a.Addr(), b.Addr()}} {
		method, found := pair[0].Type().MethodByName("Equal")
		if !found {
			continue
		}
		t := method.Type // (receiver, T) bool
		if t.NumIn() == 2 && t.In(1) == t.In(0) && !t.IsVariadic() && t.NumOut() == 1 && t.Out(0).Kind() == reflect.Bool {
			return method.Func.Call(pair)[0].Bool(), true
		}
	}
	return false, false
}

// addressable returns a copy that compare can take.
func addressable(v reflect.Value) reflect.Value {
	copied := reflect.New(v.Type()).Elem()
	copied.Set(v)
	return copied
}

// open returns a field of an addressable struct as if it was exported: reflect keeps unexported ones to itself.
func open(field reflect.Value) reflect.Value {
	return reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem()
}
