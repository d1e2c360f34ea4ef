package streaming

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	mapping "github.com/nats-eventstore/nats-eventstore/proto"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

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

// read returns the event of a message.
func read(channel string, how *mapping.Mapping, m *stan.Msg) (*eventstore.Event, error) {
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
	return eventstore.FromRecorded(&eventstorev1.RecordedEvent{
		Event: message, Channel: channel, Sequence: m.Sequence, RecordedAt: timestamppb.New(time.Unix(0, m.Timestamp)),
	}), nil
}
