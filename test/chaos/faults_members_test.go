package chaos

import (
	"sync"
	"time"
)

// These faults crash the leader, or lose its answers, while a group or its members change.

// killAtJoin crashes the leader after a second member joins a group whose first member holds messages.
func (c *cluster) killAtJoin(leader, progress int) {
	c.killAt(c.crowds[1], leader, progress, func(w *crowd, _ *place) { w.join(w.places[1], false) }, nil)
}

// killAtClose crashes the leader while a durable that holds messages closes its subscription.
func (c *cluster) killAtClose(leader, progress int) {
	c.killAt(c.crowds[0], leader, progress, nil, func(w *crowd, holder *place) { w.leave(holder, "close subscription", holder.sub.Close) })
}

// killAtUnsubscribe crashes the leader while a member that holds messages unsubscribes and another one remains.
func (c *cluster) killAtUnsubscribe(leader, progress int) {
	c.killAt(c.crowds[1], leader, progress, func(w *crowd, _ *place) { w.join(w.places[1], false) }, func(w *crowd, holder *place) {
		if w.places[1].sub != nil {
			w.leave(holder, "unsubscribe", holder.sub.Unsubscribe)
		}
	})
}

// killAt runs before on a group whose first member holds messages, then crashes the leader while during runs. The member
// ends without acknowledging anything.
func (c *cluster) killAt(w *crowd, leader, progress int, before, during func(w *crowd, holder *place)) {
	func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		holder := w.hold()
		if before != nil {
			before(w, holder)
		}
		var doing sync.WaitGroup
		if during != nil {
			doing.Go(func() { during(w, holder) })
			time.Sleep(time.Duration(w.random.IntN(4000)) * time.Microsecond) // chooses the moment of the fault; nothing depends on it
		}
		c.servers[leader].Kill()
		doing.Wait()
		holder.vanish()
	}()
	c.await(progress, 0)
	c.launchStandby(leader)
}

func (c *cluster) cutBeforeChannel(leader, progress int) {
	c.cutAsWritten(leader, progress, created, c.createChannel)
}

func (c *cluster) loseAfterChannel(leader, progress int) {
	c.loseAsWritten(leader, progress, created, c.createChannel)
}

func (c *cluster) cutBeforeMember(leader, progress int) {
	c.cutAsWritten(leader, progress, c.crowds[1].name, c.crowds[1].rejoin)
}

func (c *cluster) loseAfterMember(leader, progress int) {
	c.loseAsWritten(leader, progress, c.crowds[1].name, c.crowds[1].rejoin)
}

func (c *cluster) cutBeforeClient(leader, progress int) {
	c.cutAsWritten(leader, progress, c.crowds[0].name, c.crowds[0].reconnect)
}

func (c *cluster) loseAfterClient(leader, progress int) {
	c.loseAsWritten(leader, progress, c.crowds[0].name, c.crowds[0].reconnect)
}
