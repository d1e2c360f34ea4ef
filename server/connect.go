package server

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"
)

var validClientID = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

// duplicateCheckTimeout is how long the holder of a client ID may take to show that it lives when another
// client asks for its ID.
const duplicateCheckTimeout = 500 * time.Millisecond

// protocolPing is the client protocol from which on clients ping the server.
const protocolPing = 1

func (s *service) onConnect(ctx context.Context, msg *nats.Msg) {
	var req pb.ConnectRequest
	switch err := req.Unmarshal(msg.Data); {
	case err != nil || req.HeartbeatInbox == "":
		s.respond(msg.Reply, &pb.ConnectResponse{Error: errInvalidConnect.Error()})
		return
	case !validClientID.MatchString(req.ClientID):
		s.respond(msg.Reply, &pb.ConnectResponse{Error: errInvalidClientID.Error()})
		return
	}
	info := &spb.ClientInfo{
		ID:           req.ClientID,
		HbInbox:      req.HeartbeatInbox,
		ConnID:       req.ConnID,
		Protocol:     req.Protocol,
		PingInterval: req.PingInterval,
		PingMaxOut:   req.PingMaxOut,
	}
	c, registered, err := s.clients.register(ctx, info, originOf(msg.Reply))
	switch {
	case err != nil:
		s.unavailable(err)
		s.respond(msg.Reply, &pb.ConnectResponse{Error: stanError(err).Error()})
	case registered:
		s.log.Debug(fmt.Sprintf("[Client:%s] Connected (Inbox=%s)", info.ID, info.HbInbox))
		s.connected(ctx, c, msg.Reply)
	case !s.clients.beginCheck(info.ID):
		s.alreadyConnected(info.ID, msg.Reply)
	default:
		// Asking the holder takes a while; other clients connect meanwhile.
		s.requests.Go(func() {
			answer := s.replace(ctx, c, info, msg.Reply)
			s.clients.endCheck(info.ID) // first: who gets the answer may ask again at once
			answer()
		})
	}
}

// replace asks the holder of a client ID whether it lives, and if it does not, closes it and
// registers the new client. It returns what answers.
func (s *service) replace(ctx context.Context, holder *client, info *spb.ClientInfo, reply string) (answer func()) {
	check, cancel := context.WithTimeout(ctx, duplicateCheckTimeout)
	defer cancel()
	_, err := s.conns.hb.RequestWithContext(check, holder.info.HbInbox, nil)
	if ctx.Err() != nil {
		return func() {}
	}
	if err == nil {
		return func() { s.alreadyConnected(info.ID, reply) }
	}
	s.clients.lapsed(holder)
	if err := s.closeClient(ctx, holder); err != nil && !errors.Is(err, errUnknownClient) {
		return func() { s.respond(reply, &pb.ConnectResponse{Error: stanError(err).Error()}) }
	}
	c, registered, err := s.clients.register(ctx, info, originOf(reply))
	switch {
	case err != nil:
		s.unavailable(err)
		return func() { s.respond(reply, &pb.ConnectResponse{Error: stanError(err).Error()}) }
	case !registered:
		return func() { s.alreadyConnected(info.ID, reply) }
	default:
		s.log.Debug(fmt.Sprintf("[Client:%s] Replaced old client (Inbox=%s)", info.ID, info.HbInbox))
		return func() { s.connected(ctx, c, reply) }
	}
}

// connected answers a registered client and starts its heartbeats.
func (s *service) connected(ctx context.Context, c *client, reply string) {
	resp := &pb.ConnectResponse{
		PubPrefix:        s.subjects.publish,
		SubRequests:      s.subjects.subscribe,
		UnsubRequests:    s.subjects.unsubscribe,
		SubCloseRequests: s.subjects.subClose,
		CloseRequests:    s.subjects.close,
		Protocol:         protocolPing,
	}
	if c.info.Protocol >= protocolPing {
		resp.PingRequests = s.subjects.pings
		resp.PingInterval = c.info.PingInterval
		resp.PingMaxOut = c.info.PingMaxOut
	}
	s.respond(reply, resp)
	s.startHeartbeats(ctx, c)
}

func (s *service) alreadyConnected(id, reply string) {
	s.log.Debug(fmt.Sprintf("[Client:%s] Connect failed; already connected", id))
	s.respond(reply, &pb.ConnectResponse{Error: errClientRegistered.Error()})
}

// onPing answers a client's ping; one from a client that missed heartbeats has it asked at once.
func (s *service) onPing(_ context.Context, msg *nats.Msg) {
	var req pb.Ping
	if len(msg.Data) == 0 || req.Unmarshal(msg.Data) != nil {
		return
	}
	c := s.clients.byConnection(req.ConnID)
	if c == nil {
		s.respond(msg.Reply, &pb.PingResponse{Error: errClientReplaced.Error()})
		return
	}
	s.respond(msg.Reply, &pb.PingResponse{})
	if c.failedBeats.Load() > 0 {
		select {
		case c.beatNow <- struct{}{}:
		default:
		}
	}
}

func (s *service) onClose(ctx context.Context, msg *nats.Msg) {
	var req pb.CloseRequest
	if err := req.Unmarshal(msg.Data); err != nil {
		s.respond(msg.Reply, &pb.CloseResponse{Error: errInvalidClose.Error()})
		return
	}
	s.afterReceived(req.ClientID, func() {
		resp := &pb.CloseResponse{}
		err := error(errUnknownClient)
		if c := s.clients.addressed(req.ClientID, msg.Reply); c != nil {
			err = s.closeClient(ctx, c)
		}
		if err != nil {
			resp.Error = stanError(err).Error()
		}
		s.respond(msg.Reply, resp)
	})
}

// closeClient unregisters a client and closes its subscriptions. errUnknownClient says that it was
// closed before.
func (s *service) closeClient(ctx context.Context, c *client) error {
	found, err := s.clients.unregister(ctx, c)
	if !found {
		return errUnknownClient
	}
	errs := []error{err}
	for _, m := range c.close() {
		errs = append(errs, s.leave(ctx, m, false))
	}
	err = errors.Join(errs...)
	s.unavailable(err)
	s.log.Debug(fmt.Sprintf("[Client:%s] Closed (Inbox=%s)", c.info.ID, c.info.HbInbox))
	return err
}
