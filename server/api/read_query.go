package api

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// errNoQueries answers requests with a query.
var errNoQueries = connect.NewError(connect.CodeUnimplemented, errors.New("this server does not answer queries: name a channel"))

// readQuery is Read with a query.
func (s *service) readQuery(_ context.Context, req *eventstorev1.ReadRequest, _ *connect.ServerStream[eventstorev1.ReadResponse]) error {
	_, fromSequence := req.GetStart().(*eventstorev1.ReadRequest_FromSequence)
	if _, err := byQueryOf(req, fromSequence); err != nil {
		return status(err)
	}
	return errNoQueries
}

// subscribeQuery is Subscribe with a query.
func (s *service) subscribeQuery(_ context.Context, req *eventstorev1.SubscribeRequest, _ *connect.ServerStream[eventstorev1.SubscribeResponse]) error {
	_, fromSequence := req.GetStart().(*eventstorev1.SubscribeRequest_FromSequence)
	if _, err := byQueryOf(req, fromSequence); err != nil {
		return status(err)
	}
	return errNoQueries
}
