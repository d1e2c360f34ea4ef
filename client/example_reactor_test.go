package eventstore_test

import (
	"context"
	"errors"
	"log"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// Members of a group share the work of a reactor, and a table keeps them from doing it twice.
func ExampleReactor_Consume() {
	ctx, client, stop := connect()
	defer stop()
	reactor := eventstore.Reactor{
		Name: "mails", DB: database, Dialect: eventstore.PostgreSQL, Registry: accountEvents(), SkipUnknown: true,
		Handle: func(ctx context.Context, event *eventstore.Event) error {
			return send(ctx, event.Key(), event.Data) // the mail server refuses a key that it knows
		},
	}
	err := reactor.Consume(ctx, eventstore.Consumer{Client: client, Channel: "eventstore.accounts", Concurrency: 8})
	if errors.Is(err, eventstore.ErrActive) {
		log.Fatal("another program uses the durable")
	}
}

func send(context.Context, string, any) error { return nil }

// Once is for events that come from elsewhere: a queue of one's own, for instance.
func ExampleReactor_Once() {
	ctx := context.Background()
	reactor := eventstore.Reactor{Name: "mails", DB: database, Dialect: eventstore.PostgreSQL, Handle: func(context.Context, *eventstore.Event) error { return nil }}
	once, err := reactor.Once(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for event := range queue {
		if err := once(ctx, event); err != nil {
			log.Fatal(err)
		}
	}
	// The records of events that never come again are not needed any more.
	if err := reactor.Forget(ctx, "eventstore.accounts", 1_000_000); err != nil {
		log.Fatal(err)
	}
}

var queue chan *eventstore.Event
