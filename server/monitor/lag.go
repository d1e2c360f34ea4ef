package monitor

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

// lags knows since when the backlogs of groups wait. That is the timestamp of a stored message, which is often not in
// memory; a question is then answered with the latest time that it can be, and the message is
// looked up behind it, so that the next answer is exact. A group that does not move, such as an offline durable,
// costs one look-up ever; where nobody asks there is none.
type lags struct {
	mu     sync.Mutex                       // guards what follows
	known  map[*consumers.Group]firstKnown  // groups that were asked about, for as long as they exist
	wanted map[*consumers.Group]firstWanted // sequences to look up
	// wake tells the goroutine that something is wanted. It has one slot and carries no data.
	wake chan struct{}
}

// firstWanted is a message whose timestamp is to be looked up.
type firstWanted struct {
	channel *eventlog.Channel
	seq     uint64
}

// firstKnown is the timestamp (ns since 1970) of a message.
type firstKnown struct {
	seq       uint64
	timestamp int64
}

func newLags() *lags {
	return &lags{known: make(map[*consumers.Group]firstKnown), wanted: make(map[*consumers.Group]firstWanted), wake: make(chan struct{}, 1)}
}

// since returns the timestamp of the first message of the group's backlog, or a later one as long as it is not known.
func (l *lags) since(ch *eventlog.Channel, g *consumers.Group, b consumers.Backlog) int64 {
	at, exact := ch.TimestampInMemory(b.First)
	if exact {
		return at
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if k, ok := l.known[g]; ok && k.seq == b.First {
		return k.timestamp
	}
	l.wanted[g] = firstWanted{ch, b.First}
	select {
	case l.wake <- struct{}{}:
	default:
	}
	if at == 0 {
		at = ch.Info().LastTime // timestamps never decrease along a channel
	}
	return at
}

// forget drops what is known of groups that are gone.
func (l *lags) forget(exists func(*consumers.Group) bool) {
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
		l.wanted = make(map[*consumers.Group]firstWanted)
		l.mu.Unlock()
		for g, first := range wanted {
			if err := l.lookup(ctx, timeout, g, first); err != nil {
				// The next question asks for the rest again.
				log.Debug("Failed to look up the age of a backlog", "channel", first.channel.Name(), "seq", first.seq, "error", err)
				break
			}
		}
	}
}

func (l *lags) lookup(ctx context.Context, timeout time.Duration, g *consumers.Group, first firstWanted) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	at, err := first.channel.Timestamp(ctx, first.seq)
	if err != nil || at == 0 {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known[g] = firstKnown{seq: first.seq, timestamp: at}
	return nil
}
