package consumers

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

const (
	// turnMsgs is the number of new messages after which a group checks for redeliveries.
	turnMsgs = 512
	// sendMsgs is the number of messages sent under one lock, so that acks can get in between.
	sendMsgs = 64
	// lookupMsgs and lookupBytes bound one look-up of messages to redeliver.
	lookupMsgs  = 1024
	lookupBytes = 512 << 10
	// readRetry is the pause after a failed read.
	readRetry = 500 * time.Millisecond
	// idle is the timer of a group that waits for no ack.
	idle = time.Hour
)

// Sender sends an encoded pb.MsgProto to a subscriber's inbox. It does not block.
type Sender interface {
	Send(inbox string, msg []byte)
}

// delivery is a group's goroutine. Only it sends messages.
type delivery struct {
	g      *Group
	cursor eventlog.Follower
	rest   []stores.Message // read but not sent, since no member could take them
	// generation is that of the group's position which the cursor follows.
	generation int
	pace       *pace
	wall       wallClock
	asleep     bool // without members, and without messages in memory
	failed     func(error)
}

// run sends messages to members until ctx ends: first those whose ack timed out, then new ones.
func (d *delivery) run(ctx context.Context) {
	g := d.g
	d.follow()
	defer func() { d.cursor.Close() }()
	defer g.finish()
	failing := false
	toHolder := map[*Member]bool{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.wake:
		case <-timer.C:
		case <-d.cursor.Ready():
		}
		var resent, waited, progress bool
		err := d.recoverDue(ctx, toHolder)
		if err == nil {
			err = d.lookUpKeys(ctx)
		}
		if err == nil {
			resent, err = d.redeliver(ctx, toHolder)
		}
		if err == nil {
			clear(toHolder)
			waited, err = d.sendWaiting(ctx)
		}
		if err == nil {
			progress, err = d.deliver(ctx)
		}
		g.sentSome(err != nil)
		switch {
		case ctx.Err() != nil, errors.Is(err, eventlog.ErrChannelDeleted):
			return
		case err != nil:
			d.failed(err)
			if !failing {
				g.log.Error("Reading messages failed; delivery paused", "channel", g.line.Name(), "error", err)
			}
			timer.Reset(readRetry)
			failing = true
			continue
		case failing && (resent || waited || progress):
			g.log.Info("Reading messages recovered; delivery resumed", "channel", g.line.Name())
			failing = false
		}
		timer.Reset(d.untilDue())
	}
}

// next returns the first sequence not yet sent, and how often the position was set.
func (g *Group) next() (seq uint64, generation int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state.lastSent + 1, g.state.generation
}

// follow reads on from the group's position.
func (d *delivery) follow() {
	next, generation := d.g.next()
	d.cursor, d.generation, d.rest = d.g.line.Follow(next), generation, nil
}

// untilDue returns the time until the earliest ack timeout, or until the next message that waits.
func (d *delivery) untilDue() time.Duration {
	g := d.g
	g.mu.Lock()
	defer g.mu.Unlock()
	until := idle
	if at, ok := g.state.nextDue(); ok {
		until = min(until, max(at-now(), d.pace.until()))
	}
	if by := d.wall.jump(time.Now(), now()); by != 0 {
		g.state.shift(by, now())
	}
	if at, ok := g.state.nextReady(); ok {
		until = min(until, at-now(), wallCheck)
	}
	if g.kept.expire(now()); len(g.kept.queue) > 0 {
		until = min(until, keptFor)
	}
	return max(until, 0)
}

// deliver sends new messages while members take them and the cursor has them. It reports whether reading works:
// messages were read, or none are left.
func (d *delivery) deliver(ctx context.Context) (works bool, err error) {
	g := d.g
	for sent := 0; sent < turnMsgs; {
		g.mu.Lock()
		window, deserted, moved := g.state.window(), len(g.state.members) == 0, g.state.generation != d.generation
		full := g.state.waiting.due.n >= maxWaiting
		g.mu.Unlock()
		if moved {
			d.cursor.Close()
			d.follow()
		}
		if deserted {
			d.sleep()
			return works, nil
		}
		d.asleep = false
		if window == 0 || full {
			return works, nil
		}
		if len(d.rest) == 0 {
			if d.rest, err = d.cursor.Next(min(window, sendMsgs)); err != nil {
				return false, err
			}
			if err = g.warm(ctx, slices.Values(d.rest)); err != nil {
				d.cursor.Close()
				d.follow()
				return false, err
			}
			if len(d.rest) == 0 {
				g.pass(d.cursor.Passed(), d.generation)
				return works || d.cursor.Position() > g.line.Info().Last, nil
			}
			works = true
		}
		n := g.sendNew(d.rest, d.generation)
		if d.rest = d.rest[n:]; len(d.rest) > 0 {
			return works, nil
		}
		sent += n
	}
	g.signal()
	return works, nil
}

// pass records that nothing up to a sequence is left to send, unless the position was set meanwhile.
func (g *Group) pass(seq uint64, generation int) {
	if seq == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state.generation == generation {
		g.state.pass(seq)
		g.touch()
	}
}

// sleep releases memory: an offline durable holds no messages.
func (d *delivery) sleep() {
	switch {
	case d.asleep:
	case len(d.rest) > 0:
		d.cursor.Close()
		d.follow()
	default:
		d.cursor.Release()
	}
	d.asleep = true
}

// sendNew sends messages until no member takes the next one. It returns how many it consumed: all, if the position was set since
// they were read.
func (g *Group) sendNew(msgs []stores.Message, generation int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.state.generation != generation:
		return len(msgs)
	case g.state.held():
		return 0
	}
	examines, window := g.examines(), g.state.window()
	sent, bytes := 0, 0
	defer func() {
		g.touch()
		g.metrics.Sent(sent, bytes)
	}()
	for i := range msgs {
		seq := g.line.Place(&msgs[i])
		if seq <= g.state.lastSent {
			continue
		}
		if examines {
			if sent == window {
				return i
			}
			at, f := now(), g.examine(&msgs[i])
			if g.state.place(seq, f, at) {
				if f.at == 0 && g.state.unacked.holder(seq) == &g.state.waiting {
					g.kept.add(seq, keptMessage{msgs[i], g.state.rules}, at)
				}
				continue
			}
		}
		m := g.state.pick(false)
		if m == nil {
			return i
		}
		g.state.sent(m, seq, now())
		g.trace("Delivering message", m, seq)
		g.transmit(m, msgs[i], msgs[i].Data, 0)
		sent, bytes = sent+1, bytes+len(msgs[i].Data)
	}
	return len(msgs)
}

// redeliver sends messages whose ack timed out, regardless of MaxInFlight. After a server start, they go to the members
// that hold them, which may be about to acknowledge them. It reports whether there were any.
func (d *delivery) redeliver(ctx context.Context, toHolder map[*Member]bool) (some bool, err error) {
	g := d.g
	g.mu.Lock()
	allowed := d.pace.allowed()
	left := allowed
	all, more := g.state.takeDue(now(), &left)
	g.mu.Unlock()
	if d.pace.used(allowed-left, more) {
		g.metrics.Slowed()
	}
	if len(all) == 0 {
		return false, nil
	}
	for chunk := range slices.Chunk(all, g.perLookup()) {
		seqs := make([]uint64, len(chunk))
		for i, d := range chunk {
			seqs[i] = d.seq
		}
		msgs, err := g.lookUp(ctx, seqs)
		if err != nil {
			g.mu.Lock()
			g.state.dueNow(all, now())
			g.mu.Unlock()
			return some, err
		}
		g.resend(chunk, msgs, toHolder)
		all, some = all[len(chunk):], true
	}
	return some, nil
}

// perLookup returns how many messages of average size one look-up takes.
func (g *Group) perLookup() int {
	return min(lookupMsgs, lookupBytes/(g.line.MessageBytes()+1)+1)
}

// resend sends each due message to the member that pick chooses, or to its holder. A message that is no longer stored
// counts as acknowledged.
func (g *Group) resend(chunk []due, msgs map[uint64]stores.Message, toHolder map[*Member]bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.touch()
	for i, d := range chunk {
		if g.state.unacked.holder(d.seq) != d.member || d.member.phase != phaseActive {
			continue // meanwhile acknowledged, or dealt to another member
		}
		if g.waitsFor(d.member, d.seq) {
			continue
		}
		if g.state.held() {
			g.state.dueNow(chunk[i:], now())
			return
		}
		msg, ok := msgs[d.seq]
		switch {
		case !ok:
			g.state.forget(d.seq, now())
			continue
		case g.state.spent(d.seq):
			g.limit(d.seq)
			continue
		}
		m := d.member
		if len(g.state.members) > 1 && !toHolder[m] {
			m = cmp.Or(g.state.pick(true), m)
		}
		count := g.state.resent(m, d.seq, now())
		g.trace("Redelivering message", m, d.seq)
		data := redelivery(msg.Data, count)
		g.transmit(m, msg, data, count)
		g.metrics.Resent(len(data))
	}
}

// waitsFor reports whether a message is still on its way to a member that takes messages, or to the only one: to send it again would
// count a delivery that nobody has seen.
func (g *Group) waitsFor(m *Member, seq uint64) bool {
	return m.receiver != nil && (m.healthy() || len(g.state.members) == 1) && m.receiver.Waits(seq)
}

// transmit sends a message, encoded as data, to a member.
func (g *Group) transmit(m *Member, msg stores.Message, data []byte, redeliveries uint32) {
	if g.delivered == nil {
		g.handTo(m, msg, data, redeliveries)
		return
	}
	began := time.Now()
	g.handTo(m, msg, data, redeliveries)
	channel := g.line.Origin(&msg)
	if channel == nil {
		return
	}
	g.delivered(Delivery{
		Channel: channel, Message: msg, Client: m.state.ClientID, Durable: m.state.DurableName, Queue: m.state.QGroup,
		Redeliveries: redeliveries, Began: began,
	})
}

func (g *Group) handTo(m *Member, msg stores.Message, data []byte, redeliveries uint32) {
	if m.receiver != nil {
		m.receiver.Receive(msg, redeliveries+1)
		return
	}
	data, ok := g.plain(&msg, data)
	if !ok {
		return // it is sent again after the member's AckWait
	}
	g.send.Send(m.state.Inbox, data)
}

// redelivery returns an encoded pb.MsgProto with redelivered (6) and redeliveryCount (7) appended.
func redelivery(msg []byte, count uint32) []byte {
	b := make([]byte, len(msg), len(msg)+8)
	copy(b, msg)
	b = protowire.AppendTag(b, 6, protowire.VarintType)
	b = protowire.AppendVarint(b, 1)
	b = protowire.AppendTag(b, 7, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(count))
}

// recoverDue restores the due times of messages recovered at the start: a message's timestamp plus AckWait. Overdue
// messages go out at once, to their holder. Each member waits until its client is reachable.
func (d *delivery) recoverDue(ctx context.Context, toHolder map[*Member]bool) error {
	g := d.g
	held := make(map[*Member][]uint64)
	g.mu.Lock()
	for _, m := range g.state.members {
		if m.recovered && m.reachable() {
			held[m] = g.state.unacked.sequences(m)
		}
	}
	g.mu.Unlock()

	for m, seqs := range held {
		for chunk := range slices.Chunk(seqs, g.perLookup()) {
			msgs, err := g.line.Lookup(ctx, chunk)
			if err != nil {
				return err
			}
			g.mu.Lock()
			at, wall := now(), time.Now()
			for _, seq := range chunk {
				wait := time.Duration(0)
				if msg, ok := msgs[seq]; ok {
					wait = time.Unix(0, msg.Timestamp).Add(m.ackWait()).Sub(wall)
				}
				g.state.dueAfter(m, seq, at, wait)
			}
			g.mu.Unlock()
		}
		g.mu.Lock()
		m.recovered = false
		g.mu.Unlock()
		toHolder[m] = true
	}
	return nil
}
