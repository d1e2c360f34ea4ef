package streaming_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"time"

	"github.com/nats-io/stan.go"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/client/streaming"
)

// A projector that reads through NATS Streaming.
func ExampleSource() {
	var db *sql.DB // of the read model
	ctx, lost := context.WithCancelCause(context.Background())
	sc, err := stan.Connect("test-cluster", "balances", stan.SetConnectionLostHandler(func(_ stan.Conn, err error) { lost(err) }))
	if err != nil {
		log.Fatal(err)
	}
	projector := eventstore.Projector{
		Name: "balances", DB: db, Dialect: eventstore.PostgreSQL,
		Source: &streaming.Source{Conn: sc, Channel: "eventstore.accounts"},
		Apply: func(ctx context.Context, tx *sql.Tx, event *eventstore.Event) error {
			_, err := tx.ExecContext(ctx, "UPDATE accounts SET changed = $1 WHERE id = $2", event.RecordedAt, event.AggregateID)
			return err
		},
	}
	log.Fatal(projector.Run(ctx))
}

// Members of a queue group, in this process or others, share the events of a channel.
func ExampleWorker() {
	var db *sql.DB
	sc, err := stan.Connect("test-cluster", "mailer-1")
	if err != nil {
		log.Fatal(err)
	}
	worker := streaming.Worker{
		Conn: sc, Channel: "eventstore.accounts", AckWait: 10 * time.Second,
		Reactor: &eventstore.Reactor{
			Name: "mailers", DB: db, Dialect: eventstore.PostgreSQL,
			Handle: func(_ context.Context, event *eventstore.Event) error {
				fmt.Println("a mail about", event.AggregateID)
				return nil
			},
		},
	}
	log.Fatal(worker.Run(context.Background()))
}

// The last hour of a channel.
func ExampleReplay() {
	replay := streaming.Replay{
		Cluster: "test-cluster", ClientIDPrefix: "report", Channel: "eventstore.accounts", Start: stan.StartAtTimeDelta(time.Hour),
	}
	err := replay.Run(context.Background(), func(event *eventstore.Event) error {
		fmt.Println(event.RecordedAt, event.Type, event.AggregateID)
		return nil
	})
	log.Fatal(err)
}
