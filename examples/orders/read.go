package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

const (
	// ackWait is how long the server waits for an acknowledgement before it sends
	// an event again.
	ackWait = 30 * time.Second
	// lastWait is how long the latest event may take to arrive.
	lastWait = 2 * time.Second
)

// tail prints events until ctx ends: new ones, or with a durable name those after
// the last that was acknowledged under that name.
func tail(ctx context.Context, sc stan.Conn, durable string, out *bufio.Writer) (err error) {
	options := []stan.SubscriptionOption{
		stan.SetManualAckMode(),
		stan.AckWait(ackWait),
		// One event at a time, each acknowledged when it is done with: strict order,
		// whatever is sent again.
		stan.MaxInflight(1),
	}
	if durable != "" {
		// The start position counts only while the durable name is new.
		options = append(options, stan.DurableName(durable), stan.DeliverAllAvailable())
	}
	sub, err := subscribe(sc, options...)
	if err != nil {
		return err
	}
	defer sub.closeInto(&err)
	for {
		select {
		case <-ctx.Done():
			return interrupted(ctx)
		case m := <-sub.messages:
			if err := show(out, m); err != nil {
				return err
			}
			if err := out.Flush(); err != nil {
				return err
			}
			if err := m.Ack(); err != nil {
				return fmt.Errorf("acknowledge sequence %d: %w", m.Sequence, err)
			}
		}
	}
}

// replay prints the events from a sequence up to the one that is the latest when
// it starts. Sequences of an event channel are contiguous: a hole is an error.
func replay(ctx context.Context, sc stan.Conn, from uint64, out *bufio.Writer, say *log.Logger) (err error) {
	last, err := lastSequence(ctx, sc)
	if err != nil || ctx.Err() != nil {
		return err
	}
	if from > last {
		say.Printf("no events from sequence %d: the latest is %d", from, last)
		return nil
	}
	start := time.Now()
	sub, err := subscribe(sc, stan.StartAtSequence(from), stan.AckWait(ackWait))
	if err != nil {
		return err
	}
	defer sub.closeInto(&err)
	for next := from; next <= last; {
		select {
		case <-ctx.Done():
			return interrupted(ctx)
		case m := <-sub.messages:
			if m.Sequence < next {
				continue // sent again, because its acknowledgement was late
			}
			if m.Sequence > next {
				return fmt.Errorf("sequence %d is missing: %d came instead", next, m.Sequence)
			}
			if err := show(out, m); err != nil {
				return err
			}
			next++
		}
	}
	took := time.Since(start)
	say.Printf("%d events replayed in %v (%.0f/s)",
		last-from+1, took.Round(time.Millisecond), float64(last-from+1)/took.Seconds())
	return nil
}

// lastSequence asks for the latest event only. On an empty channel nothing comes,
// and it returns 0.
func lastSequence(ctx context.Context, sc stan.Conn) (sequence uint64, err error) {
	sub, err := subscribe(sc, stan.StartWithLastReceived())
	if err != nil {
		return 0, err
	}
	defer sub.closeInto(&err)
	select {
	case m := <-sub.messages:
		return m.Sequence, nil
	case <-time.After(lastWait):
		return 0, nil
	case <-ctx.Done():
		return 0, interrupted(ctx)
	}
}

// subscription hands the messages of a channel to one goroutine. stan.go calls its
// handler on another one, also for a moment after Close.
type subscription struct {
	stan.Subscription
	messages chan *stan.Msg
	stopped  chan struct{}
}

func subscribe(sc stan.Conn, options ...stan.SubscriptionOption) (*subscription, error) {
	s := &subscription{messages: make(chan *stan.Msg), stopped: make(chan struct{})}
	var err error
	s.Subscription, err = sc.Subscribe(channel, func(m *stan.Msg) {
		select {
		case s.messages <- m:
		case <-s.stopped:
		}
	}, options...)
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", channel, err)
	}
	return s, nil
}

// closeInto ends the subscription, and reports in err if that fails and nothing
// else did. Close keeps the position of a durable, Unsubscribe would delete it.
func (s *subscription) closeInto(err *error) {
	close(s.stopped)
	if closed := s.Close(); closed != nil && *err == nil {
		*err = fmt.Errorf("close the subscription: %w", closed)
	}
}

// show prints one event as a line: sequence, time, order, version, type, data.
func show(out io.Writer, m *stan.Msg) error {
	var event eventstorev1.Event
	if err := proto.Unmarshal(m.Data, &event); err != nil {
		return fmt.Errorf("decode sequence %d: %w", m.Sequence, err)
	}
	_, err := fmt.Fprintf(out, "%d\t%s\t%s\tv%d\t%s\t%s\n", m.Sequence,
		time.Unix(0, m.Timestamp).UTC().Format(time.RFC3339Nano),
		event.GetAggregateId(), event.GetEventVersion(), event.GetEventType(), event.GetEventData())
	return err
}
