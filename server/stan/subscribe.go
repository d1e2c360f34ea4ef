package stan

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

// flushTimeout bounds how long NATS may take to confirm subscriptions, and to hand over the acks on the way.
const flushTimeout = 5 * time.Second

func (s *Server) onSubscribe(ctx context.Context, msg *nats.Msg) {
	var req pb.SubscriptionRequest
	if err := req.Unmarshal(msg.Data); err != nil {
		s.answerSubscription(msg.Reply, asker{}, "", ErrInvalidSubscribe)
		return
	}
	c, err := s.validateSubscription(&req)
	if err != nil {
		s.answerSubscription(msg.Reply, asker{req.ClientID, req.Subject}, "", err)
		return
	}
	refuse := func(err error) { s.answerSubscription(msg.Reply, asker{req.ClientID, req.Subject}, "", err) }
	check := unchecked
	if req.DurableName != "" && req.QGroup == "" { // then its position belongs to the client
		check = func() error { return s.mayAct(c.owner(), msg.Reply) }
	}
	// Off this goroutine: what one client's subscription waits for delays no other client.
	s.subscribing(c, msg.Reply, check, refuse, func() {
		if err := s.subscribe(ctx, c, &req, msg.Reply); err != nil {
			s.failed(err)
			refuse(err)
		}
	})
}

// validateSubscription checks a request in the order that clients can observe.
func (s *Server) validateSubscription(req *pb.SubscriptionRequest) (*client, error) {
	switch {
	case req.ClientID == "":
		return nil, ErrMissingClient
	case req.AckWaitInSecs <= 0:
		return nil, ErrInvalidAckWait
	case req.MaxInFlight <= 0:
		return nil, ErrInvalidMaxInFlight
	case req.StartPosition < pb.StartPosition_NewOnly || req.StartPosition > pb.StartPosition_First:
		return nil, ErrInvalidStart
	case !s.validSubject(req.Subject):
		return nil, ErrInvalidSubject
	}
	c := s.clients.get(req.ClientID)
	if c == nil {
		return nil, ErrUnknownClient
	}
	// Nothing is sent to a subscription without an inbox.
	if err := s.addresses.check("inbox", req.Inbox); err != nil && req.Inbox != "" {
		return nil, fmt.Errorf("%w: %w", ErrInvalidSubscribe, err)
	}
	return c, nil
}

// validSubject reports whether a subject is a channel or, if the options allow that, a pattern.
func (s *Server) validSubject(subject string) bool {
	return eventlog.ValidChannel(subject) || s.opts.Wildcards && eventlog.ValidPattern(subject)
}

// subscribe makes the subscription, answers, and only then lets messages flow. Both go through the same connection, so that no
// message overtakes the answer.
func (s *Server) subscribe(ctx context.Context, c *client, req *pb.SubscriptionRequest, reply string) error {
	enforced := s.enforced.Load()
	if err := s.mayConsume(req.ClientID, req.Subject, req.Inbox, reply); err != nil {
		return err
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	line, err := s.open(ctx, req)
	if err != nil {
		return err
	}
	if req.QGroup != "" && strings.Contains(req.DurableName, ":") {
		return ErrDurableColon
	}
	if err := s.replaceDurable(ctx, req, line); err != nil {
		return err
	}
	active := false
	var failed error
	m, err := s.consumers.Join(ctx, consumers.Request{
		Client:         c,
		Line:           line,
		Inbox:          req.Inbox,
		AckInbox:       s.acks.newInbox(),
		QGroup:         req.QGroup,
		DurableName:    req.DurableName,
		MaxInFlight:    req.MaxInFlight,
		AckWaitInSecs:  req.AckWaitInSecs,
		Start:          consumers.StartPosition(req.StartPosition),
		StartSequence:  req.StartSequence,
		StartTimeDelta: req.StartTimeDelta,
	}, func(m *consumers.Member) {
		if failed = s.acks.add(m); failed != nil {
			return
		}
		active = c.add(m, originOf(reply))
		s.answerSubscription(reply, asker{req.ClientID, req.Subject}, m.AckInbox(), nil)
	})
	switch {
	case err != nil:
		return err
	case failed != nil:
		_ = s.leave(ctx, m, true) // the first error is the one to tell
		return failed
	case !active: // its client was closed meanwhile
		return s.leave(ctx, m, false)
	case s.enforced.Load() != enforced:
		s.enforce(c)
	}
	return nil
}

// open returns what a request subscribes to: a channel, which is created if it is missing, or the events of a pattern.
func (s *Server) open(ctx context.Context, req *pb.SubscriptionRequest) (consumers.Line, error) {
	if eventlog.ValidChannel(req.Subject) {
		ch, err := s.eventlog.Open(ctx, req.ClientID, req.Subject)
		if err != nil {
			return nil, err
		}
		return ch, nil
	}
	w, err := s.eventlog.Wildcard(req.Subject)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidSubject, err)
	}
	if !w.Reaches() {
		return nil, fmt.Errorf("%w: no event channel can match the pattern %q, and plain channels have no common order: subscribe to each channel", ErrInvalidSubject, req.Subject)
	}
	return w, nil
}

// replaceDurable closes the active subscription of the durable that the request names, if the options allow that: its client
// may have given up waiting for the answer to an earlier request.
func (s *Server) replaceDurable(ctx context.Context, req *pb.SubscriptionRequest, line consumers.Line) error {
	if !s.opts.ReplaceDurables || req.DurableName == "" || req.QGroup != "" {
		return nil
	}
	if m := s.consumers.Durable(line, req.ClientID, req.DurableName); m != nil {
		return s.leave(ctx, m, false)
	}
	return nil
}

// onUnsubscribe handles an unsubscribe request, which destroys a durable, and a sub-close, which keeps it.
func (s *Server) onUnsubscribe(ctx context.Context, msg *nats.Msg, unsubscribe bool) {
	var req pb.UnsubscribeRequest
	if err := req.Unmarshal(msg.Data); err != nil {
		s.answerSubscription(msg.Reply, asker{}, "", ErrInvalidUnsubscribe)
		return
	}
	answer := func(err error) { s.answerSubscription(msg.Reply, asker{req.ClientID, req.Subject}, "", err) }
	if msg.Reply == "" && unsubscribe {
		answer(foreignRequest(req.ClientID))
		return
	}
	check := func() error {
		m, c, err := s.subscription(&req)
		if err != nil {
			return nil // it may still be made
		}
		return s.mayEnd(m, c, &req, msg.Reply)
	}
	s.ending(req.ClientID, msg.Reply, check, answer, func() {
		err := s.endSubscription(ctx, &req, msg.Reply, unsubscribe)
		s.failed(err)
		answer(err)
	})
}

func (s *Server) endSubscription(ctx context.Context, req *pb.UnsubscribeRequest, reply string, unsubscribe bool) error {
	m, c, err := s.subscription(req)
	if err != nil {
		return err
	}
	if err := s.mayEnd(m, c, req, reply); err != nil {
		return err
	}
	return s.leave(ctx, m, unsubscribe)
}

// subscription returns the subscription that a request names, and its client.
func (s *Server) subscription(req *pb.UnsubscribeRequest) (*consumers.Member, *client, error) {
	line := s.consumers.Line(req.Subject)
	if line == nil {
		return nil, nil, ErrUnknownChannel
	}
	m := s.consumers.ByInbox(line, req.Inbox)
	if m == nil {
		return nil, nil, ErrInvalidSub
	}
	c, ok := m.Client().(*client)
	if m.ClientID() != req.ClientID || !ok {
		return nil, nil, ErrUnknownClient
	}
	return m, c, nil
}

// mayEnd returns ErrPermission if a request to end a subscription comes neither from its client nor from whoever made it.
func (s *Server) mayEnd(m *consumers.Member, c *client, req *pb.UnsubscribeRequest, reply string) error {
	if reply == "" && req.Inbox == m.Inbox() {
		return s.abandoned(m)
	}
	if s.mayAct(c.owner(), reply) == nil {
		return nil
	}
	return s.mayAct(c.ownerOf(m), reply)
}

// Suspend takes a member out of its group, which keeps a durable. Its client is not told.
func (s *Server) Suspend(ctx context.Context, m *consumers.Member) error {
	return s.leave(ctx, m, false)
}

// leave takes a member out of its group, with a bounded wait for the store.
func (s *Server) leave(ctx context.Context, m *consumers.Member, unsubscribe bool) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	s.acks.remove(m)
	if c, ok := m.Client().(*client); ok {
		c.remove(m)
	}
	return s.consumers.Leave(ctx, m, unsubscribe)
}
