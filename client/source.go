package eventstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	mapping "github.com/nats-eventstore/nats-eventstore/proto"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
)

// Source delivers the events of a channel, in order, to a Projector or Reactor.
type Source interface {
	// Receive calls handle with the events after a sequence, or position, until handle or the source fails, or ctx ends. It returns the
	// reason, which for handle is its error.
	Receive(ctx context.Context, after uint64, handle func(Batch) error) error
}

// Batch is what a Source delivers in one call.
type Batch struct {
	Events []*Event // by sequence or position; may be empty
	// Checkpoint is the sequence or position up to which the source has delivered everything.
	Checkpoint uint64
	// CaughtUp means that nothing was stored after Checkpoint. A StreamingSource never sets it.
	CaughtUp bool
	// Staleness is set if a standby sent the batch (Client.WithStandbyReads). CaughtUp then means: with what it knows.
	Staleness *Staleness
	// ByPosition means that the source delivers by position, not by sequence.
	ByPosition bool
}

// place returns the event's position or sequence, by which the source delivers.
func (b Batch) place(e *Event) uint64 {
	if b.ByPosition {
		return e.Position
	}
	return e.Sequence
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

// Source returns a source that reads the events of a channel that match the filter, through the API. After an interruption
// it continues where it stopped, on another server if necessary.
func (c *Client) Source(channel string, filter Filter) Source { return &apiSource{c, channel, filter} }

type apiSource struct {
	client  *Client
	channel string
	filter  Filter
}

func (s *apiSource) Receive(ctx context.Context, after uint64, handle func(Batch) error) error {
	seen := holes{channel: s.channel, last: after, first: func(ctx context.Context, from uint64) (uint64, error) {
		return s.client.firstFrom(ctx, s.channel, from)
	}}
	return s.client.subscribe(ctx, Start{sequence: after + 1}, channelRequest(s.channel, s.filter), func(batch Batch) error {
		if s.filter.empty() {
			if err := seen.followBatch(ctx, batch); err != nil {
				return err
			}
		}
		return handle(batch)
	})
}

// subscription is what to subscribe to.
type subscription struct {
	name    string // for errors
	request func() *eventstorev1.SubscribeRequest
	query   bool
}

func channelRequest(channel string, filter Filter) subscription {
	return subscription{name: fmt.Sprintf("channel %q", channel), request: func() *eventstorev1.SubscribeRequest {
		return &eventstorev1.SubscribeRequest{Channel: channel, Filter: filter.message()}
	}}
}

// subscribe receives events from the start on. After an interruption it subscribes again from the last checkpoint.
func (c *Client) subscribe(ctx context.Context, start Start, to subscription, handle func(Batch) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // closes the stream on the server
	var handled error
	for {
		err := c.do(ctx, "subscribe to "+to.name, c.readFrom(), func(ctx context.Context, server eventstorev1connect.EventStoreClient) error {
			ctx, info := connect.NewClientContext(ctx)
			c.ask(info.RequestHeader())
			stream, err := server.Subscribe(ctx, start.begin(to.request()))
			if err != nil {
				return err
			}
			defer func() { _ = stream.Close() }() // stream.Err returns the error
			for stream.Receive() {
				response := stream.Msg()
				batch := Batch{Checkpoint: response.GetCheckpoint(), CaughtUp: response.GetCaughtUp()}
				if batch.ByPosition = to.query; batch.ByPosition {
					batch.Checkpoint = response.GetCheckpointPosition()
				}
				if s := response.GetStaleness(); s != nil {
					batch.Staleness = &Staleness{Position: s.GetPosition(), Age: s.GetAge().AsDuration()}
					c.standbys.tell(*batch.Staleness)
				}
				for _, e := range response.GetEvents() {
					batch.Events = append(batch.Events, fromRecorded(e))
				}
				if handled = handle(batch); handled != nil {
					return nil
				}
				// A start time in the future stays in force until the first event.
				if start.time.IsZero() || len(batch.Events) > 0 {
					start = Start{sequence: batch.Checkpoint + 1}
					if batch.ByPosition {
						start = Start{position: batch.Checkpoint + 1}
					}
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
		// The server ended the stream: it stopped, or another server became active.
		var pause backoff
		if err := pause.wait(ctx); err != nil {
			return err
		}
	}
}

// StreamingSource reads the events of a channel through NATS Streaming, one at a time. Cancel Receive's context in the
// ConnectionLostHandler of Conn: Receive does not notice a lost connection until it acknowledges an event.
type StreamingSource struct {
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
			if m.Sequence > after { // otherwise it is a redelivery
				// The server sends a message only after the one before is acknowledged, so it has nothing in between.
				if s.Limited && m.Sequence != after+1 {
					return fmt.Errorf("%w: got sequence %d of channel %q, want %d", ErrGap, m.Sequence, s.Channel, after+1)
				}
				event, err := fromStreaming(s.Channel, s.Mapping, m)
				if err != nil {
					return err
				}
				if err := handle(Batch{Events: []*Event{event}, Checkpoint: m.Sequence}); err != nil {
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

// receive subscribes, as a member of the queue group unless its name is empty, and returns the messages one at a time. The
// caller must call stop.
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
		_ = sub.Close() // if the connection is lost, the server closes the subscription
	}, nil
}

// fromStreaming converts a message that NATS Streaming delivered.
func fromStreaming(channel string, how *mapping.Mapping, m *stan.Msg) (*Event, error) {
	message := &eventstorev1.Event{}
	var err error
	if how == nil {
		// A message of another type may decode, too.
		if proto.Unmarshal(m.Data, message) != nil || message.GetEventType() == "" || message.GetAggregateId() == "" {
			err = errors.New("not an eventstore.v1.Event: if the channel has another format, set Mapping as its block events does")
		}
	} else {
		var ev mapping.Event
		ev, err = how.Extract(m.Data)
		message = ev.Message()
	}
	if err != nil {
		return nil, fmt.Errorf("decode sequence %d of channel %q: %w", m.Sequence, channel, err)
	}
	event := fromMessage(message)
	event.Channel, event.Sequence, event.RecordedAt = channel, m.Sequence, time.Unix(0, m.Timestamp).UTC()
	return event, nil
}
