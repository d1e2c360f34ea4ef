package guide

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// Replay calls handle with the events from a start position up to the sequence last, in order, each once. If there are none
// yet, it waits for the next event.
func Replay(ctx context.Context, url string, start stan.SubscriptionOption, last uint64, handle func(sequence uint64, event *eventstorev1.Event) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx, sc, err := Connect(ctx, url, "replay-"+rand.Text())
	if err != nil {
		return err
	}
	defer func() { _ = sc.Close() }() // a failed close loses no events
	messages, stop, err := receive(sc, "", start)
	if err != nil {
		return err
	}
	defer stop()
	for previous := uint64(0); previous < last; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-messages:
			switch {
			case m.Sequence <= previous:
				continue // redelivered because its acknowledgement was late
			case previous > 0 && m.Sequence != previous+1:
				return fmt.Errorf("got sequence %d, want %d", m.Sequence, previous+1)
			case m.Sequence > last:
				return nil
			}
			var event eventstorev1.Event
			if err := proto.Unmarshal(m.Data, &event); err != nil {
				return fmt.Errorf("decode sequence %d: %w", m.Sequence, err)
			}
			if err := handle(m.Sequence, &event); err != nil {
				return fmt.Errorf("sequence %d: %w", m.Sequence, err)
			}
			previous = m.Sequence
		}
	}
	return nil
}

// LastSequence returns the sequence of the latest event, 0 if there is none.
func LastSequence(ctx context.Context, db *sql.DB) (last uint64, err error) {
	err = db.QueryRowContext(ctx, "SELECT COALESCE(MAX(maxseq), 0) FROM Channels WHERE name = $1", Channel).Scan(&last)
	if err != nil {
		return 0, fmt.Errorf("read last sequence of channel %s: %w", Channel, err)
	}
	return last, nil
}
