package streaming

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/nats-io/stan.go"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	mapping "github.com/nats-eventstore/nats-eventstore/proto"
)

// Replay is eventstore.Client.Replay through NATS Streaming.
type Replay struct {
	Cluster string
	// ClientIDPrefix begins the client ID, which is unique, so a replay does not affect other clients.
	ClientIDPrefix string
	Channel        string
	// Start is where to begin, such as stan.StartAtSequence(7). nil means the first event.
	Start   stan.SubscriptionOption
	Mapping *mapping.Mapping // as in Source
	Options []stan.Option    // of the connection, such as stan.NatsURL
}

// Run calls handle with each event from the start on, in order, each once. It runs until handle returns an error or ctx ends, and
// returns the reason. Return eventstore.ErrStop from handle to end the replay without an error.
func (r *Replay) Run(ctx context.Context, handle func(*eventstore.Event) error) error {
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	options := append(r.Options[:len(r.Options):len(r.Options)], stan.SetConnectionLostHandler(func(_ stan.Conn, err error) { lost(err) }))
	sc, err := stan.Connect(r.Cluster, r.ClientIDPrefix+"-"+rand.Text(), options...)
	if err != nil {
		return fmt.Errorf("connect to replay channel %q: %w", r.Channel, err)
	}
	defer func() { _ = sc.Close() }() // a failed close loses no events
	start := r.Start
	if start == nil {
		start = stan.DeliverAllAvailable()
	}
	messages, stop, err := receive(sc, r.Channel, "", start)
	if err != nil {
		return err
	}
	defer stop()
	for last := uint64(0); ; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-messages:
			if m.Sequence <= last {
				continue // redelivered because its acknowledgement was late
			}
			if last > 0 && m.Sequence != last+1 {
				if err := r.follows(ctx, sc, last, m.Sequence); err != nil {
					return err
				}
			}
			last = m.Sequence
			event, err := read(r.Channel, r.Mapping, m)
			if err == nil {
				err = handle(event)
			}
			if errors.Is(err, eventstore.ErrStop) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	}
}

// follows returns ErrGap if the server has an event between two: otherwise an administrator erased what is missing.
func (r *Replay) follows(ctx context.Context, sc stan.Conn, last, next uint64) error {
	messages, stop, err := receive(sc, r.Channel, "", stan.StartAtSequence(last+1), stan.MaxInflight(1), stan.SetManualAckMode())
	if err != nil {
		return err
	}
	defer stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case m := <-messages:
		if m.Sequence < next {
			return fmt.Errorf("%w: sequence %d of channel %q was not delivered", eventstore.ErrGap, m.Sequence, r.Channel)
		}
		return nil
	}
}
