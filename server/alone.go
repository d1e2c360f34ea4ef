package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"
)

const (
	// aloneWait is how long another server may take to answer.
	aloneWait = 250 * time.Millisecond
	// alonePatience is how long another server may go on answering: one that has just lost the database's lease to us does
	// until it notices. It is shorter than leaseExpiry, since our lease is not renewed meanwhile.
	alonePatience = 2 * time.Second
)

// ensureAlone returns an error if another server answers clients of the cluster ID, which it does as a client: two of
// them, on two databases, would both answer every request. Servers on one database are told apart by its lease, which the
// caller holds.
func ensureAlone(ctx context.Context, o *Options, nc *nats.Conn) error {
	subjects := newSubjects(o.DiscoverPrefix, o.ClusterID)
	req, err := (&pb.ConnectRequest{ClientID: o.ClusterID, HeartbeatInbox: nats.NewInbox()}).Marshal()
	if err != nil {
		return fmt.Errorf("discover other servers: %w", err)
	}
	for since := time.Now(); ; {
		answered, err := discover(ctx, nc, subjects.discover, req, o.ClusterID)
		switch {
		case err != nil:
			return fmt.Errorf("discover other servers: %w", err)
		case !answered:
			return nil
		case time.Since(since) > alonePatience:
			return fmt.Errorf("discovered another streaming server with cluster ID %q", o.ClusterID)
		}
	}
}

// discover reports whether a server answers the connect request, and takes the request back if it does.
func discover(ctx context.Context, nc *nats.Conn, subject string, req []byte, id string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, aloneWait)
	defer cancel()
	msg, err := nc.RequestWithContext(ctx, subject, req)
	switch {
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, context.DeadlineExceeded):
		return false, nil
	case err != nil:
		return false, err
	}
	var resp pb.ConnectResponse
	if err := resp.Unmarshal(msg.Data); err != nil {
		return false, fmt.Errorf("something else answers on %q: %w", subject, err)
	}
	if resp.Error != "" {
		// It was asked too fast, or refuses us for a reason of its own.
		<-ctx.Done()
		return true, nil
	}
	bye, err := (&pb.CloseRequest{ClientID: id}).Marshal()
	if err != nil {
		return true, err
	}
	// Whether it answers that does not matter: our heartbeats end too.
	_, _ = nc.RequestWithContext(ctx, resp.CloseRequests, bye)
	<-ctx.Done()
	return true, nil
}
