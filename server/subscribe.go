package server

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"
)

// ackFlushTimeout bounds how long NATS may take to confirm subscriptions, and to hand over the acks on the way.
const ackFlushTimeout = 5 * time.Second

func (s *service) onSubscribe(ctx context.Context, msg *nats.Msg) {
	var req pb.SubscriptionRequest
	if err := req.Unmarshal(msg.Data); err != nil {
		s.respond(msg.Reply, &pb.SubscriptionResponse{Error: errInvalidSubscribe.Error()})
		return
	}
	if err := s.subscribe(ctx, &req, msg.Reply); err != nil {
		s.unavailable(err)
		s.log.Debug(fmt.Sprintf("[Client:%s] Subscription refused", req.ClientID), "channel", req.Subject, "error", err)
		s.respond(msg.Reply, &pb.SubscriptionResponse{Error: stanError(err).Error()})
	}
}

// validateSubscription checks a request in the order that clients can observe.
func (s *service) validateSubscription(req *pb.SubscriptionRequest, reply string) (*client, error) {
	switch {
	case req.ClientID == "":
		return nil, errMissingClient
	case req.AckWaitInSecs <= 0:
		return nil, errInvalidAckWait
	case req.MaxInFlight <= 0:
		return nil, errInvalidMaxInFlight
	case req.StartPosition < pb.StartPosition_NewOnly || req.StartPosition > pb.StartPosition_First:
		return nil, errInvalidStart
	case !validChannel(req.Subject):
		return nil, errInvalidSubject
	}
	c := s.clients.addressed(req.ClientID, reply)
	if c == nil {
		return nil, errUnknownClient
	}
	return c, nil
}

func (s *service) subscribe(ctx context.Context, req *pb.SubscriptionRequest, reply string) error {
	c, err := s.validateSubscription(req, reply)
	if err != nil {
		return err
	}
	ch, err := s.channels.open(ctx, req.Subject)
	if err != nil {
		return err
	}
	if req.QGroup != "" && strings.Contains(req.DurableName, ":") {
		return errDurableColon
	}
	if err := s.replaceDurable(ctx, ch, req); err != nil {
		return err
	}
	m, active, err := s.joinAndRespond(ctx, c, ch, req, reply)
	if err != nil {
		return err
	}
	if !active {
		return s.leave(ctx, m, false)
	}
	return nil
}

// replaceDurable closes the active subscription of the durable that the request names, if the options allow that: its
// client may have given up waiting for the answer to an earlier request.
func (s *service) replaceDurable(ctx context.Context, ch *channel, req *pb.SubscriptionRequest) error {
	key, _ := keyOf(req)
	if !s.opts.ReplaceDurables || key.durable == "" {
		return nil
	}
	g := ch.group(key)
	if g == nil {
		return nil
	}
	if m := g.only(); m != nil {
		return s.leave(ctx, m, false)
	}
	return nil
}

// joinAndRespond makes the subscription, answers, and only then lets messages flow; both go
// through the same connection, so that no message overtakes the answer. It reports false if the client
// was closed meanwhile, who was answered none the less.
func (s *service) joinAndRespond(ctx context.Context, c *client, ch *channel, req *pb.SubscriptionRequest, reply string) (*member, bool, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	ch.membership.Lock()
	defer ch.membership.Unlock()
	m, err := s.members.prepare(ctx, ch, c, req, s.acks.newInbox())
	if err != nil {
		return nil, false, err
	}
	if err := s.members.record(ctx, m); err != nil {
		return nil, false, err
	}
	if err := s.acks.add(m); err != nil {
		return nil, false, err
	}
	active := s.members.activate(m, func() {
		s.respond(reply, &pb.SubscriptionResponse{AckInbox: m.state.AckInbox})
	})
	s.log.Debug(m.logged(m.joined) + m.from)
	return m, active, nil
}

// onUnsubscribe handles an unsubscribe request, which destroys a durable, and a sub-close, which keeps it.
func (s *service) onUnsubscribe(ctx context.Context, msg *nats.Msg, unsubscribe bool) {
	var req pb.UnsubscribeRequest
	if err := req.Unmarshal(msg.Data); err != nil {
		s.respond(msg.Reply, &pb.SubscriptionResponse{Error: errInvalidUnsubscribe.Error()})
		return
	}
	s.afterReceived(req.ClientID, func() {
		resp := &pb.SubscriptionResponse{}
		if err := s.endSubscription(ctx, &req, unsubscribe); err != nil {
			s.unavailable(err)
			resp.Error = stanError(err).Error()
		}
		s.respond(msg.Reply, resp)
	})
}

func (s *service) endSubscription(ctx context.Context, req *pb.UnsubscribeRequest, unsubscribe bool) error {
	ch := s.channels.get(req.Subject)
	if ch == nil {
		return errUnknownChannel
	}
	m := ch.memberByInbox(req.Inbox)
	if m == nil {
		return errInvalidSub
	}
	if m.state.ClientID != req.ClientID {
		return errUnknownClient
	}
	return s.leave(ctx, m, unsubscribe)
}

// leave takes a member out of its group, with a bounded wait for the store.
func (s *service) leave(ctx context.Context, m *member, unsubscribe bool) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	return s.members.leave(ctx, m, unsubscribe)
}
