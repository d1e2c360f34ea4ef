package proto

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

func TestMappingDocuments(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ source, json, want string }{
		"message":                  {"child", `{"child": {"i64": "5", "color": "RED", "choice_text": "x", "b": "AAE="}}`, `{"b":"AAE=","i64":"5","color":"RED","choice_text":"x"}`},
		"empty message":            {"child", `{"child": {}}`, `{}`},
		"absent message":           {"child", `{}`, ``},
		"whole message":            {"$message", `{"numbers": [1, -1]}`, `{"s":"id","numbers":[1,-1]}`},
		"struct":                   {"struct", `{"struct": {"a": [1, null, "x"], "b": {}}}`, `{"a":[1,null,"x"],"b":{}}`},
		"value":                    {"oneof:message_choice", `{"value": [1, true]}`, `[1,true]`},
		"JSON in a string":         {"os", `{"os": "{\"a\": 1}"}`, `{"a": 1}`},
		"JSON in bytes":            {"choice_bytes", `{"choice_bytes": "WzFd"}`, `[1]`},
		"text":                     {"os", `{"os": "hi"}`, `"aGk="`},
		"Any":                      {"any", `{"any": {"@type": "x/acme.orders.v1.Leaf", "name": "n"}}`, `{"@type":"x/acme.orders.v1.Leaf","name":"n"}`},
		"Any of a Value":           {"any", `{"any": {"@type": "x/google.protobuf.Value", "value": 1.5}}`, `{"@type":"x/google.protobuf.Value","value":1.5}`},
		"Any in Any":               {"any", `{"any": {"@type": "x/google.protobuf.Any", "value": {"@type": "x/acme.orders.v1.Leaf"}}}`, `{"@type":"x/google.protobuf.Any","value":{"@type":"x/acme.orders.v1.Leaf"}}`},
		"empty Any":                {"any", `{"any": {}}`, `{}`},
		"NaN":                      {"child", `{"child": {"d": "NaN", "f": "-Infinity"}}`, `{"f":"-Infinity","d":"NaN"}`},
		"HTML":                     {"child", `{"child": {"os": "<a&b>"}}`, `{"os":"<a&b>"}`},
		"NUL, which is not stored": {"leaf", `{"leaf": {"name": "\u0000"}}`, `"CgEA"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := newMapping(t, MappingConfig{DescriptorSet: acme, Message: "acme.orders.v1.Everything", AggregateID: "s", EventType: "= x", EventData: tt.source})
			ev, err := m.Extract(append(bytesField(1, "id"), encode(t, m, tt.json)...))
			if got := string(ev.Document(31)); err != nil || got != tt.want {
				t.Errorf("event_data %s, error %v, want %s", got, err, tt.want)
			}
		})
	}
}

func TestMappingFallsBackToBase64(t *testing.T) {
	t.Parallel()
	m := newMapping(t, MappingConfig{DescriptorSet: acme, Message: "acme.orders.v1.Everything", AggregateID: "s", EventType: "= x", EventData: "child"})
	anyOf := func(url, content string) string {
		return string(bytesField(35, string(append(bytesField(1, url), bytesField(2, content)...))))
	}
	nested := ""
	for range 70 {
		nested = anyOf("x/acme.orders.v1.Everything", nested)
	}
	deep := "" // too deep for MariaDB
	for range 40 {
		deep = string(bytesField(19, deep))
	}
	maps := ""
	for range 28 {
		maps = string(bytesField(23, string(bytesField(2, anyOf("x/acme.orders.v1.Everything", maps)))))
	}
	numbers := anyOf("x/acme.orders.v1.Everything", string(bytesField(21, strings.Repeat("\x01", 50_000))))
	tests := map[string]string{
		"Any in maps without end":     maps,
		"many Anys with many numbers": strings.Repeat(string(bytesField(20, numbers)), 30),
		"Any of an unknown type":      anyOf("x/acme.None", ""),
		"Any of a damaged message":    anyOf("x/acme.orders.v1.Leaf", "\x0a\x05x"),
		"Any with text of no message": anyOf("x/acme.orders.v1.Leaf", "hello"),
		"Any without type":            anyOf("", "x"),
		"Any in Any without end":      nested,
		"Any with too many messages":  anyOf("x/acme.orders.v1.Everything", strings.Repeat("\xa2\x01\x00", 200_000)),
		"empty Value":                 string(bytesField(34, "")),
		"deep":                        deep,
	}
	for name, child := range tests {
		t.Run(name, func(t *testing.T) {
			ev, err := m.Extract(append(bytesField(1, "id"), bytesField(19, child)...))
			if err != nil {
				t.Fatal(err)
			}
			maxDepth := 999
			if name == "deep" {
				maxDepth = 31
			}
			document, text := ev.Document(maxDepth), ""
			if err := json.Unmarshal(document, &text); err != nil {
				t.Fatalf("event_data %.200s: %v", document, err)
			}
			if got, err := base64.StdEncoding.DecodeString(text); err != nil || string(got) != child {
				t.Errorf("event_data is the base64 of %d bytes, error %v, want %d bytes", len(got), err, len(child))
			}
		})
	}
}

func TestMappingJSONIsBounded(t *testing.T) {
	t.Parallel()
	m := newMapping(t, MappingConfig{DescriptorSet: acme, Message: "acme.orders.v1.Everything", AggregateID: "s", EventType: "= x", EventData: "$message"})
	// A control character takes one byte here and six in JSON.
	var payload []byte
	for i := range 60_000 {
		key := strconv.Itoa(i) + strings.Repeat("\x01", 120)
		payload = append(payload, bytesField(25, string(bytesField(1, key)))...)
	}
	payload = append(payload, bytesField(1, "id")...)
	ev, err := m.Extract(payload)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(ev.Document(31)); got != base64.StdEncoding.EncodedLen(len(payload))+2 {
		t.Errorf("event_data has %d bytes for a payload of %d", got, len(payload))
	}
}

func TestMappingMetadata(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ source, json, want, err string }{
		"map":          {"words", `{"words": {"-7": "a", "3": "b"}}`, `{"-7":"a","3":"b"}`, ""},
		"map of bytes": {"blobs", `{"blobs": {"k": "AAECAwQFBgcICQoLDA0ODw==", "l": "/w=="}}`, `{"k":"00010203-0405-0607-0809-0a0b0c0d0e0f","l":"ff"}`, ""},
		"map of enums": {"colors", `{"colors": {"true": "RED", "false": 9}}`, `{"false":"9","true":"RED"}`, ""},
		"no map":       {"words", `{}`, ``, ""},
		"message":      {"leaf", `{"leaf": {"name": "n", "size": "4"}}`, `{"name":"n","size":"4"}`, ""},
		"no message":   {"leaf", `{}`, ``, ""},
		"empty":        {"leaf", `{"leaf": {}}`, ``, ""},
		"struct":       {"struct", `{"struct": {"a": 1}}`, `{"a":1}`, ""},
		"NUL in a map": {"words", `{"words": {"1": "\u0000"}}`, ``, "invalid event: metadata contains a NUL byte"},
		"NUL":          {"leaf", `{"leaf": {"name": "\u0000"}}`, ``, "invalid event: metadata has no JSON form that every database accepts: it is nested too deeply, or has a number beyond a double or a NUL"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := newMapping(t, MappingConfig{DescriptorSet: acme, Message: "acme.orders.v1.Everything", AggregateID: "s", EventType: "= x", Metadata: tt.source})
			ev, err := m.Extract(append(bytesField(1, "id"), encode(t, m, tt.json)...))
			if string(ev.Metadata) != tt.want {
				t.Errorf("metadata %s, want %s", ev.Metadata, tt.want)
			}
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || err.Error() != tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}
