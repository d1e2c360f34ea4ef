package consumers

import (
	"context"
	"slices"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// lookUpKeys finds out the keys of messages of an ordered group that were recovered, or sent before it was ordered. Nothing is sent before.
func (d *delivery) lookUpKeys(ctx context.Context) error {
	g := d.g
	for {
		g.mu.Lock()
		seqs, of := g.state.unknownKeys(), g.state.lanes
		g.mu.Unlock()
		if len(seqs) == 0 {
			return nil
		}
		for chunk := range slices.Chunk(seqs, g.perLookup()) {
			msgs, err := g.line.Lookup(ctx, chunk)
			if err != nil {
				return err
			}
			if !g.setKeys(of, chunk, msgs) {
				break
			}
		}
	}
}

// setKeys puts messages into their lanes. It reports false if the group has other lanes by now, or none: then all keys are unknown
// again.
func (g *Group) setKeys(of *lanes, seqs []uint64, msgs map[uint64]stores.Message) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state.lanes != of {
		return false
	}
	defer g.touch()
	for _, seq := range seqs {
		if msg, ok := msgs[seq]; ok {
			g.state.setKey(seq, g.examine(&msg).key, now())
		} else {
			g.state.forget(seq, now())
		}
	}
	return true
}

// sendWaiting sends messages that no member holds and that are due. It reports whether there were any.
func (d *delivery) sendWaiting(ctx context.Context) (some bool, err error) {
	g := d.g
	for sent := 0; sent < turnMsgs; {
		g.mu.Lock()
		seqs := g.state.takeReady(now(), min(g.state.window(), g.perLookup()))
		msgs, missing := g.takeKept(seqs)
		g.mu.Unlock()
		if len(seqs) == 0 {
			return some, nil
		}
		if len(missing) > 0 {
			var found map[uint64]stores.Message
			if found, err = g.lookUp(ctx, missing); err != nil {
				g.mu.Lock()
				g.state.holdAgain(seqs, now())
				g.mu.Unlock()
				return some, err
			}
			for seq, msg := range found {
				msgs[seq] = keptMessage{Message: msg}
			}
		}
		g.mu.Lock()
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

// takeKept returns those of messages that the group keeps, and the others' sequences. The caller holds g.mu.
func (g *Group) takeKept(seqs []uint64) (msgs map[uint64]keptMessage, missing []uint64) {
	msgs = make(map[uint64]keptMessage, len(seqs))
	for _, seq := range seqs {
		if m, ok := g.kept.take(seq); ok {
			msgs[seq] = m
		} else {
			missing = append(missing, seq)
		}
	}
	return msgs, missing
}

// sendReady sends a message that waited, or does what else is to be done with it. It reports false if no member takes it. The caller
// holds g.mu.
func (g *Group) sendReady(seq uint64, kept keptMessage, stored bool) bool {
	s, msg := &g.state, kept.Message
	if s.held() {
		return false
	}
	var f facts
	switch {
	case kept.rules != nil && kept.rules == s.rules:
		f.key = s.keyOf(seq) // it was examined when it was kept
	case stored && g.examines():
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
