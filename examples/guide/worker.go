package guide

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// Work runs one member of a group of workers. Each event goes to one member and is processed at least once, so do must handle
// a repeated event_id.
func Work(ctx context.Context, sc stan.Conn, group string, do func(context.Context, *eventstorev1.Event) error) error {
	messages, stop, err := receive(sc, group,
		stan.DurableName(group),      // the group keeps its position while no worker runs
		stan.DeliverAllAvailable(),   // a new group starts with the first event
		stan.MaxInflight(1),          // a worker gets its next event after the acknowledgement,
		stan.SetManualAckMode(),      // which follows the work
		stan.AckWait(30*time.Second)) // longer than do takes
	if err != nil {
		return err
	}
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-messages:
			var event eventstorev1.Event
			if err := proto.Unmarshal(m.Data, &event); err != nil {
				return fmt.Errorf("decode sequence %d: %w", m.Sequence, err)
			}
			if err := do(ctx, &event); err != nil {
				// Without an acknowledgement, the server redelivers the event to any worker after AckWait.
				slog.Warn("work failed", "group", group, "sequence", m.Sequence, "redeliveries", m.RedeliveryCount, "error", err)
				continue
			}
			if err := m.Ack(); err != nil {
				return fmt.Errorf("acknowledge sequence %d: %w", m.Sequence, err)
			}
		}
	}
}
