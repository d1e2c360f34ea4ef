package relay

import (
	"context"
	"time"
)

// Lag is what a relay has still to do for one channel.
type Lag struct {
	Channel  string
	Messages uint64 // that it did not look at, or that are not acknowledged
	Seconds  float64
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

// Published is how many messages the stream acknowledged.
func (r *Relay) Published() uint64 { return r.published.Load() }

// Failures is how many attempts ended with an error.
func (r *Relay) Failures() uint64 { return r.failures.Load() }

// Failing reports whether the last attempt ended with an error.
func (r *Relay) Failing() bool { return r.failing.Load() }

// age looks up, while the relay fails, since when messages wait. What it cannot learn it leaves as it was.
func (r *Relay) age(ctx context.Context) {
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
