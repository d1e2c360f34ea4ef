package api

import (
	"context"
	"time"

	"connectrpc.com/connect"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// checkpointInterval is how late a subscriber is told that it is beyond events that do not match.
const checkpointInterval = time.Second

// Subscribe implements eventstore.v1.EventStore. A response is sent when the one before was taken: a slow client holds one
// read of the channel, whatever waits for it.
func (s *service) Subscribe(ctx context.Context, req *eventstorev1.SubscribeRequest, stream *connect.ServerStream[eventstorev1.SubscribeResponse]) error {
	selected, err := selectionOf(req.GetFilter(), req.GetFromTime())
	if err != nil {
		return err
	}
	log, err := s.active()
	if err != nil {
		return status(err)
	}
	ch, err := log.Open(ctx, req.GetChannel())
	if err != nil {
		return status(err)
	}
	last := ch.Info().Last
	from, err := startOf(ctx, ch, req.GetFromSequence(), selected, last)
	if err != nil {
		return status(err)
	}
	if req.GetFromEnd() {
		from = last + 1
	}
	cursor := ch.Cursor(from)
	defer cursor.Close()

	caughtUp := false
	b := &responses{checkpoint: from - 1}
	b.send = func(events []*eventstorev1.RecordedEvent, checkpoint uint64) error {
		caughtUp = checkpoint >= ch.Info().Last
		return stream.Send(&eventstorev1.SubscribeResponse{Events: events, Checkpoint: checkpoint, CaughtUp: caughtUp})
	}
	if err := b.send(nil, b.checkpoint); err != nil { // the subscription is there
		return err
	}
	checkpoint := time.NewTimer(checkpointInterval)
	defer checkpoint.Stop()
	for {
		last := ch.Info().Last
		if err := scan(ctx, ch, cursor, last, selected, b); err != nil {
			return ended(log, err)
		}
		// Events go out at once; that others were passed is told now and then, and when that is news.
		if len(b.events) > 0 || !caughtUp && b.checkpoint >= last {
			b.skipped++
			if err := b.flush(); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return status(ctx.Err())
		case <-log.Done():
			return status(ErrStandby)
		case <-cursor.Ready():
		case <-checkpoint.C:
			if err := b.flush(); err != nil {
				return err
			}
			checkpoint.Reset(checkpointInterval)
		}
	}
}

// ended is the status of an error of a log, which after its end says nothing else.
func ended(log Log, err error) error {
	select {
	case <-log.Done():
		return status(ErrStandby)
	default:
		return status(err)
	}
}
