package monitor

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/printable"
)

const (
	// refusalInterval is the shortest time between two lines about the same refusal.
	refusalInterval = time.Minute
	// refusalMemory is how long a refusal is remembered that does not happen again. Until then it has no line but one
	// for each interval in which it happens.
	refusalMemory = time.Hour
	// maxRefusals bounds the refusals that are told apart by client, and so the lines in refusalInterval: clients may
	// invent their names.
	maxRefusals = 100
	// refusalText bounds each name and each error in a line, in bytes.
	refusalText = 200
	// refusalSweep is how often lines are written about what was refused since the last one.
	refusalSweep = 10 * time.Second
)

// refusals tells in the log of requests that were refused: of the first one of a client, for one operation and one
// reason, at once, and then how many more there were, at most once in refusalInterval.
type refusals struct {
	log *slog.Logger

	mu   sync.Mutex // guards what follows
	told map[refusal]*toldRefusal
}

// refusal is what is told apart.
type refusal struct {
	operation, kind, client string
	// others is true for the clients beyond maxRefusals, which have no entries of their own.
	others bool
}

// toldRefusal is what is known of a refusal since its last line.
type toldRefusal struct {
	at   time.Time // of the last line
	more int       // since then
	// One of them.
	client, channel, text string
}

func newRefusals(log *slog.Logger) *refusals {
	return &refusals{log: log, told: make(map[refusal]*toldRefusal)}
}

// tell writes a line about a refused request, or counts it for a later one. Outages have lines of their own.
func (r *refusals) tell(operation, kind, client, channel string, err error) {
	if isOutage(kind) {
		return
	}
	if message, attrs := r.note(operation, kind, printable.Clip(client, refusalText), channel, err); message != "" {
		r.log.Warn(message, attrs...)
	}
}

func (r *refusals) note(operation, kind, client, channel string, err error) (message string, attrs []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	key := refusal{operation: operation, kind: kind, client: client}
	it := r.told[key]
	if it == nil && len(r.told) >= maxRefusals {
		key = refusal{operation: operation, kind: kind, others: true}
		it = r.told[key]
	}
	first := it == nil
	if first {
		it = &toldRefusal{at: now}
		r.told[key] = it
	}
	if it.more++; it.more == 1 {
		it.client, it.channel, it.text = client, printable.Clip(channel, refusalText), printable.Clip(err.Error(), refusalText)
	}
	if first || now.Sub(it.at) >= refusalInterval {
		return it.line(key, now)
	}
	return "", nil
}

// line returns what to log of a refusal, and begins anew.
func (t *toldRefusal) line(key refusal, now time.Time) (message string, attrs []any) {
	message = "Request refused"
	if key.others {
		message = "Requests of other clients refused"
	}
	attrs = []any{"operation", key.operation, "reason", key.kind, "client", t.client, "channel", t.channel, "error", t.text}
	if t.more > 1 || key.others {
		attrs = append(attrs, "count", t.more)
	}
	*t = toldRefusal{at: now}
	return message, attrs
}

// run tells of what was only counted, until ctx ends, and then of the rest.
func (r *refusals) run(ctx context.Context) {
	ticker := time.NewTicker(refusalSweep)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			r.sweep(0)
			return
		case <-ticker.C:
			r.sweep(refusalInterval)
		}
	}
}

// sweep tells of refusals whose last line is older than interval, and forgets old ones.
func (r *refusals) sweep(interval time.Duration) {
	r.mu.Lock()
	var lines []func()
	now := time.Now()
	for key, it := range r.told {
		switch since := now.Sub(it.at); {
		case it.more > 0 && since >= interval:
			message, attrs := it.line(key, now)
			lines = append(lines, func() { r.log.Warn(message, attrs...) })
		case it.more == 0 && since >= refusalMemory:
			delete(r.told, key)
		}
	}
	r.mu.Unlock()
	for _, write := range lines {
		write()
	}
}
