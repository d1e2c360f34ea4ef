package chaos

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
	"github.com/nats-io/stan.go/pb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

// written records the event_ids acknowledged outside the checked histories, by channel.
type written struct {
	acked    map[string][]string
	channels int
}

func (w *written) add(channel, id string) {
	if w.acked == nil {
		w.acked = map[string][]string{}
	}
	w.acked[channel] = append(w.acked[channel], id)
}

// created prefixes the names of channels that are created during a fault.
const created = "eventstore.created"

// createChannel publishes the first event of a new channel until it is acknowledged.
func (c *cluster) createChannel() error {
	c.written.channels++
	channel := fmt.Sprint(created, "-", c.written.channels)
	op := operation{aggregate: aggregate{channel, "one"}, id: channel}
	for end := time.Now().Add(harness.Patience); ; {
		out, err := c.writer.publish(op, 2*time.Second)
		if err != nil {
			return err
		}
		if out.kind == stored {
			c.written.add(channel, op.id)
			return nil
		}
		c.writer.at = (c.writer.at + 1) % len(c.writer.conns)
		if time.Now().After(end) {
			return fmt.Errorf("create channel %s: %+v", channel, out)
		}
	}
}

// burst publishes events outside the histories to the channel shared without waiting for answers.
func (c *cluster) burst(n int) {
	c.t.Helper()
	c.publishAll(c.writer.conns[c.writer.at], aggregate{shared, "burst"}, n)
}

const (
	// backlog is the number of publishes that wait for the database at once, more than fit into one batch.
	backlog        = 3000
	backlogChannel = "eventstore.backlog"
)

// lockWithBacklog makes thousands of publishes wait for a locked database. Each gets an error, or an acknowledgement
// once the lock ends.
func (c *cluster) lockWithBacklog(leader, progress int) {
	c.t.Helper()
	var lock *rival
	if c.data.driver == "sqlite" {
		lock = c.data.rivalOf("BEGIN IMMEDIATE")
	} else {
		lock = c.data.rival("UPDATE Channels SET name = name")
	}
	begin := time.Now()
	answers := c.publishAll(c.writer.conns[leader], aggregate{backlogChannel, "backlog"}, backlog)
	c.await(0, 1)
	lock.end("ROLLBACK")
	refused, acked := 0, 0
	silent := time.NewTimer(harness.Patience / 3)
	defer silent.Stop()
	for refused+acked < backlog {
		select {
		case m := <-answers:
			var ack pb.PubAck
			if err := ack.Unmarshal(m.Data); err != nil {
				c.t.Fatal(err)
			}
			if ack.Error != "" {
				refused++
				continue
			}
			acked++
			c.written.add(backlogChannel, ack.Guid)
			continue
		case <-silent.C: // a leader that has lost its lease answers nothing
		}
		break
	}
	c.t.Logf("  %d publishes in flight: %d refused, %d acknowledged within %v", backlog, refused, acked, time.Since(begin).Round(100*time.Millisecond))
	c.await(progress, 0)
}

// publishAll publishes n events of an aggregate. It returns a channel of answers by GUID, which is the event_id.
func (c *cluster) publishAll(nc *nats.Conn, to aggregate, n int) <-chan *nats.Msg {
	c.t.Helper()
	answers, inbox := make(chan *nats.Msg, n), nats.NewInbox()
	sub, err := nc.ChanSubscribe(inbox, answers)
	c.must(err)
	c.must(sub.AutoUnsubscribe(n))
	for range n {
		id := nuid.Next()
		event := encode(c.t, &eventstorev1.Event{EventId: id, AggregateId: to.id})
		request := wire.Encode(c.t, &pb.PubMsg{ClientID: c.writer.id, ConnID: []byte(c.writer.connID), Guid: id, Subject: to.channel, Data: event})
		c.must(nc.PublishRequest(wire.Publish+"."+to.channel, inbox, request))
	}
	return answers
}

// checkWritten checks that every event acknowledged outside the histories is stored.
func (c *cluster) checkWritten() {
	c.t.Helper()
	for channel, acked := range c.written.acked {
		present := map[string]bool{}
		for id := range maps.Values(c.data.events("sequence", "channel = '"+channel+"'")) {
			present[id] = true
		}
		if lost := slices.DeleteFunc(acked, func(id string) bool { return present[id] }); len(lost) > 0 {
			c.t.Errorf("channel %s: %d acknowledged events are lost, such as %s", channel, len(lost), lost[0])
		}
	}
}
