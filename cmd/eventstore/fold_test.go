package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/proto/eventjson"
)

// The examples of RFC 7396, appendix A, for objects.
func TestMergePatch(t *testing.T) {
	t.Parallel()
	for _, it := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"a":1}`},
		{`{"a":"foo"}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{`{"a":1}`, `{"a":123456789012345678901234567890.50}`, `{"a":123456789012345678901234567890.50}`},
		{`{"a":1}`, `"no object"`, `{"a":1}`},
		{`{"a":1}`, ``, `{"a":1}`},
	} {
		events := []*eventjson.Event{{Data: json.RawMessage(it[0])}, {}}
		events[1].SetPayload([]byte(it[1]))
		state, _ := fold(events)
		if got := compact(state); got != it[2] {
			t.Errorf("%s and %s: %s, want %s", it[0], it[1], got, it[2])
		}
	}
}

// What changed is told by JSON Pointers, in order.
func TestDifferences(t *testing.T) {
	t.Parallel()
	object := func(text string) map[string]any {
		state, _ := fold([]*eventjson.Event{{Data: json.RawMessage(text)}})
		return state
	}
	var lines []string
	for _, c := range differences(object(`{"a":1,"b":{"x/y":1,"z":[1]},"c":2}`), object(`{"a":1,"b":{"x/y":2,"z":[1]},"d":{"e":"<"}}`)) {
		lines = append(lines, c.String())
	}
	if got, want := strings.Join(lines, "\n"), "~ /b/x~1y: 1 -> 2\n- /c: 2\n+ /d: {\"e\":\"<\"}"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
