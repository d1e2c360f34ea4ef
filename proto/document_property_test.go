package proto

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// slowDocument decodes a JSON event with encoding/json. It reports false for what documentScan must refuse.
func slowDocument(payload []byte) (map[string]any, bool) {
	if !json.Valid(payload) || !utf8.Valid(payload) {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	value, ok := slowValue(d, 1)
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, false
	}
	object, isObject := value.(map[string]any)
	return object, ok && isObject
}

func slowValue(d *json.Decoder, depth int) (any, bool) {
	token, err := d.Token()
	if err != nil {
		return nil, false
	}
	switch token := token.(type) {
	case string:
		// encoding/json replaces half a surrogate pair; random documents have no U+FFFD of their own.
		return token, !strings.ContainsAny(token, "\x00\ufffd")
	case json.Delim:
		if depth > maxDepth {
			return nil, false
		}
		list := []any{}
		object := map[string]any{}
		for d.More() {
			name := ""
			if token == '{' {
				key, ok := slowValue(d, depth)
				if name, _ = key.(string); !ok {
					return nil, false
				}
			}
			value, ok := slowValue(d, depth+1)
			if _, twice := object[name]; !ok || token == '{' && twice {
				return nil, false
			}
			object[name] = value
			list = append(list, value)
		}
		if _, err := d.Token(); err != nil {
			return nil, false
		}
		if token == '{' {
			return object, true
		}
		return list, true
	}
	return token, true
}

// slowText returns an identifier of a decoded document.
func slowText(document map[string]any, path ...string) (string, bool) {
	value, ok := slowFind(document, path...)
	switch v := value.(type) {
	case nil:
		return "", ok
	case string:
		return v, ok && len(v) <= MaxIdentifier
	case json.Number:
		if v == "-0" {
			v = "0"
		}
		return string(v), ok && !strings.ContainsAny(string(v), ".eE") && len(v) <= MaxIdentifier
	}
	return "", false
}

func slowFind(document map[string]any, path ...string) (any, bool) {
	var value any = document
	for _, name := range path {
		switch v := value.(type) {
		case nil:
			return nil, true
		case map[string]any:
			value = v[name]
		default:
			return nil, false
		}
	}
	return value, true
}

// extractDocumentSlowly implements Extract for jsonOrders with encoding/json.
func extractDocumentSlowly(payload []byte) (ev Event, data, metadata any, ok bool) {
	document, ok := slowDocument(payload)
	if !ok {
		return ev, nil, nil, false
	}
	var oks [8]bool
	ev.AggregateType = "Order"
	ev.AggregateID, oks[0] = slowText(document, "order", "id")
	ev.Type, oks[1] = slowText(document, "type")
	ev.ID, oks[2] = slowText(document, "id")
	version, found := slowFind(document, "order", "version")
	if number, isNumber := version.(json.Number); isNumber {
		version = string(number)
	}
	if text, isText := version.(string); isText {
		text = strings.TrimPrefix(text, "-")
		n, err := strconv.ParseUint(text, 10, 63)
		found = found && err == nil && (n == 0 || text == version)
		ev.Version = n
	} else {
		found = found && version == nil
	}
	oks[3] = found
	data, oks[4] = slowFind(document, "data")
	metadata, oks[5] = slowFind(document, "context")
	if object, isObject := metadata.(map[string]any); metadata != nil && (!isObject || !storable(mustMarshal(object), metadataDepth)) {
		return ev, nil, nil, false
	} else if len(object) == 0 {
		metadata = nil
	}
	at, found := slowFind(document, "at")
	text, isText := at.(string)
	_, err := time.Parse(time.RFC3339, text)
	oks[6] = found && (at == nil || isText && err == nil)
	oks[7] = ev.AggregateID != "" && ev.Type != ""
	return ev, data, metadata, oks == [8]bool{true, true, true, true, true, true, true, true}
}

func mustMarshal(value any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// randomJSON appends a random document, which now and then is not valid or not an event.
func randomJSON(r *rand.Rand, out []byte, depth int) []byte {
	switch kind := r.IntN(12); {
	case kind < 3 && depth > 0:
		return randomObject(r, out, []string{"a", "b", "type", "id", "order", "é"}, depth)
	case kind < 5 && depth > 0:
		out = append(out, '[')
		for i := range r.IntN(4) {
			if i > 0 {
				out = append(out, ',')
			}
			out = randomJSON(r, out, depth-1)
		}
		return append(out, ']')
	case kind < 9:
		return randomString(r, out)
	}
	literals := []string{"0", "1", "17", "-0", "-1", "3", "9223372036854775807", "9223372036854775808", "123456789012345678901234567890", "1.5", "0.10", "1e2", "1E-7", "1e999", "null", "true", "false"}
	return append(out, literals[r.IntN(len(literals))]...)
}

func randomString(r *rand.Rand, out []byte) []byte {
	texts := []string{`"o-1"`, `"OrderPlaced"`, `"e-1"`, `"\u00e4\n\ud83d\ude00"`, `"2"`, `"{}"`, `"Zoë"`, `"2026-01-02T03:04:05Z"`, `"o-2"`, `"\"\\\/"`}
	rare := []string{`""`, `"\u0000"`, `"\ud800"`, "\"\xff\"", "\"\n\"", `"\x"`, `"` + strings.Repeat("x", 256) + `"`, `"`}
	if r.IntN(60) == 0 {
		return append(out, rare[r.IntN(len(rare))]...)
	}
	return append(out, texts[r.IntN(len(texts))]...)
}

func randomObject(r *rand.Rand, out []byte, names []string, depth int) []byte {
	space := func() {
		if r.IntN(4) == 0 {
			out = append(out, " \n\t\r"[r.IntN(4)])
		}
	}
	out = append(out, '{')
	first := true
	for _, at := range r.Perm(len(names)) {
		if r.IntN(5) == 0 {
			continue
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		space()
		if r.IntN(200) == 0 {
			at = 0 // perhaps twice
		}
		out = append(appendString(out, []byte(names[at])), ':')
		space()
		switch {
		case r.IntN(6) > 0 && names[at] == "order":
			out = randomObject(r, out, []string{"id", "version"}, depth-1)
		case r.IntN(6) > 0 && names[at] == "context":
			out = randomObject(r, out, []string{"user", "é", "id"}, depth-1)
		case r.IntN(6) > 0 && names[at] == "at":
			out = append(out, `"2026-01-02T03:04:05Z"`...)
		case names[at] == "version":
			out = append(out, []string{"0", "null", `"3"`, "7", "-1", "1.5"}[r.IntN(6)]...)
		case names[at] == "id" || names[at] == "type":
			out = randomString(r, out)
		default:
			out = randomJSON(r, out, depth-1)
		}
		space()
	}
	if r.IntN(300) == 0 {
		return out
	}
	return append(out, '}')
}

var eventNames = []string{"id", "type", "order", "data", "context", "at", "more"}

func TestDocumentAgreesWithEncodingJSON(t *testing.T) {
	t.Parallel()
	m := jsonOrders(t)
	r := rand.New(rand.NewPCG(7, 8))
	accepted := 0
	const rounds = 10_000
	for range rounds {
		if agreeDocument(t, m, randomObject(r, nil, eventNames, 5)) {
			accepted++
		}
	}
	if accepted < rounds/10 || accepted > rounds*9/10 {
		t.Errorf("%d of %d payloads are events: too few of one kind to prove anything", accepted, rounds)
	}
}

func FuzzDocument(f *testing.F) {
	m := jsonOrders(f)
	r := rand.New(rand.NewPCG(9, 10))
	for range 300 {
		f.Add(randomObject(r, nil, eventNames, 4))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if !bytes.Contains(payload, []byte("\ufffd")) && !bytes.Contains(bytes.ToLower(payload), []byte(`\ufffd`)) {
			agreeDocument(t, m, payload)
		}
	})
}

// agreeDocument compares the result of Extract with encoding/json, and checks what assigned versions do to the payload. It
// reports whether the payload is an event.
func agreeDocument(t *testing.T, m *Mapping, payload []byte) bool {
	t.Helper()
	before := bytes.Clone(payload)
	got, err := m.Extract(payload)
	if !bytes.Equal(payload, before) {
		t.Fatal("Extract changed the payload")
	}
	want, data, metadata, ok := extractDocumentSlowly(payload)
	if (err == nil) != ok {
		t.Fatalf("%s: error %v, want an error: %v", payload, err, !ok)
	}
	if !ok {
		if !strings.HasPrefix(err.Error(), "invalid event: ") || !utf8.ValidString(err.Error()) {
			t.Errorf("error %q", err)
		}
		m.SameEvent(payload, []byte(`{"order": {"id": 1}, "type": 1}`))
		return false
	}
	if got.ID != want.ID || got.Type != want.Type || got.AggregateID != want.AggregateID || got.AggregateType != want.AggregateType || got.Version != want.Version {
		t.Fatalf("%s:\ngot  %+v\nwant %+v", payload, got, want)
	}
	for _, it := range []struct {
		got  []byte
		want any
	}{{got.Data, data}, {got.Metadata, metadata}} {
		if (it.got == nil) != (it.want == nil) {
			t.Fatalf("%s: value %s, want %v", payload, it.got, it.want)
		}
		if it.got == nil {
			continue
		}
		if value, err := decodeDocument(it.got); err != nil || !reflect.DeepEqual(value, it.want) {
			t.Fatalf("%s: value %s, want %v", payload, it.got, it.want)
		}
	}
	checkAssigned(t, m, payload, &got)
	return true
}

func checkAssigned(t *testing.T, m *Mapping, payload []byte, ev *Event) {
	t.Helper()
	stored := m.AppendVersion(payload, 7)
	if ev.Version != 0 {
		return
	}
	if now, err := m.Extract(stored); err != nil || now.Version != 7 {
		t.Fatalf("%s became %s: version %d, error %v", payload, stored, now.Version, err)
	}
	if !m.SameEvent(payload, stored) || !m.SameEvent(stored, payload) {
		t.Fatalf("%s is not the same event as %s", payload, stored)
	}
	// The version is the only change: what is before and after it is in the payload, too.
	same := 0
	for same < len(payload) && payload[same] == stored[same] {
		same++
	}
	end := 0
	for end < len(payload)-same && payload[len(payload)-1-end] == stored[len(stored)-1-end] {
		end++
	}
	switch replaced := string(payload[same : len(payload)-end]); strings.Trim(replaced, `"-`) {
	case "", "0", "null":
	default:
		t.Fatalf("%s became %s: it lost %q", payload, stored, replaced)
	}
	// Another encoding of the document is the same event; another value is not.
	document, _ := slowDocument(payload)
	again := mustMarshal(document)
	if !m.SameEvent(payload, again) || !m.SameEvent(again, stored) {
		t.Fatalf("%s is not the same event as %s", payload, again)
	}
	document["another"] = 1
	if m.SameEvent(payload, mustMarshal(document)) {
		t.Fatalf("%s is the same event as with another member", payload)
	}
}
