package eventstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
)

// LogSource is a Source that can ask the log about itself, as Client.Source and Client.SourceAll can. With another Source, a Projector
// cannot begin at a Start, and does not know how far it is behind. The server that leads answers.
type LogSource interface {
	Source
	// End returns the last sequence of the channel, or the last position, 0 if there is none. It counts events that the source leaves out.
	End(ctx context.Context) (uint64, error)
	// Locate returns the place before a start: where Receive begins.
	Locate(ctx context.Context, start Start) (after uint64, err error)
	// Check returns a *GapError if the log does not contain what a reader has handled. Events that an administrator erased count as
	// contained.
	Check(ctx context.Context, checkpoint Checkpoint) error
}

var _, _ LogSource = (*apiSource)(nil), querySource{}

// End implements LogSource.
func (s *apiSource) End(ctx context.Context) (uint64, error) {
	return s.client.end(ctx, s.subscription())
}

// Locate implements LogSource.
func (s *apiSource) Locate(ctx context.Context, start Start) (uint64, error) {
	switch {
	case start.position > 0:
		return 0, errors.New("a channel has sequences, not positions: start with FromSequence")
	case start.last:
		last, err := s.client.leading().lastSequence(ctx, s.channel)
		return max(last, 1) - 1, err
	}
	return s.client.locate(ctx, s.subscription(), start, start.sequence)
}

// Check implements LogSource.
func (s *apiSource) Check(ctx context.Context, checkpoint Checkpoint) error {
	return s.client.check(ctx, s.subscription(), checkpoint)
}

// End implements LogSource.
func (s querySource) End(ctx context.Context) (uint64, error) {
	return s.client.end(ctx, s.subscription())
}

// Locate implements LogSource.
func (s querySource) Locate(ctx context.Context, start Start) (uint64, error) {
	switch {
	case start.sequence > 0:
		return 0, start.ofQuery()
	case start.last:
		last, err := s.client.leading().lastPosition(ctx, s.query)
		return max(last, 1) - 1, err
	}
	return s.client.locate(ctx, s.subscription(), start, start.position)
}

// Check implements LogSource.
func (s querySource) Check(ctx context.Context, checkpoint Checkpoint) error {
	return s.client.check(ctx, s.subscription(), checkpoint)
}

// locate returns the place before a start, which is one at a place unless that is 0.
func (c *Client) locate(ctx context.Context, to subscription, start Start, place uint64) (uint64, error) {
	if place == 0 {
		return c.first(ctx, to, start)
	}
	end, err := c.end(ctx, to)
	if err == nil && place > end+1 {
		err = fmt.Errorf("%s ends at %d: it cannot be read from %d on", to.name, end, place)
	}
	return place - 1, err
}

// end returns the last sequence or position of the log, whether or not the subscription selects an event there.
func (c *Client) end(ctx context.Context, to subscription) (uint64, error) {
	return c.first(ctx, to, FromEnd())
}

// first returns the checkpoint with which a subscription begins on the server that leads.
func (c *Client) first(ctx context.Context, to subscription, start Start) (place uint64, err error) {
	err = c.leading().read(ctx, "find the end of "+to.name, func(ctx context.Context, server eventstorev1connect.EventStoreClient) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // closes the stream on the server
		stream, err := server.Subscribe(ctx, start.begin(to.request()))
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }() // stream.Err returns the error
		if !stream.Receive() {
			return cmp.Or(stream.Err(), io.ErrUnexpectedEOF) // it stopped
		}
		if place = stream.Msg().GetCheckpoint(); to.query {
			place = stream.Msg().GetCheckpointPosition()
		}
		return nil
	})
	return place, err
}

// check returns a *GapError if the log does not contain what a reader has handled.
func (c *Client) check(ctx context.Context, to subscription, known Checkpoint) error {
	if known.Place == 0 {
		return nil
	}
	end, err := c.end(ctx, to)
	if err != nil {
		return err
	}
	gap := &GapError{Source: to.name, Checkpoint: known.Place, End: end}
	if known.Place > end {
		return gap
	}
	if known.Sequence == 0 {
		return nil
	}
	there, err := c.holds(ctx, known)
	if err != nil || there {
		return err
	}
	gap.Replaced, gap.Channel, gap.Sequence = true, known.Channel, known.Sequence
	return gap
}

// holds reports whether the log holds the event that a reader handled last, or held it until it was erased.
func (c *Client) holds(ctx context.Context, known Checkpoint) (bool, error) {
	var at *eventstorev1.RecordedEvent
	what := fmt.Sprintf("get sequence %d of channel %q", known.Sequence, known.Channel)
	err := c.leading().read(ctx, what, func(ctx context.Context, server eventstorev1connect.EventStoreClient) error {
		response, err := server.GetEvent(ctx, &eventstorev1.GetEventRequest{
			Channel: known.Channel, Key: &eventstorev1.GetEventRequest_Sequence{Sequence: known.Sequence},
		})
		at = response.GetEvent()
		return err
	})
	if errors.Is(err, ErrNotFound) {
		last, err := c.leading().lastSequence(ctx, known.Channel)
		return last >= known.Sequence, err // a sequence is never used again
	}
	return err == nil && at.GetRecordedAt().AsTime().Equal(known.RecordedAt), err
}
