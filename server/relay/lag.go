package relay

import (
	"context"
	"time"
)

// Lag is a relay's backlog on one channel.
type Lag struct {
	Channel  string
	Messages uint64  // not yet read, or not acknowledged
	Seconds  float64 // age of the first of them
}

// Lags returns the lag of each channel.
func (r *Relay) Lags() []Lag {
	var all []Lag
	for _, src := range r.all() {
		l := Lag{Channel: src.Name()}
		if done, last := src.done.Load(), src.Last(); last > done {
			l.Messages = last - done
			if since := src.since.Load(); since > 0 {
				l.Seconds = max(0, time.Since(time.Unix(0, since)).Seconds())
			}
		}
		all = append(all, l)
	}
	return all
}

// Published returns the number of messages that the stream acknowledged.
func (r *Relay) Published() uint64 { return r.published.Load() }

// Failures returns the number of attempts that ended with an error.
func (r *Relay) Failures() uint64 { return r.failures.Load() }

// Failing reports whether the last attempt ended with an error.
func (r *Relay) Failing() bool { return r.failing.Load() }

// updateAges finds out how long messages have waited, while the relay fails. If it cannot read them, the old values stay.
func (r *Relay) updateAges(ctx context.Context) {
	if r.at == nil {
		if p, err := r.load(ctx); err == nil {
			for _, src := range r.all() {
				src.done.Store(min(p.Channels[src.key], src.Last()))
			}
		}
	}
	for _, src := range r.all() {
		done, last := src.done.Load(), src.Last()
		if done >= last {
			continue
		}
		cursor := src.Cursor(done + 1)
		if msgs, err := cursor.ReadTo(ctx, last, 1); err == nil && len(msgs) > 0 {
			src.since.Store(msgs[0].Timestamp)
		}
		cursor.Close()
	}
}
