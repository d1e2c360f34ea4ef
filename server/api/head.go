package api

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/access"
)

// GetHead implements eventstore.v1.EventStore.
func (s *service) GetHead(ctx context.Context, _ *eventstorev1.GetHeadRequest) (*eventstorev1.GetHeadResponse, error) {
	log, err := s.reading(ctx)
	if err != nil {
		return nil, status(err)
	}
	if err := log.permitHead(); err != nil {
		return nil, status(err)
	}
	head, err := log.log.Head(ctx)
	switch {
	case err != nil:
		return nil, status(err)
	case head == nil:
		return nil, connect.NewError(connect.CodeNotFound, errors.New("there is no head of the chain of hashes yet: the server makes one each chain_interval, if there are events"))
	}
	return &eventstorev1.GetHeadResponse{
		ClusterId: head.ClusterID, Position: head.Position, Hash: head.Hash[:], Time: timestamppb.New(head.Time), PublicKey: head.Key, Signature: head.Signature,
	}, nil
}

// permitHead returns an error unless the caller may learn how much all channels hold.
func (g guarded) permitHead() error {
	p := g.caller.principal()
	switch {
	case p == nil:
		return errNoCaller
	case p.Monitor || p.MayAll(access.Read, everywhere):
		return nil
	}
	return fmt.Errorf("%w: principal %q has neither the right monitor nor %q on all channels; the server's access file grants rights", ErrDenied, p.Name, access.Read)
}
