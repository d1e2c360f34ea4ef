package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// caughtUpWait is how long Erase waits until the events that it is to delete are in the stream.
	caughtUpWait, caughtUpPoll = 3 * time.Second, 20 * time.Millisecond
	// streamClock is by how much the clock of NATS may be behind this machine's.
	streamClock = 10 * time.Minute
	// erasedFetch is how many headers are read from the stream at a time.
	erasedFetch = 500
)

// StreamName returns the name of the stream.
func (r *Relay) StreamName() string { return r.Stream }

// Erase deletes the messages of events of a channel from the stream, and overwrites them in its files. The sequences ascend. It waits
// until the relay has published what it read before the events were erased: later ones are tombstones. It returns how many messages it
// has deleted; those that the stream no longer has are not counted. It may be called while Run runs.
func (r *Relay) Erase(ctx context.Context, channel string, sequences []uint64) (deleted uint64, err error) {
	i := slices.IndexFunc(r.all(), func(src *source) bool { return src.Name() == channel })
	if i < 0 || len(sequences) == 0 {
		return 0, nil
	}
	src := r.all()[i]
	if err := r.caughtUp(ctx, src, sequences[len(sequences)-1]); err != nil {
		return 0, err
	}
	cursor := src.Cursor(sequences[0])
	first, err := cursor.ReadTo(ctx, sequences[0], 1)
	cursor.Close()
	if err != nil || len(first) == 0 {
		return 0, err
	}
	stream, err := r.streams.Stream(ctx, r.Stream)
	if err != nil {
		return 0, fmt.Errorf("stream %q: %w", r.Stream, err)
	}
	info := stream.CachedInfo()
	wanted := func(h nats.Header) (found, beyond bool) {
		if h.Get(headerCluster) != escapeHeader(r.Cluster) || h.Get(headerChannel) != src.key {
			return false, false
		}
		if h.Get(headerErased) != "" || len(h["ce-erased"]) > 0 {
			return false, false // of a stream that was filled again
		}
		sequence, err := strconv.ParseUint(h.Get(headerSequence), 10, 64)
		if err != nil {
			return false, false
		}
		_, found = slices.BinarySearch(sequences, sequence)
		return found, sequence > sequences[len(sequences)-1]
	}
	remove := func(seq uint64) error {
		err := stream.SecureDeleteMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err == nil {
			deleted++
		}
		return err
	}
	if info.Config.Retention != jetstream.LimitsPolicy { // it takes only consumers that acknowledge
		err = r.scan(ctx, info, wanted, remove)
	} else {
		err = r.consume(ctx, stream, time.Unix(0, first[0].Timestamp).Add(-streamClock), wanted, remove)
	}
	if err != nil {
		return deleted, fmt.Errorf("stream %q: %w", r.Stream, err)
	}
	return deleted, nil
}

// caughtUp waits until the events of a channel up to a sequence are in the stream.
func (r *Relay) caughtUp(ctx context.Context, src *source, sequence uint64) error {
	for end := time.Now().Add(caughtUpWait); src.done.Load() < sequence; {
		if time.Now().After(end) || ctx.Err() != nil {
			return fmt.Errorf("the relay to stream %q has not published all of the events yet", r.Stream)
		}
		pause(ctx, caughtUpPoll)
	}
	return nil
}

// scan reads each message of the stream.
func (r *Relay) scan(ctx context.Context, info *jetstream.StreamInfo, wanted func(nats.Header) (found, beyond bool), remove func(uint64) error) error {
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		m, err := r.stored.GetMsg(r.Stream, seq, nats.Context(ctx))
		if errors.Is(err, nats.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read message %d: %w", seq, err)
		}
		found, beyond := wanted(m.Header)
		if beyond {
			return nil
		}
		if !found {
			continue
		}
		if err := remove(seq); err != nil {
			return fmt.Errorf("delete message %d: %w", seq, err)
		}
	}
	return nil
}

// consume reads the headers of the messages that the stream received from a time on.
func (r *Relay) consume(ctx context.Context, stream jetstream.Stream, from time.Time, wanted func(nats.Header) (found, beyond bool), remove func(uint64) error) error {
	c, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &from,
		HeadersOnly: true, MemoryStorage: true, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return fmt.Errorf("create a consumer: %w", err)
	}
	name := c.CachedInfo().Name
	defer func() { _ = stream.DeleteConsumer(context.WithoutCancel(ctx), name) }() // it ends by itself, too
	for left := c.CachedInfo().NumPending; left > 0; {
		batch, err := c.FetchNoWait(int(min(left, erasedFetch)))
		if err != nil {
			return fmt.Errorf("read headers: %w", err)
		}
		read := 0
		for m := range batch.Messages() {
			read++
			found, beyond := wanted(m.Headers())
			if beyond {
				left = 0
			}
			if !found {
				continue
			}
			at, err := m.Metadata()
			if err == nil {
				err = remove(at.Sequence.Stream)
			}
			if err != nil {
				return fmt.Errorf("delete a message: %w", err)
			}
		}
		if err := batch.Error(); err != nil {
			return fmt.Errorf("read headers: %w", err)
		}
		if read == 0 {
			return nil // others have removed the rest
		}
		left -= min(left, uint64(read))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}
