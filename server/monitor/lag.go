package monitor

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/consumers"
)

// lags finds out how long the backlogs of groups have waited, from the timestamp of their first message. If that
// message is not in memory, the answer is its latest possible time; a background look-up makes the next answer exact. A
// group that does not move, such as an offline durable, costs one look-up.
type lags struct {
	mu     sync.Mutex                       // guards known and wanted
	known  map[*consumers.Group]firstKnown  // first messages of existing groups
	wanted map[*consumers.Group]firstWanted // sequences to look up
	// wake tells run that wanted has entries. It has one slot and carries no data.
	wake chan struct{}
}

// firstWanted is a message whose timestamp to look up.
type firstWanted struct {
	channel consumers.Line
	seq     uint64
}

// firstKnown is a message and its timestamp, in ns since 1970.
type firstKnown struct {
	seq       uint64
	timestamp int64
}

func newLags() *lags {
	return &lags{known: make(map[*consumers.Group]firstKnown), wanted: make(map[*consumers.Group]firstWanted), wake: make(chan struct{}, 1)}
}

// seconds returns how long the first message of a backlog has waited, or less until that is known.
func (l *lags) seconds(now time.Time, g namedGroup) float64 {
	if g.First == 0 {
		return 0
	}
	return max(0, time.Duration(now.UnixNano()-l.since(now, g.channel, g.Group, g.Backlog)).Seconds())
}

// since returns the timestamp of the first message in the backlog, or a later time until it is known.
func (l *lags) since(now time.Time, ch consumers.Line, g *consumers.Group, b consumers.Backlog) int64 {
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
		at = cmp.Or(ch.Info().LastTime, now.UnixNano()) // timestamps never decrease along a channel
	}
	return at
}

// forget drops the entries of groups that no longer exist.
func (l *lags) forget(exists func(*consumers.Group) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for g := range l.known {
		if !exists(g) {
			delete(l.known, g)
		}
	}
}

// run looks up timestamps until ctx ends. timeout bounds one look-up.
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
				// The next scrape asks for the rest again.
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
