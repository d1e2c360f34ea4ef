package client

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	"github.com/nats-eventstore/nats-eventstore/client"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// The second form of a deposit names its currency.
type deposited2 struct {
	Cents    int64
	Currency string
}

// TestSchemaVersions: a filter and a route on an event's type get its events of all schema versions, and a repository builds its state from
// all. A program that is older than an event's schema says so.
func TestSchemaVersions(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte(`streaming { routes { types: "Deposited", channel: "deposits" } }`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &server{harness.Start(t, "sqlite", databases.SQLite(t), "-grpc_host", "127.0.0.1", "-grpc_port", "-1", "-sc", file), t, "sqlite", ""}
	old, c := s.accounts(), s.client()
	s.deposit(old, "a", 2)

	now := eventstore.NewRegistry()
	eventstore.Register[opened](now, "AccountOpened")
	eventstore.Register[deposited](now, "Deposited")
	eventstore.Register[deposited2](now, "Deposited", eventstore.SchemaVersion(2))
	eventstore.Upcast(now, func(d deposited) (deposited2, error) { return deposited2{d.Cents, "EUR"}, nil })
	accounts := eventstore.Repository[map[string]int64]{
		Client: c, Channel: channel, AggregateType: "Account", Registry: now,
		Apply: func(sums map[string]int64, e *eventstore.Event) map[string]int64 {
			if d, ok := e.Data.(deposited2); ok {
				if sums == nil {
					sums = map[string]int64{}
				}
				sums[d.Currency] += d.Cents
			}
			return sums
		},
	}
	result, err := accounts.Execute(patient(t), "a", func(map[string]int64, uint64) ([]any, error) { return []any{deposited2{7, "USD"}}, nil })
	if text, _ := json.Marshal(result.State); err != nil || string(text) != `{"EUR":3,"USD":7}` {
		t.Fatalf("state %s, error %v", text, err)
	}

	var payloads []string
	err = c.Replay(patient(t), channel, eventstore.FromBeginning(), eventstore.Filter{EventTypes: []string{"Deposited"}}, func(e *eventstore.Event) error {
		if payloads = append(payloads, string(e.Payload)); len(payloads) == 3 {
			return eventstore.ErrStop
		}
		return nil
	})
	if want := []string{`{"Cents":1}`, `{"Cents":2}`, `{"Cents":7,"Currency":"USD"}`}; err != nil || !slices.Equal(payloads, want) {
		t.Errorf("the filter got %v, error %v", payloads, err)
	}

	versions := make(chan string, 3)
	if _, err := s.stan("reader").Subscribe("deposits", func(m *stan.Msg) {
		var e eventstorev1.Event
		if err := proto.Unmarshal(m.Data, &e); err != nil {
			t.Error(err)
		}
		versions <- e.GetMetadata()[eventstore.MetadataSchemaVersion]
	}, stan.DeliverAllAvailable()); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", "", "2"} {
		select {
		case got := <-versions:
			if got != want {
				t.Errorf("routed event %d has schema version %q, want %q", i+1, got, want)
			}
		case <-patient(t).Done():
			t.Fatal("the route did not get all events")
		}
	}

	if _, _, err := old.Load(patient(t), "a"); !errors.Is(err, eventstore.ErrUnknownType) {
		t.Errorf("an older program: error %v, want ErrUnknownType", err)
	}
}
