package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/examples/stage"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

const createView = `CREATE TABLE IF NOT EXISTS orders_view (
	id TEXT PRIMARY KEY,
	customer TEXT NOT NULL DEFAULT '',
	dish TEXT NOT NULL DEFAULT '',
	status TEXT NOT NULL,
	version INTEGER NOT NULL
)`

// Members of a queue group get events in parallel, so the events of one order may arrive out of order and more than once. A
// status is applied only if it is newer than the stored one; customer and dish are applied at any time.
const (
	putPlaced = `INSERT INTO orders_view (id, customer, dish, status, version) VALUES (?, ?, ?, 'placed', ?)
		ON CONFLICT (id) DO UPDATE SET customer = excluded.customer, dish = excluded.dish`
	putStatus = `INSERT INTO orders_view (id, status, version) VALUES (?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET status = excluded.status, version = excluded.version WHERE version < excluded.version`
)

// view is one of the services that maintain the read model. They share the work in a durable queue group.
type view struct {
	url, name string
	db        *sql.DB
	story     *stage.Story
}

func (v *view) run(ctx context.Context) error {
	sc, err := stan.Connect("test-cluster", v.name, stan.NatsURL(v.url))
	if err != nil {
		return err
	}
	defer sc.NatsConn().Close() // drops the connection, as a crash would
	registry := newRegistry()
	failed := make(chan error, 1)
	_, err = sc.QueueSubscribe(channel, "orders-view", func(m *stan.Msg) {
		if err := v.project(ctx, registry, m); err != nil {
			select {
			case failed <- err:
			default:
			}
		}
	}, stan.DurableName("orders-view"), stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.AckWait(2*time.Second), stan.MaxInflight(4))
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

func (v *view) project(ctx context.Context, registry *eventstore.Registry, m *stan.Msg) error {
	if ctx.Err() != nil {
		return nil // crashed
	}
	var message eventstorev1.Event
	if err := proto.Unmarshal(m.Data, &message); err != nil {
		return fmt.Errorf("decode sequence %d of channel %s: %w", m.Sequence, channel, err)
	}
	event := &eventstore.Event{Type: message.EventType, Payload: message.EventData, Channel: channel, Sequence: m.Sequence}
	if err := registry.Decode(event); err != nil {
		return err
	}
	var err error
	switch data := event.Data.(type) {
	case OrderPlaced:
		_, err = v.db.ExecContext(ctx, putPlaced, message.AggregateId, data.Customer, data.Dish, message.EventVersion)
	case OrderPrepared:
		_, err = v.db.ExecContext(ctx, putStatus, message.AggregateId, "prepared", message.EventVersion)
	case OrderRejected:
		_, err = v.db.ExecContext(ctx, putStatus, message.AggregateId, "rejected", message.EventVersion)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return errors.Join(fmt.Errorf("project sequence %d", m.Sequence), err)
	}
	v.story.Say(v.name, "sequence %d: %s of order %.8s", m.Sequence, message.EventType, message.AggregateId)
	return m.Ack()
}
