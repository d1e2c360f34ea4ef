package server

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

const (
	// tailBatch is how many messages in memory a group takes at a time.
	tailBatch = 512
	// sendMsgs is how many are sent before acks for the group are looked at again.
	sendMsgs = 64
	// ackSlack is how much early a message may be redelivered, so that those sent
	// together are redelivered together.
	ackSlack = 15 * time.Millisecond
	// readRetry is the pause after a failed read.
	readRetry = 500 * time.Millisecond
	// idle is the timer of a group that has no ack to wait for.
	idle = time.Hour
)

// run sends messages to the group's members until ctx ends: first those whose ack timed out,
// then new ones. It owns the read-ahead and is the only one that sends.
func (g *group) run(ctx context.Context) {
	var a ahead
	defer g.drop(&a)
	failing, resuming := false, false
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var err error
		answered := false
		select {
		case <-ctx.Done():
			return
		case <-g.wake:
		case <-timer.C:
		case b := <-a.ready():
			answered, err = true, g.arrived(&a, b)
		}
		if err == nil {
			var recovered bool
			recovered, err = g.recoverDue(ctx)
			resuming = resuming || recovered
		}
		if err == nil {
			err = g.redeliver(ctx, resuming)
		}
		if err == nil {
			resuming = false
			err = g.deliver(ctx, &a)
		}
		works := err == nil && (answered || a.next == nil) // a read that runs says nothing yet
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			g.ch.metrics.failed(opDelivery, err)
			g.ch.damage.note(err)
			if !failing {
				g.ch.log.Error("Reading messages fails, subscribers wait", "channel", g.ch.name, "error", err)
			}
			timer.Reset(readRetry)
		default:
			if failing && works {
				g.ch.log.Info("Reading messages works again", "channel", g.ch.name)
			}
			timer.Reset(g.nextDue())
		}
		failing = err != nil || failing && !works
	}
}

// nextDue returns the time until the earliest ack timeout.
func (g *group) nextDue() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	wait := idle
	for _, m := range g.members {
		if at, ok := m.unacked.next(); ok {
			wait = min(wait, at-monotonic())
		}
	}
	return max(wait, 0)
}

// deliver sends new messages: those that were read but not sent, or else the next ones, from the channel's tail if
// it reaches back far enough. It wakes the group if there may be more to send; while a read runs, that does.
func (g *group) deliver(ctx context.Context, a *ahead) error {
	g.mu.Lock()
	from, window, deserted := g.lastSent+1, g.window(), len(g.members) == 0
	g.mu.Unlock()
	if deserted {
		g.drop(a) // an offline durable holds no memory
		return nil
	}
	if len(a.msgs) == 0 {
		if a.next != nil {
			return nil
		}
		last := g.ch.stored.Info().Last
		if window == 0 || from > last {
			return nil
		}
		if a.msgs = g.ch.tail.read(from, last, tailBatch); len(a.msgs) == 0 {
			g.read(ctx, a, from, window)
			return nil
		}
	}
	if next := a.msgs[len(a.msgs)-1].Sequence + 1; a.held && a.next == nil && next <= g.ch.stored.Info().Last && !g.ch.tail.reaches(next) {
		g.read(ctx, a, next, 0)
	}
	n := 0
	for chunk := range slices.Chunk(a.msgs, sendMsgs) {
		if a.held {
			if err := g.ch.pace.wait(ctx, min(len(chunk), max(0, window-n))); err != nil {
				return err
			}
		}
		sent := g.sendNew(chunk)
		n += sent
		if sent < len(chunk) {
			break
		}
	}
	if g.sent(a, n); len(a.msgs) == 0 && a.next == nil {
		g.signal()
	}
	return nil
}

// window returns how many new messages the members can take. The caller holds g.mu.
func (g *group) window() int {
	n := 0
	for _, m := range g.members {
		n += max(0, int(m.state.MaxInFlight)-m.unacked.len())
	}
	return n
}

// sendNew sends messages to members until all are stalled, and returns how many it consumed.
func (g *group) sendNew(msgs []stores.Message) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	sent, bytes := 0, 0
	defer func() { g.ch.metrics.sent(sent, bytes) }()
	for i := range msgs {
		if msgs[i].Sequence <= g.lastSent {
			continue
		}
		m := g.pick(false)
		if m == nil {
			return i
		}
		m.unacked.put(msgs[i].Sequence, monotonic()+m.ackWait())
		g.lastSent = msgs[i].Sequence
		g.touch(m)
		g.trace("Delivering message", m, msgs[i].Sequence)
		g.ch.send(m.state.Inbox, msgs[i].Data)
		sent, bytes = sent+1, bytes+len(msgs[i].Data)
	}
	return len(msgs)
}

// due is a message to be redelivered and the member that holds it.
type due struct {
	seq    uint64
	member *member
}

// takeDue collects the messages whose ack timed out, and sets their next time.
func (g *group) takeDue() []due {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := monotonic()
	var all []due
	for _, m := range g.members {
		seqs := m.unacked.takeDue(now+ackSlack, max(m.ackWait(), 2*ackSlack))
		if g.key.queue == "" && !m.healthy() && !m.resuming {
			continue // a client that does not answer is not flooded: next time
		}
		m.resuming = false
		for _, seq := range seqs {
			all = append(all, due{seq, m})
		}
	}
	return all
}

// redeliver sends the messages whose ack timed out, whatever MaxInFlight is. After a start of the server they go to
// the members that had them, since these may be about to acknowledge them.
func (g *group) redeliver(ctx context.Context, resuming bool) error {
	all := g.takeDue()
	for chunk := range slices.Chunk(all, g.ch.perBatch()) {
		seqs := make([]uint64, len(chunk))
		for i, d := range chunk {
			seqs[i] = d.seq
		}
		msgs, err := g.ch.lookup(ctx, seqs)
		if err != nil {
			g.dueNow(all)
			return err
		}
		g.resend(chunk, msgs, resuming)
		all = all[len(chunk):]
	}
	return nil
}

// dueNow makes messages due again that could not be read.
func (g *group) dueNow(all []due) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := monotonic()
	for _, d := range all {
		if d.member.unacked.has(d.seq) {
			d.member.unacked.put(d.seq, now)
		}
	}
}

// resend sends due messages, each to the member that is picked for it, or to the one that holds it. One that is no
// longer stored counts as acknowledged.
func (g *group) resend(chunk []due, msgs map[uint64]stores.Message, toHolder bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, d := range chunk {
		if !d.member.unacked.has(d.seq) || !slices.Contains(g.members, d.member) {
			continue // acknowledged, or dealt to another member, or left with its member, in the meantime
		}
		msg, ok := msgs[d.seq]
		if !ok {
			d.member.unacked.remove(d.seq)
			delete(g.redelivered, d.seq)
			g.touch(d.member)
			continue
		}
		m := d.member
		if len(g.members) > 1 && !toHolder {
			if m = g.pick(true); m != d.member {
				d.member.unacked.remove(d.seq)
				m.unacked.put(d.seq, monotonic()+m.ackWait())
				g.touch(d.member)
				g.touch(m)
			}
		}
		if g.redelivered == nil {
			g.redelivered = make(map[uint64]uint32)
		}
		g.redelivered[d.seq]++
		g.trace("Redelivering message", m, d.seq)
		again := redelivery(msg.Data, g.redelivered[d.seq])
		g.ch.send(m.state.Inbox, again)
		g.ch.metrics.resent(len(again))
	}
}

func (g *group) trace(what string, m *member, seq uint64) {
	if ctx := context.Background(); g.ch.log.Enabled(ctx, levelTrace) {
		g.ch.log.Log(ctx, levelTrace, fmt.Sprintf("[Client:%s] %s", m.state.ClientID, what), "channel", g.ch.name, "seq", seq)
	}
}

// redelivery returns an encoded pb.MsgProto with its fields redelivered (6) and redeliveryCount
// (7) appended.
func redelivery(msg []byte, count uint32) []byte {
	b := make([]byte, len(msg), len(msg)+8)
	copy(b, msg)
	b = protowire.AppendTag(b, 6, protowire.VarintType)
	b = protowire.AppendVarint(b, 1)
	b = protowire.AppendTag(b, 7, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(count))
}

// recoverDue gives messages that were read from the store at start the due time that they would have
// had: the message's timestamp plus AckWait. Those already past go out at once. It reports whether there were any.
func (g *group) recoverDue(ctx context.Context) (bool, error) {
	g.mu.Lock()
	if !g.recovered {
		g.mu.Unlock()
		return false, nil
	}
	held := make(map[*member][]uint64, len(g.members))
	for _, m := range g.members {
		held[m] = m.unacked.sequences()
	}
	g.mu.Unlock()

	for m, seqs := range held {
		for chunk := range slices.Chunk(seqs, g.ch.perBatch()) {
			msgs, err := g.ch.lookup(ctx, chunk)
			if err != nil {
				return false, err
			}
			g.mu.Lock()
			now, wall := monotonic(), time.Now()
			for _, seq := range chunk {
				if !m.unacked.has(seq) {
					continue
				}
				wait := time.Duration(0)
				if msg, ok := msgs[seq]; ok {
					wait = time.Unix(0, msg.Timestamp).Add(m.ackWait()).Sub(wall)
				}
				m.unacked.put(seq, now+min(max(wait, 0), m.ackWait()))
			}
			g.mu.Unlock()
		}
	}
	g.mu.Lock()
	g.recovered = false
	g.mu.Unlock()
	return true, nil
}
