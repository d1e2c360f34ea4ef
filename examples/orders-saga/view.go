package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nats-eventstore/nats-eventstore/examples/stage"
)

// createView creates the tables of the read model. position holds the last applied sequence of the stream.
var createView = []string{
	"CREATE TABLE position (sequence INTEGER NOT NULL)",
	"INSERT INTO position (sequence) VALUES (0)",
	"CREATE TABLE orders_view (id TEXT PRIMARY KEY, customer TEXT NOT NULL, cents INTEGER NOT NULL, status TEXT NOT NULL)",
	"CREATE TABLE accounts_view (customer TEXT PRIMARY KEY, cents INTEGER NOT NULL)",
}

// view maintains the read model. It pulls batches of the stream, in order, from its position on. It applies each batch in the
// transaction that moves the position, so it applies each message once even if it crashes.
type view struct {
	url   string
	db    *sql.DB
	story *stage.Story
}

func (v *view) run(ctx context.Context) error {
	nc, err := nats.Connect(v.url)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	var position uint64
	if err := v.db.QueryRowContext(ctx, "SELECT sequence FROM position").Scan(&position); err != nil {
		return err
	}
	v.story.Say("view", "starts after message %d of the stream", position)
	consumer, err := js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: position + 1,
	})
	if err != nil {
		return fmt.Errorf("pull from sequence %d of stream %s: %w", position+1, stream, err)
	}
	for ctx.Err() == nil {
		batch, err := consumer.Fetch(10, jetstream.FetchMaxWait(200*time.Millisecond))
		if err != nil {
			return fmt.Errorf("pull from stream %s: %w", stream, err)
		}
		var messages []jetstream.Msg
		for message := range batch.Messages() {
			messages = append(messages, message)
		}
		if err := batch.Error(); err != nil && ctx.Err() == nil {
			return fmt.Errorf("pull from stream %s: %w", stream, err)
		}
		if len(messages) == 0 || ctx.Err() != nil {
			continue
		}
		if err := v.apply(ctx, messages); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// apply applies a batch in one transaction.
func (v *view) apply(ctx context.Context, messages []jetstream.Msg) (err error) {
	tx, err := v.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // a no-op after Commit; otherwise the first error is the one to return
	for _, message := range messages {
		if err := change(ctx, tx, message); err != nil {
			return fmt.Errorf("project %s: %w", message.Subject(), err)
		}
	}
	last, err := messages[len(messages)-1].Metadata()
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE position SET sequence = ?", last.Sequence.Stream); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	v.story.Say("view", "applied %d messages, up to %d", len(messages), last.Sequence.Stream)
	return nil
}

// change applies one message. It holds only event_data, as the route configures; the headers hold the other fields.
func change(ctx context.Context, tx *sql.Tx, message jetstream.Msg) error {
	var data struct {
		Customer string
		Cents    int64
	}
	err := json.Unmarshal(message.Data(), &data)
	exec := func(text string, args ...any) {
		if err == nil {
			_, err = tx.ExecContext(ctx, text, args...)
		}
	}
	id := message.Headers().Get("Aggregate-Id")
	switch kind := message.Headers().Get("Event-Type"); kind {
	case "OrderPlaced":
		exec("INSERT INTO orders_view (id, customer, cents, status) VALUES (?, ?, ?, 'placed')", id, data.Customer, data.Cents)
	case "OrderCompleted":
		exec("UPDATE orders_view SET status = 'completed' WHERE id = ?", id)
	case "OrderCancelled":
		exec("UPDATE orders_view SET status = 'cancelled' WHERE id = ?", id)
	case "AccountOpened":
		exec("INSERT INTO accounts_view (customer, cents) VALUES (?, ?)", id, data.Cents)
	case "PaymentDebited":
		exec("UPDATE accounts_view SET cents = cents - ? WHERE customer = ?", data.Cents, id)
	case "PaymentVoided":
		exec("UPDATE accounts_view SET cents = cents + ? WHERE customer = ?", data.Cents, id)
	case "ReviewApproved", "ReviewRejected", "PaymentRefused":
	default:
		err = errors.Join(err, fmt.Errorf("unknown event type %q", kind))
	}
	return err
}
