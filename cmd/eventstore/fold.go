package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/proto/eventjson"
)

// fold merges the objects of event_data in order, as RFC 7396 says. left counts the events whose data is no object.
func fold(events []*eventjson.Event) (state map[string]any, left int) {
	state = make(map[string]any)
	for _, e := range events {
		var data any
		decoder := json.NewDecoder(bytes.NewReader(e.Data))
		decoder.UseNumber() // exact
		if e.Data == nil || decoder.Decode(&data) != nil {
			left++
			continue
		}
		patch, ok := data.(map[string]any)
		if !ok {
			left++
			continue
		}
		state = merged(state, patch).(map[string]any)
	}
	return state, left
}

// merged is MergePatch of RFC 7396. It changes neither of its arguments.
func merged(target, patch any) any {
	object, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	result := make(map[string]any)
	if was, ok := target.(map[string]any); ok {
		maps.Copy(result, was)
	}
	for key, value := range object {
		if value == nil {
			delete(result, key)
			continue
		}
		result[key] = merged(result[key], value)
	}
	return result
}

// change is a difference between two states, at a JSON Pointer.
type change struct {
	Op   string `json:"op"` // add, remove or replace
	Path string `json:"path"`
	Old  any    `json:"old,omitempty"`
	New  any    `json:"new,omitempty"`
}

// String is the change as people read it.
func (c change) String() string {
	switch c.Op {
	case "add":
		return fmt.Sprintf("+ %s: %s", c.Path, compact(c.New))
	case "remove":
		return fmt.Sprintf("- %s: %s", c.Path, compact(c.Old))
	}
	return fmt.Sprintf("~ %s: %s -> %s", c.Path, compact(c.Old), compact(c.New))
}

// differences returns the changes that lead from one state to another, by path.
func differences(before, after map[string]any) []change {
	return differencesAt("", before, after)
}

func differencesAt(path string, before, after map[string]any) (all []change) {
	keys := slices.Sorted(maps.Keys(before))
	for key := range after {
		if _, both := before[key]; !both {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		at := path + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
		was, existed := before[key]
		is, exists := after[key]
		a, wasObject := was.(map[string]any)
		b, isObject := is.(map[string]any)
		switch {
		case !existed:
			all = append(all, change{Op: "add", Path: at, New: is})
		case !exists:
			all = append(all, change{Op: "remove", Path: at, Old: was})
		case wasObject && isObject:
			all = append(all, differencesAt(at, a, b)...)
		case !reflect.DeepEqual(was, is):
			all = append(all, change{Op: "replace", Path: at, Old: was, New: is})
		}
	}
	return all
}

// compact is a value as JSON on one line.
func compact(value any) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return fmt.Sprint(value)
	}
	return strings.TrimSpace(b.String())
}
