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
	// readAheadMsgs and readAheadBytes bound what one group holds of messages read but not sent.
	readAheadMsgs  = 512
	readAheadBytes = 1 << 20
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
	var ahead []stores.Message
	failing, resuming := false, false
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.wake:
		case <-timer.C:
		}
		recovered, err := g.recoverDue(ctx)
		resuming = resuming || recovered
		if err == nil {
			err = g.redeliver(ctx, resuming)
		}
		if err == nil {
			resuming = false
			ahead, err = g.deliver(ctx, ahead)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			g.ch.metrics.failed(opDelivery, err)
			if !failing {
				g.ch.log.Error("Reading messages fails, subscribers wait", "channel", g.ch.name, "error", err)
			}
			timer.Reset(readRetry)
		default:
			if failing {
				g.ch.log.Info("Reading messages works again", "channel", g.ch.name)
			}
			timer.Reset(g.nextDue())
		}
		failing = err != nil
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

// deliver sends one batch of new messages: those that were read but not sent, or else the next ones. It returns what
// is left of them when every member is stalled, and wakes the group for the next batch if it is not.
func (g *group) deliver(ctx context.Context, ahead []stores.Message) ([]stores.Message, error) {
	if len(ahead) == 0 {
		g.mu.Lock()
		from, wanted := g.lastSent+1, g.wantsMore()
		g.mu.Unlock()
		if !wanted {
			return nil, nil
		}
		msgs, err := g.ch.read(ctx, from, g.ch.stored.Info().Last, readAheadMsgs)
		if err != nil || len(msgs) == 0 {
			return nil, err
		}
		ahead = msgs
	}
	ahead = ahead[g.sendNew(ahead):]
	if len(ahead) == 0 {
		g.signal()
	}
	return ahead, nil
}

// wantsMore reports whether some member can take a new message. The caller holds g.mu.
func (g *group) wantsMore() bool {
	return slices.ContainsFunc(g.members, func(m *member) bool { return !m.stalled() })
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
	for chunk := range slices.Chunk(all, readAheadMsgs) {
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
		for chunk := range slices.Chunk(seqs, readAheadMsgs) {
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
