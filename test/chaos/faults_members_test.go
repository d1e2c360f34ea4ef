package chaos

import "github.com/nats-eventstore/nats-eventstore/test/network"

// Crashes and lost answers at moments at which a group, or its members, change.

// killAtJoin crashes the leader when a group in which somebody holds messages has got another member.
func (c *cluster) killAtJoin(leader, progress int) {
	c.killAt(c.crowds[1], leader, progress, func(w *crowd, _ *place) { w.join(w.places[1], false) })
}

// killAtClose crashes it when a durable that holds messages has closed its subscription.
func (c *cluster) killAtClose(leader, progress int) {
	c.killAt(c.crowds[0], leader, progress, func(w *crowd, holder *place) { w.leave(holder, "close subscription", holder.sub.Close) })
}

// killAtUnsubscribe crashes it when a member that holds messages has unsubscribed, and another one remains.
func (c *cluster) killAtUnsubscribe(leader, progress int) {
	c.killAt(c.crowds[1], leader, progress, func(w *crowd, holder *place) {
		if w.join(w.places[1], false); w.places[1].sub != nil {
			w.leave(holder, "unsubscribe", holder.sub.Unsubscribe)
		}
	})
}

func (c *cluster) killAt(w *crowd, leader, progress int, do func(w *crowd, holder *place)) {
	func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		do(w, w.hold())
		c.servers[leader].Kill()
	}()
	c.await(progress, 0)
	c.launchStandby(leader)
}

func (c *cluster) cutBeforeChannel(leader, progress int) {
	c.cutAsWritten(leader, progress, created, network.Nothing, c.createChannel)
}

func (c *cluster) cutAfterChannel(leader, progress int) {
	c.cutAsWritten(leader, progress, created, network.All, c.createChannel)
}

func (c *cluster) cutBeforeMember(leader, progress int) {
	c.cutAsWritten(leader, progress, c.crowds[1].name, network.Nothing, c.crowds[1].rejoin)
}

func (c *cluster) cutAfterMember(leader, progress int) {
	c.cutAsWritten(leader, progress, c.crowds[1].name, network.All, c.crowds[1].rejoin)
}

func (c *cluster) cutBeforeClient(leader, progress int) {
	c.cutAsWritten(leader, progress, c.crowds[0].name, network.Nothing, c.crowds[0].reconnect)
}

func (c *cluster) cutAfterClient(leader, progress int) {
	c.cutAsWritten(leader, progress, c.crowds[0].name, network.All, c.crowds[0].reconnect)
}
