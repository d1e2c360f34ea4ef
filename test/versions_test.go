package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// TestVersionsOfChannels: the configuration decides which versions a channel accepts, and clients get precise errors.
func TestVersionsOfChannels(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		file := filepath.Join(t.TempDir(), "server.conf")
		config := `streaming { events { channels: ["eventstore.>"], versions: ["eventstore.imports.*=unique", "eventstore.audit=off"] } }`
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		s := start(t, driver, source, "-c", file)
		sc := s.connect("client")
		taken := `stan: wrong expected version: aggregate "A" has an event with version 5`
		for _, it := range []struct {
			channel string
			publish []uint64
			errors  map[int]string // by position
			columns string
			seen    []uint64 // received by subscribers
		}{
			{orders, []uint64{0, 2, 2, 0, 5}, map[int]string{
				2: `stan: wrong expected version: aggregate "A" is at version 2, event has version 2`,
				4: `stan: wrong expected version: aggregate "A" is at version 3, event has version 5`,
			}, "1 2 3", []uint64{1, 2, 3}},
			{"eventstore.imports.old", []uint64{5, 5, 3, 0, 1, 5}, map[int]string{1: taken, 5: taken}, "5 3 6 1", []uint64{5, 3, 6, 1}},
			{"eventstore.audit", []uint64{5, 5, 0, 1}, nil, "1 2 3 4", []uint64{5, 5, 3, 1}},
		} {
			for i, version := range it.publish {
				err := sc.Publish(it.channel, event(t, "A", "T", withVersion(version)))
				got := ""
				if err != nil {
					got = err.Error()
				}
				if got != it.errors[i] {
					t.Errorf("%s: event %d with version %d: error %q, want %q", it.channel, i, version, got, it.errors[i])
				}
			}
			if got := strings.Join(query(t, driver, source, "SELECT event_version FROM events WHERE channel = '"+it.channel+"' ORDER BY sequence"), " "); got != it.columns {
				t.Errorf("%s: versions %s, want %s", it.channel, got, it.columns)
			}
			_, in := subscribe(t, sc, it.channel, stan.DeliverAllAvailable())
			for i, want := range it.seen {
				var ev eventstorev1.Event
				if err := proto.Unmarshal(in.next(t).Data, &ev); err != nil || ev.EventVersion != want {
					t.Errorf("%s: subscribers receive version %d for event %d, want %d (%v)", it.channel, ev.EventVersion, i+1, want, err)
				}
			}
		}
	})
}
