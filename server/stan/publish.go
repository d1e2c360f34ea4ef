package stan

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/server/natsconn"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// publish validates one published message and hands it to the event log, or answers it. It holds the message's bytes of the
// admission, which are given back when it is answered.
func (s *Server) publish(in received) {
	msg := in.msg
	s.metrics.PublishReceived(len(msg.Data))
	var req pb.PubMsg
	c, err := s.validatePublish(&req, msg)
	if err != nil {
		s.inbox.release(in)
		var ctrl spb.CtrlMsg
		if req.Guid == "" && ctrl.Unmarshal(msg.Data) == nil && ctrl.ServerID != "" {
			return // a control message among servers of NATS Streaming
		}
		s.answerPublish(s.conns.PubAcks, msg.Reply, asker{req.ClientID, req.Subject}, req.Guid, err)
		return
	}
	if ctx := context.Background(); s.log.Enabled(ctx, natsconn.LevelTrace) {
		s.log.Log(ctx, natsconn.LevelTrace, fmt.Sprintf("[Client:%s] Received message", c.info.ID), "channel", req.Subject, "guid", req.Guid)
	}
	guid, reply, from := req.Guid, msg.Reply, asker{c.info.ID, req.Subject}
	message := []eventlog.Message{{Reply: req.Reply, Payload: req.Data}}
	var trace eventlog.Trace
	if s.opts.Trace != nil {
		trace = s.opts.Trace(req.Subject, c.info.ID, guid, in.at)
	}
	s.eventlog.Submit(eventlog.Submission{
		Trace:    trace,
		Channel:  req.Subject,
		From:     submitter(c, &req),
		By:       s.appender(c, &req),
		Held:     in.held(),
		Received: in.at,
		Decode:   func(*eventlog.Channel) ([]eventlog.Message, error) { return message, nil },
		Answer: func(results []stores.Result) {
			s.inbox.answered()
			if err := results[0].Err; err != nil {
				s.answerPublish(s.conns.PubAcks, reply, from, guid, err)
				return
			}
			c.answer(from.channel, results[0], func(heard bool) {
				conn := s.conns.PubAcks
				if heard {
					conn = s.conns.Send
				}
				s.answerPublish(conn, reply, from, guid, nil)
			})
		},
	})
}

// submitter names who takes turns with others. A publish that names a client by its ID only may come from anybody, and delays
// none that prove themselves with the connection ID.
func submitter(c *client, req *pb.PubMsg) string {
	if len(req.ConnID) == 0 && len(c.info.ConnID) > 0 {
		return c.info.ID + " by name" // no client ID has a space
	}
	return c.info.ID
}

// validatePublish decodes a publish request and returns its client, or says what is wrong with it whatever the event log would
// say.
func (s *Server) validatePublish(req *pb.PubMsg, msg *nats.Msg) (*client, error) {
	if err := req.Unmarshal(msg.Data); err != nil || req.Guid == "" || !eventlog.ValidChannel(req.Subject) {
		return nil, ErrInvalidPublish
	}
	c := s.clients.publisher(req.ClientID, req.ConnID)
	switch {
	case c == nil:
		return nil, ErrInvalidPublish
	case strings.TrimPrefix(msg.Subject, s.subjects.publish+".") != req.Subject:
		return nil, ErrSubjectMismatch
	}
	return c, nil
}
