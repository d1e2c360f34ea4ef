package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nats-eventstore/nats-eventstore/examples/stage"
)

// monitor is a push consumer of all events of orders, by a wildcard.
type monitor struct {
	url   string
	story *stage.Story

	mu   sync.Mutex // guards seen
	seen []string   // IDs of the events, in order of arrival
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
	consuming, err := consumer.Consume(m.record)
	if err != nil {
		return fmt.Errorf("consume as MONITOR: %w", err)
	}
	defer consuming.Stop()
	<-ctx.Done()
	return nil
}

func (m *monitor) record(message jetstream.Msg) {
	headers := message.Headers()
	m.story.Say("monitor", "%s, order %.8s, version %s", message.Subject(), headers.Get("Aggregate-Id"), headers.Get("Event-Version"))
	m.mu.Lock()
	m.seen = append(m.seen, headers.Get("Event-Id"))
	m.mu.Unlock()
	_ = message.Ack() // if it fails, the message is redelivered
}

func (m *monitor) events() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.seen...)
}
