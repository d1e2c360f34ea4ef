package consumers

import (
	"context"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// lookUpKeys finds out the keys of messages of an ordered group that were recovered or replayed. Nothing is sent before.
func (d *delivery) lookUpKeys(ctx context.Context) error {
	g := d.g
	for {
		g.mu.Lock()
		seqs := g.state.unknownKeys(g.perLookup())
		g.mu.Unlock()
		if len(seqs) == 0 {
			return nil
		}
		msgs, err := g.line.Lookup(ctx, seqs)
		if err != nil {
			return err
		}
		g.mu.Lock()
		for _, seq := range seqs {
			if msg, ok := msgs[seq]; ok {
				g.state.setKey(seq, g.examine(&msg).key, now())
			} else {
				g.state.forget(seq, now())
			}
		}
		g.touch()
		g.mu.Unlock()
	}
}

// sendWaiting sends messages that no member holds and that are due. It reports whether there were any.
func (d *delivery) sendWaiting(ctx context.Context) (some bool, err error) {
	g := d.g
	for sent := 0; sent < turnMsgs; {
		g.mu.Lock()
		seqs := g.state.takeReady(now(), min(g.state.window(), g.perLookup()))
		g.mu.Unlock()
		if len(seqs) == 0 {
			return some, nil
		}
		msgs, err := g.line.Lookup(ctx, seqs)
		g.mu.Lock()
		if err != nil {
			g.state.holdAgain(seqs, now())
			g.mu.Unlock()
			return some, err
		}
		for i, seq := range seqs {
			msg, stored := msgs[seq]
			if !g.sendReady(seq, msg, stored) {
				g.state.holdAgain(seqs[i:], now())
				break
			}
			sent++
		}
		some = true
		g.touch()
		g.mu.Unlock()
	}
	g.signal()
	return some, nil
}

// sendReady sends a message that waited, or does what else is to be done with it. It reports false if no member takes it. The caller
// holds g.mu.
func (g *Group) sendReady(seq uint64, msg stores.Message, stored bool) bool {
	s := &g.state
	var f facts
	if stored && g.examines() {
		f = g.examine(&msg)
	}
	f.unwanted = f.unwanted || !stored
	if s.settle(seq, f, now()) {
		return true
	}
	if s.spent(seq) {
		g.limit(seq)
		return true
	}
	m := s.pick(false)
	if m == nil {
		return false
	}
	before := s.sent(m, seq, now())
	data := msg.Data
	if before == 0 {
		g.trace("Delivering message", m, seq)
		g.metrics.Sent(1, len(data))
	} else {
		g.trace("Redelivering message", m, seq)
		data = redelivery(data, before)
		g.metrics.Resent(len(data))
	}
	g.transmit(m, msg, data, before)
	return true
}
