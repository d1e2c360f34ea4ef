package streams

import (
	"context"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nats-eventstore/nats-eventstore/server/relay"
)

// skipTo makes a sequence that of the next message. JetStream has no other way to leave out a sequence in the middle of a stream than
// to publish a message and to remove it.
func (f *filling) skipTo(ctx context.Context, sequence uint64) error {
	if f.info == nil {
		if err := f.create(ctx, f.stream, sequence); err != nil {
			return err
		}
		f.sent = f.next
	}
	if f.sent >= sequence {
		return nil
	}
	if f.empty && len(f.pending) == 0 {
		if err := f.jump(ctx, sequence); err != nil {
			return err
		}
	}
	if f.sent < sequence {
		if err := f.openGaps(ctx); err != nil {
			return err
		}
	}
	for f.sent < sequence {
		origin := relay.Stored{Cluster: f.cluster, Channel: f.channel.GetName(), Sequence: f.sent}
		if err := f.publish(ctx, &nats.Msg{Subject: gapSubject + f.name, Header: origin.Origin()}, ""); err != nil {
			return err
		}
		f.result.Missing++
	}
	return nil
}

// jump moves an empty stream to a sequence.
func (f *filling) jump(ctx context.Context, sequence uint64) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	found, err := f.js.Stream(ctx, f.name)
	if err != nil {
		return fmt.Errorf("stream %q: %w", f.name, err)
	}
	if found.CachedInfo().State.Msgs > 0 {
		return errStepped
	}
	if err := found.Purge(ctx, jetstream.WithPurgeSequence(sequence)); err != nil {
		return fmt.Errorf("move the empty stream %q to sequence %d: %w: take back deny_purge, or delete the stream", f.name, sequence, err)
	}
	if f.info, err = found.Info(ctx); err != nil {
		return fmt.Errorf("stream %q: %w", f.name, err)
	}
	f.next = f.info.State.LastSeq + 1
	f.sent = f.next
	return nil
}

// openGaps lets the stream take placeholders.
func (f *filling) openGaps(ctx context.Context) error {
	if f.gaps {
		return nil
	}
	f.gaps = true
	return f.setSubjects(ctx, f.stream, func(subjects []string) []string { return append(subjects, gapSubject+f.name) })
}

// closeGaps removes the placeholders.
func (c *Copier) closeGaps(ctx context.Context, s *stream) error {
	if !s.gaps {
		return nil
	}
	purging, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	found, err := c.js.Stream(purging, s.name)
	if err == nil {
		err = found.Purge(purging, jetstream.WithPurgeSubject(gapSubject+s.name))
	}
	if err != nil {
		return fmt.Errorf("remove the placeholders of sequences that channel %q does not have from stream %q: %w: take back deny_purge of the stream, and run the same command again", s.channel.GetName(), s.name, err)
	}
	if err := c.setSubjects(ctx, s, func(subjects []string) []string {
		return slices.DeleteFunc(subjects, func(one string) bool { return one == gapSubject+s.name })
	}); err != nil {
		return err
	}
	s.gaps = false
	return nil
}

// setSubjects changes the subjects of a stream.
func (c *Copier) setSubjects(ctx context.Context, s *stream, change func([]string) []string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	found, err := c.js.Stream(ctx, s.name)
	if err != nil {
		return fmt.Errorf("stream %q: %w", s.name, err)
	}
	config := found.CachedInfo().Config
	config.Subjects = change(slices.Clone(config.Subjects))
	if found, err = c.js.UpdateStream(ctx, config); err != nil {
		return fmt.Errorf("change the subjects of stream %q, for placeholders of sequences that channel %q does not have: %w", s.name, s.channel.GetName(), err)
	}
	s.info = found.CachedInfo()
	return nil
}
