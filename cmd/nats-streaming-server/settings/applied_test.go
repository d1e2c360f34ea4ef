package settings

import (
	"os"
	"slices"
	"testing"
)

// A reload names what has changed and needs a restart, wherever the value comes from.
func TestChangedSettings(t *testing.T) {
	source := write(t, "source", "a.db")
	args := func(text string) []string {
		return []string{"-a", "127.0.0.1", "-store", "SQL", "-sql_driver", "sqlite", "-sql_source_file", source, "-hbi", "5s", "-c", write(t, "server.conf", "streaming { "+text+" }")}
	}
	const before = `hb_interval: "1s", grpc { token: a }, limits { channels { "a.*" { max_msgs: 1 } } }
		routes: [ { from: "eventstore.a", channel: x }, { from: "eventstore.b", channel: y } ]`
	first, err := Configure(args(before))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(source, []byte("b.db"), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]string{
		before: {"sql_source"},
		`hb_interval: "2s", grpc { token: b, max_message: 1KB }, limits { channels { "a.*" { max_msgs: 2 } } }
		routes: [ { from: "eventstore.a", channel: y }, { from: "eventstore.b", channel: x } ]`: {"max_msgs of a.*", "routes.channel", "sql_source"},
		`store_timeout: "7s", grpc { port: 4222 }`: {"grpc_port", "max_msgs of a.*", "routes.channel", "routes.from", "sql_source", "store_timeout"},
	} {
		now, err := Configure(args(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := first.Applied.Changed(now.Applied); !slices.Equal(got, want) {
			t.Errorf("%s: changed %q, want %q", text, got, want)
		}
	}
}
