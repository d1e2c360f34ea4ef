package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nats-eventstore/nats-eventstore/examples/stage"
)

// worker is a member of a durable queue group of a push consumer. If its work fails or it crashes, the message is redelivered
// to any member, so the work must be idempotent.
type worker struct {
	url, name string
	group     string   // name of the durable consumer and of its queue group
	subjects  []string // subjects to consume
	work      func(context.Context, jetstream.Msg) error
	story     *stage.Story
	// drop, if not nil, makes the worker crash between its work and the acknowledgement.
	drop chan<- string
}

func (w *worker) run(ctx context.Context) error {
	nc, err := nats.Connect(w.url)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	consumer, err := js.CreateOrUpdatePushConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable: w.group, DeliverSubject: "deliver." + w.group, DeliverGroup: w.group, FilterSubjects: w.subjects,
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second,
	})
	if err != nil {
		return fmt.Errorf("create consumer %s: %w", w.group, err)
	}
	consuming, err := consumer.Consume(func(message jetstream.Msg) { w.handle(ctx, message) })
	if err != nil {
		return fmt.Errorf("consume as %s: %w", w.group, err)
	}
	defer consuming.Stop()
	<-ctx.Done()
	return nil
}

func (w *worker) handle(ctx context.Context, message jetstream.Msg) {
	if ctx.Err() != nil {
		return // crashed
	}
	err := w.work(ctx, message)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil && !errors.Is(err, errPaid) && !errors.Is(err, errReviewed):
		w.story.Say(w.name, "failed, will retry: %v", err)
		_ = message.NakWithDelay(100 * time.Millisecond) // if it fails, AckWait redelivers the message
		return
	case err != nil:
		w.story.Say(w.name, "gets %.8s again: %v", message.Headers().Get("Aggregate-Id"), err)
	}
	if w.drop != nil {
		w.drop <- message.Headers().Get("Aggregate-Id")
		<-ctx.Done()
		return
	}
	_ = message.Ack() // if it fails, the message is redelivered
}

// payment pays placed orders.
func (s *shop) payment(story *stage.Story, name string) func(context.Context, jetstream.Msg) error {
	return func(ctx context.Context, message jetstream.Msg) error {
		id := message.Headers().Get("Aggregate-Id")
		order, _, err := s.orders.Load(ctx, id)
		if err != nil {
			return err
		}
		result, err := s.accounts.Execute(ctx, order.Placed.Customer, func(a Account, _ uint64) ([]any, error) {
			return a.pay(id, order.Placed.Cents)
		})
		if err == nil {
			story.Say(name, "order %.8s: %d cents of %s are %s", id, order.Placed.Cents, order.Placed.Customer, result.State.Payments[id])
		}
		return err
	}
}

// review reviews placed orders.
func (s *shop) review(story *stage.Story, name string) func(context.Context, jetstream.Msg) error {
	return func(ctx context.Context, message jetstream.Msg) error {
		id := message.Headers().Get("Aggregate-Id")
		result, err := s.orders.Execute(ctx, id, func(o Order, _ uint64) ([]any, error) { return o.review() })
		if err == nil {
			story.Say(name, "order %.8s: %s", id, result.State.Review)
		}
		return err
	}
}
