package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nats-eventstore/nats-eventstore/examples/stage"
)

// monitor is pushed everything that happens to orders, by a wildcard.
type monitor struct {
	url   string
	story *stage.Story

	mu   sync.Mutex // guards seen
	seen []string   // Event-Id by the order in which they came
}

func (m *monitor) run(ctx context.Context) error {
	nc, err := nats.Connect(m.url)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	consumer, err := js.CreateOrUpdatePushConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable: "MONITOR", DeliverSubject: "monitor.orders", FilterSubject: stream + ".*", AckPolicy: jetstream.AckExplicitPolicy,
	})
	if err != nil {
		return fmt.Errorf("create consumer MONITOR: %w", err)
	}
	pushed, err := consumer.Consume(m.note)
	if err != nil {
		return fmt.Errorf("consume as MONITOR: %w", err)
	}
	defer pushed.Stop()
	<-ctx.Done()
	return nil
}

func (m *monitor) note(message jetstream.Msg) {
	headers := message.Headers()
	m.story.Say("monitor", "%s, order %.8s, version %s", message.Subject(), headers.Get("Aggregate-Id"), headers.Get("Event-Version"))
	m.mu.Lock()
	m.seen = append(m.seen, headers.Get("Event-Id"))
	m.mu.Unlock()
	_ = message.Ack() // if it fails the message comes again
}

func (m *monitor) events() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.seen...)
}
