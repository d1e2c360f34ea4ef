package eventstore

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
)

// Source delivers the events of a channel, in order, to a Projector or Reactor.
type Source interface {
	// Receive calls handle with the events after a sequence, or position, until handle or the source fails, or ctx ends. It returns the
	// reason, which for handle is its error.
	Receive(ctx context.Context, after uint64, handle func(Batch) error) error
}

// Batch is what a Source delivers in one call.
type Batch struct {
	Events []*Event // by sequence or position; may be empty
	// Checkpoint is the sequence or position up to which the source has delivered everything.
	Checkpoint uint64
	// CaughtUp means that nothing was stored after Checkpoint. A streaming.Source never sets it.
	CaughtUp bool
	// Staleness is set if a standby sent the batch (Client.WithStandbyReads). CaughtUp then means: with what it knows.
	Staleness *Staleness
	// ByPosition means that the source delivers by position, not by sequence.
	ByPosition bool
}

// place returns the event's position or sequence, by which the source delivers.
func (b Batch) place(e *Event) uint64 {
	if b.ByPosition {
		return e.Position
	}
	return e.Sequence
}

// Filter selects events. Each field that is set must match.
type Filter struct {
	EventTypes        []string
	AggregateType     string
	AggregateIDPrefix string
}

func (f Filter) message() *eventstorev1.Filter {
	return &eventstorev1.Filter{EventTypes: f.EventTypes, AggregateType: f.AggregateType, AggregateIdPrefix: f.AggregateIDPrefix}
}

func (f Filter) empty() bool {
	return len(f.EventTypes) == 0 && f.AggregateType == "" && f.AggregateIDPrefix == ""
}

// Source returns a source that reads the events of a channel that match the filter, through the API. After an interruption
// it continues where it stopped, on another server if necessary.
func (c *Client) Source(channel string, filter Filter) Source { return &apiSource{c, channel, filter} }

type apiSource struct {
	client  *Client
	channel string
	filter  Filter
}

func (s *apiSource) subscription() subscription { return channelRequest(s.channel, s.filter) }

// receive is Source.Receive after a checkpoint. It tells the source, if that can use it, which event the reader handled last, so that an
// interruption is enough to notice a log that was restored and has grown since.
func receive(ctx context.Context, source Source, after Checkpoint, handle func(Batch) error) error {
	if s, ok := source.(interface {
		receive(ctx context.Context, after Checkpoint, handle func(Batch) error) error
	}); ok {
		return s.receive(ctx, after, handle)
	}
	return source.Receive(ctx, after.Place, handle)
}

// Receive implements Source.
func (s *apiSource) Receive(ctx context.Context, after uint64, handle func(Batch) error) error {
	return s.receive(ctx, Checkpoint{Place: after}, handle)
}

func (s *apiSource) receive(ctx context.Context, after Checkpoint, handle func(Batch) error) error {
	seen := holes{channel: s.channel, last: after.Place, first: func(ctx context.Context, from uint64) (uint64, error) {
		return s.client.firstFrom(ctx, s.channel, from)
	}}
	return s.client.subscribe(ctx, Start{sequence: after.Place + 1}, s.subscription().containing(after), func(batch Batch) error {
		if s.filter.empty() {
			if err := seen.followBatch(ctx, batch); err != nil {
				return err
			}
		}
		return handle(batch)
	})
}

// subscription is what to subscribe to.
type subscription struct {
	name    string // for errors
	request func() *eventstorev1.SubscribeRequest
	query   bool
	known   Checkpoint // what the log must contain
}

// containing returns the subscription of a reader who has handled everything up to a checkpoint.
func (s subscription) containing(known Checkpoint) subscription {
	s.known = known
	return s
}

func channelRequest(channel string, filter Filter) subscription {
	return subscription{name: fmt.Sprintf("channel %q", channel), request: func() *eventstorev1.SubscribeRequest {
		return &eventstorev1.SubscribeRequest{Channel: channel, Filter: filter.message()}
	}}
}

// subscribe receives events from the start on. After an interruption it subscribes again from the last checkpoint. Each time, it asks the
// server that leads whether the log still contains what was read: the database may have been restored meanwhile.
func (c *Client) subscribe(ctx context.Context, start Start, to subscription, handle func(Batch) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // closes the stream on the server
	var handled error
	known := to.known
	for {
		err := c.do(ctx, "subscribe to "+to.name, c.readFrom(), func(ctx context.Context, server eventstorev1connect.EventStoreClient) error {
			ctx, info := connect.NewClientContext(ctx)
			c.ask(info.RequestHeader())
			stream, err := server.Subscribe(ctx, start.begin(to.request()))
			if err != nil {
				return err
			}
			defer func() { _ = stream.Close() }() // stream.Err returns the error
			for first := true; stream.Receive(); first = false {
				if first {
					if handled = c.check(ctx, to, known); handled != nil {
						return nil
					}
				}
				response := stream.Msg()
				batch := Batch{Checkpoint: response.GetCheckpoint(), CaughtUp: response.GetCaughtUp()}
				if batch.ByPosition = to.query; batch.ByPosition {
					batch.Checkpoint = response.GetCheckpointPosition()
				}
				if s := response.GetStaleness(); s != nil {
					batch.Staleness = &Staleness{Position: s.GetPosition(), Age: s.GetAge().AsDuration()}
					c.standbys.tell(*batch.Staleness)
				}
				for _, e := range response.GetEvents() {
					batch.Events = append(batch.Events, FromRecorded(e))
				}
				if handled = handle(batch); handled != nil {
					return nil
				}
				known = known.after(batch)
				// A start time in the future stays in force until the first event.
				if start.time.IsZero() || len(batch.Events) > 0 {
					start = Start{sequence: batch.Checkpoint + 1}
					if batch.ByPosition {
						start = Start{position: batch.Checkpoint + 1}
					}
				}
			}
			return stream.Err()
		})
		switch {
		case handled != nil:
			return handled
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		}
		// The server ended the stream: it stopped, or another server became active.
		var pause backoff
		if err := pause.wait(ctx); err != nil {
			return err
		}
	}
}
