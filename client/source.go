package eventstore

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
)

// Source is where a Projector or Reactor gets the events of a channel from, in order.
type Source interface {
	// Receive hands what follows on the sequence after to handle, until handle or the source fails, or ctx ends, and
	// returns why. Through handle's errors the caller sees its own.
	Receive(ctx context.Context, after uint64, handle func(Batch) error) error
}

// Batch is what a Source hands over at a time.
type Batch struct {
	Events []*Event // by sequence; may be empty
	// Checkpoint is the sequence up to which a source has handed over all that it is to deliver.
	Checkpoint uint64
	// CaughtUp says that there was nothing after Checkpoint at that time. A StreamingSource cannot tell.
	CaughtUp bool
	// Complete says that Events are all those up to Checkpoint, without a filter: one that is missing is an error.
	Complete bool
}

// Filter selects events. Each field that is set must match.
type Filter struct {
	EventTypes        []string
	AggregateType     string
	AggregateIDPrefix string
}

func (f Filter) message() *eventstorev1.Filter {
	return &eventstorev1.Filter{EventTypes: f.EventTypes, AggregateType: f.AggregateType, AggregateIdPrefix: f.AggregateIDPrefix}
}

func (f Filter) empty() bool {
	return len(f.EventTypes) == 0 && f.AggregateType == "" && f.AggregateIDPrefix == ""
}

// Source returns the events of a channel, or those that match the filter, through the API. It outlives interruptions: it goes
// on where it was, at another server if need be.
func (c *Client) Source(channel string, filter Filter) Source { return &apiSource{c, channel, filter} }

type apiSource struct {
	client  *Client
	channel string
	filter  Filter
}

func (s *apiSource) Receive(ctx context.Context, after uint64, handle func(Batch) error) error {
	return s.client.subscribe(ctx, Start{sequence: after + 1}, s.channel, s.filter, handle)
}

// subscribe receives from a start on, and after an interruption from the last checkpoint on.
func (c *Client) subscribe(ctx context.Context, start Start, channel string, filter Filter, handle func(Batch) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // or the stream stays open at the server
	var handled error
	for {
		err := c.do(ctx, fmt.Sprintf("subscribe to channel %q", channel), func(server eventstorev1connect.EventStoreClient) error {
			stream, err := server.Subscribe(ctx, start.request(channel, filter))
			if err != nil {
				return err
			}
			defer func() { _ = stream.Close() }() // its error is stream.Err
			for stream.Receive() {
				response := stream.Msg()
				batch := Batch{Checkpoint: response.GetCheckpoint(), CaughtUp: response.GetCaughtUp(), Complete: filter.empty()}
				for _, e := range response.GetEvents() {
					batch.Events = append(batch.Events, received(e))
				}
				if handled = handle(batch); handled != nil {
					return nil
				}
				if start.time.IsZero() || len(batch.Events) > 0 { // else a time that is still to come counts
					start = Start{sequence: batch.Checkpoint + 1}
				}
			}
			return stream.Err()
		})
		switch {
		case handled != nil:
			return handled
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		}
		// The server ended the stream: it stops, or another one is active now.
		var pause backoff
		if err := pause.wait(ctx); err != nil {
			return err
		}
	}
}

// StreamingSource is the events of a channel as NATS Streaming delivers them, one after the other: the next one is sent when
// this one was handled. Receive ends with an error if the connection is lost; the caller of stan.Connect is told by its
// ConnectionLostHandler, and should end Receive's context.
type StreamingSource struct {
	Conn    stan.Conn
	Channel string
	// AckWait is the time after which the server sends an event again that is not handled yet, which does no harm. 0: 30 s.
	AckWait time.Duration
}

// Receive implements Source.
func (s *StreamingSource) Receive(ctx context.Context, after uint64, handle func(Batch) error) error {
	wait := s.AckWait
	if wait == 0 {
		wait = 30 * time.Second
	}
	messages, stop, err := receive(s.Conn, s.Channel, "",
		stan.StartAtSequence(after+1), stan.MaxInflight(1), stan.SetManualAckMode(), stan.AckWait(wait))
	if err != nil {
		return err
	}
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-messages:
			if m.Sequence > after { // else it is sent again
				event, err := published(s.Channel, m)
				if err != nil {
					return err
				}
				if err := handle(Batch{Events: []*Event{event}, Checkpoint: m.Sequence, Complete: true}); err != nil {
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

// receive subscribes, in a queue group or with the empty name in none, and hands over one message after the other. The caller
// stops it.
func receive(sc stan.Conn, channel, group string, options ...stan.SubscriptionOption) (messages <-chan *stan.Msg, stop func(), err error) {
	in, stopped := make(chan *stan.Msg), make(chan struct{})
	sub, err := sc.QueueSubscribe(channel, group, func(m *stan.Msg) {
		select {
		case in <- m:
		case <-stopped:
		}
	}, options...)
	if err != nil {
		return nil, nil, fmt.Errorf("subscribe to channel %q: %w", channel, err)
	}
	return in, func() {
		close(stopped)
		_ = sub.Close() // if the connection is lost, the server closes it
	}, nil
}

// published is an event as NATS Streaming delivers it.
func published(channel string, m *stan.Msg) (*Event, error) {
	var message eventstorev1.Event
	if err := proto.Unmarshal(m.Data, &message); err != nil {
		return nil, fmt.Errorf("decode sequence %d of channel %q: %w", m.Sequence, channel, err)
	}
	event := decoded(&message)
	event.Channel, event.Sequence, event.RecordedAt = channel, m.Sequence, time.Unix(0, m.Timestamp).UTC()
	return event, nil
}
