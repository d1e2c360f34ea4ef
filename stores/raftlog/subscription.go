package raftlog

import (
	"github.com/nats-io/nats-streaming-server/spb"
)

// subscribe adds a subscription, or opens a durable again. The server has checked the request and told the sequence to start with.
func (c *channel) subscribe(add *spb.AddSubscription) {
	req := add.Request
	group, durable := req.QGroup, req.DurableName
	isDurable := durable != ""
	if group != "" && durable != "" {
		group, durable = durable+":"+group, ""
	}
	var known *subscription
	members := c.members(group)
	switch {
	case group != "":
		for _, sub := range members {
			if sub.ClientID == "" { // it kept the place of a durable group without members
				known = sub
			}
		}
	case durable != "":
		for _, sub := range c.subs {
			if sub.DurableName == durable && sub.QGroup == "" && sub.ClientID == req.ClientID {
				if !sub.IsClosed {
					return // refused as a duplicate
				}
				known = sub
			}
		}
	}
	if known == nil {
		known = &subscription{SubState: spb.SubState{ID: add.ID, QGroup: group, DurableName: durable, IsDurable: isDurable}, unacked: map[uint64]struct{}{}}
		if len(members) == 0 && req.StartSequence > 0 {
			known.LastSent = req.StartSequence - 1
		}
		c.subs = append(c.subs, known)
	}
	known.ClientID, known.Inbox, known.AckInbox = req.ClientID, req.Inbox, add.AckInbox
	known.MaxInFlight, known.AckWaitInSecs, known.IsDurable, known.IsClosed = req.MaxInFlight, req.AckWaitInSecs, isDurable, false
}

// members returns the subscriptions of a queue group.
func (c *channel) members(group string) (found []*subscription) {
	for _, sub := range c.subs {
		if group != "" && sub.QGroup == group {
			found = append(found, sub)
		}
	}
	return found
}

// leave closes a subscription, or ends it.
func (c *channel) leave(sub *subscription, unsubscribe bool) {
	switch {
	case sub.QGroup != "":
		c.leaveGroup(sub, unsubscribe)
	case !sub.IsDurable && sub.DurableName == "", unsubscribe:
		c.remove(sub)
	default:
		sub.IsClosed = true
	}
}

// leaveGroup removes a member. What it has not acknowledged goes to others; the leader has told in later operations to whom.
func (c *channel) leaveGroup(sub *subscription, unsubscribe bool) {
	last := uint64(0)
	var heir *subscription
	for _, member := range c.members(sub.QGroup) {
		last = max(last, member.LastSent)
		if member != sub && heir == nil {
			heir = member
		}
	}
	if heir == nil {
		if sub.IsDurable && !unsubscribe {
			sub.ClientID = "" // it keeps the place of the group
			return
		}
		c.remove(sub)
		return
	}
	heir.LastSent = last
	for sequence := range sub.unacked {
		heir.unacked[sequence] = struct{}{}
	}
	c.remove(sub)
}

func (c *channel) remove(sub *subscription) {
	for i, other := range c.subs {
		if other == sub {
			c.subs = append(c.subs[:i:i], c.subs[i+1:]...)
			return
		}
	}
}

// progress notes what was sent and acknowledged. A message that a member of a group got belongs to no other member.
func (c *channel) progress(p *spb.SubSentAndAck) {
	var sub *subscription
	for _, one := range c.subs {
		if one.open() && one.AckInbox == p.AckInbox {
			sub = one
		}
	}
	if sub == nil {
		return
	}
	for _, sequence := range p.Sent {
		c.forget(sub, sequence)
		sub.LastSent = max(sub.LastSent, sequence)
		sub.unacked[sequence] = struct{}{}
	}
	for _, sequence := range p.Ack {
		c.forget(sub, sequence)
		delete(sub.unacked, sequence)
	}
}

// forget takes a message from the other members of a subscription's group.
func (c *channel) forget(sub *subscription, sequence uint64) {
	for _, member := range c.members(sub.QGroup) {
		if member != sub {
			delete(member.unacked, sequence)
		}
	}
}
