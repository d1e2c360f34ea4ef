package test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/upstream"
)

// startMemory runs a binary with NATS Streaming's flags on the memory store.
func startMemory(t *testing.T, binary string, args ...string) *server {
	t.Helper()
	s := prepare(t, binary, append([]string{"-m", "-1", "-store", "MEMORY"}, args...)...)
	s.Launch()
	s.Ready()
	return s
}

// varying are fields whose values differ between runs or servers. Only their types are compared.
var varying = []string{
	"server_id", "version", "go", "now", "start_time", "uptime", "open_fds", "max_fds",
	"hb_inbox", "inbox", "ack_inbox",
}

// outline formats a JSON value in a fixed order, with types in place of varying values.
func outline(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var fields []string
		for name, field := range v {
			text := outline(field)
			if slices.Contains(varying, name) {
				text = fmt.Sprintf("<%T>", field)
			}
			fields = append(fields, fmt.Sprintf("%q: %s", name, text))
		}
		slices.Sort(fields)
		return "{" + strings.Join(fields, ", ") + "}"
	case []any:
		var elements []string
		for _, element := range v {
			elements = append(elements, outline(element))
		}
		slices.Sort(elements)
		return "[\n" + strings.Join(elements, "\n") + "]"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Dashboards and autoscalers for NATS Streaming read these answers. After the same events, ours equal NATS Streaming's
// in every field that does not vary.
func TestMonitoringEqualsUpstream(t *testing.T) {
	t.Parallel()
	theirs, err := upstream.Build(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	file := config(t, `limits { mc: 10, msu: 20, mm: 0, mb: 0, channels { "limited.>": { mm: 5, ma: "1h" }, "limited.one": { ma: "2h", msu: 3 }, "limited.*": { mi: "3h" }, "limited.*.x": { mm: 9 } } }`)
	outlines := make(map[string]string)
	for _, binary := range []string{theirs, harness.Binary()} {
		s := startMemory(t, binary, "-sc", file)
		subscribers(t, s, "foo")
		fill(t, s.connect("publisher"), "limited.one", 7)
		third := s.connect("third")
		_, in := subscribe(t, third, "foo", stan.DeliverAllAvailable())
		in.sequences(t, 3)
		for _, path := range []string{
			"/streaming/serverz", "/streaming/storez",
			"/streaming/clientsz", "/streaming/clientsz?subs=1", "/streaming/clientsz?client=third", "/streaming/clientsz?client=third&subs=1",
			"/streaming/clientsz?offset=1&limit=1", "/streaming/clientsz?offset=100",
			"/streaming/channelsz", "/streaming/channelsz?subs=1", "/streaming/channelsz?channel=foo", "/streaming/channelsz?channel=foo&subs=1",
			"/streaming/channelsz?offset=1&limit=1&subs=1", "/streaming/channelsz?offset=100",
		} {
			got := outline(map[string]any(s.json(path)))
			if want, ok := outlines[path]; ok && got != want {
				t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
			}
			outlines[path] = got
		}
		for _, path := range []string{"/streaming/clientsz?client=x", "/streaming/channelsz?channel=x", "/streaming/isFTActive"} {
			body, resp := s.get(path)
			got := fmt.Sprintf("%s %q %s", resp.Status, body, resp.Header.Get("Content-Type"))
			if want, ok := outlines[path]; ok && got != want {
				t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
			}
			outlines[path] = got
		}
	}
}
