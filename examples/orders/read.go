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
	// ackWait is how long the server waits for an acknowledgement before it
	// redelivers an event.
	ackWait = 30 * time.Second
	// lastWait is how long to wait for the latest event before the channel counts
	// as empty.
	lastWait = 2 * time.Second
)

// tail prints new events until ctx ends. With a durable name it starts after the
// last event that was acknowledged under this name.
func tail(ctx context.Context, sc stan.Conn, durable string, out *bufio.Writer) (err error) {
	options := []stan.SubscriptionOption{
		stan.SetManualAckMode(),
		stan.AckWait(ackWait),
		// One unacknowledged event at a time keeps the order strict even if the
		// server redelivers an event.
		stan.MaxInflight(1),
	}
	if durable != "" {
		// The start position applies only to a new durable name.
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

// replay prints the events from a sequence up to the latest at its start.
// Sequences of an event channel are contiguous, so a gap is an error.
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
				continue // redelivered because its acknowledgement was late
			}
			if m.Sequence > next {
				return fmt.Errorf("got sequence %d, want %d", m.Sequence, next)
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

// lastSequence subscribes to the latest event. If none arrives, the channel is
// empty, and it returns 0.
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

// subscription passes messages from stan.go's goroutine to the reader's. stan.go may
// still call the handler for a moment after Close.
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

// closeInto closes the subscription and stores a failure in err unless err is set.
// Close keeps the position of a durable; Unsubscribe deletes it.
func (s *subscription) closeInto(err *error) {
	close(s.stopped)
	if closed := s.Close(); closed != nil && *err == nil {
		*err = fmt.Errorf("close the subscription: %w", closed)
	}
}

// show prints an event on one line: sequence, time, order, version, type, data.
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
