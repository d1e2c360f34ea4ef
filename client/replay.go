package eventstore

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

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

// FromTime starts with the first event recorded at this time or later.
func FromTime(t time.Time) Start { return Start{time: t} }

// FromTimeAgo starts with the first event recorded within the last ago.
func FromTimeAgo(ago time.Duration) Start { return Start{time: time.Now().Add(-ago)} }

// FromLast starts with the last event.
func FromLast() Start { return Start{last: true} }

// FromEnd starts with the next event.
func FromEnd() Start { return Start{end: true} }

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
