package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/examples/stage"
)

// reviewer pulls placed orders from the stream, a few at a time, and approves or denies them. It appends each decision to the
// event store; the server relays it to the stream.
type reviewer struct {
	url, name string
	orders    *eventstore.Repository[Order]
	story     *stage.Story
	// drop, if not nil, makes the reviewer crash between a decision and its acknowledgement.
	drop chan<- string
}

func (r *reviewer) run(ctx context.Context) error {
	nc, err := nats.Connect(r.url)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	consumer, err := js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable: "REVIEW", FilterSubject: stream + ".OrderPlaced", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second,
	})
	if err != nil {
		return fmt.Errorf("create consumer REVIEW: %w", err)
	}
	for ctx.Err() == nil {
		batch, err := consumer.Fetch(5, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return fmt.Errorf("pull orders: %w", err)
		}
		for message := range batch.Messages() {
			if err := r.review(ctx, message); err != nil && ctx.Err() == nil {
				return err
			}
		}
		if err := batch.Error(); err != nil && ctx.Err() == nil {
			return fmt.Errorf("pull orders: %w", err)
		}
	}
	return nil
}

func (r *reviewer) review(ctx context.Context, message jetstream.Msg) error {
	if ctx.Err() != nil {
		return nil // crashed
	}
	id := message.Headers().Get("Aggregate-Id")
	result, err := r.orders.Execute(ctx, id, func(o Order, _ uint64) ([]any, error) { return o.review(r.name) })
	switch {
	case errors.Is(err, errReviewed): // a redelivered message
		r.story.Say(r.name, "order %.8s is redelivered, but already reviewed", id)
	case err != nil:
		return err
	default:
		order := result.State
		r.story.Say(r.name, "order %.8s of %s for %d cents is %s", id, order.Placed.Customer, order.Placed.Cents, order.Status)
	}
	if r.drop != nil {
		r.drop <- id
		<-ctx.Done()
		return nil
	}
	return message.DoubleAck(ctx)
}
