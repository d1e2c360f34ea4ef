package stan

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
	// until it notices. It is shorter than the expiry of the lease, since ours is not renewed meanwhile.
	alonePatience = 2 * time.Second
)

// CheckRights returns an error if the connection may not receive what clients of the cluster ID send.
func CheckRights(discoverPrefix, clusterID string, nc *nats.Conn) error {
	s := newSubjects(discoverPrefix, clusterID)
	for _, subject := range []string{s.discover, s.pings, s.publish + ".>", s.subscribe, s.unsubscribe, s.subClose, s.close} {
		sub, err := nc.Subscribe(subject, func(*nats.Msg) {})
		if err != nil {
			return fmt.Errorf("subscribe to %q: %w", subject, err)
		}
		defer sub.Unsubscribe() //nolint:errcheck // the connection ends
	}
	if err := nc.FlushTimeout(flushTimeout); err != nil {
		return fmt.Errorf("subscribe to the subjects of clients: %w: %w", ErrNoNATS, err)
	}
	return permitted(nc)
}

// permitted returns the error of a subscription without permission, which NATS sends beside the flush: a server that hears nothing
// must not start.
func permitted(nc *nats.Conn) error {
	if err := nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		return fmt.Errorf("subscribe to the subjects of clients: %w: give its user the rights of docs/operate/security.md", err)
	}
	return nil
}

// EnsureAlone returns an error if another server answers clients of the cluster ID, which it finds out as a client does: two
// of them, on two databases, would both answer every request. Servers on one database are told apart by its lease, which the
// caller holds. ErrNoNATS means that nobody could be asked.
func EnsureAlone(ctx context.Context, discoverPrefix, clusterID string, nc *nats.Conn) error {
	subject := newSubjects(discoverPrefix, clusterID).discover
	req, err := (&pb.ConnectRequest{ClientID: clusterID, HeartbeatInbox: nats.NewInbox()}).Marshal()
	if err != nil {
		return fmt.Errorf("discover other servers: %w", err)
	}
	for since := time.Now(); ; {
		answered, err := discover(ctx, nc, subject, req, clusterID)
		switch {
		case err != nil && ctx.Err() == nil && !nc.IsConnected():
			return fmt.Errorf("discover other servers: %w: %w", ErrNoNATS, err)
		case err != nil:
			return fmt.Errorf("discover other servers: %w", err)
		case !answered && !nc.IsConnected():
			return fmt.Errorf("discover other servers: %w", ErrNoNATS)
		case !answered:
			return nil
		case time.Since(since) > alonePatience:
			return fmt.Errorf("discovered another streaming server with cluster ID %q", clusterID)
		}
	}
}

// ErrNoNATS means that the connection to NATS is down, or that NATS does not answer.
var ErrNoNATS = errors.New("not connected to NATS")

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
