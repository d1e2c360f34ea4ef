package eventstore

import (
	"cmp"
	"context"
	"errors"

	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
)

// Query selects events of all event channels that the client may read. An event matches if it matches one of the items.
// Without items, every event matches. docs/reference/api.md tells the bounds of a query, and which fields have an index.
type Query struct{ Items []QueryItem }

// QueryItem selects the events that match all fields that are set. At least one must be.
type QueryItem struct {
	Channels            []string          // any of these: names, or patterns with * for a token between dots and > for the rest
	EventTypes          []string          // any of these: types, or patterns with * at the end of a token and > for the rest
	AggregateTypes      []string          // any of these; "" stands for none
	AggregateIDs        []string          // any of these
	AggregateIDPrefixes []string          // the ID of the aggregate begins with any of these
	Tags                []string          // all of these
	Metadata            map[string]string // all of these; the server's option index_metadata must name the keys
}

// AllOf returns a query of one item.
func AllOf(it QueryItem) Query { return Query{Items: []QueryItem{it}} }

func (q Query) message() *eventstorev1.Query {
	message := &eventstorev1.Query{}
	for _, it := range q.Items {
		message.Items = append(message.Items, &eventstorev1.QueryItem{
			Channels:            it.Channels,
			EventTypes:          it.EventTypes,
			AggregateTypes:      it.AggregateTypes,
			AggregateIds:        it.AggregateIDs,
			AggregateIdPrefixes: it.AggregateIDPrefixes,
			Tags:                it.Tags,
			Metadata:            it.Metadata,
		})
	}
	return message
}

func (q Query) subscription() subscription {
	return subscription{name: "a query", query: true, request: func() *eventstorev1.SubscribeRequest {
		return &eventstorev1.SubscribeRequest{Query: q.message()}
	}}
}

// ReadOptions say which of the events that match a query to read.
type ReadOptions struct {
	// Start is where to begin: FromPosition or FromTime. The zero value is the first event or, backward, the last one.
	// Backward, FromTime begins with the last event that is not later than the time.
	Start    Start
	Backward bool
	Limit    uint64 // of events; 0 means all
}

// request returns the request for what is left after some events.
func (o ReadOptions) request(q Query, read uint64) *eventstorev1.ReadRequest {
	request := &eventstorev1.ReadRequest{Query: q.message()}
	if o.Limit > 0 {
		request.Limit = o.Limit - read
	}
	if o.Backward {
		request.Direction = eventstorev1.Direction_DIRECTION_BACKWARD
	}
	switch {
	case o.Start.position > 0:
		request.Start = &eventstorev1.ReadRequest_FromPosition{FromPosition: o.Start.position}
	case !o.Start.time.IsZero():
		request.Start = &eventstorev1.ReadRequest_FromTime{FromTime: timestamppb.New(o.Start.time)}
	}
	return request
}

// ofQuery returns an error if the start is not one of a query.
func (s Start) ofQuery() error {
	if s.sequence > 0 {
		return errors.New("read a query: it has positions, not sequences: start with FromPosition")
	}
	return nil
}

// ReadAll calls handle with the stored events of all channels that match a query, by position, each once. It ends with the
// last one, or when handle returns an error, which is then its result. Return ErrStop from handle to end without an error.
// After an interruption it continues where it was, on another server if necessary.
func (c *Client) ReadAll(ctx context.Context, q Query, o ReadOptions, handle func(*Event) error) error {
	if err := o.Start.ofQuery(); err != nil || o.Start.last || o.Start.end {
		return cmp.Or(err, errors.New("read a query: FromLast and FromEnd are for ReplayAll: read backward"))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // closes the stream on the server
	var read uint64
	var handled error
	err := c.read(ctx, "read a query", func(ctx context.Context, server eventstorev1connect.EventStoreClient) error {
		request := o.request(q, read)
		stream, err := server.Read(ctx, request)
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }() // stream.Err returns the error
		complete := false
		for stream.Receive() { // to the end, since a stream that is given up costs more
			for _, e := range stream.Msg().GetEvents() {
				if handled = handle(FromRecorded(e)); handled != nil {
					return nil
				}
				read++
			}
			next := stream.Msg().GetCheckpointPosition() + 1
			if o.Backward {
				next -= 2
			}
			if complete = next == 0 || o.Limit > 0 && read == o.Limit; !complete {
				o.Start = FromPosition(next)
			}
		}
		if complete {
			return nil
		}
		return stream.Err()
	})
	if handled != nil {
		return ignoreStop(handled)
	}
	return err
}

// ReplayAll calls handle with each event of all channels that matches a query from the start on, by position, each once:
// the stored ones, then each as it is committed. It ends as Replay does. FromLast starts with the last event that matches.
func (c *Client) ReplayAll(ctx context.Context, q Query, start Start, handle func(*Event) error) error {
	if err := start.ofQuery(); err != nil {
		return err
	}
	if start.last {
		last, err := c.lastPosition(ctx, q)
		if err != nil {
			return err
		}
		start = FromPosition(last)
	}
	return ignoreStop(c.subscribe(ctx, start, q.subscription(), each(handle)))
}

// lastPosition returns the position of the last event that matches a query, 0 if there is none.
func (c *Client) lastPosition(ctx context.Context, q Query) (position uint64, err error) {
	err = c.ReadAll(ctx, q, ReadOptions{Backward: true, Limit: 1}, func(e *Event) error {
		position = e.Position
		return nil
	})
	return position, err
}

// SourceAll returns a source that reads the events of all channels that match a query, by position, as Source does. The
// checkpoints of its reader are positions. So do not let a projector or reactor go on with it under the name that it had with a
// source of a channel.
func (c *Client) SourceAll(q Query) Source { return querySource{c, q} }

type querySource struct {
	client *Client
	query  Query
}

func (s querySource) subscription() subscription { return s.query.subscription() }

// Receive implements Source.
func (s querySource) Receive(ctx context.Context, after uint64, handle func(Batch) error) error {
	return s.receive(ctx, Checkpoint{Place: after}, handle)
}

func (s querySource) receive(ctx context.Context, after Checkpoint, handle func(Batch) error) error {
	return s.client.subscribe(ctx, FromPosition(after.Place+1), s.subscription().containing(after), handle)
}
