package server

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// deliveryOverhead is what a delivered pb.MsgProto may need beyond subject, reply and payload:
// sequence, timestamp, redelivery fields, an assigned event_version and the lengths of fields.
const deliveryOverhead = 80

// decode takes published messages from the inbox until it is closed. It is one goroutine, so that messages keep their
// order of arrival.
func (s *service) decode(ctx context.Context) {
	for {
		items := s.inbox.take()
		if items == nil {
			return
		}
		for i := range items {
			if items[i].call != nil {
				items[i].call()
			} else if msg := items[i].msg; !s.onPublish(ctx, msg) {
				s.inbox.release(1, heldSize(msg))
			}
			items[i] = received{} // not kept in memory for those behind it
		}
	}
}

// onPublish validates one published message and queues it for the writer, or answers it and returns false.
func (s *service) onPublish(ctx context.Context, msg *nats.Msg) bool {
	s.metrics.publishReceived(len(msg.Data))
	var req pb.PubMsg
	if err := req.Unmarshal(msg.Data); err != nil || req.Guid == "" || !validChannel(req.Subject) {
		var ctrl spb.CtrlMsg
		if err == nil || ctrl.Unmarshal(msg.Data) != nil || ctrl.ServerID == "" {
			s.refuse(msg.Reply, &req, errInvalidPublish)
		}
		return false
	}
	if s.clients.publisher(req.ClientID, req.ConnID) == nil {
		s.refuse(msg.Reply, &req, errInvalidPublish)
		return false
	}
	if strings.TrimPrefix(msg.Subject, s.subjects.publish+".") != req.Subject {
		s.refuse(msg.Reply, &req, errSubjectMismatch)
		return false
	}
	if !s.deliverable(req.Subject, req.Reply, req.Data) {
		s.refuse(msg.Reply, &req, errTooLarge)
		return false
	}
	ch, err := s.channels.open(ctx, req.Subject)
	if err != nil {
		s.unavailable(err)
		s.refuse(msg.Reply, &req, stanError(err))
		return false
	}
	p := publication{
		ch:     ch,
		append: stores.Append{Channel: ch.stored, Reply: req.Reply, Payload: req.Data, Versions: ch.versions},
		guid:   req.Guid,
		ack:    msg.Reply,
		held:   heldSize(msg),
	}
	if ch.events != nil {
		mapping := ch.events.mapping
		ev, err := mapping.Extract(req.Data)
		if err != nil {
			s.refuse(msg.Reply, &req, stanError(err))
			return false
		}
		p.append.Event, p.append.Mapping = &ev, mapping
		if err := s.route(ctx, &p); err != nil {
			s.unavailable(err)
			s.refuse(msg.Reply, &req, fmt.Errorf("stan: %w", err)) // a refusal of the other channel, too
			return false
		}
	}
	if s.log.Enabled(ctx, levelTrace) {
		s.log.Log(ctx, levelTrace, fmt.Sprintf("[Client:%s] Received message", req.ClientID), "channel", ch.name, "guid", req.Guid)
	}
	s.writer.queue.put(p)
	return true
}

// refuse answers a publish that was not stored.
func (s *service) refuse(reply string, req *pb.PubMsg, err error) {
	s.metrics.failed(opPublish, err)
	s.log.Debug("Publish refused", "client", req.ClientID, "channel", req.Subject, "error", err)
	s.respondOn(s.conns.pubAcks, reply, &pb.PubAck{Guid: req.Guid, Error: err.Error()})
}
