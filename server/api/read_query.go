package api

import (
	"context"
	"math"
	"time"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// readQuery is Read with a query.
func (s *service) readQuery(ctx context.Context, req *eventstorev1.ReadRequest, send func(*eventstorev1.ReadResponse) error) error {
	_, fromSequence := req.GetStart().(*eventstorev1.ReadRequest_FromSequence)
	q, err := byQueryOf(req, fromSequence)
	if err != nil {
		return status(err)
	}
	switch d := req.GetDirection(); {
	case eventstorev1.Direction_name[int32(d)] == "":
		return invalid("unknown direction %d", d)
	case d == eventstorev1.Direction_DIRECTION_BACKWARD:
		q.backward = true
	}
	_, err = s.readMatching(ctx, q, req.GetLimit(), func(events []*eventstorev1.RecordedEvent, at readAt) error {
		return send(&eventstorev1.ReadResponse{Events: events, CheckpointPosition: at.checkpoint, Plan: at.plan})
	})
	return status(err)
}

// readAt is how far a read by position has come.
type readAt struct {
	checkpoint uint64
	last       uint64 // the last position when the read began
	plan       string
}

// readMatching sends the events that match a query, up to the last position at the time of the call, which it returns.
func (s *service) readMatching(ctx context.Context, q byQuery, limit uint64, send func([]*eventstorev1.RecordedEvent, readAt) error) (last uint64, err error) {
	log, err := s.reading(ctx)
	if err != nil {
		return 0, err
	}
	if err := log.checkQuery(q.query); err != nil {
		return 0, err
	}
	last = log.position()
	from, err := q.start(ctx, log, last)
	if err != nil {
		return 0, err
	}
	var reader EventReader
	to := last
	if q.backward {
		to = 1
		reader, err = log.backwardCursor(q.query, from)
	} else {
		var cursor EventCursor
		if cursor, err = log.eventCursor(q.query, from); err == nil {
			defer cursor.Close()
		}
		reader = cursor
	}
	if err != nil {
		return 0, err
	}
	b := &responses{maxEvents: limit, send: func(events []*eventstorev1.RecordedEvent, checkpoint uint64) error {
		return send(events, readAt{checkpoint, last, reader.Plan()})
	}}
	if err := q.scan(ctx, reader, to, b); err != nil {
		return 0, err
	}
	return last, b.flush()
}

// start returns the position at which a request begins. Forward, it is last+1 if no event is recent enough, and the events
// before q.since are to be passed; backward, it is 0 if no event is old enough.
func (q *byQuery) start(ctx context.Context, log guarded, last uint64) (uint64, error) {
	switch {
	case q.since < 0 && q.backward && q.position == 0:
		return last, nil
	case q.since < 0 && q.backward:
		return min(q.position, last), nil
	case q.since < 0:
		return max(q.position, 1), nil
	case q.backward && q.since == math.MaxInt64:
		return last, nil
	case q.backward:
		later, err := log.positionAt(ctx, q.since+1)
		if err == nil && later == 0 {
			later = last + 1
		}
		return later - 1, err
	}
	found, err := log.positionAt(ctx, q.since)
	if err != nil {
		return 0, err
	}
	if found == 0 {
		q.waiting = true
		return last + 1, nil
	}
	return found, nil
}

// scan adds the events up to a position and advances the checkpoint.
func (q *byQuery) scan(ctx context.Context, reader EventReader, to uint64, b *responses) error {
	part := b.wanted()
	for {
		next := reader.Position()
		if q.backward && next < max(to, 1) || !q.backward && next > to {
			return nil
		}
		events, err := reader.ReadTo(ctx, to, part)
		if err != nil {
			return err
		}
		part = min(2*part, readMsgs) // few of those that an index has may match
		for _, e := range events {
			if q.waiting = q.waiting && e.Timestamp < q.since; q.waiting {
				continue
			}
			event, err := recorded(e.Channel.Name(), e.Channel.Mapping(), e.Message)
			if err != nil {
				return err
			}
			if more, err := b.add(event, e.Position); err != nil || !more {
				return err
			}
		}
		through, passed := reader.Position()-1, reader.Position()-next
		if q.backward {
			through, passed = reader.Position()+1, next-reader.Position()
		}
		if err := b.pass(through, passed-uint64(len(events))); err != nil {
			return err
		}
	}
}

// subscribeQuery is Subscribe with a query.
func (s *service) subscribeQuery(ctx context.Context, req *eventstorev1.SubscribeRequest, send func(*eventstorev1.SubscribeResponse) error) error {
	_, fromSequence := req.GetStart().(*eventstorev1.SubscribeRequest_FromSequence)
	q, err := byQueryOf(req, fromSequence)
	if err != nil {
		return status(err)
	}
	return s.subscribeMatching(ctx, q, req.GetFromEnd(), send)
}

// subscribeMatching sends the events that match a query until the client or the server ends the subscription.
func (s *service) subscribeMatching(ctx context.Context, q byQuery, fromEnd bool, send func(*eventstorev1.SubscribeResponse) error) error {
	log, err := s.reading(ctx)
	if err != nil {
		return status(err)
	}
	if err := log.checkQuery(q.query); err != nil {
		return status(err)
	}
	from, err := q.start(ctx, log, log.position())
	if err != nil {
		return status(err)
	}
	if fromEnd {
		from = log.position() + 1
	}
	cursor, err := log.eventCursor(q.query, from)
	if err != nil {
		return status(err)
	}
	defer cursor.Close()
	b := &responses{checkpoint: from - 1}
	caughtUp := false
	b.send = func(events []*eventstorev1.RecordedEvent, checkpoint uint64) error {
		caughtUp = checkpoint >= log.position()
		began := time.Now()
		err := send(&eventstorev1.SubscribeResponse{Events: events, CheckpointPosition: checkpoint, CaughtUp: caughtUp, Plan: cursor.Plan(), Staleness: log.patience.message()})
		if err == nil {
			deliveredEach(ctx, log, events, began)
		}
		return err
	}
	return follow(ctx, log, b, cursor.Ready(), following{
		last:     log.position,
		scan:     func(last uint64) error { return q.scan(ctx, cursor, last, b) },
		permit:   func() error { return log.permitQuery(q.query) },
		caughtUp: func() bool { return caughtUp },
	})
}

// deliveredEach is delivered for events of several channels.
func deliveredEach(ctx context.Context, log guarded, events []*eventstorev1.RecordedEvent, began time.Time) {
	for i := 0; i < len(events); {
		j := i + 1
		for j < len(events) && events[j].GetChannel() == events[i].GetChannel() {
			j++
		}
		log.delivered(ctx, events[i].GetChannel(), events[i:j], began)
		i = j
	}
}
