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

const defaultAckWait = 30 * time.Second

// Source reads the events of a channel, one at a time. Cancel Receive's context in the ConnectionLostHandler of Conn: Receive does
// not notice a lost connection until it acknowledges an event.
type Source struct {
	Conn    stan.Conn
	Channel string
	// Mapping says how events are read from messages, as the channel's block events in the server's configuration does.
	// nil means eventstore.v1.Event.
	Mapping *mapping.Mapping
	// Limited says that the channel has limits, which remove messages that were not read yet: a missing message is ErrGap. An
	// event channel has none. There, the server skips only what an administrator has erased.
	Limited bool
	// AckWait is the time after which the server redelivers an event that is not handled yet; Receive ignores the copy.
	// 0 means 30 s.
	AckWait time.Duration
}

var _ eventstore.Source = (*Source)(nil)

// Receive implements eventstore.Source.
func (s *Source) Receive(ctx context.Context, after uint64, handle func(eventstore.Batch) error) error {
	messages, stop, err := receive(s.Conn, s.Channel, "", stan.StartAtSequence(after+1),
		stan.MaxInflight(1), stan.SetManualAckMode(), stan.AckWait(cmp.Or(s.AckWait, defaultAckWait)))
	if err != nil {
		return err
	}
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-messages:
			if m.Sequence > after { // otherwise it is a redelivery
				// The server sends a message only after the one before is acknowledged, so it has nothing in between.
				if s.Limited && m.Sequence != after+1 {
					return fmt.Errorf("%w: got sequence %d of channel %q, want %d", eventstore.ErrGap, m.Sequence, s.Channel, after+1)
				}
				event, err := read(s.Channel, s.Mapping, m)
				if err != nil {
					return err
				}
				if err := handle(eventstore.Batch{Events: []*eventstore.Event{event}, Checkpoint: m.Sequence}); err != nil {
					return err
				}
				after = m.Sequence
			}
			if err := m.Ack(); err != nil {
				return fmt.Errorf("acknowledge sequence %d of channel %q: %w", m.Sequence, s.Channel, err)
			}
		}
	}
}
