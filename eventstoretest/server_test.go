package eventstoretest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/stan.go"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/eventstoretest"
)

const channel = "eventstore.accounts"

// deposit is an event of account a.
func deposit(id string) eventstore.NewEvent {
	return eventstore.NewEvent{ID: id, Type: "Deposited", AggregateType: "Account", AggregateID: "a", Payload: []byte(`{"cents":5}`)}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func mustAppend(t *testing.T, c *eventstore.Client, events ...eventstore.NewEvent) []eventstore.Position {
	t.Helper()
	at, err := c.Append(within(t), channel, events)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// ids returns the IDs of the events of account a.
func ids(t *testing.T, c *eventstore.Client) string {
	t.Helper()
	events, err := c.Load(within(t), channel, "Account", "a", 1)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range events {
		all = append(all, e.ID)
	}
	return fmt.Sprint(all)
}

// Servers run side by side and share nothing.
func TestServersSideBySide(t *testing.T) {
	t.Parallel()
	var running sync.WaitGroup
	for i := range 4 {
		server := eventstoretest.Start(t)
		client := server.Client()
		running.Go(func() {
			id := fmt.Sprint("e", i)
			if _, err := client.Append(t.Context(), channel, []eventstore.NewEvent{deposit(id)}); err != nil {
				t.Error(err)
			}
		})
		t.Cleanup(func() {
			var found string
			if err := server.DB().QueryRow("SELECT group_concat(event_id) FROM events").Scan(&found); err != nil || found != fmt.Sprint("e", i) {
				t.Errorf("server %d has %q, %v", i, found, err)
			}
		})
	}
	running.Wait()
}

func TestEachDoor(t *testing.T) {
	t.Parallel()
	server := eventstoretest.Start(t, eventstoretest.Token("secret"), eventstoretest.Config(`
		streaming {
			routes: [ { from: "eventstore.accounts", channel: copies } ]
		}`))
	mustAppend(t, server.Client(), deposit("1"))

	stranger, err := eventstore.New(eventstore.Options{URLs: []string{server.URL()}})
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if _, err := stranger.Append(within(t), channel, []eventstore.NewEvent{deposit("2")}); connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("without the token: %v", err)
	}

	sc, err := stan.Connect(server.ClusterID(), "test", stan.NatsURL(server.NATSURL()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sc.Close() }()
	copied := make(chan *stan.Msg, 1)
	if _, err := sc.Subscribe("copies", func(m *stan.Msg) { copied <- m }, stan.DeliverAllAvailable()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-copied:
	case <-time.After(time.Minute):
		t.Error("the route did not copy the event")
	}
}

func TestRestart(t *testing.T) {
	t.Parallel()
	server := eventstoretest.Start(t)
	client, url := server.Client(), server.URL()
	mustAppend(t, client, deposit("1"))
	server.Restart()
	if server.URL() != url {
		t.Errorf("after a restart it is at %s, before at %s", server.URL(), url)
	}
	mustAppend(t, client, deposit("2"))
	server.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := client.Append(ctx, channel, []eventstore.NewEvent{deposit("3")}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while it is stopped: %v", err)
	}
	server.Restart()
	if got := ids(t, client); got != "[1 2]" {
		t.Errorf("it has %s", got)
	}
}

func TestRestore(t *testing.T) {
	t.Parallel()
	server := eventstoretest.Start(t)
	client := server.Client()
	mustAppend(t, client, deposit("1"))
	backup := server.Snapshot()
	for range 2 {
		mustAppend(t, client, deposit("2"), deposit("3"))
		server.Restore(backup)
		if got := ids(t, client); got != "[1]" {
			t.Errorf("after the restore it has %s", got)
		}
	}
	if at := mustAppend(t, client, deposit("4")); at[0].Version != 2 || at[0].Position != 2 {
		t.Errorf("the next event is at %+v", at[0])
	}
}

func TestMistakesInConfig(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"streaming { rotues: [] }":                         "eventstoretest.Config",
		"streaming { store: SQL, sql { driver: sqlite } }": "data source",
		"streaming { store: FILE }":                        "leave the store out",
	} {
		inner := &recorder{TB: t}
		inner.run(func() { eventstoretest.Start(inner, eventstoretest.Config(text)) })
		if !inner.failed || !strings.Contains(inner.text, want) {
			t.Errorf("%s: %q, want %q", text, inner.text, want)
		}
	}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		inner := &recorder{TB: b}
		inner.run(func() { eventstoretest.Start(inner) })
		if inner.failed {
			b.Fatal(inner.text)
		}
	}
}
