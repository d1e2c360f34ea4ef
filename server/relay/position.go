package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Positions stores the positions of relays, so that they survive a restart or a change of leader.
type Positions interface {
	Relay(ctx context.Context, stream string) ([]byte, error)
	SaveRelay(ctx context.Context, stream string, position []byte) error
}

// position records which events are in a stream. The saved position may lag; the stream's own messages tell the rest.
type position struct {
	// Created is the creation time of the stream. A stream that was created again is filled from the first event.
	Created time.Time `json:"created"`
	// Sequence is the last stream sequence that Channels covers.
	Sequence uint64 `json:"sequence"`
	// Channels maps a channel to the last sequence whose events are in the stream.
	Channels map[string]uint64 `json:"channels"`
	// Turn, if set, is the only channel whose events may follow Sequence. Events that the stream removed before the
	// relay read them back can then be counted. It is always set for a stream that removes messages.
	Turn string `json:"turn,omitempty"`
	// Shared records that others publish to the stream, too.
	Shared bool `json:"shared,omitempty"`
}

func (p *position) clone() *position {
	c := *p
	c.Channels = maps.Clone(p.Channels)
	return &c
}

// load returns the saved position.
func (r *Relay) load(ctx context.Context) (*position, error) {
	p := &position{Channels: map[string]uint64{}}
	text, err := r.Positions.Relay(ctx, r.Stream)
	if err != nil || text == nil {
		return p, err
	}
	if err := json.Unmarshal(text, p); err != nil {
		return nil, fmt.Errorf("position of the relay to %q: %w", r.Stream, err)
	}
	return p, nil
}

func (r *Relay) save(ctx context.Context) error {
	text, err := json.Marshal(r.at)
	if err != nil {
		return fmt.Errorf("position of the relay to %q: %w", r.Stream, err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := r.Positions.SaveRelay(ctx, r.Stream, text); err != nil {
		return err
	}
	r.saved, r.savedAt = r.at.clone(), time.Now()
	return nil
}

// longScan is the number of messages above which a scan of the stream is logged.
const longScan = 20_000

// locate finds out which events are in the stream. It starts from the position in memory or, at first, from the saved
// one.
func (r *Relay) locate(ctx context.Context, info *jetstream.StreamInfo) error {
	known := r.at
	if known == nil {
		var err error
		if known, err = r.load(ctx); err != nil {
			return err
		}
	}
	p := known.clone()
	counts := p.Turn != ""
	last := info.State.LastSeq
	switch {
	case !p.Created.Equal(info.Created):
		if !p.Created.IsZero() {
			r.Log.Warn("Stream was created again; relaying all events", "stream", r.Stream)
		}
		p = &position{Created: info.Created, Channels: map[string]uint64{}}
		counts = false
	case last < p.Sequence:
		r.Log.Warn("Stream lost acknowledged messages; looking for its last events", "stream", r.Stream,
			"acknowledged", p.Sequence, "last", last)
		counts = false
		if p.Sequence = 0; !r.removes {
			clear(p.Channels)
		}
	}
	from := max(p.Sequence+1, info.State.FirstSeq)
	if last > from+longScan {
		r.Log.Info("Scanning the stream for the relay's position", "stream", r.Stream, "from", from, "to", last)
	}
	seen := p.Sequence
	for seq := from; seq <= last; seq++ {
		m, err := r.stored.GetMsg(r.Stream, seq, nats.Context(ctx))
		if errors.Is(err, nats.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read message %d: %w", seq, err)
		}
		seen = seq
		if m.Header.Get(headerCluster) != escapeHeader(r.Cluster) {
			p.Shared = true
			continue
		}
		n, err := strconv.ParseUint(m.Header.Get(headerSequence), 10, 64)
		if err != nil {
			return fmt.Errorf("read message %d: header %s: %w", seq, headerSequence, err)
		}
		channel := m.Header.Get(headerChannel)
		p.Channels[channel] = max(p.Channels[channel], n)
	}
	if counts && !p.Shared && last > seen {
		// Only our messages are missing: the next events of the channel in Turn.
		if err := r.count(ctx, p, last-seen); err != nil {
			return err
		}
	}
	p.Sequence = last
	for _, src := range r.all() {
		if at, end := p.Channels[src.key], src.Last(); at > end {
			return fmt.Errorf("the stream has event %d of channel %q, but the channel ends at %d: was the database restored from a backup?", at, src.Name(), end)
		}
	}
	r.at = p
	for _, src := range r.all() {
		src.done.Store(p.Channels[src.key])
		src.rewind(nil)
	}
	return nil
}

// count advances the position by n events of the channel in Turn.
func (r *Relay) count(ctx context.Context, p *position, n uint64) error {
	for _, src := range r.all() {
		if src.key != p.Turn {
			continue
		}
		cursor := src.Cursor(p.Channels[src.key] + 1)
		defer cursor.Close()
		for end := src.Last(); ; {
			msgs, err := cursor.ReadTo(ctx, end, batch)
			if err != nil {
				return err
			}
			if len(msgs) == 0 {
				break
			}
			for _, m := range msgs {
				if _, route := r.match(src, m); route == nil {
					continue
				}
				if n--; n == 0 {
					p.Channels[src.key] = m.Sequence
					return nil
				}
			}
		}
	}
	r.Log.Warn("Stream had more messages than there are events; publishing again the events that it does not contain", "stream", r.Stream)
	p.Shared = true
	return nil
}
