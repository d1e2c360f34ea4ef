package streaming

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/nats-io/stan.go"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	mapping "github.com/nats-eventstore/nats-eventstore/proto"
)

// Worker handles the events of a channel as a member of a durable queue group, named after its reactor. Each event goes to one
// member of the group, in any order. Reactor.Consume is the same by the API: members of both kinds share the work of one
// reactor.
type Worker struct {
	Reactor *eventstore.Reactor
	Conn    stan.Conn
	Channel string
	Mapping *mapping.Mapping // as in Source
	// AckWait is the time after which the server sends an event that is not handled yet to another member: at least 1 s. 0
	// means 30 s.
	AckWait time.Duration
}

// Run handles events until ctx ends or something fails, and returns the reason. Events that were handled are recorded in the reactor's
// table eventstore_reactions; Reactor.Forget removes old records.
func (w *Worker) Run(ctx context.Context) error {
	once, err := w.Reactor.Once(ctx)
	if err != nil {
		return err
	}
	messages, stop, err := receive(w.Conn, w.Channel, w.Reactor.Name, stan.DurableName(w.Reactor.Name), stan.DeliverAllAvailable(),
		stan.MaxInflight(1), stan.SetManualAckMode(), stan.AckWait(cmp.Or(w.AckWait, defaultAckWait)))
	if err != nil {
		return fmt.Errorf("reactor %q: %w", w.Reactor.Name, err)
	}
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-messages:
			event, err := read(w.Channel, w.Mapping, m)
			if err == nil {
				err = once(ctx, event)
			}
			if ctx.Err() != nil && err != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				return fmt.Errorf("reactor %q, sequence %d of channel %q: %w", w.Reactor.Name, m.Sequence, w.Channel, err)
			}
			if err := m.Ack(); err != nil {
				return fmt.Errorf("acknowledge sequence %d of channel %q: %w", m.Sequence, w.Channel, err)
			}
		}
	}
}
