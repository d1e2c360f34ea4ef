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

// kitchen is the channel to which the server routes placed orders; see configuration.
const kitchen = "kitchen"

// restaurant decides on placed orders. It reads the channel kitchen as a durable subscriber with manual acks. After a crash,
// the server redelivers unacknowledged orders. A decision is one command, so each order is decided once.
type restaurant struct {
	url    string
	cook   string
	orders *eventstore.Repository[Order]
	story  *stage.Story
	// drop, if not nil, makes the restaurant crash between a decision and its acknowledgement.
	drop chan<- string
}

func (r *restaurant) run(ctx context.Context) error {
	sc, err := stan.Connect("test-cluster", "restaurant", stan.NatsURL(r.url))
	if err != nil {
		return err
	}
	// This drops the connection without closing the subscription, as a crash would.
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
		return nil // crashed
	}
	var placed eventstorev1.Event
	if err := proto.Unmarshal(m.Data, &placed); err != nil {
		return fmt.Errorf("decode sequence %d of channel %s: %w", m.Sequence, kitchen, err)
	}
	redelivered := ""
	if m.Redelivered {
		redelivered = " again"
	}
	result, err := r.orders.Execute(ctx, placed.AggregateId, func(o Order, _ uint64) ([]any, error) { return o.cook(r.cook) })
	switch {
	case errors.Is(err, errDecided):
		r.story.Say(r.cook, "gets order %d%s: already decided", m.Sequence, redelivered)
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	default:
		order := result.State
		r.story.Say(r.cook, "gets order %d%s, a %s for %s: %s", m.Sequence, redelivered, order.Placed.Dish, order.Placed.Customer, order.Status)
	}
	if r.drop != nil {
		r.drop <- placed.AggregateId
		<-ctx.Done()
		return nil
	}
	return m.Ack()
}
