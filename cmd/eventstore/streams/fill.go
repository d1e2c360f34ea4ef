package streams

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/relay"
)

const (
	// maxPending and maxPendingBytes bound the messages that JetStream has not acknowledged. It buffers 10,000 for a stream by default.
	maxPending      = 4096
	maxPendingBytes = 32 << 20
)

// fillPatiently brings a stream up to its channel. It goes on where it was when JetStream was away for a moment.
func (c *Copier) fillPatiently(ctx context.Context, s *stream, done func(uint64)) error {
	pause := &backoff.ExponentialBackOff{InitialInterval: 50 * time.Millisecond, Multiplier: 2, RandomizationFactor: 0.3, MaxInterval: time.Second}
	deadline := time.Now().Add(c.Wait)
	began := s.next
	report := func() { done(s.next - began) }
	for looked := false; ; looked = true {
		before := s.next
		err := error(nil)
		if looked {
			err = c.look(ctx, s)
		}
		if err == nil {
			err = c.fill(ctx, s, report)
		}
		switch {
		case err == nil:
			return c.count(ctx, s)
		case ctx.Err() != nil:
			return ctx.Err()
		case !Passes(err) && !isWrongLast(err):
			return explain(err)
		case s.next > before:
			deadline = time.Now().Add(c.Wait)
			pause.Reset()
		case time.Now().After(deadline):
			return explain(err)
		}
		timer := time.NewTimer(pause.NextBackOff())
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// fill publishes what a stream lacks of its channel.
func (c *Copier) fill(ctx context.Context, s *stream, report func()) error {
	last := s.channel.GetLastSequence()
	if s.info != nil && s.next > last && !s.gaps && !s.empty {
		return nil
	}
	f := &filling{Copier: c, stream: s, report: report, sent: s.next}
	reading, cancel := context.WithCancel(ctx)
	defer cancel() // ends a read that is not complete
	err := c.Source.Read(reading, s.channel.GetName(), s.from(), func(events []*eventstorev1.RecordedEvent) error {
		for _, e := range events {
			if err := f.add(ctx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = f.skipTo(ctx, last+1)
	}
	// What was published counts, even if the next message was not.
	err = errors.Join(err, f.await(ctx, 0, 0))
	if err != nil {
		return err
	}
	return c.closeGaps(ctx, s)
}

// count compares a stream with its channel, unless nothing has changed since it did.
func (c *Copier) count(ctx context.Context, s *stream) error {
	if s.counted == s.next {
		return nil
	}
	s.counted = s.next
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	found, err := c.js.Stream(ctx, s.name)
	if err != nil {
		return explain(fmt.Errorf("stream %q: %w", s.name, err))
	}
	s.setInfo(found.CachedInfo())
	if has, want := s.result.Messages, s.channel.GetEvents(); has < want && s.next <= s.channel.GetLastSequence()+1 {
		c.Note("stream %q has %d messages, channel %q has %d: did somebody remove messages from the stream?", s.name, has, s.channel.GetName(), want)
	}
	return nil
}

// from returns the sequence from which to read: that of the last message in the stream, to compare it, or the first one of the channel if
// nothing may be there before the next sequence.
func (s *stream) from() uint64 {
	switch {
	case s.empty:
		return 1
	case s.verify > 0:
		return s.verify
	}
	return s.next
}

// filling is one attempt to fill a stream.
type filling struct {
	*Copier
	*stream
	report  func()
	sent    uint64 // sequence of the next message to publish; next is that of the next one to be acknowledged
	pending []pending
	bytes   int
}

// pending is a message that JetStream has not acknowledged.
type pending struct {
	sequence uint64
	id       string
	bytes    int
	ack      jetstream.PubAckFuture
}

// add publishes a message.
func (f *filling) add(ctx context.Context, e *eventstorev1.RecordedEvent) error {
	stored := relay.Stored{
		Event: eventOf(e), Cluster: f.cluster, Channel: e.GetChannel(), Sequence: e.GetSequence(), Position: e.GetPosition(),
		Time: e.GetRecordedAt().AsTime(), Payload: e.GetPayload(),
	}
	switch {
	case e.GetSequence() == f.verify && f.sent > f.verify:
		if id := stored.ID(); id != f.id {
			return fmt.Errorf("message %d of stream %q is %q, but that of channel %q is %q: the channel was restored from a backup after the copy: delete the stream, or name another one with --stream %s=NAME",
				f.verify, f.name, f.id, e.GetChannel(), id, e.GetChannel())
		}
		return nil
	case e.GetSequence() < f.sent && !f.empty:
		return fmt.Errorf("stream %q is at sequence %d, but lacks message %d of channel %q: somebody removed a message there: delete the stream, and run the same command again",
			f.name, f.sent-1, e.GetSequence(), e.GetChannel())
	case e.GetSequence() < f.sent:
		return fmt.Errorf("stream %q is empty, but its next sequence is %d, and channel %q has message %d: was the stream purged? delete it, and run the same command again",
			f.name, f.sent, e.GetChannel(), e.GetSequence())
	}
	if err := f.skipTo(ctx, e.GetSequence()); err != nil {
		return err
	}
	m := f.route.Message(&stored)
	switch bytes := int64(m.Size() - len(m.Subject) + expectationBytes); {
	case bytes > f.conn.MaxPayload():
		return fmt.Errorf("message %d of channel %q has %d bytes with its headers, but NATS takes %d: raise max_payload of the nats-server, and run the same command again: it goes on there",
			e.GetSequence(), e.GetChannel(), bytes, f.conn.MaxPayload())
	case len(m.Subject) > relay.MaxSubject:
		return fmt.Errorf("the subject of message %d of channel %q has %d bytes, of which NATS takes %d: choose another one with --subject, and delete the stream",
			e.GetSequence(), e.GetChannel(), len(m.Subject), relay.MaxSubject)
	}
	return f.publish(ctx, m, stored.ID())
}

// expectationBytes is room for the header that expects the last sequence.
const expectationBytes = 64

// publish sends the next message. id is its Nats-Msg-Id, "" for a placeholder.
func (f *filling) publish(ctx context.Context, m *nats.Msg, id string) error {
	size := m.Size()
	if err := f.await(ctx, maxPending-1, maxPendingBytes-size); err != nil {
		return err
	}
	m.Header.Set(jetstream.ExpectedLastSeqHeader, strconv.FormatUint(f.sent-1, 10))
	ack, err := f.js.PublishMsgAsync(m, jetstream.WithRetryAttempts(0))
	if err != nil {
		return fmt.Errorf("publish message %d to stream %q: %w", f.sent, f.name, err)
	}
	f.pending = append(f.pending, pending{f.sent, id, size, ack})
	f.bytes += size
	f.sent++
	return nil
}

// await waits until no more messages and bytes than so many are pending.
func (f *filling) await(ctx context.Context, messages, bytes int) error {
	for len(f.pending) > 0 && (len(f.pending) > messages || f.bytes > bytes) {
		p := f.pending[0]
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-p.ack.Err():
			f.pending, f.bytes = nil, 0 // those behind it are refused, too
			return fmt.Errorf("publish message %d to stream %q: %w", p.sequence, f.name, err)
		case ack := <-p.ack.Ok():
			if ack.Sequence != p.sequence || ack.Stream != f.name {
				return fmt.Errorf("message %d of channel %q was taken for message %d of stream %q: the stream has had a message with its Nats-Msg-Id within the duplicate window; was it purged? delete the stream, and run the same command again",
					p.sequence, f.channel.GetName(), ack.Sequence, ack.Stream)
			}
		}
		f.pending, f.bytes = f.pending[1:], f.bytes-p.bytes
		f.next, f.empty, f.verify, f.id = p.sequence+1, false, p.sequence, p.id
		if p.id == "" {
			f.verify = 0
		} else {
			f.result.Copied++
		}
		f.report()
	}
	return nil
}
