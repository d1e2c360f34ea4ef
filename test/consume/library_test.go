package consume_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/client/streaming"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// library returns a client of the Go library.
func (s *server) library() *eventstore.Client {
	s.t.Helper()
	c, err := eventstore.New(eventstore.Options{URLs: []string{s.url()}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// TestConsumer: the library's consumer handles every event, whatever breaks off meanwhile. What it rejects, it gets again, or it is
// parked or skipped. At the end it has acknowledged all that it handled.
func TestConsumer(t *testing.T) {
	t.Parallel()
	const events, failing, poison, unwanted = 500, 7, 11, 13
	source := databases.SQLite(t)
	s := start(t, "sqlite", source)
	s.fill(orders, events)
	h := newHandled(events)
	half := make(chan struct{})
	reached := sync.OnceFunc(func() { close(half) })
	c := &eventstore.Consumer{
		Client: s.library(), Channel: orders, ClientID: "app", Durable: "d", Concurrency: 4, Credit: 20,
		Handle: func(_ context.Context, event *eventstore.Event) error {
			if event.Sequence >= events/2 {
				reached()
			}
			switch {
			case event.Sequence == failing && event.Deliveries < 3:
				return errors.New("the mail server is busy")
			case event.Sequence == poison:
				h.add("parked", poison)
				return &eventstore.Rejection{Err: errors.New("no such customer"), Park: true}
			case event.Sequence == unwanted:
				h.add("skipped", unwanted)
				return fmt.Errorf("unwanted: %w", &eventstore.Rejection{Skip: true})
			}
			h.add("handled", event.Sequence)
			return nil
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	<-half
	s.Kill()
	s.Restart()
	select {
	case <-h.done:
	case err := <-ended:
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v", err)
	}
	if got := parked(t, source); len(got) != 1 || got[0][:3] != "11*" {
		t.Errorf("parked: %v", got)
	}
	m := s.join(&open{Channel: orders, ClientId: "app", Durable: "d", Credit: 1})
	if got := m.opened; got.GetLastSent() != events || got.GetUnacknowledged() > 0 {
		t.Errorf("the consumer left %v", got)
	}
	if err := c.Run(t.Context()); !errors.Is(err, eventstore.ErrActive) {
		t.Errorf("a second consumer of the durable: %v", err)
	}
	c.ClientID = "not valid"
	if err := c.Run(t.Context()); err == nil {
		t.Error("an invalid client ID was accepted")
	}
}

// TestReactorConsume: a reactor shares its work over the API and NATS Streaming, and handles each event once. What fails for good is
// parked on the server.
func TestReactorConsume(t *testing.T) {
	t.Parallel()
	const events, poison = 200, 5
	source := databases.SQLite(t)
	s := start(t, "sqlite", source)
	h := newHandled(events)
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "reactions.db")+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	reactor := func(who string) *eventstore.Reactor {
		return &eventstore.Reactor{
			Name: "mails", DB: db, Dialect: eventstore.SQLite, Attempts: 3,
			Handle: func(_ context.Context, event *eventstore.Event) error {
				if who == "api" && event.Sequence == poison {
					if event.Deliveries == 3 {
						h.add("parked", poison)
					}
					return errors.New("no such customer")
				}
				h.add(who, event.Sequence)
				return nil
			},
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() {
		err := reactor("api").Consume(ctx, eventstore.Consumer{Client: s.library(), Channel: orders, Concurrency: 2})
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	s.fill(orders, events)
	nats := s.connect("worker")
	running.Go(func() {
		worker := streaming.Worker{Reactor: reactor("nats"), Conn: nats, Channel: orders, AckWait: 10 * time.Second}
		if err := worker.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	<-h.done
	cancel()
	running.Wait()
	for seq, n := range h.count {
		if n != 1 {
			t.Errorf("sequence %d was handled %d times", seq, n)
		}
	}
	if h.by["parked"]+h.by["nats"] == 0 {
		t.Errorf("handled by %v", h.by)
	}
}
