package eventstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/types/known/timestamppb"

	mapping "github.com/nats-eventstore/nats-eventstore/proto"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// Start is where a replay begins. The zero value is the first event.
type Start struct {
	sequence uint64
	position uint64
	time     time.Time
	last     bool
	end      bool
}

// FromBeginning starts with the first event.
func FromBeginning() Start { return Start{} }

// FromSequence starts with the event at this sequence.
func FromSequence(sequence uint64) Start { return Start{sequence: sequence} }

// FromPosition starts with the event at this position. It is for queries, and FromSequence for channels.
func FromPosition(position uint64) Start { return Start{position: position} }

// FromTime starts with the first event recorded at this time or later. Through NATS Streaming, which sends a time span, the
// start shifts by the time that the request takes, and a time in the future means the next event.
func FromTime(t time.Time) Start { return Start{time: t} }

// FromTimeAgo starts with the first event recorded within the last ago.
func FromTimeAgo(ago time.Duration) Start { return Start{time: time.Now().Add(-ago)} }

// FromLast starts with the last event.
func FromLast() Start { return Start{last: true} }

// FromEnd starts with the next event.
func FromEnd() Start { return Start{end: true} }

func (s Start) option() stan.SubscriptionOption {
	switch {
	case s.position > 0:
		return func(*stan.SubscriptionOptions) error {
			return errors.New("a channel has sequences, not positions: start with FromSequence")
		}
	case s.end:
		return func(*stan.SubscriptionOptions) error { return nil } // the default
	case s.last:
		return stan.StartWithLastReceived()
	case !s.time.IsZero():
		return stan.StartAtTime(s.time)
	case s.sequence > 0:
		return stan.StartAtSequence(s.sequence)
	}
	return stan.DeliverAllAvailable()
}

// begin makes the request begin at the start.
func (s Start) begin(request *eventstorev1.SubscribeRequest) *eventstorev1.SubscribeRequest {
	switch {
	case s.end:
		request.Start = &eventstorev1.SubscribeRequest_FromEnd{FromEnd: true}
	case !s.time.IsZero():
		request.Start = &eventstorev1.SubscribeRequest_FromTime{FromTime: timestamppb.New(s.time)}
	case s.sequence > 0:
		request.Start = &eventstorev1.SubscribeRequest_FromSequence{FromSequence: s.sequence}
	case s.position > 0:
		request.Start = &eventstorev1.SubscribeRequest_FromPosition{FromPosition: s.position}
	}
	return request
}

// Replay calls handle with each event from the start on, in order, each once. It runs until handle returns an error or ctx
// ends, and returns the reason. Return ErrStop from handle to end the replay without an error.
func (c *Client) Replay(ctx context.Context, channel string, start Start, filter Filter, handle func(*Event) error) error {
	if start.last {
		last, err := c.lastSequence(ctx, channel)
		if err != nil {
			return err
		}
		start = FromSequence(max(last, 1))
	}
	return ignoreStop(c.subscribe(ctx, start, channelRequest(channel, filter), each(handle)))
}

// each calls handle with each event of a batch.
func each(handle func(*Event) error) func(Batch) error {
	return func(batch Batch) error {
		for _, event := range batch.Events {
			if err := handle(event); err != nil {
				return err
			}
		}
		return nil
	}
}

// StreamingReplay is Client.Replay through NATS Streaming.
type StreamingReplay struct {
	Cluster string
	// ClientIDPrefix begins the client ID, which is unique, so a replay does not affect other clients.
	ClientIDPrefix string
	Channel        string
	Mapping        *mapping.Mapping // as in StreamingSource
	Options        []stan.Option    // of the connection, such as stan.NatsURL
}

// Run calls handle as Client.Replay does.
func (r *StreamingReplay) Run(ctx context.Context, start Start, handle func(*Event) error) error {
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	options := append(r.Options[:len(r.Options):len(r.Options)], stan.SetConnectionLostHandler(func(_ stan.Conn, err error) { lost(err) }))
	sc, err := stan.Connect(r.Cluster, r.ClientIDPrefix+"-"+rand.Text(), options...)
	if err != nil {
		return fmt.Errorf("connect to replay channel %q: %w", r.Channel, err)
	}
	defer func() { _ = sc.Close() }() // a failed close loses no events
	messages, stop, err := receive(sc, r.Channel, "", start.option())
	if err != nil {
		return err
	}
	defer stop()
	seen := holes{channel: r.Channel, first: func(ctx context.Context, from uint64) (uint64, error) {
		return firstStreamed(ctx, sc, r.Channel, from)
	}}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-messages:
			switch {
			case m.Sequence <= seen.last:
				continue // redelivered because its acknowledgement was late
			case seen.last == 0:
				seen.last = m.Sequence
			default:
				if err := seen.follow(ctx, m.Sequence); err != nil {
					return err
				}
			}
			event, err := fromStreaming(r.Channel, r.Mapping, m)
			if err == nil {
				err = handle(event)
			}
			if err != nil {
				return ignoreStop(err)
			}
		}
	}
}
