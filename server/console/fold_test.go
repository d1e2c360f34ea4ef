package console

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

func TestFold(t *testing.T) {
	state := make(map[string]any)
	for _, patch := range []string{
		`{"a": 1, "b": {"c": 2, "d": 12345678901234567890}, "e": [1, 2]}`, `{"b": {"c": null, "x": "<y>"}}`, `{"a": {"n": true}, "e": [], "gone": null}`,
	} {
		object, ok := decodeObject([]byte(patch))
		if !ok {
			t.Fatalf("%s is no object", patch)
		}
		merge(state, object)
	}
	if got, want := encode(state), `{"a":{"n":true},"b":{"d":12345678901234567890,"x":"<y>"},"e":[]}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, text := range []string{``, `[]`, `1`, `{} {}`, `{"a"`, "\x00"} {
		if _, ok := decodeObject([]byte(text)); ok {
			t.Errorf("%q is taken for an object", text)
		}
	}
}

func TestDifferences(t *testing.T) {
	before, _ := decodeObject([]byte(`{"same": 1, "a": {"b": 1, "c.d": 2}, "list": [1, {"x": 1}], "empty": {}, "n": 1}`))
	kept := clone(before)
	after, _ := decodeObject([]byte(`{"same": 1, "a": {"b": 2}, "list": [1, {"x": 2}, 3], "empty": {"y": []}, "n": 1.0}`))
	want := []difference{
		{"a.b", "1", "2"}, {`a["c.d"]`, "2", ""}, {"empty", "{}", ""}, {"empty.y", "", "[]"}, {"list[1].x", "1", "2"}, {"list[2]", "", "3"}, {"n", "1", "1.0"},
	}
	if got, cut := differences(before, after); cut || !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	merge(before, after)
	if encode(kept) == encode(before) {
		t.Error("a change of an object changes its copy")
	}
}

// TestTextsOfJSON shows a text of nothing but brackets, which indented would take a gigabyte.
func TestTextsOfJSON(t *testing.T) {
	deep := strings.Repeat("[", 9000) + strings.Repeat("]", 9000)
	if c := (&Console{}).contentsOf("application/json", "", []byte(deep)); c.Kind != "JSON" || len(c.Text) != len(deep) {
		t.Errorf("%s of %d bytes", c.Kind, len(c.Text))
	}
	long := "[" + strings.Repeat("0,", showBytes) + "0]"
	if c := (&Console{}).contentsOf("", "", []byte(long)); !c.Cut || len(c.Text) > showBytes {
		t.Errorf("%d bytes, cut %v", len(c.Text), c.Cut)
	}
	if shown := prettyJSON([]byte(`{"a":[1]}`)); !strings.Contains(shown, "\n") {
		t.Errorf("not indented: %s", shown)
	}
}

// TestLargeDifferences compares states of more members, deeper ones and longer ones than a page can show.
func TestLargeDifferences(t *testing.T) {
	wide, _ := decodeObject([]byte(`{"m": [` + strings.Repeat("1,", 100_000) + `1], "a": "` + strings.Repeat("x", 1<<20) + `"}`))
	changed, cut := differences(nil, wide)
	if !cut || len(changed) != maxDifferences || len(changed[0].After) > maxDifference+10 {
		t.Errorf("%d differences, cut: %t", len(changed), cut)
	}
	deep, ok := decodeObject([]byte(strings.Repeat(`{"a":`, 9000) + "[" + strings.Repeat("1,", 100_000) + "1]" + strings.Repeat("}", 9000)))
	if !ok {
		t.Fatal("not decoded")
	}
	if changed, cut := differences(nil, deep); !cut || len(changed) > 0 {
		t.Errorf("%d differences of a deep state, cut: %t", len(changed), cut)
	}
}

// TestLargeMetadata lists an event whose metadata have a MiB.
func TestLargeMetadata(t *testing.T) {
	e := (&Console{}).brief(&eventstorev1.RecordedEvent{Event: &eventstorev1.Event{EventData: []byte("{}"), Metadata: map[string]string{"k": strings.Repeat("v", 1<<20)}}})
	if size := proto.Size(e); size > 1000 {
		t.Errorf("a list keeps %d bytes of it", size)
	}
}
