package eventstore

import (
	"context"
	"fmt"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
)

// ReadMatching calls handle with each event after a position that matches the query, in the order of positions, each once.
// It ends with the last event at the time of the call, and returns the position up to which no other event matches: go on
// from there, or append with NoneAfter. An error of handle ends it, too, and is returned unwrapped.
func (c *Client) ReadMatching(ctx context.Context, query Query, after uint64, handle func(*Event) error) (position uint64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // closes the stream on the server
	position = after
	var handled error
	err = c.read(ctx, fmt.Sprintf("read the events of a query after position %d", after), func(ctx context.Context, server eventstorev1connect.EventStoreClient) error {
		stream, err := server.Read(ctx, &eventstorev1.ReadRequest{
			Query: query.message(), Start: &eventstorev1.ReadRequest_FromPosition{FromPosition: position + 1},
		})
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }() // stream.Err returns the error
		for stream.Receive() {
			for _, e := range stream.Msg().GetEvents() {
				if handled = handle(FromRecorded(e)); handled != nil {
					return nil
				}
				position = e.GetPosition()
			}
			position = max(position, stream.Msg().GetCheckpointPosition())
		}
		return stream.Err()
	})
	if handled != nil {
		err = handled
	}
	return position, err
}
