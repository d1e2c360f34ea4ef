package eventstore

import (
	"context"
	"fmt"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
)

// holes tells the two reasons apart why the sequences of a channel skip numbers: an administrator erased events, or events were
// lost on the way. It asks the server, which alone knows what is stored.
type holes struct {
	channel string
	last    uint64 // the sequence up to which there is no gap
	// first returns the sequence of the first event stored at or after from, or 0 if it finds none.
	first func(ctx context.Context, from uint64) (uint64, error)
}

// follow returns ErrGap if the server has an event between the last one and the next.
func (h *holes) follow(ctx context.Context, next uint64) error {
	if err := h.reach(ctx, next-1); err != nil {
		return err
	}
	h.last = next
	return nil
}

// reach returns ErrGap if the server has an event after the last one, up to a sequence.
func (h *holes) reach(ctx context.Context, to uint64) error {
	if to <= h.last {
		return nil
	}
	missing, err := h.first(ctx, h.last+1)
	if err != nil {
		return err
	}
	if missing != 0 && missing <= to {
		return fmt.Errorf("%w: sequence %d of channel %q was not delivered", ErrGap, missing, h.channel)
	}
	h.last = to
	return nil
}

// followBatch is follow for the events of a batch, and reach for its checkpoint.
func (h *holes) followBatch(ctx context.Context, batch Batch) error {
	for _, e := range batch.Events {
		if err := h.follow(ctx, e.Sequence); err != nil {
			return err
		}
	}
	return h.reach(ctx, batch.Checkpoint)
}

// firstFrom returns the sequence of the first event stored at or after from, or 0 without one. Only the server that leads knows.
func (c *Client) firstFrom(ctx context.Context, channel string, from uint64) (sequence uint64, err error) {
	err = c.leading().read(ctx, fmt.Sprintf("read channel %q from %d", channel, from), func(ctx context.Context, server eventstorev1connect.EventStoreClient) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := server.Read(ctx, &eventstorev1.ReadRequest{
			Channel: channel, Start: &eventstorev1.ReadRequest_FromSequence{FromSequence: from}, Limit: 1,
		})
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }() // stream.Err returns the error
		for stream.Receive() {
			for _, e := range stream.Msg().GetEvents() {
				sequence = e.GetSequence()
			}
		}
		return stream.Err()
	})
	return sequence, err
}
