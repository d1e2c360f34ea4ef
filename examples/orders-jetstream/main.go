// Command orders-jetstream runs an order system whose services read a JetStream stream, and prints what happens. See
// README.md.
package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/google/uuid"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/examples/stage"
)

// stream holds the events of orders, each on the subject ORDERS.<event type>.
const stream = "ORDERS"

// configuration makes the server create the stream on ORDERS.* and relay the events to it.
const configuration = `streaming {
	routes: [{ from: "eventstore.orders", types: "Order*", stream: ORDERS, subject: "ORDERS.{event_type}" }]
}
`

func main() { stage.Main("orders-jetstream", run) }

func run(ctx context.Context, binary string, out io.Writer) error {
	return stage.Play(ctx, binary, out, configuration, tell, "-js")
}

func tell(story *stage.Story, server *stage.Server, client *eventstore.Client) error {
	ctx := story.Context()
	orders := newOrders(client)

	story.Chapter("Orders are placed: events, committed to SQL. The server relays them to the stream ORDERS.")
	ids := make([]string, 6)
	for i := range ids {
		ids[i] = uuid.NewString()
		placed := OrderPlaced{Customer: []string{"Ada", "Bob", "Eve"}[i%3], Cents: int64(4_000 * (i + 1))}
		_, err := orders.Execute(ctx, ids[i], func(Order, uint64) ([]any, error) { return []any{placed}, nil })
		if err != nil {
			return err
		}
		story.Say("order service", "%s orders for %d cents: order %.8s", placed.Customer, placed.Cents, ids[i])
	}
	if err := server.WaitForStream(story, stream); err != nil {
		return err
	}
	watching := &monitor{url: server.NATS, story: story}
	story.Start("monitor", watching.run)

	story.Chapter("A reviewer pulls orders. It decides on one, and crashes before it acknowledges the message.")
	dropped := make(chan string)
	first := &reviewer{url: server.NATS, name: "reviewer 1", orders: orders, story: story, drop: dropped}
	crash := story.Start(first.name, first.run)
	select {
	case <-dropped:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	crash()

	story.Chapter("Another reviewer continues with the same consumer, REVIEW.")
	second := &reviewer{url: server.NATS, name: "reviewer 2", orders: orders, story: story}
	story.Start(second.name, second.run)
	if err := story.Wait("the monitor has seen a decision on each order", func(context.Context) (bool, error) {
		return len(watching.events()) == 2*len(ids), nil
	}); err != nil {
		return err
	}

	story.Chapter("The stream and the table hold the same events.")
	var stored []string
	for _, id := range ids {
		events, err := client.Load(ctx, channel, "Order", id, 1)
		if err != nil {
			return err
		}
		if len(events) != 2 {
			return fmt.Errorf("order %s has %d events, want 2", id, len(events))
		}
		for _, e := range events {
			stored = append(stored, e.ID)
		}
		story.Say("event store", "order %.8s: %s, %s", id, events[0].Type, events[1].Type)
	}
	seen := watching.events()
	slices.Sort(seen)
	slices.Sort(stored)
	if !slices.Equal(seen, stored) {
		return fmt.Errorf("the monitor has seen events %v, the event store holds %v", seen, stored)
	}
	story.Chapter("Every order was reviewed once, and the monitor has seen every event.")
	return nil
}
