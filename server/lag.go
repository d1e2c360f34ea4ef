package server

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// backlog is what a group has still to get done.
type backlog struct {
	msgs  uint64 // stored and not yet sent, or sent and not yet acknowledged
	first uint64 // sequence of the first of them, 0: there is none
}

// backlog looks at every message that is unacknowledged; there are at most MaxInFlight for each member.
func (g *group) backlog() backlog {
	g.mu.Lock()
	defer g.mu.Unlock()
	info := g.ch.stored.Info()
	var b backlog
	if next := max(g.lastSent+1, info.First); info.Msgs > 0 && next <= info.Last {
		b = backlog{msgs: info.Last - next + 1, first: next}
	}
	members := g.members
	if g.offline != nil {
		members = append(members[:len(members):len(members)], g.offline)
	}
	for _, m := range members {
		for seq := range m.unacked.expiry {
			if b.msgs++; b.first == 0 || seq < b.first {
				b.first = seq
			}
		}
	}
	return b
}

// lags knows since when the backlogs of groups wait. That is the timestamp of a stored message, which is often not in
// memory; a question is then answered with the latest time that it can be, and the message is
// looked up behind it, so that the next answer is exact. A group that does not move, such as an offline durable,
// costs one look-up ever; where nobody asks there is none.
type lags struct {
	mu     sync.Mutex            // guards what follows
	known  map[*group]firstKnown // groups that were asked about, for as long as they exist
	wanted map[*group]uint64     // sequences to look up
	// wake tells the goroutine that something is wanted. It has one slot and carries no data.
	wake chan struct{}
}

// firstKnown is the timestamp (ns since 1970) of a message.
type firstKnown struct {
	seq       uint64
	timestamp int64
}

func newLags() *lags {
	return &lags{known: make(map[*group]firstKnown), wanted: make(map[*group]uint64), wake: make(chan struct{}, 1)}
}

// since returns the timestamp of the first message of the group's backlog, or a later one as long as it is not known.
func (l *lags) since(g *group, b backlog) int64 {
	at, exact := g.ch.tail.timestamp(b.first)
	if exact {
		return at
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if k, ok := l.known[g]; ok && k.seq == b.first {
		return k.timestamp
	}
	l.wanted[g] = b.first
	select {
	case l.wake <- struct{}{}:
	default:
	}
	if at == 0 {
		at = g.ch.stored.Info().LastTime // timestamps never decrease along a channel
	}
	return at
}

// forget drops what is known of groups that are gone.
func (l *lags) forget(exists func(*group) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for g := range l.known {
		if !exists(g) {
			delete(l.known, g)
		}
	}
}

// run looks up what is wanted until ctx ends. timeout bounds one look-up.
func (l *lags) run(ctx context.Context, timeout time.Duration, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		}
		l.mu.Lock()
		wanted := l.wanted
		l.wanted = make(map[*group]uint64)
		l.mu.Unlock()
		for g, seq := range wanted {
			if err := l.lookup(ctx, timeout, g, seq); err != nil {
				// The next question asks for the rest again.
				log.Debug("Looking up the age of a backlog", "channel", g.ch.name, "seq", seq, "error", err)
				break
			}
		}
	}
}

func (l *lags) lookup(ctx context.Context, timeout time.Duration, g *group, seq uint64) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	msgs, err := g.ch.store.Read(ctx, g.ch.stored, seq, g.ch.stored.Info().Last, 1, 1)
	if err != nil || len(msgs) == 0 {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known[g] = firstKnown{seq: seq, timestamp: msgs[0].Timestamp}
	return nil
}

// timestamp returns the timestamp of the message with the sequence and true, or false and that of the first
// message in memory, 0 if there is none.
func (t *tail) timestamp(seq uint64) (int64, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if len(t.msgs) == 0 {
		return 0, false
	}
	first := t.msgs[0]
	if i := seq - first.Sequence; seq >= first.Sequence && i < uint64(len(t.msgs)) {
		return t.msgs[i].Timestamp, true
	}
	return first.Timestamp, false
}
