package api

import (
	"context"
	"errors"
	"time"

	"connectrpc.com/connect"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/access"
)

// checkpointInterval is how often a subscriber learns that events without a match were passed.
const checkpointInterval = time.Second

// Subscribe implements eventstore.v1.EventStore. Each response waits until the client takes the previous one, so a slow
// client holds one read of the channel in memory.
func (s *service) Subscribe(ctx context.Context, req *eventstorev1.SubscribeRequest, stream *connect.ServerStream[eventstorev1.SubscribeResponse]) error {
	switch _, fromPosition := req.GetStart().(*eventstorev1.SubscribeRequest_FromPosition); {
	case req.GetQuery() != nil:
		return s.subscribeQuery(ctx, req, stream.Send)
	case fromPosition:
		return errNeedsQuery
	}
	selected, err := selectionOf(req.GetFilter(), req.GetFromTime())
	if err != nil {
		return err
	}
	log, err := s.reading(ctx)
	if err != nil {
		return status(err)
	}
	ch, err := log.open(ctx, req.GetChannel(), access.Read)
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
		began := time.Now()
		err := stream.Send(&eventstorev1.SubscribeResponse{Events: events, Checkpoint: checkpoint, CaughtUp: caughtUp, Staleness: log.patience.message()})
		if err == nil && len(events) > 0 {
			log.delivered(ctx, ch.Stored().Name(), events, began)
		}
		return err
	}
	return follow(ctx, log, b, cursor.Ready(), following{
		last:     func() uint64 { return ch.Info().Last },
		scan:     func(last uint64) error { return scan(ctx, ch, cursor, last, selected, b) },
		permit:   func() error { return log.permit(req.GetChannel(), access.Read) },
		caughtUp: func() bool { return caughtUp },
	})
}

// following is what a subscription follows.
type following struct {
	last     func() uint64           // the last place
	scan     func(last uint64) error // adds the events up to it
	permit   func() error
	caughtUp func() bool // the last response said so
}

// follow sends what is stored, then what is committed, until the client or the server ends the subscription.
func follow(ctx context.Context, log guarded, b *responses, ready <-chan struct{}, f following) error {
	if err := b.send(nil, b.checkpoint); err != nil { // confirms the subscription
		return err
	}
	checkpoint := time.NewTimer(checkpointInterval)
	defer checkpoint.Stop()
	for {
		last := f.last()
		if err := f.scan(last); err != nil {
			return endStatus(log, err)
		}
		// Events go out at once. A checkpoint alone waits for the timer, unless the subscriber has just caught up.
		if len(b.events) > 0 || !f.caughtUp() && b.checkpoint >= last {
			b.skipped++
			if err := b.flush(); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return status(ctx.Err())
		case <-log.done():
			return status(ErrStandby)
		case <-ready:
		case <-checkpoint.C:
			if err := errors.Join(f.permit(), log.patience.check()); err != nil {
				return status(err)
			}
			if err := b.flush(); err != nil {
				return err
			}
			checkpoint.Reset(checkpointInterval)
		}
	}
}

// endStatus is status for an error of a log. Once the log has ended, every error means standby.
func endStatus(log guarded, err error) error {
	select {
	case <-log.done():
		return status(ErrStandby)
	default:
		return status(err)
	}
}
