package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/examples/stage"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// kitchen is the channel that the server routes placed orders to: see configuration.
const kitchen = "kitchen"

// restaurant cooks what is ordered. It reads the channel kitchen as a durable subscriber with manual acks: an order that it
// did not decide on, because it crashed, comes again, and since a decision is one command, it is decided once.
type restaurant struct {
	url    string
	cook   string
	orders *eventstore.Repository[Order]
	story  *stage.Story
	// drop, if not nil, has the restaurant crash after a decision and before its acknowledgement.
	drop chan<- string
}

func (r *restaurant) run(ctx context.Context) error {
	sc, err := stan.Connect("test-cluster", "restaurant", stan.NatsURL(r.url))
	if err != nil {
		return err
	}
	// The connection ends without a word, as in a crash. A durable subscription that is only closed is kept as well.
	defer sc.NatsConn().Close()
	failed := make(chan error, 1)
	_, err = sc.Subscribe(kitchen, func(m *stan.Msg) {
		if err := r.decide(ctx, m); err != nil {
			select {
			case failed <- err:
			default:
			}
		}
	}, stan.DurableName("restaurant"), stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.AckWait(10*time.Second), stan.MaxInflight(4))
	if err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

func (r *restaurant) decide(ctx context.Context, m *stan.Msg) error {
	if ctx.Err() != nil {
		return nil // it has crashed
	}
	var placed eventstorev1.Event
	if err := proto.Unmarshal(m.Data, &placed); err != nil {
		return fmt.Errorf("decode sequence %d of channel %s: %w", m.Sequence, kitchen, err)
	}
	again := ""
	if m.Redelivered {
		again = ", once more"
	}
	order, err := r.orders.Execute(ctx, placed.AggregateId, func(o Order, _ uint64) ([]any, error) { return o.cook(r.cook) })
	switch {
	case errors.Is(err, errDecided):
		r.story.Say(r.cook, "gets order %d%s: it is decided already", m.Sequence, again)
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	default:
		r.story.Say(r.cook, "gets order %d%s, a %s for %s: %s", m.Sequence, again, order.Placed.Dish, order.Placed.Customer, order.Status)
	}
	if r.drop != nil {
		r.drop <- placed.AggregateId
		<-ctx.Done()
		return nil
	}
	return m.Ack()
}
