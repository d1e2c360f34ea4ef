package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// decodeObject returns a JSON object, with its numbers as they are written, or false if the text is something else.
func decodeObject(text []byte) (map[string]any, bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil, false
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, false
	}
	object, ok := v.(map[string]any)
	return object, ok
}

// merge applies a patch to an object as a JSON Merge Patch does (RFC 7396): members replace those of the same name, objects are
// merged, and null removes.
func merge(into, patch map[string]any) {
	for name, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(into, name)
		case map[string]any:
			inner, ok := into[name].(map[string]any)
			if !ok {
				inner = make(map[string]any)
				into[name] = inner
			}
			merge(inner, value)
		default:
			into[name] = value
		}
	}
}

// clone copies objects; other values are never changed.
func clone(v map[string]any) map[string]any {
	c := make(map[string]any, len(v))
	for name, value := range v {
		if inner, ok := value.(map[string]any); ok {
			value = clone(inner)
		}
		c[name] = value
	}
	return c
}

// difference is a value that two states do not share.
type difference struct {
	Path          string
	Before, After string // as JSON; "" where there is none
}

// differences returns what changed from one state to another, by path.
func differences(before, after map[string]any) []difference {
	a, b := make(map[string]string), make(map[string]string)
	flatten(a, "", before)
	flatten(b, "", after)
	all := maps.Clone(a)
	maps.Copy(all, b)
	var changed []difference
	for _, path := range slices.Sorted(maps.Keys(all)) {
		if a[path] != b[path] {
			changed = append(changed, difference{path, a[path], b[path]})
		}
	}
	return changed
}

// flatten writes the values of an object by their paths.
func flatten(to map[string]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 && path != "" {
			to[path] = "{}"
		}
		for name, value := range v {
			flatten(to, path+step(path, name), value)
		}
	case []any:
		if len(v) == 0 {
			to[path] = "[]"
		}
		for i, value := range v {
			flatten(to, fmt.Sprintf("%s[%d]", path, i), value)
		}
	default:
		to[path] = encode(v)
	}
}

// step returns how a path goes on to a member.
func step(path, name string) string {
	switch {
	case name == "" || strings.ContainsAny(name, `.[]" `):
		return "[" + strconv.Quote(name) + "]"
	case path == "":
		return name
	}
	return "." + name
}

// encode returns a value as JSON, as it was written as far as that can be.
func encode(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err.Error() // values were decoded from JSON
	}
	return strings.TrimSpace(b.String())
}
