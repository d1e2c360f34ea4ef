package raftlog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/stores/former"
)

// state is what operations change.
type state struct {
	clients  map[string]*spb.ClientInfo
	channels map[string]*channel
}

// channel is a channel with the messages that the store of the node lacks.
type channel struct {
	name   string
	id     uint64 // 0 if it has none
	stored *former.Channel
	last   uint64 // sequence of the last message, also of one that is gone
	more   []*pb.MsgProto
	subs   []*subscription
}

// subscription is a subscription. Its state has a client while it is open, and the durable of a client also when it is closed.
type subscription struct {
	spb.SubState
	unacked map[uint64]struct{}
}

func (s *subscription) open() bool { return s.ClientID != "" && !s.IsClosed }

// Apply completes the content of the node's FILE store.
func (l *Log) Apply(store *former.Store) error {
	s := &state{clients: map[string]*spb.ClientInfo{}, channels: map[string]*channel{}}
	for _, c := range store.Channels {
		s.channels[c.Name] = &channel{name: c.Name, id: l.channels[c.Name], stored: c, last: c.Last}
	}
	if l.snapshot != nil {
		if err := s.restore(l.snapshot.state); err != nil {
			return err
		}
	}
	err := l.each(func(e *entry) error {
		if e.Type != typeCommand {
			return nil
		}
		op := &spb.RaftOperation{}
		if err := op.Unmarshal(e.Data); err != nil {
			return fmt.Errorf("entry %d of the Raft log is not an operation of NATS Streaming: %w: is it encrypted? Set NATS_STREAMING_ENCRYPTION_KEY", e.Index, err)
		}
		if err := s.apply(op); err != nil {
			return fmt.Errorf("entry %d of the Raft log: %w", e.Index, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.complete(store)
	return nil
}

// restore begins with a snapshot. Channels that the store does not have were deleted later, as those with another ID were.
func (s *state) restore(snapshot *spb.RaftSnapshot) error {
	for _, info := range snapshot.Clients {
		s.clients[info.ID] = info
	}
	for _, from := range snapshot.Channels {
		c := s.channels[from.Channel]
		if c == nil || from.ChannelID != 0 && c.id != 0 && c.id != from.ChannelID {
			continue
		}
		if from.First <= from.Last && c.last < from.Last {
			return behind(c, from.Last)
		}
		c.last = max(c.last, from.Last)
		for _, sub := range from.Subscriptions {
			_, connected := s.clients[sub.State.ClientID]
			durable, group := sub.State.IsDurable || sub.State.DurableName != "", sub.State.QGroup != ""
			if !connected && (!durable || group && sub.State.ClientID != "") {
				continue // left behind
			}
			restored := &subscription{SubState: *sub.State, unacked: map[uint64]struct{}{}}
			restored.IsClosed = restored.IsClosed || !connected && !group
			for _, sequence := range sub.AcksPending {
				restored.unacked[sequence] = struct{}{}
			}
			c.subs = append(c.subs, restored)
		}
	}
	return nil
}

// behind is the error of a node that must fetch messages from others.
func behind(c *channel, sequence uint64) error {
	return fmt.Errorf("the node lacks messages of channel %q: it has %d, and needs %d from another node. Name the directories of the node that led last", c.name, c.last, sequence)
}

// lookup returns the channel of an operation, as the node does: one with a lower ID was deleted, one with a higher ID came later. create
// makes one that is missing.
func (s *state) lookup(name string, id uint64, create bool) *channel {
	c := s.channels[name]
	switch {
	case c != nil && (id == 0 || c.id == 0 || c.id == id):
		return c
	case c != nil && c.id > id, !create:
		return nil
	}
	c = &channel{name: name, id: id}
	s.channels[name] = c
	return c
}

func (s *state) apply(op *spb.RaftOperation) error {
	switch op.OpType {
	case spb.RaftOperation_Publish:
		return s.publish(op)
	case spb.RaftOperation_Connect:
		req := op.ClientConnect.Request
		if op.ClientConnect.Refresh {
			s.disconnect(req.ClientID)
		}
		if s.clients[req.ClientID] == nil {
			s.clients[req.ClientID] = &spb.ClientInfo{
				ID: req.ClientID, HbInbox: req.HeartbeatInbox, ConnID: req.ConnID, Protocol: req.Protocol, PingInterval: req.PingInterval, PingMaxOut: req.PingMaxOut,
			}
		}
	case spb.RaftOperation_Disconnect:
		s.disconnect(op.ClientDisconnect.ClientID)
	case spb.RaftOperation_Subscribe:
		if c := s.lookup(op.Sub.Request.Subject, op.ChannelID, true); c != nil {
			c.subscribe(op.Sub)
		}
	case spb.RaftOperation_RemoveSubscription, spb.RaftOperation_CloseSubscription:
		c := s.channels[op.Unsub.Subject]
		if c == nil {
			return nil
		}
		for _, sub := range c.subs {
			if sub.open() && (sub.AckInbox == op.Unsub.Inbox || sub.Inbox == op.Unsub.Inbox) {
				c.leave(sub, op.OpType == spb.RaftOperation_RemoveSubscription)
				return nil
			}
		}
	case spb.RaftOperation_SendAndAck:
		if c := s.channels[op.SubSentAck.Channel]; c != nil {
			c.progress(op.SubSentAck)
		}
	case spb.RaftOperation_DeleteChannel:
		if s.lookup(op.Channel, op.ChannelID, false) != nil {
			delete(s.channels, op.Channel)
		}
	default:
		return fmt.Errorf("unknown operation %v: NATS Streaming 0.25.6 does not write it", op.OpType)
	}
	return nil
}

func (s *state) publish(op *spb.RaftOperation) error {
	if op.PublishBatch == nil || len(op.PublishBatch.Messages) == 0 {
		return nil
	}
	c := s.lookup(op.PublishBatch.Messages[0].Subject, op.ChannelID, true)
	if c == nil {
		return nil
	}
	for _, m := range op.PublishBatch.Messages {
		switch {
		case m.Sequence <= c.last: // the store has it, or had it
		case m.Sequence != c.last+1:
			return behind(c, m.Sequence-1)
		default:
			c.more = append(c.more, m)
			c.last = m.Sequence
		}
	}
	return nil
}

func (s *state) disconnect(client string) {
	if s.clients[client] == nil {
		return
	}
	delete(s.clients, client)
	for _, c := range s.channels {
		for _, sub := range slices.Clone(c.subs) {
			if sub.open() && sub.ClientID == client {
				c.leave(sub, false)
			}
		}
	}
}

// complete puts the state into a store.
func (s *state) complete(store *former.Store) {
	store.Clients = nil
	for _, id := range slices.Sorted(maps.Keys(s.clients)) {
		store.Clients = append(store.Clients, s.clients[id])
	}
	store.Channels = nil
	for _, name := range slices.Sorted(maps.Keys(s.channels)) {
		store.Channels = append(store.Channels, s.channels[name].complete())
	}
	store.OnlyMessages = false
}

func (c *channel) complete() *former.Channel {
	done := &former.Channel{Name: c.name, Last: c.last}
	end := uint64(0) // of the stored ones
	if c.stored != nil {
		done.First, end = c.stored.First, c.stored.Last
	}
	if (done.First == 0 || done.First > end) && len(c.more) > 0 {
		done.First = c.more[0].Sequence
	}
	done.Read = func(ctx context.Context, from uint64) ([]*pb.MsgProto, uint64, error) {
		if c.stored != nil && from <= end {
			return c.stored.Read(ctx, from)
		}
		at, _ := slices.BinarySearchFunc(c.more, from, func(m *pb.MsgProto, sequence uint64) int {
			switch {
			case m.Sequence < sequence:
				return -1
			case m.Sequence > sequence:
				return 1
			}
			return 0
		})
		batch := c.more[at:min(len(c.more), at+former.BatchMessages)]
		if len(batch) == 0 {
			return nil, max(from, c.last) + 1, nil
		}
		return batch, batch[len(batch)-1].Sequence + 1, nil
	}
	for _, sub := range c.subs {
		sub := former.Subscription{State: &sub.SubState, LastSent: sub.LastSent, Unacked: slices.Sorted(maps.Keys(sub.unacked))}
		if strings.Contains(sub.State.QGroup, ":") && sub.State.IsClosed { // the last member of a durable group: it belongs to nobody
			sub.State.IsClosed = false
		}
		done.Subscriptions = append(done.Subscriptions, sub)
	}
	return done
}

// Newest returns which of several nodes has all that the cluster confirmed, and whether that is certain because they are a majority.
func Newest(logs []*Log) (best int, certain bool) {
	for i, l := range logs {
		if l.Term > logs[best].Term || l.Term == logs[best].Term && l.Index > logs[best].Index {
			best = i
		}
	}
	return best, 2*len(logs) > len(logs[best].Members)
}
