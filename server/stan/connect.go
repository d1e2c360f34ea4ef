package stan

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
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

func (s *Server) onConnect(ctx context.Context, msg *nats.Msg) {
	var req pb.ConnectRequest
	switch err := req.Unmarshal(msg.Data); {
	case err != nil || req.HeartbeatInbox == "":
		s.answerConnect(msg.Reply, asker{client: req.ClientID}, nil, ErrInvalidConnect)
		return
	case !validClientID.MatchString(req.ClientID):
		s.answerConnect(msg.Reply, asker{client: req.ClientID}, nil, ErrInvalidClientID)
		return
	}
	if err := s.addresses.check("heartbeat inbox", req.HeartbeatInbox); err != nil {
		s.answerConnect(msg.Reply, asker{client: req.ClientID}, nil, fmt.Errorf("%w: %w", ErrInvalidConnect, err))
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
	if holder := s.clients.get(info.ID); holder != nil {
		s.challenge(ctx, holder, info, msg.Reply)
		return
	}
	s.inTurn(info.ID, func() { s.connect(ctx, info, msg.Reply) })
}

// connect registers a client whose ID was free a moment ago.
func (s *Server) connect(ctx context.Context, info *spb.ClientInfo, reply string) {
	bounded, cancel := s.bounded(ctx)
	defer cancel()
	c, registered, err := s.clients.register(bounded, info, originOf(reply))
	switch {
	case err != nil:
		s.failed(err)
		s.answerConnect(reply, asker{client: info.ID}, nil, err)
	case registered:
		s.log.Debug(fmt.Sprintf("[Client:%s] Connected (Inbox=%s)", info.ID, info.HbInbox))
		s.connected(ctx, c, reply)
	default:
		s.challenge(ctx, c, info, reply)
	}
}

// challenge lets a client have the ID of another one that does not answer any more.
func (s *Server) challenge(ctx context.Context, holder *client, info *spb.ClientInfo, reply string) {
	if !s.clients.beginCheck(info.ID) {
		s.alreadyConnected(info.ID, reply)
		return
	}
	// Asking the holder takes a while; other clients connect meanwhile.
	s.requests.Go(func() {
		answer := s.replace(ctx, holder, info, reply)
		s.clients.endCheck(info.ID) // first: who gets the answer may ask again at once
		answer()
	})
}

// replace asks the holder of a client ID whether it lives, and if it does not, closes it and
// registers the new client. It returns what answers.
func (s *Server) replace(ctx context.Context, holder *client, info *spb.ClientInfo, reply string) (answer func()) {
	check, cancel := context.WithTimeout(ctx, duplicateCheckTimeout)
	defer cancel()
	err := s.asks.ask(check, holder.info.HbInbox)
	if ctx.Err() != nil {
		return func() {}
	}
	if err == nil {
		return func() { s.alreadyConnected(info.ID, reply) }
	}
	if err := s.closeClient(ctx, holder); err != nil && !errors.Is(err, ErrUnknownClient) {
		return func() { s.answerConnect(reply, asker{client: info.ID}, nil, err) }
	}
	bounded, cancelRegister := s.bounded(ctx)
	defer cancelRegister()
	c, registered, err := s.clients.register(bounded, info, originOf(reply))
	switch {
	case err != nil:
		s.failed(err)
		return func() { s.answerConnect(reply, asker{client: info.ID}, nil, err) }
	case !registered:
		return func() { s.alreadyConnected(info.ID, reply) }
	default:
		s.log.Debug(fmt.Sprintf("[Client:%s] Replaced old client (Inbox=%s)", info.ID, info.HbInbox))
		return func() { s.connected(ctx, c, reply) }
	}
}

// connected answers a registered client and starts its heartbeats.
func (s *Server) connected(ctx context.Context, c *client, reply string) {
	s.identify(c, reply)
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
	s.answerConnect(reply, asker{client: c.info.ID}, resp, nil)
	s.startHeartbeats(ctx, c)
}

func (s *Server) alreadyConnected(id, reply string) {
	s.answerConnect(reply, asker{client: id}, nil, ErrClientRegistered)
}

// onPing answers a client's ping. A client that missed heartbeats is asked at once; one that was away is back.
func (s *Server) onPing(_ context.Context, msg *nats.Msg) {
	var req pb.Ping
	if len(msg.Data) == 0 || req.Unmarshal(msg.Data) != nil {
		return
	}
	c := s.clients.byConnection(req.ConnID)
	if c == nil {
		s.answerPing(msg.Reply, ErrClientReplaced)
		return
	}
	s.answerPing(msg.Reply, nil)
	s.arrived(c)
	if !c.Healthy() {
		c.wantBeat()
	}
}

func (s *Server) onClose(ctx context.Context, msg *nats.Msg) {
	var req pb.CloseRequest
	if err := req.Unmarshal(msg.Data); err != nil {
		s.answerClose(msg.Reply, asker{}, ErrInvalidClose)
		return
	}
	answer := func(err error) { s.answerClose(msg.Reply, asker{client: req.ClientID}, err) }
	if msg.Reply == "" {
		answer(foreignRequest(req.ClientID))
		return
	}
	check := func() error {
		if c := s.clients.get(req.ClientID); c != nil {
			return s.mayAct(c.owner(), msg.Reply)
		}
		return nil
	}
	s.ending(req.ClientID, msg.Reply, check, answer, func() { answer(s.closeRequested(ctx, req.ClientID, msg.Reply)) })
}

// closeRequested closes a client if its own connection asks for it.
func (s *Server) closeRequested(ctx context.Context, id, reply string) error {
	c := s.clients.get(id)
	if c == nil {
		return ErrUnknownClient
	}
	if err := s.mayAct(c.owner(), reply); err != nil {
		return err
	}
	return s.closeClient(ctx, c)
}

// closeClient unregisters a client and closes its subscriptions. ErrUnknownClient says that it was closed before.
func (s *Server) closeClient(ctx context.Context, c *client) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	unregistered, ok := s.clients.remove(c)
	if !ok {
		return ErrUnknownClient
	}
	// All at once, so that they are written together.
	members := c.close()
	errs := make([]error, 1+len(members))
	var leaving sync.WaitGroup
	leaving.Go(func() {
		if err := await(ctx, unregistered); err != nil { // it goes as soon as that is possible
			errs[0] = fmt.Errorf("unregister client %q: %w", c.info.ID, err)
		}
	})
	for i, m := range members {
		leaving.Go(func() { errs[1+i] = s.leave(ctx, m, false) })
	}
	leaving.Wait()
	c.answering.Wait()
	err := errors.Join(errs...)
	s.failed(err)
	s.log.Debug(fmt.Sprintf("[Client:%s] Closed (Inbox=%s)", c.info.ID, c.info.HbInbox))
	return err
}
