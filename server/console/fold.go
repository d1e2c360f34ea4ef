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

// Bounds of a comparison: the paths of the values, which repeat the names above them, and the values that a page shows, with how much of each.
const (
	maxPaths       = 4 << 20
	maxDifferences = 500
	maxDifference  = 2 << 10
)

// differences returns what changed from one state to another, by path, and whether that is not all: the rest is too much for a page.
func differences(before, after map[string]any) (changed []difference, cut bool) {
	a, b := flat{values: make(map[string]string), left: maxPaths}, flat{values: make(map[string]string), left: maxPaths}
	a.add("", before)
	b.add("", after)
	if a.left < 0 || b.left < 0 {
		return nil, true
	}
	all := maps.Clone(a.values)
	maps.Copy(all, b.values)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		if a.values[path] == b.values[path] {
			continue
		}
		if len(changed) == maxDifferences {
			return changed, true
		}
		changed = append(changed, difference{begin(path), begin(a.values[path]), begin(b.values[path])})
	}
	return changed, false
}

// begin returns the beginning of a long text.
func begin(text string) string {
	if len(text) <= maxDifference {
		return text
	}
	return strings.ToValidUTF8(text[:maxDifference], "") + "…"
}

// flat has the values of an object by their paths.
type flat struct {
	values map[string]string
	left   int // bytes that paths may still take; negative if that was not enough
}

func (f *flat) add(path string, v any) {
	if f.left -= len(path); f.left < 0 {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 && path != "" {
			f.values[path] = "{}"
		}
		for name, value := range v {
			if f.left < 0 {
				return
			}
			f.add(path+step(path, name), value)
		}
	case []any:
		if len(v) == 0 {
			f.values[path] = "[]"
		}
		for i, value := range v {
			if f.left < 0 {
				return
			}
			f.add(fmt.Sprintf("%s[%d]", path, i), value)
		}
	default:
		f.values[path] = encode(v)
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
